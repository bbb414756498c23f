"""How long the command line takes before it does anything: `tarifa --help`, and the quote of a few events.

Python's bytecode and the kernels are compiled before, so this is what an operator waits for each time: imports, those
kernels that are needed read back from the cache, a small tariff. The bar is two seconds of wall time; processor time
says how much of it was the machine's load.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARIFF = Path(__file__).resolve().parent.parent / "reference_data" / "tariffs" / "examples"
EVENTS = (
    {"plan": "prepaid-basic", "service": "voice", "time": "2026-06-01T12:00:00", "duration": 61,
     "called": "+4930123456"},
    {"plan": "prepaid-basic", "service": "sms", "time": "2026-06-01T12:01:00", "quantity": 1, "called": "+4915112345"})
BAR_S = 2.0


def measure(*arguments: str, turns: int, bytecode: str) -> tuple[float, float]:
    """(wall, processor) seconds of a call of the command line, the best of so many after a first one."""
    taken = []
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(turns + 1):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", "pipelines.apps.cli", *arguments], check=True, stdout=subprocess.DEVNULL,
                       env={**kept, "PYTHONPYCACHEPREFIX": bytecode})
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return min(taken[1:])


def main() -> None:
    """One line for each call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    turns = 1 if parser.parse_args().smoke else 5
    print(f"load {os.getloadavg()[0]:.1f}, best of {turns}, bar {BAR_S:.1f} s of wall time")
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        events.write_text("".join(json.dumps(event) + "\n" for event in EVENTS), encoding="utf-8")
        for arguments in (("--help",), ("quote", "--tariff", str(TARIFF), "--events", str(events), "--format", "json")):
            wall, processor = measure(*arguments, turns=turns, bytecode=folder)
            print(f"tarifa {arguments[0]:<8} {wall:5.2f} s of wall time, {processor:5.2f} s of processor")


if __name__ == "__main__":
    main()
