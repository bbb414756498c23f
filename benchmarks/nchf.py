"""Nchf over loopback, HTTP/2 with prior knowledge: what its front end costs, and what a request that is durable does.

    python -m benchmarks.nchf [requests]

Updates of one rating group (report and reserve), 1.2 kB each, of sessions and subscribers that differ, from a client in
a process of its own. The same bodies go to four servers in turn, round by round, so that whatever else the machine does
is done to all of them: `nothing`, a handler that reads them and does nothing, as granian calls one; `gathered`, the
same with requests gathered as ours are; `nchf`, ours before a node that answers at once; `durable`, ours before a node
with its journal and a small operator. The ratios are the figures that travel: of the rate (server and load share two
cores), and of the server's CPU alone. Prints besides what translation takes for each request the slower way, which is
that of whatever is not plain, and a checksum of the rows: speed must not change meaning.
"""

import asyncio
import hashlib
import json
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.http2_load import Request, Result, load
from benchmarks.online import make_operator, requests_of
from mediation.memory import Lexicon
from mediation.tokens import Sightings
from pipelines.home import Home, Input
from pipelines.nchf import requests
from pipelines.nchf.access import NchfSettings
from pipelines.nchf.answers import Speaker
from pipelines.nchf.app import NchfApp
from pipelines.nchf.arrivals import Watcher
from pipelines.nchf.charging import Charging
from pipelines.nchf.limits import Limits
from pipelines.nchf.messages import encode
from pipelines.nchf.requests import Api, Rows
from pipelines.nchf.server import NchfServer
from pipelines.nchf.ticks import _READ, Answered
from pipelines.serve.node import OnlineNode
from pipelines.serve.service import SWITCH_S
from reference_data.online import OnlineRules
from reference_data.snapshot import Snapshot
from schemas.columns import ABSENT, U8, Cells
from schemas.online import ANSWER, RequestKind
from tests.small_operator import TOKEN_KEY, Reference

SMOKE, REAL = 400, 20_000
ROUNDS = 10
KINDS = ("nothing", "gathered", "nchf", "durable")
LOADS = ((1, 8), (4, 32), (4, 128))  # connections, streams of each
SUBSCRIBERS = 100_000
BLOCK = 100
SECRET = b"benchmark" * 4
PATH = "/nchf-convergedcharging/v3/chargingdata"


def body(number: int, msisdn: str = "", moment: str = "2026-10-21T12:00:00.123Z") -> bytes:
    """An update of a session of its own; without a number, of a subscriber who need not exist."""
    return json.dumps({
        "subscriberIdentifier": f"msisdn-{msisdn}" if msisdn else f"imsi-00101{number:010d}",
        "nfConsumerIdentification": {"nFName": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "nFIPv4Address": "10.0.0.1",
                                     "nodeFunctionality": "SMF"},
        "invocationTimeStamp": moment, "invocationSequenceNumber": 1,
        "notifyUri": "http://127.0.0.1:9/callback",
        "multipleUnitUsage": [{"ratingGroup": 10, "requestedUnit": {"totalVolume": 10 << 20}, "usedUnitContainer": [{
            "quotaManagementIndicator": "ONLINE_CHARGING", "localSequenceNumber": 1, "totalVolume": 5_000_000 + number,
            "uplinkVolume": 1_000_000, "downlinkVolume": 4_000_000 + number,
            "triggers": [{"triggerType": "QUOTA_THRESHOLD", "triggerCategory": "IMMEDIATE_REPORT"}]}]}],
        "pDUSessionChargingInformation": {
            "chargingId": number, "userInformation": {"servedGPSI": f"msisdn-{msisdn or f'99970{number:07d}'}",
                                                      "servedPEI": "imei-123456789012345"},
            "userLocationinfo": {"nrLocation": {
                "tai": {"plmnId": {"mcc": "001", "mnc": "01"}, "tac": "000001"},
                "ncgi": {"plmnId": {"mcc": "001", "mnc": "01"}, "nrCellId": "000000010"}}},
            "pduSessionInformation": {
                "networkSlicingInfo": {"sNSSAI": {"sst": 1, "sd": "00abcd"}}, "pduSessionID": 5, "pduType": "IPV4",
                "hPlmnId": {"mcc": "001", "mnc": "01"}, "ratType": "NR", "dnnId": "internet",
                "servingCNPlmnId": {"mcc": "001", "mnc": "01"}, "startTime": "2026-10-21T11:00:00Z",
                "pduAddress": {"pduIPv4Address": "10.1.2.3"}}}}, separators=(",", ":")).encode()


class AtOnce:
    """A node that grants whatever is asked, in no time."""

    def __init__(self, reference: Snapshot) -> None:
        self.reference, self.lexicon, self.rules = reference, Lexicon(), OnlineRules()

    async def request(self, asked: Cells, _sightings: Sightings | None = None, **_: bool) -> Cells:
        """As a node does."""
        return granted(asked)


def granted(asked: Cells) -> Cells:
    """Answers that grant what was asked."""
    answers = Cells(ANSWER, np.repeat(_ANSWER, len(asked), axis=1))
    answers["message"], answers["granted"] = asked["message"], asked["requested"]
    return answers


_SAID = {"message_code": 2001, "result_code": 2001, "repeated": 0, "final_action": 0, "validity_s": 3600,
         "threshold": 2 << 20}
_ANSWER = np.array([[_SAID.get(name, ABSENT)] for name in ANSWER.names], np.int64)


class Nothing:
    """The same server, the same bodies, and a handler that reads them and does nothing: as granian calls one."""

    def __init__(self) -> None:
        self.open = 0

    async def __rsgi__(self, scope: Any, exchange: Any) -> None:
        await exchange()
        exchange.response_bytes(200, [("content-type", "application/json")], b"{}")

    def sweep(self, seconds: float) -> None:
        """Nothing to sweep."""


class NothingGathered(Nothing):
    """The same, with requests gathered as ours are (`pipelines.nchf.arrivals`)."""

    def arrived(self, watchers: list[Watcher]) -> None:
        for watcher in watchers:
            exchange = watcher.proto
            exchange().add_done_callback(partial(self._came, exchange))

    def _came(self, exchange: Any, coming: Any) -> None:
        coming.result()
        exchange.response_bytes(200, [("content-type", "application/json")], b"{}")

    def turned(self) -> None:
        pass


def reference(number: int) -> str:
    """A ChargingDataRef that could be ours: 22 letters of base 64."""
    return f"{number:021d}A"


def charging(folder: Path) -> Charging:
    """The handlers before a node that grants at once."""
    return Charging(AtOnce(Reference().load(folder)), TOKEN_KEY, SECRET, Limits(waiting_each=1 << 20))


async def durable(node: OnlineNode, numbers: U8, count: int) -> Charging:
    """A node with its journal, with so many sessions open, whose references are known."""
    await node.start()
    made = Charging(node, node.keys.token_key, node.keys.vault_key, Limits(waiting_each=1 << 20),
                    lag=lambda: node.waiting)
    for start in range(0, count, 2000):
        sessions = np.arange(start, min(start + 2000, count))
        asked = requests_of(numbers, node.keys.token_key, sessions, RequestKind.INITIAL, 0)
        keys = [made.references.read(reference(number))[0] for number in sessions.tolist()]
        asked["session_hi"], asked["session_lo"] = [hi for hi, _ in keys], [lo for _, lo in keys]
        asked["source"], asked["rating_group"] = node.lexicon.label("source", "nchf"), 10
        await node.request(asked)
    return made


async def _serve(kind: str, folder: Path, count: int, pipe: Connection) -> None:
    settings = NchfSettings(port=0, open_on_loopback=True)
    node = None
    app: Any
    if kind == "durable":
        node = OnlineNode(Input(folder / "site"), Home(folder / "site" / "home"))
        app = NchfApp(await durable(node, np.load(folder / "numbers.npy"), count), settings)
    elif kind == "nchf":
        app = NchfApp(charging(folder), settings)
    else:
        app = Nothing() if kind == "nothing" else NothingGathered()
    server = NchfServer(app, settings, Limits())
    await server.start()
    pipe.send(server.port)
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    await server.stop(0.2)
    if node is not None:
        await node.stop()
        node.close()


def serve(kind: str, folder: Path, count: int, pipe: Connection) -> None:
    """One server, in a process of its own."""
    sys.setswitchinterval(SWITCH_S)  # as `tarifa serve` does
    asyncio.run(_serve(kind, folder, count, pipe))


def cpu_seconds(process_id: int) -> float:
    """What a process has run so far, all its threads, to the nanosecond."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{process_id}/task").glob("*/schedstat")) / 1e9


@dataclass
class Run:
    """What came of all rounds of one server. cpu_s: the server's; load_s: the load generator's."""

    result: Result
    cpu_s: float = 0.0
    load_s: float = 0.0
    rates: list[float] = field(default_factory=list)

    def add(self, result: Result, cpu_s: float, load_s: float) -> None:
        self.result.seconds += result.seconds
        self.result.latencies += result.latencies
        self.result.statuses.update(result.statuses)
        self.cpu_s, self.load_s = self.cpu_s + cpu_s, self.load_s + load_s
        self.rates.append(result.rate)

    @property
    def rate(self) -> float:
        """The median of the rounds: others use the machine too."""
        return statistics.median(self.rates)

    @property
    def cpu_us(self) -> float:
        """Of the server, for each request."""
        return self.cpu_s / len(self.result.latencies) * 1e6

    def line(self) -> str:
        count, result = len(self.result.latencies), self.result
        return (f"{self.rate:>8,.0f} requests/s, p50 {result.percentile(0.5):.2f} ms, "
                f"p99 {result.percentile(0.99):.2f} ms; "
                f"CPU of a request: server {self.cpu_us:.1f} us, load {self.load_s / count * 1e6:.1f} us")


def over_sockets(folder: Path, bodies: list[bytes], connections: int, streams: int, kinds: tuple[str, ...] = KINDS
                 ) -> dict[str, Run]:
    """The servers in turn, round by round, so that whatever else the machine does is done to all of them.

    The first tenth of the bodies is not measured.
    """
    context = multiprocessing.get_context("spawn")
    servers, runs = {}, {kind: Run(Result()) for kind in kinds}
    warm = len(bodies) // 10
    for kind in kinds:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(kind, folder, len(bodies), theirs))
        process.start()
        port = ours.recv()
        made = [Request.of(f"127.0.0.1:{port}", f"{PATH}/{reference(number)}/update", one)
                for number, one in enumerate(bodies)]
        servers[kind] = process, ours, port, made
        load("127.0.0.1", port, made[:warm], connections, streams)
    size = -(-(len(bodies) - warm) // ROUNDS)
    for start in range(warm, len(bodies), size):
        for kind, (process, _, port, made) in servers.items():
            assert process.pid is not None
            cpu, own = cpu_seconds(process.pid), time.process_time()
            result = load("127.0.0.1", port, made[start:start + size], connections, streams)
            runs[kind].add(result, cpu_seconds(process.pid) - cpu, time.process_time() - own)
    for process, pipe, _, _ in servers.values():
        pipe.send("stop")
        process.join()
    return runs


def translation(folder: Path, bodies: list[bytes]) -> tuple[dict[str, float], str]:
    """Microseconds of each step for each request, blocks of `BLOCK`, and the checksum of all rows and answers."""
    made = charging(folder)
    speaker, limits, digest = Speaker(OnlineRules()), Limits(), hashlib.sha256()
    spent: dict[str, list[float]] = {name: [] for name in ("read", "rows", "columns", "answer")}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        spent[name].append((time.perf_counter() - began) / BLOCK * 1e6)
        return found

    for start in range(0, len(bodies) - BLOCK + 1, BLOCK):
        block, rows = bodies[start:start + BLOCK], Rows.begin()
        read = timed("read", lambda block=block: [made.read(one) for one in block])
        keys = [made.references.read(reference(start + n)) for n in range(BLOCK)]
        asked = timed("rows", lambda read=read, rows=rows, keys=keys: [
            requests.append(rows, one, RequestKind.UPDATE, Api.CONVERGED, *key, frozenset([1001]), limits)
            for one, key in zip(read, keys, strict=True)])
        cells = timed("columns", lambda rows=rows: made.ticks.columns.cells(rows, made.node.reference))[0]
        answers = granted(cells)
        said = timed("answer", lambda answers=answers, asked=asked: [
            encode(speaker.response(one, found))
            for found in [Answered({name: answers[name].tolist() for name in _READ})] for one in asked])
        digest.update(np.ascontiguousarray(cells.matrix).tobytes() + b"".join(said))
    return {name: statistics.median(values) for name, values in spent.items()}, digest.hexdigest()[:16]


def make_site(folder: Path, subscribers: int) -> list[str]:
    """A site for the durable node; its subscribers' numbers."""
    (folder / "site").mkdir()
    numbers = make_operator(folder / "site", subscribers)
    np.save(folder / "numbers.npy", numbers)
    return [number.tobytes().decode() for number in numbers]


def main(count: int = REAL, subscribers: int = SUBSCRIBERS) -> dict[str, Any]:
    """Measure; returns what it prints."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies = [body(number) for number in range(count)]
        steps, checksum = translation(folder, bodies[:max(BLOCK, count // 10)])
        print(f"translation of a request of {len(bodies[0])} octets, blocks of {BLOCK}: {sum(steps.values()):.1f} us ("
              + ", ".join(f"{name} {spent:.1f}" for name, spent in steps.items()) + f"); checksum {checksum}")
        found: dict[str, Any] = {"checksum": checksum, "translation_us": sum(steps.values())}
        for connections, streams in LOADS:
            numbers, moment = make_site(folder, subscribers), time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
            few = count // 4 if connections * streams < 32 else count  # a journal's pace is that of its ticks
            real = [body(number, numbers[number % len(numbers)], moment) for number in range(few)]
            runs = over_sockets(folder, real, connections, streams)
            for kind, run in runs.items():
                if set(run.result.statuses) != {200}:
                    raise SystemExit(f"{kind}: {run.result.statuses}")
                print(f"{connections} x {streams:<3} {kind:<8} {run.line()}", flush=True)
            for ours in KINDS[2:]:
                for kind in KINDS[:2]:
                    ratio, of_cpu = runs[ours].rate / runs[kind].rate, runs[kind].cpu_us / runs[ours].cpu_us
                    print(f"{connections} x {streams:<3} {ours} to {kind}: {ratio:.2f} of the rate, {of_cpu:.2f} by "
                          "the server's CPU", flush=True)
                    found[f"{ours}_{kind}_{connections}x{streams}"] = ratio
            shutil.rmtree(folder / "site")
    return found


if __name__ == "__main__":
    arguments = [one for one in sys.argv[1:] if not one.startswith("-")]
    main(SMOKE if "--smoke" in sys.argv else int(arguments[0]) if arguments else REAL)
