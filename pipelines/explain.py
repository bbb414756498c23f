"""From any charge back to the bytes it came from, and from any byte forward to what became of it (law 10).

`explain` finds a rated event, the partials that were merged into it, reads their bytes back from the encrypted
archive and decodes them on the spot, and says under which tariff it was priced and who paid. `trace` starts from a
byte of a file. Both read only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from mediation.formats.refusals import refuse, sniff
from mediation.formats.registry import REFUSED, load_format
from pipelines.archive import Archive
from pipelines.charged_under import ChargedUnder
from pipelines.collect import COMMANDS
from pipelines.keys import ErasedError
from rating.explain import explain_rated
from rating.legs import leg_name
from reference_data.streams import Streams
from reference_data.tariffs.compile import Tariffs, definition_key
from reference_data.tariffs.model import Rate
from schemas.columns import Cells
from schemas.errors import LedgerError
from schemas.money import format_money
from schemas.rated import RATED
from schemas.tariff_tables import BUCKET_DAY_BITS
from schemas.timepoint import to_us

# Tables that hold a container by its origin, and what that means for it. Fixed names: nothing here is pasted input.
FATES = {
    "command": "a command",
    "usage": "passed on to charging",
    "rated": "rated",
    "suspense": "set aside",
    "leg_suspense": "a charge leg of it set aside",
    "settled": "taken out of suspense",
    "duplicate": "recognised as a repetition",
    "filtered": "not charged, by the stream's declaration",
    "matched": "charged online already",
    "matched_part": "in part charged online already",
    "awaiting": "waits, or waited, for what is charged online",
    "held": "held until its session is complete",
    "merged": "merged into an event of its session",
}
# What `explain_rated` repeats of the row, or of what is shown of the rate.
_SAID = ("tariff_version", "plan", "zone", "band", "rate", "quantity", "unit", "session_quantity_before",
         "allowance_quantity", "status", "charge", "uncollected", "agrees")
_NO_REQUEST = ("file_id", "record_offset", "record_length", "container_index", "event_id_hi", "event_id_lo",
               "session_hi", "session_lo", "icid_hi", "icid_lo")
_MOST_OCTETS = 64 << 10  # of a record that are shown


@dataclass(frozen=True)
class SourceRecord:
    """Where a record lies, and what it says. raw and decoded are None where its bytes were erased; `note` says so."""

    source: str
    file_name: str
    file_id: int
    offset: int
    length: int
    raw: bytes | None
    decoded: dict[str, object] | None
    note: str = ""


@dataclass(frozen=True)
class Explanation:
    """A rated event, or a charge leg of it: row, how it was priced, its postings, the records it was made from."""

    rated: dict[str, Any]
    pricing: dict[str, object]
    postings: list[dict[str, Any]]
    records: list[SourceRecord]


@dataclass(frozen=True)
class Fate:
    """One thing that became of a record: the table, what it means, and the row."""

    table: str
    meaning: str
    row: dict[str, Any] = field(default_factory=dict)


class Lineage:
    """Walks between charges and bytes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, archive: Archive, streams: Streams, layouts: Path,
                 charged_under: ChargedUnder) -> None:
        """connection: of `open_duckdb`. layouts: folder of the operator's own ones."""
        self._sql, self._archive, self._streams = connection, archive, streams
        self._layouts, self._charged_under, self._tariffs = layouts, charged_under, charged_under.now
        # Ledgers of earlier releases lack some.
        self._views = {row["view_name"] for row in self._rows("SELECT view_name FROM duckdb_views()", [])}

    def explain(self, event_id: str) -> list[Explanation]:
        """All legs and revisions of one event, oldest first. Raises LedgerError: no such event."""
        rows = self._rows("SELECT * FROM rated WHERE event_id = $1 ORDER BY leg, revision, journal_position",
                          [event_id.lower()])
        if not rows:
            aside = self._rows("SELECT count(*) AS n FROM suspense WHERE event_id = $1", [event_id.lower()])[0]["n"]
            raise LedgerError(f"no rated event has the id {event_id}", "32 hex digits, as `event_id` of view rated",
                              f"it is in suspense: `tarifa suspense show {event_id}`" if aside else
                              "`tarifa trace FILE:OFFSET` finds what became of a record that was not rated")
        postings = self._rows("SELECT * FROM posting WHERE movement = $1 ORDER BY journal_position, posting_index",
                              [event_id.lower()])
        records = self._records(rows[0])
        found = []
        for row in rows:
            own = [p for p in postings if (p.get("leg") or 0) == row["leg"]]
            tariffs = self._charged_under.at(row["journal_position"])
            found.append(Explanation(row, pricing(row, tariffs) | self._recompute(row, own, tariffs), own, records))
        return found

    def legs_aside(self, event_id: str) -> list[dict[str, Any]]:
        """Charge legs of an event that are set aside: leg, name, account_id, reason."""
        if "leg_suspense_open" not in self._views:
            return []
        rows = self._rows("SELECT leg, account_id, reason, event_time_us FROM leg_suspense_open WHERE event_id = $1 "
                          "ORDER BY leg", [event_id.lower()])
        return [{"leg": row["leg"], "name": leg_name(self._tariffs, to_us(row["event_time_us"]), row["leg"]),
                 "account_id": row["account_id"], "reason": row["reason"]} for row in rows]

    def trace(self, file: str, offset: int) -> tuple[dict[str, Any], SourceRecord | None, list[Fate]]:
        """File, record and fates of the byte at `offset` of `file` (its name, or its number in collection order).

        The record is None for a byte of the header or trailer. Raises LedgerError: no such file or byte.
        """
        audit = self._file(file)
        if not 0 <= offset < audit["file_octets"]:
            raise LedgerError(f"offset {offset}", f"0 to {audit['file_octets'] - 1}: {file} has "
                                                  f"{audit['file_octets']} octets")
        fates = [Fate(table, meaning, row) for table, meaning in FATES.items() if table in self._views
                 for row in self._rows(
                     f"SELECT * FROM {table} WHERE file_id = $1 AND record_offset <= $2 "  # noqa: S608 - fixed names
                     "AND $2 < record_offset + record_length ORDER BY container_index", [audit["file_id"], offset])]
        for event in sorted({fate.row["event_id"] for fate in fates if fate.table == "merged"}):
            for table in ("held", "rated", "suspense"):
                fates += [Fate(table, f"{FATES[table]}: the event that it was merged into", row)
                          for row in self._rows(f"SELECT * FROM {table} WHERE event_id = $1", [event])  # noqa: S608
                          if not any(fate.table == table and fate.row == row for fate in fates)]
        record = None
        if fates:
            first = fates[0].row
            record = self.record(audit["file_id"], first["record_offset"], first["record_length"])
        return audit, record, fates

    def record(self, file_id: int, offset: int, length: int) -> SourceRecord:
        """A record by its origin: its bytes and what they say, as far as they can be read."""
        audit = self._rows("SELECT * FROM collected WHERE file_id = $1", [file_id])
        if not audit:
            raise LedgerError(f"no file has the id {file_id}")
        source = audit[0]["source"]
        facts = (source, audit[0]["file_name"], file_id, offset, length)
        try:
            whole = np.frombuffer(self._archive.read_all(file_id), np.uint8)
        except ErasedError as erased:
            return SourceRecord(*facts, None, None, str(erased))
        raw = whole[offset:offset + min(length, _MOST_OCTETS)].tobytes()
        if source == COMMANDS:
            return SourceRecord(*facts, raw, {"command": raw.decode("utf-8", "replace").strip()})
        stream = self._streams.match(source)
        if stream is None:
            return SourceRecord(*facts, raw, None, "no stream claims this source now")
        if sniff(whole) in REFUSED:
            return SourceRecord(*facts, raw, None, str(refuse(stream.format, whole)))
        form = load_format(stream.format, self._layouts)
        # The whole file is given: its header names columns, or says how records are framed.
        return SourceRecord(*facts, raw, form.describe(whole, offset, offset + length))

    def _recompute(self, row: dict[str, Any], postings: Sequence[dict[str, Any]], tariffs: Tariffs
                   ) -> dict[str, object]:
        """The walk over slots and bands, by a second hand on the same tariff; whether it comes to the same charge."""
        labels = {name: list(names) for name, names in tariffs.labels.items()}
        table = self._sql.sql("SELECT * FROM rated WHERE event_id = $id AND leg = $leg AND revision = $revision",
                              params={"id": row["event_id"], "leg": row["leg"], "revision": row["revision"]}
                              ).to_arrow_table()
        cells = Cells.from_arrow(RATED, table, labels)
        if any(len(names) > len(tariffs.labels.get(name, names)) for name, names in labels.items()):
            return {"recomputed": "no: the tariff at hand is not the one that it was charged under"}
        consumed = [(p["bucket_id"], -p["amount"]) for p in postings
                    if p["ledger_account"] == "allowance" and p["amount"] < 0 and p["unit"] != "money"
                    and p["reason"] != "rollover"
                    and p["journal_position"] == row["journal_position"]]
        found = explain_rated({name: int(cells[name][0]) for name in RATED.names}, tariffs, consumed)
        walk = {name: value for name, value in found.items() if name not in _SAID}
        buckets = {definition_key(plan.name, each) >> BUCKET_DAY_BITS: each.name for version in tariffs.versions
                   for plan in version.plans.values() for each in plan.allowances}
        paid = [f"{buckets.get(bucket >> BUCKET_DAY_BITS, bucket)}: {units:,} {row['unit']}s"
                for bucket, units in consumed]
        return ({"buckets that paid": ", ".join(paid)} if paid else {}) | {
            "recomputed": "the same charge" if found["agrees"] else "another charge", "walk": walk}

    def _records(self, rated: dict[str, Any]) -> list[SourceRecord]:
        """The record that the event came with, and those merged into it, in collection order."""
        if not rated["file_id"]:
            return self._requests(rated)
        places = {(rated["file_id"], rated["record_offset"], rated["record_length"])}
        for row in self._rows("SELECT file_id, record_offset, record_length FROM merged WHERE event_id = $1",
                              [rated["event_id"]]):
            places.add((row["file_id"], row["record_offset"], row["record_length"]))
        return [self.record(*place) for place in sorted(places)]

    def _requests(self, rated: dict[str, Any]) -> list[SourceRecord]:
        """What was charged in real time came with a request, which is a row of its own; its octets are not kept."""
        if "grant" not in self._views:
            return []
        rows = self._rows('SELECT * FROM "grant" WHERE journal_position = $1 AND session_hi = $2 AND session_lo = $3 '
                          "AND rating_group IS NOT DISTINCT FROM $4 AND service_identifier IS NOT DISTINCT FROM $5",
                          [rated[name] for name in ("journal_position", "session_hi", "session_lo", "rating_group",
                                                    "service_identifier")])
        return [SourceRecord(row["source"], "", 0, row["journal_position"], 0, None,
                             {k: str(v) for k, v in row.items() if v is not None and k not in _NO_REQUEST},
                             "charged in real time: this is the request, as it was answered") for row in rows]

    def _file(self, file: str) -> dict[str, Any]:
        found = self._rows("SELECT * FROM collected WHERE file_name = $1 OR source || '/' || file_name = $1 "
                           "OR CAST(file_id AS VARCHAR) = $1 ORDER BY file_id", [file])
        if not found:
            raise LedgerError(f"no file {file!r} was collected", "a file's name, source/name, or number, "
                              "as in view `collected`")
        if len({row["file_id"] for row in found}) > 1:
            some = ", ".join(f"{row['file_id']} ({row['source']})" for row in found[:5])
            raise LedgerError(f"{len(found)} files are called {file!r}", f"one of the numbers {some}",
                              "name it by its number")
        audit = self._rows("SELECT * FROM file_audit WHERE file_id = $1", [found[0]["file_id"]])
        return {**found[0], **(audit[0] if audit else {})}

    def _rows(self, query: str, parameters: Sequence[object]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._sql.sql(query, params=list(parameters)).to_arrow_table().to_pylist()
        return rows


def pricing(row: dict[str, Any], tariffs: Tariffs) -> dict[str, object]:
    """Tariff version, plan, zone, band, the rate with its slots, rounding, and what that came to, as text."""
    unit, currency = row["unit"], row["currency"] or ""
    steps: dict[str, object] = {"tariff version": row["tariff_version"], "plan": row["plan"], "zone": row["zone"],
                                "band": row["band"]}
    version = next((v for v in tariffs.versions if v.name == row["tariff_version"]), None)
    place = row["rate_row"]
    name = tariffs.rate_names[place] if place is not None and 0 <= place < len(tariffs.rate_names) else None
    if version is not None and 0 < row["leg"] <= len(version.legs):
        steps = {"charge leg": f"{row['leg']}: {version.legs[row['leg'] - 1].name}", **steps}
    if version is None or name is None:
        steps["rate"] = f"row {place}; the reference data at hand does not have it"
    else:
        steps["rate"] = name
        rate = version.rates.get(name)
        if rate is not None:
            steps |= _slots(rate, currency)
        plan = version.plans.get(row["plan"])
        if plan is not None:
            steps["rounding"] = f"{plan.rounding.name.lower()} to {plan.decimals} decimals, once a session"
    earlier = row["session_quantity_before"]
    if earlier:
        before = row["session_charged_before_nanos"] or 0
        steps["session before"] = f"{earlier:,} {unit}s, {format_money(before)} {currency} charged"
    steps["quantity"] = f"{row['quantity']:,} {unit}s"
    steps["billed"] = f"{row['billed_quantity'] or 0:,} {unit}s after steps and minimum"
    if row["allowance_quantity"]:
        steps["allowance"] = f"{row['allowance_quantity']:,} {unit}s covered"
    if row["connect_fee_nanos"]:
        steps["of it connect fee"] = f"{format_money(row['connect_fee_nanos'])} {currency}"
    steps["charge"] = f"{format_money(row['charge_nanos'])} {currency}"
    if row["uncollected_nanos"]:
        steps["of it uncollected"] = f"{format_money(row['uncollected_nanos'])} {currency}"
    return steps


def _slots(rate: Rate, currency: str) -> dict[str, object]:
    slots = [f"from {slot.start:,}: {format_money(slot.price_nanos)} {currency} per {slot.per:,}, "
             f"steps of {slot.step:,}" for slot in rate.slots]
    found: dict[str, object] = {"slots": "; ".join(slots) or "free"}
    if rate.connect_fee_nanos:
        found["connect fee"] = f"{format_money(rate.connect_fee_nanos)} {currency}"
    if rate.minimum_nanos:
        found["minimum"] = f"{format_money(rate.minimum_nanos)} {currency}"
    return found
