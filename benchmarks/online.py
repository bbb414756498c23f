"""Charging in real time: the desk alone, the node in-process with its journal, and Gy over loopback, each apart.

    python -m benchmarks.online [--subscribers 1000000] [--rates 20000,40000,...] [--seconds 10] [--sustain 0]
                               [--keep DIR] [--smoke]

Two mixes: `reports` is 80 % updates that report and reserve and 20 % refunds of money; `sessions` is initial, update
and termination 15/70/15 with three rating groups. Open loop: latency counts from when a request was due. The disk's
fdatasync is measured in the same run. Load and node share the machine's cores.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from benchmarks.online_beside import COLUMNS, measure_beside, overload, tell
from benchmarks.online_bound import measure_bound
from benchmarks.online_load import Load, Template, run_timely
from benchmarks.online_restart import again, start
from pipelines.home import Home, Input
from pipelines.sample.operator import write_operator
from pipelines.sample.population import period, populate
from pipelines.serve.node import OnlineNode
from reference_data.inventory import tokens_of
from schemas.codes import Direction, Identity, Service, Unit
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.online import REQUEST, RequestKind

BEGIN = 5_000  # services a second of the sessions that are opened before anything is measured
RATES = (10_000, 20_000, 40_000, 60_000, 80_000, 100_000)


def make_operator(folder: Path, subscribers: int) -> U8:
    """The sample operator with so many subscribers; returns their numbers, (n, 12) digits."""
    when = period(date.today().replace(day=1), 1)
    write_operator(folder / "operator", populate(subscribers, when, 1), when, False)
    (folder / "inbox").mkdir()
    path = folder / "operator" / "serve.yaml"
    serve = yaml.safe_load(path.read_text())
    serve["gy"]["listen"] = serve["operate"]["listen"] = "127.0.0.1:0"
    path.write_text(yaml.safe_dump(serve))
    table = pq.read_table(folder / "operator" / "resources.parquet", columns=["kind", "value", "valid_to"])
    values = table.filter(pc.and_(pc.equal(table["kind"], "msisdn"), pc.is_null(table["valid_to"])))["value"]
    values = values.filter(pc.equal(pc.utf8_length(values), 12)).to_numpy(zero_copy_only=False).astype("S12")
    return values.view(np.uint8).reshape(-1, 12)


class Reports:
    """80 % updates of open sessions, 20 % refunds."""

    name, groups = "reports", 1

    def __init__(self, numbers: U8, sessions: int, seed: int = 1) -> None:
        self._draw, self._numbers = np.random.default_rng(seed), numbers
        self._update, self._refund = Template(2, 1), Template(4, 1)
        self.initial = Template(1, 1)
        self.owner = np.arange(sessions) * max(len(numbers) // sessions, 1) % len(numbers)
        self._count = np.zeros(sessions, np.int64)
        self._events = 1 << 38

    def begin(self, hop: I64) -> tuple[U8, int]:
        """Initial requests of sessions, in order."""
        return self.initial.batch(hop, self._numbers[self.owner[hop]], np.zeros(len(hop), np.int64), hop), \
            self.initial.octets

    def make(self, hop: I64) -> tuple[U8, int]:
        """A batch of one length: refunds every fifth millisecond."""
        session = self._draw.integers(0, len(self.owner), len(hop))
        if self._draw.random() < 0.2:
            events = self._events + np.arange(len(hop))
            self._events += len(hop)
            return self._refund.batch(events, self._numbers[self.owner[session]], np.zeros(len(hop), np.int64), hop), \
                self._refund.octets
        session = np.unique(session) if len(hop) > 1 else session
        while len(session) < len(hop):  # each session once: what is asked twice at once would be a repetition
            session = np.unique(np.append(session, self._draw.integers(0, len(self.owner), len(hop))))[:len(hop)]
        self._count[session] += 1
        return self._update.batch(session, self._numbers[self.owner[session]], self._count[session], hop), \
            self._update.octets


class Sessions:
    """Initial, update and termination 15/70/15, three rating groups each."""

    name, groups = "sessions", 3

    def __init__(self, numbers: U8, sessions: int, seed: int = 1) -> None:
        self._draw, self._numbers = np.random.default_rng(seed), numbers
        self._kinds = [Template(kind, 3) for kind in (1, 2, 3)]
        self.initial = self._kinds[0]
        self.owner = np.arange(sessions) * max(len(numbers) // sessions, 1) % len(numbers)
        self._open = np.arange(sessions) + (1 << 36)
        self._count = np.zeros(sessions, np.int64)
        self._next, self._turn = (1 << 36) + sessions, 0

    def begin(self, hop: I64) -> tuple[U8, int]:
        """Initial requests of sessions, in order."""
        return self.initial.batch(self._open[hop], self._numbers[self.owner[hop]], np.zeros(len(hop), np.int64), hop), \
            self.initial.octets

    def make(self, hop: I64) -> tuple[U8, int]:
        """A batch of one kind; those that ended begin anew under another name in a later one."""
        place = np.unique(self._draw.integers(0, len(self.owner), len(hop)))
        while len(place) < len(hop):
            place = np.unique(np.append(place, self._draw.integers(0, len(self.owner), len(hop))))[:len(hop)]
        ended = self._count[place] < 0
        kind = 0 if ended.mean() > 0.5 else 2 if self._draw.random() < 0.18 else 1
        if kind == 0 or ended.any():
            fresh = ended if kind else np.ones(len(place), bool)
            self._open[place[fresh]] = self._next + np.arange(int(fresh.sum()))
            self._next += int(fresh.sum())
            self._count[place] = 0
            kind = 0
            self._open[place] = self._next + np.arange(len(place))
            self._next += len(place)
        else:
            self._count[place] += 1
        octets = self._kinds[kind].batch(self._open[place], self._numbers[self.owner[place]], self._count[place], hop)
        if kind == 2:
            self._count[place] = -1
        return octets, self._kinds[kind].octets


def sync_latency(folder: Path, octets: int = 65_536, times: int = 300) -> tuple[float, float]:
    """(median, 99 %) of an append and its fdatasync, ms."""
    handle = os.open(folder / "sync", os.O_CREAT | os.O_WRONLY)
    os.posix_fallocate(handle, 0, octets * times)
    took = []
    for _ in range(times):
        began = time.perf_counter()
        os.write(handle, bytes(octets))
        os.fdatasync(handle)
        took.append(1000 * (time.perf_counter() - began))
    os.close(handle)
    return float(np.median(took)), float(np.percentile(took, 99))


def requests_of(numbers: U8, key: tuple[int, int], sessions: I64, kind: RequestKind, number: int) -> Cells:
    """REQUEST cells of sessions, one service each, as the Gy front end makes them."""
    cells = Cells.empty(REQUEST, len(sessions), fill=ABSENT)
    owner = sessions % len(numbers)
    values = [row.tobytes().decode() for row in numbers[owner]]
    for name, value in (
            ("source", 0), ("service", Service.DATA), ("direction", Direction.ORIGINATING), ("unit", Unit.OCTET),
            ("event_time_us", time.time_ns() // 1000), ("merged_count", 1), ("incomplete", 0), ("roaming", 0),
            ("msisdn_token", tokens_of(pa.array(values), Identity.MSISDN, key)),
            ("session_hi", 1 + sessions * 0x9E3779B97F4A7),
            ("session_lo", sessions), ("rating_group", 1), ("kind", kind), ("number", number),
            ("message", np.arange(len(sessions))), ("requested", 0)):
        cells[name] = value
    if kind == RequestKind.UPDATE:
        cells["used"] = 1000 + sessions % 5000
    return cells


def in_process(folder: Path, numbers: U8, rows: int, blocks: int) -> None:
    """Requests/s of the desk alone and of the node with its journal, blocks of `rows`."""
    node = OnlineNode(Input(folder), Home(folder / "home"))
    print(f"opened in {node.recovered_s:.1f} s, {len(node.book):,} accounts", flush=True)
    draw = np.random.default_rng(3)
    sessions = draw.permutation(len(numbers))[:rows * 20].reshape(20, -1)
    first = [requests_of(numbers, node.keys.token_key, each, RequestKind.INITIAL, 0) for each in sessions]
    update = [requests_of(numbers, node.keys.token_key, each, RequestKind.UPDATE, 1) for each in sessions]

    async def go() -> float:
        await node.start()
        await asyncio.gather(*(node.request(each) for each in first))
        began, number = time.perf_counter(), 1
        waiting: set[asyncio.Task[Cells]] = set()
        for block in range(blocks):
            if block % 20 == 0:
                number += 1
                await asyncio.gather(*waiting)
                waiting.clear()
            cells = Cells(REQUEST, update[block % 20].matrix.copy())
            cells["number"] = number
            waiting.add(asyncio.ensure_future(node.request(cells)))
            if len(waiting) >= 3:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*waiting)
        took = time.perf_counter() - began
        await node.stop()
        return took

    took = asyncio.run(go())
    print(f"node in-process, durable: {rows * blocks / took:,.0f} requests/s in blocks of {rows}", flush=True)
    now_us, position, spent = time.time_ns() // 1000, node.position, 0.0
    for block in range(blocks):
        cells = Cells(REQUEST, update[block % 20].matrix.copy())
        cells["number"] = 1_000_000 + block
        cells["account_id"] = node.book.account_ids[:rows]
        began = time.perf_counter()
        node.charging.desk.serve(cells, now_us, position)
        spent += time.perf_counter() - began
    print(f"desk alone: {rows * blocks / spent:,.0f} requests/s in blocks of {rows}", flush=True)
    node.close()


async def over_loopback(addresses: dict[str, str], folder: Path, numbers: U8, sessions: int, given: argparse.Namespace
                        ) -> None:
    """Both mixes at each rate; then the first beside other things, and more than can be answered."""
    load, seconds = Load(), given.seconds
    port = int(addresses["gy"].rpartition(":")[2])
    await load.connect(port)
    for mix in (Reports(numbers, sessions), Sessions(numbers, sessions)):
        began = time.perf_counter()
        rate = BEGIN // mix.groups
        opened = await load.run(mix.begin, rate, sessions / rate, 120)
        if opened.codes.get(2001, 0) != opened.sent:
            raise SystemExit(f"of {opened.sent:,} sessions not all were opened: {opened.codes}")
        print(f"\n{mix.name}: {sessions:,} sessions open after {time.perf_counter() - began:.0f} s\n"
              f"{COLUMNS}", flush=True)
        for rate in map(int, given.rates.split(",")):
            measured = await load.run(mix.make, rate, seconds)
            tell(measured, "")
            if measured.at(99) > 1000:
                break
            await asyncio.sleep(1)
        if given.beside and mix.name == "reports":
            await measure_beside(load, mix.make, given.beside, seconds, given.sustain, folder, numbers,
                                 addresses["operate"])
            await overload(load, mix.make, given.overload, given.beside, seconds, addresses["operate"])


def main(argv: list[str]) -> None:
    """Prints the figures."""
    options = argparse.ArgumentParser(prog="benchmarks.online")
    options.add_argument("--subscribers", type=int, default=1_000_000)
    options.add_argument("--sessions", type=int, default=0)
    options.add_argument("--rates", default=",".join(map(str, RATES)))
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--beside", type=int, default=0, help="requests/s beside a batch and so on")
    options.add_argument("--sustain", type=float, default=0.0, help="seconds of those beside snapshots")
    options.add_argument("--overload", type=int, default=200_000, help="requests/s that are more than can be answered")
    options.add_argument("--keep", type=Path, help="a new folder that stays, for `benchmarks.online_restart`")
    options.add_argument("--smoke", action="store_true")
    given = options.parse_args(argv)
    if given.smoke:
        given.subscribers, given.rates, given.seconds, given.beside, given.overload = 2000, "500", 1.0, 500, 20_000
    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tarifa-online-")))
        folder.mkdir(parents=True, exist_ok=True)
        numbers = make_operator(folder, given.subscribers)
        np.save(folder / "numbers.npy", numbers)
        sessions = given.sessions or min(len(numbers), 200_000)
        print(f"{given.subscribers:,} subscribers, load {os.getloadavg()[0]:.1f}; fdatasync of 64 KiB: "
              "{:.2f} ms, 99 % {:.2f} ms".format(*sync_latency(folder)), flush=True)
        in_process(folder, numbers, 1000 if not given.smoke else 20, 400 if not given.smoke else 20)
        rates = [int(rate) for rate in given.rates.split(",")]
        print(f"\nthe machine and the load alone\n{COLUMNS}", flush=True)
        measure_bound(Reports(numbers, sessions).make, rates, min(given.seconds, 5))
        server, addresses, took = start(folder)
        print(f"served {took:.1f} s after its start", flush=True)
        try:
            run_timely(over_loopback(addresses, folder, numbers, sessions, given))
            server.kill()  # as a power cut would: the next start reads a snapshot and the journal behind it
            server.wait()
            server, addresses = again(folder, numbers)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(600)
        print("".join((folder / "log").read_text().splitlines(True)[-3:]))


if __name__ == "__main__":
    main(sys.argv[1:])
