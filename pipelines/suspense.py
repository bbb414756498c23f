"""What is set aside and still open: in groups by stage, reason and source, or row by row.

Reads the view `suspense_open` of the ledger. The value at risk is an estimate: what charging noted with the row, or
the quantity at the service's average price; connect fees and currencies are left out of it. Charge legs that are set
aside (view `leg_suspense_open`) are groups of a stage of their own, without an estimate: their event was charged.
"""

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.ledger import Ledger
from pipelines.ledger.sql import asking
from pipelines.set_aside_legs import CHOSEN
from pipelines.set_aside_legs import STAGE as LEG
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.estimate import estimate_nanos
from schemas.codes import Reason, Service, Stage
from schemas.columns import ABSENT
from schemas.errors import LedgerError

_OPEN = """FROM (SELECT s.*, c.file_name, coalesce(s.event_time_us, c.file_time_us) AS since
              FROM suspense_open s LEFT JOIN collected c ON c.file_id = s.file_id)
WHERE ($reason IS NULL OR reason = $reason) AND ($stage IS NULL OR stage = $stage)
  AND ($source IS NULL OR source = $source)
  AND ($file IS NULL OR file_name = $file OR CAST(file_id AS VARCHAR) = $file)"""


@dataclass(frozen=True)
class Choice:
    """Which open rows: all that agree with whatever is given. reason and stage as in the table, file: name or id."""

    reason: str | None = None
    stage: str | None = None
    source: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        for found, codes, what in ((self.reason, Reason, "reason"), (self.stage, Stage, "stage")):
            names = [member.name.lower() for member in codes] + ([LEG] if codes is Stage else [])
            if found is not None and found.lower() not in names:
                raise LedgerError(f"no {what} is called {found!r}", "one of " + ", ".join(names))

    @property
    def parameters(self) -> dict[str, str | None]:
        return {"reason": self.reason and self.reason.lower(), "stage": self.stage and self.stage.lower(),
                "source": self.source, "file": self.file}


@dataclass(frozen=True)
class Group:
    """Open rows of one stage, reason and source. estimate_nanos: of those that can be estimated."""

    stage: str
    reason: str
    source: str
    rows: int
    files: int
    estimate_nanos: int
    estimated_rows: int
    oldest: str | None
    newest: str | None


def groups(ledger: Ledger, choice: Choice, tariffs: Tariffs | None = None) -> list[Group]:
    """Groups of open rows, the largest first. Without `tariffs` only charging's own estimates count."""
    with asking(ledger) as connection:
        rows = _fetch(connection, f"""
            SELECT stage, reason, source, service, count(*) AS row_count, count(DISTINCT file_id) AS files,
                   list(DISTINCT file_id) AS file_ids, CAST(sum(estimate_nanos) AS VARCHAR) AS noted,
                   count(estimate_nanos) AS noted_rows,
                   list(quantity) FILTER (estimate_nanos IS NULL AND quantity IS NOT NULL) AS quantities,
                   CAST(min(since) AS VARCHAR) AS oldest, CAST(max(since) AS VARCHAR) AS newest
            {_OPEN} GROUP BY stage, reason, source, service""", choice.parameters)
        rows += _fetch(connection, f"""
            SELECT '{LEG}' AS stage, reason, source, service, count(*) AS row_count, count(DISTINCT file_id) AS files,
                   list(DISTINCT file_id) AS file_ids, '0' AS noted, 0 AS noted_rows, NULL AS quantities,
                   CAST(min(since) AS VARCHAR) AS oldest, CAST(max(since) AS VARCHAR) AS newest
            {CHOSEN} GROUP BY reason, source, service""", choice.parameters)
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["stage"], row["reason"], row["source"]), []).append(row)
    result = []
    for (stage, reason, source), parts in found.items():
        nanos, estimated = 0, 0
        for part in parts:
            more, count = _estimate(part, tariffs)
            nanos, estimated = nanos + more, estimated + count
        result.append(Group(
            stage, reason, source, sum(p["row_count"] for p in parts), len({f for p in parts for f in p["file_ids"]}),
            nanos, estimated, min((p["oldest"] for p in parts if p["oldest"]), default=None),
            max((p["newest"] for p in parts if p["newest"]), default=None)))
    return sorted(result, key=lambda g: (-g.rows, g.stage, g.reason, g.source))


def open_rows(ledger: Ledger, choice: Choice, most: int | None = None) -> pa.Table:
    """Open rows with all columns, in collection order."""
    limit = "" if most is None else f" LIMIT {int(most)}"
    with asking(ledger) as connection:
        result = connection.sql(
            f"SELECT * {_OPEN} ORDER BY file_id, record_offset, container_index, event_id_hi, event_id_lo, stage, "
            f"reason{limit}", params=choice.parameters)
        return result.to_arrow_table()


def row_at(ledger: Ledger, event_id: str) -> list[dict[str, Any]]:
    """Rows of suspense, open or not, of an event id; `open` says which. Raises LedgerError: none."""
    with asking(ledger) as connection:
        rows = _fetch(connection, """
            SELECT s.*, c.file_name, EXISTS (SELECT 1 FROM suspense_open o WHERE o.event_id = s.event_id
                AND o.stage = s.stage AND o.reason = s.reason AND o.file_id = s.file_id
                AND o.record_offset = s.record_offset AND o.container_index = s.container_index) AS open
            FROM suspense s LEFT JOIN collected c ON c.file_id = s.file_id WHERE s.event_id = $event_id""",
                      {"event_id": event_id.lower()})
        rows += _fetch(connection, f"""
            SELECT s.* EXCLUDE (stage), '{LEG}' AS stage, c.file_name, o.leg IS NOT NULL AS open FROM leg_suspense s
            LEFT JOIN collected c ON c.file_id = s.file_id
            LEFT JOIN leg_suspense_open o ON o.event_id = s.event_id AND o.leg = s.leg AND o.revision = s.revision
            WHERE s.event_id = $event_id AND s.revision % 2 = 0 ORDER BY s.leg, s.revision""",  # noqa: S608
                       {"event_id": event_id.lower()})
    if not rows:
        raise LedgerError(f"no row of suspense has the event id {event_id}", "an id that "
                          "`tarifa suspense list --rows N` shows")
    return rows


def actions_at(ledger: Ledger, event_id: str) -> list[dict[str, Any]]:
    """What was done about the rows of an event id."""
    with asking(ledger) as connection:
        return _fetch(connection, f"""
            SELECT action, stage, reason, who, why FROM settled WHERE event_id = $event_id
            UNION ALL SELECT action, '{LEG} ' || leg, reason, who, why FROM leg_suspense
            WHERE event_id = $event_id AND action IS NOT NULL""", {"event_id": event_id.lower()})  # noqa: S608


def _estimate(part: dict[str, Any], tariffs: Tariffs | None) -> tuple[int, int]:
    """Nanos and number of rows that the nanos stand for."""
    nanos, rows = int(part["noted"] or 0), part["noted_rows"]
    quantities = np.array(part["quantities"] or [], np.int64)
    if tariffs is not None and part["service"] is not None and quantities.size:
        service = np.full(quantities.size, Service[part["service"].upper()], np.int64)
        each = estimate_nanos(service, quantities, tariffs)
        each = each[each != ABSENT]
        nanos, rows = nanos + sum(int(n) for n in each), rows + each.size
    return nanos, rows


def _fetch(connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.sql(query, params=parameters).to_arrow_table().to_pylist()
    return rows
