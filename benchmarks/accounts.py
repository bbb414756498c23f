"""How long until a change of an account is in force: commands through a node's socket while Gy load runs.

    python -m benchmarks.accounts [--subscribers 1000000] [--rate 5000] [--each 100] [--sessions 0] [--smoke]

For each kind: the command goes out, is answered once it is durable, and then a Gy request of that subscriber is asked,
again and again until its answer agrees with the command (after `suspend` a refusal, after `top-up` units, after a SIM
swap the new IMSI and not the old one). Told are the command's own answer, and the whole time until that Gy answer;
`late` counts those whose first answer did not agree yet. At the end the command line, from its start to its end.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accounts_gateway import Answer, Gateway
from benchmarks.online import BEGIN, Reports, make_operator, sync_latency
from benchmarks.online_beside import COLUMNS, Beside, tell
from benchmarks.online_load import Load, run_timely
from benchmarks.online_restart import start
from pipelines.serve.home_socket import MOST_LINE, NAME, short
from pipelines.serve.scheduling import as_usual
from schemas.columns import U8
from schemas.timepoint import format_time

PATIENCE_S = 10.0
NEW_MSISDN, NEW_IMSI = 999_760_000_000, 1_019_000_000_000  # of nobody in the sample: other ranges
REFUSED, NO_CREDIT, UNKNOWN = 4010, 4012, 5030
Agrees = Callable[[Answer], bool]
CLI_TIMES = 10


class Node:
    """Its socket, as the command line uses it, without waiting in between."""

    async def connect(self, home: Path) -> None:
        """Open it."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short(home / "serve" / NAME) as name:
            connected.connect(name)
        self._reader, self._writer = await asyncio.open_unix_connection(sock=connected, limit=MOST_LINE)

    async def ask(self, **fields: Any) -> dict[str, Any]:
        """A frame and its answer."""
        self._writer.write(json.dumps({**fields, "octets": 0}).encode() + b"\n")
        told: dict[str, Any] = json.loads(await self._reader.readline())
        if "error" in told:
            raise SystemExit(f"{fields}: {told['error']}")
        return told

    async def command(self, kind: str, account_id: int, **more: Any) -> None:
        """Carried out and durable when this returns."""
        told = await self.ask(op="command", command={
            "id": f"bench-{uuid.uuid4()}", "time": format_time(time.time_ns() // 1000), "kind": kind,
            "account_id": account_id, **more})
        if told["status"] != "done":
            raise SystemExit(f"{kind} of account {account_id}: {told}")


def result(code: int) -> Agrees:
    """Agrees with an answer of this result, of the message or of its service."""
    return lambda answer: code in (answer.result, answer.service)


def known(answer: Answer) -> bool:
    """Somebody has this number."""
    return answer.result != UNKNOWN


def units(answer: Answer) -> bool:
    """Units were granted."""
    return answer.service == 2001 and answer.granted > 0


class Trials:
    """Kinds of changes, each tried several times on subscribers of its own; figures by kind."""

    def __init__(self, node: Node, gateway: Gateway, numbers: U8, each: int) -> None:
        self._node, self._gateway = node, gateway
        spread = np.linspace(0, len(numbers) - 1, 6 * each + 1).astype(int)[:-1].reshape(each, 6)
        self._existing = [[row.tobytes().decode() for row in numbers[places]] for places in spread]
        self._made = 0
        self.acknowledged: dict[str, list[float]] = {}
        self.in_force: dict[str, list[float]] = {}
        self.late: dict[str, int] = {}

    async def run(self) -> None:
        """All kinds, again and again: so each sees the whole stretch of load."""
        for existing in self._existing:
            await self._accounts_made()
            await self._accounts_there(existing)
            await asyncio.sleep(0)

    async def _try(self, kind: str, change: Awaitable[None], asked: Callable[[], Awaitable[Answer]], agrees: Agrees
                   ) -> None:
        began = time.perf_counter()
        await change
        acknowledged, times = time.perf_counter(), 1
        while not agrees(answer := await asked()):
            times += 1
            if time.perf_counter() - began > PATIENCE_S:
                raise SystemExit(f"{kind}: carried out {PATIENCE_S:.0f} s ago, and no answer agrees: {answer}")
        self.in_force.setdefault(kind, []).append(time.perf_counter() - began)
        self.acknowledged.setdefault(kind, []).append(acknowledged - began)
        self.late[kind] = self.late.get(kind, 0) + (times > 1)

    def _fresh(self) -> tuple[str, str]:
        self._made += 1
        return str(NEW_MSISDN + self._made), f"{NEW_IMSI + self._made:015d}"

    async def _create(self, account: int, service: int, msisdn: str, imsi: str) -> None:
        await self._node.command("account_create", account, currency="EUR", plan="prepaid-basic", payment="prepaid",
                                 time_zone="Europe/Vienna")
        await self._node.command("service_add", account, service_id=service, new_msisdn=msisdn, new_imsi=imsi)

    async def _accounts_made(self) -> None:
        """New ones, with no money: create, plan change, top-up, adjust, join and leave."""
        node, gateway, asked = self._node, self._gateway, await self._node.ask(op="defaults")
        account, service = int(asked["account_id"]), int(asked["service_id"])
        made = []
        for place in range(4):
            msisdn, imsi = self._fresh()
            session = gateway.session(msisdn)
            await self._try("create", self._create(account + place, service + place, msisdn, imsi),
                            session.request, known)
            made.append((account + place, session))
        (topped, first), (adjusted, second), (planned, third), (joining, fourth) = made
        for session in (first, second, third, fourth):
            if not result(NO_CREDIT)(await session.request()):
                raise SystemExit("an account without money was granted something")
        await self._try("top-up", node.command("top_up", topped, amount="5.00", currency="EUR"), first.request, units)
        await self._try("adjust", node.command("adjust", adjusted, amount="5.00", currency="EUR"), second.request,
                        units)
        await self._try("plan change", node.command("plan_change", planned, plan="prepaid-plus"), third.request, units)
        await self._try("join", node.command("share_join", joining, shared_account_id=topped), fourth.request, units)
        await self._try("leave", node.command("share_leave", joining), fourth.request, result(NO_CREDIT))

    async def _accounts_there(self, numbers: list[str]) -> None:
        """Subscribers that the operator's files have, spread over all of them."""
        node, gateway = self._node, self._gateway
        found = []
        for number in numbers:
            told = await node.ask(op="account", who=number, at_us=time.time_ns() // 1000)
            found.append(int(told["account"]["account_id"]))
        swapped, changed, ported_in, ported_out, suspended, ended = numbers
        (_, imsi), (new_number, _), (new_port, _) = self._fresh(), self._fresh(), self._fresh()
        await self._try("SIM swap", node.command("sim_swap", found[0], msisdn=swapped, new_imsi=imsi),
                        gateway.session(imsi, imsi=True).request, known)
        await self._try("number change", node.command("number_change", found[1], msisdn=changed, new_msisdn=new_number),
                        gateway.session(new_number).request, known)
        await self._try("port in", node.command("port_in", found[2], msisdn=ported_in, new_msisdn=new_port),
                        gateway.session(new_port).request, known)
        await self._try("port out", node.command("port_out", found[3], msisdn=ported_out),
                        gateway.session(ported_out).request, result(UNKNOWN))
        session = gateway.session(suspended)
        await self._try("suspend", node.command("state", found[4], state="barred"), session.request, result(REFUSED))
        await self._try("resume", node.command("state", found[4], state="active"), session.request,
                        lambda answer: answer.service in (2001, NO_CREDIT))
        await self._try("terminate", node.command("state", found[5], state="terminated"),
                        gateway.session(ended).request, result(UNKNOWN))

    def tell(self) -> None:
        """A line for each kind."""
        print(f"{'change':>14} {'times':>6} {'late':>5}   {'answered p50':>12} {'p99':>8} {'max ms':>8}   "
              f"{'in force p50':>12} {'p99':>8} {'max ms':>8}")
        for kind, took in self.in_force.items():
            told = [f"{1000 * value:.1f}" for times in (self.acknowledged[kind], took)
                    for value in (np.percentile(times, 50), np.percentile(times, 99), max(times))]
            print(f"{kind:>14} {len(took):>6} {self.late[kind]:>5}   {told[0]:>12} {told[1]:>8} {told[2]:>8}   "
                  f"{told[3]:>12} {told[4]:>8} {told[5]:>8}")


async def measure(addresses: dict[str, str], folder: Path, numbers: U8, given: argparse.Namespace) -> None:
    """Load and changes in one loop; then the command line beside the load."""
    port = int(addresses["gy"].rpartition(":")[2])
    load, gateway, node = Load(), Gateway(), Node()
    await load.connect(port)
    await gateway.connect(port)
    await node.connect(folder / "home")
    sessions = given.sessions or min(len(numbers), 200_000)
    mix, rate = Reports(numbers, sessions), min(BEGIN, given.rate)
    opened = await load.run(mix.begin, rate, sessions / rate, 120)
    print(f"{sessions:,} sessions opened: {opened.codes}", flush=True)
    stopped = asyncio.Event()

    async def go_on() -> None:
        print(f"\nGy meanwhile\n{COLUMNS}")
        while not stopped.is_set():
            tell(await load.run(mix.make, given.rate, given.seconds), "")

    running = asyncio.ensure_future(go_on())
    await asyncio.sleep(min(1.0, given.seconds / 2))
    trials = Trials(node, gateway, numbers, given.each)
    await trials.run()
    command_line = await _command_line(folder, numbers[0].tobytes().decode(), 2 if given.smoke else CLI_TIMES)
    stopped.set()
    await running
    print()
    trials.tell()
    print(f"\ntarifa account top-up, from its start to its end: {1000 * np.median(command_line):.0f} ms, longest "
          f"{1000 * max(command_line):.0f} ms", flush=True)


async def _command_line(folder: Path, number: str, times: int) -> list[float]:
    beside = Beside(folder, "")
    return [(await beside.call("account", "top-up", number, "1.00"))[0] for _ in range(times)]


def main(argv: list[str]) -> None:
    """Prints the figures."""
    options = argparse.ArgumentParser(prog="benchmarks.accounts")
    options.add_argument("--subscribers", type=int, default=1_000_000)
    options.add_argument("--sessions", type=int, default=0)
    options.add_argument("--rate", type=int, default=5_000)
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--each", type=int, default=100)
    options.add_argument("--smoke", action="store_true")
    given = options.parse_args(argv)
    if given.smoke:
        given.subscribers, given.rate, given.seconds, given.each = 2000, 200, 0.5, 2
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tarifa-accounts-")))
        numbers = make_operator(folder, given.subscribers)
        print(f"{given.subscribers:,} subscribers, load {os.getloadavg()[0]:.1f}; fdatasync of 64 KiB: "
              "{:.2f} ms, 99 % {:.2f} ms".format(*sync_latency(folder)), flush=True)
        server, addresses, took = start(folder)
        print(f"served {took:.1f} s after its start", flush=True)
        try:
            run_timely(measure(addresses, folder, numbers, given))
        finally:
            as_usual()
            server.send_signal(signal.SIGTERM)
            server.wait(600)


if __name__ == "__main__":
    main(sys.argv[1:])
