"""Read collected files in order as batches of records: decoded, with nothing remembered between records.

A batch ends after a number of records, wherever that falls; nothing that comes out later may depend on it.
A command file is a batch of its own, so that its commands keep their place between the usage before and after.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mediation.formats.frame import FileFormat, FileFrame
from mediation.formats.refusals import refuse, sniff
from mediation.formats.registry import REFUSED, load_format
from mediation.mediate import Prepared, Slice
from pipelines.collect import COMMANDS, CollectedFile, Collector
from pipelines.commands import Command, read_commands
from pipelines.durable import reached
from rating.commands import IDENTITY_KINDS
from reference_data.snapshot import Snapshot
from reference_data.streams import Stream
from schemas.audit import FILE_AUDIT, FileState
from schemas.codes import Reason
from schemas.columns import ABSENT, U8, Cells
from schemas.decoded import DECODED
from schemas.errors import ChargingError, ReferenceDataError

OFFSET_BITS = 40
TRIED_RECORDS = 64  # decoded of a file that looks like a format that is refused
COUNTED = ("record_count", "container_count", "record_octets")


def position(file_id: int, offset: int) -> int:
    """Place in collection order as one number: of files up to a terabyte."""
    return file_id << OFFSET_BITS | offset


@dataclass(frozen=True)
class FileProgress:
    """What has been found in a file so far; with its last batch, the file's audit."""

    file: CollectedFile
    frame: FileFrame
    state: FileState = FileState.READ
    record_count: int = 0
    container_count: int = 0
    record_octets: int = 0
    file_sequence_modulo: int = ABSENT

    def plus(self, records: int, containers: int, octets: int) -> "FileProgress":
        return replace(self, record_count=self.record_count + records,
                       container_count=self.container_count + containers, record_octets=self.record_octets + octets)


@dataclass
class Batch:
    """Records from position `start` up to `stop`. `commands` only in a batch that has no slices."""

    start: int
    stop: int
    slices: list[Slice | Prepared] = field(default_factory=list)
    finished: list[FileProgress] = field(default_factory=list)
    open_file: FileProgress | None = None
    command_file: CollectedFile | None = None
    commands: list[Command] = field(default_factory=list)
    clock_us: int | None = None
    reference: Snapshot | None = None   # what it is normalised and resolved by, once it is prepared
    changes_position: int = 0           # and up to which change of the inventory
    record_count: int = 0
    octets: int = 0

    @property
    def container_count(self) -> int:
        return sum(s.container_count for s in self.slices)

    @property
    def changes_identities(self) -> bool:
        """Whether it has commands that change how the batches behind it are resolved."""
        return any(command.kind in IDENTITY_KINDS for command in self.commands)


class Reader:
    """Turns collected files into batches, from a position on."""

    def __init__(self, collector: Collector, snapshot: Snapshot, layouts: Path, batch_records: int) -> None:
        self._collector, self._snapshot = collector, snapshot
        self._layouts, self._batch_records = layouts, batch_records
        self._formats: dict[str, FileFormat] = {}
        self._filled = 0  # records in the batch that is being filled
        self.refused: list[str] = []  # files of formats that are not read, and why, for the run's summary

    def load_formats(self, sources: Iterable[str]) -> None:
        """Load what files of these sources will need before any is read; what is wrong with one shows when it is."""
        for source in sources:
            stream = self._snapshot.streams.match(source)
            if stream is not None:
                with contextlib.suppress(ChargingError):
                    self.format_of(stream)

    def format_of(self, stream: Stream) -> FileFormat:
        """The format of a stream's files, loaded once."""
        if stream.format not in self._formats:
            self._formats[stream.format] = load_format(stream.format, self._layouts)
        return self._formats[stream.format]

    def _stream_of(self, source: str) -> Stream:
        stream = self._snapshot.streams.match(source)
        if stream is None:
            raise ReferenceDataError(f"source {source!r} was collected, and no stream claims it now",
                                     remedy="put its stream back into streams.yaml")
        return stream

    def batches(self, files: Iterable[CollectedFile], start: int, counts: Mapping[str, int] | None) -> Iterator[Batch]:
        """Batches from position `start`; `counts` is what was found before it in a file that is half read."""
        batch = Batch(start, start)
        for file in files:
            if position(file.file_id + 1, 0) <= start:
                continue
            offset = max(start - position(file.file_id, 0), 0)
            if file.source == COMMANDS:
                if batch.slices or batch.finished:
                    yield batch
                yield from self._command_batches(file, batch.stop, offset)
                batch, self._filled = Batch(*(position(file.file_id + 1, 0),) * 2), 0
                continue
            before = counts if counts and counts["file_id"] == file.file_id else {}
            found = None
            for piece, state, stop in self._pieces(file, offset, before):
                if piece is not None:
                    batch.slices.append(piece)
                records, octets = (found.record_count, found.record_octets) if found else (
                    before.get("record_count", 0), before.get("record_octets", 0))
                batch.record_count += state.record_count - records
                batch.octets += state.record_octets - octets
                found, self._filled = state, batch.record_count
                batch.stop = stop
                if stop == position(file.file_id + 1, 0):
                    batch.finished.append(state)
                    batch.open_file = None
                else:
                    batch.open_file = state
                if self._filled >= self._batch_records:
                    yield batch
                    batch, self._filled = Batch(stop, stop), 0
        if batch.slices or batch.finished:
            yield batch

    def _command_batches(self, file: CollectedFile, start: int, offset: int) -> Iterator[Batch]:
        """Commands from `offset` on; a clock command ends a batch, since what it releases comes right behind it."""
        buffer = self._collector.payload(file)
        repeated = file.duplicate_of != ABSENT
        commands = [] if repeated else read_commands(buffer)
        audit = FileProgress(file, FileFrame(0, len(buffer)),
                             FileState.DUPLICATE_FILE if repeated else FileState.READ, len(commands), 0, len(buffer))
        batch = Batch(start, start, command_file=file)
        for command in commands:
            if command.offset < offset:
                continue
            batch.commands.append(command)
            batch.stop = position(file.file_id, command.offset + command.length)
            if command.kind == "clock":
                batch.clock_us = command.time_us
                yield batch
                batch = Batch(batch.stop, batch.stop, command_file=file)
        batch.stop, batch.octets = position(file.file_id + 1, 0), len(buffer)
        batch.finished.append(audit)
        yield batch

    def _pieces(self, file: CollectedFile, offset: int, counts: Mapping[str, int]
                ) -> Iterator[tuple[Slice | None, FileProgress, int]]:
        """Slices of one file, each with what is known of the file after it and the position it reaches."""
        buffer = self._collector.payload(file)
        stream = self._stream_of(file.source)
        layout = self.format_of(stream)
        why = self._refusal(stream, layout, buffer)
        if why:
            yield self._refused(file, stream, layout, buffer, why)
            return
        frame = layout.inspect(buffer)
        state = FileState.READ if file.duplicate_of == ABSENT else FileState.DUPLICATE_FILE
        progress = FileProgress(file, frame, state, file_sequence_modulo=stream.file_sequence_modulo or ABSENT,
                                **{name: counts.get(name, 0) for name in COUNTED})
        time_us = file.time_us if file.time_us != ABSENT else frame.file_time_us
        done = position(file.file_id + 1, 0)
        start = max(offset, frame.body_start)
        if start >= frame.body_end:
            yield None, progress, done
        while start < frame.body_end:
            room = max(self._batch_records - self._filled, 1)
            decoded = layout.decode(buffer, start, frame.body_end, room)
            reached("decode.slice")
            octets = decoded.next_offset - start
            progress = progress.plus(decoded.record_count, len(decoded.cells), octets)
            start = decoded.next_offset
            stop = done if start >= frame.body_end else position(file.file_id, start)
            piece = Slice(file.source, file.file_id, time_us, stream, layout.record_key, buffer, decoded.cells,
                          repeats=file.duplicate_of, online_position=file.online_position)
            yield piece, progress, stop

    def read_again(self, file: CollectedFile, places: Mapping[tuple[int, int], frozenset[int] | None]) -> Slice:
        """Records of a file that come back from suspense, decoded by its layout as it is now.

        places: (offset, octets) of each record -> the containers that come back, None for all that it has.
        Raises ErasedError: retention has destroyed the file's bytes.
        """
        buffer = self._collector.payload(file)
        stream = self._stream_of(file.source)
        layout = self.format_of(stream)
        frame = layout.inspect(buffer)
        parts, keep = [], []
        for (offset, octets), containers in sorted(places.items(), key=lambda place: place[0]):
            cells = self._decode_again(stream, layout, frame, buffer, offset, octets)
            parts.append(cells)
            keep.append(np.ones(len(cells), np.bool_) if containers is None
                        else np.isin(cells["container_index"], sorted(containers)))
        time_us = file.time_us if file.time_us != ABSENT else frame.file_time_us
        return Slice(file.source, file.file_id, time_us, stream, layout.record_key, buffer,
                     Cells.concat(DECODED, parts), recycled=True, keep=np.concatenate(keep))

    def _decode_again(self, stream: Stream, layout: FileFormat, frame: FileFrame, buffer: U8, offset: int, octets: int
                      ) -> Cells:
        start, stop = offset, offset + octets
        if octets == len(buffer):  # a whole file, refused before: its header is no record
            if self._refusal(stream, layout, buffer):
                return refused_row(octets)
            start, stop = frame.body_start, frame.body_end
        parts = []
        while start < stop:
            decoded = layout.decode(buffer, start, stop, self._batch_records)
            parts.append(decoded.cells)
            start = decoded.next_offset
        return Cells.concat(DECODED, parts)

    def _refusal(self, stream: Stream, layout: FileFormat, buffer: U8) -> str:
        """Why a whole file is refused: it is of a format that is known and not read yet. Empty when it is read.

        First bytes may lie; a file of whose first records the layout reads even one is what it is declared to be.
        """
        if sniff(buffer) not in REFUSED:
            return ""
        frame = layout.inspect(buffer)
        tried = layout.decode(buffer, frame.body_start, frame.body_end, TRIED_RECORDS)
        return "" if (tried.cells["status"] == Reason.OK).any() else str(refuse(stream.format, buffer))

    def _refused(self, file: CollectedFile, stream: Stream, layout: FileFormat, buffer: U8, why: str
                 ) -> tuple[Slice, FileProgress, int]:
        self.refused.append(f"{file.source}/{file.name}: {why}")
        state = FileState.REFUSED_FORMAT if file.duplicate_of == ABSENT else FileState.DUPLICATE_FILE
        progress = FileProgress(file, FileFrame(0, len(buffer)), state,
                                file_sequence_modulo=stream.file_sequence_modulo or ABSENT).plus(1, 1, len(buffer))
        piece = Slice(file.source, file.file_id, file.time_us, stream, layout.record_key, buffer,
                      refused_row(len(buffer)), repeats=file.duplicate_of, online_position=file.online_position)
        return piece, progress, position(file.file_id + 1, 0)


def refused_row(octets: int) -> Cells:
    """One row for a whole file of a format that is not read: nothing of it is lost."""
    cells = Cells.empty(DECODED, 1, fill=ABSENT)
    cells["status"] = int(Reason.REFUSED_FORMAT)
    cells["status_offset"] = 0
    cells["record_offset"], cells["record_length"] = 0, octets
    cells["container_index"], cells["container_count"] = 0, 1
    return cells


def file_audit(finished: list[FileProgress]) -> tuple[Cells, dict[str, list[str]]]:
    """FILE_AUDIT cells of files that were read to their end, and the names of their labels."""
    cells = Cells.empty(FILE_AUDIT, len(finished))
    cells["source"] = cells["file_name"] = np.arange(len(finished))
    halves = np.array([np.frombuffer(f.file.sha256, ">i8") for f in finished], np.int64)
    cells["sha256_hi"], cells["sha256_lo"] = halves[:, 0], halves[:, 1]
    columns: dict[str, Callable[[FileProgress], int]] = {
        "file_id": lambda f: f.file.file_id, "file_octets": lambda f: f.file.octets,
        "file_time_us": lambda f: f.file.time_us if f.file.time_us != ABSENT else f.frame.file_time_us,
        "file_sequence": lambda f: f.file.sequence if f.file.sequence != ABSENT else f.frame.file_sequence,
        "state": lambda f: f.state, "declared_records": lambda f: f.frame.declared_records,
        "declared_octets": lambda f: f.frame.declared_octets, "record_count": lambda f: f.record_count,
        "container_count": lambda f: f.container_count, "record_octets": lambda f: f.record_octets,
        "header_octets": lambda f: f.file.octets - f.record_octets, "duplicate_of": lambda f: f.file.duplicate_of,
        "file_sequence_modulo": lambda f: f.file_sequence_modulo,
        "header_lies": lambda f: f.frame.header_lies or f.frame.declared_records not in (ABSENT, f.record_count),
    }
    for name, value in columns.items():
        cells[name] = [int(value(f)) for f in finished]
    return cells, {"source": [f.file.source for f in finished], "file_name": [f.file.name for f in finished]}
