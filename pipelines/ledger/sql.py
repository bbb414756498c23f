"""DuckDB on a ledger, from Python: the same views as `ledger.sql`, for a local folder or an object store."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from pipelines.ledger.catalogue import derived_views, known_schemas, schema_path, view_text
from pipelines.ledger.ledger import AsOf, Ledger
from pipelines.ledger.object_files import PROTOCOL, ObjectFiles
from pipelines.ledger.store import ObjectStore, Store
from pipelines.ledger.stream import TABLE
from schemas.errors import LedgerError

Extra = Callable[[duckdb.DuckDBPyConnection], None]  # registers further tables or views, such as revealed numbers


def open_duckdb(ledger: Ledger, as_of: AsOf = None, extra: Extra | None = None,
                memory_limit: str | None = None, temp_folder: Path | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with a view per table over exactly the files that are live as of `as_of`.

    Also tables `ledger_files` (what is live), `ledger_entries` and `ledger_cuts`. Times are shown in UTC.
    extra: called with the connection when all views are there; the vault registers its revealed tables so.
    """
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    if memory_limit:
        connection.execute("SET memory_limit = ?", [memory_limit])
    if temp_folder:
        connection.execute("SET temp_directory = ?", [str(temp_folder)])
    locate = reach_store(connection, ledger.store)
    live = ledger.files(as_of=as_of)
    by_table: dict[str, list[str]] = {}
    for each in live:
        if each.kind == TABLE:
            by_table.setdefault(each.table, []).append(locate(each.path))
    schemas = known_schemas(ledger.store)
    for table, schema in sorted(schemas.items()):
        set_list(connection, f"files_{table}", [locate(schema_path(table)), *by_table.get(table, [])])
        connection.execute(view_text(table, schema))
    for text in derived_views(schemas):
        connection.execute(text)
    _add_log_tables(connection, ledger, {each.path for each in live})
    if extra:
        extra(connection)
    return connection


@contextlib.contextmanager
def asking(ledger: Ledger, as_of: AsOf = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """`open_duckdb` for the duration. What DuckDB cannot read is a LedgerError, as everywhere else."""
    try:
        with open_duckdb(ledger, as_of) as connection:
            yield connection
    except duckdb.Error as error:
        told = " ".join(str(error).split())[:400]
        raise LedgerError(f"the ledger at {ledger.store.location} cannot be asked: {told}", "",
                          "run `tarifa ledger verify`") from error


def set_list(connection: duckdb.DuckDBPyConnection, variable: str, values: list[str]) -> None:
    """Set a DuckDB variable to a list of texts, without pasting them into SQL."""
    connection.register("_values", pa.table({"value": pa.array(values, pa.string()),
                                             "place": pa.array(range(len(values)), pa.int64())}))
    connection.execute(f"SET VARIABLE {variable} = (SELECT list(value ORDER BY place) FROM _values)")  # noqa: S608
    connection.unregister("_values")


def reach_store(connection: duckdb.DuckDBPyConnection, store: Store) -> Callable[[str], str]:
    """Let DuckDB read the store's objects; returns how their names are spelled there."""
    if store.local_folder is not None:
        folder = store.local_folder.resolve()
        return lambda path: str(folder / path)
    assert isinstance(store, ObjectStore)
    connection.register_filesystem(ObjectFiles(store))
    return lambda path: f"{PROTOCOL}://{path}"


def _add_log_tables(connection: duckdb.DuckDBPyConnection, ledger: Ledger, live: set[str]) -> None:
    entries: list[tuple[object, ...]] = []
    files: list[tuple[object, ...]] = []
    for name, log in ledger.logs().items():
        for entry, sha256 in zip(log.entries, log.digests, strict=True):
            entries.append((name, entry.version, entry.op, entry.owner, entry.epoch, entry.committed_at,
                            entry.previous, sha256))
            files.extend((name, entry.version, each.path, each.table, each.kind, each.rows, each.octets, each.sha256,
                          each.min_time_us, each.max_time_us, each.path in live) for each in entry.added)
    cuts = [(cut.number, cut.label, cut.made_at) for cut in ledger.cuts()]
    _add_table(connection, "ledger_entries", entries, {
        "stream": pa.string(), "version": pa.int64(), "op": pa.string(), "owner": pa.string(), "epoch": pa.int64(),
        "committed_at": pa.string(), "previous": pa.string(), "sha256": pa.string()})
    _add_table(connection, "ledger_files", files, {
        "stream": pa.string(), "version": pa.int64(), "path": pa.string(), "table_name": pa.string(),
        "kind": pa.string(), "rows": pa.int64(), "octets": pa.int64(), "sha256": pa.string(),
        "min_time": pa.timestamp("us", "UTC"), "max_time": pa.timestamp("us", "UTC"), "live": pa.bool_()})
    _add_table(connection, "ledger_cuts", cuts, {"number": pa.int64(), "label": pa.string(), "made_at": pa.string()})


def _add_table(connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[tuple[object, ...]],
               columns: Mapping[str, pa.DataType]) -> None:
    """A table of the connection from rows in memory."""
    arrays = [pa.array([row[i] for row in rows], kind) for i, kind in enumerate(columns.values())]
    connection.register("_rows", pa.table(arrays, names=list(columns)))
    connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM _rows')  # noqa: S608
    connection.unregister("_rows")
