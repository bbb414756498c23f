"""Files of CDRs as TS 32.297 has them: a header, then each record behind a header of its own."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

# File closure reasons of TS 32.297 6.1.1.
SIZE_LIMIT, TIME_LIMIT, MOST_RECORDS, BY_COMMAND = 1, 2, 3, 4
_HEADER_OCTETS = 54
_RELEASE = 7 << 5 | 6  # beyond release 9, see the extension; version 6
_RELEASE_16 = 6        # the extension counts from release 10
_BER, _TS_32255 = 1 << 5, 20
_SECOND_US = 1_000_000


@dataclass(frozen=True)
class ChargingFile:
    """A closed file: its records (octets, when each was closed), in order. records is never empty."""

    node: str
    sequence: int
    records: Sequence[tuple[bytes, int]]
    reason: int

    @property
    def name(self) -> str:
        """Node, sequence and the time of the latest record: collection orders by it."""
        latest = datetime.fromtimestamp(max(at for _, at in self.records) // _SECOND_US, UTC)
        return f"{self.node}_{self.sequence:06d}_{latest:%Y%m%d%H%M%S}.dat"

    def encode(self) -> bytes:
        """Octets of the file."""
        body = b"".join(struct.pack(">HBBB", len(octets), _RELEASE, _BER | _TS_32255, _RELEASE_16) + octets
                        for octets, _ in self.records)
        times = [at for _, at in self.records]
        return struct.pack(">IIBBIIIIB20sBHHBB", _HEADER_OCTETS + len(body), _HEADER_OCTETS, _RELEASE, _RELEASE,
                           _stamp(min(times)), _stamp(max(times)), len(self.records), self.sequence & 0xFFFFFFFF,
                           self.reason, b"", 0, 0, 0, _RELEASE_16, _RELEASE_16) + body


def _stamp(time_us: int) -> int:
    """Month, day, hour and minute in UTC; the format has no year."""
    at = datetime.fromtimestamp(time_us // _SECOND_US, UTC)
    return at.month << 28 | at.day << 23 | at.hour << 18 | at.minute << 12 | 1 << 11


def cut(records: Sequence[tuple[bytes, int]], most_octets: int, most_records: int, most_us: int
        ) -> list[tuple[int, int, int]]:
    """Stretches of records that make a file each, with the reason why it was closed; the last one by command."""
    found = []
    start, octets, first_us = 0, _HEADER_OCTETS, 0
    for i, (record, at) in enumerate(records):
        if i == start:
            first_us = at
        reason = SIZE_LIMIT if octets + 5 + len(record) > most_octets else MOST_RECORDS if i - start == most_records \
            else TIME_LIMIT if at - first_us > most_us else 0
        if reason and i > start:
            found.append((start, i, reason))
            start, octets, first_us = i, _HEADER_OCTETS, at
        octets += 5 + len(record)
    if start < len(records):
        found.append((start, len(records), BY_COMMAND))
    return found
