"""`tarifa compare`: an incumbent's figures beside ours, every difference in a class, with its money, worst first.

Both sides are added up by the key that the map names, so that it does not matter whether a session is one row here
and three there. The first class that explains a difference names it; what none explains is `other`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.incumbent.mapping import OURS, Amount, Map, Match, Named
from reference_data.inventory import tokens_of
from schemas.codes import Identity
from schemas.errors import LedgerError
from schemas.money import parse_money

CLASSES = ("missing_here", "missing_there", "duplicate", "zone", "band", "allowance", "tax", "rounding", "other")
_MEANING = {
    "missing_here": "they charged, we know nothing of it", "missing_there": "we charged, they know nothing of it",
    "duplicate": "they charged it more than once", "zone": "another zone", "band": "another time band",
    "allowance": "an allowance covers more or less of it", "tax": "tax left out, added, or of another rate",
    "rounding": "less than one unit of the coarser rounding a row", "other": "none of these: another price"}


@dataclass(frozen=True)
class Difference:
    """Rows of one class that differ in the same way. nanos: theirs less ours; absolute_nanos: without sign."""

    kind: str
    detail: str
    service: str
    plan: str
    rows: int
    nanos: int
    absolute_nanos: int

    @property
    def meaning(self) -> str:
        return _MEANING[self.kind]


@dataclass(frozen=True)
class Compared:
    """matched: keys that both have; same: of them, equal in every figure; differences: worst first."""

    ours: int
    theirs: int
    matched: int
    same: int
    ours_nanos: int
    theirs_nanos: int
    differences: list[Difference]


def compare(connection: duckdb.DuckDBPyConnection, incumbent: Path, how: Map, token_key: tuple[int, int] | None,
            events: pa.Table | None = None, out: Path | None = None) -> Compared:
    """Compare. connection: on a ledger. events: our side where it is not the ledger (columns event, service, plan,
    zone, band, quantity, allowance_quantity, charge_nanos, tax_nanos). out: Parquet of every row that differs.

    Raises LedgerError: a column that the file does not have, or a text that is no number or time.
    """
    _read_theirs(connection, incumbent, how, token_key)
    _read_ours(connection, how, events)
    _classify(connection, how)
    if out is not None:
        connection.execute(f"COPY (SELECT * FROM judged WHERE kind <> 'same' ORDER BY absolute_nanos DESC, kind, k0) "
                           f"TO '{_quoted(str(out))}' (FORMAT parquet)")
    found = [Difference(row[0], row[1], row[2], row[3], int(row[4]), int(row[5]), int(row[6]))
             for row in connection.execute("""
        SELECT kind, detail, coalesce(service, ''), coalesce(plan, ''), count(*), sum(nanos) AS net,
               sum(absolute_nanos) AS worst
        FROM judged WHERE kind <> 'same' GROUP BY ALL ORDER BY worst DESC, kind, detail, 3, 4""").fetchall()]
    counts = connection.execute("""
        SELECT (SELECT count(*) FROM ours), (SELECT count(*) FROM theirs),
               count(*) FILTER (kind NOT IN ('missing_here', 'missing_there')), count(*) FILTER (kind = 'same'),
               coalesce((SELECT sum(charge) FROM ours), 0), coalesce((SELECT sum(charge) FROM theirs), 0)
        FROM judged""").fetchall()[0]
    ours, theirs, matched, same, ours_nanos, theirs_nanos = (int(n) for n in counts)
    return Compared(ours, theirs, matched, same, ours_nanos, theirs_nanos, found)


def quoted_events(results: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Our side from a quote: its priced results, by the names of their events."""
    priced = [each for each in results if "charge" in each]
    columns: dict[str, tuple[pa.DataType, list[Any]]] = {
        "event": (pa.string(), [each["id"] for each in priced]),
        "service": (pa.string(), ["" for _ in priced]),
        **{name: (pa.string(), [each[name] for each in priced]) for name in ("plan", "zone", "band")},
        **{name: (pa.int64(), [each[name] for each in priced]) for name in ("quantity", "allowance_quantity")},
        "charge_nanos": (pa.int64(), [parse_money(each["charge"]) for each in priced]),
        "tax_nanos": (pa.int64(), [parse_money(each["tax"]) if "tax" in each else None for each in priced])}
    return pa.table({name: pa.array(values, kind) for name, (kind, values) in columns.items()})


def by_class(differences: Sequence[Difference]) -> list[tuple[str, int, int, int]]:
    """(class, rows, net nanos, nanos without sign), worst first."""
    sums: dict[str, list[int]] = {}
    for each in differences:
        mine = sums.setdefault(each.kind, [0, 0, 0])
        for i, amount in enumerate((each.rows, each.nanos, each.absolute_nanos)):
            mine[i] += amount
    return sorted(((kind, *found) for kind, found in sums.items()),  # type: ignore[misc]
                  key=lambda row: (-row[3], CLASSES.index(row[0])))


def _read_theirs(connection: duckdb.DuckDBPyConnection, path: Path, how: Map, token_key: tuple[int, int] | None
                 ) -> None:
    name = _quoted(str(path))
    read = f"read_parquet('{name}')" if path.suffix == ".parquet" else \
        f"read_csv('{name}', header = true, all_varchar = true, delim = '{_quoted(how.delimiter)}')"
    try:
        connection.execute(f"CREATE TEMP VIEW incumbent AS SELECT * FROM {read}")
        columns = {row[0] for row in connection.execute("DESCRIBE incumbent").fetchall()}
    except duckdb.Error as error:
        raise LedgerError(f"{path.name} cannot be read: {str(error).splitlines()[0]}", "CSV with a header, or Parquet"
                          ) from error
    for column in how.columns:
        if column not in columns:
            raise LedgerError(f"{path.name} has no column {column!r}", "one of " + ", ".join(sorted(columns)),
                              "correct the map")
    keys = []
    for number, match in enumerate(how.match):
        if OURS[match.ours] == "msisdn":
            _add_tokens(connection, match, number, token_key)
        keys.append(f"{_their_key(match, number)} AS k{number}")
    net = f"{_nanos(how.charge)}"
    tax = "CAST(NULL AS HUGEINT)" if how.tax is None else _nanos(how.tax)
    parts = [*keys, f"{net}{f' + coalesce({tax}, 0)' if how.net and how.tax is not None else ''} AS charge",
             f"{tax} AS tax", f"{_units(how.allowance)} AS allowance", f"{_name(how.zone)} AS zone",
             f"{_name(how.band)} AS band", f"{_decimals(how)} AS decimals"]
    names = ", ".join(f"k{i}" for i in range(len(how.match)))
    try:
        connection.execute(f"""
            CREATE TEMP TABLE theirs AS SELECT {names}, count(*) AS n, sum(charge) AS charge, sum(tax) AS tax,
                sum(allowance) AS allowance, string_agg(DISTINCT zone, ' + ' ORDER BY zone) AS zone,
                string_agg(DISTINCT band, ' + ' ORDER BY band) AS band, max(max(decimals)) OVER () AS decimals
            FROM (SELECT {', '.join(parts)} FROM incumbent) GROUP BY {names}""")
    except duckdb.ConversionException as error:
        raise LedgerError(f"{path.name}: {str(error).splitlines()[0]}", "numbers and times as the map says",
                          "correct the map, or the rows") from error


def _read_ours(connection: duckdb.DuckDBPyConnection, how: Map, events: pa.Table | None) -> None:
    if events is not None:
        connection.register("_events", events)
        connection.execute("CREATE TEMP VIEW our_rows AS SELECT * FROM _events")
    else:
        connection.execute("CREATE TEMP VIEW our_rows AS SELECT *, event_id AS event FROM rated_current WHERE leg = 0")
    known = {row[0] for row in connection.execute("DESCRIBE our_rows").fetchall()}
    keys = []
    for number, match in enumerate(how.match):
        column = {"msisdn": "msisdn_token", "event_time": "event_time_us"}.get(match.ours, match.ours)
        if column not in known:
            raise LedgerError(f"match by {match.ours}: our side has no such column", "one of " + ", ".join(
                name for name in OURS if name in known), "correct the map")
        text = f"date_trunc('second', {column})" if match.ours == "event_time" else column
        keys.append(f"{text} AS k{number}")
    names = ", ".join(f"k{i}" for i in range(len(how.match)))
    tax = "tax_nanos" if "tax_nanos" in known else "NULL"
    connection.execute(f"""
        CREATE TEMP TABLE ours AS SELECT {names}, count(*) AS n, sum(charge_nanos) AS charge, sum({tax}) AS tax,
            sum(allowance_quantity) AS allowance, string_agg(DISTINCT zone, ' + ' ORDER BY zone) AS zone,
            string_agg(DISTINCT band, ' + ' ORDER BY band) AS band, any_value(service) AS service,
            any_value(plan) AS plan,
            max(max({_our_decimals()})) OVER (PARTITION BY any_value(plan)) AS decimals
        FROM (SELECT *, {', '.join(keys)} FROM our_rows) GROUP BY {names}""")


def _classify(connection: duckdb.DuckDBPyConnection, how: Map) -> None:
    """Table `judged`: a row for every key, with its class, and in words how it differs."""
    names = [f"k{i}" for i in range(len(how.match))]
    on = " AND ".join(f"o.{name} = t.{name}" for name in names)
    key = ", ".join(f"coalesce(o.{name}, t.{name}) AS {name}" for name in names)
    # One unit of the coarser of both roundings, for every row that was rounded.
    slack = f"{[10 ** (9 - d) for d in range(10)]}[least(o.decimals, t.decimals, 9) + 1] * greatest(o.n, t.n)"
    taxes = [f"abs(t.charge * 100 - o.charge * (100 {sign} {percent})) <= 100 * ({slack})"
             for percent in how.tax_percent for sign in "+-"]
    taxes += [f"abs(t.charge * (100 + {percent}) - o.charge * 100) <= 100 * ({slack})" for percent in how.tax_percent]
    if how.tax is not None:
        taxes.append("coalesce(t.tax, 0) <> coalesce(o.tax, 0) AND "
                     f"abs((t.charge - coalesce(t.tax, 0)) - (o.charge - coalesce(o.tax, 0))) <= {slack}")
    tax_same = "coalesce(t.tax, 0) = coalesce(o.tax, 0)" if how.tax is not None else "true"
    allowance_same = "coalesce(t.allowance, 0) = coalesce(o.allowance, 0)" if how.allowance is not None else "true"
    covered = f"NOT ({allowance_same})" if how.allowance is not None else \
        "o.allowance > 0 AND t.charge > o.charge"  # nothing is said of theirs: they charged what ours covers
    connection.execute(f"""
        CREATE TEMP TABLE judged AS
        WITH both_sides AS (
            SELECT {key}, o.charge AS ours, t.charge AS theirs, o.service, o.plan, o.zone AS our_zone,
                   t.zone AS their_zone, o.band AS our_band, t.band AS their_band, o.allowance AS our_allowance,
                   t.allowance AS their_allowance, o.tax AS our_tax, t.tax AS their_tax, o.n AS our_rows,
                   t.n AS their_rows,
                   CASE WHEN o.n IS NULL THEN 'missing_here' WHEN t.n IS NULL THEN 'missing_there'
                        WHEN t.charge = o.charge AND {tax_same} AND {allowance_same} THEN 'same'
                        WHEN t.n > o.n AND t.n % o.n = 0 AND t.charge = o.charge * (t.n // o.n) THEN 'duplicate'
                        WHEN t.zone IS NOT NULL AND t.zone IS DISTINCT FROM o.zone THEN 'zone'
                        WHEN t.band IS NOT NULL AND t.band IS DISTINCT FROM o.band THEN 'band'
                        WHEN {covered} THEN 'allowance'
                        WHEN o.charge <> 0 AND ({' OR '.join(f'({each})' for each in taxes) or 'false'}) THEN 'tax'
                        WHEN abs(t.charge - o.charge) <= {slack} THEN 'rounding'
                        ELSE 'other' END AS kind
            FROM ours o FULL JOIN theirs t ON {on})
        SELECT *, coalesce(theirs, 0) - coalesce(ours, 0) AS nanos,
               abs(coalesce(theirs, 0) - coalesce(ours, 0)) AS absolute_nanos,
               CASE kind WHEN 'zone' THEN coalesce(our_zone, 'none') || ' here, ' || their_zone || ' there'
                         WHEN 'band' THEN coalesce(our_band, 'none') || ' here, ' || their_band || ' there'
                         WHEN 'allowance' THEN CASE WHEN coalesce(their_allowance, 0) < our_allowance
                              THEN 'covered here, not or less there' ELSE 'covered there, not or less here' END
                         WHEN 'duplicate' THEN their_rows || ' rows there, ' || our_rows || ' here'
                         WHEN 'rounding' THEN CASE WHEN theirs > ours THEN 'higher there' ELSE 'lower there' END
                         WHEN 'tax' THEN CASE WHEN theirs = ours THEN 'another share of the same charge'
                              ELSE 'theirs is ' || format('{{:.4g}}', theirs / ours) || ' of ours' END
                         WHEN 'other' THEN CASE WHEN ours = 0 THEN 'free here'
                              WHEN theirs = 0 THEN 'free there'
                              ELSE 'theirs is ' || format('{{:.3g}}', theirs / ours) || ' of ours' END
                         ELSE '' END AS detail
        FROM both_sides""")


def _add_tokens(connection: duckdb.DuckDBPyConnection, match: Match, number: int, token_key: tuple[int, int] | None
                ) -> None:
    """Tokens of their numbers, as ours have them; the numbers themselves go nowhere else."""
    if token_key is None:
        raise LedgerError("match by msisdn: there is no home whose keys make tokens of numbers", "--home DIR")
    column = f'"{match.theirs.replace(chr(34), chr(34) * 2)}"'
    table = connection.sql(f"SELECT DISTINCT CAST({column} AS VARCHAR) AS value FROM incumbent "
                           f"WHERE {column} IS NOT NULL ORDER BY 1").to_arrow_table()
    digits = pa.array([text.strip().removeprefix("+").removeprefix("00") for text in table["value"].to_pylist()],
                      pa.large_string())
    connection.register(f"_tokens{number}", pa.table({
        "value": table["value"], "token": pa.array(tokens_of(digits, Identity.MSISDN, token_key))}))
    connection.execute(f"CREATE TEMP TABLE tokens{number} AS SELECT * FROM _tokens{number}")


def _their_key(match: Match, number: int) -> str:
    column = _column(match.theirs)
    kind = OURS[match.ours]
    if kind == "msisdn":
        return f"(SELECT token FROM tokens{number} WHERE value = CAST({column} AS VARCHAR))"
    if kind == "number":
        return f"CAST({column} AS BIGINT)"
    if kind == "time":
        text = f"CAST({column} AS VARCHAR)"
        if not match.format:
            return f"date_trunc('second', CAST({text} AS TIMESTAMPTZ))"
        local = f"strptime({text}, '{_quoted(match.format)}')"
        return f"date_trunc('second', timezone('{match.time_zone}', CAST({local} AS TIMESTAMP)))"
    return _renamed(f"CAST({column} AS VARCHAR)", match.names)


def _nanos(amount: Amount) -> str:
    """Exact: decimal text times decimal unit, never a float."""
    return f"CAST(CAST(CAST({_column(amount.column)} AS VARCHAR) AS DECIMAL(28, 9)) * CAST({amount.unit} AS " \
           f"DECIMAL(10, 9)) * 1000000000 AS HUGEINT)"


def _units(amount: Amount | None) -> str:
    return "CAST(NULL AS HUGEINT)" if amount is None else \
        f"CAST(CAST(CAST({_column(amount.column)} AS VARCHAR) AS DECIMAL(28, 3)) * CAST({amount.unit} AS " \
        "DECIMAL(18, 3)) AS HUGEINT)"


def _name(named: Named | None) -> str:
    return "CAST(NULL AS VARCHAR)" if named is None else _renamed(_column(named.column), named.names)


def _renamed(column: str, names: dict[str, str]) -> str:
    cases = "".join(f" WHEN '{_quoted(theirs)}' THEN '{_quoted(ours)}'" for theirs, ours in names.items())
    return f"CASE {column}{cases} ELSE {column} END" if cases else column


def _decimals(how: Map) -> str:
    """Decimals of a unit of currency that they round to."""
    if how.decimals is not None:
        return str(how.decimals)
    unit = max(0, -int(_exponent(how.charge.unit)))
    return f"length(split_part(CAST({_column(how.charge.column)} AS VARCHAR), '.', 2)) + {unit}"


def _our_decimals() -> str:
    """Decimals that a charge of ours has; the most of a group count."""
    return "CASE WHEN charge_nanos = 0 THEN 0 ELSE 9 - (length(CAST(abs(charge_nanos) AS VARCHAR)) - " \
           "length(rtrim(CAST(abs(charge_nanos) AS VARCHAR), '0'))) END"


def _exponent(unit: str) -> int:
    _, _, fraction = unit.partition(".")
    return -len(fraction.rstrip("0"))


def _column(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return text.replace("'", "''")
