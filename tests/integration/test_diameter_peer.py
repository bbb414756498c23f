"""The Diameter server before a real client, python-diameter, and before sockets that misbehave."""

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from diameter.message.avp.grouped import MultipleServicesCreditControl, RequestedServiceUnit, UsedServiceUnit
from diameter.message.commands.spending_limit import SpendingLimitRequest

from pipelines.diameter import base, encode
from pipelines.diameter.base import Identity
from pipelines.diameter.encode import Answers, Texts
from pipelines.diameter.overload import BeginnersFirst
from pipelines.diameter.server import Policy
from schemas.columns import U8, Cells
from tests.diameter_peers import CLIENT, REALM, Client, Running, credit_request, grant_everything, text

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_a_session_of_python_diameter_is_granted_updated_and_ended() -> None:
    with Running() as running, Client(running.port) as client:
        first = client.ask(credit_request(1, 0, multiple_services_credit_control=[
            MultipleServicesCreditControl(rating_group=10, requested_service_unit=RequestedServiceUnit()),
            MultipleServicesCreditControl(rating_group=20, requested_service_unit=RequestedServiceUnit(cc_time=60))]))
        assert (first.result_code, first.session_id) == (2001, "pgw1.example.com;1;1")
        assert (first.cc_request_type, first.cc_request_number, first.origin_state_id) == (1, 0, 77)
        assert (first.cc_session_failover, first.credit_control_failure_handling) == (1, 2)
        services = first.multiple_services_credit_control
        assert [(s.rating_group, s.result_code, s.validity_time) for s in services] == [
            (10, 2001, 600), (20, 2001, 600)]
        assert services[0].granted_service_unit.cc_total_octets == 1 << 20
        assert services[1].granted_service_unit.cc_time == 3600
        for number, kind in ((1, 2), (2, 3)):
            answer = client.ask(credit_request(kind, number, multiple_services_credit_control=[
                MultipleServicesCreditControl(rating_group=10, used_service_unit=[
                    UsedServiceUnit(cc_total_octets=500 * number)])]))
            assert (answer.result_code, answer.cc_request_number) == (2001, number)
        seen = [(int(m["request_type"][0]), text(b, m["session_text"][0]), u["used_total_octets"].tolist())
                for m, u, b in running.received]
        session = b"pgw1.example.com;1;1"
        assert seen == [(1, session, [-1, -1]), (2, session, [500]), (3, session, [1000])]


def test_a_retransmission_over_two_connections_and_several_peers_are_served() -> None:
    with Running() as running, Client(running.port) as one, Client(running.port, host="relay.example.com") as two:
        for number in range(20):
            for client in (one, two):
                answer = client.ask(credit_request(4, number, f"s;{number}", requested_action=0))
                assert (answer.result_code, answer.cc_request_number) == (2001, number)
        assert len(running.server.connections) == 2 and running.server.unanswered == 0
        assert running.server.counters.answered == 40


def test_our_requests_reach_the_client_and_its_answers_come_back() -> None:
    seen = []

    def on_request(application: Any, message: Any) -> Any:
        seen.append((message.header.command_code, message.session_id))
        answer = application.generate_answer(message)
        answer.result_code = 2002 if message.header.command_code == 258 else 5002
        answer.session_id = message.session_id
        return answer

    with Running() as running, Client(running.port, on_request=on_request):
        texts, requests = Texts(), encode.requests(3)
        requests["command"], requests["application"] = [258, 274, 258], 4
        requests["session_text"] = [texts.add("s;1"), texts.add("s;2"), texts.add("s;3")]
        requests["destination_host_text"] = [texts.add(CLIENT), texts.add(CLIENT), texts.add("gone.elsewhere.com")]
        requests["destination_realm_text"] = [texts.add(REALM), texts.add(REALM), texts.add("elsewhere.com")]

        async def send() -> list[int]:
            return [await f for f in running.server.send(requests, texts.array())]

        assert running.run(send()) == [2002, 5002, 3002]
        assert sorted(seen) == [(258, "s;1"), (274, "s;2")]


def test_spending_limits_over_the_wire() -> None:
    async def answer(messages: Cells, units: Cells, buffer: U8) -> Answers:
        texts, reports = Texts(), encode.reports(len(units))
        reports["message_row"], reports["status_text"] = units["message_row"], texts.add("low")
        reports["counter_text"] = [texts.add(text(buffer, t)) for t in units["counter_text"]]
        return Answers(encode.answers(len(messages)), reports=reports, texts=texts.array())

    with Running(answer) as running, Client(running.port, application=16777302) as client:
        request = SpendingLimitRequest()
        request.header.application_id = 16777302
        request.session_id, request.origin_host, request.origin_realm = "pcrf;1", CLIENT.encode(), REALM.encode()
        request.destination_realm, request.auth_application_id = REALM.encode(), 16777302
        request.sl_request_type, request.policy_counter_identifier = 0, ["daily", "monthly"]
        reply = client.ask(request)
        assert reply.result_code == 2001
        assert [(r.policy_counter_identifier, r.policy_counter_status) for r in reply.policy_counter_status_report] == [
            ("daily", "low"), ("monthly", "low")]


def test_what_a_handler_sends_behind_its_task_comes_behind_its_answers() -> None:
    """As Sy notifies: no notification before the answer that confirms the subscription."""
    async def answer(messages: Cells, units: Cells, buffer: U8) -> Answers:
        def notify(_: object) -> None:
            texts, requests = Texts(), encode.requests(1)
            requests["command"], requests["application"] = 258, 4
            requests["session_text"], requests["destination_host_text"] = texts.add("s;1"), texts.add(CLIENT)
            requests["destination_realm_text"] = texts.add(REALM)
            running.server.send(requests, texts.array())

        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(notify)
        return grant_everything(messages, units)

    with Running(answer) as running:
        raw = Raw(running.port)
        assert raw.greet() == 2001
        for _ in range(20):
            raw.socket.sendall(credit_request(1, 0).as_bytes())
            assert [int.from_bytes(raw.read()[5:8], "big") for _ in range(2)] == [272, 258]
        raw.socket.close()


class Raw:
    """A socket that says what it likes."""

    opened: ClassVar[list["Raw"]] = []

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.opened.append(self)
        self.rest = b""

    def greet(self, host: str = CLIENT, realm: str = REALM, applications: tuple[int, ...] = (4,)) -> int:
        """CER; the result code of the CEA."""
        who = Identity(host, realm, 1, applications=applications)
        self.socket.sendall(base.capabilities_request(who, ["127.0.0.1"], 1, 1))
        return self.result(self.read())

    def read(self) -> bytes:
        """The next whole message; nothing when the connection has ended."""
        while len(self.rest) < 4 or len(self.rest) < int.from_bytes(self.rest[1:4], "big"):
            try:
                octets = self.socket.recv(65536)
            except ConnectionResetError:
                octets = b""
            if not octets:
                return b""
            self.rest += octets
        length = int.from_bytes(self.rest[1:4], "big")
        one, self.rest = self.rest[:length], self.rest[length:]
        return one

    @staticmethod
    def result(octets: bytes) -> int:
        """Result-Code of an answer."""
        return next(int.from_bytes(p, "big") for c, v, p in base.avps(octets) if c == 268)

    @staticmethod
    def failed(octets: bytes) -> list[int]:
        """Codes in Failed-AVP."""
        return [c for code, _, p in base.avps(octets) if code == 279 for c, _, _ in base.avps(p, 0)]


@pytest.mark.parametrize(("greeting", "code"), [
    ({}, 2001), ({"host": "PGW1.Example.COM"}, 2001), ({"host": "stranger.example.com"}, 3010),
    ({"realm": "elsewhere.com"}, 3010), ({"applications": (5,)}, 5010), ({"applications": (0xFFFFFFFF,)}, 2001),
    ({"applications": (16777302, 5)}, 2001)])
def test_only_named_peers_with_an_application_in_common_are_let_in(shared: Running, greeting: dict, code: int) -> None:
    peer = Raw(shared.port)
    assert peer.greet(**greeting) == code
    peer.socket.sendall(credit_request(1, 0).as_bytes())
    if code == 2001:
        assert peer.result(peer.read()) == 2001
    assert (code == 2001) or peer.read() == b""


@pytest.fixture(autouse=True)
def _close_sockets() -> Iterator[None]:
    yield
    while Raw.opened:
        Raw.opened.pop().socket.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with Running() as running:
        yield running


def test_who_does_not_greet_first_is_sent_away(shared: Running) -> None:
    before = len(shared.received)
    for first in (credit_request(1, 0).as_bytes(), base.watchdog_request(Identity(CLIENT, REALM, 1), 1, 1), b"GET / HT",
                  b"\x16\x03\x01\x02\x00"):
        peer = Raw(shared.port)
        peer.socket.sendall(first)
        assert peer.read() == b""
    assert len(shared.received) == before


def test_a_greeting_that_comes_in_pieces_is_read(shared: Running) -> None:
    peer = Raw(shared.port)
    greeting = base.capabilities_request(Identity(CLIENT, REALM, 1), ["127.0.0.1"], 1, 1)
    for start in range(0, len(greeting), 3):
        peer.socket.sendall(greeting[start:start + 3])
        time.sleep(0.003)
    assert peer.result(peer.read()) == 2001


def test_base_protocol_and_faults_on_one_connection(shared: Running) -> None:
    peer = Raw(shared.port)
    assert peer.greet() == 2001
    me = Identity(CLIENT, REALM, 1)
    good = credit_request(1, 0).as_bytes()
    elsewhere = credit_request(1, 0, destination_realm=b"elsewhere.com").as_bytes()
    other_host = credit_request(1, 0, destination_host=b"ocs2.example.com").as_bytes()
    here = credit_request(1, 0, destination_host=b"OCS.example.com").as_bytes()
    nameless = credit_request(1, 0, service_context_id=None).as_bytes()
    unknown = good[:5] + (999).to_bytes(3, "big") + good[8:]
    for octets, code, shown in ((base.watchdog_request(me, 1, 2), 2001, []), (good, 2001, []), (elsewhere, 3003, []),
                                (other_host, 3002, []), (here, 2001, []), (nameless, 5005, [461]), (unknown, 3001, [])):
        peer.socket.sendall(octets)
        answer = peer.read()
        assert (peer.result(answer), peer.failed(answer), answer[12:20]) == (code, shown, octets[12:20])
        assert bool(answer[4] & 0x20) == (3000 <= code < 4000)
    # One octet at a time, then three at once.
    for i in range(len(good)):
        peer.socket.sendall(good[i:i + 1])
    assert peer.result(peer.read()) == 2001
    peer.socket.sendall(good + nameless + good)
    # Refusals are sent at once, answers when they are durable.
    assert sorted(peer.result(peer.read()) for _ in range(3)) == [2001, 2001, 5005]
    peer.socket.sendall(good + b"\x02" + good[1:] + good)
    assert sorted([peer.result(peer.read()), peer.result(peer.read())]) == [2001, 5011]
    assert peer.read() == b""


def test_a_peer_that_leaves_is_let_go_with_its_answers(shared: Running) -> None:
    peer = Raw(shared.port)
    peer.greet()
    peer.socket.sendall(credit_request(3, 5).as_bytes()
                        + base.disconnect_request(Identity(CLIENT, REALM, 1), 0, 8, 9))
    commands = {int.from_bytes(peer.read()[5:8], "big") for _ in range(2)}
    assert commands == {272, 282}
    assert peer.read() == b""


def test_what_we_asked_of_a_peer_that_leaves_is_undelivered(shared: Running) -> None:
    peer = Raw(shared.port)
    peer.greet()
    texts, requests = Texts(), encode.requests(1)
    requests["command"], requests["application"], requests["session_text"] = 258, 4, texts.add("s;1")
    requests["destination_host_text"], requests["destination_realm_text"] = texts.add(CLIENT), texts.add(REALM)
    future = shared.call(shared.server.send, requests, texts.array())[0]
    assert int.from_bytes(peer.read()[5:8], "big") == 258
    peer.socket.sendall(base.disconnect_request(Identity(CLIENT, REALM, 1), 0, 8, 9))

    async def result() -> int:
        return int(await future)

    assert shared.run(result()) == 3002


def test_a_slow_handler_holds_answers_back_and_reading_pauses() -> None:
    release = threading.Event()
    batches: list[int] = []

    async def slow(messages: Cells, units: Cells, buffer: U8) -> Answers:
        batches.append(len(messages))
        while not release.is_set():
            await asyncio.sleep(0.01)
        return grant_everything(messages, units)

    policy = Policy(unanswered=100, unanswered_each=100, ticks_open=2, receive_octets=4096)
    with Running(slow, policy) as running:
        peer = Raw(running.port)
        peer.greet()
        octets = credit_request(1, 0).as_bytes() * 3000
        writer = threading.Thread(target=peer.socket.sendall, args=(octets,))
        writer.start()
        until = time.monotonic() + 10
        while not batches and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.4)
        assert 100 < sum(batches) < 1500  # what came in one reading, and no more
        assert sum(c.pending_octets for c in running.server.connections) < 600_000
        release.set()
        assert [peer.result(peer.read()) for _ in range(3000)] == [2001] * 3000
        writer.join()
        assert running.server.unanswered == 0


@pytest.mark.parametrize(("load", "shed"), [(0, ""), (10, "IDC"), (20, "IDCUR")])
def test_overload_sheds_those_who_begin_first_and_terminations_never(load: int, shed: str) -> None:
    kinds = {"I": (1, {}), "U": (2, {}), "T": (3, {}), "D": (4, {"requested_action": 0}),
             "R": (4, {"requested_action": 1}), "C": (4, {"requested_action": 2})}
    with Running(shed=BeginnersFirst(10, 20, lambda: load)) as running:
        peer = Raw(running.port)
        peer.greet()
        for name, (kind, fields) in kinds.items():
            peer.socket.sendall(credit_request(kind, 0, **fields).as_bytes())
            answer = peer.read()
            busy = name in shed
            assert (peer.result(answer), bool(answer[4] & 0x20)) == ((3004, True) if busy else (2001, False)), name
        assert running.server.counters.shed == len(shed)


def test_what_shed_requests_report_as_used_is_counted() -> None:
    with Running(shed=BeginnersFirst(10, 20, lambda: 20)) as running:
        peer = Raw(running.port)
        peer.greet()
        for fields in ({"cc_total_octets": 700, "cc_input_octets": 5}, {"cc_input_octets": 20, "cc_output_octets": 3},
                       {"cc_time": 60}, {"cc_service_specific_units": 2}):
            request = credit_request(2, 1)
            request.multiple_services_credit_control = [MultipleServicesCreditControl(
                rating_group=10, used_service_unit=[UsedServiceUnit(**fields)])]
            peer.socket.sendall(request.as_bytes())
            assert peer.result(peer.read()) == 3004
        counters = running.server.counters
        assert (counters.exposed_octets, counters.exposed_seconds, counters.exposed_units) == (723, 60, 2)


def test_a_handler_that_fails_answers_nothing_and_stops_the_server() -> None:
    async def broken(messages: Cells, units: Cells, buffer: U8) -> Answers:
        raise RuntimeError("the journal is full")

    running = Running(broken)
    with pytest.raises(RuntimeError, match="journal is full"), running:
        peer = Raw(running.port)
        peer.greet()
        peer.socket.sendall(credit_request(1, 0).as_bytes())
        assert peer.read() == b""
        again = Raw(running.port)
        assert again.read() == b""


def test_what_is_refused_is_told_and_a_hook_that_fails_stops_the_server() -> None:
    told: list[tuple[int, bytes]] = []

    def refused(messages: Cells, buffer: U8) -> None:
        told.append((int(messages["result_code"][0]), text(buffer, messages["session_text"][0])))
        if len(told) > 1:
            raise RuntimeError("no room for what is exposed")

    running = Running(refused=refused)
    with pytest.raises(RuntimeError, match="no room"), running:
        peer = Raw(running.port)
        peer.greet()
        peer.socket.sendall(credit_request(3, 0, service_context_id=None).as_bytes())
        assert peer.result(peer.read()) == 5005
        peer.socket.sendall(credit_request(3, 0, destination_realm=b"elsewhere.com").as_bytes())
        assert peer.read() == b""
    session = b"pgw1.example.com;1;1"
    assert told == [(5005, session), (3003, session)]


def test_silence_is_watched_and_a_dead_peer_is_cut_off() -> None:
    with Running(policy=Policy(watchdog_s=0.4, capabilities_s=1.5)) as running:
        mute = Raw(running.port)
        peer = Raw(running.port)
        peer.greet()
        asked = peer.read()
        assert (int.from_bytes(asked[5:8], "big"), asked[4]) == (280, 0x80)
        assert peer.read() == b"" and mute.read() == b""


def test_stopping_says_goodbye_and_waits_for_what_is_owed() -> None:
    async def slow(messages: Cells, units: Cells, buffer: U8) -> Answers:
        await asyncio.sleep(0.3)
        return grant_everything(messages, units)

    running = Running(slow)
    with running:
        peer = Raw(running.port)
        peer.greet()
        peer.socket.sendall(credit_request(1, 0).as_bytes())
        time.sleep(0.1)
        stopping = asyncio.run_coroutine_threadsafe(running.server.stop(5), running.loop)
        goodbye = peer.read()
        assert (int.from_bytes(goodbye[5:8], "big"), goodbye[4]) == (282, 0x80)
        peer.socket.sendall(b"\x01" + goodbye[1:4] + b"\0" + goodbye[5:])
        assert peer.result(peer.read()) == 2001
        assert peer.read() == b""
        stopping.result(10)


def test_tls_when_a_context_is_given(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=ocs.example.com"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Running(tls=context) as running:
        peer = Raw(running.port)
        trusted = ssl.create_default_context(cafile=str(certificate))
        trusted.check_hostname = False
        peer.socket = trusted.wrap_socket(peer.socket)
        assert peer.greet() == 2001
        peer.socket.sendall(credit_request(1, 0).as_bytes())
        assert peer.result(peer.read()) == 2001
