"""Damaged Diameter messages over sockets, to a node that charges."""

import random
import socket
from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.online_load import HOST, OCS, REALM, Template, _walk, avp
from schemas.columns import I64, U8
from tests.diameter_messages import end, limit
from tests.property.test_ber_fuzz import damage
from tests.property.test_diameter_fuzz import real_messages

BLOCK, SESSIONS = 500, 2000
MARKER = 0x7F000000  # hop-by-hop identifiers of messages that are sound
_ODD = np.array([0, 1, 255, 12, 8], np.uint8)


def header(command: int, flags: int, hop: int, body: bytes, application: int = 0) -> bytes:
    """A message of that body."""
    return (b"\x01" + (20 + len(body)).to_bytes(3, "big") + bytes([flags]) + command.to_bytes(3, "big")
            + application.to_bytes(4, "big") + hop.to_bytes(4, "big") * 2 + body)


CER = header(257, 0x80, 1, avp(264, HOST) + avp(296, REALM) + avp(257, b"\0\x01\x7f\0\0\x01") + avp(266, 0)
             + avp(269, b"fuzz") + avp(258, 4) + avp(258, 16_777_302))


class Peer:
    """A connection that has said who it is. Raises ConnectionError where the node closes it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._hops, self._codes = np.zeros(1 << 16, np.int64), np.zeros(1 << 16, np.int64)
        self._socket.sendall(CER)
        self.read_until(1)

    def read_until(self, hop: int) -> list[int]:
        """Result codes of all answers, up to that of a request; of others than CCR, less than zero: the command."""
        codes: list[int] = []
        while True:
            got = self._socket.recv(1 << 18)
            if not got:
                raise ConnectionError("the node closed the connection")
            self._rest += got
            found, taken = _walk(np.frombuffer(self._rest, np.uint8), self._hops, self._codes)
            self._rest = self._rest[taken:]
            codes += self._codes[:found].tolist()
            if (self._hops[:found] == hop).any():
                return codes

    def send(self, octets: bytes) -> None:
        """All of it."""
        self._socket.sendall(octets)

    def rest(self) -> None:
        """No more is sent; read until the node closes."""
        self._socket.shutdown(socket.SHUT_WR)
        while self._socket.recv(1 << 16):
            pass

    def close(self) -> None:
        """Go."""
        self._socket.close()


def material_of() -> list[bytes]:
    """Messages with everything in them, most of them as from our peer to us."""
    ours = (("Origin-Host", HOST), ("Origin-Realm", REALM), ("Destination-Realm", REALM), ("Destination-Host", OCS))
    return [*real_messages(), *real_messages(200, ours), limit("s;1", 0, "calls", "volume"), limit("s;1", 1),
            end("s;1")]


class GyFuzz:
    """material: messages with everything in them; numbers (n, 12): digits of subscribers who exist."""

    def __init__(self, port: int, numbers: U8, material: Sequence[bytes], seed: int) -> None:
        self._port, self._numbers, self._material = port, numbers, [m for m in material if len(m) < 4000]
        self._draw, self._luck = np.random.default_rng(seed), random.Random(seed)
        self._templates = [(Template(kind, groups), kind) for kind in (1, 2, 2, 3, 4) for groups in (1, 3)]
        self._marker = Template(4, 1)
        self._number = np.zeros(SESSIONS, np.int64)
        self._peers: list[Peer] = []
        self._sound = 0
        self.codes: Counter[int] = Counter()
        self.sent = self.closed = self.alone = 0

    def block(self) -> None:
        """Some messages on one connection, and one that is sound behind them, which is to be answered."""
        while len(self._peers) < 3:
            self._peers.append(Peer(self._port))
        place = self._luck.randrange(3)
        peer = self._peers[place]
        octets = self._flipped()
        try:
            peer.send(octets + self._ask())
            codes = peer.read_until(MARKER + self._sound)
        except ConnectionError:
            self.closed += 1
            self._peers[place] = Peer(self._port)
            return
        self.codes.update(max(code, -1) for code in codes[:-1])
        assert codes[-1] == 2001, f"a sound request was answered {codes[-1]}"
        self.sent += BLOCK

    def wounded(self, count: int) -> None:
        """Messages cut, spliced and overwritten anywhere, each on a connection of its own."""
        for _ in range(count):
            octets = self._luck.choice(self._material) if self._luck.random() < 0.5 else self._templated(1)[0].tobytes()
            peer = Peer(self._port)
            try:
                peer.send(damage(octets, self._luck))
                peer.rest()
            except ConnectionError:
                self.closed += 1
            peer.close()
            self.alone += 1
            self.sent += 1

    def close(self) -> None:
        """Go."""
        for peer in self._peers:
            peer.close()

    def _ask(self) -> bytes:
        self._sound += 1
        hop = np.array([MARKER + self._sound])
        session = np.array([(1 << 38) + self._sound])
        owner = self._numbers[self._sound % len(self._numbers)][np.newaxis]
        return self._marker.batch(session, owner, np.zeros(1, np.int64), hop).tobytes()

    def _templated(self, count: int) -> tuple[U8, int]:
        template, kind = self._templates[self._luck.randrange(len(self._templates))]
        session = self._draw.permutation(SESSIONS)[:count]
        self._number[session] += 1
        number = np.where(kind == 1, 0, self._number[session])
        owner = self._numbers[session * 7 % len(self._numbers)]
        if kind == 4:
            session = session + (1 << 37) + self._number[session] * SESSIONS
        return template.batch(session, owner, number, np.arange(count)), template.octets

    def _flipped(self) -> bytes:
        """Messages whose lengths are right, with up to three octets changed behind that."""
        if self._luck.random() < 0.7:
            octets, length = self._templated(BLOCK)
            lengths = np.full(BLOCK, length)
        else:
            which = [self._luck.choice(self._material) for _ in range(BLOCK)]
            octets, lengths = np.frombuffer(b"".join(which), np.uint8).copy(), np.array([len(m) for m in which])
        starts = np.cumsum(lengths) - lengths
        for _ in range(self._luck.choice((1, 1, 1, 2, 3))):
            self._wound(octets, starts, lengths)
        return octets.tobytes()

    def _wound(self, octets: U8, starts: I64, lengths: I64) -> None:
        at = starts + 4 + self._draw.integers(0, 1 << 30, len(starts)) % (lengths - 4)
        octets[at] = np.where(self._draw.random(len(starts)) < 0.7,
                              octets[at] ^ (1 << self._draw.integers(0, 8, len(starts))).astype(np.uint8),
                              self._draw.choice(_ODD, len(starts)))

