"""Header and trailer lines of line-based files, and rows shown to people."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mediation.formats.frame import FileFormat, FileFrame
from mediation.formats.layout import Layout, Mapped, check_keys
from schemas.codes import NumberType
from schemas.columns import ABSENT, U8, Column, code_names
from schemas.decoded import DECODED
from schemas.digits import unpack

LINE_OPTIONS = {"skip_lines", "trailer", "zone", "nulls", "longest_record"}
_BOM = b"\xef\xbb\xbf"
_BLANK = b"\r\n \t"
_LONGEST = 65536


@dataclass(frozen=True)
class LineSettings:
    """Where records begin and end: `skip` lines first, and a last line that begins with `trailer`."""

    skip: int
    header: bool
    trailer: bytes
    trailer_records: int
    longest: int

    @classmethod
    def read(cls, layout: Layout, header: bool, longest: int = _LONGEST) -> "LineSettings":
        options = layout.options
        numbers = {}
        for key, standard, largest in (("skip_lines", 0, 1000), ("longest_record", longest, 1 << 24)):
            value = options.get(key, standard)
            if not isinstance(value, int) or not 0 <= value <= largest:
                raise layout.error(options.lines[key], f"{key} '{value}'", f"a whole number up to {largest}")
            numbers[key] = value
        trailer = options.get("trailer", Mapped())
        starts, records = b"", 0
        if trailer:
            if not isinstance(trailer, Mapped) or "starts" not in trailer:
                raise layout.error(options.lines["trailer"], "'trailer' without 'starts'",
                                   "what the last line begins with")
            check_keys(layout, trailer, {"starts", "records"})
            starts, records = str(trailer["starts"]).encode(), int(trailer.get("records", 0))
        return cls(numbers["skip_lines"], header, starts, records, numbers["longest_record"])

    def body_start(self, buffer: U8) -> int:
        """First byte after byte order mark, skipped lines, header line and the blank lines that follow."""
        at = len(_BOM) if bytes(buffer[:3]) == _BOM else 0
        for _ in range(self.skip + int(self.header)):
            at = _after_line(buffer, at)
        return _after_blank(buffer, at)

    def header_line(self, buffer: U8) -> bytes:
        """The line that names the columns, without its end; at most `longest` octets of it."""
        at = len(_BOM) if bytes(buffer[:3]) == _BOM else 0
        for _ in range(self.skip):
            at = _after_line(buffer, at)
        return bytes(buffer[at:min(_after_line(buffer, at), at + self.longest)]).strip(b"\r\n")


def frame_lines(buffer: U8, lines: LineSettings, split: Callable[[bytes], list[bytes]],
                problems: tuple[str, ...] = ()) -> FileFrame:
    """Frame of a file of lines; a declared trailer that is not there makes the header lie."""
    start, end = lines.body_start(buffer), len(buffer)
    if not lines.trailer:
        return FileFrame(start, end, problems=problems, header_lies=bool(problems))
    stop = end
    while stop > start and buffer[stop - 1] in _BLANK:
        stop -= 1
    at = stop
    while at > start and buffer[at - 1] != 10 and stop - at < lines.longest:
        at -= 1
    last = bytes(buffer[at:stop])
    if not last.startswith(lines.trailer):
        return FileFrame(start, end, header_lies=True, problems=(*problems, "the trailer line is missing"))
    declared = ABSENT
    if lines.trailer_records:
        cells = split(last)
        text = cells[lines.trailer_records - 1].strip() if len(cells) >= lines.trailer_records else b""
        if text.isdigit() and len(text) < 16:
            declared = int(text)
        else:
            problems = (*problems, "the trailer line has no record count")
    return FileFrame(start, at, declared_records=declared, problems=problems, header_lies=bool(problems))


def _after_line(buffer: U8, at: int) -> int:
    while at < len(buffer):
        found = bytes(buffer[at:at + 65536]).find(b"\n")
        if found >= 0:
            return at + found + 1
        at += 65536
    return len(buffer)


def _after_blank(buffer: U8, at: int) -> int:
    line = at
    while at < len(buffer) and buffer[at] in _BLANK:
        at += 1
        if buffer[at - 1] == 10:
            line = at
    return at if at == len(buffer) else line


def describe_row(form: FileFormat, buffer: U8, start: int, end: int) -> list[dict[str, Any]]:
    """What the decoder makes of one record: a mapping of the columns that are set, for each container."""
    cells = form.decode(buffer, start, end, 1).cells
    return [{column.name: show_cell(column, cells, row, buffer) for i, column in enumerate(DECODED.columns)
             if cells.matrix[i, row] != ABSENT} for row in range(len(cells))]


def show_cell(column: Column, cells: Any, row: int, buffer: U8) -> object:
    """A cell as people read it: digits, text, time, address, code name."""
    value = int(cells[column.name][row])
    name = column.name
    number_type = f"{name}_type"
    is_text = name.endswith("_text") and column.kind == "int64"
    if number_type in DECODED.names and int(cells[number_type][row]) == NumberType.TEXT:
        is_text = True
    if name == "served_address" and int(cells["served_address_text"][row]) == 1:
        is_text = True
    if is_text:
        return bytes(buffer[value >> 16:(value >> 16) + (value & 65535)]).decode("utf-8", "replace")
    if column.codes is not None:
        return code_names(column.codes)[value]
    if column.kind == "time":
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)).isoformat()
    if name in ("served_imsi", "served_imei") or number_type in DECODED.names:
        return unpack(value)
    if name in ("served_address", "gateway_address") and value < 1 << 32:
        return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))
    return bool(value) if column.kind == "bool" else value
