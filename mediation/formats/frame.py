"""What every file format offers, whatever its family."""

from dataclasses import dataclass
from typing import Protocol

from schemas.columns import ABSENT, U8, Cells


@dataclass(frozen=True)
class FileFrame:
    """What a file's header says, and where its records lie: `buffer[body_start:body_end]`."""

    body_start: int
    body_end: int
    declared_records: int = ABSENT
    declared_octets: int = ABSENT
    file_sequence: int = ABSENT
    file_time_us: int = ABSENT
    header_lies: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoded:
    """A run of records as DECODED cells.

    Rows are in file order and the containers of a record adjacent. The ranges (record_offset, record_length)
    of the records tile `[start, next_offset)` of the call exactly: every byte belongs to one record, or to one
    row that says why it belongs to none.
    """

    cells: Cells
    next_offset: int
    record_count: int


class FileFormat(Protocol):
    """One format. Stateless: the same arguments give the same cells, in any thread.

    record_key: up to four DECODED columns, the time column first, that with the node make a record unique.
    """

    @property
    def name(self) -> str: ...

    @property
    def record_key(self) -> tuple[str, ...]: ...

    def inspect(self, buffer: U8) -> FileFrame:
        """Read header and trailer of a whole file. Never raises on bytes."""
        ...

    def decode(self, buffer: U8, start: int, end: int, max_records: int) -> Decoded:
        """Decode at most `max_records` records (fewer when they have many containers) from a record boundary.

        `buffer` is the whole file: offsets and text references count from its first byte. Never raises on bytes;
        memory is bounded by `max_records`. Reading is complete when `next_offset` reaches `end`.
        """
        ...

    def describe(self, buffer: U8, start: int, end: int) -> dict[str, object]:
        """One record as a readable tree, for `tarifa explain`. Slow and plain."""
        ...
