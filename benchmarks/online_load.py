"""Open-loop load for Gy: requests at a fixed rate, whatever comes back; latency counts from when each was due."""

import asyncio
import os
import selectors
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np

from pipelines.serve.scheduling import wake_soon
from schemas.columns import I64, U8

CONNECTIONS = 4
HOST, REALM, OCS = b"pgw-01.tarifa.example", b"tarifa.example", b"ocs.tarifa.example"
NTP_S = 2_208_988_800  # from 1900 to 1970
TICK_S = 0.0005
BUSY = 3004
AT_ONCE = 1000  # requests at most in a batch: fewer than there are sessions


def avp(code: int, payload: bytes | int, vendor: int = 0) -> bytes:
    """One AVP, mandatory, padded."""
    octets = payload.to_bytes(4, "big") if isinstance(payload, int) else payload
    head = 12 if vendor else 8
    return (code.to_bytes(4, "big") + (b"\xc0" if vendor else b"\x40") + (head + len(octets)).to_bytes(3, "big")
            + (vendor.to_bytes(4, "big") if vendor else b"") + octets + bytes(-len(octets) % 4))


class Template:
    """One kind of request; a batch of them differs in session, subscriber, number, octets used and identifiers.

    kind: CC-Request-Type 1 to 4. groups: rating groups of a session.
    """

    def __init__(self, kind: int, groups: int) -> None:
        body = [avp(263, b"pgw-01.tarifa.example;SSSSSSSSSSSS"), avp(264, HOST), avp(296, REALM), avp(283, REALM),
                avp(293, OCS), avp(258, 4), avp(416, kind), avp(415, b"NNNN"), avp(55, b"TTTT"),
                avp(443, avp(450, 0) + avp(444, b"MMMMMMMMMMMM"))]
        if kind == 4:
            money = avp(413, avp(445, avp(447, (50).to_bytes(8, "big")) + avp(429, 0xFFFFFFFE)) + avp(425, 978))
            body += [avp(461, b"32274@3gpp.org"), avp(436, 1), avp(437, money)]
        else:
            body.append(avp(461, b"32251@3gpp.org"))
            body.append(avp(455, 1))
            for group in range(1, groups + 1):
                asked = avp(437, b"") if kind < 3 else b""
                used = avp(446, avp(421, bytes(4) + b"UUUU")) if kind > 1 else b""
                body.append(avp(456, asked + used + avp(432, group)))
            body.append(avp(873, avp(874, avp(2, b"CHID", 10415) + avp(30, b"internet"), 10415), 10415))
        joined = b"".join(body)
        one = b"\x01" + (20 + len(joined)).to_bytes(3, "big") + b"\xc0\0\x01\x10\0\0\0\x04HHHHEEEE" + joined
        self._one, self.octets = np.frombuffer(one, np.uint8), len(one)
        self._places = np.array([one.find(mark) for mark in (
            b"SSSSSSSSSSSS", b"MMMMMMMMMMMM", b"NNNN", b"TTTT", b"HHHH", b"EEEE", b"CHID")])
        self._used = np.array([i for i in range(len(one)) if one[i:i + 4] == b"UUUU"], np.int64)
        nothing = np.zeros(0, np.int64)
        self.batch(nothing, np.zeros((0, 12), np.uint8), nothing, nothing)  # compiles

    def batch(self, session: I64, subscriber: U8, number: I64, hop: I64) -> U8:
        """Octets of a request for each session; subscriber (n, 12) digits."""
        out = np.empty((len(session), self.octets), np.uint8)
        _fill(self._one, self._places, self._used, session, subscriber, number, hop,
              int(time.time()) + NTP_S, out)
        return out.reshape(-1)


@numba.njit(cache=False)
def _put(row, at, value):  # type: ignore[no-untyped-def]
    """Four octets, big endian."""
    if at >= 0:
        for octet in range(4):
            row[at + octet] = value >> (24 - 8 * octet) & 0xFF


@numba.njit(cache=False)
def _fill(one, places, used, session, subscriber, number, hop, stamp, out):  # type: ignore[no-untyped-def]
    """A request for each session. places: of the session's digits, the subscriber's, the number, the time, both
    identifiers and the charging identifier, -1 for none; used: of octets used."""
    for i in range(session.size):
        row = out[i]
        row[:] = one
        digits = session[i]
        for place in range(11, -1, -1):
            row[places[0] + place] = 48 + digits % 10
            digits //= 10
            row[places[1] + place] = subscriber[i, place]
        _put(row, places[2], number[i])
        _put(row, places[3], stamp)
        _put(row, places[4], hop[i])
        _put(row, places[5], hop[i])
        _put(row, places[6], session[i])
        for at in used:
            _put(row, at, 1000 + session[i] % 5000)


@numba.njit(cache=False)
def _number(octets, at, length):  # type: ignore[no-untyped-def]
    """Big endian."""
    value = np.int64(0)
    for place in range(at, at + length):
        value = value << 8 | np.int64(octets[place])
    return value


@numba.njit(cache=False)
def _walk(octets, hops, codes):  # type: ignore[no-untyped-def]
    """Hop-by-hop identifiers and result codes of whole answers; returns (answers, octets taken)."""
    found, at = 0, 0
    while at + 20 <= octets.size:
        length = _number(octets, at + 1, 3)
        if at + length > octets.size or found == hops.size:
            break
        hops[found] = _number(octets, at + 12, 4)
        codes[found] = 0
        place, command = at + 20, _number(octets, at + 5, 3)
        if command != 272 or octets[at + 4] & 0x80:
            codes[found] = -command
        while codes[found] == 0 and place + 8 <= at + length:
            if _number(octets, place, 4) == 268:
                codes[found] = _number(octets, place + 8, 4)
            place += (_number(octets, place + 5, 3) + 3) // 4 * 4
        found += 1
        at += length
    return found, at


class Client(asyncio.Protocol):
    """A connection: sends what it is given, notes when answers came."""

    def __init__(self, load: "Load") -> None:
        self._load, self._rest, self.open = load, b"", asyncio.Event()
        self._hops, self._codes = np.zeros(1 << 16, np.int64), np.zeros(1 << 16, np.int64)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Says who it is."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        address = b"\0\x01\x7f\0\0\x01"
        body = avp(264, HOST) + avp(296, REALM) + avp(257, address) + avp(266, 10415) + avp(269, b"load") + avp(258, 4)
        self.transport.write(b"\x01" + (20 + len(body)).to_bytes(3, "big") + b"\x80\0\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\1"
                             + body)

    def data_received(self, data: bytes) -> None:
        """Notes which answers came."""
        whole = self._rest + data
        found, taken = _walk(np.frombuffer(whole, np.uint8), self._hops, self._codes)
        self._rest = whole[taken:]
        codes = self._codes[:found]
        if not self.open.is_set() and (codes == -257).any():
            self.open.set()
        own = codes > 0
        self._load.answered(self._hops[:found][own], codes[own])


@dataclass
class Measured:
    """Of one stretch. Latencies and when each request was due, in seconds; codes: how often each result code came."""

    rate: int
    seconds: float
    sent: int
    latency: "np.ndarray[tuple[int], np.dtype[np.float64]]"
    codes: dict[int, int]
    late_s: float
    stolen_s: float  # of the processors, by the machine's own host
    accepted: "np.ndarray[tuple[int, int], np.dtype[np.float64]]"  # (latency, due) of those not told to try again
    due: "np.ndarray[tuple[int], np.dtype[np.float64]]"

    def stretches(self, seconds: float) -> list[float]:
        """99 % of every so many seconds, ms."""
        which = ((self.due - self.due.min()) // seconds).astype(int) if self.due.size else np.zeros(0, int)
        return [float(np.percentile(self.latency[which == n], 99)) * 1000 for n in np.unique(which).tolist()]

    def at(self, percent: float) -> float:
        """Milliseconds of a percentile."""
        return float(np.percentile(self.latency, percent)) * 1000 if self.latency.size else float("nan")

    def accepted_at(self, percent: float, after_s: float = 0.0) -> float:
        """The same, of those that were not told to try again and were due so long after the beginning."""
        latency, due = self.accepted
        latency = latency[due >= self.due.min() + after_s] if due.size else latency
        return float(np.percentile(latency, percent)) * 1000 if latency.size else float("nan")


class Load:
    """Sends batches every half millisecond. `make(hop)` gives their octets."""

    async def connect(self, port: int) -> None:
        """Open the connections."""
        _walk(np.frombuffer(b"", np.uint8), np.zeros(1, np.int64), np.zeros(1, np.int64))
        loop = asyncio.get_running_loop()
        self._due, self._got = np.zeros(1), np.zeros(1)
        self._codes = np.zeros(1, np.int64)
        self.clients = []
        for _ in range(CONNECTIONS):
            _, client = await loop.create_connection(lambda: Client(self), "127.0.0.1", port)
            self.clients.append(client)
        for client in self.clients:
            await asyncio.wait_for(client.open.wait(), 10)

    def answered(self, hops: I64, codes: I64) -> None:
        """Answers that came, by hop-by-hop identifier."""
        self._got[hops], self._codes[hops] = time.perf_counter(), codes

    async def run(self, make, rate: int, seconds: float, patience_s: float = 10.0) -> Measured:  # type: ignore[no-untyped-def]
        """`rate` requests a second for so long; then waits for what is still owed."""
        total = int(rate * seconds)
        self._due, self._got = np.zeros(total), np.zeros(total)
        self._codes = np.zeros(total, np.int64)
        sent, late_s, stolen_s = 0, 0.0, stolen()
        began = time.perf_counter() + 0.01
        while sent < total:
            now = time.perf_counter()
            due = min(int((now - began) * rate) + 1, total, sent + AT_ONCE) if now >= began else 0
            if due > sent:
                hop = np.arange(sent, due)
                self._due[sent:due] = began + hop / rate
                late_s = max(late_s, now - self._due[sent])
                octets, length = make(hop)
                part = -(-len(hop) // CONNECTIONS) * length
                for number, client in enumerate(self.clients):
                    client.transport.write(octets[number * part:(number + 1) * part].tobytes())
                sent = due
            await asyncio.sleep(TICK_S)
        waited = time.perf_counter()
        while (self._codes == 0).any() and time.perf_counter() - waited < patience_s:
            await asyncio.sleep(0.05)
        done = self._codes > 0
        codes, counts = np.unique(self._codes, return_counts=True)
        return Measured(rate, seconds, total, self._got[done] - self._due[done],
                        dict(zip(codes.tolist(), counts.tolist(), strict=True)), late_s, stolen() - stolen_s,
                        np.stack((self._got - self._due, self._due))[:, done & (self._codes != BUSY)], self._due[done])


def stolen() -> float:
    """Seconds that the host gave to others while somebody here wanted to run; 0 where the system does not say."""
    try:
        return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def run_timely(work: Coroutine[Any, Any, None]) -> None:
    """Run a load, and let others wait for it. epoll counts in whole milliseconds, select in microseconds."""
    wake_soon()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(work)
