"""`tarifa rerate`, `tarifa backout`, `tarifa whatif`."""

import getpass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.apps.options import BesideOption, HomeOption, LedgerOption, console, now_us, places
from pipelines.corrections.backout import Delivery, backout
from pipelines.corrections.layers import FAR_AHEAD_US, LONG_AGO_US
from pipelines.corrections.prepare import Prepared
from pipelines.corrections.rerate import Request, rerate
from pipelines.corrections.whatif import whatif
from pipelines.home import Input
from reference_data.operator import load_operator
from schemas.columns import I64
from schemas.errors import ChargingError
from schemas.money import format_money
from schemas.timepoint import parse_time

FromOption = Annotated[str, typer.Option(
    "--from", help="Usage from then on: 2026-10-21, or with a time; the operator's zone unless it has an offset.")]
ToOption = Annotated[str, typer.Option("--to", help="Usage before then.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would come of it; commit nothing.")]
WhoOption = Annotated[str, typer.Option("--who", help="On whose account. Default: the user of this machine.")]
WhyOption = Annotated[str, typer.Option("--why", help="Why, in a few words; it is kept with the correction.")]
AsChargedOption = Annotated[Path | None, typer.Option(
    "--as-charged", help="Folder of the tariffs that the past was charged under, for homes that did not keep them.")]
TrustOption = Annotated[bool, typer.Option(
    "--trust-ledger", help="Correct even where the past, replayed as it was, gives other balances.")]


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.command("rerate")(rerate_command)
    app.command("backout")(backout_command)
    app.command("whatif")(whatif_command)


def rerate_command(
    start: FromOption = "", stop: ToOption = "",
    tariff: Annotated[str, typer.Option("--tariff", help="A version of the operator's, or a folder of tariffs. "
                                        "Default: the operator's as they are now.")] = "",
    accounts: Annotated[str, typer.Option("--accounts", help="Only usage of these: ids, comma separated, or a file "
                                          "with one a line. Who shares a balance with them comes along.")] = "",
    dry_run: DryOption = False, who: WhoOption = "", why: WhyOption = "", as_charged: AsChargedOption = None,
    trust: TrustOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Charge the past again under other tariffs, and post the differences."""
    source, place = places(home, input_folder, ledger)
    chosen = account_ids(accounts)
    done = rerate(source, place, Request(
        now_us(), who or getpass.getuser(), why, point(source, start, LONG_AGO_US), point(source, stop, FAR_AHEAD_US),
        tariff, chosen, as_charged, trust), dry_run)
    print_correction(done, dry_run)


def backout_command(
    file: Annotated[list[str] | None, typer.Option("--file", help="A file by its name or number; may be repeated.")
                    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=0, help="What one commit of mediation brought: its number.")] = 0,
    start: FromOption = "", stop: ToOption = "",
    element: Annotated[str, typer.Option("--source", help="Only records of this network element.")] = "",
    dry_run: DryOption = False, who: WhoOption = "", why: WhyOption = "",
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Take a bad delivery back; its records are taken in again should they come again."""
    source, place = places(home, input_folder, ledger)
    delivery = Delivery(file or (), batch, point(source, start, LONG_AGO_US), point(source, stop, FAR_AHEAD_US),
                        element)
    done = backout(source, place, delivery, now_us(), who or getpass.getuser(), why, dry_run)
    print_correction(done, dry_run)
    if not done.changes and not dry_run:
        console.print("It had charged nothing; its records may come again.")


def whatif_command(
    tariff: Annotated[Path, typer.Option("--tariff", exists=True, file_okay=False, help="Folder of tariffs.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for revenue.parquet and unrated.parquet.")] = None,
    start: FromOption = "", stop: ToOption = "",
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """What the past would have brought under other tariffs. Posts nothing."""
    source, place = places(home, input_folder, ledger)
    found = whatif(source, place, tariff, point(source, start, LONG_AGO_US), point(source, stop, FAR_AHEAD_US), out)
    console.print(f"{found.events:,} events charged again")
    for name in ("plan", "zone", "segment"):
        rows = found.by(name)
        several = len({currency for _, currency, _, _ in rows}) > 1
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in (name, "charged", "what if", "change", "%"):
            table.add_column(column, justify="left" if column == name else "right")
        for value, currency, actual, other in rows:
            share = f"{(other - actual) * 1000 // actual / 10:+.1f}" if actual else ""
            table.add_row(f"{value or 'none'}{' ' + currency if several else ''}", _cents(actual), _cents(other),
                          _cents(other - actual), share)
        console.print(table)
    for side, reasons in found.unrated.items():
        for reason, count in sorted(reasons.items()):
            console.print(f"{side}: {count:,} events set aside, {reason}")


def _cents(nanos: int) -> str:
    """Money to the cent, half away from zero: a table for eyes; the files are exact."""
    cents = (abs(nanos) + 5_000_000) // 10_000_000
    return f"{'-' if nanos < 0 and cents else ''}{format_money(cents * 10_000_000)}"


def print_correction(done: Prepared, dry_run: bool) -> None:
    """What a correction did, or would do."""
    sums = done.sums
    console.print(f"{done.accounts:,} accounts and {done.events:,} events computed again"
                  + ("" if done.proved else "; that the past replays as it was could not be shown"))
    if not done.changes:
        console.print("Nothing differs." if done.events else
                      "Nothing differs: no usage is concerned (no such account, or none in that stretch of time).")
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("", "count"):
        table.add_column(name, justify="right" if name else "left")
    for name, count in (("charges taken back", sums.reversed_rows), ("charges in their place", sums.replaced_rows),
                        ("events set aside", sums.suspended), ("postings", sums.postings),
                        ("accounts that differ", sums.accounts)):
        table.add_row(name, f"{count:,}")
    for title, nanos in (("charges", sums.charge_nanos), ("of it uncollected", sums.uncollected_nanos),
                         ("balances", sums.balance_nanos)):
        for currency, amount in nanos.items():
            table.add_row(f"{title}, {currency}", f"{'+' if amount > 0 else ''}{format_money(amount)}")
    console.print(table)
    console.print("Nothing was committed." if dry_run else f"Committed at journal position {done.base:,}.")


def point(source: Input, text: str, otherwise: int) -> int:
    """Microseconds UTC of a date or time as an operator writes it."""
    if not text:
        return otherwise
    try:
        return parse_time(text, load_operator(source.operator / "operator.yaml").time_zone)
    except ValueError:
        raise ChargingError(f"time {text!r}", "2026-10-21, or 2026-10-21T08:00 with or without an offset") from None


def account_ids(text: str) -> I64 | None:
    """Ids, ascending; None when none are given."""
    if not text:
        return None
    words = Path(text).read_text().split() if Path(text).is_file() else text.split(",")
    try:
        return np.unique(np.array([int(word) for word in words], np.int64))
    except ValueError:
        raise ChargingError(f"accounts {text!r}", "numbers, comma separated, or a file with one a line") from None
