"""`tarifa serve` before real clients, killed and started again; and `tarifa run` over a home that is served."""

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pipelines.archive import Archive
from pipelines.controls import run_controls
from pipelines.corrections.history import History
from pipelines.keys import Keys
from pipelines.ledger.sql import asking
from pipelines.serve.home_socket import connect
from pipelines.serve.log import Log
from pipelines.serve.node import OnlineNode
from pipelines.serve.service import run_service
from rating.snapshot import same_state
from schemas.errors import LedgerError, StaleWriterError
from tests.integration.site import SAID, Site
from tests.nchf_peers import free_port
from tests.served import MIB, Served, ccr, gateway, listen_anywhere, service, told

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ACCOUNT, NUMBER = 1_000_000, "999701234567"  # prepaid, 5.00
TOP_UP = {"id": "t-1", "time": "2026-11-22T12:00:00Z", "kind": "top_up", "account_id": ACCOUNT, "amount": "10.00",
          "currency": "EUR"}


def site_of(day: Path, folder: Path, keys: Path) -> Site:
    """The sample operator with an inbox of its own and any port."""
    site = Site(day, folder, keys, own_inbox=True)
    listen_anywhere(site.input.operator)
    return site


def laws(site: Site) -> set[str]:
    """Names of controls that find a law broken."""
    with asking(site.ledger) as connection:
        return {outcome.control.name for outcome in run_controls(connection) if outcome.red}


def replayed(site: Site) -> tuple[Any, Any]:
    """The book as it is, and as the whole journal makes it."""
    books = []
    for _ in range(2):
        node = OnlineNode(site.input, site.home)
        books.append(node.book)
        node.close()
        for path in site.home.snapshots.glob("*.snapshot"):
            path.unlink()
    return books[0], books[1]


def test_a_session_outlives_its_credit_a_top_up_and_a_kill(day: Path, tmp_path: Path, keys: Path) -> None:
    site = site_of(day, tmp_path, keys)
    seen: list[tuple[int, str]] = []

    def on_request(application: Any, message: Any) -> Any:
        seen.append((message.header.command_code, message.session_id))
        answer = application.generate_answer(message)
        answer.result_code, answer.session_id = 2001, message.session_id
        return answer

    with Served(site.input.root, site.home.root) as served, gateway(served.port, on_request) as client:
        first = client.ask(ccr(1, 0, "pgw;1", NUMBER, service(10), service(20, asks=2 * MIB), service(30, asks=None)))
        assert (first.result_code, first.cc_session_failover, first.credit_control_failure_handling) == (2001, 1, 2)
        assert told(first) == [(10, 2001, 10 * MIB, None), (20, 2001, 2 * MIB, None), (30, 2001, None, None)]
        assert [s.validity_time for s in first.multiple_services_credit_control] == [3600, 3600, None]
        number, left = 0, [(10, 2001, 10 * MIB, None)]
        while left[0][2] is not None:
            number += 1
            assert number < 60
            left = told(client.ask(ccr(2, number, "pgw;1", NUMBER, service(10, asks=1 << 33, used=left[0][2]))))
        assert left == [(10, 4012, None, 0)]
        unknown = client.ask(ccr(1, 0, "pgw;2", "999999999999", service(10)))
        assert (unknown.result_code, told(unknown)) == (5030, [])
        lost = client.ask(ccr(2, 7, "pgw;3", NUMBER, service(10, used=MIB)))
        assert lost.result_code == 5002
        connected = connect(site.home.root)
        assert connected is not None
        with connected as node:
            assert node.ask(op="command", command=TOP_UP)["status"] == "done"
            assert node.ask(op="command", command=TOP_UP)["status"] == "repeated"
            assert node.ask(op="command", command=TOP_UP | {"id": "t-2", "account_id": 7}) | {"position": 0} == {
                "status": "refused", "reason": "unknown_account", "position": 0,
                "why": "no such account; expected an account that is open"}
        until(lambda: seen == [(258, "pgw;1")])
        again = ccr(2, number + 1, "pgw;1", NUMBER, service(10, used=0))
        restored = told(client.ask(again))
        assert restored == [(10, 2001, 10 * MIB, None)]
        served.kill()
    with Served(site.input.root, site.home.root) as served, gateway(served.port) as client:
        recovered = next(line for line in served.said if line["event"] == "recovered")
        assert recovered["open_sessions"] == 1 and recovered["seconds"] < 60
        answer = client.ask(again)
        assert told(answer) == restored and answer.origin_state_id == first.origin_state_id
        last = client.ask(ccr(3, number + 2, "pgw;1", NUMBER, service(10, asks=None, used=MIB)))
        assert told(last) == [(10, 2001, None, None)]
        with pytest.raises(StaleWriterError, match=r"open in another process, \d+, since 20"):
            OnlineNode(site.input, site.home)
        served.stop()
        said = served.said[-1]
        assert said["event"] == "stopped" and "999" not in served.said
    assert laws(site) == set()
    grants = site.rows("grant")
    assert {row["result_code"] for row in grants} == {2001, 4012, 5002, 5030}
    assert sum(row["used"] or 0 for row in grants) == sum(row["quantity"] for row in site.rows("rated"))
    assert not any(NUMBER.encode() in path.read_bytes() for path in site.home.root.rglob("*")
                   if path.is_file() and "vault" not in path.parts)
    operator = site.input.operator
    with pytest.raises(LedgerError, match="in real time"):
        list(History(site.ledger, Archive(site.home.archive, Keys.open(site.home.keys)), operator, (0, 0)).groups())
    said_before = site.said(tables=(*SAID, "grant"))
    one, other = replayed(site)
    assert one.online.open == 0 and same_state(one, other)
    assert site.said(tables=(*SAID, "grant")) == said_before


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that comes by itself."""
    stop = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < stop
        time.sleep(0.02)


class InProcess:
    """A service on a thread; `node` is its node."""

    def __init__(self, site: Site, tmp_path: Path) -> None:
        self.site, self.lines = site, (tmp_path / f"log-{time.monotonic_ns()}").open("w")
        self.loop = asyncio.new_event_loop()
        self.stop, self.ready = asyncio.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.error: BaseException | None = None

    def _run(self) -> None:
        async def started(node: OnlineNode, _: Any) -> None:
            self.node = node
            self.ready.set()

        try:
            self.loop.run_until_complete(run_service(self.site.input, self.site.home, Log(self.lines), self.stop,
                                                     started))
        except BaseException as error:
            self.error = error
        self.ready.set()

    def __enter__(self) -> "InProcess":
        self.thread.start()
        assert self.ready.wait(120) and self.error is None, self.error
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(60)
        self.loop.close()
        self.lines.close()
        assert self.error is None, self.error


def test_a_run_over_a_served_home_gives_the_rows_that_it_gives_alone(day: Path, tmp_path: Path, keys: Path) -> None:
    alone, served = (site_of(day, tmp_path / name, keys) for name in ("alone", "served"))
    for site in (alone, served):
        shutil.copytree(day / "inbox", site.input.inbox, dirs_exist_ok=True)
    summary = alone.run()
    with InProcess(served, tmp_path) as running:
        done = served.run(batch_records=700)
        assert (done.files, done.records, done.rated) == (summary.files, summary.records, summary.rated)
        assert served.said(exclude_origin=False) == alone.said()
        assert laws(served) == set()
        assert running.node.counters.slices >= 3
        assert served.run().files == 0
        with pytest.raises(StaleWriterError, match="open in another process"):
            subprocess_recycle(served)
    assert served.said() == alone.said()
    one, other = replayed(served)
    assert same_state(one, other)


def subprocess_recycle(site: Site) -> None:
    """`tarifa suspense write-off`, which wants a home of its own."""
    done = subprocess.run([sys.executable, "-m", "pipelines.apps.cli", "suspense", "write-off", "--reason", "no_zone",
                           "--why", "x", "--home", str(site.home.root), "--input", str(site.input.root)],
                          capture_output=True, text=True, check=False)
    if done.returncode == 2:
        raise StaleWriterError(done.stderr)


def test_slices_that_a_kill_cut_short_are_charged_by_whoever_comes_next(day: Path, tmp_path: Path, keys: Path) -> None:
    alone, served = (site_of(day, tmp_path / name, keys) for name in ("alone", "served"))
    for site in (alone, served):
        shutil.copytree(day / "inbox", site.input.inbox, dirs_exist_ok=True)
    alone.run()
    with InProcess(served, tmp_path) as running:
        node = running.node
        node.pace = type(node.pace)(slice_rows=100)
        whole = node._slice

        def cut(batch: Any) -> None:
            if batch.at >= 200:
                batch.done.set_exception(LedgerError("cut short"))
                node._waiting.batches.clear()
                return
            whole(batch)

        node._slice = cut  # type: ignore[method-assign]
        with pytest.raises(LedgerError, match="cut short"):
            served.run()
    assert 0 < len(served.rows("rated")) < len(alone.rows("rated"))
    assert served.run().rated > 0
    assert served.said() == alone.said()


def test_a_home_is_served_under_the_reference_data_that_answered(day: Path, tmp_path: Path, keys: Path) -> None:
    site = site_of(day, tmp_path, keys)
    with Served(site.input.root, site.home.root) as served, gateway(served.port) as client:
        assert client.ask(ccr(1, 0, "pgw;1", NUMBER, service(10))).result_code == 2001
        served.kill()
    before = (site.input.operator / "operator.yaml").read_text()
    (site.input.operator / "operator.yaml").write_text(before + "online: {supervision_s: 60}\n")
    with pytest.raises(LedgerError, match="reference data"):
        OnlineNode(site.input, site.home).close()
    (site.input.operator / "operator.yaml").write_text(before)
    node = OnlineNode(site.input, site.home)
    assert node.book.online.open == 1
    node.close()


def test_any_request_of_a_session_that_comes_again_is_told_what_it_was_told(day: Path, tmp_path: Path, keys: Path
                                                                           ) -> None:
    site = site_of(day, tmp_path, keys)
    requests = [ccr(1, 0, "pgw;1", NUMBER, service(10, asks=MIB), service(20)),
                ccr(2, 1, "pgw;1", NUMBER, service(10, asks=2 * MIB, used=MIB)),
                ccr(2, 2, "pgw;1", NUMBER, service(20, used=5), service(10, used=77, asks=3 * MIB)),
                ccr(3, 3, "pgw;1", NUMBER, service(10, asks=None, used=MIB))]
    with Served(site.input.root, site.home.root) as served, gateway(served.port) as client:
        before = [told(client.ask(request)) for request in requests]
        assert [told(client.ask(request)) for request in requests] == before
        served.kill()
    for stopped in (False, True):  # of the journal alone, then of the snapshot that stopping takes
        with Served(site.input.root, site.home.root) as served:
            with gateway(served.port) as client:
                assert [told(client.ask(request)) for request in reversed(requests)] == before[::-1]
            served.stop()
        assert stopped or list(site.home.snapshots.glob("*.snapshot"))
    assert sum(r["quantity"] for r in site.rows("rated")) == 2 * MIB + 82


def test_nchf_and_gy_are_served_from_one_balance(day: Path, tmp_path: Path, keys: Path) -> None:
    site = site_of(day, tmp_path, keys)
    path = site.input.operator / "serve.yaml"
    port = free_port()
    section = {"nchf": {"listen": f"127.0.0.1:{port}", "open_on_loopback": True}}
    path.write_text(path.read_text() + yaml.safe_dump(section))

    def body(number: int, **unit: Any) -> dict[str, Any]:
        return {"nfConsumerIdentification": {"nodeFunctionality": "SMF"}, "invocationSequenceNumber": number,
                "invocationTimeStamp": "2026-11-22T12:00:00Z", "subscriberIdentifier": f"msisdn-{NUMBER}",
                "multipleUnitUsage": [{"ratingGroup": 10, **unit}],
                "pDUSessionChargingInformation": {"chargingId": 7, "userInformation": {
                    "servedGPSI": f"msisdn-{NUMBER}"}, "pduSessionInformation": {
                    "networkSlicingInfo": {"sNSSAI": {"sst": 1}}, "pduSessionID": 5, "dnnId": "internet"}}}

    with Served(site.input.root, site.home.root) as served, gateway(served.port) as client, \
            httpx.Client(base_url=f"http://127.0.0.1:{port}/nchf-convergedcharging/v3", http1=False, http2=True,
                         trust_env=False, timeout=20) as smf:
        created = smf.post("/chargingdata", json=body(1, requestedUnit={"totalVolume": 300 * MIB}))
        assert created.status_code == 201, created.text
        granted = created.json()["multipleUnitInformation"][0]["grantedUnit"]["totalVolume"]
        assert granted == 10 * MIB
        assert told(client.ask(ccr(1, 0, "pgw;1", NUMBER, service(10)))) == [(10, 2001, 10 * MIB, None)]
        where = created.headers["location"].rpartition("/chargingdata/")[2]
        used = {"usedUnitContainer": [{"localSequenceNumber": 1, "totalVolume": MIB,
                                       "quotaManagementIndicator": "ONLINE_CHARGING"}]}
        assert smf.post(f"/chargingdata/{where}/release", json=body(2, **used)).status_code == 204
        assert client.ask(ccr(3, 1, "pgw;1", NUMBER, service(10, asks=None, used=3))).result_code == 2001
        served.stop()  # while both clients keep their connections, and nothing is said to have leaked
    assert laws(site) == set()
    assert sorted((r["source"], r["quantity"]) for r in site.rows("rated")) == [("gy", 3), ("nchf", MIB)]
