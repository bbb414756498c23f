"""`tarifa sql`: DuckDB over the ledger's views."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import duckdb
import pyarrow as pa
import typer
from rich.markup import escape
from rich.table import Table

from pipelines.apps.opening import keys_of, read_ledger
from pipelines.apps.options import (
    HomeOption,
    JsonOption,
    LedgerOption,
    RevealOption,
    WhyOption,
    console,
    home_of,
    now_us,
    require_why,
)
from pipelines.ledger.sql import asking
from pipelines.vault import Vault
from pipelines.vault.reveal import reveal_columns
from schemas.errors import LedgerError

_EXAMPLE = "SELECT service, count(*), sum(charge_nanos) / 1e9 AS charged FROM rated GROUP BY ALL"


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.command("sql")(sql_command)


def sql_command(
    query: Annotated[str, typer.Argument(help=f"Such as \"{_EXAMPLE}\".")] = "",
    file: Annotated[Path | None, typer.Option("--file", "-f", exists=True, dir_okay=False,
                     help="Read it from here.")] = None,
    as_of: Annotated[int | None, typer.Option("--as-of", min=1, help="As of a published cut (view "
                     "ledger_cuts).")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False, as_json: JsonOption = False,
    most: Annotated[int, typer.Option("--rows", min=1, help="At most so many rows in a table on screen.")] = 200,
    reveal: RevealOption = False, why: WhyOption = "", home: HomeOption = None, ledger: LedgerOption = "",
) -> None:
    """Ask the ledger. Views: rated, posting, balance, usage, suspense, suspense_open, file_audit and so on.

    --reveal adds a column with the value to every column of tokens in the result, and to nothing else.
    """
    if bool(query) == (file is not None):
        raise LedgerError("one query is needed", "a QUERY or -f FILE", f'such as tarifa sql "{_EXAMPLE}"')
    place = home_of(home, None, ledger)
    text = query if file is None else file.read_text(encoding="utf-8")
    with asking(read_ledger(place), as_of) as connection:
        connection.execute("SET python_enable_replacements = false")  # a name is a view, never a variable of ours
        try:
            answer = connection.sql(text)
            table: pa.Table = answer.to_arrow_table() if answer is not None else pa.table({})
        except duckdb.Error as error:
            raise LedgerError(f"the query cannot be answered: {' '.join(str(error).split())}") from None
    if reveal:
        who = require_why(why)
        with Vault(place.vault, keys_of(place), write=False) as vault:
            table = reveal_columns(vault, table, who, why, now_us())
    names, rows = table.column_names, list(zip(*(c.to_pylist() for c in table.columns), strict=True))
    if as_json:
        for row in rows:
            typer.echo(json.dumps(dict(zip(names, row, strict=True)), default=str, ensure_ascii=False))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
    else:
        shown = Table(*(escape(name) for name in names))
        for row in rows[:most]:
            shown.add_row(*("" if value is None else escape(str(value)) for value in row))
        console.print(shown)
        console.print(f"{len(rows):,} rows" + (f", {most:,} shown; --rows N shows more" if len(rows) > most else ""))
