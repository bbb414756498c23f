"""One batch, top to bottom: decoded slices to a usage block, and all that is set aside on the way.

Order: normalise, deduplicate, merge partials, resolve. Same arguments, same bytes, however the input was cut.
What becomes of a container, first that applies: a record that can't be read is suspended; a repetition is a duplicate;
what normalising refused is suspended; what isn't to be charged is filtered; a key conflict, or a record older than the
horizon, is suspended. So a record that was suspended once is known when it comes again, and usage that
nobody is charged for never bothers anybody with conflicts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mediation.duplicates import NewRun, Verdict, Verdicts, oldest_admitted
from mediation.memory import NEVER_US, MediationMemory
from mediation.normalise import Normalised, TokenKey, normalise
from mediation.resolve import resolve
from mediation.tokens import Sightings
from reference_data.snapshot import Snapshot
from reference_data.streams import Stream
from schemas.codes import DuplicateKind, Reason, Stage
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.errors import InvariantError
from schemas.usage import DUPLICATE, FILTERED, HELD, KEY, MATCHED, MERGED, SUSPENSE, USAGE

Mask = npt.NDArray[np.bool_]
_SECOND_US = 1_000_000


@dataclass(frozen=True)
class Slice:
    """Some records of one file, decoded: what one call of `FileFormat.decode` gave.

    file_time_us: time that the file's name or header declares, ABSENT if none. record_key: of the format.
    recycled: the records come back from suspense. keep: rows of `decoded` that count, where a record is only partly
    taken up again; None for all.
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
    """usage is the block, in order; the rest is set aside. key_run: file of new keys to be named in the commit."""

    usage: Cells
    suspense: Cells
    duplicate: Cells
    filtered: Cells
    matched: Cells
    held: Cells
    merged: Cells
    key_run: NewRun | None
    counts: Counts
    sightings: Sightings
    watermarks: dict[str, int] = field(default_factory=dict)


def mediate(slices: Sequence[Slice], snapshot: Snapshot, memory: MediationMemory, token_key: TokenKey, version: int,
            events: Cells | None = None) -> Mediated:
    """Mediate a batch. Changes `memory`, which the caller must restore from the ledger if it doesn't commit.

    slices lie in collection order. version: the commit that will name the batch. events: USAGE rows that come back
    from suspense at resolution or charging; they are only resolved again, and lead the block.
    Raises InvariantError when containers don't add up; nothing may be committed then.
    """
    events = Cells.empty(USAGE) if events is None else events
    normalised = [_normalise(piece, snapshot, token_key, memory) for piece in slices]
    usage = Cells.concat(USAGE, [n.usage for n in normalised])
    reason, fault, filtered = (_joined([getattr(n, name) for n in normalised])
                               for name in ("reason", "fault_offset", "filtered"))
    unread = _joined([_unread(piece) for piece in slices]).astype(np.bool_)
    stage = np.where(unread, int(Stage.DECODE), int(Stage.NORMALISE))
    stage[np.isin(reason, (Reason.UNFRAMED_BYTES, Reason.TRUNCATED_RECORD)) & unread] = Stage.FRAME

    verdicts, key_run, row_of = _deduplicate(slices, normalised, unread, usage, memory, version)
    verdict = np.full(len(usage), int(Verdict.NEW), np.int64)
    known = row_of >= 0
    verdict[known] = verdicts.verdict[row_of[known]]
    is_duplicate = verdict == Verdict.DUPLICATE
    for found, why in ((Verdict.CONFLICT, Reason.KEY_CONFLICT), (Verdict.TOO_OLD, Reason.TOO_OLD)):
        late = (verdict == found) & (reason == Reason.OK) & (filtered == ABSENT)
        reason[late], stage[late] = why, Stage.DEDUPLICATE
        fault[late] = usage["record_offset"][late]

    suspended = (reason != Reason.OK) & ~is_duplicate
    set_aside = (filtered != ABSENT) & ~is_duplicate & ~suspended
    block = usage.where(~(is_duplicate | suspended | set_aside))
    if len(events):
        block = Cells.concat(USAGE, [events, block])
    elif len(block) == len(usage):
        block = Cells(USAGE, block.matrix.copy())  # resolution writes into it

    unresolved = resolve(block, snapshot)
    known_account = unresolved == Reason.OK
    accepted, lost = block.where(known_account), block.where(~known_account)
    lost_reason = unresolved[~known_account]
    suspense = Cells.concat(SUSPENSE, [
        _suspense(usage.where(suspended), stage[suspended], reason[suspended], fault[suspended]),
        _suspense(lost, np.full(len(lost), int(Stage.RESOLVE), np.int64), lost_reason,
                  np.full(len(lost), ABSENT, np.int64))])
    result = Mediated(
        accepted, suspense, _duplicates(usage, is_duplicate, row_of, verdicts), _filtered(usage, set_aside, filtered),
        Cells.empty(MATCHED), Cells.empty(HELD), Cells.empty(MERGED), key_run,
        _counts(slices, usage, events, accepted, suspended, lost, is_duplicate, set_aside, memory),
        Sightings.concat([n.sightings for n in normalised]), dict(memory.watermarks))
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


def _normalise(piece: Slice, snapshot: Snapshot, token_key: TokenKey, memory: MediationMemory) -> Normalised:
    decoded = piece.decoded if piece.keep is None else piece.decoded.where(piece.keep)
    if piece.keep is None:
        announced = decoded["container_count"][decoded["container_index"] == 0].sum()
        if announced != len(decoded):
            raise InvariantError(f"{piece.source}, file {piece.file_id}: records announce {announced} containers, "
                                 f"{len(decoded)} were decoded")
    return normalise(decoded, piece.buffer, piece.source, piece.file_id, piece.file_time_us, piece.stream,
                     piece.record_key, snapshot, token_key, memory.lexicon)


def _unread(piece: Slice) -> I64:
    decoded = piece.decoded if piece.keep is None else piece.decoded.where(piece.keep)
    unread: I64 = (decoded["status"] != Reason.OK).astype(np.int64)
    return unread


def _joined(parts: list[I64]) -> I64:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _deduplicate(slices: Sequence[Slice], normalised: Sequence[Normalised], unread: Mask, usage: Cells,
                 memory: MediationMemory, version: int) -> tuple[Verdicts, NewRun | None, I64]:
    """Verdicts per readable record, the run of new keys, and for every container the row of its record's verdict.

    The watermark of a stream rises with the key time of its records, in collection order, unless they are refused:
    a clock that runs ahead must not make others late.
    """
    key = Cells.concat(KEY, [n.key for n in normalised])
    first = ~unread & (key["key_time_us"] != ABSENT)
    if len(usage):
        same = (usage["record_offset"][1:] == usage["record_offset"][:-1]) & \
            (usage["file_id"][1:] == usage["file_id"][:-1]) & (usage["container_index"][1:] > 0)
        record = np.concatenate([[0], np.cumsum(~same)])
    else:
        record = np.empty(0, np.int64)
        same = np.empty(0, np.bool_)
    heads = np.flatnonzero(first & np.concatenate([[True], ~same])[:len(usage)])
    row_of_record = np.full(int(record[-1]) + 1 if record.size else 0, ABSENT, np.int64)
    row_of_record[record[heads]] = np.arange(heads.size)
    row_of = np.where(first, row_of_record[record], ABSENT) if record.size else np.empty(0, np.int64)
    keys = key.take(heads)
    reason = _joined([n.reason for n in normalised])[heads]
    oldest, recycled = np.empty(heads.size, np.int64), np.zeros(heads.size, np.uint8)
    start, row = 0, 0
    for piece, part in zip(slices, normalised, strict=True):
        start += len(part.usage)
        stop = int(np.searchsorted(heads, start))
        mark = memory.watermarks.get(piece.stream.name, NEVER_US)
        times = np.where(reason[row:stop] == Reason.OK, keys["key_time_us"][row:stop], NEVER_US)
        if piece.recycled:
            times[:] = NEVER_US  # old news
        rising = np.maximum.accumulate(np.concatenate([[mark], times]))
        oldest[row:stop] = oldest_admitted(rising[:-1], piece.stream.duplicate_horizon_s * _SECOND_US)
        if piece.recycled:
            oldest[row:stop] = NEVER_US
            recycled[row:stop] = 1
        memory.watermarks[piece.stream.name] = int(rising[-1])
        row = stop
    file_id, offset = usage["file_id"][heads], usage["record_offset"][heads]
    verdicts = memory.duplicates.probe(keys, file_id, offset, oldest, recycled)
    return verdicts, memory.duplicates.add(keys, file_id, offset, verdicts, version), row_of


def _suspense(usage: Cells, stage: I64, reason: I64, fault: I64) -> Cells:
    cells = Cells.empty(SUSPENSE, len(usage))
    cells.matrix[:len(USAGE.columns)] = usage.matrix
    cells["stage"], cells["reason"], cells["fault_offset"], cells["estimate_nanos"] = stage, reason, fault, ABSENT
    return cells


def _duplicates(usage: Cells, mask: Mask, row_of: I64, verdicts: Verdicts) -> Cells:
    rows = usage.where(mask)
    cells = Cells.empty(DUPLICATE, len(rows))
    cells.matrix[:len(USAGE.columns)] = rows.matrix
    cells["kind"] = DuplicateKind.RECORD
    cells["first_file_id"] = verdicts.first_file_id[row_of[mask]]
    cells["first_record_offset"] = verdicts.first_record_offset[row_of[mask]]
    return cells


def _filtered(usage: Cells, mask: Mask, why: I64) -> Cells:
    rows = usage.where(mask)
    cells = Cells.empty(FILTERED, len(rows))
    cells.matrix[:len(USAGE.columns)] = rows.matrix
    cells["reason"] = why[mask]
    return cells


def _counts(slices: Sequence[Slice], usage: Cells, events: Cells, accepted: Cells, suspended: Mask, lost: Cells,
            duplicate: Mask, filtered: Mask, memory: MediationMemory) -> Counts:
    sources = len(memory.lexicon.labels["source"])

    def count(source: I64) -> I64:
        return np.bincount(source, minlength=sources).astype(np.int64)

    arrived, recycled, records = (np.zeros(sources, np.int64) for _ in range(3))
    for piece in slices:
        label = memory.lexicon.label("source", piece.source)
        rows = len(piece.decoded) if piece.keep is None else int(piece.keep.sum())
        (recycled if piece.recycled else arrived)[label] += rows
        if not piece.recycled:
            records[label] += int((piece.decoded["container_index"] == 0).sum())
    source = usage["source"]
    none = np.zeros(sources, np.int64)
    return Counts(records, arrived, recycled + count(events["source"]), none, count(accepted["source"]),
                  count(source[suspended]) + count(lost["source"]), count(source[duplicate]), count(source[filtered]),
                  none, none, none)
