"""Files of one network element: records cut at the ends of windows, framed, named by element, number and time."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipelines.sample.network import KINDS, SEQUENCE_MODULO, file_name
from pipelines.sample.population import Period
from schemas.columns import I64, U8

HEADER_OCTETS = 54
MAX_FILE_OCTETS = 256 << 20
LATE_BATCH_S = 4 * 3600


@dataclass(frozen=True)
class WrittenFile:
    """A file as it was delivered: what a correct reader should find in it."""

    source: str
    name: str
    sequence: int
    records: int
    octets: int
    closed_s: int
    fate: str = ""         # a file defect: see `defects.FILE_KINDS`
    last_offset: int = 0   # where its last record begins


def header_32297(octets: int, opened_s: int, closed_s: int, records: int, sequence: int, closure: int,
                 node: int, when: Period) -> bytes:
    """Header of a TS 32.297 file, 54 octets: release 7 with its extension octets."""

    def stamp(at_s: int) -> int:
        local = when.local(at_s)
        offset = local.utcoffset()
        minutes = int(offset.total_seconds()) // 60 if offset is not None else 0
        sign = 1 if minutes >= 0 else 0
        return (local.month << 28 | local.day << 23 | local.hour << 18 | local.minute << 12 | sign << 11
                | abs(minutes) // 60 << 6 | abs(minutes) % 60)

    return struct.pack(">IIBBIIIIB20sBHHBB", octets, HEADER_OCTETS, 0xE6, 0xE6, stamp(opened_s), stamp(closed_s),
                       records, sequence, closure, bytes(14) + b"\xff\xff" + node.to_bytes(4, "big"), 0, 0, 0, 6, 6)


@dataclass
class _Open:
    """A file being written."""

    handle: BinaryIO
    path: Path
    window: int
    records: int = 0
    octets: int = 0
    first_s: int = 0
    last_offset: int = 0


@dataclass
class SourceWriter:
    """Writes one element's folder. `windows`: ends of the intervals that a file covers, seconds, ascending.

    Call `append` with records in the order of their closing; `finish` closes the last file.
    """

    inbox: Path
    source: str
    when: Period
    windows: I64
    first_sequence: int
    address: int = 0  # IPv4 of the element
    head: bytes = b""  # text that begins every file (CSV)
    tail: str = ""     # text that ends it, with {records}
    fates: Mapping[int, str] = field(default_factory=dict)  # number of a file -> what happens to it
    written: list[WrittenFile] = field(default_factory=list)
    _open: _Open | None = None

    def append(self, octets: U8, offsets: I64, close_s: I64) -> tuple[I64, I64]:
        """Records octets[offsets[i]:offsets[i + 1]] that closed at close_s[i], ascending.

        Returns for each record the number of its file among this element's, and its offset there.
        """
        numbers, places = np.empty(len(close_s), np.int64), np.empty(len(close_s), np.int64)
        window = np.searchsorted(self.windows, close_s, side="right")
        cuts = np.concatenate([[0], np.flatnonzero(np.diff(window)) + 1, [len(close_s)]])
        for start, stop in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            if stop > start:
                piece = octets[offsets[start]:offsets[stop]]
                begin = self._append_to(int(window[start]), piece, stop - start, int(close_s[start]),
                                        int(offsets[stop - 1] - offsets[start]))
                numbers[start:stop] = len(self.written)
                places[start:stop] = begin + offsets[start:stop] - offsets[start]
        return numbers, places

    def _append_to(self, window: int, octets: U8, records: int, first_s: int, last: int) -> int:
        current = self._open
        if current is not None and (current.window != window or current.octets + len(octets) > MAX_FILE_OCTETS):
            self._close()
            current = None
        if current is None:
            folder = self.inbox / self.source
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / self._name(self._sequence(), int(self.windows[window]))
            handle = path.with_name(path.name + ".part").open("wb")
            head = bytes(HEADER_OCTETS) if self._specification else self.head
            handle.write(head)
            current = self._open = _Open(handle, path, window, 0, len(head), first_s)
        begin = current.octets
        current.handle.write(octets.tobytes())
        current.records += records
        current.octets += len(octets)
        current.last_offset = begin + last
        return begin

    @property
    def _specification(self) -> int:
        return KINDS[self.source.rsplit("-", 1)[0]].specification

    def _sequence(self) -> int:
        return (self.first_sequence + len(self.written)) % SEQUENCE_MODULO

    def _name(self, sequence: int, at_s: int) -> str:
        return file_name(self.source, sequence, datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%d%H%M%S"))

    def _close(self) -> None:
        current = self._open
        if current is None:
            return
        closed_s, sequence = int(self.windows[current.window]), self._sequence()
        fate = self.fates.get(len(self.written), "")
        declared = current.records + (1 if fate == "header_lies" else 0)
        body_end = current.octets
        if self.tail:
            tail = self.tail.format(records=declared).encode()
            current.handle.write(tail)
            current.octets += len(tail)
        if self._specification:
            current.handle.seek(0)
            current.handle.write(header_32297(current.octets, current.first_s, closed_s, declared, sequence, 2,
                                              self.address, self.when))
        if fate == "truncated_record":
            current.octets = (current.last_offset + body_end) // 2
            current.handle.truncate(current.octets)
        current.handle.close()
        part = current.path.with_name(current.path.name + ".part")
        name = current.path.name
        if fate == "late_batch":
            name = self._name(sequence, min(closed_s + LATE_BATCH_S, self.when.end_s))
        if fate == "repeated_file":
            again = current.path.with_name(self._name(sequence, closed_s + 1))
            again.write_bytes(part.read_bytes())
        if fate == "missing_file":
            part.unlink()
        else:
            part.rename(current.path.with_name(name))
        self.written.append(WrittenFile(self.source, name, sequence, current.records, current.octets, closed_s, fate,
                                        current.last_offset))
        self._open = None

    def finish(self) -> None:
        """Close what is open."""
        self._close()
