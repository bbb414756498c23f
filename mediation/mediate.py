"""One batch, top to bottom: decoded slices to a usage block, and all that is set aside on the way.

Order: normalise, deduplicate, match with what was charged online, merge partials, resolve. Same arguments, same
bytes, however the input was cut.
What becomes of a container, first that applies: a record that can't be read is suspended; a repetition is a duplicate;
what normalising refused, and a key conflict, is suspended; what isn't to be charged is filtered; a record older than
the horizon is suspended. So a record that was suspended once is known when it comes again, two witnesses that
contradict each other are never chosen between, and old usage that nobody is charged for bothers nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mediation.duplicates import NewRun, Verdict, Verdicts, oldest_admitted
from mediation.kernels.online import MATCHED as WHOLLY
from mediation.kernels.online import PART, WAITS
from mediation.kernels.partials import COVERED, OVERLAP
from mediation.matching import Decided, references
from mediation.memory import NEVER_US, Lexicon, MediationMemory, join_deltas
from mediation.normalise import Normalised, TokenKey, normalise
from mediation.partials import PartialDelta
from mediation.resolve import resolve
from mediation.tokens import Sightings
from reference_data.snapshot import Snapshot
from reference_data.streams import Stream
from schemas.codes import DuplicateKind, FilterReason, Reason, Stage
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.errors import InvariantError
from schemas.matching import AWAITING, MATCHED_PART
from schemas.usage import DUPLICATE, FILTERED, KEY, MATCHED, MERGED, SUSPENSE, USAGE

Mask = npt.NDArray[np.bool_]
_SECOND_US = 1_000_000


@dataclass(frozen=True)
class Slice:
    """Some records of one file, decoded: what one call of `FileFormat.decode` gave.

    file_time_us: time that the file's name or header declares, ABSENT if none. record_key: of the format.
    recycled: the records come back from suspense. repeats: number of the file that had the same content first: every
    container of this one is a duplicate then. keep: rows of `decoded` that count, where a record is only partly taken
    up again; None for all. online_position: how far what was charged online was known when the file was collected.
    """

    source: str
    file_id: int
    file_time_us: int
    stream: Stream
    record_key: tuple[str, ...]
    buffer: U8
    decoded: Cells
    recycled: bool = False
    keep: Mask | None = None
    repeats: int = ABSENT
    online_position: int = 0

    @property
    def container_count(self) -> int:
        return len(self.decoded)


@dataclass(frozen=True)
class Prepared:
    """A slice whose events are normalised, with what else mediation asks of what was decoded: the rest is let go.

    unread: containers whose record could not be read. record_count: of the slice. references (2, n): keys of the
    sessions' texts, where the stream is matched with what was charged online.
    """

    source: str
    stream: Stream
    recycled: bool
    repeats: int
    normalised: Normalised
    unread: Mask
    record_count: int
    file_id: int = 0
    online_position: int = 0
    references: I64 | None = None

    @property
    def container_count(self) -> int:
        return len(self.normalised.usage)


@dataclass(frozen=True)
class Counts:
    """Containers per source label, every class of the conservation law, (sources,) each; and records that came in."""

    records: I64
    arrived: I64
    recycled: I64
    held_before: I64
    accepted: I64
    suspended: I64
    duplicate: I64
    filtered: I64
    matched: I64
    merged: I64
    held_after: I64


@dataclass(frozen=True)
class Mediated:
    """usage is the block, in order; the rest is set aside.

    partials: what this batch changed in open sessions, to be written with it. key_run: file of new keys to be named
    in the commit. state: small JSON state of the memory after the batch. matched_part: shares of accepted containers
    that were charged online. awaiting: changes of who waits for online usage; online_run: file of what is known of it,
    to be named in the commit.
    """

    usage: Cells
    suspense: Cells
    duplicate: Cells
    filtered: Cells
    matched: Cells
    merged: Cells
    partials: PartialDelta
    key_run: NewRun | None
    counts: Counts
    sightings: Sightings
    state: dict[str, Any]
    matched_part: Cells = field(default_factory=partial(Cells.empty, MATCHED_PART))
    awaiting: Cells = field(default_factory=partial(Cells.empty, AWAITING))
    online_run: NewRun | None = None


def prepare(piece: Slice, snapshot: Snapshot, lexicon: Lexicon, token_key: TokenKey) -> Prepared:
    """Normalise a slice. Remembers nothing but the lexicon, so that it may run ahead of what mediates: slices in
    collection order, by one thread.

    Raises InvariantError when its records announce other containers than were decoded.
    """
    decoded = piece.decoded if piece.keep is None else piece.decoded.where(piece.keep)
    if piece.keep is None:
        announced = decoded["container_count"][decoded["container_index"] == 0].sum()
        if announced != len(decoded):
            raise InvariantError(f"{piece.source}, file {piece.file_id}: records announce {announced} containers, "
                                 f"{len(decoded)} were decoded")
    normalised = normalise(decoded, piece.buffer, piece.source, piece.file_id, piece.file_time_us, piece.stream,
                           piece.record_key, snapshot, token_key, lexicon)
    return Prepared(piece.source, piece.stream, piece.recycled, piece.repeats, normalised,
                    decoded["status"] != Reason.OK, int((piece.decoded["container_index"] == 0).sum()), piece.file_id,
                    piece.online_position,
                    None if piece.stream.matching is None else references(piece.buffer, decoded["session_text"]))


def mediate(slices: Sequence[Slice | Prepared], snapshot: Snapshot, memory: MediationMemory, token_key: TokenKey,
            version: int, events: Cells | None = None, clock_us: int | None = None) -> Mediated:
    """Mediate a batch. Changes `memory`, which the caller must restore from the ledger if it doesn't commit.

    slices lie in collection order; those that are not prepared are. version: the commit that will name the batch.
    events: USAGE rows that come back from suspense at resolution or charging; they are only resolved again, and lead
    the block. clock_us: a clock command that follows the slices: record time of every stream moves to it.
    Raises InvariantError when containers don't add up; nothing may be committed then.
    """
    events = Cells.empty(USAGE) if events is None else events
    pieces = [each if isinstance(each, Prepared) else prepare(each, snapshot, memory.lexicon, token_key)
              for each in slices]
    sources = len(memory.lexicon.labels["source"])  # whoever prepares ahead of us may add more
    for stream in {piece.stream.name: piece.stream for piece in pieces}.values():
        memory.book(stream, snapshot.operator.time_zone)
    for book in memory.books.values():
        book.begin()
    memory.online.begin()
    before = _held(memory, sources)
    usage = _Parts([piece.normalised.usage for piece in pieces])
    reason, fault, filtered = (_joined([getattr(piece.normalised, name) for piece in pieces])
                               for name in ("reason", "fault_offset", "filtered"))
    unread = _joined([piece.unread for piece in pieces]).astype(np.bool_)
    stage = np.where(unread, int(Stage.DECODE), int(Stage.NORMALISE))
    stage[np.isin(reason, (Reason.UNFRAMED_BYTES, Reason.TRUNCATED_RECORD)) & unread] = Stage.FRAME

    repeats = _joined([np.full(piece.container_count, piece.repeats, np.int64) for piece in pieces])
    began: list[dict[str, int]] = []
    verdicts, key_run, row_of, marks = _deduplicate(pieces, unread | (repeats != ABSENT), usage, memory, version, began)
    verdict = np.full(len(usage), int(Verdict.NEW), np.int64)
    known = row_of >= 0
    verdict[known] = verdicts.verdict[row_of[known]]
    is_duplicate = (verdict == Verdict.DUPLICATE) | (repeats != ABSENT)
    for found, why in ((Verdict.CONFLICT, Reason.KEY_CONFLICT), (Verdict.TOO_OLD, Reason.TOO_OLD)):
        late = (verdict == found) & (reason == Reason.OK)
        if found == Verdict.TOO_OLD:
            late &= filtered == ABSENT
        reason[late], stage[late] = why, Stage.DEDUPLICATE
        fault[late] = usage["record_offset"][late]

    suspended = (reason != Reason.OK) & ~is_duplicate
    set_aside = (filtered != ABSENT) & ~is_duplicate & ~suspended
    _note_sequences(pieces, row_of, is_duplicate, memory)
    online = _match(pieces, ~(is_duplicate | suspended | set_aside), row_of, marks, began, memory, snapshot, clock_us)
    merged = _merge(pieces, is_duplicate | suspended, set_aside, filtered, row_of, marks, memory, clock_us, online)
    block = Cells.concat(USAGE, [events, merged.usage]) if len(events) else merged.usage

    unresolved = resolve(block, snapshot)
    known_account = unresolved == Reason.OK
    accepted, lost = block.where(known_account), block.where(~known_account)
    lost_reason = unresolved[~known_account]
    suspense = Cells.concat(SUSPENSE, [
        _suspense(usage.where(suspended), stage[suspended], reason[suspended], fault[suspended]),
        _suspense(merged.overlapping, int(Stage.MERGE), int(Reason.OVERLAPPING_PARTIAL),
                  merged.overlapping["record_offset"]),
        _suspense(lost, int(Stage.RESOLVE), lost_reason, ABSENT)])
    filtered_rows = Cells.concat(FILTERED, [_filtered(usage.where(set_aside), filtered[set_aside]),
                                            _filtered(merged.covered, int(FilterReason.WITNESS))])
    duplicates = _duplicates(usage, is_duplicate, row_of, verdicts, repeats)
    result = Mediated(
        accepted, suspense, duplicates, filtered_rows, online.matched, merged.merged,
        join_deltas(memory.books[name].delta() for name in sorted(memory.books)), key_run,
        _counts(pieces, events, (accepted, suspense, duplicates, filtered_rows, online.matched, merged.merged), before,
                memory),
        Sightings.concat([piece.normalised.sightings for piece in pieces]), memory.state(), online.parts,
        memory.online.delta(), memory.online.index.take_run(version))
    check_conservation(result)
    return result


def check_conservation(result: Mediated) -> None:
    """Law 3, per source: what came in, and what was held, is what became of it, and what is held.

    Raises InvariantError naming the first source that differs.
    """
    counts = result.counts
    came = counts.arrived + counts.recycled + counts.held_before
    went = counts.accepted + counts.suspended + counts.duplicate + counts.filtered + counts.matched + counts.merged \
        + counts.held_after
    if (came != went).any():
        worst = int((came != went).argmax())
        raise InvariantError(f"source {worst}: {came[worst]} containers came, {went[worst]} are accounted for")
    written = tuple(len(rows) for rows in (result.usage, result.suspense, result.duplicate, result.filtered,
                                           result.matched, result.merged))
    counted = tuple(int(c.sum()) for c in (counts.accepted, counts.suspended, counts.duplicate, counts.filtered,
                                           counts.matched, counts.merged))
    if written != counted:
        raise InvariantError(f"rows written {written}, counted {counted}")


class _Parts:
    """Usage rows of several slices as one, without the copy of all columns that joining them takes."""

    def __init__(self, parts: Sequence[Cells]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __getitem__(self, name: str) -> I64:
        """One column of all rows; no view where there are several parts."""
        return self._parts[0][name] if len(self._parts) == 1 else _joined([part[name] for part in self._parts])

    def where(self, mask: Mask) -> Cells:
        """Rows where `mask` holds, in order."""
        ends = np.cumsum([len(part) for part in self._parts])
        return Cells.concat(USAGE, [part.where(mask[end - len(part):end])
                                    for part, end in zip(self._parts, ends, strict=True)])


def _joined(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _deduplicate(pieces: Sequence[Prepared], unread: Mask, usage: _Parts, memory: MediationMemory, version: int,
                 began: list[dict[str, int]]) -> tuple[Verdicts, NewRun | None, I64, I64]:
    """Verdicts per readable record, the run of new keys, for every container the row of its record's verdict, and
    for every record the watermark of its stream with it.

    The watermark of a stream rises with the key time of its records, in collection order, unless they are refused:
    a clock that runs ahead must not make others late. began: gets the watermarks as each slice begins.
    """
    key = Cells.concat(KEY, [piece.normalised.key for piece in pieces])
    first = ~unread & (key["key_time_us"] != ABSENT)
    if len(usage):
        offset, file_id = usage["record_offset"], usage["file_id"]
        same = (offset[1:] == offset[:-1]) & (file_id[1:] == file_id[:-1]) & (usage["container_index"][1:] > 0)
        record = np.concatenate([[0], np.cumsum(~same)])
    else:
        record = np.empty(0, np.int64)
        same = np.empty(0, np.bool_)
    heads = np.flatnonzero(first & np.concatenate([[True], ~same])[:len(usage)])
    row_of_record = np.full(int(record[-1]) + 1 if record.size else 0, ABSENT, np.int64)
    row_of_record[record[heads]] = np.arange(heads.size)
    row_of = np.where(first, row_of_record[record], ABSENT) if record.size else np.empty(0, np.int64)
    keys = key if heads.size == len(key) else key.take(heads)
    reason = _joined([piece.normalised.reason for piece in pieces])[heads]
    oldest, marks = np.empty(heads.size, np.int64), np.empty(heads.size, np.int64)
    recycled = np.zeros(heads.size, np.uint8)
    start, row = 0, 0
    for piece in pieces:
        began.append(dict(memory.watermarks))
        start += piece.container_count
        stop = int(np.searchsorted(heads, start))
        mark = memory.watermarks.get(piece.stream.name, NEVER_US)
        times = np.where(reason[row:stop] == Reason.OK, keys["key_time_us"][row:stop], NEVER_US)
        if piece.recycled:
            times[:] = NEVER_US  # old news
        rising = np.maximum.accumulate(np.concatenate([[mark], times]))
        oldest[row:stop] = oldest_admitted(rising[:-1], piece.stream.remembered_s * _SECOND_US)
        if piece.recycled:
            oldest[row:stop] = NEVER_US
            recycled[row:stop] = 1
        marks[row:stop] = rising[1:]
        memory.watermarks[piece.stream.name] = int(rising[-1])
        row = stop
    file_id, offset = usage["file_id"][heads], usage["record_offset"][heads]
    verdicts = memory.duplicates.probe(keys, file_id, offset, oldest, recycled)
    return verdicts, memory.duplicates.add(keys, file_id, offset, verdicts, version), row_of, marks


def _suspense(usage: Cells, stage: I64 | int, reason: I64 | int, fault: I64 | int) -> Cells:
    cells = Cells.empty(SUSPENSE, len(usage))
    cells.matrix[:len(USAGE.columns)] = usage.matrix
    cells["stage"], cells["reason"], cells["fault_offset"], cells["estimate_nanos"] = stage, reason, fault, ABSENT
    return cells


def _duplicates(usage: _Parts, mask: Mask, row_of: I64, verdicts: Verdicts, repeats: I64) -> Cells:
    rows = usage.where(mask)
    cells = Cells.empty(DUPLICATE, len(rows))
    cells.matrix[:len(USAGE.columns)] = rows.matrix
    whole_file = repeats[mask] != ABSENT
    cells["kind"] = np.where(whole_file, int(DuplicateKind.FILE), int(DuplicateKind.RECORD))
    cells["first_file_id"], cells["first_record_offset"] = repeats[mask], rows["record_offset"]
    found = row_of[mask][~whole_file]
    cells["first_file_id"][~whole_file] = verdicts.first_file_id[found]
    cells["first_record_offset"][~whole_file] = verdicts.first_record_offset[found]
    return cells


def _filtered(usage: Cells, why: I64 | int) -> Cells:
    cells = Cells.empty(FILTERED, len(usage))
    cells.matrix[:len(USAGE.columns)] = usage.matrix
    cells["reason"] = why
    return cells


@dataclass(frozen=True)
class _Online:
    """What was charged online. aside: containers that are matched, or wait. events: (slice at whose beginning, stream,
    containers that waited and are charged now); after the last slice, by a clock command."""

    matched: Cells
    parts: Cells
    aside: Mask
    events: list[tuple[int, str, Cells]]


def _match(pieces: Sequence[Prepared], wanted: Mask, row_of: I64, marks: I64, began: Sequence[dict[str, int]],
           memory: MediationMemory, snapshot: Snapshot, clock_us: int | None) -> _Online:
    """Containers of every slice against what was charged online; quantities of those partly covered become less."""
    aside = np.zeros(wanted.size, np.bool_)
    events: list[tuple[int, str, Cells]] = []
    matched: list[Cells] = []
    parts: list[Cells] = []
    online, sources = memory.online, memory.lexicon.labels["source"]

    def decide(number: int, decided: Decided) -> None:
        matched.extend(decided.matched)
        parts.extend(decided.parts)
        events.extend((number, name, cells) for name, cells in decided.events.items())

    start = 0
    for number, piece in enumerate(pieces):
        stop = start + piece.container_count
        if not piece.recycled:
            decide(number, online.enter(piece.file_id, piece.online_position, began[number], snapshot, sources))
        rows = np.flatnonzero(wanted[start:stop])
        if piece.stream.matching is not None and piece.references is not None and rows.size:
            usage = piece.normalised.usage
            hi, lo = piece.references[:, rows]
            judged, share = online.take(usage.take(rows), hi, lo, marks[row_of[start + rows]], piece.stream.matching,
                                        snapshot)
            matched.extend(judged.matched)
            parts.extend(judged.parts)
            aside[start + rows[(judged.verdict == WHOLLY) | (judged.verdict == WAITS)]] = True
            usage["quantity"][rows] -= np.where(judged.verdict == PART, share, 0)
        start = stop
    if clock_us is not None:
        marks_then = {name: max(mark, clock_us) for name, mark in memory.watermarks.items()}
        decide(len(pieces), online.advance(marks_then, snapshot, sources))
    return _Online(Cells.concat(MATCHED, matched), Cells.concat(MATCHED_PART, parts), aside, events)


@dataclass(frozen=True)
class _Merged:
    usage: Cells        # resolution may write into it
    merged: Cells
    overlapping: Cells
    covered: Cells


def _merge(pieces: Sequence[Prepared], dropped: Mask, set_aside: Mask, filtered: I64, row_of: I64, marks: I64,
           memory: MediationMemory, clock_us: int | None, online: _Online) -> _Merged:
    """Partials of every slice through the book of its stream.

    A partial that brought nothing is filtered, but its number and its cause count: it may be the final one. So it is
    with one that was charged online, or waits. Those that waited come back before the slice that decided them.
    """
    silent = set_aside & (filtered == FilterReason.ZERO_USAGE) | online.aside
    set_aside = set_aside | online.aside
    wanted = ~dropped & (~set_aside | silent)
    passed, merged, overlapping, covered = [], [], [], []
    start = 0

    def come_back(number: int) -> None:
        for place, name, events in online.events:
            if place == number:
                book = memory.books[name]
                # At no record time of its own: nobody's patience ends by what is not news.
                taken = book.take(events, np.zeros(len(events), np.uint8),
                                  np.full(len(events), book.watermark_us, np.int64), True) \
                    if book.concerns(events) else None
                passed.append(events if taken is None else taken.usage)
                if taken is not None:
                    merged.append(taken.merged)

    for number, piece in enumerate(pieces):
        come_back(number)
        stop = start + piece.container_count
        rows = start + np.flatnonzero(wanted[start:stop])
        book = memory.books[piece.stream.name]
        # Rows that are also set aside are written as they came, so that the book gets a copy of its own then.
        mine = piece.normalised.usage if rows.size == stop - start and not set_aside[start:stop].any() \
            else piece.normalised.usage.take(rows - start)
        if book.concerns(mine):
            taken = book.take(mine, silent[rows].astype(np.uint8), marks[row_of[rows]], piece.recycled)
            passed.append(taken.usage)
            merged.append(taken.merged)
            overlapping.append(mine.where(taken.action == OVERLAP))
            covered.append(mine.where(taken.action == COVERED))
        else:
            passed.append(mine.where(~silent[rows]))
        start = stop
    come_back(len(pieces))
    if clock_us is not None:
        for name in sorted(memory.books):
            memory.watermarks[name] = max(memory.watermarks.get(name, NEVER_US), clock_us)
            passed.append(memory.books[name].advance(clock_us))
    return _Merged(Cells.concat(USAGE, passed), Cells.concat(MERGED, merged), Cells.concat(USAGE, overlapping),
                   Cells.concat(USAGE, covered))


def _note_sequences(pieces: Sequence[Prepared], row_of: I64, is_duplicate: Mask, memory: MediationMemory) -> None:
    """Record sequence numbers of the nodes, of all records that could be read and came for the first time."""
    start = 0
    for piece in pieces:
        stop, mine = start + piece.container_count, piece.normalised.usage
        if not piece.recycled:
            rows = np.flatnonzero((row_of[start:stop] != ABSENT) & ~is_duplicate[start:stop]
                                  & (mine["container_index"] == 0))
            memory.records.see(piece.source, mine["local_sequence"][rows], piece.stream.local_sequence_modulo)
        start = stop


def _held(memory: MediationMemory, sources: int) -> I64:
    """Events held per source label, over all streams: for the rest of their session, or for online usage."""
    held = memory.online.held_by_source(sources)
    for book in memory.books.values():
        held += book.held_by_source(sources)
    return held


def _counts(pieces: Sequence[Prepared], events: Cells, classes: tuple[Cells, ...], before: I64, memory: MediationMemory
            ) -> Counts:
    sources = before.size

    def count(cells: Cells) -> I64:
        return np.bincount(cells["source"], minlength=sources).astype(np.int64)

    arrived, recycled, records = (np.zeros(sources, np.int64) for _ in range(3))
    for piece in pieces:
        label = memory.lexicon.label("source", piece.source)
        (recycled if piece.recycled else arrived)[label] += piece.container_count
        if not piece.recycled:
            records[label] += piece.record_count
    accepted, suspended, duplicate, filtered, matched, merged = (count(cells) for cells in classes)
    return Counts(records, arrived, recycled + count(events), before, accepted, suspended, duplicate, filtered,
                  matched, merged, _held(memory, sources))
