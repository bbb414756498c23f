"""Damaged messages by the million for `tarifa serve`, over Gy and Nchf: it neither stops nor grows.

    make fuzz [MESSAGES=1000000] [SEED=1] [LIMIT_S=3600]

Half of the messages are Diameter, half JSON over HTTP/2, to one process with journal and ledger, whose subscribers
exist: what is damaged and still makes sense is charged. Behind each block a request that is sound must be served.
Prints what the answers were and what memory the node's processes have, as it goes; ends with the ledger's controls.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.online import make_operator
from pipelines.controls import run_controls
from pipelines.home import Home
from pipelines.ledger import Ledger
from pipelines.ledger.sql import asking
from schemas.columns import U8
from tests.fuzz.gy import GyFuzz, material_of
from tests.fuzz.nchf import NchfFuzz
from tests.served import Served

SUBSCRIBERS = 20_000
NCHF_BLOCK, GY_BLOCKS, ALONE = 10_000, 20, 100
SUPERVISION_S, REMEMBER_S = 60, 30  # so that sessions which nobody ends are soon forgotten


def memory_mib(process: int) -> float:
    """What a process and its children have."""
    def own(number: int) -> int:
        status = Path(f"/proc/{number}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return (own(process) + sum(own(int(each)) for each in children)) / 1024


def make_site(folder: Path) -> tuple[Path, U8]:
    """An operator who serves both interfaces, sessions being short; subscribers' numbers."""
    numbers = make_operator(folder, SUBSCRIBERS)
    for name, more in (("operator.yaml", {"online": {"supervision_s": SUPERVISION_S, "remember_s": REMEMBER_S}}),
                       ("serve.yaml", {"nchf": {"listen": "127.0.0.1:0", "open_on_loopback": True}})):
        path = folder / "operator" / name
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | more, sort_keys=False))
    return folder / "home", numbers


def main(messages: int, seed: int, seconds: float = float("inf")) -> int:
    """Returns 0 when all held."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home, numbers = make_site(folder)
        with Served(folder, home) as served:
            nchf_port = next(int(line["address"].rpartition(":")[2]) for line in served.said
                             if line.get("front_end") == "nchf")
            gy = GyFuzz(served.port, numbers, material_of(), seed)
            nchf = NchfFuzz(nchf_port, [row.tobytes().decode() for row in numbers], seed)
            said = 0
            memory: list[tuple[int, float]] = []
            spent = [0.0, 0.0]
            while gy.sent + nchf.sent < messages and time.perf_counter() - began < seconds:
                started, which = time.perf_counter(), gy.sent > nchf.sent
                if not which:
                    for _ in range(GY_BLOCKS):
                        gy.block()
                    gy.wounded(ALONE)
                else:
                    nchf.block(NCHF_BLOCK)
                spent[which] += time.perf_counter() - started
                assert served.runs, "the node has ended"
                memory.append((gy.sent + nchf.sent, memory_mib(served.process_id)))
                if memory[-1][0] >= said + messages // 100:
                    said = memory[-1][0]
                    print(f"{said:,} messages, {memory[-1][1]:,.0f} MiB, {time.perf_counter() - began:,.0f} s, of them "
                          f"{spent[0]:,.0f} Diameter and {spent[1]:,.0f} Nchf", flush=True)
            gy.close()
            served.stop()
        print(f"Diameter: {gy.sent:,} messages, {gy.alone:,} of them each on a connection of its own; {gy.closed} "
              f"other connections closed; answers by result code (-1: of another command): "
              f"{dict(sorted(gy.codes.items()))}")
        print(f"Nchf: {nchf.sent:,} bodies; answers by status: "
              f"{dict(sorted(nchf.statuses.items()))}")
        half = [mib for at, mib in memory if at >= memory[-1][0] / 2]
        print(f"memory: {memory[0][1]:,.0f} MiB at first, {min(half):,.0f} to {max(half):,.0f} in the second half, "
              f"{half[-1]:,.0f} at the end")
        with asking(Ledger.open(Home(home).ledger)) as connection:
            broken = {outcome.control.name for outcome in run_controls(connection) if outcome.red}
        print(f"laws broken: {sorted(broken)}; {time.perf_counter() - began:,.0f} s")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main(int(os.environ.get("MESSAGES") or 1_000_000), int(os.environ.get("SEED") or 1),
                  float(os.environ.get("LIMIT_S") or "inf")))
