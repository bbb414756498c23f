"""One BER record as a readable tree: tag, name where the layout knows it, value. Plain Python, for people."""

from datetime import UTC, datetime, timedelta

import numpy as np

from mediation.formats.ber_compile import Tables
from mediation.formats.conversions import CONVERSIONS
from mediation.kernels.ber_values import convert_one_nb
from schemas.codes import NumberType, Reason
from schemas.columns import ABSENT, U8
from schemas.digits import unpack

_MAX_DEPTH = 24
_MAX_ELEMENTS = 5000
_SHOWN_OCTETS = 64
_CLASS = ("U", "A", "", "P")
_NUMBERS = {"tbcd", "imei", "address-string", "sms-address", "digits", "uri", "subscriber"}


def describe_record(tables: Tables, buffer: U8, start: int, end: int, framed: bool) -> dict[str, object]:
    """The octets [start, end) of one record: its frame, its kind, its fields. Never raises on bytes."""
    octets = buffer[max(start, 0):max(end, 0)].tobytes()
    tree: dict[str, object] = {"offset": start, "octets": len(octets)}
    at = 0
    if framed and len(octets) >= 5:
        at = 5 if octets[2] >> 5 == 7 else 4
        tree["frame"] = {"length": int.from_bytes(octets[:2], "big"), "release": octets[2] >> 5,
                         "version": octets[2] & 31, "format": octets[3] >> 5, "specification": octets[3] & 31}
    walker = _Walker(tables, octets)
    elements = walker.elements(at, len(octets), 0, 0, once=True)
    record = elements[0] if elements else {}
    tree["record"] = record.get("name", "unknown")
    tree["tag"] = record.get("tag")
    tree["fields"] = record.get("fields", [])
    if walker.trouble:
        tree["trouble"] = walker.trouble
    if walker.behind < len(octets) and not walker.trouble:
        tree["behind"] = _hex(octets[walker.behind:])
    return tree


class _Walker:
    def __init__(self, tables: Tables, octets: bytes) -> None:
        self.tables, self.octets = tables, octets
        self.trouble = ""
        self.count = 0
        self.behind = 0

    def elements(self, at: int, end: int, node: int, depth: int, once: bool = False,
                 indefinite: bool = False) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        self.behind = at
        while at < end and not self.trouble:
            if indefinite and self.octets[at:at + 2] == b"\0\0":
                self.behind = at + 2
                return found
            header = self.header(at, end)
            if header is None:
                self.trouble = f"no element at {at}"
                break
            cls, number, constructed, content, length = header
            self.count += 1
            if self.count > _MAX_ELEMENTS or depth > _MAX_DEPTH:
                self.trouble = f"more than {_MAX_ELEMENTS} elements or {_MAX_DEPTH} levels at {at}"
                break
            below = self.tables.children.get((node, (cls, number)), 0) if node >= 0 else 0
            item: dict[str, object] = {"tag": f"{_CLASS[cls]}{number}"}
            name = self.tables.names.get(below)
            if name:
                item["name"] = name
            stop = end if length < 0 else content + length
            if stop > end:
                self.trouble = f"element at {at} has {length} octets, {end - content} are left"
                break
            if constructed:
                item["fields"] = self.elements(content, stop, below or -1, depth + 1, indefinite=length < 0)
                stop = self.behind if length < 0 else stop
            else:
                item["value"] = self.value(below, content, length)
            found.append(item)
            at = self.behind = stop
            if once:
                break
        else:
            if indefinite and not self.trouble:
                self.trouble = f"no end of contents before {end}"
        return found

    def header(self, at: int, end: int) -> tuple[int, int, bool, int, int] | None:
        """(class, number, constructed, content, length or -1 for indefinite); None for no element."""
        octets = self.octets
        first = octets[at]
        number, at = first & 31, at + 1
        if number == 31:
            number = 0
            while at < end and number <= 0xFFFFFF:
                number = number << 7 | octets[at] & 127
                at += 1
                if octets[at - 1] < 128:
                    break
            else:
                return None
        if at >= end:
            return None
        length, at = octets[at], at + 1
        if length == 0x80:
            return (first >> 6, number, True, at, -1) if first & 32 else None
        if length > 0x80:
            count = length & 127
            if count > 8 or at + count > end:
                return None
            length, at = int.from_bytes(octets[at:at + count], "big"), at + count
        return first >> 6, number, bool(first & 32), at, length

    def value(self, node: int, at: int, length: int) -> object:
        octets = self.octets[at:at + length]
        conversion = self.tables.conversions.get(node)
        if conversion is None or conversion == "text":
            return _guess(octets)
        if conversion == "subscriber":
            return _guess(octets)
        result = np.zeros(3, np.int64)
        convert_one_nb(CONVERSIONS[conversion].code, np.frombuffer(octets, np.uint8), result)
        cell, kind, reason = result.tolist()
        if reason != Reason.OK:
            return {"octets": _hex(octets), "unreadable": Reason(reason).name}
        return _shown(conversion, cell, kind, octets)


def _shown(conversion: str, cell: int, kind: int, octets: bytes) -> object:
    if cell == ABSENT:
        return ""
    if conversion in _NUMBERS:
        if kind == NumberType.TEXT:
            return _guess(octets)
        return f"+{unpack(cell)}" if kind == NumberType.INTERNATIONAL else unpack(cell)
    if conversion == "timestamp9":
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=cell)).isoformat()
    if conversion in ("ipv4", "ipv4-text") or (conversion == "ip-number" and len(octets) == 4):
        return ".".join(str(part) for part in cell.to_bytes(4, "big"))
    if conversion in ("ipv6", "ipv6-text", "ip-number"):
        return _guess(octets)
    if conversion == "plmn":
        return f"{cell // 1000:03}-{cell % 1000:02}"
    return cell


def _guess(octets: bytes) -> str:
    """Text where every octet prints, otherwise hexadecimal."""
    if octets and all(32 <= octet < 127 for octet in octets):
        return octets[:_SHOWN_OCTETS * 4].decode("ascii")
    return _hex(octets)


def _hex(octets: bytes) -> str:
    more = f" and {len(octets) - _SHOWN_OCTETS} more" if len(octets) > _SHOWN_OCTETS else ""
    return octets[:_SHOWN_OCTETS].hex(" ") + more
