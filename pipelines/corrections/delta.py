"""The difference between the ledger and a replayed past: rows to take back, rows in their place, postings.

Both sides are Parquet; DuckDB joins them in bounded memory. What is compared of a rated event is what charging said of
it; where it lies in the compiled tariff (`rate_row`), and the exact numerators, which are over that tariff's
denominators, are not: they change with any edit. Of postings, every movement's sum by account, side and bucket.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corrections.withdrawn import IDS, Ids
from rating.charging import Charged
from schemas.codes import PostingReason
from schemas.columns import I64, Cells, ColumnSet
from schemas.errors import InvariantError
from schemas.rated import LEG_SUSPENSE, MEASURES, POSTING, RATED, WITHDRAWN
from schemas.usage import SUSPENSE, USAGE

CHUNK_ROWS = 100_000
_NOT_COMPARED = ("revision", "journal_position", "rate_row", "session_numerator_before")
COMPARED = tuple(c.name for c in RATED.columns[len(USAGE.columns):] if c.name not in (*_NOT_COMPARED, "leg"))
_KEY = "event_id_hi, event_id_lo, leg"
_ORDER = "file_id, record_offset, container_index, event_id_hi, event_id_lo, leg, revision"
_SIDE = "movement_hi, movement_lo, account_id, ledger_account, bucket_id, unit, currency, leg"


class Outcome:
    """A replay's output, written aside as Parquet. Hand `sink` to the replay, then `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._waiting: dict[str, list[pa.Table]] = {}
        self.suspended = 0
        for columns in (RATED, POSTING, SUSPENSE, LEG_SUSPENSE):
            self._open(columns)

    def sink(self, charged: Charged, labels: dict[str, list[str]]) -> None:
        for cells in (charged.rated, charged.posting, charged.suspense, charged.leg_suspense):
            if len(cells):
                self._write(cells, labels)

    def close(self) -> None:
        for name, writer in self._writers.items():
            self._flush(name)
            writer.close()

    def path(self, table: str) -> str:
        return str(self._folder / f"{table}.parquet")

    def _open(self, columns: ColumnSet) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._writers[columns.name] = pq.ParquetWriter(self.path(columns.name), plain_schema(columns),
                                                       compression="lz4")
        self._waiting[columns.name] = []

    def _write(self, cells: Cells, labels: dict[str, list[str]]) -> None:
        table = cells.to_arrow(labels).cast(plain_schema(cells.columns))
        waiting = self._waiting[cells.columns.name]
        waiting.append(table)
        if sum(part.num_rows for part in waiting) >= CHUNK_ROWS:
            self._flush(cells.columns.name)

    def _flush(self, name: str) -> None:
        if self._waiting[name]:
            self._writers[name].write_table(pa.concat_tables(self._waiting[name]))
            self._waiting[name] = []


def plain_schema(columns: ColumnSet) -> pa.Schema:
    """Names as text instead of dictionaries, which differ from chunk to chunk."""
    return pa.schema([pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type, f.nullable)
                      for f in columns.arrow_schema()])


@dataclass
class Sums:
    """What a correction amounts to, by currency, in nano-units; and how many events, rows and movements it touches."""

    reversed_rows: int = 0
    replaced_rows: int = 0
    suspended: int = 0
    postings: int = 0
    movements: int = 0
    accounts: int = 0
    charge_nanos: dict[str, int] = field(default_factory=dict)
    uncollected_nanos: dict[str, int] = field(default_factory=dict)
    balance_nanos: dict[str, int] = field(default_factory=dict)


class Delta:
    """Differences between the ledger behind `connection` (`open_duckdb`) and an outcome, for `accounts`.

    position, made_us: of the correction. removed: events that are no longer to count at all.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, outcome: Outcome, accounts: I64 | None, position: int,
                 made_us: int, reason: PostingReason, removed: Ids | None = None) -> None:
        self._sql, self._position, self._made_us, self._reason = connection, position, made_us, reason
        self._register(accounts, removed)
        for name in ("rated", "posting", "suspense", "leg_suspense"):
            connection.execute(f"CREATE TEMP VIEW new_{name} AS SELECT * FROM read_parquet('{outcome.path(name)}')")
        # A leg that was set aside and charged by hand later is in both.
        connection.execute(f"""CREATE TEMP VIEW new_aside AS SELECT n.* FROM new_leg_suspense n
                               ANTI JOIN new_rated r USING ({_KEY})""")
        self._compare()

    def rated(self) -> Iterator[pa.Table]:
        """Reversals, and what is charged instead, in collection order."""
        measures = ", ".join(f"-{name} AS {name}" for name in MEASURES)
        stamp = f"CAST({self._position} AS BIGINT) AS journal_position"
        names = ", ".join(RATED.names)
        yield from self._chunks(RATED, f"""
            SELECT {names} FROM (
                SELECT * REPLACE ({measures}, {stamp}, CAST(revision + 1 AS SMALLINT) AS revision) FROM taken_back
                UNION ALL BY NAME
                SELECT n.* REPLACE ({stamp}, CAST(coalesce(k.newest + 1, 0) AS SMALLINT) AS revision)
                FROM new_rated n JOIN changed c USING ({_KEY}) LEFT JOIN newest k USING ({_KEY}))
            ORDER BY {_ORDER}""")

    def posting(self) -> Iterator[pa.Table]:
        """Postings of the differences, by movement."""
        place = f"ORDER BY {_SIDE}"
        yield from self._chunks(POSTING, f"""
            SELECT movement_hi, movement_lo,
                   CAST(row_number() OVER (PARTITION BY movement_hi, movement_lo {place}) - 1 AS SMALLINT)
                       AS posting_index, CAST({self._position} AS BIGINT) AS journal_position,
                   make_timestamptz({self._made_us}) AS event_time_us, account_id, ledger_account, bucket_id, unit,
                   currency, CAST(amount AS BIGINT) AS amount, '{self._reason.name.lower()}' AS reason, leg
            FROM moved {place}""")

    def suspense(self) -> Iterator[pa.Table]:
        """Events that were rated and now cannot be."""
        yield from self._chunks(SUSPENSE, f"""
            SELECT {', '.join(f'n.{name}' for name in SUSPENSE.names)} FROM new_suspense n
            JOIN (SELECT DISTINCT event_id_hi, event_id_lo FROM taken_back WHERE leg = 0)
                USING (event_id_hi, event_id_lo)
            WHERE n.record_type IS DISTINCT FROM 'command'
            ORDER BY file_id, record_offset, container_index, event_id_hi, event_id_lo""")

    def leg_suspense(self) -> Iterator[pa.Table]:
        """Legs that are set aside no more, or otherwise, or anew; what was written off stays so."""
        differ = ("c.revision IS NULL OR n.revision IS NULL OR n.account_id IS DISTINCT FROM c.account_id "
                  "OR n.reason IS DISTINCT FROM c.reason")
        names = ", ".join(LEG_SUSPENSE.names)
        self._sql.execute(f"""CREATE OR REPLACE TEMP VIEW given_up AS SELECT {_KEY} FROM leg_suspense
            WHERE revision % 2 = 1 GROUP BY ALL HAVING arg_max(action, revision) = 'written_off'""")
        yield from self._chunks(LEG_SUSPENSE, f"""
            SELECT {names} FROM (SELECT c.* REPLACE (CAST(c.revision + 1 AS SMALLINT) AS revision)
            FROM leg_suspense_open c LEFT JOIN new_aside n USING ({_KEY}) WHERE {differ}
            UNION ALL BY NAME
            SELECT n.* REPLACE (CAST(coalesce(k.newest, 0) AS SMALLINT) AS revision)
            FROM new_aside n LEFT JOIN leg_suspense_open c USING ({_KEY})
            LEFT JOIN given_up g USING ({_KEY})
            LEFT JOIN (SELECT {_KEY}, 2 * count(*) AS newest FROM leg_suspense WHERE revision % 2 = 0 GROUP BY ALL) k
                USING ({_KEY}) WHERE ({differ}) AND g.leg IS NULL)
            ORDER BY {_ORDER}""")

    def withdrawn(self) -> Iterator[pa.Table]:
        """Events that are charged no more."""
        yield from self._chunks(WITHDRAWN, f"""
            SELECT any_value(source) AS source, any_value(file_id) AS file_id,
                   any_value(record_offset) AS record_offset, any_value(record_length) AS record_length,
                   any_value(container_index) AS container_index, event_id_hi, event_id_lo,
                   CAST({self._position} AS BIGINT) AS journal_position,
                   CAST(max(revision) + 2 AS SMALLINT) AS revision,
                   any_value(quantity) FILTER (leg = 0) AS quantity,
                   CASE WHEN (event_id_hi, event_id_lo) IN (SELECT (event_id_hi, event_id_lo) FROM removed)
                        THEN 'backed_out' ELSE 'set_aside' END AS state
            FROM taken_back t WHERE NOT EXISTS (SELECT 1 FROM new_rated n WHERE n.leg = 0
                AND n.event_id_hi = t.event_id_hi AND n.event_id_lo = t.event_id_lo)
            GROUP BY event_id_hi, event_id_lo ORDER BY file_id, record_offset, container_index, event_id_hi, event_id_lo
            """)

    def sums(self) -> Sums:
        def one(query: str) -> int:
            return int(self._sql.execute(query).fetchall()[0][0])

        def by_currency(query: str) -> dict[str, int]:
            return {row[0]: int(row[1]) for row in self._sql.execute(query).fetchall() if row[1]}

        change = """SELECT currency, sum(amount) FROM (
            SELECT currency, {0} AS amount FROM new_rated JOIN changed USING ({1})
            UNION ALL SELECT currency, -{0} FROM taken_back) GROUP BY 1 ORDER BY 1"""
        return Sums(
            one("SELECT count(*) FROM taken_back"), one(f"SELECT count(*) FROM new_rated JOIN changed USING ({_KEY})"),
            one("SELECT count(*) FROM new_suspense JOIN (SELECT DISTINCT event_id_hi, event_id_lo FROM taken_back "
                "WHERE leg = 0) USING (event_id_hi, event_id_lo)"),
            one("SELECT count(*) FROM moved"), one("SELECT count(DISTINCT (movement_hi, movement_lo)) FROM moved"),
            one("SELECT count(DISTINCT account_id) FROM moved"),
            by_currency(change.format("charge_nanos", _KEY)), by_currency(change.format("uncollected_nanos", _KEY)),
            by_currency("SELECT currency, sum(amount) FROM moved WHERE ledger_account = 'balance' "
                        "GROUP BY 1 ORDER BY 1"))

    def check(self) -> None:
        """Laws 3 and 5 of what is about to be posted. Raises InvariantError."""
        off = self._sql.execute("SELECT count(*) FROM (SELECT sum(amount) AS off FROM moved GROUP BY movement_hi, "
                                "movement_lo, unit, currency HAVING off <> 0)").fetchall()[0][0]
        if off:
            raise InvariantError(f"{off} movements of the correction do not sum to zero")
        uneven = self._sql.execute(f"""
            SELECT count(*) FROM (
                SELECT hi, lo, currency, sum(charge) AS charge, sum(posted) AS posted FROM (
                    SELECT event_id_hi AS hi, event_id_lo AS lo, currency, charge_nanos AS charge, 0 AS posted
                    FROM new_rated JOIN changed USING ({_KEY})
                    UNION ALL SELECT event_id_hi, event_id_lo, currency, -charge_nanos, 0 FROM taken_back
                    UNION ALL SELECT movement_hi, movement_lo, currency, 0, amount FROM moved
                              WHERE ledger_account IN ('revenue', 'tax'))
                GROUP BY ALL HAVING charge <> posted)""").fetchall()[0][0]
        if uneven:
            raise InvariantError(f"charges and postings of {uneven} corrected events differ")

    def _register(self, accounts: I64 | None, removed: Ids | None) -> None:
        concerned = pa.table({"account_id": pa.array(accounts if accounts is not None else [], pa.int64())})
        self._sql.register("_concerned", concerned)
        self._sql.execute("CREATE TEMP TABLE concerned AS SELECT * FROM _concerned")
        self._where = "WHERE account_id IN (SELECT account_id FROM concerned)" if accounts is not None else ""
        ids = removed if removed is not None else np.empty(0, IDS)
        self._sql.register("_removed", pa.table({"event_id_hi": ids["hi"].view(np.uint64).copy()
                                                 if ids.size else pa.array([], pa.uint64()),
                                                 "event_id_lo": ids["lo"].view(np.uint64).copy()
                                                 if ids.size else pa.array([], pa.uint64())}))
        self._sql.execute("CREATE TEMP TABLE removed AS SELECT * FROM _removed")

    def _compare(self) -> None:
        differ = " OR ".join(f"n.{name} IS DISTINCT FROM c.{name}" for name in COMPARED)
        self._sql.execute(f"""
            CREATE TEMP TABLE taken_back AS
            SELECT c.* FROM rated_current c LEFT JOIN new_rated n USING ({_KEY})
            {self._where.replace('account_id IN', 'c.account_id IN')} {'AND' if self._where else 'WHERE'}
            (n.journal_position IS NULL OR {differ})""")
        self._sql.execute(f"""
            CREATE TEMP TABLE changed AS
            SELECT {_KEY} FROM new_rated n LEFT JOIN rated_current c USING ({_KEY})
            WHERE c.journal_position IS NULL OR {differ}""")
        self._sql.execute(f"""
            CREATE TEMP TABLE newest AS SELECT {_KEY}, max(revision) + CAST(max(revision) % 2 = 0 AS INTEGER) AS newest
            FROM rated JOIN changed USING ({_KEY}) GROUP BY ALL""")
        self._sql.execute(f"""
            CREATE TEMP TABLE moved AS
            SELECT {_SIDE}, sum(amount) AS amount FROM (
                SELECT {_SIDE}, amount FROM new_posting
                UNION ALL SELECT {_SIDE}, -amount FROM posting {self._where})
            GROUP BY {_SIDE} HAVING sum(amount) <> 0""")

    def _chunks(self, columns: ColumnSet, query: str) -> Iterator[pa.Table]:
        for batch in self._sql.sql(query).to_arrow_reader(CHUNK_ROWS):
            if batch.num_rows:
                yield as_written(pa.Table.from_batches([batch]), columns)


def as_written(table: pa.Table, columns: ColumnSet) -> pa.Table:
    """Rows that DuckDB gives, in the types of the ledger. Columns it lacks are null."""
    schema = columns.arrow_schema()
    arrays = []
    for want in schema:
        if want.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, want.type))
            continue
        array = table.column(want.name).combine_chunks()
        if pa.types.is_dictionary(want.type):
            array = array.cast(pa.string()).dictionary_encode()
        arrays.append(array.cast(want.type))
    return pa.Table.from_arrays(arrays, schema=schema)
