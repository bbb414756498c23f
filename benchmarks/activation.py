"""What requests wait for while tariffs are activated: the node in-process with its journal, and paced requests, timed.

    python -m benchmarks.activation [--subscribers 1000000] [--rate 10000] [--prefixes 50000] [--times 4] [--smoke]

prefixes: of a deck beside the sample operator's. Prints latency before, and during each activation (from the first
step of reading the folder to the answer that it is in force), the time for which ticks stopped, and how long the
activation took in all.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from benchmarks.online import make_operator, requests_of, sync_latency
from pipelines.home import Home, Input
from pipelines.serve.activation import Activation
from pipelines.serve.node import OnlineNode
from pipelines.serve.service import for_latency
from schemas.columns import Cells
from schemas.jit import compile_all
from schemas.online import REQUEST, RequestKind

ROWS = 20


def edit(folder: Path, price: str) -> None:
    """Another price of data in every version."""
    for path in (folder / "operator" / "tariffs").glob("*.yaml"):
        version = yaml.safe_load(path.read_text())
        version["rates"]["megabytes"]["slots"][0]["price"] = price
        path.write_text(yaml.safe_dump(version, sort_keys=False))


def longer_decks(folder: Path, prefixes: int) -> None:
    """Prefixes more, in the zones that there are."""
    for path in (folder / "operator" / "tariffs" / "decks").glob("*.csv"):
        lines = path.read_text().splitlines()
        zone = lines[1].rpartition(",")[2]
        known = {line.partition(",")[0] for line in lines}
        more = [f"{number},{zone}" for number in range(4_000_000, 4_000_000 + prefixes) if str(number) not in known]
        path.write_text("\n".join(lines + more) + "\n")


class Pace:
    """Blocks of requests at a rate, whatever comes back; `took`: (when due, seconds until it was durable)."""

    def __init__(self, node: OnlineNode, blocks: list[Cells], rate: int) -> None:
        self._node, self._blocks, self._every = node, blocks, ROWS / rate
        self._number = 1
        self.took: list[tuple[float, float]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        tasks: set[asyncio.Task[None]] = set()
        due, turn = time.perf_counter(), 0
        while not stop.is_set():
            while due <= time.perf_counter():
                if turn % len(self._blocks) == 0:
                    self._number += 1
                cells = Cells(REQUEST, self._blocks[turn % len(self._blocks)].matrix.copy())
                cells["number"] = self._number
                task = asyncio.ensure_future(self._one(cells, due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                due, turn = due + self._every, turn + 1
            await asyncio.sleep(0.0005)
        await asyncio.gather(*tasks)

    async def _one(self, cells: Cells, due: float) -> None:
        await self._node.request(cells)
        self.took.append((due, time.perf_counter() - due))

    def said(self, began: float, ended: float) -> str:
        """Latency of what was due between two instants."""
        ms = 1000 * np.array([took for due, took in self.took if began <= due < ended])
        return "p50 {:.1f}, p99 {:.1f}, largest {:.1f} ms".format(*np.percentile(ms, (50, 99)), ms.max())


async def go(node: OnlineNode, folder: Path, blocks: list[Cells], rate: int, times: int) -> None:
    """Paced requests throughout; activations, then rollbacks, some seconds apart."""
    await node.start()
    await asyncio.to_thread(compile_all)
    for_latency()
    first = [Cells(REQUEST, each.matrix.copy()) for each in blocks]
    for each in first:
        each["number"], each["kind"], each["used"] = 0, RequestKind.INITIAL, -1
    await asyncio.gather(*(node.request(each) for each in first))
    activation, pace, stop = Activation(node), Pace(node, blocks, rate), asyncio.Event()
    running = asyncio.ensure_future(pace.run(stop))
    await asyncio.sleep(3)
    began = time.perf_counter()
    await asyncio.sleep(3)
    print(f"before: {pace.said(began, time.perf_counter())}", flush=True)
    for number in range(times):
        back = number % 2 == 1
        if not back:
            edit(folder, f"0.0{2 + number}")
        await asyncio.sleep(1)
        began = time.perf_counter()
        told = await activation.activate(rollback=back)
        ended = time.perf_counter()
        await asyncio.sleep(0.5)
        print(f"{'rollback' if back else 'activation'}: {told['seconds']:.2f} s, ticks stopped {told['switch_ms']} ms; "
              f"requests during it {pace.said(began, ended + 0.05)}; the half second after "
              f"{pace.said(ended + 0.05, time.perf_counter())}", flush=True)
    stop.set()
    await running
    await node.stop()


def main(argv: list[str]) -> None:
    """Prints the figures."""
    options = argparse.ArgumentParser(prog="benchmarks.activation")
    options.add_argument("--subscribers", type=int, default=1_000_000)
    options.add_argument("--rate", type=int, default=10_000)
    options.add_argument("--prefixes", type=int, default=50_000)
    options.add_argument("--times", type=int, default=4)
    options.add_argument("--smoke", action="store_true")
    given = options.parse_args(argv)
    if given.smoke:
        given.subscribers, given.rate, given.prefixes, given.times = 2000, 1000, 1000, 2
    with tempfile.TemporaryDirectory(prefix="tarifa-activation-") as root:
        folder = Path(root)
        numbers = make_operator(folder, given.subscribers)
        longer_decks(folder, given.prefixes)
        print(f"{given.subscribers:,} subscribers, {given.prefixes:,} prefixes more, {given.rate:,} requests/s; "
              "fdatasync of 64 KiB: {:.2f} ms, 99 % {:.2f} ms".format(*sync_latency(folder)), flush=True)
        node = OnlineNode(Input(folder), Home(folder / "home"))
        draw = np.random.default_rng(3)
        sessions = draw.permutation(len(numbers))[:min(len(numbers) // ROWS, 2000) * ROWS].reshape(-1, ROWS)
        blocks = [requests_of(numbers, node.keys.token_key, each, RequestKind.UPDATE, 1) for each in sessions]
        try:
            asyncio.run(go(node, folder, blocks, given.rate, given.times))
        finally:
            node.close()


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
