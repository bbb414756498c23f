"""Diameter on the wire, written from RFC 6733 alone: what a client sends, odd or not, and what it reads."""

import itertools
import socket
import struct
import time
from typing import Any

NTP = 2_208_988_800  # 1970 in seconds of 1900
TGPP = 10415
_numbers = itertools.count(1)


def avp(code: int, payload: bytes | str | list[bytes] = b"", vendor: int = 0, mandatory: bool = True,
        length: int | None = None) -> bytes:
    """One AVP; a list is a group. length: what its header says, where that is not what it has."""
    octets = b"".join(payload) if isinstance(payload, list) else payload.encode() if isinstance(payload, str) \
        else payload
    said = (12 if vendor else 8) + len(octets) if length is None else length
    head = struct.pack("!IB", code, (0x80 if vendor else 0) | (0x40 if mandatory else 0)) + said.to_bytes(3, "big")
    return head + (struct.pack("!I", vendor) if vendor else b"") + octets + bytes(-len(octets) % 4)


def u32(code: int, value: int, vendor: int = 0) -> bytes:
    return avp(code, struct.pack("!I", value & 0xFFFFFFFF), vendor)


def u64(code: int, value: int) -> bytes:
    return avp(code, struct.pack("!Q", value & (1 << 64) - 1))


def message(code: int, application: int, parts: list[bytes], flags: int = 0xC0, hop: int = 0, version: int = 1,
            length: int | None = None) -> bytes:
    """A request, unless the flags say otherwise."""
    body, hop = b"".join(parts), hop or next(_numbers)
    said = 20 + len(body) if length is None else length
    return bytes([version]) + said.to_bytes(3, "big") + bytes([flags]) + code.to_bytes(3, "big") + \
        struct.pack("!III", application, hop, hop) + body


class Group:
    """AVPs of a message or of a group."""

    def __init__(self, octets: bytes) -> None:
        self.avps: list[tuple[int, bytes]] = []
        at = 0
        while at < len(octets):
            code, flags = struct.unpack_from("!IB", octets, at)
            length = int.from_bytes(octets[at + 5:at + 8], "big")
            self.avps.append((code, octets[at + (12 if flags & 0x80 else 8):at + length]))
            at += length + -length % 4
        assert at == len(octets)

    def all(self, code: int) -> list[bytes]:
        return [payload for known, payload in self.avps if known == code]

    def raw(self, code: int) -> bytes | None:
        return next(iter(self.all(code)), None)

    def number(self, code: int, signed: bool = False) -> int | None:
        payload = self.raw(code)
        return None if payload is None else int.from_bytes(payload, "big", signed=signed)

    def groups(self, code: int) -> list["Group"]:
        return [Group(payload) for payload in self.all(code)]

    def group(self, code: int) -> "Group | None":
        return next(iter(self.groups(code)), None)

    @property
    def code(self) -> int | None:
        """Result-Code."""
        return self.number(268)


class Message(Group):
    """A message that was received."""

    def __init__(self, octets: bytes) -> None:
        super().__init__(octets[20:])
        self.octets, self.flags = octets, octets[4]
        self.command = int.from_bytes(octets[5:8], "big")
        self.hop, self.end = struct.unpack_from("!II", octets, 12)


class Peer:
    """A connection, with capabilities exchanged unless told not to."""

    def __init__(self, port: int, host: str, realm: str, capabilities: list[bytes] | None = None) -> None:
        self.host, self.realm, self.asked, self._octets = host, realm, list[Message](), b""
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.sendall(message(257, 0, self.own_capabilities() if capabilities is None else capabilities, 0x80))
        self.hello = self.read()

    def own_capabilities(self) -> list[bytes]:
        """CER."""
        return [avp(264, self.host), avp(296, self.realm), avp(257, b"\0\1\x7f\0\0\1"), u32(266, TGPP),
                avp(269, "test", mandatory=False), u32(258, 4)]

    def read(self, timeout_s: float = 10) -> Message:
        """The next message. Raises EOFError where the other end has closed."""
        self.socket.settimeout(timeout_s)
        while len(self._octets) < 4 or len(self._octets) < int.from_bytes(self._octets[1:4], "big"):
            got = self.socket.recv(1 << 16)
            if not got:
                raise EOFError
            self._octets += got
        length = int.from_bytes(self._octets[1:4], "big")
        found, self._octets = Message(self._octets[:length]), self._octets[length:]
        return found

    def ask(self, octets: bytes) -> Message:
        """Send a request; its answer. What the server asks meanwhile is kept."""
        self.socket.sendall(octets)
        hop, = struct.unpack_from("!I", octets, 12)
        while True:
            found = self.read()
            if not found.flags & 0x80 and found.hop == hop:
                return found
            self.asked.append(found)

    def told(self, seconds: float = 5) -> Message:
        """What the server asks next, answered with 2001."""
        found = self.asked.pop(0) if self.asked else self.read(seconds)
        self.socket.sendall(message(found.command, 4, [avp(263, found.raw(263) or b""), u32(268, 2001),
                                                       avp(264, self.host), avp(296, self.realm)], 0x40, found.hop))
        return found

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ntp(code: int, at_s: float) -> bytes:
    """Time (RFC 6733 4.3.1)."""
    return u32(code, int(at_s) + NTP)


def yesterday(hour: int, minute: int) -> int:
    """Seconds UTC of a time of day that is over."""
    return int(time.time()) // 86_400 * 86_400 - 86_400 + hour * 3600 + minute * 60


Parts = list[bytes]
Told = dict[str, Any]
