"""`tarifa backout`: a bad delivery taken back as if it had never come, its records admitted should they come again.

What it charged is reversed by the replay of the past without it (`prepare`); then mediation forgets it: keys of its
records leave the duplicate index, its sessions are no longer followed, its rows in suspense are closed. The journal
entry of the first names what the second is to forget, so that a crash in between is made good by the next run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.corrections.layers import FAR_AHEAD_US, LONG_AGO_US
from pipelines.corrections.prepare import Prepared, Wanted
from pipelines.corrections.rerate import carry_out
from pipelines.corrections.withdrawn import IDS, Ids
from pipelines.durable import Disk
from pipelines.home import Home, Input
from pipelines.ledger import Ledger
from pipelines.ledger.sql import open_duckdb
from schemas.codes import CorrectionKind
from schemas.errors import LedgerError

_TIMED = ("usage", "suspense", "filtered", "held", "matched", "awaiting")
_PLACED = (*_TIMED, "duplicate", "merged")


@dataclass(frozen=True)
class Delivery:
    """What to take back: whole files (names or numbers), one commit of mediation, or usage in [from_us, to_us)."""

    files: Sequence[str] = ()
    batch: int = 0
    from_us: int = LONG_AGO_US
    to_us: int = FAR_AHEAD_US
    source: str = ""


def backout(source: Input, home: Home, delivery: Delivery, made_us: int, who: str, why: str, dry_run: bool = False,
            disk: Disk | None = None, between: Callable[[], None] | None = None) -> Prepared:
    """Take a delivery back. Raises LedgerError: nothing is chosen, or it cannot be told apart from what is good."""
    if not dry_run and not (who.strip() and why.strip()):
        raise LedgerError("who does this, and why, must be said", "--why TEXT", "it is kept with the correction")
    ledger = Ledger.open(home.ledger)
    with open_duckdb(ledger) as connection:
        wanted = _wanted(connection, ledger, delivery, Wanted(CorrectionKind.BACKOUT, made_us, who, why,
                                                              delivery.from_us, delivery.to_us))
    return carry_out(source, home, wanted, dry_run, disk, between)


def _wanted(connection: duckdb.DuckDBPyConnection, ledger: Ledger, delivery: Delivery, wanted: Wanted) -> Wanted:
    files = _choose(connection, ledger, delivery)
    if not connection.execute("SELECT count(*) FROM chosen").fetchall()[0][0]:
        raise LedgerError("no record is of that delivery", "a file, commit or time that the ledger has records of")
    connection.execute("""
        CREATE TEMP TABLE events AS
        SELECT event_id_hi, event_id_lo FROM rated_current JOIN chosen USING (file_id, record_offset)
        UNION SELECT event_id_hi, event_id_lo FROM merged JOIN chosen USING (file_id, record_offset)""")
    connection.execute("""
        CREATE TEMP TABLE sessions AS SELECT DISTINCT session_hi, session_lo FROM (
            SELECT * FROM usage UNION ALL BY NAME SELECT * FROM held UNION ALL BY NAME SELECT * FROM suspense
            UNION ALL BY NAME SELECT * FROM filtered UNION ALL BY NAME SELECT * FROM matched
            UNION ALL BY NAME SELECT * FROM awaiting) u
        WHERE (u.file_id, u.record_offset) IN (SELECT (file_id, record_offset) FROM chosen)
           OR (u.event_id_hi, u.event_id_lo) IN (SELECT (event_id_hi, event_id_lo) FROM events)""")
    _check_alone(connection)
    ids = _ids(connection, "SELECT r.event_id_hi, r.event_id_lo FROM rated_current r JOIN events USING (event_id_hi, "
                           "event_id_lo) GROUP BY ALL ORDER BY ALL")
    accounts = connection.execute("SELECT DISTINCT account_id FROM rated_current JOIN events USING (event_id_hi, "
                                  "event_id_lo) ORDER BY 1").fetchnumpy()["account_id"]
    tables = {"forgotten_record": connection.sql("SELECT file_id, record_offset FROM chosen ORDER BY ALL"),
              "forgotten_session": connection.sql("SELECT session_hi, session_lo FROM sessions ORDER BY ALL"),
              "forgotten_file": connection.sql(f"SELECT unnest({files}::BIGINT[]) AS file_id")}
    return replace(wanted, removed=ids, concerns=np.asarray(accounts).astype(np.int64),
                   extra={name: found.to_arrow_table() for name, found in tables.items()})


def _choose(connection: duckdb.DuckDBPyConnection, ledger: Ledger, delivery: Delivery) -> list[int]:
    """Table `chosen` of records. Returns the files that are chosen whole."""
    if delivery.batch:
        entries = ledger.logs()["mediation"].entries if "mediation" in ledger.logs() else []
        if not 1 <= delivery.batch <= len(entries):
            raise LedgerError(f"batch {delivery.batch}", f"a commit of mediation, 1 to {len(entries)}")
        schema = pa.schema({"file_id": pa.int64(), "record_offset": pa.int64()})
        parts = [ledger.read_table(file).select(schema.names).cast(schema)
                 for file in entries[delivery.batch - 1].added if file.table in _PLACED]
        connection.register("_parts", pa.concat_tables([schema.empty_table(), *parts]))
        connection.execute("CREATE TEMP TABLE chosen AS SELECT DISTINCT * FROM _parts")
        return []
    tables: tuple[str, ...] = _PLACED
    if delivery.files:
        known = {name: number for number, name in connection.execute(
            "SELECT file_id, file_name FROM collected WHERE source <> 'commands'").fetchall()}
        files = [known[text] if text in known else int(text) if text.isdigit() else -1 for text in delivery.files]
        for text, number in zip(delivery.files, files, strict=True):
            if number not in known.values():
                raise LedgerError(f"no file {text!r} was collected", "its name, or its number as `tarifa sql` shows it")
        where = f"file_id IN ({', '.join(map(str, files))})"
    elif (delivery.from_us, delivery.to_us) != (LONG_AGO_US, FAR_AHEAD_US):
        files, tables = [], _TIMED
        where = f"event_time_us >= make_timestamptz({delivery.from_us}) AND " \
                f"event_time_us < make_timestamptz({delivery.to_us}) AND source <> 'commands'"
    else:
        raise LedgerError("nothing says what to back out", "--file, --batch, or --from and --to")
    rows = " UNION ".join(f"SELECT file_id, record_offset FROM {name} WHERE {where} AND ($source = '' OR "
                          "source = $source)" for name in tables)
    connection.execute(f"CREATE TEMP TABLE chosen AS SELECT DISTINCT * FROM ({rows})", {"source": delivery.source})
    return sorted(files)


def _check_alone(connection: duckdb.DuckDBPyConnection) -> None:
    """What is taken back must not share an event, or a counter's total, with what stays. Raises LedgerError."""
    mixed = connection.execute("""
        SELECT count(DISTINCT (event_id_hi, event_id_lo)), min(file_id) FROM (
            SELECT event_id_hi, event_id_lo, file_id, record_offset FROM merged
            UNION ALL SELECT event_id_hi, event_id_lo, file_id, record_offset FROM usage
            UNION ALL SELECT event_id_hi, event_id_lo, file_id, record_offset FROM held) p
        WHERE (event_id_hi, event_id_lo) IN (SELECT (event_id_hi, event_id_lo) FROM events)
          AND (file_id, record_offset) NOT IN (SELECT (file_id, record_offset) FROM chosen)""").fetchall()[0]
    totals = connection.execute("""
        SELECT count(*), min(u.file_id) FROM open_session o JOIN sessions USING (session_hi, session_lo)
        JOIN usage u USING (session_hi, session_lo)
        WHERE o.uplink_total + o.downlink_total + o.duration_total > 0
          AND (u.file_id, u.record_offset) NOT IN (SELECT (file_id, record_offset) FROM chosen)""").fetchall()[0]
    for count, file_id, what in ((*mixed, "events were merged from its partials and others"),
                                 (*totals, "sessions count totals in its records and others")):
        if count:
            raise LedgerError(f"{count} {what}, the first in file {file_id}", "a delivery that has its sessions whole",
                              "name the files of the other records as well, and deliver the good ones again")


def _ids(connection: duckdb.DuckDBPyConnection, query: str) -> Ids:
    found = connection.execute(query).fetchnumpy()
    ids = np.empty(len(found["event_id_hi"]), IDS)
    for name, column in (("hi", "event_id_hi"), ("lo", "event_id_lo")):
        ids[name] = np.asarray(found[column]).astype(np.uint64).view(np.int64)
    return ids
