"""Partials of a session: held until they are whole, or taken one by one with an eye on repetitions.

A stream that merges `until_final` holds containers per session, rating group, service identifier and serving network,
and releases one event of each when the final cause has come and no record sequence number is missing, when nothing
came for `timeout_s` of record time (incomplete, unless nothing is missing), or when a cycle ends. What comes after that
is late: an event of its own, of the same session, so that charging prices the difference. A stream that rates each
partial passes all. Either way a record sequence number that came before, with other content, is an overlap.

All of it moves on record time in collection order only, so that a batch, a file or a run may end anywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from mediation.kernels import partials as kernel
from reference_data.streams import Stream
from schemas.codes import MergePolicy
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.errors import LedgerError
from schemas.usage import HELD, MERGED, OPEN_SESSION, USAGE

_SECOND_US = 1_000_000
_FIELDS = {"session_hi": kernel.HI, "session_lo": kernel.LO, "contiguous": kernel.CONTIGUOUS, "window": kernel.WINDOW,
           "flaws": kernel.FLAWS, "final_sequence": kernel.FINAL, "activity": kernel.ACTIVITY,
           "deadline_us": kernel.DEADLINE, "uplink_total": kernel.UP, "downlink_total": kernel.DOWN,
           "duration_total": kernel.DURATION}
_TOTALS = {"increments": 0, "totals": 1, "layout": 2}
NEVER_US = -(1 << 62)  # record time of a stream that has brought nothing yet


@dataclass(frozen=True)
class Taken:
    """What became of some containers. action (n,): `PASS`, `HELD`, `OVERLAP`, `COVERED` or `SILENT` of the kernels.

    usage: events that left, in order. merged: containers that went into another event.
    """

    action: I64
    usage: Cells
    merged: Cells


@dataclass(frozen=True)
class PartialDelta:
    """What a batch changed: rows that replace earlier ones of the same session, and of the same held event.

    held: USAGE rows now held by the sessions that the batch touched. sessions: those sessions; one that is no longer
    listed as holding an event holds it no more.
    """

    held: Cells
    sessions: Cells


class PartialBook:
    """Open sessions of one stream."""

    def __init__(self, stream: Stream, time_zone: str, stream_label: int) -> None:
        self._label = stream_label
        self._zone = ZoneInfo(time_zone)
        self._cycle = stream.merge.cycle if stream.merge_policy == MergePolicy.UNTIL_FINAL else "none"
        totals = _TOTALS[stream.merge.counters]
        patience = stream.merge.timeout_s
        if stream.merge_policy == MergePolicy.RATE_EACH and (totals == 1 or stream.format.startswith("radius")):
            # Forgetting a total charges it twice; what is older than the horizon is refused anyway.
            patience = max(patience, stream.duplicate_horizon_s)
        self._settings = np.array([stream.merge_policy == MergePolicy.UNTIL_FINAL, patience * _SECOND_US, totals, 0,
                                   NEVER_US], np.int64)
        self._sessions: npt.NDArray[np.int64] = np.empty((0, kernel.WIDTH), np.int64)
        self._groups: npt.NDArray[np.int64] = np.empty((0, kernel.GROUP_WIDTH), np.int64)
        self._queue: npt.NDArray[np.int64] = np.empty((0, 3), np.int64)
        self._index: I64 = np.full(64, ABSENT, np.int64)
        self._counters: I64 = np.zeros(kernel.COUNTERS, np.int64)
        self._counters[[kernel.FREE_SESSION, kernel.FREE_GROUP]] = ABSENT
        self._counters[kernel.WATERMARK] = NEVER_US
        self._held_by_source: I64 = np.zeros(1, np.int64)
        self._touched: list[I64] = []

    def __len__(self) -> int:
        """Events held."""
        return int(self._counters[kernel.GROUPS])

    @property
    def watermark_us(self) -> int:
        """Record time of the stream, UTC microseconds."""
        return int(self._counters[kernel.WATERMARK])

    def held_by_source(self, sources: int) -> I64:
        """Events held per source label, (sources,)."""
        counts = np.zeros(sources, np.int64)
        counts[:self._held_by_source.size] = self._held_by_source[:sources]
        return counts

    def concerns(self, usage: Cells) -> bool:
        """Whether these containers could change or need anything here; if not, `take` would pass them all."""
        return bool(self._settings[kernel.UNTIL_FINAL]) or self._settings[kernel.TOTALS] == 1 or \
            bool((usage["partial_sequence"] != ABSENT).any()) or bool((usage["record_type"] == kernel.WIFI).any())

    def begin(self) -> None:
        """A new batch: `delta` reports changes from here on."""
        self._touched = []
        self._counters[kernel.BATCH] += 1

    def take(self, usage: Cells, silent: U8, watermark_us: I64, recycled: bool = False) -> Taken:
        """Take containers in collection order; totals in `usage` become differences, in place.

        silent (n,): nonzero where the container brings no usage, but its record counts for the session.
        watermark_us (n,): record time of the stream with that record, never falling. recycled: sequence numbers
        are not judged again.
        """
        rows = len(usage)
        self._make_room(rows)
        self._settings[kernel.RECYCLED] = int(recycled)
        sources = int(usage["source"].max()) + 1 if rows else 0
        self._grow_sources(sources)
        action = np.empty(rows, np.int64)
        merged = np.empty((rows, len(MERGED.columns)), np.int64)
        emits, released, touched = self._room_for_output(rows)
        clock = int(self._settings[kernel.CLOCK_US])
        boundaries = self._boundaries(int(watermark_us[0]) if rows else clock,
                                      max(int(watermark_us[-1]), clock) if rows else clock)
        by_row = np.ascontiguousarray(usage.matrix.T) if self._settings[kernel.UNTIL_FINAL] \
            else np.empty((0, len(USAGE.columns)), np.int64)
        kernel.take_nb(usage.matrix, by_row, silent, watermark_us, self._settings, boundaries, self._sessions,
                       self._index, self._groups, self._queue, self._counters, self._held_by_source, action, emits,
                       released, merged, touched)
        self._touched.append(touched[:self._counters[kernel.TOUCHED_ROWS]])
        merged = merged[:self._counters[kernel.MERGED_ROWS]]
        return Taken(action, self._emitted(usage, emits, released), Cells(MERGED, np.ascontiguousarray(merged.T)))

    def advance(self, watermark_us: int) -> Cells:
        """Record time moves to a clock command's; returns the events that it releases."""
        self._settings[kernel.CLOCK_US] = watermark_us
        try:
            return self.take(Cells.empty(USAGE), np.empty(0, np.uint8), np.empty(0, np.int64)).usage
        finally:
            self._settings[kernel.CLOCK_US] = NEVER_US

    def delta(self) -> PartialDelta:
        """What changed since `begin`."""
        touched = np.zeros(int(self._counters[kernel.SESSION_TOP]), np.bool_)
        for rows in self._touched:
            touched[rows] = True
        return self._export(np.flatnonzero(touched))

    def full(self) -> PartialDelta:
        """All there is: the delta of a book that began empty."""
        top = int(self._counters[kernel.SESSION_TOP])
        return self._export(np.flatnonzero(self._sessions[:top, kernel.STATE] != 0))

    def restore(self, deltas: Iterable[PartialDelta], watermark_us: int) -> None:
        """Become what a book was after these deltas, oldest first, at that record time. Only for a fresh book.

        Raises LedgerError when a held event belongs to no session.
        """
        kept = list(deltas)
        newest = {key: number for number, delta in enumerate(kept) for key in _keys(delta.sessions)}

        def current(number: int, cells: Cells) -> Cells:
            rows = [row for row, key in enumerate(_keys(cells)) if newest.get(key) == number]
            return cells.take(np.array(rows, np.intp))

        sessions = Cells.concat(OPEN_SESSION, [current(number, d.sessions) for number, d in enumerate(kept)])
        sessions = sessions.where(sessions["deadline_us"] > watermark_us)
        alive = set(_keys(sessions))
        held = Cells.concat(HELD, [current(number, d.held) for number, d in enumerate(kept)])
        held = held.where(np.array([key in alive for key in _keys(held)], np.bool_))
        self._load(sessions, held, watermark_us)

    def _load(self, sessions: Cells, held: Cells, watermark_us: int) -> None:
        count = len(sessions)
        self._make_room(count + len(held))
        self._grow_sources(int(held["source"].max()) + 1 if len(held) else 0)
        kernel.restore_sessions_nb(np.ascontiguousarray(sessions["session_hi"]),
                                   np.ascontiguousarray(sessions["session_lo"]), self._sessions, self._index,
                                   self._counters)
        for name, place in _FIELDS.items():
            self._sessions[:count, place] = sessions[name]
        merging = bool(self._settings[kernel.UNTIL_FINAL])
        self._sessions[:count, kernel.STATE] = np.where(
            sessions["released"] == 1, kernel.RELEASED, kernel.OPEN if merging else kernel.WATCHED)
        strays = kernel.restore_groups_nb(held.matrix, np.ascontiguousarray(held.matrix.T), self._sessions, self._index,
                                          self._groups, self._counters, self._held_by_source)
        if strays:
            raise LedgerError(f"{strays} held events belong to no open session", "state as a commit wrote it",
                              "verify the ledger")
        order = np.argsort(self._sessions[:count, kernel.ACTIVITY])
        self._queue[:count] = self._sessions[order][:, [kernel.FIRST_GROUP, kernel.ACTIVITY, kernel.DEADLINE]]
        self._queue[:count, 0] = order
        self._counters[[kernel.QUEUE_HEAD, kernel.QUEUE_TAIL]] = 0, count
        self._counters[kernel.LAST_ACTIVITY] = self._sessions[:count, kernel.ACTIVITY].max(initial=0)
        self._counters[kernel.WATERMARK] = watermark_us

    def _export(self, rows: I64) -> PartialDelta:
        rows = rows[self._sessions[rows, kernel.STATE] != 0]
        sessions = Cells.empty(OPEN_SESSION, rows.size)
        sessions["stream"] = self._label
        for name, place in _FIELDS.items():
            sessions[name] = self._sessions[rows, place]
        sessions["released"] = self._sessions[rows, kernel.STATE] == kernel.RELEASED
        count = kernel.held_rows_nb(rows, self._sessions, self._groups, np.empty((len(USAGE.columns), 0), np.int64))
        held = Cells.empty(HELD, count)
        kernel.held_rows_nb(rows, self._sessions, self._groups, held.matrix)
        return PartialDelta(held, sessions)

    def _emitted(self, usage: Cells, emits: I64, released: npt.NDArray[np.int64]) -> Cells:
        count = int(self._counters[kernel.EMITTED])
        if count == len(usage) and not self._counters[kernel.RELEASED_ROWS]:
            return usage
        out = Cells.empty(USAGE, count)
        kernel.emit_nb(usage.matrix, released, emits[:count], out.matrix)
        return out

    def _room_for_output(self, rows: int) -> tuple[I64, npt.NDArray[np.int64], I64]:
        self._counters[[kernel.EMITTED, kernel.RELEASED_ROWS, kernel.MERGED_ROWS, kernel.TOUCHED_ROWS,
                        kernel.BOUNDARY]] = 0
        live = len(self) + rows
        return (np.empty(live + rows, np.int64), np.empty((live, len(USAGE.columns)), np.int64),
                np.empty(int(self._counters[kernel.SESSIONS]) + rows, np.int64))

    def _grow_sources(self, sources: int) -> None:
        if sources > self._held_by_source.size:
            self._held_by_source = self.held_by_source(2 * sources)

    def _make_room(self, rows: int) -> None:
        """Arrays large enough for whatever `rows` more containers, and every session's end, may need."""
        counters = self._counters
        live, top = int(counters[kernel.SESSIONS]), int(counters[kernel.SESSION_TOP])
        if self._sessions.shape[0] < top + rows:
            self._sessions = _grown(self._sessions, top + rows)
        if self._groups.shape[0] < int(counters[kernel.GROUP_TOP]) + rows:
            self._groups = _grown(self._groups, int(counters[kernel.GROUP_TOP]) + rows)
        if self._index.size < 2 * (live + rows):
            self._index = np.full(1 << (4 * (live + rows) - 1).bit_length(), ABSENT, np.int64)
            kernel.rehash_nb(self._sessions, top, self._index)
        head, tail = int(counters[kernel.QUEUE_HEAD]), int(counters[kernel.QUEUE_TAIL])
        needed = 3 * rows + 2 * live + 16  # an arrival each, a release each, and a release of what arrives
        if self._queue.shape[0] < tail + needed:
            waiting = self._queue[head:tail]
            waiting = waiting[(self._sessions[waiting[:, 0], kernel.ACTIVITY] == waiting[:, 1])
                              & (self._sessions[waiting[:, 0], kernel.STATE] != 0)]
            self._queue = np.empty((2 * (waiting.shape[0] + needed), 3), np.int64)
            self._queue[:waiting.shape[0]] = waiting
            counters[[kernel.QUEUE_HEAD, kernel.QUEUE_TAIL]] = 0, waiting.shape[0]

    def _boundaries(self, first_us: int, last_us: int) -> I64:
        """Ends of cycles after the record time so far, or after `first_us` when nothing came yet, up to `last_us`."""
        if self._cycle == "none" or last_us == NEVER_US:
            return np.empty(0, np.int64)
        start = self.watermark_us if self.watermark_us != NEVER_US else first_us
        day = datetime.fromtimestamp(start // _SECOND_US, self._zone).date()
        found: list[int] = []
        while True:
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1) if self._cycle == "month" \
                else day + timedelta(days=1)
            midnight = int(datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp()) * _SECOND_US
            if midnight > last_us:
                return np.array(found, np.int64)
            if midnight > start:
                found.append(midnight)


def _keys(cells: Cells) -> list[tuple[int, int]]:
    """Session key of every row."""
    return list(zip(cells["session_hi"].tolist(), cells["session_lo"].tolist(), strict=True))


def _grown(rows: npt.NDArray[np.int64], needed: int) -> npt.NDArray[np.int64]:
    """A copy with room for twice what is needed."""
    larger = np.empty((2 * needed, rows.shape[1]), np.int64)
    larger[:rows.shape[0]] = rows
    return larger
