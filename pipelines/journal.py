"""The lanes' journal, embedded: one order of everything the lanes apply, on a local disk.

An entry's position is its place in that order, from 0; "at position p" means that the entries before p count.
Entries are appended in groups: one frame and one fdatasync a group. Files (segments) are named after the position
of their first entry, space is preallocated, and the room after the last frame reads as zeros.

    header  64 octets  magic "TARIFAJN", version u32, 0 u32, first position u64, zeros, crc32 u32
    frame   32 octets  magic, octets of the body u32, position of its first entry u64, entries u32,
                       crc of the frame before u32, 0 u32, crc32 of header (without this field) and body u32
            body       per entry: octets u32, kind u8, content; then zeros up to a multiple of 8

A group is written only when the one before it is synced. So a frame that does not check and is followed by none
that does is a torn write and is cut; followed by a whole one it is damage, which is an error that names the place.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from pipelines.durable import AppendFile, Disk, reached
from pipelines.lock import take_lock
from schemas.errors import InvariantError, LedgerError

VERSION = 1
_MAGIC, _FRAME_MAGIC = b"TARIFAJN", b"\xf5\x00\xa7\xfe"  # the second occurs in no JSON
_HEADER, _FRAME = struct.Struct("<8sIIQ36xI"), struct.Struct("<4sIQIIII")
_ENTRY, _BLOCK, _CLOCK = struct.Struct("<IB"), struct.Struct("<QQQ32s"), struct.Struct("<q")


class EntryKind(IntEnum):
    """What an entry is. The values are written: never renumber."""

    BLOCK = 0
    COMMAND = 1
    CLOCK = 2
    ONLINE = 3


@dataclass(frozen=True)
class Block:
    """Rows [from_row, to_row) of the usage file that mediation committed in `version`."""

    version: int
    file_sha256: bytes
    from_row: int
    to_row: int


@dataclass(frozen=True)
class Command:
    """A command whole, as JSON."""

    content: bytes


@dataclass(frozen=True)
class Clock:
    """Time advanced to here."""

    time_us: int


@dataclass(frozen=True)
class Online:
    """Requests that were answered together, as `pipelines.online_entry` writes them; maybe none."""

    content: bytes


Entry = Block | Command | Clock | Online


@dataclass
class _Segment:
    path: Path
    first: int       # position of its first entry
    next: int        # position after its last
    end: int         # octets that hold whole frames
    before_crc: int  # of the frame before its first
    last_crc: int    # of its last frame


class Journal:
    """The one writer. Open it, read from where the snapshot or ledger stands, append."""

    def __init__(self, folder: Path, disk: Disk, segments: list[_Segment], segment_octets: int, preallocate_octets: int,
                 lock: int) -> None:
        self._folder, self._disk, self._segments, self._lock = folder, disk, segments, lock
        self._segment_octets, self._preallocate_octets = segment_octets, preallocate_octets
        self._file: AppendFile | None = None
        self._failed = False

    @classmethod
    def open(cls, folder: Path, disk: Disk | None = None, at_least: int = 0, segment_octets: int = 64 << 20,
             preallocate_octets: int = 4 << 20) -> "Journal":
        """Open for writing; cuts a torn tail.

        at_least: a position that the ledger or a snapshot already names, which a whole journal must reach.
        Raises StaleWriterError: another process has it open. LedgerError: damage, with file and offset; an unknown
        version; or entries that were durable once are gone.
        """
        disk = disk or Disk()
        disk.make_dir(folder)
        journal = cls(folder, disk, [], segment_octets, preallocate_octets, take_lock(folder, "journal"))
        try:
            journal._continue(at_least)
        except BaseException:
            journal.close()
            raise
        return journal

    @property
    def position(self) -> int:
        """Position of the next entry."""
        return self._segments[-1].next if self._segments else 0

    @property
    def start(self) -> int:
        """First position that can still be read."""
        return self._segments[0].first if self._segments else 0

    def append(self, entries: Sequence[Entry]) -> int:
        """Write entries as one group and sync. Returns the position of the first; durable when this returns.

        After an OSError the group may or may not be there: the journal refuses more until it is opened again.
        """
        if self._failed or self._lock < 0:
            raise LedgerError("this journal is closed, or a write to it failed", remedy="open it again")
        first = self.position
        if not entries:
            return first
        self._failed = True
        body = b"".join(_encode(e) for e in entries)
        body += bytes(-len(body) % 8)
        if self._file is None or self._segments[-1].end + _FRAME.size + len(body) > self._segment_octets:
            self._roll(first)
        segment, file = self._segments[-1], self._file
        assert file is not None
        head = _FRAME.pack(_FRAME_MAGIC, len(body), first, len(entries), segment.last_crc, 0, 0)[:-4]
        crc = zlib.crc32(body, zlib.crc32(head))
        file.append((head + crc.to_bytes(4, "little") + body,))
        reached("journal.append.1")
        file.sync()
        reached("journal.append.2")
        segment.end, segment.next, segment.last_crc = file.end, first + len(entries), crc
        self._failed = False
        return first

    def read(self, position: int, stop: int | None = None) -> Iterator[tuple[int, Entry]]:
        """Entries [position, stop) with their positions, in order; `stop` is the end unless given.

        Raises LedgerError: the position has been trimmed, or does not exist yet.
        """
        yield from _read(self._disk, self._segments, position, stop)

    def trim(self, snapshot_position: int, ledger_position: int) -> int:
        """Remove segments that lie wholly below both positions. Returns the first position that is left."""
        self.remove(self.release(snapshot_position, ledger_position))
        return self.start

    def release(self, snapshot_position: int, ledger_position: int) -> list[Path]:
        """Let go of segments that lie wholly below both positions: they are not read any more, and `remove` is to be
        called with them, in this order. Who is stopped before finds them again when the journal is opened."""
        if max(snapshot_position, ledger_position) > self.position:
            raise InvariantError(f"trim to {snapshot_position}, {ledger_position}: the journal ends at {self.position}")
        below, released = min(snapshot_position, ledger_position), list[Path]()
        while len(self._segments) > 1 and self._segments[0].next <= below:
            released.append(self._segments.pop(0).path)
        return released

    def remove(self, segments: Sequence[Path]) -> None:
        """Remove what was released; on any thread."""
        for path in segments:
            self._disk.unlink(path)
            self._disk.sync_dir(self._folder)  # each at once: what is left must be without gaps whenever power fails
            reached("journal.trim.1")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _continue(self, at_least: int) -> None:
        """Check what is there and go on in the last segment, what is torn cut off."""
        self._segments = _scan(self._folder, self._disk)
        if self._segments and self._segments[-1].end == 0:  # killed while the segment was being made
            self._disk.unlink(self._segments.pop().path)
            self._disk.sync_dir(self._folder)
        if self.position < at_least:
            raise LedgerError(f"journal {self._folder} ends at position {self.position}", f"at least {at_least}",
                              "restore the journal, or the ledger and snapshots that go with it")
        if self._segments:
            last = self._segments[-1]
            self._file = self._disk.open_append(last.path, self._preallocate_octets)
            self._file.truncate(last.end)
            self._file.sync()

    def _roll(self, first: int) -> None:
        """Begin a new segment: 1 cut the old one's spare room; 2 the new file with its header; 3 its name."""
        if self._file is not None:
            self._file.truncate(self._segments[-1].end)
            self._file.sync()
            self._file.close()
            self._file = None
            reached("journal.roll.1")
        path = self._folder / f"{first:020d}.journal"
        head = _HEADER.pack(_MAGIC, VERSION, 0, first, 0)[:-4]
        file = self._disk.open_append(path, self._preallocate_octets)
        self._file = file
        file.append((head + zlib.crc32(head).to_bytes(4, "little"),))
        file.sync()
        reached("journal.roll.2")
        self._disk.sync_dir(self._folder)
        reached("journal.roll.3")
        crc = self._segments[-1].last_crc if self._segments else 0
        self._segments.append(_Segment(path, first, first, file.end, crc, crc))


def read_journal(folder: Path, position: int, stop: int | None = None, disk: Disk | None = None
                 ) -> Iterator[tuple[int, Entry]]:
    """Entries [position, stop) of a journal that somebody else may be writing. Changes nothing."""
    disk = disk or Disk()
    yield from _read(disk, [s for s in _scan(folder, disk) if s.end], position, stop)


@dataclass(frozen=True)
class Place:
    """Where a frame ends, or a segment begins: the first `end` octets of `path`, with the segments before it, are the
    journal up to position `stop`. version: newest commit of mediation that the frame's blocks name, or 0."""

    path: Path
    end: int
    stop: int
    version: int


def places(folder: Path, disk: Disk | None = None) -> Iterator[Place]:
    """Where a journal may be cut, in order: the beginning of each segment and the end of each frame that is whole.

    Somebody else may be writing it. Raises LedgerError as `Journal.open` does.
    """
    disk = disk or Disk()
    for segment in (s for s in _scan(folder, disk) if s.end):
        content = disk.read(segment.path)
        yield Place(segment.path, _HEADER.size, segment.first, 0)
        offset = _HEADER.size
        while offset < segment.end:
            _, octets, first, count, _, _, _ = _FRAME.unpack_from(content, offset)
            yield Place(segment.path, offset + _FRAME.size + octets, first + count,
                        _newest_version(content, offset + _FRAME.size, count))
            offset += _FRAME.size + octets


def _newest_version(content: bytes, offset: int, count: int) -> int:
    """Newest commit of mediation that blocks among the entries of a frame name."""
    version = 0
    for _ in range(count):
        octets, kind = _ENTRY.unpack_from(content, offset)
        offset += _ENTRY.size
        if kind == EntryKind.BLOCK:
            version = max(version, _BLOCK.unpack_from(content, offset)[0])
        offset += octets
    return version


def _encode(entry: Entry) -> bytes:
    match entry:
        case Block(version, sha256, from_row, to_row):
            if len(sha256) != 32:
                raise InvariantError(f"a SHA-256 of {len(sha256)} octets")
            kind, content = EntryKind.BLOCK, _BLOCK.pack(version, from_row, to_row, sha256)
        case Command(content):
            kind = EntryKind.COMMAND
        case Clock(time_us):
            kind, content = EntryKind.CLOCK, _CLOCK.pack(time_us)
        case Online(content):
            kind = EntryKind.ONLINE
    return _ENTRY.pack(len(content), kind) + content


def _decode(kind: int, content: bytes) -> Entry:
    if kind == EntryKind.BLOCK:
        version, from_row, to_row, sha256 = _BLOCK.unpack(content)
        return Block(version, sha256, from_row, to_row)
    if kind == EntryKind.COMMAND:
        return Command(content)
    if kind == EntryKind.CLOCK:
        return Clock(_CLOCK.unpack(content)[0])
    if kind == EntryKind.ONLINE:
        return Online(content)
    raise LedgerError(f"journal entry of unknown kind {kind}", remedy="use the release that wrote it, or a newer one")


def _read(disk: Disk, segments: Sequence[_Segment], position: int, stop: int | None) -> Iterator[tuple[int, Entry]]:
    start, end = (segments[0].first, segments[-1].next) if segments else (0, 0)
    if not start <= position <= end:
        raise LedgerError(f"position {position} is not in the journal", f"{start} to {end}",
                          "restore a snapshot that goes with this journal")
    stop = end if stop is None else min(stop, end)
    for segment in segments:
        if segment.next <= position or segment.first >= stop:
            continue
        content = disk.read(segment.path)
        offset = _HEADER.size
        while offset < segment.end:
            _, octets, first, count, _, _, _ = _FRAME.unpack_from(content, offset)
            if first + count > position and first < stop:
                yield from _entries(content, offset + _FRAME.size, first, count, position, stop)
            offset += _FRAME.size + octets


def _entries(content: bytes, offset: int, first: int, count: int, position: int, stop: int
             ) -> Iterator[tuple[int, Entry]]:
    for place in range(first, first + count):
        octets, kind = _ENTRY.unpack_from(content, offset)
        offset += _ENTRY.size
        if position <= place < stop:
            yield place, _decode(kind, content[offset:offset + octets])
        offset += octets


def _scan(folder: Path, disk: Disk) -> list[_Segment]:
    """All segments, checked, in order. Only the last may be torn; its `end` is 0 when not even its header is whole."""
    names = [n for n in disk.list_dir(folder) if n.endswith(".journal")]
    segments: list[_Segment] = []
    for i, name in enumerate(names):
        segment = _check_segment(folder / name, disk, last=i == len(names) - 1)
        if segments:
            if segment.end and segments[-1].next != segment.first:
                raise LedgerError(f"{name} begins at position {segment.first}", f"{segments[-1].next}",
                                  "a segment of the journal is missing or was cut: restore it")
            if segment.next == segment.first:  # no frame yet
                segment.first = segment.next = segments[-1].next
                segment.before_crc = segment.last_crc = segments[-1].last_crc
            elif segment.before_crc != segments[-1].last_crc:
                raise LedgerError(f"the frames of {name} do not follow those of {names[i - 1]}",
                                  remedy="restore the journal")
        segments.append(segment)
    return segments


def _check_segment(path: Path, disk: Disk, last: bool) -> _Segment:
    content = disk.read(path)
    segment = _Segment(path, 0, 0, 0, 0, 0)
    if not _header_holds(path, content):
        if not last or _frame_after(content, 0) >= 0:
            raise LedgerError(f"{path}: damaged at octet 0, the header", remedy="restore the journal")
        return segment
    segment.first = segment.next = _HEADER.unpack_from(content)[3]
    segment.end = _HEADER.size
    crc: int | None = None
    while True:
        frame = _frame_at(content, segment.end)
        if frame is None:
            break
        octets, first, count, before, own = frame
        if first != segment.next or crc not in (None, before):
            raise LedgerError(f"{path}: the frame at octet {segment.end} does not follow the one before it",
                              f"position {segment.next}", "restore the journal")
        segment.before_crc = before if crc is None else segment.before_crc
        segment.end, segment.next, segment.last_crc = segment.end + _FRAME.size + octets, first + count, own
        crc = own
    if content.count(0, segment.end) != len(content) - segment.end:
        following = _frame_after(content, segment.end)
        if following >= 0 or not last:
            raise LedgerError(f"{path}: damaged at octet {segment.end}"
                              + (f", whole frames follow at octet {following}" if following >= 0 else ""),
                              remedy="restore the journal")
    return segment


def _header_holds(path: Path, content: bytes) -> bool:
    if len(content) < _HEADER.size:
        return False
    magic, version, _, _, crc = _HEADER.unpack_from(content)
    if magic != _MAGIC or crc != zlib.crc32(content[:_HEADER.size - 4]):
        return False
    if version != VERSION:
        raise LedgerError(f"{path} has format version {version}", f"{VERSION}", "use a newer release")
    return True


def _frame_at(content: bytes, offset: int) -> tuple[int, int, int, int, int] | None:
    """(octets of the body, first position, entries, crc before, crc) of a whole frame at `offset`."""
    if offset + _FRAME.size > len(content) or content[offset:offset + 4] != _FRAME_MAGIC:
        return None
    _, octets, first, count, before, _, crc = _FRAME.unpack_from(content, offset)
    stop = offset + _FRAME.size + octets
    if stop > len(content) or octets % 8:
        return None
    view = memoryview(content)
    head = zlib.crc32(view[offset:offset + _FRAME.size - 4])
    return (octets, first, count, before, crc) if zlib.crc32(view[offset + _FRAME.size:stop], head) == crc else None


def _frame_after(content: bytes, offset: int) -> int:
    """Where the next whole frame after `offset` begins; -1 when there is none."""
    place = content.find(_FRAME_MAGIC, offset + 1)
    while place >= 0:
        if _frame_at(content, place) is not None:
            return place
        place = content.find(_FRAME_MAGIC, place + 1)
    return -1
