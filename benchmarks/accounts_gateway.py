"""A gateway that asks for one subscriber at a time and reads what it is told: result, result of the service, units."""

import asyncio
import time
from dataclasses import dataclass
from itertools import count

from benchmarks.online_load import HOST, NTP_S, OCS, REALM, avp

_E164, _IMSI = 0, 1
_INITIAL, _UPDATE = 1, 2
RESULT, SERVICE, GRANTED, OCTETS = 268, 456, 431, 421


@dataclass(frozen=True)
class Answer:
    """service: result of its only service, 0 where it has none; granted: octets."""

    result: int
    service: int
    granted: int


@dataclass
class Session:
    """One session of a subscriber: an initial request, updates from then on."""

    gateway: "Gateway"
    name: bytes
    subscriber: str
    kind: int
    number: int = 0

    async def request(self) -> Answer:
        """Units are asked for again, nothing was used. A session that was refused wholly begins anew."""
        answer = await self.gateway.ask(_UPDATE if self.number else _INITIAL, self)
        self.number += 1
        if answer.result >= 3000:
            self.number, self.name = 0, self.gateway.name()
        return answer


class Gateway:
    """One connection beside the load's."""

    async def connect(self, port: int) -> None:
        """Open it, and say who it is."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._hops, self._names = count(1), count(int(time.time()) << 20)
        body = avp(264, HOST) + avp(296, REALM) + avp(257, b"\0\x01\x7f\0\0\x01") + avp(266, 10415) + avp(
            269, b"load") + avp(258, 4)
        await self._send(257, 0, 0x80, body)

    def name(self) -> bytes:
        """A Session-Id that nobody had."""
        return b"pgw-01.tarifa.example;accounts;%d" % next(self._names)

    def session(self, subscriber: str, imsi: bool = False) -> Session:
        """A session that has not begun yet."""
        return Session(self, self.name(), subscriber, _IMSI if imsi else _E164)

    async def ask(self, kind: int, session: Session) -> Answer:
        """One CCR of one rating group, and its answer."""
        used = avp(446, avp(421, bytes(8))) if kind == _UPDATE else b""
        body = b"".join((
            avp(263, session.name), avp(264, HOST), avp(296, REALM), avp(283, REALM), avp(293, OCS), avp(258, 4),
            avp(416, kind), avp(415, session.number), avp(55, int(time.time()) + NTP_S),
            avp(443, avp(450, session.kind) + avp(444, session.subscriber.encode())), avp(461, b"32251@3gpp.org"),
            avp(455, 1), avp(456, avp(437, b"") + used + avp(432, 1)),
            avp(873, avp(874, avp(2, b"\0\0\0\1", 10415) + avp(30, b"internet"), 10415), 10415)))
        found = dict(_avps(await self._send(272, 4, 0xC0, body)))
        service = dict(_avps(found.get(SERVICE, b"")))
        granted = dict(_avps(service.get(GRANTED, b"")))
        return Answer(_whole(found.get(RESULT)), _whole(service.get(RESULT)), _whole(granted.get(OCTETS)))

    async def _send(self, command: int, application: int, flags: int, body: bytes) -> bytes:
        """A request and the AVPs of its answer; requests of the server's own are passed over."""
        hop = next(self._hops)
        self._writer.write(b"\1" + (20 + len(body)).to_bytes(3, "big") + bytes((flags,)) + command.to_bytes(3, "big")
                           + b"".join(n.to_bytes(4, "big") for n in (application, hop, hop)) + body)
        while True:
            head = await self._reader.readexactly(20)
            rest = await self._reader.readexactly(int.from_bytes(head[1:4], "big") - 20)
            if not head[4] & 0x80 and int.from_bytes(head[12:16], "big") == hop:
                return rest


def _whole(octets: bytes | None) -> int:
    return int.from_bytes(octets or b"", "big")


def _avps(octets: bytes) -> list[tuple[int, bytes]]:
    """Codes and values, in order."""
    found, at = [], 0
    while at + 8 <= len(octets):
        length = int.from_bytes(octets[at + 5:at + 8], "big")
        found.append((int.from_bytes(octets[at:at + 4], "big"), octets[at + (12 if octets[at + 4] & 0x80 else 8):
                                                                        at + length]))
        at += (length + 3) // 4 * 4
    return found
