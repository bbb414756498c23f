"""One connection: what was received and not parsed, what is owed, and the life of the peer behind it."""

import asyncio
from collections.abc import Callable
from enum import Enum
from itertools import count
from typing import Protocol, cast

from pipelines.diameter.dictionary import RELAY
from pipelines.diameter.results import Result


class State(Enum):
    """RFC 6733 5.6, of the side that is called."""

    WAITING = "waiting for capabilities"
    OPEN = "open"
    CLOSING = "closing"  # DPR was sent or received
    CLOSED = "closed"


class Owner(Protocol):
    """What a connection needs of its server."""

    def arrived(self, connection: "Connection") -> None:
        """It has something to read, or has gone."""

    def connected(self, connection: "Connection") -> None:
        """It is new."""

    def gone(self, connection: "Connection") -> None:
        """It is closed."""


class Connection(asyncio.Protocol):
    """Octets in, octets out; messages are the server's business."""

    def __init__(self, owner: Owner, receive_octets: int, send_octets: int) -> None:
        self.owner, self.receive_octets, self.send_octets = owner, receive_octets, send_octets
        self.state = State.WAITING
        self.host, self.realm, self.applications = "", "", frozenset[int]()
        self.pending: list[bytes] = []
        self.pending_octets = self.needed_octets = 0
        self.unanswered = 0
        self.owed: dict[int, Callable[[int], None]] = {}  # our requests by hop-by-hop: what to do with the result code
        self.heard_at = 0.0
        self.watching = False  # a DWR is not answered yet
        self._reasons: set[str] = set()  # why reading is paused
        self._hops = count(1)
        self.transport: asyncio.Transport

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer is there; it has yet to say who it is."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=self.send_octets // 4)
        self.heard_at = asyncio.get_running_loop().time()
        self.owner.connected(self)

    def data_received(self, data: bytes) -> None:
        """Octets, which wait for their tick."""
        self.pending.append(data)
        self.pending_octets += len(data)
        if self.pending_octets > self.receive_octets:
            self.pause("received")
        if self.pending_octets >= self.needed_octets:
            self.owner.arrived(self)

    def pause_writing(self) -> None:
        """The peer does not read what it is sent."""
        self.pause("sent")  # who does not read answers is not asked for more requests

    def resume_writing(self) -> None:
        """It does again."""
        self.resume("sent")

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer has gone, or was cut off."""
        del exc  # why, does not matter: what its requests did stays done
        self.state = State.CLOSED
        self.abandon()
        self.owner.gone(self)

    # the server's side

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent to it."""
        return self.state is State.OPEN

    @property
    def is_relay(self) -> bool:
        """Whether it carries requests on to others."""
        return RELAY in self.applications

    def take(self) -> bytes:
        """All that was received and not parsed."""
        octets = b"".join(self.pending) if len(self.pending) != 1 else self.pending[0]
        self.pending.clear()
        self.pending_octets = 0
        return octets

    def give_back(self, rest: bytes) -> None:
        """The beginning of a message whose end is still to come."""
        self.pending[:0] = [rest] if rest else []
        self.pending_octets += len(rest)
        self.needed_octets = int.from_bytes(rest[1:4], "big") if len(rest) >= 4 else 4
        self.resume("received")

    def pause(self, reason: str) -> None:
        """Stop reading until `resume` was called for all reasons."""
        if not self._reasons and self.state is not State.CLOSED:
            self.transport.pause_reading()
        self._reasons.add(reason)

    def resume(self, reason: str) -> None:
        """One reason less to pause."""
        if reason in self._reasons:
            self._reasons.discard(reason)
            if not self._reasons and self.state is not State.CLOSED and not self.transport.is_closing():
                self.transport.resume_reading()

    def send(self, octets: bytes | memoryview) -> None:
        """Write, unless it has gone; a peer that lets too much stand is cut off."""
        if self.state is State.CLOSED or self.transport.is_closing():
            return
        self.transport.write(octets)
        if self.transport.get_write_buffer_size() > self.send_octets:
            self.transport.abort()

    def next_hop(self) -> int:
        """A hop-by-hop identifier that no unanswered request of this connection has."""
        hop = next(self._hops) & 0xFFFFFFFF
        while hop in self.owed:
            hop = next(self._hops) & 0xFFFFFFFF
        return hop

    def abandon(self) -> None:
        """No answers to our requests will come here any more."""
        owed = list(self.owed.values())
        self.owed.clear()
        for done in owed:
            done(Result.UNABLE_TO_DELIVER)

    def close(self) -> None:
        """Close once all that was written is sent."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSING
            self.transport.close()
