"""What a run ends with: a table per source in which every record, container, unit and cent is accounted for."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.controls import Outcome, control, run_controls
from pipelines.home import Home
from pipelines.ledger import Ledger
from pipelines.ledger.sql import open_duckdb
from pipelines.run import RunSummary

CLASSES = ("rated", "suspended", "duplicate", "filtered", "matched", "merged", "held")

# Units that were charged and money, per source; value at risk is an estimate and says so.
_UNITS_AND_MONEY = """
WITH charged AS (
    SELECT source, sum(quantity) FILTER (unit = 'second') AS seconds, sum(quantity) FILTER (unit = 'octet') AS octets,
           sum(quantity) FILTER (unit = 'message') AS messages, sum(charge_nanos) AS charged,
           sum(uncollected_nanos) AS uncollected
    FROM rated GROUP BY source),
risk AS (SELECT source, sum(estimate_nanos) AS at_risk FROM suspense GROUP BY source)
SELECT source, coalesce(seconds, 0), coalesce(octets, 0), coalesce(messages, 0), coalesce(charged, 0),
       coalesce(uncollected, 0), coalesce(at_risk, 0)
FROM charged FULL JOIN risk USING (source)
"""


def print_run(console: Console, home: Home, summary: RunSummary) -> bool:
    """The tables of one ledger after a run. Returns whether every law held."""
    ledger = Ledger.open(home.ledger)
    connection = open_duckdb(ledger)
    rate = summary.records / summary.seconds if summary.seconds else 0
    console.print(f"\n{summary.files:,} files, {summary.records:,} records, {summary.rated:,} events rated in "
                  f"{summary.seconds:.1f} s ({rate:,.0f} records/s)")
    for message in summary.messages:
        console.print(f"[yellow]{message}[/]")
    console.print(conservation_table(connection))
    outcomes = run_controls(connection)
    console.print(control_table(outcomes))
    return not any(outcome.red for outcome in outcomes)


def conservation_table(connection: duckdb.DuckDBPyConnection) -> Table:
    """Law 3 per source, with units and money beside the containers."""
    money = {row[0]: row[1:] for row in connection.execute(_UNITS_AND_MONEY).fetchall()}
    total = [sum(column) for column in zip(*money.values(), strict=True)] if money else [0] * 6
    table = Table(title="Every container accounted for: in + recycled = all classes", title_justify="left")
    table.add_column("source")
    for name in ("records", "containers", "recycled", *CLASSES, "difference"):
        table.add_column(name, justify="right")
    for name in ("seconds", "MB", "messages", "charged", "uncollected", "at risk (est.)"):
        table.add_column(name, justify="right", style="cyan")
    found = connection.sql(control("conservation").sql)
    for row in found.fetchall():
        values = dict(zip(found.columns, row, strict=True))
        source = values["source"]
        seconds, octets, messages, *nanos = total if source is None else money.get(source, [0] * 6)
        if source is None:
            table.add_section()
        table.add_row(source or "total", *(_count(values[name]) for name in ("records", "containers", "recycled")),
                      *(_count(values[name]) for name in CLASSES), _difference(values["difference"]),
                      _count(seconds), f"{octets / 1e6:,.1f}" if octets else "", _count(messages),
                      *(_money(n) for n in nanos))
    return table


def control_table(outcomes: Sequence[Outcome]) -> Table:
    """Each control with what it said."""
    table = Table(title="Controls (SQL files in pipelines/controls)", title_justify="left")
    for name in ("control", "proves", "rows", "breaks", ""):
        table.add_column(name, justify="right" if name in ("rows", "breaks") else "left")
    for outcome in outcomes:
        verdict = Text("holds", "green") if outcome.green else Text("BROKEN", "bold red") if outcome.red \
            else Text("found", "yellow")
        table.add_row(outcome.control.name, outcome.control.title, f"{outcome.rows:,}", f"{outcome.breaks:,}", verdict)
    return table


def rows_table(connection: duckdb.DuckDBPyConnection, query: str, title: str) -> Table:
    """The answer to a query as a table: numbers right, all else left."""
    found = connection.sql(query)
    table = Table(title=title, title_justify="left")
    numeric = [str(kind) not in ("VARCHAR", "BOOLEAN") for kind in found.types]
    for name, number in zip(found.columns, numeric, strict=True):
        table.add_column(name, justify="right" if number else "left")
    for row in found.fetchall():
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _count(value: int | None) -> str:
    return f"{int(value):,}" if value else ""


def _difference(value: int) -> Text:
    return Text("0", "green") if value == 0 else Text(f"{value:,}", "bold red")


def _money(nanos: int) -> str:
    """Nano-units with two decimals, exactly; the currency is the operator's."""
    return f"{Decimal(int(nanos)).scaleb(-9):,.2f}" if nanos else ""
