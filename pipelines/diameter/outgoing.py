"""Requests of our own: to whom they go, and the answers, matched by hop-by-hop identifier."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from pipelines.diameter.base import Identity
from pipelines.diameter.connection import Connection
from pipelines.diameter.encode import encode_requests
from pipelines.diameter.results import Result
from schemas.columns import ABSENT, U8, Cells


class Sender(Protocol):
    """What is needed of the server."""

    identity: Identity
    connections: list[Connection]

    @property
    def policy(self) -> "Patience":
        """How long is waited."""

    def next_end(self) -> int:
        """An end-to-end identifier."""


class Patience(Protocol):
    """How long an answer is waited for."""

    @property
    def answer_s(self) -> float:
        """Seconds."""


class Outgoing:
    """Sends requests and keeps what is owed in each connection."""

    def __init__(self, server: Sender) -> None:
        self._server, self._turn = server, 0

    def send(self, requests: Cells, texts: U8, status: Cells | None, avps: U8) -> "list[asyncio.Future[int]]":
        """Fills hop-by-hop and end-to-end; see `DiameterServer.send`."""
        loop = asyncio.get_running_loop()
        octets = texts.tobytes()
        futures: list[asyncio.Future[int]] = [loop.create_future() for _ in range(len(requests))]
        chosen: list[Connection | None] = []
        for row, future in enumerate(futures):
            connection = self._route(_text(octets, int(requests["destination_host_text"][row])),
                                     _text(octets, int(requests["destination_realm_text"][row])),
                                     int(requests["application"][row]))
            chosen.append(connection)
            requests["end_to_end"][row] = self._server.next_end()
            requests["hop_by_hop"][row] = connection.next_hop() if connection else 0
            if connection is None:
                future.set_result(Result.UNABLE_TO_DELIVER)
                continue
            hop = int(requests["hop_by_hop"][row])
            connection.owed[hop] = _answer(future)
            given_up = loop.call_later(self._server.policy.answer_s, _give_up, connection, hop)
            future.add_done_callback(_cancels(given_up))
        encoded = encode_requests(requests, texts, avps, self._server.identity.origin_state_id, status)
        for row, connection in enumerate(chosen):
            if connection is not None:
                begin, length = encoded.places[row].tolist()
                connection.send(encoded.octets[begin:begin + length])
        return futures

    def _route(self, host: str, realm: str, application: int) -> Connection | None:
        """The peer itself, or else a relay, or else another peer of the realm that speaks of this; taking turns."""
        ready = [c for c in self._server.connections if c.is_open and (application in c.applications or c.is_relay)]
        for some in ([c for c in ready if c.host == host], [c for c in ready if c.is_relay],
                     [c for c in ready if c.realm == realm]):
            if some:
                self._turn += 1
                return some[self._turn % len(some)]
        return None


def _text(octets: bytes, reference: int) -> str:
    if reference == ABSENT:
        return ""
    start = reference >> 16
    return octets[start:start + (reference & 0xFFFF)].decode("ascii", "replace").lower()


def _answer(future: "asyncio.Future[int]") -> Callable[[int], None]:
    def done(result: int) -> None:
        if not future.done():
            future.set_result(result)
    return done


def _cancels(timer: asyncio.TimerHandle) -> "Callable[[asyncio.Future[int]], None]":
    return lambda _: timer.cancel()


def _give_up(connection: Connection, hop: int) -> None:
    owed = connection.owed.pop(hop, None)
    if owed is not None:
        owed(Result.UNABLE_TO_DELIVER)
