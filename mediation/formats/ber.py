"""The family `ber`: records of TS 32.298 in files of TS 32.297, or one after another without any framing."""

import threading

import numpy as np

from mediation.formats.ber_compile import compile_layout
from mediation.formats.ber_describe import describe_record
from mediation.formats.frame import Decoded, FileFrame
from mediation.formats.layout import Layout
from mediation.formats.ts32297 import SHORTEST, FileHeader, read_header
from mediation.kernels import ber_tables as t
from mediation.kernels.ber import decode_nb
from mediation.kernels.ber_frame import count_records_nb, first_record_nb
from mediation.kernels.transpose import transpose_nb
from schemas.columns import I64, U8, Cells
from schemas.decoded import DECODED

_LOOK_OCTETS = 1 << 16  # how far a file that begins with neither header nor record is searched for its kind
_ROWS_PER_RECORD = 4
_BLOCK_ROWS = 4_096


def load(layout: Layout) -> "BerFormat":
    return BerFormat(layout)


class _Room:
    """What one thread works in, uninitialised: decoded rows, one record's cells and their ranks, open elements."""

    def __init__(self, scratch: int) -> None:
        self.rows = np.empty((_BLOCK_ROWS, len(DECODED.columns)), np.int64)
        self.work = np.empty((t.MAX_CONTAINERS + 3, scratch), np.int64)
        self.ranks, self.stack = np.empty((3, scratch), np.int64), np.empty((t.MAX_DEPTH, 3), np.int64)
        self.done = np.empty(3, np.int64)


class BerFormat:
    """A compiled BER layout. Stateless: tables are only read, and every thread has its own room to work in."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.tables = compile_layout(layout)
        self._rooms = threading.local()

    @property
    def name(self) -> str:
        return self.layout.name

    @property
    def record_key(self) -> tuple[str, ...]:
        return self.layout.record_key

    def inspect(self, buffer: U8) -> FileFrame:
        """Header and records counted: a header that contradicts the file is reported, not believed."""
        framed, header, body_start, problems = self._opening(buffer)
        lies = bool(problems)
        records, faults = self._count(buffer, body_start, framed)
        if header is None:
            return FileFrame(body_start, buffer.size, header_lies=lies, problems=problems)
        if header.records != records:
            problems += (f"header says {header.records} records, {records} were found",)
            lies = True
        if faults:
            problems += (f"{faults} ranges of octets are no records",)
        if header.closure_reason >= 128:
            problems += (f"file was closed abnormally, reason {header.closure_reason}",)
        if header.lost_records:
            problems += (f"the node says that records were lost, indicator {header.lost_records}",)
        # No file_time_us: the header's times have no year.
        return FileFrame(body_start, buffer.size, declared_records=header.records, declared_octets=header.file_octets,
                         file_sequence=header.sequence, header_lies=lies, problems=problems)

    def decode(self, buffer: U8, start: int, end: int, max_records: int) -> Decoded:
        """Up to `max_records` records of [start, end), fewer when they have very many containers.

        Read block by block into a room that stays in the processor's cache: a matrix for the worst case is mostly
        untouched, yet each of its columns lies in other pages, and the first touch of a page costs a clearing of it.
        """
        buffer = np.ascontiguousarray(buffer)
        framed, room, most = int(self._framed(buffer)), self._room(), max_records * _ROWS_PER_RECORD + t.MAX_CONTAINERS
        parts: list[I64] = []
        rows = records = 0
        while True:
            place, written, count = self._block(room, buffer, start, end, framed, max_records - records)
            records += count
            rows += written
            if place >= end or records >= max_records or not count or rows + _BLOCK_ROWS > most:
                break
            parts.append(room.rows[:written].copy())
            start = place
        matrix, filled = np.empty((len(DECODED.columns), rows), np.int64), 0
        for part in (*parts, room.rows[:written]):
            transpose_nb(part, len(part), matrix, filled)
            filled += len(part)
        return Decoded(Cells(DECODED, matrix), place, records)

    def _block(self, room: "_Room", buffer: U8, start: int, end: int, framed: int, most: int) -> tuple[int, int, int]:
        """(where the next record begins, rows written, records read)."""
        x = self.tables
        decode_nb(buffer, start, end, framed, most, x.child, x.extra, x.nodes, x.ops, x.lists, x.records,
                  x.list_columns, x.plan, x.defaults, x.required, x.derive, x.sources, x.pairs, room.work, room.ranks,
                  room.stack, room.rows, room.done)
        place, written, count = (int(value) for value in room.done)
        return place, written, count

    def _room(self) -> "_Room":
        room: _Room | None = getattr(self._rooms, "room", None)
        if room is None:
            room = self._rooms.room = _Room(self.tables.scratch)
        return room

    def describe(self, buffer: U8, start: int, end: int) -> dict[str, object]:
        return describe_record(self.tables, buffer, start, end, self._framed(buffer))

    def header(self, buffer: U8) -> FileHeader | None:
        """The TS 32.297 header, None when the file has none."""
        return self._opening(buffer)[1]

    def _framed(self, buffer: U8) -> bool:
        return self._opening(buffer)[0]

    def _opening(self, buffer: U8) -> tuple[bool, FileHeader | None, int, tuple[str, ...]]:
        """(records have TS 32.297 headers, the file's header, where the body begins, what is wrong so far)."""
        if buffer.size == 0 or int(buffer[0]) & 0xE0 == 0xA0 or int(buffer[0]) in self.tables.root_octets:
            return False, None, 0, ()  # a record; as a file length its first octet would mean gigabytes
        header = read_header(buffer)
        if header is not None and (SHORTEST <= header.header_octets <= buffer.size
                                   or SHORTEST <= header.fields_octets <= buffer.size):
            places = [place for place in (header.header_octets, header.fields_octets)
                      if SHORTEST <= place <= buffer.size]
            for place in places:
                if self._first(buffer, place, min(place + 1, buffer.size), True) == place < buffer.size:
                    return True, header, place, header.problems(buffer.size)
            if header.header_octets in places and (header.file_octets == buffer.size
                                                   or header.fields_octets == header.header_octets):
                return True, header, header.header_octets, header.problems(buffer.size)
        look = min(buffer.size, _LOOK_OCTETS)
        framed, bare = self._first(buffer, 0, look, True), self._first(buffer, 0, look, False)
        return framed < bare, None, 0, ("file begins with neither a TS 32.297 header nor a record",)

    def _first(self, buffer: U8, start: int, look: int, framed: bool) -> int:
        """Where the first record begins in [start, look), or `look`; it may end anywhere in the file."""
        x = self.tables
        return int(first_record_nb(np.ascontiguousarray(buffer), start, look, int(framed), x.child, x.extra, x.nodes,
                                   x.records))

    def _count(self, buffer: U8, start: int, framed: bool) -> tuple[int, int]:
        x = self.tables
        found, faults = count_records_nb(np.ascontiguousarray(buffer), start, buffer.size, int(framed), x.child,
                                         x.extra, x.nodes, x.records)
        return int(found), int(faults)
