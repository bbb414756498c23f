"""Charging: events priced and debited a second, on one core and on two, beside what the machine's memory allows.

    python -m benchmarks.rating [--accounts 1000 1000000 10000000] [--mix design rich] [--events N] [--block N] [--json]

The world is that of `benchmarks.charging_world`. Accounts are split into two lanes by charging group, each with a
balance book of its own; one thread takes their blocks in turn, two threads take a lane each. The same lines of state
are then asked for by a probe, in the same order, and the same octets are streamed: `probe` is one random record of 128
octets and one profile of 64 an event, `stream` the usage read, and what charging adds and the postings written. Their
sum is the least that the machine needs for this work, whatever the arithmetic. The first events, in which accounts meet
their first buckets and the tables grow, are charged before the clock starts and told apart. The checksum is that of
charges and postings, and does not depend on blocks or threads.
"""

import argparse
import hashlib
import json
import os
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bounds import probe_ns, stream_octets_per_ns, together
from benchmarks.charging_world import FIRST, MIXES, NETWORKS, accounts, lane_of, usage, write_tariff
from rating.book import BalanceBook
from rating.charging import charge
from reference_data.tariffs.compile import Tariffs, load_tariffs
from schemas.columns import I64, Cells
from schemas.rated import POSTING, RATED
from schemas.usage import USAGE

LANES = 2
OPENED_AT_ONCE = 1_000_000
SMOKE = {"accounts": 1_000, "events": 20_000, "first": 10_000, "block": 5_000, "seed": 1}
REAL = {"events": 2_000_000, "first": 1_000_000, "block": 50_000, "seed": 1}
SIZES = (1_000, 1_000_000, 10_000_000)


@dataclass
class Lane:
    """Half of the accounts: their book, their events, and what came of them."""

    book: BalanceBook
    cells: Cells
    first: int  # events before the clock starts
    taken_s: list[float] = field(default_factory=list)
    rated: int = 0
    posted: int = 0
    legs: int = 0
    charges: Any = field(default_factory=hashlib.sha256)
    amounts: Any = field(default_factory=hashlib.sha256)

    def charge(self, start: int, stop: int, tariffs: Tariffs, timed: bool) -> None:
        """One block. What it is cut from is prepared before the clock, and what came out is told after it."""
        block = self.cells.slice(start, stop)
        started = time.perf_counter()
        charged = charge(block, 0, stop - start, start, tariffs, self.book, {"apn": [], "other_network": NETWORKS})
        taken = time.perf_counter() - started
        self.charges.update(charged.rated["charge_nanos"].tobytes())
        self.amounts.update(charged.posting["amount"].tobytes())
        if timed:
            legs = int((charged.rated["leg"] > 0).sum())
            self.taken_s.append(taken)
            self.rated += len(charged.rated) - legs
            self.legs += legs
            self.posted += len(charged.posting)

    def rows(self) -> I64:
        """Account rows of the events that the clock sees."""
        return self.book.rows_of(self.cells["account_id"][self.first:])


def opened(ids: I64, tariffs: Tariffs) -> BalanceBook:
    """A book with those accounts."""
    book = BalanceBook.create()
    for start in range(0, ids.size, OPENED_AT_ONCE):
        book.open_accounts(accounts(ids[start:start + OPENED_AT_ONCE]), tariffs, 0)
    return book


def lanes_of(parameters: dict[str, int], tariffs: Tariffs, deck: list[tuple[str, str]]) -> list[Lane]:
    """Both lanes, with the parties of legs in each."""
    cells = usage(parameters["first"] + parameters["events"], parameters["accounts"], parameters["seed"], deck)
    ids = np.arange(FIRST, FIRST + parameters["accounts"])
    lanes = []
    for lane in range(LANES):
        theirs = np.flatnonzero(cells["lane"] == lane)
        lanes.append(Lane(opened(np.concatenate([np.arange(1, 4), ids[lane_of(ids) == lane]]), tariffs),
                          cells.take(theirs), int(np.searchsorted(theirs, parameters["first"]))))
    return lanes


def work(lanes: list[Lane], tariffs: Tariffs, block: int, threads: int, timed: bool) -> float:
    """Charge the first events of every lane, or the others; returns the seconds it took."""
    def whole(lane: Lane) -> None:
        first, last = (lane.first, len(lane.cells)) if timed else (0, lane.first)
        for start in range(first, last, block):
            lane.charge(start, min(start + block, last), tariffs, timed)

    return together([lambda lane=lane: whole(lane) for lane in lanes], threads)


def run(parameters: dict[str, int], mix: str = "design", threads: int = 1) -> dict[str, Any]:
    """Charge all events in a fresh world; returns figures and a checksum of what came out."""
    with tempfile.TemporaryDirectory() as folder:
        deck = write_tariff(Path(folder), mix)
        started = time.perf_counter()
        tariffs = load_tariffs(Path(folder))
        compiled_s = time.perf_counter() - started
    started = time.perf_counter()
    lanes = lanes_of(parameters, tariffs, deck)
    opened_s = time.perf_counter() - started
    first_s = work(lanes, tariffs, parameters["block"], threads, timed=False)
    work(lanes, tariffs, parameters["block"], threads, timed=True)
    # On two threads the longer lane decides; cutting blocks and counting the checksum are not charging.
    taken = [sum(lane.taken_s) for lane in lanes]
    seconds = max(taken) if threads > 1 else sum(taken)
    events = parameters["events"]
    rated, posted, legs = (sum(getattr(lane, name) for lane in lanes) / events for name in ("rated", "posted", "legs"))
    # Usage columns are not written again, but for events with legs.
    own = len(RATED.columns) - (0 if legs else len(USAGE.columns))
    octets = 8 * (len(USAGE.columns) + own * (rated + legs) + len(POSTING.columns) * posted)
    ns = seconds / events * 1e9
    probe = probe_ns([lane.book for lane in lanes], [lane.rows() for lane in lanes], threads)
    stream = octets / stream_octets_per_ns(threads)
    blocks = np.concatenate([lane.taken_s for lane in lanes]) * 1e3
    digest = hashlib.sha256(b"".join(each.digest() for lane in lanes for each in (lane.charges, lane.amounts)))
    return {
        "mix": mix, "threads": threads, **parameters, "events_per_s": int(events / seconds), "ns_per_event": round(ns),
        "first_ns_per_event": round(first_s / max(parameters["first"], 1) * 1e9), "probe_ns": round(probe, 1),
        "stream_ns": round(stream, 1), "octets_per_event": round(octets), "ratio_to_probe": round(probe / ns, 3),
        "ratio_to_bound": round((probe + stream) / ns, 3), "p50_block_ms": round(float(np.median(blocks)), 2),
        "p99_block_ms": round(float(np.quantile(blocks, 0.99)), 2), "rated": round(rated * events),
        "legs_per_event": round(legs, 2), "postings_per_event": round(posted, 2),
        "compile_tariff_s": round(compiled_s, 1), "open_accounts_s": round(opened_s, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, "checksum": digest.hexdigest()[:16]}


_TABLE = (
    ("accounts", "accounts", "{:,}"), ("mix", "mix", "{}"), ("threads", "threads", "{}"),
    ("events/s", "events_per_s", "{:,}"), ("ns", "ns_per_event", "{:,}"), ("probe", "probe_ns", "{}"),
    ("stream", "stream_ns", "{}"), ("of probe", "ratio_to_probe", "{:.3f}"), ("of both", "ratio_to_bound", "{:.3f}"),
    ("octets", "octets_per_event", "{:,}"), ("legs", "legs_per_event", "{}"), ("posts", "postings_per_event", "{}"),
    ("p50 ms", "p50_block_ms", "{}"), ("p99 ms", "p99_block_ms", "{}"), ("first ns", "first_ns_per_event", "{:,}"),
    ("open s", "open_accounts_s", "{}"), ("MiB", "peak_mib", "{:,}"), ("checksum", "checksum", "{}"))


def table(results: list[dict[str, Any]]) -> str:
    """Figures below each other."""
    rows = [[head for head, _, _ in _TABLE],
            *([form.format(result[name]) for _, name, form in _TABLE] for result in results)]
    width = [max(len(row[i]) for row in rows) for i in range(len(_TABLE))]
    return "\n".join("  ".join(cell.rjust(width[i]) for i, cell in enumerate(row)) for row in rows)


def main() -> None:
    """Every size and mix on one thread, then on two; their checksums must agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, nargs="+", default=SIZES)
    parser.add_argument("--mix", choices=MIXES, nargs="+", default=MIXES)
    for name, value in REAL.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    results = []
    for count in (SMOKE["accounts"],) if given.smoke else given.accounts:
        for mix in given.mix:
            parameters = SMOKE if given.smoke else {"accounts": count, **{name: getattr(given, name) for name in REAL}}
            pair = [run(parameters, mix, threads) for threads in (1, LANES)]
            if pair[0]["checksum"] != pair[1]["checksum"]:
                raise SystemExit(f"{count} accounts, {mix}: two threads charged otherwise than one")
            results += pair
            if not given.json and not given.smoke:
                print(table(pair) + "\n", flush=True)
    print(json.dumps(results, indent=1) if given.json
          else f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; ns, probe, stream: an event\n{table(results)}")


if __name__ == "__main__":
    main()
