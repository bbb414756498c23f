"""RADIUS accounting packets, one after another. A layout's `from` is an attribute by name or number.

    radius: {counters: cumulative}
    records:
      - when: {Acct-Status-Type: [2, 3]}
        fields:
          - {from: Acct-Session-Id, to: session_text, as: text}
          - {from: "10415:1", to: served_imsi, as: digits}         # vendor:type, here 3GPP-IMSI

`counters: cumulative` says that each record reports the session so far (RFC 2866: octets and time since its start),
`delta` that it reports what is new. The decoder gives what the packet says; mediation turns totals into differences
by session. Request authenticators are not checked: a file carries no shared secret.
"""

import struct

import numpy as np

from mediation.formats.frame import Decoded, FileFrame
from mediation.formats.layout import FieldLayout, Layout, check_keys
from mediation.formats.text import ROWS_PER_CALL, Room, Rooms, run
from mediation.formats.text_fields import Compiler
from mediation.formats.text_frame import describe_row
from mediation.kernels import radius_packets as kernel
from mediation.kernels.text_rows import SPAN_WIDTH
from schemas.columns import U8

# Source: RFC 2865, 2866, 2869, 3162, 4372; TS 29.061 clause 16.4.7 for the vendor 10415.
ATTRIBUTES = {
    "User-Name": (0, 1), "NAS-IP-Address": (0, 4), "NAS-Port": (0, 5), "Framed-IP-Address": (0, 8), "Class": (0, 25),
    "Called-Station-Id": (0, 30), "Calling-Station-Id": (0, 31), "NAS-Identifier": (0, 32),
    "Acct-Status-Type": (0, 40), "Acct-Delay-Time": (0, 41), "Acct-Input-Octets": (0, 42),
    "Acct-Output-Octets": (0, 43), "Acct-Session-Id": (0, 44), "Acct-Session-Time": (0, 46),
    "Acct-Input-Packets": (0, 47), "Acct-Output-Packets": (0, 48), "Acct-Terminate-Cause": (0, 49),
    "Acct-Multi-Session-Id": (0, 50), "Acct-Input-Gigawords": (0, 52), "Acct-Output-Gigawords": (0, 53),
    "Event-Timestamp": (0, 55), "NAS-Port-Type": (0, 61), "NAS-Port-Id": (0, 87), "Chargeable-User-Identity": (0, 89),
    "3GPP-IMSI": (10415, 1), "3GPP-Charging-Id": (10415, 2), "3GPP-GGSN-Address": (10415, 7),
    "3GPP-SGSN-MCC-MNC": (10415, 18), "3GPP-IMEISV": (10415, 20), "3GPP-RAT-Type": (10415, 21),
}
_NAMES = {number: name for name, number in ATTRIBUTES.items()}


def load(layout: Layout) -> "RadiusFormat":
    """The format that a layout of family radius declares. Raises FormatError with file and line."""
    return RadiusFormat(layout)


class RadiusFormat:
    """RADIUS accounting by one layout. `counters` is "cumulative" or "delta"."""

    def __init__(self, layout: Layout) -> None:
        check_keys(layout, layout.options, {"counters"})
        self.layout, self.name, self.record_key = layout, layout.name, layout.record_key
        self.counters = str(layout.options.get("counters", "cumulative"))
        if self.counters not in ("cumulative", "delta"):
            raise layout.error(layout.options.lines["counters"], f"counters '{self.counters}'", "cumulative or delta")
        compiler = Compiler(layout, self._resolve, {}, switch_key=lambda value: struct.pack(">I", int(value)))
        self.tables = compiler.compile()
        self._attributes = np.array([(*_number(source), slot) for source, slot in self.tables.slots.items()],
                                    np.int64).reshape(-1, kernel.ATTRIBUTE_WIDTH)
        self._switch = np.array([self.tables.kind_slot, *self.tables.kind_range], np.int64)
        self._rooms = Rooms(ROWS_PER_CALL)

    def _resolve(self, item: FieldLayout, source: str, inside: bool) -> tuple[str, int]:
        if inside:
            raise self.layout.error(item.line, "containers in a radius layout", "one row a packet")
        try:
            _number(source)
        except ValueError:
            raise self.layout.error(item.line, f"unknown attribute '{source}'", "a name such as Acct-Session-Id, a "
                                    "type such as 44, or vendor:type such as 10415:1") from None
        return source, 0

    def inspect(self, buffer: U8) -> FileFrame:
        """Packets from the first byte to the last; there is no header."""
        return FileFrame(0, len(buffer))

    def decode(self, buffer: U8, start: int, end: int, max_records: int) -> Decoded:
        """Packets of `[start, end)` as rows, one each."""
        tables, attributes, switch = self.tables, self._attributes, self._switch
        spans = np.full((max(len(tables.slots), 1), SPAN_WIDTH), -1, np.int64)

        def step(at: int, most: int, room: Room) -> tuple[int, int]:
            rows, following = kernel.decode_radius_nb(
                buffer, at, end, most, attributes, switch, tables.fields, tables.kinds, tables.template, tables.pool,
                tables.maps, tables.nulls, tables.derive, spans, room.scratch, room.scratch_in, room.rows)
            return rows, following

        return run(step, self._rooms.room, start, end, max_records, min((end - start) // 100 + 1, max_records))

    def describe(self, buffer: U8, start: int, end: int) -> dict[str, object]:
        """The attributes of one packet: text where it is text, otherwise octets; and what they were read as."""
        packet = bytes(buffer[start:end])
        attributes: list[list[str]] = []
        at = kernel.HEADER_OCTETS
        while at + 2 <= len(packet) and packet[at + 1] >= 2:
            number, value = (0, packet[at]), packet[at + 2:at + packet[at + 1]]
            if packet[at] == kernel.VENDOR_SPECIFIC and len(value) > 6:
                number, value = (int.from_bytes(value[:4], "big"), value[4]), value[6:]
            name = _NAMES.get(number, f"{number[0]}:{number[1]}" if number[0] else str(number[1]))
            attributes.append([name, _shown(value)])
            at += packet[at + 1]
        return {"format": self.name, "code": packet[0] if packet else None, "attributes": attributes,
                "read_as": describe_row(self, buffer, start, end)}


def _number(source: str) -> tuple[int, int]:
    """Vendor and type of an attribute's name or number. Raises ValueError."""
    if source in ATTRIBUTES:
        return ATTRIBUTES[source]
    vendor, _, kind = source.rpartition(":")
    return int(vendor or 0), int(kind)


def _shown(value: bytes) -> str:
    if len(value) != 4 and value.isascii() and value.decode().isprintable():
        return value.decode()
    return value.hex()
