"""`tarifa suspense list | show | recycle | write-off`."""

import getpass
from dataclasses import asdict
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from pipelines.apps.explain_commands import print_json, print_record, record_facts, tokens_of
from pipelines.apps.opening import lineage, note_look, read_ledger
from pipelines.apps.options import (
    BesideOption,
    HomeOption,
    JsonOption,
    LedgerOption,
    RevealOption,
    WhyOption,
    console,
    places,
)
from pipelines.recycle import recycle, summary, write_off
from pipelines.set_aside_legs import STAGE as LEG
from pipelines.set_aside_legs import open_legs
from pipelines.suspense import Choice, Group, actions_at, groups, open_rows, row_at
from reference_data.tariffs.compile import load_tariffs
from schemas.errors import LedgerError
from schemas.money import format_money

ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only rows with this reason, such as no_rate.")]
StageOption = Annotated[str | None, typer.Option("--stage", help="Only rows set aside at this stage; leg: only charge "
                                                 "legs.")]
SourceOption = Annotated[str | None, typer.Option("--source", help="Only rows of this network element.")]
FileOption = Annotated[str | None, typer.Option("--file", help="Only rows of this file: its name or number.")]
AllOption = Annotated[bool, typer.Option("--all", help="All open rows.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would come of it; commit nothing.")]
WhoOption = Annotated[str, typer.Option("--who", help="On whose account. Default: the user of this machine.")]

suspense = typer.Typer(no_args_is_help=True, help="What was set aside: look at it, take it back in, or write it off.")


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.add_typer(suspense, name="suspense")


@suspense.command("list")
def list_command(
    reason: ReasonOption = None, stage: StageOption = None, source: SourceOption = None, file: FileOption = None,
    by_source: Annotated[bool, typer.Option("--by-source", help="A line for each network element.")] = False,
    rows: Annotated[int, typer.Option("--rows", min=0, help="Show so many rows instead of groups.")] = 0,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "", as_json: JsonOption = False,
) -> None:
    """Open rows in groups by stage, reason and source, with an estimate of the value at risk."""
    operator, place = places(home, input_folder, ledger)
    choice = Choice(reason, stage, source, file)
    if rows:
        found_rows = open_rows(read_ledger(place), choice, rows).to_pylist()
        legs = open_legs(read_ledger(place), choice.parameters, rows - len(found_rows)).to_pylist()
        _list_rows([*found_rows, *(row | {"stage": f"{LEG} {row['leg']}"} for row in legs)], as_json)
        return
    found = groups(read_ledger(place), choice, load_tariffs(operator.operator / "tariffs"))
    if as_json:
        print_json([asdict(group) for group in found])
        return
    if not found:
        console.print("Nothing is in suspense.")
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("stage", "reason", "source", "rows", "estimate", "oldest"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("rows", "estimate") else "left")
    for group in found if by_source else _by_reason(found):
        table.add_row(group.stage, group.reason, escape(group.source), f"{group.rows:,}",
                      _rounded(group.estimate_nanos) if group.estimated_rows else "unknown",
                      (group.oldest or "")[:10])
    table.add_section()
    table.add_row("all", "", "", f"{sum(g.rows for g in found):,}", _rounded(sum(g.estimate_nanos for g in found)))
    console.print(table)
    console.print("The estimate is the quantity at the service's average price: no charge, only a sense of size.")


def _by_reason(found: list[Group]) -> list[Group]:
    """Groups of all sources together; `source` then tells which, or how many."""
    parts: dict[tuple[str, str], list[Group]] = {}
    for group in found:
        parts.setdefault((group.stage, group.reason), []).append(group)
    joined = [Group(stage, reason, mine[0].source if len(mine) == 1 else f"{len(mine)} sources",
                    sum(g.rows for g in mine), sum(g.files for g in mine), sum(g.estimate_nanos for g in mine),
                    sum(g.estimated_rows for g in mine), min((g.oldest for g in mine if g.oldest), default=None),
                    max((g.newest for g in mine if g.newest), default=None)) for (stage, reason), mine in parts.items()]
    return sorted(joined, key=lambda g: (-g.rows, g.stage, g.reason))


def _rounded(nanos: int) -> str:
    """An estimate to the cent; more would pretend to be known."""
    return format_money((nanos + 5_000_000) // 10_000_000 * 10_000_000)


def _list_rows(rows: list[dict[str, object]], as_json: bool) -> None:
    names = ("event_id", "stage", "reason", "source", "file_name", "record_offset", "container_index", "service",
             "quantity", "since")
    picked = [{name: row[name] for name in names} for row in rows]
    if as_json:
        print_json(picked)
        return
    table = Table(*names)
    for row in picked:
        table.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
    console.print(table)


@suspense.command("show")
def show_command(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="Event id, as `suspense list --rows N` shows it.")],
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
    reveal: RevealOption = False, why: WhyOption = "", as_json: JsonOption = False,
) -> None:
    """One row: why it was set aside, where its bytes lie, and what they say as far as they can be read."""
    source, place = places(home, input_folder, ledger)
    book = read_ledger(place)
    rows = row_at(book, event_id)
    done = actions_at(book, event_id)
    with lineage(source, place) as found:
        records = [found.record(*origin) for origin in
                   sorted({(r["file_id"], r["record_offset"], r["record_length"]) for r in rows if r["file_id"]})]
    if reveal:
        note_look(place, why, tokens_of(rows))
    if as_json:
        print_json({"rows": rows, "actions": done, "records": [record_facts(r, reveal) for r in records]})
        return
    for row in rows:
        stage = f"leg {row['leg']}" if "leg" in row else row["stage"]
        at = "" if row["fault_offset"] is None else f", at octet {row['fault_offset']:,}"
        console.print(f"[bold]{row['reason']}[/] at stage {stage}{at}; container {row['container_index']}, "
                      f"{'open' if row['open'] else 'closed'}", highlight=False)
    for action in done:
        console.print(f"{action['action']} by {escape(action['who'])}: {escape(action['why'])} "
                      f"({action['stage']}: {action['reason']})", highlight=False)
    for record in records:
        print_record(record, reveal)


@suspense.command("recycle")
def recycle_command(
    reason: ReasonOption = None, stage: StageOption = None, source: SourceOption = None, file: FileOption = None,
    everything: AllOption = False, dry_run: DryOption = False, why: WhyOption = "the cause was mended",
    who: WhoOption = "", home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take rows back in once their cause is mended. Rows that would be set aside for the same reason stay."""
    choice = _chosen(reason, stage, source, file, everything)
    operator, place = places(home, input_folder, ledger)
    outcomes = recycle(operator, place, choice, who or getpass.getuser(), why, dry_run)
    found = summary(outcomes)
    if as_json:
        print_json([dict(zip(("stage", "reason", "becomes", "why", "rows", "charge_nanos"), row, strict=True))
                    for row in found])
        return
    if not found:
        console.print("No open row is meant by that.")
        return
    table = Table("stage", "reason", "becomes", "why", "rows", "charge")
    for row_stage, row_reason, becomes, cause, rows, nanos in found:
        same = (becomes, cause) == ("suspended", f"{row_stage}: {row_reason}")
        table.add_row(row_stage, row_reason, "stays" if same else becomes, "" if same else escape(cause), f"{rows:,}",
                      format_money(nanos) if nanos else "")
    console.print(table)
    moved = sum(outcome.moved for outcome in outcomes)
    console.print(f"{moved:,} of {len(outcomes):,} rows {'would be' if dry_run else 'were'} taken back in."
                  + (" Nothing was committed." if dry_run else ""))


@suspense.command("write-off")
def write_off_command(
    reason: ReasonOption = None, stage: StageOption = None, source: SourceOption = None, file: FileOption = None,
    everything: AllOption = False, dry_run: DryOption = False, why: WhyOption = "", who: WhoOption = "",
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Give rows up. They stay in the ledger, with who gave them up and why."""
    choice = _chosen(reason, stage, source, file, everything)
    operator, place = places(home, input_folder, ledger)
    rows = write_off(operator, place, choice, who or getpass.getuser(), why, dry_run)
    console.print(f"{rows:,} rows {'would be' if dry_run else 'were'} written off.")


def _chosen(reason: str | None, stage: str | None, source: str | None, file: str | None, everything: bool) -> Choice:
    if everything == any((reason, stage, source, file)):
        raise LedgerError("which rows are meant is not said", "--reason, --stage, --source, --file, or else --all")
    return Choice(reason, stage, source, file)
