"""Fixed-width records. A layout's `from` is `first-last`, the octets of the field in its record, from 1.

    fixed:
      record_octets: 120         # blocks of that size, without line feeds; default: a record is a line
      octets_least: 80           # shorter lines are no records; default: the last octet that a field reads
      octets_most: 200           # longer ones neither; default: no bound but longest_record
      skip_lines: 1              # header lines to pass over (files of lines)
      trailer: {starts: "99"}    # the last line, when it begins so
      zone: "+01:00"
      nulls: ["0000000000"]
    records:
      - when: {1-2: "10"}        # several kinds of record, told by a field
"""

import re

import numpy as np

from mediation.formats.frame import Decoded, FileFrame
from mediation.formats.layout import FieldLayout, Layout, check_keys
from mediation.formats.text import ROWS_PER_CALL, Room, Rooms, run
from mediation.formats.text_fields import Compiler
from mediation.formats.text_frame import LINE_OPTIONS, LineSettings, describe_row, frame_lines
from mediation.kernels import csv_lines as lines_kernel
from mediation.kernels import fixed_lines as kernel
from mediation.kernels.text_rows import SPAN_WIDTH
from schemas.columns import U8

_RANGE = re.compile(r"([1-9]\d{0,4})-([1-9]\d{0,4})")
_UNLIMITED = 1 << 24


def load(layout: Layout) -> "FixedFormat":
    """The format that a layout of family fixed declares. Raises FormatError with file and line."""
    return FixedFormat(layout)


class FixedFormat:
    """Fixed-width records by one layout."""

    def __init__(self, layout: Layout) -> None:
        check_keys(layout, layout.options, LINE_OPTIONS | {"record_octets", "octets_least", "octets_most"})
        self.layout, self.name, self.record_key = layout, layout.name, layout.record_key
        self.lines = LineSettings.read(layout, header=False)
        self.tables = Compiler(layout, self._resolve, layout.options).compile()
        self._places = np.array([_octets(source) for source in self.tables.slots], np.int64).reshape(-1, 2)
        reach = int(self._places[:, 1].max()) if len(self._places) else 1
        size = self._number("record_octets", 0)
        if 0 < size < reach:
            raise layout.error("fixed", f"record_octets {size}", f"at least {reach}, the last octet that a field reads")
        if size and (self.lines.skip or self.lines.trailer):
            raise layout.error("fixed", "header or trailer lines in a file of blocks", "one of them")
        self._settings = np.zeros(lines_kernel.SETTING_COUNT + 1, np.int64)
        self._settings[lines_kernel.RECORD_SIZE] = size
        self._settings[lines_kernel.LEAST_COLUMNS] = self._number("octets_least", reach)
        self._settings[lines_kernel.MOST_COLUMNS] = self._number("octets_most", _UNLIMITED)
        self._settings[lines_kernel.LONGEST_RECORD] = self.lines.longest
        self._settings[lines_kernel.KIND_SLOT] = self.tables.kind_slot
        self._settings[lines_kernel.KIND_AT], self._settings[lines_kernel.KIND_END] = self.tables.kind_range
        self._rooms = Rooms(ROWS_PER_CALL)

    def _number(self, key: str, standard: int) -> int:
        value = self.layout.options.get(key, standard)
        if not isinstance(value, int) or not 0 <= value <= _UNLIMITED:
            raise self.layout.error(self.layout.options.lines[key], f"{key} '{value}'",
                                    f"a whole number up to {_UNLIMITED}")
        return value

    def _resolve(self, item: FieldLayout, source: str, inside: bool) -> tuple[str, int]:
        if inside:
            raise self.layout.error(item.line, "containers in a fixed layout", "one row a record")
        found = _RANGE.fullmatch(source)
        if not found or int(found[1]) > int(found[2]):
            raise self.layout.error(item.line, f"octets '{source}'", "first-last, from 1, such as 3-14")
        return source, 0

    def inspect(self, buffer: U8) -> FileFrame:
        """Blocks begin at once; lines after those that are skipped, before a trailer line."""
        if self._settings[lines_kernel.RECORD_SIZE]:
            return FileFrame(0, len(buffer))
        return frame_lines(buffer, self.lines, lambda line: line.split())

    def decode(self, buffer: U8, start: int, end: int, max_records: int) -> Decoded:
        """Records of `[start, end)` as rows, one each."""
        tables, settings, places = self.tables, self._settings, self._places
        spans = np.full((max(len(tables.slots), 1), SPAN_WIDTH), -1, np.int64)

        def step(at: int, most: int, room: Room) -> tuple[int, int]:
            rows, following = kernel.decode_fixed_nb(
                buffer, at, end, most, settings, places, tables.fields, tables.kinds, tables.template, tables.pool,
                tables.maps, tables.nulls, tables.derive, spans, room.scratch, room.scratch_in, room.rows)
            return rows, following

        size = int(settings[lines_kernel.RECORD_SIZE])
        capacity = min(-(-(end - start) // size), max_records) if size else \
            lines_kernel.count_lines_nb(buffer, start, end, max_records)
        return run(step, self._rooms.room, start, end, max_records, capacity)

    def describe(self, buffer: U8, start: int, end: int) -> dict[str, object]:
        """The fields of one record by their octets, and what they were read as."""
        text = bytes(buffer[start:end])
        tree: dict[str, object] = {source: text[_octets(source)[0]:_octets(source)[1]].decode("utf-8", "replace")
                                   for source in self.tables.slots}
        return {"format": self.name, "octets": tree, "read_as": describe_row(self, buffer, start, end)}


def _octets(source: str) -> tuple[int, int]:
    first, last = source.split("-")
    return int(first) - 1, int(last)
