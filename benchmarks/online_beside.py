"""What requests over loopback wait for while something else goes on: a run that charges a batch, tariffs activated and
rolled back, snapshots, and more requests than can be answered.
"""

import asyncio
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml

from benchmarks.online_load import Load, Measured
from pipelines.serve.scheduling import as_usual
from schemas.columns import U8

HEAD = "call_id,node,sequence,direction,served,calling,called,setup_time,answer_time,release_time,duration,cause\n"
COLUMNS = (f"{'req/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'p99.9':>8} {'no answ.':>8} {'busy':>7} {'refused':>8} "
           f"{'late ms':>8} {'stolen ms':>9}")
CALLS = 200_000
WINDOW_S = 5.0


def tell(measured: Measured, what: str) -> None:
    """A line of the table; where it is long, the worst of its stretches too."""
    busy = measured.codes.get(3004, 0)
    refused = sum(n for code, n in measured.codes.items() if code not in (0, 2001, 3004))
    if busy:
        what += (f"; of those let in 50 % {measured.accepted_at(50):.1f} ms, 99 % {measured.accepted_at(99):.1f} ms; "
                 f"of those due later than the first second {measured.accepted_at(50, 1.0):.1f} and "
                 f"{measured.accepted_at(99, 1.0):.1f}")
    stretches = measured.stretches(WINDOW_S)
    worst = f"; worst {WINDOW_S:.0f} s: 99 % {max(stretches):.1f}" if len(stretches) > 3 else ""
    print(f"{measured.rate:>9,} {measured.at(50):8.2f} {measured.at(99):8.2f} {measured.at(99.9):8.2f} "
          f"{measured.codes.get(0, 0):>8,} {busy:>7,} {refused:>8,} {1000 * measured.late_s:8.1f} "
          f"{1000 * measured.stolen_s:9.0f}  {what}{worst}",
          flush=True)


def put_calls(folder: Path, numbers: U8, calls: int) -> None:
    """A file of VoIP calls of the first subscribers, an hour ago."""
    at = time.gmtime(time.time() - 3600)
    day, hour = time.strftime("%Y-%m-%d", at), time.strftime("%H", at)
    texts = [row.tobytes().decode() for row in numbers[:min(calls, len(numbers))]]
    lines = [f"c{n}@voip,voip-01,{n + 1},originating,+{texts[n % len(texts)]},+{texts[n % len(texts)]},+33123456789,"
             f"{day}T{hour}:00:00Z,{day}T{hour}:00:00Z,{day}T{hour}:01:00Z,60,16\n" for n in range(calls)]
    inbox = folder / "inbox" / "voip-01"
    inbox.mkdir(parents=True, exist_ok=True)
    name = f"voip-01_000001_{time.strftime('%Y%m%d%H%M%S', at)}.csv"
    (inbox / name).write_text(HEAD + "".join(lines) + f"TRAILER,{calls}\n")


def dearer(folder: Path) -> None:
    """Another price of data in every version of the tariffs."""
    for path in (folder / "operator" / "tariffs").glob("*.yaml"):
        version = yaml.safe_load(path.read_text())
        version["rates"]["megabytes"]["slots"][0]["price"] = "0.0123"
        path.write_text(yaml.safe_dump(version, sort_keys=False))


class Beside:
    """The command line beside a node that serves `folder`."""

    def __init__(self, folder: Path, metrics: str) -> None:
        self._folder, self._metrics = folder, metrics

    async def call(self, *arguments: str) -> tuple[float, str]:
        """Seconds that a command took, and the last that it said."""
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pipelines.apps.cli", *arguments, "--input", str(self._folder), "--home",
            str(self._folder / "home"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=as_usual)  # what the load has for itself, its commands have not
        said, _ = await process.communicate()
        if process.returncode:
            raise SystemExit(said.decode())
        lines = [line for line in said.decode().splitlines() if line.strip()]
        return time.perf_counter() - began, lines[-1].strip() if lines else ""

    def figure(self, name: str) -> float:
        """One of the node's metrics, all its labels together."""
        with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


async def measure_beside(load: Load, make, rate: int, seconds: float, sustain: float,  # type: ignore[no-untyped-def]
                         folder: Path, numbers: U8, metrics: str) -> None:
    """Lines of the table at `rate`, each beside something."""
    beside = Beside(folder, metrics)
    put_calls(folder, numbers, min(CALLS, 20 * len(numbers)))

    async def during(what: str, *arguments: str) -> None:
        command = asyncio.ensure_future(beside.call(*arguments))
        measured = await load.run(make, rate, seconds)
        took, said = await command
        tell(measured, f"{what}, which took {took:.1f} s ({said})")

    await during("beside a run that charges a batch", "run")
    dearer(folder)
    await during("tariffs activated", "tariff", "activate")
    await during("tariffs rolled back", "tariff", "activate", "--rollback")
    if sustain:
        before = beside.figure("tarifa_snapshots_total")
        measured = await load.run(make, rate, sustain)
        lag = beside.figure("tarifa_uncommitted_rows")
        tell(measured, f"sustained {sustain:.0f} s, {beside.figure('tarifa_snapshots_total') - before:.0f} snapshots, "
             f"{lag:,.0f} rows uncommitted at the end")


async def overload(load: Load, make, most: int, calm: int, seconds: float, metrics: str) -> None:  # type: ignore[no-untyped-def]
    """More than can be answered, and what comes after it."""
    beside = Beside(Path(), metrics)
    octets = beside.figure('tarifa_front_end_total{front_end="gy",what="exposed_octets"}')
    tell(await load.run(make, most, seconds), "overload")
    exposed = beside.figure('tarifa_front_end_total{front_end="gy",what="exposed_octets"}') - octets
    tell(await load.run(make, calm, seconds), f"after it; {exposed:,.0f} octets reported by requests that were shed")
