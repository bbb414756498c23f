"""Rewrite many small files of a table as few, sorted ones: per event date, by account and time.

The rows stay the same ones, which is proved before the commit: row counts, sums and content hash must be equal. One
commit names the new files and drops the old; those stay until vacuum, so that reading as of an earlier cut still
works. A kill at any moment leaves the old files live and some orphans. Sorting is DuckDB's, which spills to disk, so
memory is bounded whatever the size.

Crash points: "ledger.compact.1" after each new file, then those of a commit.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.durable import reached
from pipelines.ledger.catalogue import known_schemas
from pipelines.ledger.content_hash import table_hash
from pipelines.ledger.ledger import Ledger
from pipelines.ledger.log import FileEntry
from pipelines.ledger.parquet import TIME_COLUMN
from pipelines.ledger.sql import reach_store, set_list
from pipelines.ledger.stream import TABLE, StagedFile, Stream
from schemas.errors import InvariantError

OPERATION = "compact"
ROWS_PER_FILE = 1_000_000
DAY_US = 86_400_000_000
SORT_COLUMNS = ("account_id", TIME_COLUMN, "event_id_hi", "event_id_lo", "movement_hi", "movement_lo", "posting_index",
                "leg", "revision", "source", "file_id", "record_offset", "container_index")
_MODULUS = 1 << 128
_NO_TIME = -(1 << 62)  # stands for a null among times


@dataclass(frozen=True)
class Compacted:
    """What one table's compaction did; version: the commit."""

    table: str
    files_before: int
    files_after: int
    rows: int
    octets_before: int
    octets_after: int
    version: int


def compact(ledger: Ledger, stream: Stream, tables: Sequence[str] | None = None, rows_per_file: int = ROWS_PER_FILE,
            memory_limit: str = "1GB", temp_folder: Path | None = None) -> list[Compacted]:
    """Compact `tables`, or all, of `stream`; a table that has nothing new since it was compacted is left as it is.

    rows_per_file: largest number of rows in a new file. temp_folder: where sorting may spill.
    Raises InvariantError when the new files do not hold the same rows, LedgerError when one of the old is not what was
    committed; nothing is committed then.
    """
    names = sorted({each.table for each in stream.files() if each.kind == TABLE}) if tables is None else tables
    sorted_paths = {file.path for entry in ledger.logs()[stream.name].entries if entry.op == OPERATION
                    for file in entry.added}
    done = []
    for table in names:
        files = _chosen([each for each in stream.files(table) if each.kind == TABLE], sorted_paths, rows_per_file)
        if files:
            done.append(_compact_table(ledger, stream, table, files, rows_per_file, memory_limit, temp_folder))
    return done


def _chosen(files: list[FileEntry], sorted_paths: set[str], rows_per_file: int) -> list[FileEntry]:
    """Files never compacted, and those compacted ones that are not full and share an event date with them."""
    fresh = [each for each in files if each.path not in sorted_paths]
    spans = [_dates(each) for each in fresh]

    def shares_a_date(file: FileEntry) -> bool:
        first, last = _dates(file)
        return any(first <= each_last and each_first <= last for each_first, each_last in spans)

    return [each for each in files if each.path not in sorted_paths
            or (each.rows < rows_per_file and shares_a_date(each))]


def _dates(file: FileEntry) -> tuple[int, int]:
    """First and last event date, days since 1970; (-1, -1) without event times."""
    if file.min_time_us is None or file.max_time_us is None:
        return -1, -1
    return file.min_time_us // DAY_US, file.max_time_us // DAY_US


def _compact_table(ledger: Ledger, stream: Stream, table: str, files: list[FileEntry], rows_per_file: int,
                   memory_limit: str, temp_folder: Path | None) -> Compacted:
    # First, since a damaged file would come out of the sort with a fresh sha256 that vouches for the damage.
    hash_before = sum(table_hash(ledger.read_table(each)) for each in files) % _MODULUS
    staged: list[StagedFile] = []
    hash_after = 0
    for rows in _sorted_rows(ledger, files, rows_per_file, memory_limit, temp_folder):
        staged.append(stream.stage(table, rows))
        hash_after = (hash_after + table_hash(rows)) % _MODULUS
        reached("ledger.compact.1")
    after = [each.entry for each in staged]
    if (hash_before, _totals(files)) != (hash_after, _totals(after)):
        raise InvariantError(f"compaction of {table} changed its rows: {_totals(files)} became {_totals(after)}")
    version = stream.commit(staged, removed=[each.path for each in files], kind=OPERATION)
    return Compacted(table, len(files), len(after), sum(each.rows for each in after),
                     sum(each.octets for each in files), sum(each.octets for each in after), version)


def _totals(files: Sequence[FileEntry]) -> tuple[int, dict[str, int]]:
    sums: dict[str, int] = {}
    for each in files:
        for name, text in each.sums.items():
            sums[name] = sums.get(name, 0) + int(text)
    return sum(each.rows for each in files), sums


def _sorted_rows(ledger: Ledger, files: list[FileEntry], rows_per_file: int, memory_limit: str,
                 temp_folder: Path | None) -> Iterator[pa.Table]:
    """The files' rows, sorted within each event date, in tables of one date and at most `rows_per_file` rows."""
    schema = known_schemas(ledger.store)[files[0].table]  # has every column that any of the files has
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET memory_limit = ?", [memory_limit])
        if temp_folder is not None:
            connection.execute("SET temp_directory = ?", [str(temp_folder)])
        locate = reach_store(connection, ledger.store)
        set_list(connection, "files", [locate(each.path) for each in files])
        rows = connection.sql("SELECT * FROM read_parquet(getvariable('files'), union_by_name = true)")
        order = [name for name in SORT_COLUMNS if name in rows.columns]  # an earlier release's files may lack some
        has_time = TIME_COLUMN in schema.names
        keys = ([f"date_trunc('day', {TIME_COLUMN})"] if has_time else []) + order
        reader = (rows.order(", ".join(keys)) if keys else rows).to_arrow_reader(min(rows_per_file, 100_000))
        yield from _cut(reader, schema, has_time, rows_per_file)


def _cut(reader: pa.RecordBatchReader, schema: pa.Schema, has_time: bool, rows_per_file: int) -> Iterator[pa.Table]:
    """Gather batches into tables that end where the date changes or `rows_per_file` is reached."""
    waiting: list[pa.Table] = []
    count, date = 0, None
    for batch in reader:
        table = _typed(pa.Table.from_batches([batch]), schema)
        for piece, piece_date in _by_date(table, has_time):
            while piece.num_rows:
                if waiting and (piece_date != date or count == rows_per_file):
                    yield pa.concat_tables(waiting).unify_dictionaries().combine_chunks()
                    waiting, count = [], 0
                date = piece_date
                take = min(piece.num_rows, rows_per_file - count)
                waiting.append(piece.slice(0, take))
                count += take
                piece = piece.slice(take)
    if waiting:
        yield pa.concat_tables(waiting).unify_dictionaries().combine_chunks()


def _by_date(table: pa.Table, has_time: bool) -> Iterator[tuple[pa.Table, int | None]]:
    """Pieces of one event date each, of a table in which dates do not come back; rows without a time are one date."""
    if not has_time:
        yield table, None
        return
    times = table.column(TIME_COLUMN).cast(pa.int64()).fill_null(_NO_TIME).to_numpy()
    days = times // DAY_US
    bounds = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), table.num_rows]
    for start, stop in itertools.pairwise(bounds):
        yield table.slice(start, stop - start), int(days[start]) if stop > start else None


def _typed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """DuckDB's types brought back to the ledger's: dictionaries of names, narrow integers, time zone."""
    arrays = []
    for each in schema:
        if each.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, each.type))
            continue
        column = table.column(each.name)
        if pa.types.is_dictionary(each.type):
            column = column.cast(each.type.value_type).dictionary_encode().cast(each.type)
        arrays.append(column.cast(each.type))
    return pa.Table.from_arrays(arrays, schema=schema)
