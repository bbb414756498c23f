"""Take rows of suspense back in, or write them off.

What was set aside before resolution is read again from the archived bytes, by the layout as it is now; what was set
aside at resolution or charging comes back as the event it was. All of it is one commit of mediation ("recycle", no
position moved) that also says which rows it answers, then one group of the journal and one commit of charging, as any
batch. Killed in between, the next run charges it.

It is tried in memory first. A row that would be set aside again for the same reason stays as it is, so that recycling
twice is the same as once.

Charge legs that are set aside are charged by a command that the node gives to itself (`ChargingNode.recycle_legs`):
their event was charged, so nothing of it goes through mediation. Those that cannot be charged yet stay, with their
first reason.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mediation.mediate import Mediated, Slice
from pipelines.durable import Disk
from pipelines.home import Home, Input
from pipelines.keys import ErasedError
from pipelines.run import Run, RunOptions
from pipelines.set_aside_legs import STAGE as LEG
from pipelines.set_aside_legs import LegIds, keys_of, open_legs
from pipelines.suspense import Choice, open_rows
from rating.charging import Charged
from schemas.codes import FilterReason, Reason, Stage, SuspenseAction
from schemas.columns import Cells
from schemas.errors import LedgerError
from schemas.usage import SETTLED

_WHOLE_RECORD = ("frame", "decode")            # the row stands for all that its octets may hold
_AS_EVENTS = ("resolve", "charge")
_KEY = ("file_id", "record_offset", "container_index", "event_id_hi", "event_id_lo", "stage", "reason")
RowKey = tuple[object, ...]
LEGS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Outcome:
    """What came, or would come, of one row. becomes: rated, suspended, duplicate, filtered, merged, held or left.

    left: it cannot be taken back in, `why` says so. moved: it is no longer where it was.
    """

    key: RowKey
    source: str
    stage: str
    reason: str
    becomes: str
    why: str = ""
    charge_nanos: int = 0
    container_count: int = 0

    @property
    def moved(self) -> bool:
        return self.becomes != "left" and (self.becomes, self.why) != ("suspended", f"{self.stage}: {self.reason}")


@dataclass(frozen=True)
class TakenUp:
    """Chosen rows on their way back. rows: those that come; left: those that cannot, with the reason."""

    rows: pa.Table
    slices: list[Slice]
    events: pa.Table
    left: list[Outcome]


def recycle(source: Input, home: Home, choice: Choice, who: str, why: str, dry_run: bool = False,
            disk: Disk | None = None) -> list[Outcome]:
    """Take back in what `choice` names and would get further. Returns an outcome for every row, in collection order.

    dry_run: nothing of it is committed.
    """
    with _Again(source, home, disk) as trial:
        outcomes = trial.attempt(choice)
    moving = {outcome.key for outcome in outcomes if outcome.moved}
    if moving and not dry_run:
        _check_said(who, why)
        with _Again(source, home, disk) as job:
            job.take_back(choice, moving, {o.key: o.container_count for o in outcomes}, who, why)
            job.charge_legs(choice, moving, who, why)
    return outcomes


def write_off(source: Input, home: Home, choice: Choice, who: str, why: str, dry_run: bool = False,
              disk: Disk | None = None) -> int:
    """Give up all open rows that `choice` names. Returns how many; who and why are kept with each."""
    _check_said(who, why)
    with _Again(source, home, disk) as job:
        return job.give_up(choice, who, why, dry_run)


def summary(outcomes: Iterable[Outcome]) -> list[tuple[str, str, str, str, int, int]]:
    """(stage, reason, becomes, why, rows, charge in nanos), the most first."""
    rows: Counter[tuple[str, str, str, str]] = Counter()
    nanos: Counter[tuple[str, str, str, str]] = Counter()
    for each in outcomes:
        group = (each.stage, each.reason, each.becomes, each.why)
        rows[group] += 1
        nanos[group] += each.charge_nanos
    return [(*group, count, nanos[group]) for group, count in sorted(rows.items(), key=lambda g: (-g[1], g[0]))]


class _Again(Run):
    """A run over suspense instead of the inbox."""

    def __init__(self, source: Input, home: Home, disk: Disk | None) -> None:
        super().__init__(source, home, RunOptions(workers=1), disk)

    def __enter__(self) -> "_Again":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        """Finish what was stopped, open new accounts, and settle both: should this come to nothing, or be only a
        trial, then the reference data may be changed again before the next one."""
        self._catch_up()
        if not self._node.settled:
            self._settle()
        self.ledger.check_files("suspense", "settled", "leg_suspense")  # DuckDB reads them next, and does not

    def attempt(self, choice: Choice) -> list[Outcome]:
        """What would come of each row. Nothing of it is committed; this run must be closed after it."""
        self._begin()
        taken = self._take_up(open_rows(self.ledger, choice))
        result = self._mediator.try_again(taken.slices, taken.events)
        found = _outcomes(taken, result, self._owner.try_charging(result.usage))
        legs = open_legs(self.ledger, choice.parameters)
        return found + (_leg_outcomes(legs, self._owner.try_legs(LegIds.of_rows(legs))) if legs.num_rows else [])

    def take_back(self, choice: Choice, moving: set[RowKey], containers: dict[RowKey, int], who: str, why: str) -> None:
        self._begin()
        rows = open_rows(self.ledger, choice)
        rows = rows.filter(pa.array([key in moving for key in _keys(rows)], pa.bool_()))
        taken = self._take_up(rows)
        if not taken.rows.num_rows:
            return
        result = self._mediator.try_again(taken.slices, taken.events)
        counts = [containers[key] for key in _keys(taken.rows)]
        done = self._mediator.recycle(result, _actions(taken.rows, SuspenseAction.RECYCLED, counts, who, why))
        first, entries = self._node.journal(done)
        self._node.charge(first, entries, done.usage)
        self._settle()

    def give_up(self, choice: Choice, who: str, why: str, dry_run: bool) -> int:
        self._begin()
        rows = open_rows(self.ledger, choice)
        legs = open_legs(self.ledger, choice.parameters)
        if rows.num_rows and not dry_run:
            self._mediator.write_off(_actions(rows, SuspenseAction.WRITTEN_OFF, [0] * rows.num_rows, who, why))
        if legs.num_rows and not dry_run:
            self._owner.write_off_legs(legs, who, why)
        return int(rows.num_rows) + int(legs.num_rows)

    def charge_legs(self, choice: Choice, moving: set[RowKey], who: str, why: str) -> None:
        """Charge those legs of the choice that could be when it was tried, some thousands in a group of the journal."""
        rows = open_legs(self.ledger, choice.parameters)
        rows = rows.filter(pa.array([key in moving for key in _leg_keys(rows)], pa.bool_()))
        for start in range(0, rows.num_rows, LEGS_AT_ONCE):
            self._owner.recycle_legs(LegIds.of_rows(rows.slice(start, LEGS_AT_ONCE)), who, why)
        if rows.num_rows:
            self._settle()

    def _take_up(self, rows: pa.Table) -> TakenUp:
        """Read again what must be read again; find out what cannot be."""
        left: list[Outcome] = []
        kept = np.ones(rows.num_rows, np.bool_)
        places: dict[int, dict[tuple[int, int], frozenset[int] | None]] = {}
        at: dict[int, list[int]] = {}
        facts = rows.select(["file_id", "record_offset", "record_length", "container_index", "stage", "record_type"])
        for i, row in enumerate(facts.to_pylist()):
            if row["record_type"] == "command":
                left.append(_left(rows, i, "a command is not taken back in: send it again, corrected"))
                kept[i] = False
            elif row["stage"] not in _AS_EVENTS:
                place = (row["record_offset"], row["record_length"])
                file = places.setdefault(row["file_id"], {})
                if row["stage"] in _WHOLE_RECORD:
                    file[place] = None
                elif (before := file.get(place, frozenset())) is not None:
                    file[place] = before | {row["container_index"]}
                at.setdefault(row["file_id"], []).append(i)
        slices = []
        for file_id, wanted in sorted(places.items()):
            try:
                piece = self._reader.read_again(self.collector.files[file_id], wanted)
            except ErasedError as erased:
                left += [_left(rows, i, str(erased)) for i in at[file_id]]
                kept[at[file_id]] = False
                continue
            lost = [i for i in at[file_id] if not _found(facts, i, piece)]
            left += [_left(rows, i, "the layout no longer finds this container in its record") for i in lost]
            kept[lost] = False
            slices.append(piece)
        chosen = rows.filter(pa.array(kept))
        as_events = pa.array([stage in _AS_EVENTS for stage in chosen.column("stage").to_pylist()], pa.bool_())
        return TakenUp(chosen, slices, chosen.filter(as_events), left)


def _found(facts: pa.Table, row: int, piece: Slice) -> bool:
    if facts["stage"][row].as_py() in _WHOLE_RECORD:
        return True
    offset, container = facts["record_offset"][row].as_py(), facts["container_index"][row].as_py()
    cells = piece.decoded
    return bool(((cells["record_offset"] == offset) & (cells["container_index"] == container)).any())


def _outcomes(taken: TakenUp, result: Mediated, charged: Charged) -> list[Outcome]:
    """For each row what came of it; where its containers differ, what they are now set aside for."""
    fates: dict[tuple[int, int, int], tuple[str, str, int]] = {}

    def note(cells: Cells, becomes: str, why: list[str], nanos: npt.ArrayLike = 0) -> None:
        amounts = np.broadcast_to(np.asarray(nanos), (len(cells),)).tolist()
        for i, origin in enumerate(_origins(cells)):
            fates[origin] = (becomes, why[i], amounts[i])

    note(result.merged, "merged", [""] * len(result.merged))
    note(result.duplicate, "duplicate", [""] * len(result.duplicate))
    note(result.matched, "matched", [""] * len(result.matched))
    note(result.filtered, "filtered", [FilterReason(r).name.lower() for r in result.filtered["reason"].tolist()])
    rated = charged.rated.where(charged.rated["leg"] == 0)
    note(rated, "rated", [""] * len(rated), rated["charge_nanos"])
    for suspense in (result.suspense, charged.suspense):
        note(suspense, "suspended", [f"{Stage(s).name.lower()}: {Reason(r).name.lower()}" for s, r in
                                     zip(suspense["stage"].tolist(), suspense["reason"].tolist(), strict=True)])
    pieces = {piece.file_id: piece for piece in taken.slices}
    found = []
    for row in taken.rows.select([*_KEY, "source", "record_length"]).to_pylist():
        origins = [(row["file_id"], row["record_offset"], row["container_index"])]
        if row["stage"] in _WHOLE_RECORD:
            origins = _origins_within(pieces[row["file_id"]], row["record_offset"], row["record_length"])
        same = ("suspended", f"{row['stage']}: {row['reason']}")
        became = [fates.get(origin, ("held", "", 0)) for origin in origins]
        changed = sorted((fate for fate in became if fate[:2] != same), key=lambda fate: fate[0] != "suspended")
        fate = changed[0] if changed else became[0]
        found.append(Outcome(tuple(row[name] for name in _KEY), row["source"], row["stage"], row["reason"], fate[0],
                             fate[1], sum(each[2] for each in became), len(origins)))
    return sorted([*found, *taken.left], key=lambda o: o.key[:3])


def _leg_outcomes(rows: pa.Table, charged: Charged) -> list[Outcome]:
    """For each leg that is set aside what came of it. One that has another reason now keeps its first."""
    nanos = dict(zip(zip(*(charged.rated[name].tolist() for name in ("event_id_hi", "event_id_lo", "leg")),
                         strict=True), charged.rated["charge_nanos"].tolist(), strict=True))
    aside = dict(zip(zip(*(charged.leg_suspense[name].tolist() for name in ("event_id_hi", "event_id_lo", "leg")),
                         strict=True), charged.leg_suspense["reason"].tolist(), strict=True))
    found = []
    facts = rows.select(["source", "reason"]).to_pylist()
    for key, leg, row in zip(_leg_keys(rows), keys_of(rows), facts, strict=True):
        becomes, why = "rated", ""
        if leg not in nanos:
            reason = Reason(aside[leg]).name.lower() if leg in aside else ""
            becomes, why = ("suspended", f"{LEG}: {reason}") if reason == row["reason"] else (
                "left", f"now {reason}" if reason else "its event has no such leg now, or could not be charged itself")
        found.append(Outcome(key, row["source"], LEG, row["reason"], becomes, why, nanos.get(leg, 0)))
    return found


def _leg_keys(rows: pa.Table) -> list[RowKey]:
    names = ("file_id", "record_offset", "container_index", "event_id_hi", "event_id_lo", "reason", "leg")
    return [(*key[:5], LEG, *key[5:]) for key in zip(*(rows.column(name).to_pylist() for name in names), strict=True)]


def _origins_within(piece: Slice, offset: int, octets: int) -> list[tuple[int, int, int]]:
    """Containers found in a stretch of the file, which may hold several records now."""
    start, stop = np.searchsorted(piece.decoded["record_offset"], [offset, offset + octets])
    indexes = piece.decoded["container_index"][start:stop].tolist()
    offsets = piece.decoded["record_offset"][start:stop].tolist()
    return [(piece.file_id, place, index) for place, index in zip(offsets, indexes, strict=True)]


def _origins(cells: Cells) -> list[tuple[int, int, int]]:
    return list(zip(cells["file_id"].tolist(), cells["record_offset"].tolist(), cells["container_index"].tolist(),
                    strict=True))


def _keys(rows: pa.Table) -> list[RowKey]:
    return list(zip(*(rows.column(name).to_pylist() for name in _KEY), strict=True))


def _left(rows: pa.Table, row: int, why: str) -> Outcome:
    facts = {name: rows.column(name)[row].as_py() for name in (*_KEY, "source")}
    return Outcome(tuple(facts[name] for name in _KEY), facts["source"], facts["stage"], facts["reason"], "left", why)


def _actions(rows: pa.Table, action: SuspenseAction, containers: list[int], who: str, why: str) -> pa.Table:
    """SETTLED rows that answer rows of suspense."""
    labels: dict[str, list[str]] = {"who": [who], "why": [why]}
    cells = Cells.from_arrow(SETTLED, rows, labels)
    cells["action"], cells["container_count"], cells["who"], cells["why"] = int(action), containers, 0, 0
    return cells.to_arrow(labels)


def _check_said(who: str, why: str) -> None:
    if not who.strip() or not why.strip():
        raise LedgerError("who does this, and why, must be said", "--why TEXT", "it is kept with every row")
