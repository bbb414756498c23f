"""The file header of TS 32.297: lengths, release, times, count, sequence, closure, node, extensions. Big-endian.

    0 file length (4)   4 header length (4)   8 high, 9 low release and version (release = top three bits)
    10 opening and 14 last append time (4 each: month, day, hour, minute, sign, offset; no year)
    18 record count (4)   22 file sequence number (4)   26 closure reason (1, from 128 abnormal)
    27 node address (20)   47 lost-record indicator (1)   48 routeing filter (2 + n)   private extension (2 + n)
    then a release extension octet for each of the two releases that is 7.
"""

from dataclasses import dataclass

from schemas.columns import U8

FIXED_OCTETS = 48
SHORTEST = FIXED_OCTETS + 4


@dataclass(frozen=True)
class HeaderTime:
    """Month, day, hour and minute in local time with its offset; the format has no year."""

    month: int
    day: int
    hour: int
    minute: int
    offset_minutes: int

    @property
    def sane(self) -> bool:
        """All zero (not set), or a time that can be."""
        if self.month == self.day == 0:
            return True
        return 1 <= self.month <= 12 and 1 <= self.day <= 31 and self.hour < 24 and self.minute < 60


@dataclass(frozen=True)
class FileHeader:
    """What the header says. `fields_octets` is the length that its own fields add up to."""

    file_octets: int
    header_octets: int
    high_release: tuple[int, int]
    low_release: tuple[int, int]
    opening: HeaderTime
    last_append: HeaderTime
    records: int
    sequence: int
    closure_reason: int
    node_address: bytes
    lost_records: int
    routeing_filter: bytes
    private_extension: bytes
    release_extensions: tuple[int, ...]
    fields_octets: int

    def problems(self, size: int) -> tuple[str, ...]:
        """Where the header contradicts itself or a file of `size` octets."""
        found = []
        if self.file_octets != size:
            found.append(f"header says the file has {self.file_octets} octets, it has {size}")
        if self.header_octets != self.fields_octets:
            found.append(f"header says it has {self.header_octets} octets, its fields take {self.fields_octets}")
        for name, time in (("opening time", self.opening), ("last append time", self.last_append)):
            if not time.sane:
                found.append(f"{name} {time.month:02}-{time.day:02} {time.hour:02}:{time.minute:02} is none")
        return tuple(found)


def read_header(buffer: U8) -> FileHeader | None:
    """The header at the beginning of a file, or None when there is no room for one. Believes nothing."""
    head = buffer[:SHORTEST].tobytes()
    if len(head) < SHORTEST:
        return None
    filter_octets = int.from_bytes(head[48:50], "big")
    at = FIXED_OCTETS + 2
    routeing_filter = buffer[at:at + filter_octets].tobytes()
    at += filter_octets
    private_octets = int.from_bytes(buffer[at:at + 2].tobytes(), "big")
    private_extension = buffer[at + 2:at + 2 + private_octets].tobytes()
    at += 2 + private_octets
    extended = sum(octet >> 5 == 7 for octet in head[8:10])
    extensions = tuple(buffer[at:at + extended].tolist())
    return FileHeader(
        file_octets=int.from_bytes(head[0:4], "big"), header_octets=int.from_bytes(head[4:8], "big"),
        high_release=(head[8] >> 5, head[8] & 31), low_release=(head[9] >> 5, head[9] & 31),
        opening=_time(head[10:14]), last_append=_time(head[14:18]),
        records=int.from_bytes(head[18:22], "big"), sequence=int.from_bytes(head[22:26], "big"),
        closure_reason=head[26], node_address=head[27:47], lost_records=head[47],
        routeing_filter=routeing_filter, private_extension=private_extension, release_extensions=extensions,
        fields_octets=at + extended)


def _time(octets: bytes) -> HeaderTime:
    bits = int.from_bytes(octets, "big")
    offset = (bits >> 6 & 31) * 60 + (bits & 63)
    return HeaderTime(bits >> 28, bits >> 23 & 31, bits >> 18 & 31, bits >> 12 & 63,
                      offset if bits >> 11 & 1 else -offset)
