"""`tarifa import balances`, `tarifa period close`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.apps.correct_commands import point
from pipelines.apps.options import BesideOption, HomeOption, LedgerOption, console, home_of, now_us, places
from pipelines.home import Home, Input
from pipelines.importing.balance_file import shown, words
from schemas.errors import ReferenceDataError
from schemas.money import format_money

DryOption = Annotated[bool, typer.Option("--dry-run", help="Check everything; commit nothing.")]


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    group = typer.Typer(no_args_is_help=True, help="Coming from another system.")
    group.command("balances")(balances_command)
    app.add_typer(group, name="import")
    period = typer.Typer(no_args_is_help=True, help="Periods of accounts.")
    period.command("close")(close_command)
    app.add_typer(period, name="period")


def close_command(
    through: Annotated[str, typer.Option("--through", help="Last day of the period: cycles that end with it or before, "
                                         "in each account's own zone.")] = "",
    until: Annotated[str, typer.Option("--until", help="Instead: cycles that end by an instant.")] = "",
    time: Annotated[str, typer.Option("--time", help="When it is closed. Default: now.")] = "",
    dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Close a period for good: late usage of it meets what each plan says under `late_usage`."""
    from pipelines.periods import close_period

    source, place = places(home, input_folder, ledger)
    done = close_period(source, place, through, until, point(source, time, now_us()), dry_run)
    if done.known:
        console.print(f"The period {done.words} was closed before; nothing changes.")
        return
    for title, sums in (("expired", done.expired), ("carried over", done.rolled)):
        for (unit, currency), amount in sorted(sums.items()):
            console.print(f"{title}: " + (f"{format_money(amount)} {currency}" if currency
                                            else f"{amount:,} {unit}s"))
    console.print(f"The period {done.words} "
                  + ("would be closed; nothing was committed." if dry_run else "is closed."))


def balances_command(
    file: Annotated[Path, typer.Argument(help="Balances: CSV with a header, or Parquet.", metavar="FILE")],
    at: Annotated[str, typer.Option("--at", help="The time for which they are: 2026-07-01, or with a time; the "
                                    "operator's zone unless it has an offset.")],
    totals: Annotated[Path | None, typer.Option(
        "--totals", help="CSV of control totals: kind,name,currency,count,sum. Default: its last lines.")] = None,
    dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Let accounts begin with the balances of another system: all of them, or none if anything is wrong."""
    from pipelines.importing.balances import Request, import_balances

    source, place = beside(home, input_folder, ledger)
    done = import_balances(source, place, Request(file, at, totals), dry_run)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("balances", "rows", "sum"):
        table.add_column(name, justify="left" if name == "balances" else "right")
    for group, total in sorted(done.totals.items()):
        table.add_row(words(group), f"{total.count:,}", shown(group, total.sum))
    console.print(table)
    console.print("The control totals agree.")
    if done.known == done.rows:
        console.print("All of it was imported before; nothing changes.")
    elif dry_run:
        console.print("Nothing was committed.")
    else:
        console.print(f"{done.rows - done.known:,} rows are posted against the account `opening`"
                      + (f"; {done.known:,} were before." if done.known else "."))


def beside(home: Path | None, input_folder: Path | None, ledger: str = "") -> tuple[Input, Home]:
    """Input and home, each by default what lies beside the other; the home need not be there yet."""
    place = home_of(home, input_folder, ledger)
    source = Input(input_folder if input_folder is not None else place.root.parent)
    if not source.operator.is_dir():
        raise ReferenceDataError(f"no operator's folder at {source.operator}", "--input DIR with operator/ in it")
    return source, place
