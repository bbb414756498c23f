"""Messages of the base protocol (RFC 6733 5): few, so one by one and in Python."""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.diameter.dictionary import CREDIT_CONTROL, RELAY, SY, TGPP
from pipelines.diameter.results import Command, Result

REQUEST, PROXIABLE, ERROR = 0x80, 0x40, 0x20
HEADER = 20
REBOOTING = 0  # Disconnect-Cause
(_HOST, _REALM, _RESULT, _STATE, _ADDRESS, _VENDOR, _PRODUCT, _SUPPORTED, _AUTH, _ACCT, _SPECIFIC, _CAUSE) = (
    264, 296, 268, 278, 257, 266, 269, 265, 258, 259, 260, 273)


@dataclass(frozen=True)
class Identity:
    """Who we are. `origin_state_id` changes only when sessions were lost; `realms` are all those that are served."""

    host: str
    realm: str
    origin_state_id: int
    realms: tuple[str, ...] = ()
    product: str = "Tarifa"
    vendor_id: int = 0
    applications: tuple[int, ...] = (CREDIT_CONTROL, SY)

    @property
    def served(self) -> tuple[str, ...]:
        """Realms that are served, our own first."""
        return tuple(dict.fromkeys((self.realm.lower(), *(r.lower() for r in self.realms))))


@dataclass(frozen=True)
class Capabilities:
    """What a CER says."""

    host: str
    realm: str
    applications: frozenset[int]

    def common(self, ours: Sequence[int]) -> frozenset[int]:
        """Applications of both; a relay has all."""
        return frozenset(ours) if RELAY in self.applications else self.applications & frozenset(ours)


def avps(octets: bytes, start: int = HEADER, stop: int | None = None) -> Iterator[tuple[int, int, bytes]]:
    """(code, vendor, payload) of the AVPs of a message, or of a group, that the parser has found sound."""
    stop = len(octets) if stop is None else stop
    while start + 8 <= stop:
        code, flags = int.from_bytes(octets[start:start + 4], "big"), octets[start + 4]
        size = int.from_bytes(octets[start + 5:start + 8], "big")
        head = 12 if flags & 0x80 else 8
        if size < head or size > stop - start:
            return
        vendor = int.from_bytes(octets[start + 8:start + 12], "big") if flags & 0x80 else 0
        yield code, vendor, octets[start + head:start + size]
        start += size + 3 & ~3


def avp(code: int, payload: bytes | int, mandatory: bool = True) -> bytes:
    """One AVP of the IETF; whole numbers have 32 bits."""
    octets = payload.to_bytes(4, "big") if isinstance(payload, int) else payload
    return (code.to_bytes(4, "big") + (b"\x40" if mandatory else b"\0") + (8 + len(octets)).to_bytes(3, "big")
            + octets + bytes(-len(octets) % 4))


def message(flags: int, command: int, hop_by_hop: int, end_to_end: int, body: bytes, application: int = 0) -> bytes:
    """Header and body."""
    return (b"\x01" + (HEADER + len(body)).to_bytes(3, "big") + bytes([flags]) + command.to_bytes(3, "big")
            + application.to_bytes(4, "big") + hop_by_hop.to_bytes(4, "big") + end_to_end.to_bytes(4, "big") + body)


def _origin(identity: Identity) -> bytes:
    return avp(_HOST, identity.host.encode()) + avp(_REALM, identity.realm.encode())


def capabilities(octets: bytes) -> Capabilities:
    """Read a CER or CEA."""
    host, realm, applications = "", "", set()
    for code, vendor, payload in avps(octets):
        if vendor:
            continue
        if code == _HOST:
            host = payload.decode("ascii", "replace").lower()
        elif code == _REALM:
            realm = payload.decode("ascii", "replace").lower()
        elif code == _AUTH and len(payload) == 4:
            applications.add(int.from_bytes(payload, "big"))
        elif code == _SPECIFIC:
            applications |= {int.from_bytes(p, "big") for c, v, p in avps(payload, 0) if c == _AUTH and not v
                             and len(p) == 4}
        elif code == _ACCT and payload == RELAY.to_bytes(4, "big"):
            applications.add(RELAY)
    return Capabilities(host, realm, frozenset(applications))


def _abilities(identity: Identity, addresses: Sequence[str]) -> bytes:
    body = b"".join(avp(_ADDRESS, (b"\0\x01" if a.version == 4 else b"\0\x02") + a.packed)
                    for a in map(ipaddress.ip_address, addresses))
    body += avp(_VENDOR, identity.vendor_id) + avp(_PRODUCT, identity.product.encode(), mandatory=False)
    body += avp(_STATE, identity.origin_state_id) + avp(_SUPPORTED, TGPP)
    for application in identity.applications:
        plain = avp(_AUTH, application)
        body += plain if application == CREDIT_CONTROL else avp(_SPECIFIC, avp(_VENDOR, TGPP) + plain)
    return body


def capabilities_answer(identity: Identity, result: int, addresses: Sequence[str], hop: int, end: int) -> bytes:
    """CEA."""
    flags = ERROR if 3000 <= result < 4000 else 0
    body = avp(_RESULT, result) + _origin(identity) + _abilities(identity, addresses)
    return message(flags, Command.CAPABILITIES_EXCHANGE, hop, end, body)


def capabilities_request(identity: Identity, addresses: Sequence[str], hop: int, end: int) -> bytes:
    """CER, of the side that connects."""
    body = _origin(identity) + _abilities(identity, addresses)
    return message(REQUEST, Command.CAPABILITIES_EXCHANGE, hop, end, body)


def watchdog_request(identity: Identity, hop: int, end: int) -> bytes:
    """DWR."""
    body = _origin(identity) + avp(_STATE, identity.origin_state_id)
    return message(REQUEST, Command.DEVICE_WATCHDOG, hop, end, body)


def disconnect_request(identity: Identity, cause: int, hop: int, end: int) -> bytes:
    """DPR."""
    return message(REQUEST, Command.DISCONNECT_PEER, hop, end, _origin(identity) + avp(_CAUSE, cause))


def plain_answer(identity: Identity, command: int, result: int, hop: int, end: int) -> bytes:
    """DWA and DPA."""
    flags = ERROR if 3000 <= result < 4000 else 0
    body = avp(_RESULT, result) + _origin(identity)
    if command == Command.DEVICE_WATCHDOG and result == Result.SUCCESS:
        body += avp(_STATE, identity.origin_state_id)
    return message(flags, command, hop, end, body)
