"""What deduplication costs as its index grows: processor time per 1,000 records, octets per key, resident memory.

Each batch is probed, added, written and synced as a run, and merges are done in line, so that their cost is seen;
in a run they go on beside it. A share of the records are true copies of earlier ones (all must be found: the count
is checked), the rest are new. Keys are seeded hashes of what a voice record key holds.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numba import types

from mediation.duplicates import DuplicateIndex, Verdict
from pipelines.durable import Disk
from schemas.columns import I64, Cells
from schemas.hashing import absorb_hi_nb, absorb_lo_nb, mix_nb
from schemas.jit import CELLS_OUT, kernel
from schemas.usage import KEY

DAY_US = 86_400_000_000
FIRST_DAY_US = 20_454 * DAY_US
NEVER_US = -(2**62)
_KEYS = KEY.index("key_hi")


@kernel(types.void(CELLS_OUT, types.int64, types.int64, types.int64))
def fill_nb(matrix, first, per_day, copies):
    """Records first, first + 1, ...: keys by number. The last `copies` rows say again what earlier numbers said."""
    rows = matrix.shape[1]
    for i in range(rows):
        number = first + i
        if i >= rows - copies:
            number = np.int64(mix_nb(np.uint64(number)) % np.uint64(max(first, 1)))
        noise = mix_nb(np.uint64(number))
        time_us = FIRST_DAY_US + number // per_day * DAY_US + np.int64(noise % np.uint64(86_400)) * 1_000_000
        matrix[0, i] = 1 + np.int64(noise >> np.uint64(60))      # node
        matrix[1, i] = time_us
        matrix[2, i] = number % 100_000_000                      # call reference
        matrix[3, i] = np.int64(noise >> np.uint64(24)) & 0xFFFFFFFFF  # served number
        matrix[4, i] = 0
        matrix[5, i] = time_us
        hi, lo = np.uint64(1), np.uint64(2)
        for c in range(6):
            hi, lo = absorb_hi_nb(hi, matrix[c, i]), absorb_lo_nb(lo, matrix[c, i])
        matrix[_KEYS, i] = np.int64(hi)
        matrix[_KEYS + 1, i] = np.int64(lo)
        matrix[_KEYS + 2, i] = np.int64(mix_nb(noise))


@dataclass
class Cost:
    """Seconds since the last line of the table."""

    probe: float = 0
    add: float = 0
    write: float = 0
    merge: float = 0
    records: int = 0
    merged: int = 0
    slowest: list[float] = field(default_factory=list)


class Growing:
    """An index in a folder, its durable writes and its merges."""

    def __init__(self, folder: Path, per_day: int) -> None:
        self.folder, self.per_day = folder, per_day
        self.index, self.disk, self.cost = DuplicateIndex(folder), Disk(), Cost()
        self.number = self.version = self.copies_found = 0

    def batch(self, rows: int, copies: int, merge: bool = True) -> None:
        key = Cells.empty(KEY, rows)
        fill_nb(key.matrix, self.number, self.per_day, copies)
        file_id, offset = np.full(rows, 1 + self.version // 10), np.arange(rows) * 180
        self.number += rows - copies
        self.version += 1
        cost, oldest = self.cost, np.full(rows, NEVER_US)
        at_0 = time.thread_time()
        verdicts = self.index.probe(key, file_id, offset, oldest)
        at_1 = time.thread_time()
        run = self.index.add(key, file_id, offset, verdicts, self.version)
        at_2, write_0 = time.thread_time(), time.perf_counter()
        if run is not None:
            self.disk.write_new(self.folder / run.name, (run.payload,))
            self.index.settle(run.name)
        cost.write += time.perf_counter() - write_0
        found = int((verdicts.verdict == Verdict.DUPLICATE).sum())
        if found != copies or int((verdicts.verdict == Verdict.NEW).sum()) != rows - copies:
            raise SystemExit(f"{copies} copies went in, {found} were found")
        self.copies_found += found
        if merge:
            self.merge()
        cost.probe += at_1 - at_0
        cost.add += at_2 - at_1
        cost.records += rows
        cost.slowest.append((at_2 - at_0) / rows)

    def merge(self) -> None:
        started = time.thread_time()
        while (plan := self.index.plan_merge(self.version, NEVER_US)) is not None:
            for name, days in plan.outputs:
                self.disk.write_new(self.folder / name, self.index.merge(plan, days))
            self.index.swap(plan)
            self.cost.merged += plan.rows
            for name in plan.inputs:
                (self.folder / name).unlink()
        self.cost.merge += time.thread_time() - started

    def line(self) -> str:
        cost, self.cost = self.cost, Cost()
        per_1000 = 1e9 / max(1, cost.records)
        octets = sum(path.stat().st_size for path in self.folder.iterdir())
        anonymous, mapped = resident_mb()
        return (f"{len(self.index) / 1e6:9.2f} {len(self.index.names):5d} {cost.probe * per_1000:8.1f} "
                f"{cost.add * per_1000:8.1f} {cost.write * per_1000:8.1f} {cost.merge * per_1000:8.1f} "
                f"{np.quantile(cost.slowest, 0.99) * 1e9:8.0f} {octets / max(1, len(self.index)):8.1f} "
                f"{octets / 1e9:8.2f} {anonymous:8.0f} {mapped:8.0f}")


HEADING = ("   M keys  runs  probe us   add us write us merge us  p99 ns/r  oct/key  disk GB  anon MB  mapped MB\n"
           "                 per 1,000 records, 1 core          probe+add    (write: wall time; the rest: processor)")


def resident_mb() -> tuple[float, float]:
    """Memory of this process: its own, and mapped files (which the system takes back when it needs to)."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (float(fields[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped


def checksum(growing: Growing, rows: int) -> int:
    """Origins that the index gives for known records: equal for equal input, however it was merged."""
    key: Cells = Cells.empty(KEY, rows)
    fill_nb(key.matrix, growing.number, growing.per_day, rows)
    origin: I64 = np.full(rows, -5)
    found = growing.index.probe(key, origin, origin, np.full(rows, NEVER_US))
    return int((found.first_file_id * 1_000_003 + found.first_record_offset).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=2_000_000, help="how far the index grows")
    parser.add_argument("--batch", type=int, default=100_000)
    parser.add_argument("--per-day", type=int, default=1 << 62, help="keys of one day; by default all are of one day")
    parser.add_argument("--copies", type=float, default=0.001, help="share of records that are copies")
    parser.add_argument("--lines", type=int, default=10, help="lines of the table")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    parser.add_argument("--smoke", action="store_true", help="a few keys, to see that it runs")
    options = parser.parse_args()
    if options.smoke:
        options.keys, options.batch = 20_000, 2_000
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix="duplicates-"))
    try:
        growing = Growing(folder, options.per_day)
        print(HEADING)
        growing.batch(options.batch, 0)
        started, processor_0, next_line = time.perf_counter(), time.process_time(), options.keys / options.lines
        while len(growing.index) < options.keys:
            growing.batch(options.batch, int(options.batch * options.copies))
            if len(growing.index) >= next_line:
                print(growing.line(), flush=True)
                next_line += options.keys / options.lines
        names = growing.index.names
        opening = time.perf_counter()
        growing.index = DuplicateIndex(folder, names)
        opened_s = time.perf_counter() - opening
        print(f"{time.perf_counter() - started:.1f} s, {time.process_time() - processor_0:.1f} s of processor, "
              f"{growing.copies_found} copies found, all there were; opened again in {opened_s * 1e3:.1f} ms; "
              f"peak RSS {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB; "
              f"checksum {checksum(growing, 10_000)}; load {os.getloadavg()[0]:.1f}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
