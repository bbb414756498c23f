"""`tarifa compare`: an incumbent's figures beside ours."""

from pathlib import Path
from typing import Annotated

import duckdb
import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from pipelines.apps.opening import keys_of, read_ledger
from pipelines.apps.options import BesideOption, HomeOption, LedgerOption, console, places
from pipelines.incumbent.compare import Compared, by_class, compare, quoted_events
from pipelines.incumbent.mapping import read_map
from pipelines.ledger.sql import open_duckdb
from pipelines.quoting import quote_files
from reference_data.tariffs.store import open_tariffs
from schemas.errors import ChargingError
from schemas.money import format_money


def register(app: typer.Typer) -> None:
    """Hang this module's command into the command line."""
    app.command("compare")(compare_command)


def compare_command(
    incumbent: Annotated[Path, typer.Option("--incumbent", exists=True, dir_okay=False,
                                            help="Their rated usage: CSV with a header, or Parquet.")],
    how: Annotated[Path, typer.Option("--map", exists=True, dir_okay=False, help="What their columns mean: "
                                      "docs/corrections.md.")],
    events: Annotated[Path | None, typer.Option("--events", help="Usage in the format of `tarifa quote`, instead of "
                                                "what the ledger has charged.")] = None,
    tariff: Annotated[Path | None, typer.Option("--tariff", help="With --events: folder of tariffs.")] = None,
    balances: Annotated[Path | None, typer.Option("--balances", help="With --events: accounts, as for quote.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Parquet file of every row that differs.")] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Lines to show.")] = 30,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Class every difference between an incumbent's figures and ours, with its money, worst first."""
    mapped = read_map(how)
    if events is not None:
        if tariff is None:
            raise ChargingError("--events without --tariff", "--tariff DIR that prices them")
        quoted = quote_files(open_tariffs(tariff), events, balances, None, False)
        with duckdb.connect() as connection:
            _show(compare(connection, incumbent, mapped, None, quoted_events(quoted.results), out), rows)
        return
    _, place = places(home, input_folder, ledger)
    with open_duckdb(read_ledger(place)) as connection:
        _show(compare(connection, incumbent, mapped, keys_of(place).token_key, out=out), rows)


def _show(found: Compared, rows: int) -> None:
    console.print(f"{found.theirs:,} of theirs, {found.ours:,} of ours, {found.matched:,} matched, {found.same:,} the "
                  f"same; theirs {format_money(found.theirs_nanos)}, ours {format_money(found.ours_nanos)}")
    if not found.differences:
        console.print("Nothing differs.")
        return
    classes, kinds = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0)), Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("class", "rows", "theirs less ours", "without sign"):
        classes.add_column(name, justify="left" if name == "class" else "right")
    for kind, count, net, absolute in by_class(found.differences):
        classes.add_row(kind, f"{count:,}", format_money(net), format_money(absolute))
    console.print(classes)
    for name in ("class", "how", "service", "plan", "rows", "theirs less ours"):
        kinds.add_column(name, justify="right" if name in ("rows", "theirs less ours") else "left")
    for each in found.differences[:rows]:
        kinds.add_row(each.kind, escape(each.detail or each.meaning), each.service, escape(each.plan),
                      f"{each.rows:,}", format_money(each.nanos))
    console.print(kinds)
    if len(found.differences) > rows:
        console.print(f"{len(found.differences) - rows:,} more lines; --rows N shows them, --out FILE keeps every row.")
