"""Options that several commands share."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.home import Home

WIDTH = 120  # of tables that go to a file or a pipe

console = Console() if sys.stdout.isatty() else Console(width=WIDTH)

InputOption = Annotated[Path, typer.Option("--input", help="Folder with operator/ and inbox/ in it.")]
HomeOption = Annotated[Path | None, typer.Option(
    "--home", help="Tarifa's own state: ledger, journal, vault, keys. Default: home/ beside the input, or var/home.")]
LedgerOption = Annotated[str, typer.Option(
    "--ledger", help="Where the ledger lives if not in the home: a folder, or the URL of an object store (s3://...).")]


def home_of(home: Path | None, input_folder: Path | None = None, ledger: str = "") -> Home:
    """The home that was named, else the input's, else var/home."""
    if home is None:
        home = input_folder / "home" if input_folder is not None else Path("var/demo/home")
    return Home(home, ledger)
