"""Options that several commands share, and what they name. Imports nothing that takes long: see `lazily`."""

import getpass
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.home import Home, Input
from schemas.errors import LedgerError, ReferenceDataError

WIDTH = 120  # of tables that go to a file or a pipe

console = Console() if sys.stdout.isatty() else Console(width=WIDTH)

InputOption = Annotated[Path, typer.Option("--input", help="Folder with operator/ and inbox/ in it.")]
HomeOption = Annotated[Path | None, typer.Option(
    "--home", help="Tarifa's own state: ledger, journal, vault, keys. Default: home/ beside the input, or var/home.")]
LedgerOption = Annotated[str, typer.Option(
    "--ledger", help="Where the ledger lives if not in the home: a folder, or the URL of an object store (s3://...).")]
BesideOption = Annotated[Path | None, typer.Option(
    "--input", help="Folder with operator/ and inbox/. Default: the folder that the home lies in.")]
RevealOption = Annotated[bool, typer.Option("--reveal", help="Show numbers in full; who looked, and why, is kept.")]
WhyOption = Annotated[str, typer.Option("--why", help="Why, in a few words; it is kept.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


def home_of(home: Path | None, input_folder: Path | None = None, ledger: str = "") -> Home:
    """The home that was named, else the input's, else var/home."""
    if home is None:
        home = input_folder / "home" if input_folder is not None else Path("var/demo/home")
    return Home(home, ledger)


def places(home: Path | None, input_folder: Path | None, ledger: str = "") -> tuple[Input, Home]:
    """Input and home of a command; each defaults to what lies beside the other."""
    found = home_of(home, input_folder, ledger)
    source = Input(input_folder if input_folder is not None else found.root.parent)
    missing = LedgerError(f"no home at {found.root}", "--home DIR of an earlier `tarifa run`")
    if home is not None and not found.root.is_dir():  # what was named comes first
        raise missing
    if not source.operator.is_dir():
        raise ReferenceDataError(f"no operator's folder at {source.operator}", "--input DIR with operator/ in it")
    if not found.root.is_dir():
        raise missing
    return source, found


def require_why(why: str) -> str:
    """Who is asking; the reason must be given."""
    if not why.strip():
        raise LedgerError("no reason was given", "--why TEXT", "it is kept in the audit log")
    return getpass.getuser()


def now_us() -> int:
    """The machine's clock."""
    return time.time_ns() // 1000
