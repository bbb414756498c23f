"""A node that was killed, started again with nothing of its files in memory: where its seconds go, beside a cold read.

    python -m benchmarks.online_restart FOLDER

FOLDER: one in which `benchmarks.online --keep` left operator and home.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from benchmarks.online_load import Load, Template
from schemas.columns import U8

PIECE = 4 << 20


def start(folder: Path) -> tuple["subprocess.Popen[bytes]", dict[str, str], float]:
    """A node that serves, where its front ends listen, and the seconds until they do."""
    began, path = time.perf_counter(), folder / "log"
    with path.open("wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "pipelines.apps.cli", "serve", "--input", str(folder),
                                   "--home", str(folder / "home")], stdout=log, stderr=log)
    while True:
        time.sleep(0.05)
        if server.poll() is not None:
            raise SystemExit(path.read_text())
        lines = _said(folder)
        if lines and "ready" in lines[-1].values():
            return server, {line["front_end"]: line["address"] for line in lines if "front_end" in line}, \
                time.perf_counter() - began


async def first_answer(addresses: dict[str, str], numbers: U8) -> float:
    """Seconds until a new session is answered."""
    began, load = time.perf_counter(), Load()
    await load.connect(int(addresses["gy"].rpartition(":")[2]))
    one = Template(1, 1)
    await load.run(lambda hop: (one.batch(hop + (1 << 39), numbers[:1], hop, hop), one.octets), 1, 1)
    return time.perf_counter() - began


def again(folder: Path, numbers: U8) -> tuple["subprocess.Popen[bytes]", dict[str, str]]:
    """Start a node that was killed, and print how long it took, from files that nobody has in memory."""
    files = _large(folder / "home")
    gigabytes, cold_s = cold_read(files)
    _forget(files)
    server, addresses, took = start(folder)
    answered = took + asyncio.run(first_answer(addresses, numbers))
    recovered = next(line for line in _said(folder) if line["event"] == "recovered")
    memory = [line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if "VmRSS" in line]
    ticks = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    processor_s = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
    print(f"killed, and started again: home opened in {recovered['seconds']:.1f} s, {recovered['events']:,} events of "
          f"the journal behind the ledger among them; listens after {took:.1f} s, answers after {answered:.1f} s, of "
          f"processor {processor_s:.1f} s\nsnapshot and inventory, {gigabytes:.2f} GB, read cold: {cold_s:.1f} s; "
          f"resident {int(memory[0].split()[1]) / 1e6:.1f} GB; load {os.getloadavg()[0]:.1f}", flush=True)
    return server, addresses


def cold_read(files: list[Path]) -> tuple[float, float]:
    """Gigabytes of files, and the seconds that reading them takes when none is in memory."""
    _forget(files)
    began, octets, into = time.perf_counter(), 0, bytearray(PIECE)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(into):
                octets += count
    return octets / 1e9, time.perf_counter() - began


def _large(home: Path) -> list[Path]:
    return [*sorted((home / "snapshots").glob("*.snapshot"))[-1:], *(home / "compiled").glob("*.snapshot")]


def _forget(files: list[Path]) -> None:
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def _said(folder: Path) -> list[dict[str, str]]:
    return [yaml.safe_load(line) for line in (folder / "log").read_text().splitlines() if line.endswith("}")]


def main() -> None:
    """Start, kill and start again."""
    folder = Path(sys.argv[1])
    numbers = np.load(folder / "numbers.npy")
    server, _ = again(folder, numbers)
    server.kill()
    server.wait()
    server, _ = again(folder, numbers)
    server.send_signal(signal.SIGTERM)
    server.wait(600)


if __name__ == "__main__":
    main()
