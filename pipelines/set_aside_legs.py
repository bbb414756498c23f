"""Charge legs that are set aside: which are open, the events that they belong to, the rows that close them.

A leg waits in table `leg_suspense` of charging, not in suspense: its event was charged, and no container waits. To be
charged after all it needs its event as it was, which the event's own rated row has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.ledger import Ledger
from pipelines.ledger.sql import asking
from rating.charging import Charged
from schemas.codes import SuspenseAction
from schemas.columns import I64, Cells
from schemas.rated import LEG_SUSPENSE
from schemas.usage import USAGE

ALL: Mapping[str, str | None] = dict.fromkeys(("reason", "stage", "source", "file"))
STAGE = "leg"  # how `suspense list` calls it: no stage of the conservation law
_ORDER = "file_id, record_offset, container_index, event_id_hi, event_id_lo, leg"
CHOSEN = """FROM (SELECT s.*, c.file_name, s.event_time_us AS since
              FROM leg_suspense_open s LEFT JOIN collected c ON c.file_id = s.file_id)
WHERE ($reason IS NULL OR reason = $reason) AND ($stage IS NULL OR $stage = 'leg')
  AND ($source IS NULL OR source = $source)
  AND ($file IS NULL OR file_name = $file OR CAST(file_id AS VARCHAR) = $file)"""
IDS = np.dtype([("hi", np.int64), ("lo", np.int64)])


@dataclass(frozen=True)
class LegIds:
    """Legs by event, in the order in which they are charged: ids (n,) of events, wanted (n,): bit n for leg n."""

    ids: np.ndarray[Any, np.dtype[np.void]]
    wanted: I64

    def as_json(self) -> list[list[Any]]:
        """Event id as 32 hex digits, and the bits."""
        return [[f"{hi & _MASK:016x}{lo & _MASK:016x}", bits] for hi, lo, bits in zip(
            self.ids["hi"].tolist(), self.ids["lo"].tolist(), self.wanted.tolist(), strict=True)]

    @classmethod
    def of_json(cls, found: Sequence[Sequence[Any]]) -> "LegIds":
        ids = np.empty(len(found), IDS)
        ids["hi"] = np.array([int(text[:16], 16) for text, _ in found], np.uint64).view(np.int64)
        ids["lo"] = np.array([int(text[16:], 16) for text, _ in found], np.uint64).view(np.int64)
        return cls(ids, np.array([bits for _, bits in found], np.int64))

    @classmethod
    def of_rows(cls, rows: pa.Table) -> "LegIds":
        """Of open rows, in their order."""
        wanted: dict[tuple[int, int], int] = {}
        for hi, lo, leg in zip(*(rows.column(name).to_pylist() for name in ("event_id_hi", "event_id_lo", "leg")),
                               strict=True):
            wanted[hi, lo] = wanted.get((hi, lo), 0) | 1 << leg
        return cls.of_json([[f"{hi:016x}{lo:016x}", bits] for (hi, lo), bits in wanted.items()])

    def table(self) -> pa.Table:
        """For DuckDB: place, event_id_hi, event_id_lo, wanted."""
        return pa.table({"place": np.arange(self.ids.size), "event_id_hi": self.ids["hi"].view(np.uint64).copy(),
                         "event_id_lo": self.ids["lo"].view(np.uint64).copy(), "wanted": self.wanted})

    def among(self, usage: Cells) -> tuple[Cells, I64]:
        """The rows of these events, in the order of this, and the wanted legs of each; events that are not there are
        left out."""
        place = {key: at for at, key in enumerate(zip(usage["event_id_hi"].tolist(), usage["event_id_lo"].tolist(),
                                                      strict=True))}
        found = [(place[key], bits) for key, bits in zip(zip(self.ids["hi"].tolist(), self.ids["lo"].tolist(),
                                                             strict=True), self.wanted.tolist(), strict=True)
                 if key in place]
        return (usage.take(np.array([at for at, _ in found], np.int64)),
                np.array([bits for _, bits in found], np.int64))


_MASK = (1 << 64) - 1


def open_legs(ledger: Ledger, parameters: Mapping[str, str | None], most: int | None = None) -> pa.Table:
    """Open rows of a choice, in collection order, with `file_name` and `since`; parameters: `Choice.parameters`."""
    limit = "" if most is None else f" LIMIT {int(most)}"
    with asking(ledger) as connection:
        return connection.sql(f"SELECT * {CHOSEN} ORDER BY {_ORDER}{limit}", params=dict(parameters)).to_arrow_table()


def events_of(ledger: Ledger, legs: LegIds, labels: dict[str, list[str]]) -> Cells:
    """The events of legs, as they were charged; those that were taken back too. Extends `labels` as needed."""
    names = ", ".join(f"r.{name}" for name in USAGE.names)
    with asking(ledger) as connection:
        connection.register("_legs", legs.table())
        table = connection.sql(f"""
            SELECT {names} FROM rated r JOIN _legs USING (event_id_hi, event_id_lo)
            WHERE r.leg = 0 AND r.revision % 2 = 0
            QUALIFY row_number() OVER (PARTITION BY event_id_hi, event_id_lo ORDER BY revision DESC) = 1
            ORDER BY place""").to_arrow_table()  # noqa: S608 - names of columns
    return Cells.from_arrow(USAGE, table, labels)


def taken_back_before(ledger: Ledger, legs: LegIds) -> dict[tuple[int, int, int], int]:
    """(event id, leg) -> newest revision, of legs that were charged once and taken back."""
    with asking(ledger) as connection:
        connection.register("_legs", legs.table())
        rows = connection.sql("SELECT event_id_hi, event_id_lo, leg, max(revision) FROM rated JOIN _legs "
                              "USING (event_id_hi, event_id_lo) WHERE leg > 0 GROUP BY ALL").fetchall()
    return {(_signed(hi), _signed(lo), leg): revision for hi, lo, leg, revision in rows}


def continued(charged: Charged, before: Mapping[tuple[int, int, int], int]) -> Charged:
    """Charged legs with the revision that follows what was taken back."""
    rated = charged.rated
    keys = zip(rated["event_id_hi"].tolist(), rated["event_id_lo"].tolist(), rated["leg"].tolist(), strict=True)
    rated["revision"] = [before.get(key, -1) + 1 for key in keys]
    return charged


def closing_rows(rows: pa.Table, action: SuspenseAction, who: str, why: str, labels: dict[str, list[str]]) -> Cells:
    """What closes open rows: each with the next, odd revision, on whose account, and why. Extends `labels`."""
    cells = Cells.from_arrow(LEG_SUSPENSE, rows, labels)
    cells["revision"] += 1
    cells["action"] = int(action)
    for name, text in (("who", who), ("why", why)):
        names = labels.setdefault(name, [])
        if text not in names:
            names.append(text)
        cells[name] = names.index(text)
    return cells


def charged_keys(charged: Charged) -> set[tuple[int, int, int]]:
    """(event id, leg) of what was charged."""
    rated = charged.rated
    return set(zip(rated["event_id_hi"].tolist(), rated["event_id_lo"].tolist(), rated["leg"].tolist(), strict=True))


def keys_of(rows: pa.Table) -> list[tuple[int, int, int]]:
    """The same of open rows."""
    return [(_signed(hi), _signed(lo), leg) for hi, lo, leg in zip(
        *(rows.column(name).to_pylist() for name in ("event_id_hi", "event_id_lo", "leg")), strict=True)]


def without_aside(charged: Charged) -> Charged:
    """What charging legs again came to, but for those that stay where they are."""
    return Charged(charged.rated, charged.posting, charged.suspense, charged.notification, charged.turns,
                   charged.account_state)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value

