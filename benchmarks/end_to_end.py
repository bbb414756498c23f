"""Files to ledger, durable, both commits: records a second for one format, per stage and end to end.

    python -m benchmarks.end_to_end --format voip-csv --records 1000000 [--subscribers 100000] [--workers 2]

Prints what bounds it: processor seconds of each stage's thread, of which two cores can give at most two a second,
and beside it what the disk gives when the same octets are only written and synced. The checksum is the content hash
of the postings: speed may change, it may not.
"""

import argparse
import datetime as dt
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

from pipelines.home import Home, Input
from pipelines.ledger import Ledger
from pipelines.ledger.content_hash import content_hash
from pipelines.run import Run, RunOptions, RunSummary
from pipelines.sample.generate import generate

DATE = dt.date(2026, 10, 21)


def measure(format_name: str, records: int, subscribers: int, workers: int, batch_records: int, folder: Path) -> None:
    """One format at one size, in a fresh folder below `folder`."""
    work = Path(tempfile.mkdtemp(prefix="end-to-end-", dir=folder))
    try:
        probe = generate(work / "probe", subscribers, DATE, 1, 1, False, formats=[format_name], scale=0.05)
        shutil.rmtree(work / "probe")
        made = generate(work / "day", subscribers, DATE, 1, 1, False, formats=[format_name],
                        scale=0.05 * records / max(probe.records, 1))
        opened = time.perf_counter()
        job = Run(Input(work / "day"), Home(work / "home"), RunOptions(batch_records, workers))
        opened = time.perf_counter() - opened
        summary = job.go()
        job.close()
        octets = sum(path.stat().st_size for path in (work / "home" / "ledger").rglob("*") if path.is_file())
        _report(format_name, subscribers, summary, opened, made.octets, octets, _write_s(work, octets))
        print(f"  checksum of postings: {content_hash(Ledger.open(work / 'home' / 'ledger'), ['posting'])}")
    finally:
        shutil.rmtree(work)


def _report(format_name: str, subscribers: int, summary: RunSummary, opened_s: float, octets_in: int, octets_out: int,
            write_s: float) -> None:
    rate = summary.records / summary.seconds
    cpu = summary.cpu_s["all threads"]
    print(f"{format_name}: {summary.records:,} records, {summary.containers:,} containers, "
          f"{subscribers:,} subscribers, {octets_in / summary.records:.0f} octets a record")
    print(f"  end to end {summary.seconds:.1f} s: {rate:,.0f} records/s; opening {opened_s:.1f} s before it")
    for name, seconds in summary.cpu_s.items():
        print(f"  {name:>18}: {seconds:6.2f} s of processor, {1e6 * seconds / summary.records:5.2f} us a record, alone "
              f"{summary.records / max(seconds, 1e-9):12,.0f} records/s")
    print(f"  bound by two cores at {2 * summary.records / cpu:,.0f} records/s; "
          f"{rate * cpu / 2 / summary.records:.2f} of it reached")
    print(f"  ledger {octets_out / summary.records:.0f} octets a record; writing and syncing as much alone takes "
          f"{write_s:.1f} s")
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


def _write_s(folder: Path, octets: int) -> float:
    """Seconds to write so many octets to one file and sync it."""
    block = os.urandom(1 << 20)
    started = time.perf_counter()
    with (folder / "probe.bin").open("wb") as file:
        for _ in range(max(octets >> 20, 1)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - started


def main() -> None:
    """Measure as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", default="voip-csv")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--subscribers", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--smoke", action="store_true", help="small, to see that it runs")
    given = parser.parse_args()
    if given.smoke:
        given.records, given.subscribers = 2_000, 200
    measure(given.format, given.records, given.subscribers, given.workers, given.batch_records, given.folder)


if __name__ == "__main__":
    main()
