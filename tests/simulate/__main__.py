"""`make simulate SEED=7` replays one seed; `make simulate SEEDS=1000:2000` goes through many, on all processors or on
as many as JOBS says, and for no longer than LIMIT_S seconds."""

import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulate.node import Report, simulate
from tests.simulate.world import make_template


def _one(seed: int, template: Path, root: Path) -> Report | str:
    try:
        return simulate(seed, template, root / str(seed))
    except BaseException as error:
        return f"seed {seed}: {type(error).__name__}: {error}\n  make simulate SEED={seed}"


def main(first: int, stop: int, limit_s: float) -> int:
    """Returns how many seeds broke a law."""
    began, broken = time.perf_counter(), 0
    total = Report(first)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        template = make_template(Path(folder) / "template")
        if stop == first + 1:
            sys.stdout.write(f"{simulate(first, template, Path(folder) / str(first))}\n")
            return 0
        with ProcessPoolExecutor(int(os.environ.get("JOBS") or 0) or os.cpu_count()) as workers:
            jobs = [workers.submit(_one, seed, template, Path(folder)) for seed in range(first, stop)]
            for number, job in enumerate(jobs, 1):
                if time.perf_counter() - began > limit_s:
                    workers.shutdown(wait=False, cancel_futures=True)
                    stop = first + number - 1
                    break
                report = job.result()
                if isinstance(report, str):
                    broken += 1
                    sys.stdout.write(report + "\n")
                    continue
                for name in ("lives", "requests", "replies", "repeated", "entries", "activated"):
                    setattr(total, name, getattr(total, name) + getattr(report, name))
                total.cuts += report.cuts
                total.commands.update(report.commands)
                if number % 50 == 0:
                    sys.stdout.write(f"{number} of {stop - first} seeds, {broken} broken, "
                                     f"{time.perf_counter() - began:.0f} s\n")
                    sys.stdout.flush()
    steps = sorted(set(total.cuts))
    sys.stdout.write(f"{stop - first} seeds, {broken} broken: {total.lives} lives, power cut {len(total.cuts)} times "
                     f"at {len(steps)} kinds of steps ({', '.join(steps)}), {total.requests} requests, {total.replies} "
                     f"replies, {total.repeated} of them repeated, {total.requests - total.replies} lost, "
                     f"{total.entries} journal entries, tariffs activated {total.activated} times, "
                     f"{time.perf_counter() - began:.0f} s\n")
    sys.stdout.write("commands: " + ", ".join(f"{n} {what}" for what, n in sorted(total.commands.items())) + "\n")
    return broken


if __name__ == "__main__":
    given = os.environ.get("SEED") or os.environ.get("SEEDS") or "1000:2000"
    low, _, high = given.partition(":")
    sys.exit(1 if main(int(low), int(high) if high else int(low) + 1, float(os.environ.get("LIMIT_S") or "inf")) else 0)
