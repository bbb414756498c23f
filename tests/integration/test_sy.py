"""Sy, message by message: who is told which statuses, when, and what is refused."""

import asyncio
import datetime
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from pipelines.diameter.encode import encode_answers, identity_avps
from pipelines.diameter.parse import parse
from pipelines.diameter.ticks import choose
from pipelines.spending import watch
from schemas.errors import InvariantError
from tests.diameter_messages import NUMBER, SLR, STR, Spec, end, limit
from tests.gy_desk import IMS, asked, called, group, request, used
from tests.integration.site import Site
from tests.property.test_ber_fuzz import damage
from tests.sy_desk import MIB, SNR, SyDesk, code, pending, reports, with_counters

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ACCOUNT = 1_000_000


@pytest.fixture(scope="module")
def operator(day: Path, tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    """The sample operator with counters: its input folder."""
    site = Site(day, tmp_path_factory.mktemp("sy"), keys, own_inbox=True)
    with_counters(site)
    return site.input.root


@pytest.fixture(scope="module")
def desk(operator: Path, tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[SyDesk]:
    with SyDesk(Site(operator, tmp_path_factory.mktemp("desk"), keys)) as desk:
        yield desk


@pytest.fixture
def own(operator: Path, tmp_path: Path, keys: Path) -> Site:
    return Site(operator, tmp_path, keys)


def spend(desk: SyDesk, session: str, octets: int, who: str = NUMBER) -> None:
    """A session of so many octets."""
    answers = desk.ask(request(1, 0, session, group(10, asked()), who=who))
    answers += desk.ask(request(3, 1, session, group(10, used(octets=octets)), who=who))
    assert [each.result_code for each in answers] == [2001, 2001]


def next_month() -> datetime.datetime:
    """When the month of the first subscriber ends, who lives in Madrid and begins it on its first day."""
    now = datetime.datetime.now(ZoneInfo("Europe/Madrid"))
    return (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + datetime.timedelta(days=32)).replace(day=1)


def imsi_of(operator: Path) -> str:
    """Of the first subscriber."""
    resources = pl.read_parquet(operator / "operator" / "resources.parquet")
    return str(resources.filter((pl.col("kind") == "imsi") & (pl.col("service_id") == 10_000_000))["value"][0])


def test_a_subscription_is_told_of_what_changes_until_it_ends(own: Site) -> None:
    with SyDesk(own) as desk:
        first, = desk.ask(limit("pcrf;1"))
        assert (first.header.command_code, code(first), first.session_id) == (SLR, ("result", 2001), "pcrf;1")
        assert (first.auth_application_id, first.origin_state_id) == (16_777_302, 1)
        assert reports(first) == {"calls": "below", "volume": "below"} and pending(first) == {}
        spend(desk, "a", MIB)
        assert desk.hear() == []
        spend(desk, "b", MIB)
        said, = desk.hear()
        assert (said.header.command_code, said.session_id) == (SNR, "pcrf;1")
        assert (said.destination_host, said.destination_realm) == (b"pcrf-01.tarifa.example", b"tarifa.example")
        assert reports(said) == {"volume": "threshold-1"}
        then, when = pending(said)["volume"]
        assert (then, when.timestamp()) == ("below", next_month().timestamp())
        spend(desk, "c", MIB)
        assert desk.hear() == []
        # Of two counters at once.
        desk.ask(request(1, 0, "call", asked(), called("12345"), context=IMS))
        desk.ask(request(3, 1, "call", used(seconds=100), called("12345"), context=IMS),
                 request(1, 0, "d", group(10, asked())), request(3, 1, "d", group(10, used(octets=2 * MIB))))
        both = desk.hear()
        assert {name: status for said in both for name, status in reports(said).items()} == {
            "calls": "threshold-1", "volume": "threshold-2"}
        assert {name for said in both for name in pending(said)} == {"calls", "volume"}
        fewer, = desk.ask(limit("pcrf;1", 1, "calls", "calls", who=None))
        assert reports(fewer) == {"calls": "threshold-1"}
        last, again = desk.ask(end("pcrf;1"), end("pcrf;1"))
        assert (last.header.command_code, code(last), code(again)) == (STR, ("result", 2001), ("result", 5002))
        assert desk.sy.watch.subscriptions == {} and desk.hear() == []


@pytest.mark.parametrize("who", ["number", "imsi", "sip", "nai", "both"])
def test_a_subscriber_is_known_by_every_name_that_charging_knows(desk: SyDesk, operator: Path, who: str) -> None:
    def named(kind: int, name: str) -> Spec:
        return "Subscription-Id", [("Subscription-Id-Type", kind), ("Subscription-Id-Data", name)]

    imsi = imsi_of(operator)
    by = {"number": named(0, NUMBER), "imsi": named(1, imsi), "sip": named(2, f"sip:+{NUMBER}@ims.tarifa.example"),
          "nai": named(3, f"tel:+{NUMBER}"), "both": named(1, imsi)}
    answer, = desk.ask(limit(f"by {who}", 0, who=by[who], more=(named(0, NUMBER),) if who == "both" else ()))
    assert code(answer) == ("result", 2001)
    assert desk.sy.watch.subscriptions[f"by {who}"].account_id == ACCOUNT


def odd() -> dict[str, tuple[bytes, tuple[str, int], list[int]]]:
    """Requests that are refused, with what, and what is shown."""
    return {
        "nobody": (limit("x;1", who="999999999999"), ("result", 5030), []),
        "nobody by IMSI": (limit("x;1", who=("Subscription-Id", [
            ("Subscription-Id-Type", 1), ("Subscription-Id-Data", "001019999999999")])), ("result", 5030), []),
        "nobody by name": (limit("x;1", who=("Subscription-Id", [
            ("Subscription-Id-Type", 4), ("Subscription-Id-Data", b"\xff\0\xfe")])), ("result", 5030), []),
        "an empty name": (limit("x;1", who=("Subscription-Id", [
            ("Subscription-Id-Type", 2), ("Subscription-Id-Data", "")])), ("result", 5030), []),
        "no subscriber": (limit("x;1", who=None), ("result", 5005), [443]),
        "a counter that there is not": (limit("x;1", 0, "volume", "nothing"), ("experimental", 5570), [2901]),
        "a counter without a name": (limit("x;1", 0, ""), ("experimental", 5570), [2901]),
        "a counter that is no text": (limit("x;1", 0, b"\xff\xfe\0"), ("experimental", 5570), [2901]),
        "a counter of 60,000 octets": (limit("x;1", 0, "v" * 60_000), ("experimental", 5570), [2901]),
        "intermediate of nobody": (limit("x;1", 1), ("result", 5002), []),
        "end of nobody": (end("x;1"), ("result", 5002), []),
        "a session of 5,000 octets": (limit("x" * 5000), ("result", 5004), [263]),
    }


@pytest.mark.parametrize("what", odd())
def test_what_cannot_be_is_told_why_and_costs_itself_alone(desk: SyDesk, what: str) -> None:
    octets, wanted, shown = odd()[what]
    before = set(desk.sy.watch.subscriptions)
    good, bad, fine, other = desk.ask(limit("beside;1"), octets, end("beside;1"),
                                      request(1, 0, f"beside {what}", group(10, asked())))
    assert [code(each) for each in (good, fine, other)] == [("result", 2001)] * 3
    assert code(bad) == wanted and bad.policy_counter_status_report in (None, []) if what != "end of nobody" else True
    failed = bad.failed_avp.additional_avps if bad.failed_avp is not None else []
    assert [each.code for each in failed] == shown
    if wanted[1] == 5570:
        assert failed[0].vendor_id == 10415 and failed[0].payload != b"volume"
    assert set(desk.sy.watch.subscriptions) == before
    desk.ask(request(3, 1, f"beside {what}"))


def test_an_intermediate_request_that_is_refused_leaves_the_subscription_as_it_was(desk: SyDesk) -> None:
    desk.ask(limit("kept", 0, "calls"))
    wrong, = desk.ask(limit("kept", 1, "nothing"))
    assert code(wrong) == ("experimental", 5570)
    assert desk.sy.watch.subscriptions["kept"].counters == ("calls",)
    more, = desk.ask(limit("kept", 1))
    assert set(reports(more)) == {"calls", "volume"}


def test_the_same_initial_request_again_is_the_same_subscription_and_another_subscriber_a_new_one(desk: SyDesk) -> None:
    first, second = desk.ask(limit("again", 0, "calls"), limit("again", 0, "calls"))
    assert reports(first) == reports(second)
    desk.ask(limit("again", 0, who="999708888888"))
    one = desk.sy.watch.subscriptions["again"]
    assert one.account_id == 1_000_001 and one.id not in desk.sy.watch._of.get(ACCOUNT, ())


def test_notifications_go_where_the_session_spoke_from_last(own: Site) -> None:
    with SyDesk(own) as desk:
        desk.ask(limit("moved"))
        desk.ask(limit("moved", 1, host="pcrf-02.tarifa.example"))
        spend(desk, "a", 3 * MIB)
        said, = desk.hear()
        assert said.destination_host == b"pcrf-02.tarifa.example"


def test_what_was_not_delivered_is_told_later_and_who_forgot_is_not_told_again(
        own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_AGAIN_S", 0.3)
    with SyDesk(own) as desk:
        desk.ask(limit("away"), limit("gone"))
        spend(desk, "a", 2 * MIB)
        assert {said.session_id for said in desk.hear(3002)} == {"away", "gone"}
        spend(desk, "b", 2 * MIB)
        desk.rest()
        assert desk.peers.sent == []
        desk.run(asyncio.sleep(0.4))
        for future, said in zip(desk.peers.answers, desk.peers.sent, strict=True):
            assert reports(said) == {"volume": "threshold-2"}  # what is true now, not what was
            future.set_result(2001 if said.session_id == "away" else 5002)
        desk.rest()
        assert set(desk.sy.watch.subscriptions) == {"away"}
        desk.loop.call_soon(desk.sy.watch.sweep)
        desk.rest()
        assert len(desk.peers.sent) == 2


def test_while_a_notification_is_under_way_there_is_no_other(own: Site) -> None:
    with SyDesk(own) as desk:
        desk.ask(limit("slow"))
        spend(desk, "a", 2 * MIB)
        desk.rest()
        spend(desk, "b", 2 * MIB)
        desk.loop.call_soon(desk.sy.watch.sweep)
        desk.rest()
        assert [reports(said) for said in desk.peers.sent] == [{"volume": "threshold-1"}]
        assert [reports(said) for said in desk.hear()] == [{"volume": "threshold-1"}]
        assert [reports(said) for said in desk.hear()] == [{"volume": "threshold-2"}]


def test_there_are_no_more_notifications_under_way_than_may_be(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_MOST_OPEN", 3)
    monkeypatch.setattr(watch, "_SLICE", 2)
    monkeypatch.setattr(watch, "_SWEEP_S", 0.001)
    with SyDesk(own) as desk:
        desk.ask(*(limit(f"p;{i}", 0, "volume") for i in range(10)))
        desk.rest()
        spend(desk, "a", 2 * MIB)
        told: list[str] = []
        for _ in range(4):
            desk.ask(*(limit(f"q;{i}", 0, "calls") for i in range(6)))  # more, whose answers are under way
            desk.rest()
            assert 1 <= len(desk.peers.sent) <= 3
            told += [said.session_id for said in desk.hear()]
        assert sorted(told) == [f"p;{i}" for i in range(10)]


def test_usage_in_the_tick_of_the_subscription_is_told_behind_its_answer(own: Site) -> None:
    with SyDesk(own) as desk:
        desk.ask(request(1, 0, "a", group(10, asked())))
        order: list[str] = []
        send, answered = desk.peers.send, desk.sy.watch.answered
        desk.peers.send = lambda *a, **k: order.append("notified") or send(*a, **k)  # type: ignore[method-assign]
        desk.sy.watch.answered = lambda some: order.append("answered") or answered(some)  # type: ignore[method-assign]
        limited, ended = desk.ask(limit("same"), request(3, 1, "a", group(10, used(octets=3 * MIB))))
        assert (reports(limited)["volume"], ended.result_code) == ("below", 2001)
        said, = desk.hear()
        assert reports(said) == {"volume": "threshold-1"} and order == ["answered", "notified"]


def test_subscriptions_survive_a_restart_and_with_them_what_was_told(own: Site) -> None:
    with SyDesk(own) as desk:
        desk.ask(limit("told", 0, "volume"), limit("ended"), limit("other", 0, "calls"))
        desk.ask(end("ended"))
        spend(desk, "a", 2 * MIB)
        assert len(desk.hear()) == 1
    log = own.home.root / "serve" / "sy.log"
    assert NUMBER.encode() not in log.read_bytes() and b"pcrf" not in log.read_bytes()
    with SyDesk(own) as desk:
        assert set(desk.sy.watch.subscriptions) == {"told", "other"}
        desk.loop.call_soon(desk.sy.watch.sweep)
        assert desk.hear() == []
        spend(desk, "b", 2 * MIB)
        said, = desk.hear()
        assert (said.session_id, reports(said)) == ("told", {"volume": "threshold-2"})


def test_a_closed_account_ends_its_sessions_and_a_changed_one_is_looked_at(own: Site) -> None:
    def command(desk: SyDesk, **fields: Any) -> None:
        outcome = desk.run(desk.node.command({"id": f"c-{fields}", "time": "2026-11-22T12:00:00Z",
                                              "account_id": ACCOUNT, **fields}))
        assert outcome.status == "done", outcome

    with SyDesk(own) as desk:
        desk.ask(limit("s;1"), limit("s;2", who="999708888888"))
        command(desk, kind="top_up", amount="1.00", currency="EUR")
        assert desk.hear() == []
        command(desk, kind="state", state="terminated")
        said, = desk.hear()
        kinds = [each.value for each in said.avps if each.code == 2907]
        assert (said.session_id, kinds, [each.is_mandatory for each in said.avps if each.code == 2907]) == (
            "s;1", [2], [False])
        desk.loop.call_soon(desk.sy.watch.sweep)
        assert desk.hear() == []
        ended, unknown = desk.ask(end("s;1"), end("s;1"))
        assert (code(ended), code(unknown)) == (("result", 2001), ("result", 5002))
        assert set(desk.sy.watch.subscriptions) == {"s;2"}


def test_a_subscriber_of_a_command_is_known_at_once(own: Site) -> None:
    number = "999700099977"
    with SyDesk(own) as desk:
        before, = desk.ask(limit("new", who=number))
        outcome = desk.run(desk.node.command({
            "id": "n-1", "time": "2026-10-21T08:00:00Z", "kind": "number_change", "account_id": ACCOUNT,
            "msisdn": NUMBER, "new_msisdn": number}))
        assert (code(before), outcome.status) == (("result", 5030), "done"), outcome
        after, old = desk.ask(limit("new", who=number), limit("old"))
        assert (code(after), code(old)) == (("result", 2001), ("result", 5030))


def test_what_goes_wrong_while_telling_is_found_by_whoever_looks_after_it(own: Site) -> None:
    def wrong(*_: object) -> Any:
        raise InvariantError("our mistake")

    with SyDesk(own) as desk:
        desk.ask(limit("s;1"))
        desk.rest()
        desk.sy.watch.check()
        desk.peers.send = wrong  # type: ignore[method-assign]
        spend(desk, "a", 2 * MIB)
        desk.rest()
        with pytest.raises(InvariantError, match="our mistake"):
            desk.sy.watch.check()


def test_without_counters_there_is_nothing_to_watch(day: Path, tmp_path: Path, keys: Path) -> None:
    with SyDesk(Site(day, tmp_path, keys)) as desk:
        none, unknown = desk.ask(limit("s;1"), limit("s;2", 0, "volume"))
        assert (code(none), code(unknown)) == (("experimental", 4241), ("experimental", 5570))


def test_there_are_no_more_subscriptions_than_may_be(own: Site) -> None:
    with SyDesk(own, most=2) as desk:
        answers = desk.ask(limit("s;1"), limit("s;2"), limit("s;3"), limit("s;2"), end("s;1"), limit("s;4"))
        assert [each.result_code for each in answers] == [2001, 2001, 3004, 2001, 2001, 2001]
        assert set(desk.sy.watch.subscriptions) == {"s;2", "s;4"}


def test_damaged_requests_never_raise_and_leave_what_is_there(desk: SyDesk) -> None:
    rng, whole = random.Random(9), [limit("f;1", 0, "calls"), limit("f;1", 1, "calls", "volume"), end("f;1")]
    desk.ask(limit("steady", 0, "volume"))
    for _ in range(400):
        octets = damage(rng.choice(whole), rng)
        buffer = np.frombuffer(octets, np.uint8)
        parsed = parse(buffer)
        sound = (parsed.messages["result_code"] == 0) & np.isin(parsed.messages["command"], (SLR, STR)) & (
            parsed.messages["flags"] & 128 != 0)
        if sound.any():
            messages, units = choose(parsed.messages, parsed.units, sound)
            given = desk.run(desk.handle(messages, units, buffer))  # type: ignore[arg-type]
            encode_answers(buffer, messages, units, given, identity_avps("h", "r"), 1)
    assert desk.sy.watch.subscriptions["steady"].counters == ("volume",)
    assert len(desk.sy.watch.subscriptions) < 100


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_lost_everybody_knows_in_the_end_how_things_stand(own: Site, monkeypatch: pytest.MonkeyPatch,
                                                                      seed: int) -> None:
    """Requests, usage, notifications that fail or are forgotten, restarts, by chance."""
    monkeypatch.setattr(watch, "_AGAIN_S", 0.02)
    draw, knows, overtaken = random.Random(seed), dict[str, dict[str, str]](), list[Any]()
    numbers, sessions, spent = [NUMBER, "999708888888"], [f"p;{i}" for i in range(5)], 0

    def heard(desk: SyDesk, codes: list[int]) -> None:
        desk.rest()
        sent, answers, desk.peers.sent, desk.peers.answers = desk.peers.sent, desk.peers.answers, [], []
        for said, future in zip(sent, answers, strict=True):
            result = draw.choice(codes)
            if said.session_id not in knows:
                result = 5002  # an answer to its end had been under way
            elif any(said is each for each in overtaken):
                result = 2001
            elif result == 2001:
                knows[said.session_id] |= reports(said)
            elif result == 5002:
                knows.pop(said.session_id, None)
            if not future.done():
                future.set_result(result)
        desk.rest()

    for _ in range(3):
        with SyDesk(own) as desk:
            assert set(desk.sy.watch.subscriptions) >= set(knows)
            for _ in range(15):
                session, what = draw.choice(sessions), draw.choice(["begin", "change", "end", "spend", "spend", "hear"])
                if what == "spend":
                    spent += 1
                    spend(desk, f"{seed};{spent}", draw.choice([1, MIB, 2 * MIB]), draw.choice(numbers))
                elif what == "hear":
                    heard(desk, [2001, 2001, 3002, 5012, 5002])
                elif what == "end":
                    answer, = desk.ask(end(session))
                    assert answer.result_code == (2001 if knows.pop(session, None) is not None else 5002)
                else:
                    counters = draw.choice([(), ("calls",), ("volume",), ("calls", "volume")])
                    answer, = desk.ask(limit(session, int(what == "change"), *counters, who=draw.choice(numbers)))
                    assert answer.result_code == (5002 if what == "change" and session not in knows else 2001)
                    if answer.result_code == 2001:
                        knows[session] = reports(answer)  # later than notifications that are under way
                        overtaken += [said for said in desk.peers.sent if said.session_id == session]
            if draw.random() < 0.5:  # else it stops with notifications that nobody has answered
                heard(desk, [2001, 3002])
    with SyDesk(own) as desk:
        for _ in range(8):
            desk.loop.call_soon(desk.sy.watch.sweep)
            heard(desk, [2001])
            desk.run(asyncio.sleep(0.03))
        subscriptions = desk.sy.watch.subscriptions
        assert set(subscriptions) == set(knows)
        for session, told in knows.items():
            one = subscriptions[session]
            now = desk.sy.watch.policy().statuses(desk.node.book, one.account_id, list(told), time.time_ns() // 1000)
            assert told == {name: status.name for name, status in now.items()}, session
