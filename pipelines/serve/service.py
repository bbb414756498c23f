"""A node with its front ends, from start to stop: what `tarifa serve` runs.

Start: 1 the home is opened and recovered, 2 kernels are loaded, 3 the node begins, 4 front ends listen. Stop, by a
signal: 1 front ends take no more and answer what they have, 2 the node commits, leaves balances and a snapshot, 3 the
home is given back.
"""

import asyncio
import gc
import signal
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Protocol

from pipelines.balance_api.front import BalanceFront
from pipelines.diameter.base import Identity
from pipelines.diameter.dictionary import CREDIT_CONTROL, SY
from pipelines.diameter.overload import BeginnersFirst
from pipelines.diameter.server import DiameterServer
from pipelines.durable import Disk, put_if_absent
from pipelines.home import Home, Input
from pipelines.nchf.frontend import NchfService, read_section
from pipelines.serve.config import Gy, Serve, address, load_serve, tls_context
from pipelines.serve.gy import GyFrontEnd
from pipelines.serve.handoff import HandOff
from pipelines.serve.log import Log
from pipelines.serve.node import OnlineNode, Pace
from pipelines.serve.open_sessions import OpenSessions
from pipelines.serve.operate import OperateFront
from pipelines.serve.scheduling import as_usual, wake_soon
from pipelines.serve.starting import Starting
from pipelines.serve.sy import SyFrontEnd
from rating.arrays import touch
from schemas.columns import I64
from schemas.errors import LedgerError
from schemas.jit import compile_all

REPORT_S = 60.0
COLLECT_AFTER = (50_000, 20, 100)  # objects more than before; the usual 700 go through all of a second's many times
ORIGIN_STATE = "origin_state"  # file of the home's folder `serve`
SWITCH_S = 0.00002  # of the interpreter between threads: every kernel lets it go; the usual 5 ms are those of an answer


class FrontEnd(Protocol):
    """Something that listens."""

    name: str

    async def start(self) -> str:
        """Listen; returns the address."""

    async def stop(self) -> None:
        """Answer what was received, and close."""

    def check(self) -> None:
        """Raise what went wrong, if something did."""


class GyService:
    """Diameter before a node: credit control, and spending limits where there is a section for them."""

    name = "gy"

    def __init__(self, node: OnlineNode, serve: Serve, gy: Gy) -> None:
        self._gy, self._operator = gy, node.source.operator
        folder = node.home.root / "serve"
        self._sessions = OpenSessions(folder / "final_units.jsonl")
        self.front = GyFrontEnd(node, self._sessions)
        self.sy = None
        if serve.sy is not None:
            self.sy = SyFrontEnd(node, folder / "sy_subscriptions.log", serve.sy.subscriptions)
        applications = (CREDIT_CONTROL,) if self.sy is None else (CREDIT_CONTROL, SY)
        identity = Identity(serve.identity.host.lower(), serve.identity.realm.lower(), origin_state(node.home),
                            applications=applications)
        peers = (*gy.peers, *(serve.sy.peers if serve.sy is not None else ()))
        self.server = DiameterServer(
            identity, frozenset((p.host.lower(), p.realm.lower()) for p in peers),
            self.front.handle, shed=BeginnersFirst(gy.initial, gy.update, lambda: node.waiting),
            handlers={} if self.sy is None else {SY: self.sy.handle})
        for front in (self.front, self.sy):
            if front is not None:
                front.serve_with(self.server)

    async def start(self) -> str:
        """Listen; returns the address."""
        host, port = address(self._gy.listen, "gy.listen", True)
        tls = None if self._gy.tls is None else tls_context(self._gy.tls, self._operator)
        listening = f"{host}:{await self.server.start(host, port, tls)}"
        if self.sy is not None:
            self.sy.watch.start()
        return listening

    async def stop(self) -> None:
        """Answer what was received, and close."""
        try:
            await self.server.stop()
        finally:
            self._sessions.save()
            if self.sy is not None:
                await self.sy.watch.stop()

    def check(self) -> None:
        """Raise what went wrong; keep what a restart is to know."""
        if self.server.failure is not None:
            raise self.server.failure
        if self.sy is not None:
            self.sy.watch.check()
        self._sessions.save_behind()

    def counts(self) -> dict[str, int]:
        """For metrics."""
        found = asdict(self.server.counters) | {
            "connections": len(self.server.connections), "unanswered": self.server.unanswered}
        if self.sy is not None:
            watch = self.sy.watch
            found |= {"subscriptions": len(watch.subscriptions), "notified": watch.told, "not_notified": watch.not_told}
        return found


def origin_state(home: Home) -> int:
    """Origin-State-Id: made with the home and never changed, since no session is ever lost with a process."""
    path = home.root / "serve" / ORIGIN_STATE
    disk = Disk()
    if not path.exists():
        disk.make_dir(path.parent)
        put_if_absent(disk, path, b"%d\n" % int(time.time()), "serve.origin_state")
    try:
        return int(path.read_text())
    except ValueError:
        raise LedgerError(f"{path} is damaged", "a whole number", "remove it: clients then drop their sessions"
                          ) from None


def front_ends(node: OnlineNode, serve: Serve) -> list[FrontEnd]:
    """Those that serve.yaml has a section for."""
    found: list[FrontEnd] = [HandOff(node)]
    if serve.gy is not None:
        found.append(GyService(node, serve, serve.gy))
    if serve.nchf is not None:
        found.append(NchfService(node, serve.nchf))
    if serve.api is not None:
        found.append(BalanceFront(node, serve.api))
    if serve.operate is not None:
        counts = {each.name: each.counts for each in found if isinstance(each, GyService)}
        found.append(OperateFront(node, serve.operate, counts))
    return found


async def run_service(source: Input, home: Home, log: Log, stop: asyncio.Event | None = None,
                      started: Callable[[OnlineNode, list[FrontEnd]], Awaitable[None]] | None = None) -> None:
    """Serve until a signal comes or `stop` is set. Raises what made the node fail."""
    serve = load_serve(source.operator)
    if serve.nchf is not None:
        read_section(serve.nchf).settings(source.operator)  # before the home is opened, which may take a minute
    began = time.perf_counter()
    with Starting(log) as doing:
        node = await _opened(source, home, serve, log, doing)
    stop = stop or asyncio.Event()
    running: list[FrontEnd] = []
    try:
        for_latency(node, serve.expect_sessions)
        node.on_switch.append(lambda now: log("activated", reference=now.content_hash[:12],
                                              tariffs=now.tariffs.content_hash[:12], position=node.position))
        await node.start()
        for signum in (signal.SIGTERM, signal.SIGINT):
            with suppress(ValueError, RuntimeError):  # not the main thread
                asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        for each in front_ends(node, serve):
            running.append(each)
            log("listening", front_end=each.name, address=await each.start())
        log("ready", seconds=round(time.perf_counter() - began, 3))
        if started is not None:
            await started(node, running)
        await _until(stop, node, running, log)
    finally:
        try:
            await _stop(node, running, log)
        finally:
            node.close()
            gc.unfreeze()  # else nobody takes apart at the end what libraries in C++ then count as leaked


async def _opened(source: Input, home: Home, serve: Serve, log: Log, doing: Starting) -> OnlineNode:
    """Steps 1 and 2 of a start, at the same time: kernels are loaded while the disk gives what the home holds."""
    warming = threading.Thread(target=compile_all, name="kernels", daemon=True)
    warming.start()
    node = OnlineNode(source, home, doing=doing, pace=Pace(
        commit_s=serve.commit_s, snapshot_rows=serve.snapshot_rows, stage_apart=True))
    try:
        log("recovered", seconds=round(node.recovered_s, 3), events=node.recovered_events, accounts=len(node.book),
            open_sessions=node.book.online.open, position=node.position, reference=node.reference.content_hash[:12],
            tariffs=node.reference.tariffs.content_hash[:12])
        doing("kernels")
        await asyncio.to_thread(warming.join)
        await asyncio.to_thread(compile_all)  # what is left of them: the first request is not to wait
    except BaseException:
        node.close()
        raise
    return node


def for_latency(node: OnlineNode, expect_sessions: int | None = None) -> None:
    """Nothing that grows is to stop the loop for it, nor wait for a thread longer than it must; and nobody goes through
    what is loaded once for all, or through what is still young all the time.

    Pages of what is expected are touched by a thread, while the first requests are answered: of millions of sessions
    they take seconds. What is hashed moves there when they are at hand.
    """
    larger = node.book.expect_beside(len(node.book) // 4 if expect_sessions is None else expect_sessions,
                                     node.rules.remember_answers)
    wake_soon()
    threading.Thread(target=_touch_all, name="pages", daemon=True, args=(
        larger, node.book.tables()[2:], asyncio.get_running_loop(), weakref.ref(node))).start()
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _touch_all(larger: tuple[I64, I64], others: Sequence[I64], loop: asyncio.AbstractEventLoop,
               known: "weakref.ref[OnlineNode]") -> None:
    """The thread may outlive the node, and must not keep it."""
    def move() -> None:
        node = known()
        if node is not None and node.running:
            node.book.move_to(*larger)

    as_usual()
    _touch(larger)
    with suppress(RuntimeError):  # it has stopped meanwhile
        loop.call_soon_threadsafe(move)
    _touch(others)


def _touch(tables: Sequence[I64]) -> None:
    for table in tables:
        for _ in touch(table):
            pass


async def _until(stop: asyncio.Event, node: OnlineNode, running: list[FrontEnd], log: Log) -> None:
    """Look after what runs, once a second."""
    reported = time.monotonic()
    waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(node.failed.wait())]
    try:
        while not any(w.done() for w in waits):
            await asyncio.wait(waits, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            for each in running:
                each.check()
            if time.monotonic() - reported >= REPORT_S:
                reported = time.monotonic()
                log("running", **node.figures())
    finally:
        for wait in waits:
            wait.cancel()


async def _stop(node: OnlineNode, running: list[FrontEnd], log: Log) -> None:
    began = time.perf_counter()
    log("stopping")
    wrong: BaseException | None = None
    for each in running:
        try:
            await each.stop()
        except BaseException as error:
            wrong = wrong or error
    try:
        await node.stop()
    except BaseException as error:
        wrong = error
    if wrong is not None:
        log("failed", error=f"{type(wrong).__name__}: {wrong}")
        raise wrong
    log("stopped", seconds=round(time.perf_counter() - began, 3), position=node.position)
