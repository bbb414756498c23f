"""`tarifa ledger verify | show | compact | vacuum | backup | restore`."""

import time
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.markup import escape
from rich.table import Table

from pipelines.apps.opening import keys_of, read_ledger
from pipelines.apps.options import HomeOption, LedgerOption, console, home_of
from pipelines.ledger import Ledger
from pipelines.ledger.backup import backup, restore
from pipelines.ledger.show import entries, streams, tables
from pipelines.ledger.store import open_store
from pipelines.ledger.vacuum import DAY_S, ORPHAN_AGE_S, RETENTION_S
from pipelines.ledger.verify import verify
from pipelines.upkeep import compact_home, vacuum_home
from schemas.errors import LedgerError
from schemas.timepoint import format_time

WRONG = 1  # exit code of a verification that found something

commands = typer.Typer(no_args_is_help=True, help="The ledger itself: prove it, look at it, keep it small, copy it.")


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.add_typer(commands, name="ledger")


@commands.command("verify")
def verify_command(
    contents: Annotated[bool, typer.Option("--contents/--no-contents", help="Read every file, not only its "
                        "name.")] = True,
    key: Annotated[list[Path] | None, typer.Option("--key", exists=True, dir_okay=False, help="Raw public key (32 "
                   "octets or 64 hex digits) to trust instead of the home's own.")] = None,
    head: Annotated[list[Path] | None, typer.Option("--head", exists=True, dir_okay=False, help="A signed head or cut "
                    "that was kept elsewhere.")] = None,
    home: HomeOption = None, ledger: LedgerOption = "",
) -> None:
    """Prove chain, signatures, files, rows and sums. Ends with 1 when anything is wrong, and names it."""
    place = home_of(home, None, ledger)
    book = read_ledger(place)
    trusted = [_public_key(path) for path in key or ()]
    if not trusted and place.keys.is_dir():
        trusted = [keys_of(place).signing_key.public_key()]
    report = verify(book, trusted, contents, [path.read_bytes() for path in head or ()])
    for finding in report.findings:
        console.print(f"[red]{finding.kind}[/] {escape(finding.where)} {escape(finding.message)}", highlight=False)
    console.print(f"{report.entries:,} entries, {report.cuts:,} cuts, {report.files:,} files, {report.rows:,} rows, "
                  f"{report.octets / 1e6:,.1f} MB"
                  + ("" if report.signatures else "; signatures were not checked: no key"))
    console.print("[green]sound[/]" if report.sound else f"[red]{len(report.findings)} findings[/]")
    if not report.sound:
        raise typer.Exit(WRONG)


@commands.command("show")
def show_command(
    stream: Annotated[str, typer.Argument(help="Show the newest entries of this stream instead.")] = "",
    as_of: Annotated[int | None, typer.Option("--as-of", min=1, help="Tables as of a published cut.")] = None,
    newest: Annotated[int, typer.Option("--entries", min=1, help="How many entries of the stream.")] = 20,
    home: HomeOption = None, ledger: LedgerOption = "",
) -> None:
    """Streams, tables and cuts; or the newest entries of one stream."""
    book = read_ledger(home_of(home, None, ledger))
    if stream:
        _show_entries(book, stream, newest)
        return
    shown = Table("stream", "entries", "signed to", "epoch", "positions", "newest commit", title="streams",
                  title_justify="left")
    for each in streams(book):
        positions = ", ".join(f"{name} {value:,}" for name, value in each.positions.items())
        shown.add_row(each.name, f"{each.version:,}", f"{each.signed_version:,}", str(each.epoch), positions,
                      each.committed_at)
    console.print(shown)
    shown = Table("table", "files", "rows", "MB", "from (UTC)", "to (UTC)", title="tables", title_justify="left")
    for table in tables(book, as_of):
        times = [format_time(t)[:16] if t is not None else "" for t in (table.min_time_us, table.max_time_us)]
        name = table.name if table.rows >= 0 else f"({table.kind}) {table.name}"
        shown.add_row(name, f"{table.files:,}", f"{table.rows:,}" if table.rows >= 0 else "",
                      f"{table.octets / 1e6:,.2f}", *times)
    console.print(shown)
    for cut in book.cuts():
        console.print(f"cut {cut.number} {escape(cut.label)} of {cut.made_at}: "
                      + ", ".join(f"{name} {at.version}" for name, at in cut.streams.items()), highlight=False)


def _show_entries(book: Ledger, stream: str, newest: int) -> None:
    found = entries(book, stream, newest)
    if not found:
        raise LedgerError(f"no stream is called {stream!r}", "one of " + ", ".join(book.logs()))
    shown = Table("entry", "what", "epoch", "positions", "files", "rows", "removed", "committed")
    for entry in found:
        positions = ", ".join(f"{name} {start:,} to {end:,}" for name, (start, end) in entry.positions.items())
        shown.add_row(str(entry.version), entry.op, str(entry.epoch), positions, str(len(entry.added)),
                      f"{sum(max(f.rows, 0) for f in entry.added):,}", str(len(entry.removed)), entry.committed_at)
    console.print(shown)


@commands.command("compact")
def compact_command(
    table: Annotated[list[str] | None, typer.Option("--table", help="Only this table; may be given again.")] = None,
    home: HomeOption = None, ledger: LedgerOption = "",
) -> None:
    """Rewrite many small files as few, sorted by account and time. Rows stay the same ones, which is proved."""
    place = home_of(home, None, ledger)
    read_ledger(place)
    shown = Table("table", "files", "became", "rows", "MB", "became")
    for done in compact_home(place, keys_of(place), table or ()):
        shown.add_row(done.table, f"{done.files_before:,}", f"{done.files_after:,}", f"{done.rows:,}",
                      f"{done.octets_before / 1e6:,.2f}", f"{done.octets_after / 1e6:,.2f}")
    console.print(shown if shown.row_count else "Everything is compact already.")


@commands.command("vacuum")
def vacuum_command(
    retention_days: Annotated[float, typer.Option("--retention-days", min=0, help="Keep replaced files so long, for "
                              "reading as of earlier cuts.")] = RETENTION_S / DAY_S,
    orphan_hours: Annotated[float, typer.Option("--orphan-hours", min=0, help="Age of a file that nobody named.")]
    = ORPHAN_AGE_S / 3600,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    home: HomeOption = None, ledger: LedgerOption = "",
) -> None:
    """Remove files that no entry names, and replaced ones after their retention. Never a live file."""
    place = home_of(home, None, ledger)
    read_ledger(place)
    gone = vacuum_home(place, keys_of(place), time.time(), orphan_hours * 3600, retention_days * DAY_S, dry_run)
    console.print(f"{len(gone.orphans):,} files that nobody named and {len(gone.replaced):,} replaced ones "
                  f"{'would be' if dry_run else 'were'} removed, {gone.octets / 1e6:,.2f} MB")


@commands.command("backup")
def backup_command(
    target: Annotated[str, typer.Argument(help="A folder or an object store's URL; may hold an earlier backup.")],
    home: HomeOption = None, ledger: LedgerOption = "",
) -> None:
    """Copy the ledger as of a new cut to another place, and prove the copy. Keys, vault and archive are not in it."""
    place = home_of(home, None, ledger)
    read_ledger(place)
    keys = keys_of(place)
    copied = backup(Ledger.open(place.ledger, keys.signing_key), open_store(target), [keys.signing_key.public_key()])
    console.print(f"{copied.files:,} files, {copied.octets / 1e6:,.2f} MB copied, {copied.kept:,} there already; "
                  f"proved as of cut {copied.cut.number}")


@commands.command("restore")
def restore_command(
    saved: Annotated[str, typer.Argument(help="Where the backup is: a folder or URL.")],
    home: HomeOption = None, ledger: LedgerOption = "",
) -> None:
    """Copy a backup into the home's empty ledger, as of its newest cut, and prove it."""
    place = home_of(home, None, ledger)
    keys = [keys_of(place).signing_key.public_key()] if place.keys.is_dir() else []
    if "://" not in saved and not (Path(saved) / "_log").is_dir():
        raise LedgerError(f"no backup at {saved}", "a place that `tarifa ledger backup` wrote")
    copied = restore(Ledger.open(saved), open_store(place.ledger), keys)
    console.print(f"{copied.files:,} files, {copied.octets / 1e6:,.2f} MB restored; proved as of cut "
                  f"{copied.cut.number}")


def _public_key(path: Path) -> Ed25519PublicKey:
    raw = path.read_bytes()
    try:
        return Ed25519PublicKey.from_public_bytes(raw if len(raw) == 32 else bytes.fromhex(raw.decode()))
    except ValueError:
        raise LedgerError(f"{path} is no public key", "32 octets, or 64 hex digits") from None
