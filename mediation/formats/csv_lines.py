"""Delimited text. A layout's `csv` section says how lines are written; columns are told by name or position.

    csv:
      delimiter: ";"             # one character; "tab" for the tabulator; default ","
      quote: "'"                 # default '"'; null: quotes are ordinary characters
      header: true               # the first line names the columns; `from` then is a name (or a position, from 1)
      skip_lines: 0              # lines before that to pass over
      columns: [a, b, c]         # names in order, for files without a header line
      columns_least: 8           # default: the last column that a field reads (or all, with `columns`)
      columns_most: 40           # default: as many as the header has
      trailer: {starts: "T;", records: 2}   # the last line, when it begins so; the column with the record count
      zone: "+01:00"             # of times that say none
      nulls: ["-", "NULL"]       # texts that stand for nothing
      multiline: false           # whether quoted text may contain line feeds
      longest_record: 65536      # a longer line is no record
"""

from typing import Any

import numpy as np

from mediation.formats.frame import Decoded, FileFrame
from mediation.formats.layout import FieldLayout, Layout, Listed, check_keys
from mediation.formats.text import ROWS_PER_CALL, Room, Rooms, run
from mediation.formats.text_fields import Compiler
from mediation.formats.text_frame import LINE_OPTIONS, LineSettings, describe_row, frame_lines
from mediation.kernels import csv_lines as kernel
from mediation.kernels.text_rows import SPAN_WIDTH
from schemas.columns import I64, U8

_OPTIONS = LINE_OPTIONS | {"delimiter", "quote", "header", "columns", "columns_least", "columns_most", "multiline"}
_UNLIMITED = 1 << 20


def load(layout: Layout) -> "CsvFormat":
    """The format that a layout of family csv declares. Raises FormatError with file and line."""
    return CsvFormat(layout)


class CsvFormat:
    """Delimited text by one layout."""

    def __init__(self, layout: Layout) -> None:
        check_keys(layout, layout.options, _OPTIONS)
        self.layout, self.name, self.record_key = layout, layout.name, layout.record_key
        options = layout.options
        self._delimiter = self._character(options.get("delimiter", ","))
        quote = options.get("quote", '"')
        self._quote = -1 if quote is None else self._character(quote)
        self._header = bool(options.get("header", False))
        self.lines = LineSettings.read(layout, self._header)
        columns = options.get("columns", Listed())
        if not isinstance(columns, Listed):
            raise layout.error(options.lines["columns"], "'columns' is no list")
        self._columns = [str(name) for name in columns]
        if self._header and self._columns:
            raise layout.error(options.lines["columns"], "'columns' and 'header'", "one of them")
        self.tables = Compiler(layout, self._resolve, options).compile()
        self._rooms = Rooms(ROWS_PER_CALL)
        self._known: tuple[bytes, I64, I64] | None = None

    def _resolve(self, item: FieldLayout, source: str, inside: bool) -> tuple[str, int]:
        if inside:
            raise self.layout.error(item.line, "containers in a csv layout", "one row a record")
        if not self._header and not source.isdecimal() and source not in self._columns:
            raise self.layout.error(item.line, f"unknown column '{source}'",
                                    "a position from 1, a name of 'columns', or 'header: true'")
        if source.isdecimal() and not 1 <= int(source) <= 4096:
            raise self.layout.error(item.line, f"column {source}", "a position from 1 to 4096")
        return source, 0

    def _character(self, text: Any) -> int:
        written = "\t" if text == "tab" else str(text)
        if len(written) != 1 or not written.isascii() or written in "\r\n":
            raise self.layout.error(self.layout.family, f"'{written}'", "one ASCII character, or 'tab'")
        return ord(written)

    def _names(self, buffer: U8) -> list[str]:
        """Column names, from the layout or the file's header line."""
        if not self._header:
            return self._columns
        line = self.lines.header_line(buffer)
        return [bytes(cell).decode("utf-8", "replace").strip() for cell in self._split(line)]

    def _split(self, line: bytes) -> list[bytes]:
        quote = b"" if self._quote < 0 else bytes([self._quote])
        return [cell.strip(b" ").strip(quote) if quote else cell for cell in line.split(bytes([self._delimiter]))]

    def _places(self, buffer: U8) -> tuple[I64, I64]:
        """Slots by column position, and the kernel's settings, for this file's header."""
        header = self.lines.header_line(buffer) if self._header else b""
        known = self._known
        if known is not None and known[0] == header:
            return known[1], known[2]
        names = self._names(buffer)
        wanted: dict[int, int] = {}
        for source, slot in self.tables.slots.items():
            if source in names:
                wanted[names.index(source)] = slot
            elif source.isdecimal():
                wanted[int(source) - 1] = slot
        slot_of = np.full(max(wanted, default=0) + 1, -1, np.int64)
        for position, slot in wanted.items():
            slot_of[position] = slot
        options = self.layout.options
        least = int(options.get("columns_least", len(names) or len(slot_of)))
        most = int(options.get("columns_most", len(names) or _UNLIMITED))
        settings = np.zeros(kernel.SETTING_COUNT + 1, np.int64)
        settings[kernel.DELIMITER], settings[kernel.QUOTE] = self._delimiter, self._quote
        settings[kernel.LEAST_COLUMNS], settings[kernel.MOST_COLUMNS] = least, most
        settings[kernel.LONGEST_RECORD] = self.lines.longest
        settings[kernel.KIND_SLOT] = self.tables.kind_slot
        settings[kernel.KIND_AT], settings[kernel.KIND_END] = self.tables.kind_range
        settings[kernel.MULTILINE] = int(bool(options.get("multiline", False)))
        self._known = (header, slot_of, settings)
        return slot_of, settings

    def inspect(self, buffer: U8) -> FileFrame:
        """Header and trailer lines; problems name columns that the header lacks."""
        problems: tuple[str, ...] = ()
        if self._header:
            names = self._names(buffer)
            lacking = [s for s in self.tables.slots if s not in names and not s.isdecimal()]
            if lacking:
                problems = (f"the header line lacks {', '.join(lacking)}",)
        return frame_lines(buffer, self.lines, self._split, problems)

    def decode(self, buffer: U8, start: int, end: int, max_records: int) -> Decoded:
        """Lines of `[start, end)` as rows, one each."""
        slot_of, settings = self._places(buffer)
        tables = self.tables
        spans = np.full((max(len(tables.slots), 1), SPAN_WIDTH), -1, np.int64)

        def step(at: int, most: int, room: Room) -> tuple[int, int]:
            rows, following = kernel.decode_csv_nb(
                buffer, at, end, most, settings, slot_of, tables.fields, tables.kinds, tables.template, tables.pool,
                tables.maps, tables.nulls, tables.derive, spans, room.scratch, room.scratch_in, room.rows)
            return rows, following

        capacity = kernel.count_lines_nb(buffer, start, end, max_records)
        return run(step, self._rooms.room, start, end, max_records, capacity)

    def describe(self, buffer: U8, start: int, end: int) -> dict[str, object]:
        """The columns of one line by name or position, and what they were read as."""
        line = bytes(buffer[start:end]).strip(b"\r\n")
        names = self._names(buffer)
        cells = [cell.decode("utf-8", "replace") for cell in self._split(line)]
        tree: dict[str, object] = {names[i] if i < len(names) else str(i + 1): c for i, c in enumerate(cells)}
        return {"format": self.name, "columns": tree, "read_as": describe_row(self, buffer, start, end)}
