"""A Diameter node that is called: connections, capabilities, ticks of requests for a handler, answers when durable.

A tick takes all that was received on all connections, parses it at once and hands the sound requests to the handler.
Its answers go back when what it returned is done, while the next tick fills. Nothing here knows a balance.
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np

from pipelines.diameter import base, ticks
from pipelines.diameter.base import Identity
from pipelines.diameter.columns import MESSAGE
from pipelines.diameter.connection import Connection, State
from pipelines.diameter.encode import NO_TEXTS, Answers, Encoded, answers, encode_answers, identity_avps
from pipelines.diameter.kernels.check import APART, BAD, GOOD, KINDS, UNKNOWN, kinds_nb
from pipelines.diameter.kernels.route import route_nb
from pipelines.diameter.outgoing import Outgoing
from pipelines.diameter.overload import exposed
from pipelines.diameter.parse import Limits, Parsed, parse
from pipelines.diameter.results import Command, Result
from pipelines.diameter.ticks import Mask
from schemas.columns import I64, U8, Cells
from schemas.errors import InvariantError

Handler = Callable[[Cells, Cells, U8], Awaitable[Answers]]
Shed = Callable[[Cells, Mask, int], Mask | None]  # messages, which are asked, requests without answer -> those too many
Refused = Callable[[Cells, U8], None]  # messages that were refused before any handler saw them, and their buffer


@dataclass(frozen=True)
class Policy:
    """How much is taken on, and how long is waited."""

    gap_s: float = 0.002               # between the beginnings of two ticks: what one costs, it costs with few rows too
    ticks_open: int = 2                # ticks whose handler has not answered yet
    unanswered: int = 20_000           # requests without answer, of all connections; then reading pauses
    unanswered_each: int = 10_000      # and of one
    connections: int = 256
    connections_each: int = 8          # of one peer
    receive_octets: int = 1 << 20      # received and not parsed, of one connection
    send_octets: int = 16 << 20        # answers that a peer does not read; then it is cut off
    capabilities_s: float = 10.0       # until the first message
    watchdog_s: float = 30.0           # Tw of RFC 3539
    answer_s: float = 5.0              # until a request of ours is given up


@dataclass
class Counters:
    """What happened, for metrics."""

    received: int = 0
    answered: int = 0
    refused: int = 0
    shed: int = 0
    exposed_seconds: int = 0  # used, as requests say that were shed
    exposed_octets: int = 0
    exposed_units: int = 0
    undelivered: int = 0  # answers whose connection had gone
    ticks: int = 0
    unknown_peers: int = 0
    closed_for_cause: int = 0

    def shed_with(self, requests: int, exposed: tuple[int, int, int]) -> None:
        """Requests were answered 3004, which had reported so much (see `overload.exposed`)."""
        self.shed += requests
        self.exposed_seconds += exposed[0]
        self.exposed_octets += exposed[1]
        self.exposed_units += exposed[2]



@dataclass(frozen=True)
class _Tick:
    """Requests that a handler has, and whose they are."""

    connections: tuple[Connection, ...]
    counts: list[int]  # of requests, by connection
    messages: Cells
    units: Cells
    buffer: U8
    done: "asyncio.Future[Answers]" = field(compare=False)


class DiameterServer:
    """Listens, and serves the peers that are named: (host, realm) pairs, in lower case."""

    def __init__(self, identity: Identity, peers: frozenset[tuple[str, str]], handler: Handler, *,
                 policy: Policy | None = None, limits: Limits | None = None, shed: Shed | None = None,
                 refused: Refused | None = None, handlers: Mapping[int, Handler] | None = None) -> None:
        """handlers: of applications that have one of their own: they do not wait for each other."""
        self.identity, self.peers, self.handler = identity, peers, handler
        self.handlers = handlers or {}
        self.policy, self.limits = policy or Policy(), limits or Limits()
        self.shed, self.refused = shed, refused
        self.counters = Counters()
        self.connections: list[Connection] = []
        self.unanswered = 0
        self.failure: BaseException | None = None
        self._avps = identity_avps(identity.host, identity.realm)
        self._names, self._references = _names((identity.host.lower(), *identity.served))
        self._outgoing = Outgoing(self)
        self._ready: dict[Connection, None] = {}
        self._open_ticks = 0
        self._next: asyncio.Handle | None = None
        self._began = 0.0  # the last tick
        self._watchdog: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None
        self._stopping = False
        self._idle = asyncio.Event()
        self._tasks: set[asyncio.Future[Answers]] = set()
        self._ends = (int(time.time()) & 0xFFF) << 20 | secrets.randbits(20)  # RFC 6733 3

    # starting and stopping

    async def start(self, host: str = "127.0.0.1", port: int = 3868, tls: ssl.SSLContext | None = None) -> int:
        """Listen; returns the port. Kernels compile before the first connection."""
        empty = parse(np.zeros(0, np.uint8))
        encode_answers(np.zeros(0, np.uint8), empty.messages, empty.units, Answers(answers(0)), self._avps)
        route_nb(np.zeros(0, np.uint8), Cells.empty(MESSAGE).matrix, self._names, self._references)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self, self.policy.receive_octets, self.policy.send_octets), host, port, ssl=tls)
        self._watchdog = loop.call_later(self.policy.watchdog_s / 4, self._watch)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, drain_s: float = 5.0) -> None:
        """Take no new connections, tell peers to go, answer what they sent, close. Raises what a handler raised."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        if self._watchdog is not None:
            self._watchdog.cancel()
        for connection in list(self.connections):
            if connection.is_open:
                self._disconnect(connection)
            elif connection.state is State.WAITING:
                connection.close()
        self._check_idle()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), drain_s)
        for connection in list(self.connections):
            connection.transport.abort()
        if self._next is not None:
            self._next.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=drain_s)
        if self._server is not None:
            await self._server.wait_closed()
        if self.failure is not None:
            raise self.failure

    def _disconnect(self, connection: Connection) -> None:
        """DPR; the connection closes when that is answered and nothing is owed."""
        hop = connection.next_hop()
        connection.owed[hop] = lambda _: None
        connection.send(base.disconnect_request(self.identity, base.REBOOTING, hop, self.next_end()))
        connection.state = State.CLOSING

    def _close_when_done(self, connection: Connection) -> None:
        if connection.unanswered == 0 and not connection.owed and connection.state is State.CLOSING:
            connection.close()

    def _check_idle(self) -> None:
        if self._stopping and not self.connections:
            self._idle.set()

    # what connections say

    def connected(self, connection: Connection) -> None:
        """A new connection."""
        if self._stopping or self.failure is not None or len(self.connections) >= self.policy.connections:
            connection.transport.abort()
        self.connections.append(connection)

    def gone(self, connection: Connection) -> None:
        """A connection has closed; what its requests did stays done."""
        self.connections.remove(connection)
        self._ready.pop(connection, None)
        self._check_idle()

    def arrived(self, connection: Connection) -> None:
        """Something to read."""
        self._ready[connection] = None
        self._schedule()

    def next_end(self) -> int:
        """An end-to-end identifier that was not used for minutes."""
        self._ends = (self._ends & ~0xFFFFF | self._ends + 1 & 0xFFFFF) & 0xFFFFFFFF
        return self._ends

    # ticks

    def _schedule(self) -> None:
        if self._next is None and self._open_ticks < self.policy.ticks_open and self.failure is None:
            loop = asyncio.get_running_loop()
            wait = self._began + self.policy.gap_s - loop.time()
            self._next = loop.call_soon(self._tick) if wait <= 0 else loop.call_later(wait, self._tick)

    def _tick(self) -> None:
        self._next = None
        self._began = asyncio.get_running_loop().time()
        connections = tuple(c for c in self._ready if c.state is not State.CLOSED)
        self._ready.clear()
        if not connections:
            return
        self.counters.ticks += 1
        received = [c.take() for c in connections]
        ends = list(accumulate(map(len, received), initial=0))
        octets = b"".join(received)
        buffer = np.frombuffer(octets, np.uint8)
        parsed = parse(buffer, np.array(list(pairwise(ends)), np.int64), self.limits)
        now, taken, closed = asyncio.get_running_loop().time(), parsed.taken.tolist(), parsed.closed.tolist()
        for i, connection in enumerate(connections):
            connection.heard_at, connection.watching = now, False
            connection.give_back(octets[taken[i]:ends[i + 1]] if not closed[i] else b"")
        try:
            self._sort_out(connections, parsed, octets, buffer)
        except Exception as error:  # of a hook, or our mistake: what was sorted out and what not cannot be told
            self._fail(error)
            return
        for connection, wrong in zip(connections, closed, strict=True):
            if wrong:
                self.counters.closed_for_cause += 1
                connection.pause("broken")
                connection.abandon()
                if connection.state is not State.CLOSED:
                    connection.state = State.CLOSING
            self._close_when_done(connection)

    def _sort_out(self, connections: tuple[Connection, ...], parsed: Parsed, octets: bytes, buffer: U8) -> None:
        """Base protocol and answers one by one, refusals at once, the rest to the handler."""
        messages = parsed.messages
        if not len(messages):
            return
        self.counters.received += len(messages)
        route_nb(buffer, messages.matrix, self._names, self._references)
        kinds, counts = np.empty(len(messages), np.uint8), np.empty(KINDS, np.int64)
        served = np.array([c.state in (State.OPEN, State.CLOSING) and bool(c.host) for c in connections], np.uint8)
        kinds_nb(messages.matrix, served, kinds, counts)
        if counts[APART]:
            for row in np.flatnonzero(kinds == APART).tolist():
                self._one(connections[int(messages["segment"][row])], messages, row, octets)
            served[:] = [c.state in (State.OPEN, State.CLOSING) and bool(c.host) for c in connections]
            kinds_nb(messages.matrix, served, kinds, counts)  # who it was not known of may have said so just now
        if counts[UNKNOWN]:
            for segment in np.unique(messages["segment"][kinds == UNKNOWN]).tolist():
                if connections[segment].state is State.WAITING:
                    connections[segment].close()  # the first message was no CER
        good = kinds == GOOD
        if self.shed is not None and counts[GOOD]:
            busy = self.shed(messages, good, self.unanswered)
            if busy is not None:
                messages["result_code"][busy] = Result.TOO_BUSY
                self.counters.shed_with(int(busy.sum()), exposed(parsed.units, busy))
                kinds[busy] = BAD
                good = kinds == GOOD
        bad = kinds == BAD
        if bad.any():
            some, units = ticks.choose(messages, parsed.units, bad)
            self.counters.refused += len(some)
            if self.refused is not None:
                self.refused(some, buffer)
            given = answers(len(some))
            given["result_code"] = some["result_code"]
            encoded = encode_answers(buffer, some, units, Answers(given), self._avps, self.identity.origin_state_id)
            self._deliver(connections, _by_segment(some, connections), encoded)
        for application, handler in self.handlers.items():
            own = good & (messages["application"] == application)
            if own.any():
                self._hand_over(handler, connections, *ticks.choose(messages, parsed.units, own), buffer)
                good = good & ~own
        if good.any():
            self._hand_over(self.handler, connections, *ticks.choose(messages, parsed.units, good), buffer)

    def _hand_over(self, handler: Handler, connections: tuple[Connection, ...], messages: Cells, units: Cells,
                   buffer: U8) -> None:
        counts = _by_segment(messages, connections)
        for connection, number in zip(connections, counts, strict=True):
            connection.unanswered += number
            if connection.unanswered > self.policy.unanswered_each:
                connection.pause("unanswered")
        self.unanswered += len(messages)
        if self.unanswered > self.policy.unanswered:
            for connection in self.connections:
                connection.pause("overloaded")
        self._open_ticks += 1
        done = asyncio.ensure_future(handler(messages, units, buffer))
        tick = _Tick(connections, counts, messages, units, buffer, done)
        if done.done():  # no turn of the loop for what is there
            self._answered(tick)
        else:
            self._tasks.add(done)
            done.add_done_callback(lambda _: self._answered(tick))

    def _answered(self, tick: _Tick) -> None:
        """The handler is done: its answers may go."""
        self._tasks.discard(tick.done)
        self._open_ticks -= 1
        if tick.done.cancelled():
            self._fail(InvariantError("the handler of a tick was cancelled"))
            return
        error = tick.done.exception()
        if error is None:
            try:
                encoded = encode_answers(tick.buffer, tick.messages, tick.units, tick.done.result(), self._avps,
                                         self.identity.origin_state_id)
            except InvariantError as wrong:
                error = wrong
        if error is not None:
            self._fail(error)
            return
        for connection, number in zip(tick.connections, tick.counts, strict=True):
            connection.unanswered -= number
            if connection.unanswered <= self.policy.unanswered_each // 2:
                connection.resume("unanswered")
        self.unanswered -= len(tick.messages)
        self._deliver(tick.connections, tick.counts, encoded)
        if self.unanswered <= self.policy.unanswered // 2:
            for connection in self.connections:
                connection.resume("overloaded")
        for connection in tick.connections:
            self._close_when_done(connection)
        if self._ready:
            self._schedule()

    def _deliver(self, connections: tuple[Connection, ...], counts: list[int], encoded: Encoded) -> None:
        for segment, number, octets in ticks.runs(counts, encoded):
            connection = connections[segment]
            if connection.state is State.CLOSED:
                self.counters.undelivered += number
            else:
                self.counters.answered += number
                connection.send(octets)

    def _fail(self, error: BaseException) -> None:
        """A handler that fails may have charged or not: after silence clients ask again; an answer might be wrong."""
        if self.failure is None:
            self.failure = error
        for connection in list(self.connections):
            connection.transport.abort()

    # one message of the base protocol

    def _one(self, connection: Connection, messages: Cells, row: int, octets: bytes) -> None:
        command, result = int(messages["command"][row]), int(messages["result_code"][row])
        hop, end = int(messages["hop_by_hop"][row]), int(messages["end_to_end"][row])
        if not int(messages["flags"][row]) & base.REQUEST:
            owed = connection.owed.pop(hop, None)
            if owed is not None:
                owed(int(messages["answer_code"][row]) if result == 0 else result)
            return
        if command == Command.CAPABILITIES_EXCHANGE:
            start = int(messages["offset"][row])
            self._greet(connection, octets[start:start + int(messages["length"][row])], result, hop, end)
        elif connection.state is State.WAITING:
            connection.close()
        elif command == Command.DEVICE_WATCHDOG:
            connection.send(base.plain_answer(self.identity, command, result or Result.SUCCESS, hop, end))
        else:
            connection.send(base.plain_answer(self.identity, command, result or Result.SUCCESS, hop, end))
            connection.state = State.CLOSING
            connection.abandon()

    def _greet(self, connection: Connection, octets: bytes, result: int, hop: int, end: int) -> None:
        """CER: only peers that are named, with an application in common."""
        peer = base.capabilities(octets)
        twins = sum(1 for c in self.connections if c.is_open and c.host == peer.host and c is not connection)
        result = result or Result.SUCCESS
        if result == Result.SUCCESS and ((peer.host, peer.realm) not in self.peers
                                         or connection.host not in ("", peer.host)
                                         or twins >= self.policy.connections_each):
            result = Result.UNKNOWN_PEER
            self.counters.unknown_peers += 1
        elif result == Result.SUCCESS and not peer.common(self.identity.applications):
            result = Result.NO_COMMON_APPLICATION
        address = connection.transport.get_extra_info("sockname")[0].partition("%")[0]
        connection.send(base.capabilities_answer(self.identity, result, [address], hop, end))
        if result == Result.SUCCESS:
            connection.host, connection.realm, connection.applications = peer.host, peer.realm, peer.applications
            if connection.state is State.WAITING:
                connection.state = State.OPEN
        else:
            connection.host = ""
            connection.close()

    # watchdog (RFC 3539 3.4)

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self.connections):
            silent = now - connection.heard_at
            waited = self.policy.capabilities_s if connection.state is State.WAITING else 2 * self.policy.watchdog_s
            if silent > waited and (not connection.is_open or connection.watching):
                connection.transport.abort()
            elif connection.is_open and not connection.watching and silent > self.policy.watchdog_s:
                connection.watching = True
                hop = connection.next_hop()
                connection.owed[hop] = lambda _: None
                connection.send(base.watchdog_request(self.identity, hop, self.next_end()))
        self._watchdog = loop.call_later(self.policy.watchdog_s / 4, self._watch)

    # requests of our own

    def send(self, requests: Cells, texts: U8 = NO_TEXTS, status: Cells | None = None) -> "list[asyncio.Future[int]]":
        """Send RAR, ASR or SNR; each future gives the result code, 3002 when it could not be delivered in time."""
        return self._outgoing.send(requests, texts, status, self._avps)


def _by_segment(messages: Cells, connections: tuple[Connection, ...]) -> list[int]:
    """Messages of each connection; they stand in the order of these."""
    counts: list[int] = np.bincount(messages["segment"], minlength=len(connections)).tolist()
    return counts


def _names(names: tuple[str, ...]) -> tuple[U8, I64]:
    """Names one behind the other, and a reference to each."""
    octets = [n.encode("ascii") for n in names]
    starts = np.cumsum([0, *(len(n) for n in octets)])
    references = np.array([int(s) << 16 | len(n) for s, n in zip(starts, octets, strict=False)], np.int64)
    return np.frombuffer(b"".join(octets), np.uint8), references
