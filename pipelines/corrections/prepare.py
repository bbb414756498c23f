"""Compute a correction: replay what it concerns as it was and as it should be, keep the differences as a file.

Reads ledger and archive only; a run may go on meanwhile, and then the journal has moved and it is computed again.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.archive import Archive
from pipelines.corrections.correction import BOOK, GONE, gone_sessions, write_correction
from pipelines.corrections.delta import Delta, Outcome, Sums
from pipelines.corrections.history import History, is_correction
from pipelines.corrections.kept import kept_tariffs, tariffs_of_snapshot
from pipelines.corrections.layers import FAR_AHEAD_US, LONG_AGO_US, Layer, Layers
from pipelines.corrections.replay import Exclusions, Replay, replay
from pipelines.corrections.scope import concerned, couples
from pipelines.corrections.withdrawn import IDS, Ids
from pipelines.durable import Disk
from pipelines.home import Home, Input
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.sql import open_duckdb
from rating.snapshot import to_arrow
from reference_data.tariffs.compile import Tariffs, load_tariffs
from schemas.codes import CorrectionKind, PostingReason
from schemas.columns import ABSENT, I64, Cells
from schemas.errors import LedgerError
from schemas.rated import CORRECTION

_REASONS = {CorrectionKind.RERATE: PostingReason.RERATE, CorrectionKind.BACKOUT: PostingReason.BACKOUT}


@dataclass(frozen=True)
class Wanted:
    """A correction to compute.

    tariffs: those of usage in [from_us, to_us), of `accounts` if given; None: none change. removed: events that are
    to count no more. extra: further tables for the file: what mediation is to forget.
    as_charged: folder of tariffs that the past was charged under, where the home did not keep them.
    """

    kind: CorrectionKind
    made_us: int
    who: str
    why: str
    from_us: int = LONG_AGO_US
    to_us: int = FAR_AHEAD_US
    tariffs: Tariffs | None = None
    accounts: I64 | None = None
    removed: Ids = field(default_factory=lambda: np.empty(0, IDS))
    concerns: I64 | None = None
    as_charged: Path | None = None
    trust: bool = False
    extra: Mapping[str, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A correction that was computed. base: where the journal ended; digest: its file, "" when nothing differs.

    accounts: how many were computed again. proved: the same replay without the correction gave what the ledger has.
    """

    base: int
    digest: str
    facts: dict[str, Any]
    sums: Sums
    accounts: int
    events: int
    proved: bool

    @property
    def changes(self) -> bool:
        return bool(self.sums.reversed_rows or self.sums.replaced_rows or self.sums.postings)


def prepare(source: Input, home: Home, wanted: Wanted, reference: tuple[str, Tariffs] | None = None,
            write: bool = True, disk: Disk | None = None) -> Prepared:
    """Compute. reference: hash of the operator's reference data of now, and its tariffs. write: else a dry run.

    Raises LedgerError: the past cannot be read back, or its replay does not give what the ledger has.
    """
    ledger = Ledger.open(home.ledger)
    keys = Keys.open(home.keys)
    history = History(ledger, Archive(home.archive, keys), source.operator, keys.token_key)
    base = history.position
    as_charged = lookup(home, reference, wanted.as_charged)
    old = past_layers(home, history)
    with tempfile.TemporaryDirectory(prefix="tarifa-") as scratch, \
            open_duckdb(ledger, temp_folder=Path(scratch)) as connection:
        exclusions = past_exclusions(connection)
        layers, now = Layers(as_charged, old), Layers(as_charged, old)
        if wanted.tariffs is not None:
            layer = Layer(base, wanted.tariffs, wanted.from_us, wanted.to_us, wanted.accounts)
            now = Layers(as_charged, [*old, layer])
        accounts = _concerned(history, connection, wanted)
        excluded = exclusions if not wanted.removed.size else Exclusions(
            np.concatenate([exclusions.until, wanted.removed]),
            np.concatenate([exclusions.until_position, np.full(wanted.removed.size, base)]),
            exclusions.only_at, exclusions.only_at_position)
        outcome = Outcome(Path(scratch) / "replayed")
        corrected = Replay(history, now, accounts, excluded, outcome.sink)
        before = Replay(history, layers, accounts, exclusions) if _known(history, layers) else None
        replay(history, [corrected] if before is None else [corrected, before])
        outcome.close()
        at_hand = wanted.tariffs or (reference[1] if reference else load_tariffs(source.operator / "tariffs"))
        if before is not None and not wanted.trust:
            _prove(connection, before, at_hand)
        delta = Delta(connection, outcome, accounts, base, wanted.made_us, _REASONS[wanted.kind],
                      wanted.removed)
        delta.check()
        sums = delta.sums()
        facts = {"kind": wanted.kind.name.lower(), "base": base, "made_us": wanted.made_us, "from_us": wanted.from_us,
                 "to_us": wanted.to_us, "tariffs": wanted.tariffs.content_hash if wanted.tariffs else "",
                 "accounts": None if wanted.accounts is None else wanted.accounts.tolist(), "who": wanted.who,
                 "why": wanted.why}
        found = Prepared(base, "", facts, sums, len(corrected.book), corrected.events, before is not None)
        if not write or not (found.changes or wanted.extra):
            return found
        digest = write_correction(home.corrections, facts, _tables(delta, found, wanted, corrected, before), disk)
        return Prepared(base, digest, facts, sums, found.accounts, found.events, found.proved)


def lookup(home: Home, reference: tuple[str, Tariffs] | None, as_charged: Path | None) -> Callable[[str], Tariffs]:
    """How tariffs of the past are found: by the hash of their reference data."""
    given = load_tariffs(as_charged) if as_charged is not None else None

    def find(snapshot_hash: str) -> Tariffs:
        if given is not None:
            return given
        if reference is not None and snapshot_hash == reference[0]:
            return reference[1]
        return tariffs_of_snapshot(home, snapshot_hash)
    return find


def past_layers(home: Home, history: History) -> list[Layer]:
    """Reratings that were made, oldest first."""
    found = []
    for group in history.groups():
        for position, command in group.commands:
            facts = command.get("facts", {})
            if is_correction(command) and facts.get("tariffs"):
                accounts = None if facts["accounts"] is None else np.array(facts["accounts"], np.int64)
                found.append(Layer(position, kept_tariffs(home, facts["tariffs"]), facts["from_us"], facts["to_us"],
                                   accounts))
    return found


def past_exclusions(connection: duckdb.DuckDBPyConnection) -> Exclusions:
    """Events that were backed out, and those that charging set aside, with where they were rated after all."""
    until = _ids(connection, "SELECT event_id_hi, event_id_lo, max(journal_position) FROM withdrawn GROUP BY ALL")
    only = _ids(connection, """
        SELECT s.event_id_hi, s.event_id_lo, coalesce(r.journal_position, -1) FROM (
            SELECT DISTINCT event_id_hi, event_id_lo FROM suspense
            WHERE stage = 'charge' AND record_type IS DISTINCT FROM 'command') s
        LEFT JOIN rated r ON r.event_id_hi = s.event_id_hi AND r.event_id_lo = s.event_id_lo""")
    return Exclusions(*until, *only)


def _ids(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Ids, I64]:
    found = connection.execute(query).fetchnumpy()
    names = list(found)
    ids = np.empty(len(found[names[0]]), IDS)
    ids["hi"], ids["lo"] = (np.asarray(found[name]).astype(np.uint64).view(np.int64) for name in names[:2])
    return ids, np.asarray(found[names[2]]).astype(np.int64)


def _concerned(history: History, connection: duckdb.DuckDBPyConnection, wanted: Wanted) -> I64 | None:
    tariffs = [wanted.tariffs] if wanted.tariffs is not None else []
    if wanted.concerns is not None:
        return None if any(couples(each) for each in tariffs) else \
            concerned(history, connection, wanted.from_us, wanted.to_us, wanted.concerns, tariffs)
    return concerned(history, connection, wanted.from_us, wanted.to_us, wanted.accounts, tariffs)


def _known(history: History, layers: Layers) -> bool:
    """Whether all tariffs of the past are at hand, so that it can be replayed as it was."""
    with suppress(LedgerError):
        for reference in {group.reference for group in history.groups()}:
            layers.tariffs_of(reference)
        return True
    return False


def _prove(connection: duckdb.DuckDBPyConnection, before: Replay, tariffs: Tariffs) -> None:
    """The replay of the past as it was gives the ledger's balances. Raises LedgerError."""
    cells = before.book.balances(tariffs, 0)
    connection.register("_replayed", cells.to_arrow(tariffs.labels).select(["account_id", "bucket_id", "amount"]))
    connection.register("_among", pa.table({"account_id": pa.array(before.book.account_ids)}))
    row = connection.execute("""
        SELECT count(*), min(account_id) FROM (
            SELECT account_id, bucket_id, sum(amount) AS off FROM (
                SELECT account_id, bucket_id, amount FROM _replayed
                UNION ALL SELECT account_id, bucket_id, -amount FROM posting
                WHERE ledger_account IN ('balance', 'allowance') AND account_id IN (SELECT account_id FROM _among))
            GROUP BY ALL HAVING off <> 0)""").fetchall()[0]
    if row[0]:
        raise LedgerError(f"replaying the past as it was gives {row[0]} other balances than the ledger has, the first "
                          f"of account {row[1]}", "none", "find out why before correcting anything; --trust-ledger "
                          "corrects against what the ledger has all the same")


def _tables(delta: Delta, found: Prepared, wanted: Wanted, corrected: Replay, before: Replay | None
            ) -> Iterator[tuple[str, pa.Table]]:
    """What the correction's file holds."""
    for name in ("rated", "posting", "suspense", "leg_suspense", "withdrawn"):
        for table in getattr(delta, name)():
            yield name, table
    yield "correction", _said(found, wanted)
    yield from wanted.extra.items()
    for name, table in to_arrow(corrected.book).items():
        if "account_id" in table.column_names or name == "sessions":
            yield BOOK + name, table
    if before is not None:
        yield GONE, gone_sessions(before.book, corrected.book)


def _said(found: Prepared, wanted: Wanted) -> pa.Table:
    cells = Cells.empty(CORRECTION, 1, fill=0)
    bounded = {"from_us": wanted.from_us != LONG_AGO_US, "to_us": wanted.to_us != FAR_AHEAD_US}
    for name, value in (("journal_position", found.base), ("kind", int(wanted.kind)), ("made_us", wanted.made_us),
                        ("from_us", wanted.from_us if bounded["from_us"] else ABSENT),
                        ("to_us", wanted.to_us if bounded["to_us"] else ABSENT),
                        ("tariffs", ABSENT if wanted.tariffs is None else 0), ("account_count", found.accounts),
                        ("reversed_count", found.sums.reversed_rows), ("replaced_count", found.sums.replaced_rows)):
        cells[name] = value
    return cells.to_arrow({"tariffs": [found.facts["tariffs"]], "who": [wanted.who], "why": [wanted.why]})
