"""`tarifa backup make | list | verify | restore`: a whole home, while it is served or not."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.apps.options import HomeOption, InputOption, LedgerOption, console, home_of
from schemas.errors import LedgerError

WRONG = 1
NICE = 10  # behind those who answer

PlaceArgument = Annotated[str, typer.Argument(help="Where backups lie: a folder, or an object store's URL.")]
KeysOption = Annotated[Path, typer.Option("--keys", help="Where the second copy of the keys lies: a folder apart from "
                                          "home and backups.")]
NumberOption = Annotated[int | None, typer.Option("--backup", min=1, help="Number of a backup; the newest without.")]

commands = typer.Typer(no_args_is_help=True, help="A whole home: copy it while it is served, prove the copy, make a "
                       "home of it elsewhere.")


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.add_typer(commands, name="backup")


@commands.command("make")
def make_command(
    place: PlaceArgument, keys: KeysOption,
    keep: Annotated[int | None, typer.Option("--keep", min=1, help="Remove older backups beyond so many.")] = None,
    home: HomeOption = None, ledger: LedgerOption = "",
) -> None:
    """Copy the home to a place that may have earlier backups. Says up to which journal position: everything that was
    answered before is in it. Keys go to a place of their own."""
    from pipelines.backup.save import save

    with suppress(OSError):
        os.nice(NICE)
    done = save(home_of(home, None, ledger), place, keys, keep=keep)
    made = done.manifest
    console.print(f"backup {made.number}: everything before journal position {made.position:,}; the ledger as of cut "
                  f"{made.cut}, proved\n{done.files:,} files, {done.octets / 1e6:,.2f} MB, and "
                  f"{done.ledger_octets / 1e6:,.2f} MB of the ledger copied; {done.kept:,} files were there already",
                  highlight=False)


@commands.command("list")
def list_command(place: PlaceArgument) -> None:
    """Backups of a place, oldest first."""
    from pipelines.backup.manifest import whole_manifests
    from pipelines.ledger.store import open_store

    shown = Table("backup", "made", "before position", "in the ledger before", "cut", "files", "MB", "reference data")
    for each in whole_manifests(open_store(place)):
        shown.add_row(str(each.number), each.made_at, f"{each.position:,}", f"{each.charged:,}", str(each.cut),
                      f"{len(each.files):,}", f"{each.octets / 1e6:,.2f}", each.reference[:12])
    if not shown.row_count:
        raise LedgerError(f"no backup in {place}", "a place that `tarifa backup make` wrote to")
    console.print(shown)


@commands.command("verify")
def verify_command(
    place: PlaceArgument,
    keys: Annotated[Path | None, typer.Option("--keys", help="Where the second copy of the keys lies; without, "
                    "signatures are not checked.")] = None,
) -> None:
    """Read all of it again: manifests, files, ledger. Ends with 1 when anything is wrong, and names it."""
    from pipelines.backup.restore import prove

    found = prove(place, keys)
    for finding in found.findings:
        console.print(f"[red]{finding.kind}[/] {escape(finding.where)} {escape(finding.message)}", highlight=False)
    for each in found.manifests:
        console.print(f"backup {each.number}: everything before journal position {each.position:,}", highlight=False)
    console.print(f"{found.objects:,} files, {found.octets / 1e6:,.2f} MB, and the ledger"
                  + ("" if keys else "; signatures were not checked: no keys"), highlight=False)
    if found.findings or not found.manifests:
        console.print(f"[red]{len(found.findings)} findings[/]" if found.findings else "[red]no backup[/]")
        raise typer.Exit(WRONG)
    console.print("[green]sound[/]")


@commands.command("restore")
def restore_command(
    place: PlaceArgument, keys: KeysOption, number: NumberOption = None,
    moved: Annotated[bool, typer.Option("--moved", help="Nothing was answered after the backup: no session was lost, "
                     "Origin-State-Id stays.")] = False,
    home: HomeOption = None, ledger: LedgerOption = "", input_folder: Annotated[
        Path | None, InputOption.__metadata__[0]] = None,
) -> None:
    """Make a home of a backup, where there is none, and prove it. Start it only where the old one is gone for good."""
    from pipelines.backup.restore import restore

    target = home_of(home, input_folder, ledger)
    made = restore(place, keys, target, number, moved)
    console.print(f"{target.root}: everything before journal position {made.position:,}, of {made.made_at}; proved")
    if made.reference:
        console.print(f"It wants the operator's folder that it was charged with: reference data {made.reference[:12]}",
                      highlight=False)
