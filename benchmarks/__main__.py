"""All benchmarks, one after the other, each in a process of its own: `make bench`, or `python -m benchmarks --smoke`.

Figures of a run belong together: these machines are noisy, so only ratios within one run may be compared.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time

JOBS = (
    ("end_to_end", "--format", "voip-csv"),
    ("end_to_end", "--format", "ts32298-cs"),
    ("end_to_end", "--format", "ts32298-gprs"),
    ("text_formats",),
    ("cold_start",),
    ("rating",),
    ("exactness",),
    ("ledger",),
    ("duplicates",),
    ("diameter",),
    ("nchf",),
)


def main() -> None:
    """Compile time apart, then every job."""
    smoke = "--smoke" in sys.argv[1:]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}")
    if not smoke:
        with tempfile.TemporaryDirectory() as cache:
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "pipelines.warm"], check=True, stdout=subprocess.DEVNULL,
                           env={**os.environ, "TARIFA_CACHE": cache})
            print(f"compiling all kernels, once per machine: {time.perf_counter() - started:.0f} s, two processes")
    for job in JOBS:
        print(f"\n== {' '.join(job)}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{job[0]}", *job[1:], *(["--smoke"] if smoke else [])],
                       check=True)


if __name__ == "__main__":
    main()
