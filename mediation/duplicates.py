"""Exact deduplication: has this record come before, and did it say the same?

Keys lie in runs (`duplicate_runs.py`), partitioned by the UTC day of their key time, since a repetition has the same
key time. A batch is sorted by key hash once and probed run by run; a 128-bit match counts only when the full key
agrees. Verdicts are as if records were taken one by one in collection order, so where a batch ends cannot matter.

Files are named by the caller's ledger: `add` and `merge` give names and octets, the caller makes them durable and
commits the names, and a run that no commit names does not exist. A run counts for the next probe from `add` on.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mediation.duplicate_runs import BLOCK_ROWS, U64, Run, merge_runs, write_run
from mediation.kernels.duplicates import (
    D_ROWS,
    DAY_US,
    RUN_COLUMNS,
    decide_nb,
    find_heads_nb,
    gather_run_nb,
    order_by_day_nb,
    order_by_hash_nb,
)
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.errors import InvariantError

FAN_IN = 8          # runs of like size that are merged into one
SMALLEST_TIER = 10  # bits: runs below 1,024 rows count as one size
FILTER_OCTETS = 2 << 30
SEVERAL_DAYS = -(1 << 62)
R_FILE, R_OFFSET = 3, 4  # columns of a run: where its record lies
SPLIT_SHARE = 16    # a day that is at least one in so many keys of a merge gets a run of its own
_MOST_DAYS = 65_536  # of one batch, beyond which it is sorted the slow way


class Verdict(IntEnum):
    """What a record is."""

    NEW = 0
    DUPLICATE = 1   # same key, same content
    CONFLICT = 2    # same key, other content
    TOO_OLD = 3     # before the horizon: cannot be known


@dataclass(frozen=True)
class Addition:
    """The batch in key order, and which places of it are new."""

    order: I64
    hi: U64
    lo: U64
    new_places: I64


@dataclass(frozen=True)
class Verdicts:
    """One row per record of the batch, in its order."""

    verdict: U8                 # (n,) `Verdict`
    first_file_id: I64          # (n,) origin of the first copy; ABSENT for NEW and TOO_OLD
    first_record_offset: I64
    addition: Addition          # what `add` needs


@dataclass(frozen=True)
class NewRun:
    """A run file that the caller must make durable under `name` and name in its commit."""

    name: str
    payload: memoryview
    rows: int


@dataclass(frozen=True)
class MergePlan:
    """Runs to be replaced by `rows` keys in outputs: (name, days) of each file, none when all have expired."""

    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    rows: int


class DuplicateIndex:
    """All keys within the horizon. One thread probes and adds; `merge` may run on another."""

    def __init__(self, folder: Path, names: Iterable[str] = (), *, fan_in: int = FAN_IN,
                 block_rows: int = BLOCK_ROWS, filter_octets: int = FILTER_OCTETS) -> None:
        """Open the runs `names` in `folder`. Raises LedgerError when one is missing, damaged or of another version.

        filter_octets: memory for filters; beyond it those of the runs (days) probed longest ago are given back.
        """
        self._folder, self._fan_in, self._block_rows = folder, fan_in, block_rows
        self._runs: tuple[Run, ...] = tuple(Run.open(folder, name) for name in names)
        self._pending: frozenset[str] = frozenset()
        self._plans = self._probes = 0
        self._filter_octets = filter_octets

    def __len__(self) -> int:
        """Keys held, those of pending runs included."""
        return sum(run.rows for run in self._runs)

    @property
    def names(self) -> tuple[str, ...]:
        """Runs that are committed or pending, oldest first."""
        return tuple(run.name for run in self._runs)

    def probe(self, key: Cells, file_id: I64, record_offset: I64, oldest_us: I64,
              recycled: U8 | None = None) -> Verdicts:
        """Verdict of each record of a batch in collection order. Changes nothing.

        key (n,) cells of KEY. file_id, record_offset (n,) origin; rows of one batch with the same key and origin are
        one record and share a verdict. oldest_us (n,): key times before it are TOO_OLD; the caller derives it from
        the watermark before the record, so that it does not depend on the cut. recycled (n,) nonzero: a record that
        comes back from suspense; found under its own origin, it is NEW and not added again.
        """
        matrix, rows = key.matrix, len(key)
        too_old = (key["key_time_us"] < oldest_us).view(np.uint8)
        order, hi, lo, day = _order(key)
        head, state = np.empty(rows, np.int64), np.empty(rows, np.uint8)
        bits = np.empty((2, rows), np.uint64)
        find_heads_nb(matrix, order, hi, lo, too_old, head, state, bits[0], bits[1])
        found = np.empty((3, rows), np.int64)
        for run in self._runs:
            if rows and run.days[0] <= day[-1] and run.days[-1] >= day[0]:
                run.probe(matrix, order, hi, lo, day, bits, state, found)
                self._probes += 1
                run.last_probe = self._probes
        self._keep_within_budget()
        verdict, new_places = np.full(rows, Verdict.NEW, np.uint8), np.empty(rows, np.int64)
        first_file_id, first_record_offset = np.full(rows, ABSENT, np.int64), np.full(rows, ABSENT, np.int64)
        recycled = np.zeros(rows, np.uint8) if recycled is None else recycled.view(np.uint8)
        added = decide_nb(matrix, order, head, state, recycled, file_id, record_offset, found, verdict, first_file_id,
                          first_record_offset, new_places)
        return Verdicts(verdict, first_file_id, first_record_offset, Addition(order, hi, lo, new_places[:added]))

    def _keep_within_budget(self) -> None:
        total = sum(run.filter_octets for run in self._runs)
        for run in sorted(self._runs, key=lambda run: run.last_probe):
            if total <= self._filter_octets:
                return
            total -= run.filter_octets
            run.forget_filters()

    def add(self, key: Cells, file_id: I64, record_offset: I64, verdicts: Verdicts, version: int) -> NewRun | None:
        """Add the new records of the batch just probed; None when there are none.

        The run counts at once. The caller stages `payload` for `name`, commits, then calls `settle`; or `discard`.
        version: the commit that will name it, so that names are the same on a rerun.
        """
        new = verdicts.addition
        if not new.new_places.size:
            return None
        columns = np.empty((RUN_COLUMNS, new.new_places.size), np.int64)
        gather_run_nb(key.matrix, file_id, record_offset, new.order, new.hi, new.lo, new.new_places, columns)
        words = write_run(columns, self._block_rows)
        name = f"keys-{version:020d}.run"
        if name in self.names:
            raise InvariantError(f"a run named {name} exists")
        self._runs = (*self._runs, Run(name, words))
        self._pending |= {name}
        return NewRun(name, words.view(np.uint8).data, int(new.new_places.size))

    def settle(self, name: str, path: str | None = None) -> None:
        """The run is durable and committed: map its file and let go of the memory.

        path: where it lies in the folder, which is its name from now on, if the ledger chose another.
        """
        opened = Run.open(self._folder, path or name)
        self._runs = tuple(opened if run.name == name else run for run in self._runs)
        self._pending -= {name}

    def discard(self, name: str) -> None:
        """The commit that was to name this pending run did not happen."""
        if name not in self._pending:
            raise InvariantError(f"run {name} is not pending")
        self._runs = tuple(run for run in self._runs if run.name != name)
        self._pending -= {name}

    def without(self, file_id: I64, record_offset: I64) -> list[tuple[str, memoryview | None]]:
        """Runs that hold keys of these records, and what each is without them; None when nothing is left.

        For a backout: reads every run; changes nothing. The caller makes the new files durable, names them in the
        commit that removes the old ones, and opens the index again.
        """
        gone = np.unique(_origins(file_id, record_offset))
        found: list[tuple[str, memoryview | None]] = []
        for run in self._runs:
            parts = []
            for block in range(len(run.directory)):
                columns = np.empty((RUN_COLUMNS, int(run.directory[block, D_ROWS])), np.int64)
                run.decode(block, columns)
                parts.append(columns[:, ~np.isin(_origins(columns[R_FILE], columns[R_OFFSET]), gone)])
            kept = np.concatenate(parts, axis=1) if parts else np.empty((RUN_COLUMNS, 0), np.int64)
            if kept.shape[1] < run.rows:
                words = write_run(np.ascontiguousarray(kept), self._block_rows).view(np.uint8).data \
                    if kept.shape[1] else None
                found.append((run.name, words))
        return found

    def plan_merge(self, version: int, oldest_us: int) -> MergePlan | None:
        """The next merge that is due, or None; one at a time, ended by `swap`. version as in `add`, may be the same.

        Size-tiered: `fan_in` runs of one day and like size become one, so that a day has at most fan_in - 1 runs per
        power of fan_in. Runs of several days likewise, but what they hold much of gets a run per day; the rest stays
        together, so that stray times cannot make a file each. Runs that lie wholly before oldest_us (the least over
        all streams) are dropped first, without reading; days before it are left out of what is merged.
        """
        first_day = oldest_us // DAY_US
        settled = [run for run in self._runs if run.name not in self._pending]
        expired = [run for run in settled if run.days[-1] < first_day]
        if expired:
            return MergePlan(tuple(run.name for run in expired), (), 0)
        groups: dict[tuple[int, int], list[Run]] = {}
        for run in settled:
            tier = max(0, run.rows.bit_length() - SMALLEST_TIER) // max(1, self._fan_in.bit_length() - 1)
            groups.setdefault((tier, run.days[0] if len(run.days) == 1 else SEVERAL_DAYS), []).append(run)
        for _, members in sorted(groups.items()):
            if len(members) >= self._fan_in:
                return self._plan(members[:self._fan_in], version, first_day)
        return None

    def _plan(self, chosen: Sequence[Run], version: int, first_day: int) -> MergePlan:
        rows = {day: sum(run.rows_of(day) for run in chosen)
                for day in sorted({day for run in chosen for day in run.days if day >= first_day})}
        total = sum(rows.values())
        parts = [(day,) for day in rows if rows[day] * SPLIT_SHARE >= total]
        strays = tuple(day for day in rows if rows[day] * SPLIT_SHARE < total)
        self._plans += 1  # one version may plan several merges, one after the other
        outputs = tuple((f"keys-{version:020d}-{self._plans}-{number}.run", days)
                        for number, days in enumerate([*parts, strays] if strays else parts))
        return MergePlan(tuple(run.name for run in chosen), outputs, total)

    def merge(self, plan: MergePlan, days: tuple[int, ...]) -> Iterator[memoryview]:
        """Octets of the output of `plan` for `days`, front to back.

        Reads settled runs only and changes nothing, so it may run on another thread. Memory: one block per input.
        """
        inputs = [run for run in self._runs if run.name in plan.inputs and not set(days).isdisjoint(run.days)]
        return merge_runs(inputs, days, self._block_rows)

    def swap(self, plan: MergePlan, paths: Sequence[str] | None = None) -> None:
        """The merge is durable and committed (outputs added, inputs removed): probe its outputs from now on.

        paths: where the outputs lie, in the order of `plan.outputs`, if the ledger chose other names.
        """
        opened = tuple(Run.open(self._folder, path) for path in paths or [name for name, _ in plan.outputs])
        rows = sum(run.rows for run in opened)
        if len(opened) != len(plan.outputs) or rows != plan.rows:
            raise InvariantError(f"merging {plan.rows} keys into {len(plan.outputs)} runs gave {rows} in {len(opened)}")
        gone = frozenset(plan.inputs)
        self._runs = (*opened, *(run for run in self._runs if run.name not in gone))


def _origins(file_id: I64, record_offset: I64) -> npt.NDArray[np.void]:
    origins = np.empty(file_id.size, np.dtype([("file_id", np.int64), ("offset", np.int64)]))
    origins["file_id"], origins["offset"] = file_id, record_offset
    return origins


def _order(key: Cells) -> tuple[I64, U64, U64, I64]:
    """Rows by (day, key_hi, key_lo), equal ones in collection order; with key_hi, key_lo and day in that order."""
    rows = len(key)
    hi, lo = key["key_hi"].view(np.uint64), key["key_lo"].view(np.uint64)
    day = key["key_time_us"] // DAY_US
    order = np.empty(rows, np.int64)
    if rows == 0:
        return order, hi, lo, day
    bits = min(20, max(1, rows.bit_length()))
    hi_sorted, lo_sorted = np.empty(rows, np.uint64), np.empty(rows, np.uint64)
    largest = order_by_hash_nb(hi, lo, bits, order, hi_sorted, lo_sorted, np.empty((1 << bits) + 1, np.int64))
    first, last = int(day.min()), int(day.max())
    if largest > 64 or last - first >= _MOST_DAYS:
        order = np.lexsort((lo, hi, day)).astype(np.int64)
    elif first == last:
        return order, hi_sorted, lo_sorted, day
    else:
        by_hash, order = order, np.empty(rows, np.int64)
        order_by_day_nb(by_hash, day - first, np.empty(last - first + 2, np.int64), order)
    return order, hi[order], lo[order], day[order]


def oldest_admitted(watermark_us: npt.ArrayLike, horizon_us: int) -> I64:
    """Oldest key time that a record may have: the watermark before it less its stream's horizon, never wrapping."""
    oldest: I64 = np.maximum(np.asarray(watermark_us, np.int64), np.iinfo(np.int64).min + horizon_us) - horizon_us
    return oldest
