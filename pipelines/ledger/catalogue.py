"""What lets stock DuckDB read the ledger: an empty Parquet file per table (its columns), and `ledger.sql`.

Both are derived: `ledger.sql` reads the log itself, so it never lags behind a commit, and losing it loses nothing.
"""

from importlib.resources import files

import pyarrow as pa

from pipelines.ledger.parquet import decode_table, encode_table, schema_hash
from pipelines.ledger.store import Store, is_aside
from schemas.audit import BACKED_OUT_FILE, COLLECTED, COMMAND, FILE_AUDIT, SEQUENCE_GAP
from schemas.columns import ColumnSet
from schemas.errors import LedgerError
from schemas.identity_change import IDENTITY_CHANGE
from schemas.matching import AWAITING, CDR_FILE, CDR_SESSION, MATCHED_PART
from schemas.online import GRANT
from schemas.rated import (
    ACCOUNT_STATE,
    BALANCE,
    CORRECTION,
    LEG_SUSPENSE,
    NOTIFICATION,
    POSTING,
    RATED,
    WITHDRAWN,
)
from schemas.usage import DUPLICATE, FILTERED, HELD, MATCHED, MERGED, OPEN_SESSION, SETTLED, SUSPENSE, USAGE

SCHEMA_FOLDER = "_schema"
SCRIPT = "ledger.sql"
KNOWN: tuple[ColumnSet, ...] = (USAGE, SUSPENSE, DUPLICATE, FILTERED, MATCHED, HELD, MERGED, FILE_AUDIT, RATED, POSTING,
                                BALANCE, COLLECTED, COMMAND, SEQUENCE_GAP, OPEN_SESSION, SETTLED, CORRECTION, WITHDRAWN,
                                BACKED_OUT_FILE, NOTIFICATION, ACCOUNT_STATE, LEG_SUSPENSE, GRANT, AWAITING,
                                MATCHED_PART, IDENTITY_CHANGE, CDR_FILE, CDR_SESSION)
_REMEDY = "remove it: the next run writes it again"
_VIEWS_MARK = "-- views --\n"
# Views over views: what they need, and what they say. Rows of one key say the same: which of them is open is all one.
_SUSPENSE_KEY = "file_id, record_offset, container_index, event_id_hi, event_id_lo, stage, reason"
DERIVED: dict[str, tuple[tuple[str, ...], str]] = {
    # The charges that hold: a revision that none takes back, and that takes none back itself.
    "rated_current": (("rated",), """
    SELECT * FROM rated r WHERE revision % 2 = 0 AND NOT EXISTS (
        SELECT 1 FROM rated x WHERE x.revision % 2 = 1 AND x.revision = r.revision + 1 AND x.leg = r.leg
        AND x.event_id_hi = r.event_id_hi AND x.event_id_lo = r.event_id_lo)"""),
    # Charge legs that are set aside: even revisions that no odd one has closed.
    "leg_suspense_open": (("leg_suspense",), """
    WITH done AS (SELECT event_id_hi, event_id_lo, leg, count(*) AS closed FROM leg_suspense WHERE revision % 2 = 1
                  GROUP BY ALL),
    numbered AS (SELECT *, row_number() OVER (PARTITION BY event_id_hi, event_id_lo, leg ORDER BY revision) AS place
                 FROM leg_suspense WHERE revision % 2 = 0)
    SELECT numbered.* EXCLUDE (place) FROM numbered LEFT JOIN done USING (event_id_hi, event_id_lo, leg)
    WHERE place > coalesce(closed, 0)"""),
    # What was charged online, per session and rating group, and what CDRs have said of the same usage so far.
    "online_usage": (("grant", "matched", "matched_part", "backed_out_file"), """
    WITH reports AS (
        SELECT *, CASE WHEN kind <> 'event' OR used IS NOT NULL THEN used
                       WHEN action = 'direct_debiting' AND result_code = 2001 THEN granted END AS reported
        FROM "grant"),
    online AS (
        SELECT session_hi, session_lo, rating_group, service, any_value(unit) AS unit,
               max(account_id) AS account_id, max(charging_id) AS charging_id,
               min(coalesce(used_since_us, event_time_us, received_us)) AS since,
               max(coalesce(event_time_us, received_us)) AS until, sum(reported) AS online_quantity
        FROM reports WHERE reported IS NOT NULL GROUP BY ALL),
    closed AS (
        SELECT session_hi, session_lo, bool_or(kind IN ('termination', 'event') OR released) AS closed
        FROM "grant" GROUP BY ALL),
    events AS (
        SELECT event_id_hi AS matched_event_hi, event_id_lo AS matched_event_lo, any_value(session_hi) AS session_hi,
               any_value(session_lo) AS session_lo, any_value(rating_group) AS rating_group,
               any_value(service) AS service
        FROM reports WHERE reported IS NOT NULL GROUP BY ALL),
    told AS (
        SELECT file_id, matched_event_hi, matched_event_lo, record_type, quantity FROM matched
        UNION ALL SELECT file_id, matched_event_hi, matched_event_lo, record_type, matched_quantity FROM matched_part),
    cdrs AS (
        SELECT session_hi, session_lo, rating_group, service, record_type, count(*) AS containers,
               sum(quantity) AS cdr_quantity
        FROM told JOIN events USING (matched_event_hi, matched_event_lo)
        WHERE file_id NOT IN (SELECT file_id FROM backed_out_file) GROUP BY ALL)
    SELECT o.*, coalesce(c.closed, false) AS closed, record_type, coalesce(containers, 0) AS containers,
           coalesce(cdr_quantity, 0) AS cdr_quantity, coalesce(cdr_quantity, 0) - online_quantity AS difference
    FROM online o LEFT JOIN closed c USING (session_hi, session_lo)
    LEFT JOIN cdrs d ON d.session_hi = o.session_hi AND d.session_lo = o.session_lo AND d.service = o.service
        AND d.rating_group IS NOT DISTINCT FROM o.rating_group"""),
    "suspense_open": (("suspense", "settled"), f"""
    WITH done AS (SELECT {_SUSPENSE_KEY}, count(*) AS actions FROM settled GROUP BY ALL),
    numbered AS (SELECT *, row_number() OVER (PARTITION BY {_SUSPENSE_KEY}) AS place FROM suspense)
    SELECT numbered.* EXCLUDE (place) FROM numbered LEFT JOIN done USING ({_SUSPENSE_KEY})
    WHERE place > coalesce(actions, 0)"""),  # noqa: S608 - fixed names
}


def schema_path(table: str) -> str:
    return f"{SCHEMA_FOLDER}/{table}.parquet"


def known_schemas(store: Store) -> dict[str, pa.Schema]:
    """Schemas of all tables that the ledger has a schema file of, by table. Raises LedgerError: one is damaged."""
    found = {}
    for each in store.list_all(SCHEMA_FOLDER):
        if each.path.endswith(".parquet") and not is_aside(each.path):
            table = each.path.removeprefix(f"{SCHEMA_FOLDER}/").removesuffix(".parquet")
            try:
                found[table] = decode_table(store.read(each.path), path=each.path).schema
            except LedgerError as error:
                raise LedgerError(error.found, "the columns of a table", _REMEDY) from error
    return found


def publish(store: Store, schemas: dict[str, pa.Schema]) -> dict[str, pa.Schema]:
    """Make sure that each of `schemas` has its schema file, and `ledger.sql` a view of it. Returns all there are.

    A table that is written with further columns gets a schema file with them; none is ever dropped.
    """
    there = known_schemas(store)
    fresh = {}
    for table, schema in schemas.items():
        wanted = _joined(table, schema, there[table]) if table in there else schema
        if table not in there or schema_hash(wanted) != schema_hash(there[table]):
            fresh[table] = wanted
    for table, schema in fresh.items():
        store.replace(schema_path(table), encode_table(schema.empty_table()).payload)
    there.update(fresh)
    script = script_text(there).encode()
    try:
        current = store.read(SCRIPT)
    except FileNotFoundError:
        current = b""
    if script != current:
        store.replace(f"{SCHEMA_FOLDER}/none.json", b"{}")
        store.replace(SCRIPT, script)
    return there


def _joined(table: str, schema: pa.Schema, there: pa.Schema) -> pa.Schema:
    try:
        return pa.unify_schemas([schema, there], promote_options="default")
    except pa.ArrowException as error:
        raise LedgerError(f"{schema_path(table)}: {error}", "the columns of a table", _REMEDY) from error


def product_schemas() -> dict[str, pa.Schema]:
    """Schemas of every table that Tarifa itself writes."""
    return {each.name: each.arrow_schema() for each in KNOWN}


def script_text(schemas: dict[str, pa.Schema]) -> str:
    """`ledger.sql`: the template's part that reads the log, then a view per table."""
    template = files("pipelines.ledger").joinpath("ledger.sql").read_text()
    head, mark, _ = template.partition(_VIEWS_MARK)
    views = []
    for table, schema in sorted(schemas.items()):
        views.append(f"SET VARIABLE files_{table} = (SELECT list_prepend(getvariable('ledger_folder') || "  # noqa: S608
                     f"'/{schema_path(table)}', coalesce(list(getvariable('ledger_folder') || '/' || path "
                     f"ORDER BY stream, version, place), []))\n    FROM ledger_files WHERE live AND kind = 'table' "
                     f"AND table_name = '{table}');\n{view_text(table, schema)};\n")
    return head + mark + "\n".join(views) + "".join(f"\n{text};\n" for text in derived_views(schemas))


def view_text(table: str, schema: pa.Schema) -> str:
    """The view of one table over the files in variable `files_<table>`; 128-bit ids also as 32 hex digits."""
    names = set(schema.names)
    ids = [name.removesuffix("_hi") for name in schema.names
           if name.endswith("_hi") and f"{name.removesuffix('_hi')}_lo" in names]
    extra = "".join(f",\n    lower(lpad(hex({each}_hi), 16, '0') || lpad(hex({each}_lo), 16, '0')) AS {each}"
                    for each in ids if each not in names)
    return (f'CREATE OR REPLACE VIEW "{table}" AS SELECT *{extra}\n'  # noqa: S608 - names checked when staged
            f"    FROM read_parquet(getvariable('files_{table}'), union_by_name = true)")


def derived_views(schemas: dict[str, pa.Schema]) -> list[str]:
    """Statements that make the views over tables; of those whose tables are there."""
    return [f'CREATE OR REPLACE VIEW "{name}" AS {text.strip()}' for name, (needs, text) in DERIVED.items()
            if all(table in schemas for table in needs)]


def check_table_name(table: str) -> bool:
    """Table names go into SQL and paths: lower-case words joined by underscores."""
    return table.isidentifier() and table.islower() and table.isascii()
