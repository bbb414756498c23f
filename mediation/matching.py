"""Charged once: containers of usage that was charged online already, and those that wait to be told.

Streams that are declared `online` match every container with the index of online usage (`online_usage.py`) before
partials are merged. First that applies: online reports cover its time without a gap: matched, whatever the quantities.
An online session that asked for its usage is open and may still report it: it waits. No report has time in common with
it: it is charged. Reports cover a part: their quantity that no other container has taken is matched, the rest charged.

What mediation knows of online usage moves at the beginning of a file only, to the place that collection wrote down
with the file, so that results follow from collection order. There those who wait are asked again: what is new concerns
them, or their patience is over by the record time of their stream. docs/charged_once.md has the rules.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mediation.kernels import online as kernel
from mediation.online_usage import (
    BUCKET_US,
    HI_SEED,
    LO_SEED,
    OnlineIndex,
    charging_keys,
    closed_by_supervision,
    party_keys,
    reference_keys,
    rows_of_grants,
)
from mediation.resolve import resolve
from reference_data.snapshot import Snapshot
from reference_data.streams import MOST_WINDOW_S, Matching
from schemas.codes import Service
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.errors import LedgerError
from schemas.matching import AWAITING, MATCHED_PART
from schemas.usage import MATCHED, USAGE

Mask = npt.NDArray[np.bool_]
Feed = Callable[[int, int], Iterable[Cells]]  # rows of `grant` from one journal position up to another
_SECOND_US = 1_000_000
_ROWS = 8192  # containers asked about at a time
_MESSAGES = (int(Service.SMS), int(Service.MMS))
_WIDTH = len(USAGE.columns)


@dataclass
class Judged:
    """What became of containers that were asked about."""

    verdict: I64
    matched: list[Cells] = field(default_factory=list)
    parts: list[Cells] = field(default_factory=list)

    @classmethod
    def of(cls, usage: Cells, verdict: I64, share: I64, event: I64) -> "Judged":
        """usage: what was asked about, whole quantities."""
        judged = cls(verdict)
        whole = verdict == kernel.MATCHED
        if whole.any():
            cells = Cells.empty(MATCHED, int(whole.sum()))
            cells.matrix[:_WIDTH] = usage.matrix[:_WIDTH, whole]
            cells["matched_event_hi"], cells["matched_event_lo"] = event[:, whole]
            judged.matched.append(cells)
        part = verdict == kernel.PART
        if part.any():
            cells = Cells.empty(MATCHED_PART, int(part.sum()))
            for name in MATCHED_PART.names:
                if name in USAGE.names:
                    cells[name] = usage[name][part]
            cells["matched_quantity"] = share[part]
            cells["matched_event_hi"], cells["matched_event_lo"] = event[:, part]
            judged.parts.append(cells)
        return judged


@dataclass(frozen=True)
class Decided:
    """Containers that waited and need not any more. events: per stream, those that are charged, rest or all of them."""

    events: dict[str, Cells]
    matched: list[Cells]
    parts: list[Cells]


class OnlineMemory:
    """What mediation knows of usage charged online, and which containers wait for more."""

    def __init__(self, index: OnlineIndex | None = None, feed: Feed | None = None) -> None:
        """feed: reads the ledger; without one nothing was ever charged online."""
        self.index = OnlineIndex(Path()) if index is None else index
        self._feed = feed
        self.position = 0   # in the journal: grants before it are in the index
        self.file_id = 0    # the file at whose beginning it last moved
        self._awaiting = Cells.empty(AWAITING)
        self._changes: list[Cells] = []
        self._streams: list[str | None] = []  # by source label

    def __len__(self) -> int:
        """Containers that wait."""
        return len(self._awaiting)

    def begin(self) -> None:
        """A new batch: `delta` reports changes from here on."""
        self._changes = []

    def delta(self) -> Cells:
        """Rows of AWAITING: who began to wait, and who waits no longer."""
        return Cells.concat(AWAITING, self._changes)

    def whole(self) -> Cells:
        """All who wait: replaces every delta so far."""
        return self._awaiting

    def held_by_source(self, sources: int) -> I64:
        """How many wait, for each source."""
        return np.bincount(self._awaiting["source"], minlength=sources).astype(np.int64)

    def state(self) -> dict[str, int]:
        """Where it stands, for the commit."""
        return {"journal": self.position, "file_id": self.file_id}

    def restore(self, state: Mapping[str, int], deltas: Iterable[Cells]) -> None:
        """Become what a memory was when it wrote `state`, given the deltas up to then, oldest first."""
        self.position, self.file_id = int(state["journal"]), int(state["file_id"])
        rows = Cells.concat(AWAITING, deltas)
        newest = {key: row for row, key in enumerate(_places(rows))}
        keep = [row for row in newest.values() if not rows["decided"][row]]
        self._awaiting = _in_order(rows.take(np.array(keep, np.intp)))

    def enter(self, file_id: int, position: int, watermarks: Mapping[str, int], snapshot: Snapshot,
              sources: list[str]) -> Decided:
        """A file begins. position: how far the journal was known when it was collected."""
        if file_id == self.file_id:
            return Decided({}, [], [])
        self.file_id = file_id
        fresh = np.empty(0, np.int64)
        if position > self.position:
            if self._feed is None:
                raise LedgerError("usage charged online is to be read", "a ledger to read it from",
                                  "open mediation with its ledger")
            parts, closed = list[I64](), list[I64]()
            for grants in self._feed(self.position, position):
                parts.append(rows_of_grants(grants))
                closed.append(closed_by_supervision(grants))
                self.index.add(parts[-1])
            self.position = position
            if any(map(len, closed)):
                parts.append(self.index.closings(np.concatenate(closed)))
                self.index.add(parts[-1])
            if len(self._awaiting) and parts:
                fresh = np.unique(np.concatenate([rows[:, kernel.KEY] for rows in parts]))
        return self._ask_again(watermarks, snapshot, sources, fresh)

    def advance(self, watermarks: Mapping[str, int], snapshot: Snapshot, sources: list[str]) -> Decided:
        """Record time has moved by a clock command."""
        return self._ask_again(watermarks, snapshot, sources, np.empty(0, np.int64))

    def take(self, usage: Cells, hi: I64, lo: I64, marks: I64, matching: Matching, snapshot: Snapshot
             ) -> tuple[Judged, I64]:
        """Containers of one stream, in order; some begin to wait. marks: record time of the stream with each. usage is
        written into: its accounts.

        Returns what became of them, and the share of each that was charged online.
        """
        resolve(usage, snapshot)  # the party, where it is known
        verdict, share, event = self._match(usage, hi, lo, marks, matching)
        waits = verdict == kernel.WAITS
        if waits.any():
            cells = Cells.empty(AWAITING, int(waits.sum()))
            cells.matrix[:_WIDTH] = usage.matrix[:, waits]
            cells["reference_hi"], cells["reference_lo"] = hi[waits], lo[waits]
            cells["deadline_us"] = _end(usage)[waits] + matching.wait_s * _SECOND_US
            cells["decided"] = 0
            self._awaiting = _in_order(Cells.concat(AWAITING, [self._awaiting, cells]))
            self._changes.append(cells)
        return Judged.of(usage, verdict, share, event), share

    def _ask_again(self, watermarks: Mapping[str, int], snapshot: Snapshot, sources: list[str], fresh: I64) -> Decided:
        decided = Decided({}, [], [])
        waiting = self._awaiting
        if not len(waiting):
            return decided
        streams = self._streams_of(snapshot, sources)
        stream = np.array([ABSENT if name is None else list(watermarks).index(name) if name in watermarks else ABSENT
                           for name in streams], np.int64)[waiting["source"]]
        mark_of = np.array([*watermarks.values(), np.iinfo(np.int64).min], np.int64)
        marks = mark_of[stream]
        due = waiting["deadline_us"] <= marks
        if fresh.size:
            due |= np.isin(_keys(waiting, waiting["reference_hi"], waiting["reference_lo"],
                               MOST_WINDOW_S * _SECOND_US), fresh).any(axis=0)
        gone = np.zeros(len(waiting), np.bool_)
        for name in sorted({streams[label] or "" for label in np.unique(waiting["source"][due])}):
            labels = [label for label, each in enumerate(streams) if (each or "") == name]
            rows = np.flatnonzero(due & np.isin(waiting["source"], labels))
            declared = next((s for s in snapshot.streams.streams if s.name == name), None)
            matching = declared.matching if declared is not None else None
            asked = waiting.take(rows)
            usage = Cells(USAGE, np.ascontiguousarray(asked.matrix[:_WIDTH]))
            if matching is None:  # no longer declared: nobody will be asked again
                verdict, share, event = (np.full(rows.size, kernel.CHARGED, np.int64), np.zeros(rows.size, np.int64),
                                         np.full((2, rows.size), ABSENT, np.int64))
            else:
                verdict, share, event = self._match(usage, asked["reference_hi"], asked["reference_lo"], marks[rows],
                                                    matching)
            judged = Judged.of(usage, verdict, share, event)
            decided.matched.extend(judged.matched)
            decided.parts.extend(judged.parts)
            usage["quantity"] -= share
            charged = (verdict == kernel.CHARGED) | (verdict == kernel.PART)
            if charged.any():
                decided.events[name] = usage.where(charged)
            gone[rows[verdict != kernel.WAITS]] = True
        if gone.any():
            told = waiting.take(np.flatnonzero(gone))
            told["decided"] = 1
            self._changes.append(told)
            self._awaiting = waiting.take(np.flatnonzero(~gone))
        return decided

    def _streams_of(self, snapshot: Snapshot, sources: list[str]) -> list[str | None]:
        """Stream of every source label."""
        for name in sources[len(self._streams):]:
            found = snapshot.streams.match(name)
            self._streams.append(None if found is None else found.name)
        return self._streams

    def _match(self, usage: Cells, hi: I64, lo: I64, marks: I64, matching: Matching) -> tuple[I64, I64, I64]:
        """Verdict, share and event of containers, some at a time."""
        verdict, share = np.empty(len(usage), np.int64), np.empty(len(usage), np.int64)
        event = np.empty((2, len(usage)), np.int64)
        for start, stop in _cuts(len(usage)):
            part = slice(start, stop)
            rows = usage.slice(start, stop)
            keys, places = np.unique(_keys(rows, hi[part], lo[part], matching.window_s * _SECOND_US),
                                     return_inverse=True)
            places = np.ascontiguousarray(places.reshape(kernel.KEYS, -1))
            room = len(rows)
            first, last, found, base = self.index.find(keys, room)
            verdict_here, share_here = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
            event_here, taken = np.empty((2, len(rows)), np.int64), np.empty((room, kernel.WIDTH), np.int64)
            took = kernel.match_nb(
                _asked(rows, marks[part], matching), places, first, last, found, base, np.empty(len(found), np.int64),
                np.full(keys.size, ABSENT, np.int64), np.empty(room, np.int64), np.empty(4, np.int64),
                verdict_here, share_here, event_here, taken)
            verdict[part], share[part], event[:, part] = verdict_here, share_here, event_here
            self.index.add(taken[:took].copy())
        return verdict, share, event


def references(buffer: U8, session_text: I64) -> I64:
    """128-bit keys of session texts, (2, n), as protocols of charging make them; ABSENT twice for none."""
    out = np.empty((2, session_text.size), np.int64)
    kernel.text_keys_nb(buffer, session_text, HI_SEED, LO_SEED, out[0], out[1])
    return out


def _cuts(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, _ROWS):
        yield start, min(start + _ROWS, count)


def _places(rows: Cells) -> list[tuple[int, int, int]]:
    return list(zip(rows["file_id"].tolist(), rows["record_offset"].tolist(), rows["container_index"].tolist(),
                    strict=True))


def _in_order(rows: Cells) -> Cells:
    """In collection order: what has come back from suspense takes its place again, and compaction changes nothing."""
    file_id, offset, index = (rows[name] for name in ("file_id", "record_offset", "container_index"))
    same = file_id[1:] == file_id[:-1]
    falls = (file_id[1:] < file_id[:-1]) | (same & (offset[1:] < offset[:-1])) \
        | (same & (offset[1:] == offset[:-1]) & (index[1:] < index[:-1]))
    return rows.take(np.lexsort([index, offset, file_id])) if falls.any() else rows


def _end(usage: Cells) -> I64:
    end: I64 = np.where(usage["end_time_us"] == ABSENT, usage["event_time_us"], usage["end_time_us"])
    return end


def _keys(usage: Cells, hi: I64, lo: I64, window_us: int) -> I64:
    """Keys by which each container may be found, (KEYS, n); those that it has not are another one's of its own."""
    start = usage["event_time_us"]
    message = np.isin(usage["service"], _MESSAGES)
    party = message & (usage["service_id"] != ABSENT)
    referred = (hi != ABSENT) | (lo != ABSENT)
    columns = [(usage["charging_id"] != ABSENT) & ~message, referred, party, party]
    keys = [charging_keys(usage["charging_id"]), reference_keys(hi, lo),
            party_keys(usage["service_id"], usage["direction"], (start - window_us) // BUCKET_US),
            party_keys(usage["service_id"], usage["direction"], (start + window_us) // BUCKET_US)]
    none = charging_keys(np.array([ABSENT], np.int64))[0]  # that of no charging id: no row has it
    out = np.empty((kernel.KEYS, len(usage)), np.int64)
    for place, (has, key) in enumerate(zip(columns, keys, strict=True)):
        out[place] = np.where(has, key, none)
    out[3] = np.where(out[3] == out[2], none, out[3])
    return out


def _asked(usage: Cells, marks: I64, matching: Matching) -> I64:
    """What `match_nb` asks of containers."""
    out = np.empty((kernel.ASKED, len(usage)), np.int64)
    for place, name in ((kernel.A_START, "event_time_us"), (kernel.A_QUANTITY, "quantity"),
                        (kernel.A_RATING_GROUP, "rating_group"), (kernel.A_SERVICE_IDENTIFIER, "service_identifier"),
                        (kernel.A_GATEWAY, "gateway_address"), (kernel.A_SERVICE_ID, "service_id"),
                        (kernel.A_MSISDN, "msisdn_token"), (kernel.A_IMSI, "imsi_token"),
                        (kernel.A_DIRECTION, "direction"), (kernel.A_WITNESS, "record_type"),
                        (kernel.A_FILE, "file_id"), (kernel.A_OFFSET, "record_offset")):
        out[place] = usage[name]
    out[kernel.A_END] = _end(usage)
    out[kernel.A_MARK] = marks
    out[kernel.A_WAIT], out[kernel.A_TOLERANCE], out[kernel.A_WINDOW] = (
        seconds * _SECOND_US for seconds in (matching.wait_s, matching.tolerance_s, matching.window_s))
    return out


