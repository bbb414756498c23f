"""`tarifa whatif`: revenue under another tariff over the whole history. Nothing is posted; nothing is kept but sums.

The past is charged again from its beginning on a book of its own, so that allowances, tiers and credit limits are as
they would have been; block by block, so that memory grows with accounts and not with events.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.archive import Archive
from pipelines.corrections.history import History
from pipelines.corrections.layers import FAR_AHEAD_US, LONG_AGO_US, Layer, Layers
from pipelines.corrections.prepare import lookup, past_exclusions
from pipelines.corrections.replay import Replay, replay
from pipelines.durable import Disk, replace_file
from pipelines.home import Home, Input
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.sql import open_duckdb
from rating.charging import Charged
from reference_data.tariffs.compile import load_tariffs
from schemas.codes import LedgerAccount, PostingReason, Reason, Service
from schemas.columns import I64, Cells, code_names

ACTUAL, WHAT_IF = "actual", "whatif"
KEYS = ("month", "service", "plan", "zone", "segment", "currency")
SUMS = ("events", "quantity", "allowance_quantity", "charge_nanos", "uncollected_nanos")
FEE = "fee"
_NOWHERE = 1 << 62  # beyond any position of the journal


@dataclass
class Comparison:
    """(key of KEYS) -> sums of SUMS, for both sides; what could not be rated: reason -> events."""

    sums: dict[str, dict[tuple[str, ...], list[int]]] = field(default_factory=lambda: {ACTUAL: {}, WHAT_IF: {}})
    unrated: dict[str, Counter[str]] = field(default_factory=lambda: {ACTUAL: Counter(), WHAT_IF: Counter()})
    events: int = 0

    def by(self, name: str) -> list[tuple[str, str, int, int]]:
        """(value of one key, currency, actual nanos, what-if nanos), the largest change first."""
        at, money = KEYS.index(name), KEYS.index("currency")
        found: dict[tuple[str, str], list[int]] = {}
        for place, side in enumerate((ACTUAL, WHAT_IF)):
            for key, sums in self.sums[side].items():
                found.setdefault((key[at], key[money]), [0, 0])[place] += sums[SUMS.index("charge_nanos")]
        return sorted(((value, currency, both[0], both[1]) for (value, currency), both in found.items()),
                      key=lambda row: (-abs(row[3] - row[2]), row[:2]))

    def add(self, side: str, key: tuple[str, ...], sums: list[int]) -> None:
        mine = self.sums[side].setdefault(key, [0] * len(SUMS))
        for i, amount in enumerate(sums):
            mine[i] += amount

    def table(self) -> pa.Table:
        """All sums, one row a side and key."""
        rows = [(side, *key, *sums) for side in (ACTUAL, WHAT_IF) for key, sums in sorted(self.sums[side].items())]
        names = ("side", *KEYS, *SUMS)
        kinds = [pa.string()] * (1 + len(KEYS)) + [pa.int64()] * len(SUMS)
        return pa.table([pa.array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)], names=list(names))


def whatif(source: Input, home: Home, tariff: Path, from_us: int = LONG_AGO_US, to_us: int = FAR_AHEAD_US,
           out: Path | None = None, progress: Callable[[int], None] | None = None) -> Comparison:
    """Compare what was charged for usage in [from_us, to_us) with what it would be under the tariffs of a folder.

    out: folder that gets `revenue.parquet` and `unrated.parquet`. Raises ReferenceDataError, LedgerError.
    """
    tariffs = load_tariffs(tariff)
    ledger = Ledger.open(home.ledger)
    keys = Keys.open(home.keys)
    history = History(ledger, Archive(home.archive, keys), source.operator, keys.token_key)
    result = Comparison()
    tally = _Tally(result, segments(source), from_us, to_us)
    with open_duckdb(ledger) as connection:
        _actual(connection, result, tally, from_us, to_us)
        exclusions = past_exclusions(connection)
    layers = Layers(lookup(home, None, None), [Layer(_NOWHERE, tariffs)])
    again = Replay(history, layers, None, exclusions, tally.sink)
    replay(history, [again], progress)
    result.events = again.events
    if out is not None:
        _write(out, result)
    return result


def segments(source: Input) -> tuple[I64, list[str], I64]:
    """(account ids ascending, names, place of each account's name): its segment where the operator has that column in
    accounts.parquet, else how it pays."""
    table = pq.read_table(source.operator / "accounts.parquet")
    name = "segment" if "segment" in table.column_names else "payment"
    column = table[name].cast(pa.string()).fill_null("").combine_chunks().dictionary_encode()
    ids = table["account_id"].to_numpy().astype(np.int64)
    order = np.argsort(ids)
    return ids[order], column.dictionary.to_pylist(), column.indices.to_numpy().astype(np.int64)[order]


class _Tally:
    """Adds up what a replay charges."""

    def __init__(self, result: Comparison, segments: tuple[I64, list[str], I64], from_us: int, to_us: int) -> None:
        self._result, self._from_us, self._to_us = result, from_us, to_us
        self.ids, self.names, self.place = segments

    def sink(self, charged: Charged, labels: dict[str, list[str]]) -> None:
        self._rated(self._within(charged.rated), labels)
        self._fees(self._within(charged.posting), labels)
        suspense = self._within(charged.suspense)
        for reason, count in zip(*np.unique(suspense["reason"], return_counts=True), strict=True):
            self._result.unrated[WHAT_IF][Reason(int(reason)).name.lower()] += int(count)

    def _within(self, cells: Cells) -> Cells:
        time = cells["event_time_us"]
        return cells.where((time >= self._from_us) & (time < self._to_us))

    def _rated(self, rated: Cells, labels: dict[str, list[str]]) -> None:
        if not len(rated):
            return
        months = rated["event_time_us"].view("datetime64[us]").astype("datetime64[M]").astype(np.int64)
        keys = np.stack([months, rated["service"], rated["plan"], rated["zone"], self._segment(rated["account_id"]),
                         rated["currency"]])
        self._add(keys, [np.ones(len(rated), np.int64), *(rated[name] for name in SUMS[1:])],
                  [None, code_names(Service), labels["plan"], labels["zone"], self.names, labels["currency"]])

    def _fees(self, posting: Cells, labels: dict[str, list[str]]) -> None:
        fees = posting.where((posting["ledger_account"] == LedgerAccount.FEES)  # gross, like charges
                             & (posting["reason"] != PostingReason.TAX))
        if not len(fees):
            return
        months = fees["event_time_us"].view("datetime64[us]").astype("datetime64[M]").astype(np.int64)
        nothing = np.zeros(len(fees), np.int64)
        keys = np.stack([months, nothing, nothing, nothing, self._segment(fees["account_id"]), fees["currency"]])
        self._add(keys, [nothing, nothing, nothing, fees["amount"], nothing],
                  [None, [FEE], [""], [FEE], self.names, labels["currency"]])

    def _segment(self, account_id: I64) -> I64:
        at = np.minimum(np.searchsorted(self.ids, account_id), max(self.ids.size - 1, 0))
        found: I64 = np.where(self.ids[at] == account_id, self.place[at], -1)
        return found

    def _add(self, keys: I64, sums: list[I64], names: list[list[str] | None]) -> None:
        order = np.lexsort(keys[::-1])
        keys = keys[:, order]
        starts = np.flatnonzero(np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)))
        parts = [np.add.reduceat(np.maximum(each, 0) if i in (1, 2) else each, starts) for i, each in
                 enumerate([each[order] for each in sums])]
        for group, start in enumerate(starts.tolist()):
            key = tuple(_named(int(keys[i, start]), known) for i, known in enumerate(names))
            self._result.add(WHAT_IF, key, [int(part[group]) for part in parts])


def _named(value: int, names: list[str] | None) -> str:
    if names is None:
        return str(np.datetime64(value, "M"))
    return names[value] if value >= 0 else ""


def _actual(connection: duckdb.DuckDBPyConnection, result: Comparison, tally: _Tally, from_us: int, to_us: int
            ) -> None:
    """What the ledger has, in the same shape."""
    names = np.array([*tally.names, ""], object)
    connection.register("_segments", pa.table({"account_id": tally.ids, "segment": pa.array(names[tally.place],
                                                                                             pa.string())}))
    within = f"event_time_us >= make_timestamptz({from_us}) AND event_time_us < make_timestamptz({to_us})"
    month = "strftime(event_time_us, '%Y-%m')"
    for row in connection.execute(f"""
        SELECT {month}, service, coalesce(plan, ''), coalesce(zone, ''), coalesce(segment, ''), coalesce(currency, ''),
               count(*), sum(greatest(coalesce(quantity, 0), 0)), sum(coalesce(allowance_quantity, 0)),
               sum(charge_nanos), sum(uncollected_nanos)
        FROM rated_current LEFT JOIN _segments USING (account_id) WHERE {within} GROUP BY ALL
        UNION ALL
        SELECT {month}, '{FEE}', '', '{FEE}', coalesce(segment, ''), currency, 0, 0, 0, sum(amount), 0
        FROM posting LEFT JOIN _segments USING (account_id) WHERE ledger_account = 'fees' AND {within} GROUP BY ALL
        """).fetchall():
        result.add(ACTUAL, tuple(row[:len(KEYS)]), [int(n) for n in row[len(KEYS):]])
    for reason, count in connection.execute(f"""
        SELECT reason, count(*) FROM suspense_open WHERE stage = 'charge' AND record_type IS DISTINCT FROM 'command'
        AND {within} GROUP BY 1""").fetchall():
        result.unrated[ACTUAL][reason] += count


def _write(out: Path, result: Comparison) -> None:
    disk = Disk()
    disk.make_dir(out)
    unrated: list[tuple[Any, ...]] = [(side, reason, count) for side, found in result.unrated.items()
                                      for reason, count in sorted(found.items())]
    for name, table in (("revenue", result.table()), ("unrated", pa.table({
            "side": pa.array([row[0] for row in unrated], pa.string()),
            "reason": pa.array([row[1] for row in unrated], pa.string()),
            "events": pa.array([row[2] for row in unrated], pa.int64())}))):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        replace_file(disk, out / f"{name}.parquet", sink.getvalue().to_pybytes())
