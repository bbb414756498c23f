"""A CHF record in BER (TS 32.298, CHFChargingDataTypes, ChargingRecord) of what a session used online.

Written with definite, minimal lengths. Tags are context-specific and implicit, as that module says; numbers in the
comments are its tags. What it has no field for (money) is in the ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.codes import Service

NORMAL_RELEASE, ABNORMAL_RELEASE, TIME_LIMIT, MAX_CHANGES = 0, 4, 17, 19  # CauseForRecClosing
SMF, SMSF, CHF, PGW_C_SMF = 1, 3, 0, 9  # NetworkFunctionality
E164, IMSI = 0, 1  # SubscriptionIDType
_RECORD_TYPE = 200
_SEQUENCE = 0x30
_SECOND_US = 1_000_000


@dataclass(frozen=True)
class Used:
    """A used unit container: units of one service in a stretch of time. -1: the protocol did not say."""

    rating_group: int
    service_identifier: int
    since_us: int
    until_us: int
    quantity: int


@dataclass(frozen=True)
class ChfRecord:
    """What a record says. sequence: of the partials of its session, 0 where it is the only one. subscriber: (type,
    digits), where it is known. gateway_address: IPv4 as a number; -1 for none, as charging_id."""

    node: str
    session: str
    service: Service
    opened_us: int
    closed_us: int
    cause: int
    sequence: int
    local_sequence: int
    used: Sequence[Used]
    functionality: int = CHF
    charging_id: int = -1
    gateway_address: int = -1
    subscriber: tuple[int, str] | None = None

    def encode(self) -> bytes:
        """BER of the record."""
        fields = [_integer(0, _RECORD_TYPE), _context(1, self.node.encode("ascii"))]
        if self.subscriber is not None:
            kind, digits = self.subscriber
            fields.append(_made(2, _integer(0, kind), _context(1, digits.encode("utf-8"))))
        address = [] if self.gateway_address < 0 else [_made(2, _context(0, self.gateway_address.to_bytes(4, "big")))]
        fields.append(_made(3, _integer(0, self.functionality), *address))
        fields.append(_made(5, *self._usage()))
        fields += [_context(6, time_stamp(self.opened_us)),
                   _integer(7, max(self.closed_us - self.opened_us, 0) // _SECOND_US)]
        if self.sequence:
            fields.append(_integer(8, self.sequence))
        fields += [_integer(9, self.cause), _integer(11, self.local_sequence)]
        if self.service == Service.SMS:
            fields.append(_made(15, _context(8, time_stamp(self.used[0].until_us))))
        fields.append(_context(16, self.session.encode("ascii")))
        if self.charging_id >= 0:
            fields.append(_integer(27, self.charging_id))
        return _made(_RECORD_TYPE, *fields)

    def _usage(self) -> list[bytes]:
        """MultipleUnitUsage for each rating group, in the order in which they first reported. Usage that was reported
        without one has group 0, since the field is mandatory."""
        groups: dict[int, list[bytes]] = {}
        for used in self.used:
            groups.setdefault(max(used.rating_group, 0), []).append(self._container(used))
        return [_universal(_SEQUENCE, _integer(0, group), _made(1, *containers))
                for group, containers in groups.items()]

    def _container(self, used: Used) -> bytes:
        fields = [] if used.service_identifier < 0 else [_integer(0, used.service_identifier)]
        # Whole seconds, as the time stamps: the container ends where its report was made.
        seconds = used.until_us // _SECOND_US - used.since_us // _SECOND_US
        fields.append(_integer(1, used.quantity if self.service == Service.VOICE else seconds))
        fields.append(_context(3, time_stamp(used.until_us)))
        if self.service == Service.DATA:
            fields += [_integer(4, used.quantity), _made(11, _context(2, time_stamp(used.since_us)),
                                                         _context(3, time_stamp(used.until_us)))]
        else:
            if self.service != Service.VOICE:
                fields.append(_integer(7, used.quantity))
            fields.append(_context(8, time_stamp(used.since_us)))
        return _universal(_SEQUENCE, *fields)


def time_stamp(time_us: int) -> bytes:
    """TimeStamp: YYMMDDhhmmss as BCD, then the offset to UTC, which is none."""
    return bytes.fromhex(datetime.fromtimestamp(time_us // _SECOND_US, UTC).strftime("%y%m%d%H%M%S")) + b"+\0\0"


def _head(number: int, constructed: bool, length: int) -> bytes:
    """Identifier and length octets of a context-specific tag."""
    form = 0xA0 if constructed else 0x80
    if number < 31:
        identifier = bytes([form | number])
    elif number < 128:
        identifier = bytes([form | 31, number])
    else:
        identifier = bytes([form | 31, 0x80 | number >> 7, number & 127])
    return identifier + _length(length)


def _length(length: int) -> bytes:
    if length < 128:
        return bytes([length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def _context(number: int, content: bytes) -> bytes:
    return _head(number, False, len(content)) + content


def _made(number: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return _head(number, True, len(content)) + content


def _universal(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes([tag]) + _length(len(content)) + content


def _integer(number: int, value: int) -> bytes:
    """INTEGER or ENUMERATED, not negative."""
    return _context(number, value.to_bytes(value.bit_length() // 8 + 1, "big"))
