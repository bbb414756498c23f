"""What a run ends with: a table per source in which every record, container, unit and cent is accounted for."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.controls import Outcome, control, run_controls
from pipelines.home import Home
from pipelines.ledger import Ledger
from pipelines.ledger.sql import asking
from pipelines.run import RunSummary

CLASSES = ("rated", "suspended", "duplicate", "filtered", "matched", "merged", "held", "withdrawn")

# Units that were charged and money, per source; value at risk is an estimate and says so. What charge legs charge to
# further parties is apart, so that no unit counts twice.
_UNITS_AND_MONEY = """
WITH charged AS (
    SELECT source, sum(quantity) FILTER (unit = 'second') AS seconds, sum(quantity) FILTER (unit = 'octet') AS octets,
           sum(quantity) FILTER (unit = 'message') AS messages, sum(charge_nanos) AS charged,
           sum(uncollected_nanos) AS uncollected
    FROM rated WHERE leg = 0 GROUP BY source),
further AS (SELECT source, sum(charge_nanos) AS legs FROM rated WHERE leg > 0 GROUP BY source),
risk AS (SELECT source, sum(estimate_nanos) AS at_risk FROM suspense GROUP BY source)
SELECT source, coalesce(seconds, 0), coalesce(octets, 0), coalesce(messages, 0), coalesce(charged, 0),
       coalesce(uncollected, 0), coalesce(at_risk, 0), coalesce(legs, 0)
FROM charged FULL JOIN risk USING (source) FULL JOIN further USING (source)
"""


def print_run(console: Console, home: Home, summary: RunSummary) -> bool:
    """The tables of one ledger after a run. Returns whether every law held."""
    rate = summary.records / summary.seconds if summary.seconds else 0
    console.print(f"\n{summary.files:,} files, {summary.records:,} records, {summary.rated:,} events rated in "
                  f"{summary.seconds:.1f} s ({rate:,.0f} records/s)")
    for message in summary.messages:
        console.print(f"[yellow]{message}[/]")
    with asking(Ledger.open(home.ledger)) as connection:
        console.print()
        console.print(conservation_table(connection))
        console.print()
        console.print(money_table(connection))
        console.print()
        aside = connection.execute("SELECT count(*) FROM leg_suspense_open").fetchall()[0][0]
        if aside:
            console.print(f"[yellow]{aside:,} charge legs are set aside:[/] view leg_suspense_open says why\n")
        outcomes = run_controls(connection)
    console.print(control_table(outcomes))
    return not any(outcome.red for outcome in outcomes)


def conservation_table(connection: duckdb.DuckDBPyConnection) -> Table:
    """Law 3 per source, in containers; classes that nothing is in are left out."""
    found = connection.sql(control("conservation").sql)
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    shown = [name for name in ("records", "containers", "recycled", *CLASSES)
             if name in ("records", "containers", "rated") or any(row[name] for row in rows)]
    table = _wide_table("Every usage container accounted for: in + recycled = sum of all classes",
                        [*shown, "diff"])
    for row in rows:
        if row["source"] is None:
            table.add_section()
        table.add_row(row["source"] or "total", *(_count(row[name]) for name in shown), _difference(row["difference"]))
    return table


def money_table(connection: duckdb.DuckDBPyConnection) -> Table:
    """Units and money per source; what is in suspense has an estimated value only."""
    rows = sorted(connection.execute(_UNITS_AND_MONEY).fetchall())
    if rows:
        totals = [sum(column) for column in list(zip(*rows, strict=True))[1:]]
        rows.append(("total", *totals))
    legs = any(row[-1] for row in rows)
    table = _wide_table("The same in units and money (* suspended: an estimate)",
                        ["seconds", "MB", "messages", "charged", "uncollected", "at risk*",
                         *(["to others"] if legs else [])])
    for row in rows:
        source, seconds, octets, messages, *nanos = row
        if source == "total":
            table.add_section()
        table.add_row(source, _count(seconds), f"{octets / 1e6:,.1f}" if octets else "", _count(messages),
                      *(_money(n) for n in (nanos if legs else nanos[:-1])))
    return table


def _wide_table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False,
                  padding=(0, 0, 0, 1))
    table.add_column("source", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def control_table(outcomes: Sequence[Outcome]) -> Table:
    """Each control with what it said."""
    table = Table(title="Controls (SQL files in pipelines/controls)", title_justify="left", box=box.SIMPLE_HEAD,
                  pad_edge=False)
    for name in ("control", "proves", "rows", "breaks", ""):
        table.add_column(name, justify="right" if name in ("rows", "breaks") else "left")
    for outcome in outcomes:
        verdict = Text("holds", "green") if outcome.green else Text("BROKEN", "bold red") if outcome.red \
            else Text("found", "yellow")
        table.add_row(outcome.control.name, outcome.control.title.partition(":")[0], f"{outcome.rows:,}",
                      f"{outcome.breaks:,}", verdict)
    return table


def rows_table(connection: duckdb.DuckDBPyConnection, query: str, title: str) -> Table:
    """The answer to a query as a table: numbers right, all else left."""
    found = connection.sql(query)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
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
