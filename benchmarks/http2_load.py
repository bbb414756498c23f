"""HTTP/2 clients, as fast as Python gets: frames made beforehand, many streams on few connections, a closed loop.

Header tables have no room for entries and strings are plain, so that a request is the same octets every time but for
its stream, and a response's status is told by its first octets.
"""

import selectors
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_SETTINGS_SAID = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big")
                          for name, value in ((1, 0), (2, 0), (4, (1 << 31) - 1)))
_STATUS = {0x88: 200, 0x89: 204, 0x8C: 400, 0x8D: 404, 0x8E: 500}  # those of the static table
_WRITTEN = {HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(b"%d" % status): status
            for status in range(100, 600)} | {b"%d" % status: status for status in range(100, 600)}


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def header_block(authority: str, path: str, size: int) -> bytes:
    """Of a POST of JSON: literals that enter no table (RFC 7541 6.2.2)."""
    def literal(index: bytes, value: str) -> bytes:
        assert len(value) < 127
        return index + bytes([len(value)]) + value.encode()

    return (b"\x83\x86" + literal(b"\x04", path) + literal(b"\x01", authority)
            + literal(b"\x0f\x10", "application/json") + literal(b"\x0f\x0d", str(size)))


@dataclass
class Request:
    """A request's frames, in parts between which its stream is written."""

    head: bytes
    block: bytes
    body_head: bytes
    body: bytes

    @classmethod
    def of(cls, authority: str, path: str, body: bytes) -> "Request":
        """A POST of JSON."""
        block = header_block(authority, path, len(body))
        assert len(body) <= 16_384
        return cls(len(block).to_bytes(3, "big") + bytes([_HEADERS, 4]), block,
                   len(body).to_bytes(3, "big") + bytes([_DATA, 1]), body)

    def octets(self, stream: int) -> bytes:
        """Its frames on a stream."""
        at = stream.to_bytes(4, "big")
        return b"".join((self.head, at, self.block, self.body_head, at, self.body))


@dataclass
class Result:
    """What came of a run."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, part: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1000


class _Connection:
    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(PREFACE + frame(_SETTINGS, 0, 0, _SETTINGS_SAID)
                            + frame(_WINDOW, 0, 0, ((1 << 31) - 65_536).to_bytes(4, "big")))
        self.room, self.stream, self.pending = 65_535, 1, b""
        self.sent: dict[int, float] = {}
        self.last: bytes | None = None
        self.bodies: dict[int, bytes] = {}


def load(host: str, port: int, requests: Sequence[Request], connections: int, streams: int) -> Result:
    """Send all requests, `streams` at a time on each connection, and wait for all responses."""
    result, at, done = Result(), 0, 0
    with selectors.DefaultSelector() as selector:
        opened = [_Connection(host, port) for _ in range(connections)]
        for one in opened:
            selector.register(one.socket, selectors.EVENT_READ, one)
        started = time.perf_counter()
        while done < len(requests):
            for one in opened:
                out = []
                while at < len(requests) and len(one.sent) < streams and one.room >= len(requests[at].body):
                    request = requests[at]
                    out.append(request.octets(one.stream))
                    one.room -= len(request.body)
                    one.sent[one.stream] = time.perf_counter()
                    one.stream += 2
                    at += 1
                if out:
                    one.socket.sendall(b"".join(out))
            for key, _ in selector.select(30):
                done += _read(key.data, result)
        result.seconds = time.perf_counter() - started
        for one in opened:
            one.socket.close()
    return result


def _read(one: _Connection, result: Result) -> int:
    got = one.socket.recv(1 << 18)
    if not got:
        raise ConnectionError("the server closed the connection")
    octets, at, done, now = one.pending + got, 0, 0, time.perf_counter()
    while len(octets) - at >= 9:
        size = int.from_bytes(octets[at:at + 3], "big")
        if len(octets) - at < 9 + size:
            break
        kind, flags = octets[at + 3], octets[at + 4]
        stream, start = int.from_bytes(octets[at + 5:at + 9], "big"), at + 9
        at = start + size
        if kind == _HEADERS:
            while octets[start] & 0xE0 == 0x20:  # a table of another size
                start += 1
            written = octets[start + 2:start + 2 + (octets[start + 1] & 0x7F)]
            result.statuses[_STATUS.get(octets[start]) or _WRITTEN.get(written, 0)] += 1
        elif kind == _WINDOW and stream == 0:
            one.room += int.from_bytes(octets[start:start + 4], "big")
        elif kind == _SETTINGS and not flags & 1:
            one.socket.sendall(frame(_SETTINGS, 1, 0, b""))
        elif kind == _PING and not flags & 1:
            one.socket.sendall(frame(_PING, 1, 0, octets[start:start + 8]))
        elif kind in (_RST, _GOAWAY):
            raise ConnectionError(f"frame {kind}: {octets[start:at]!r}")
        if kind in (_HEADERS, _DATA) and flags & 1:
            result.latencies.append(now - one.sent.pop(stream))
            done += 1
    one.pending = octets[at:]
    return done
