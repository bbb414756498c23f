"""Open what a command needs of an operator's home, without making anything that is not there."""

import getpass
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pipelines.apps.options import home_of
from pipelines.archive import Archive
from pipelines.charged_under import ChargedUnder
from pipelines.explain import Lineage
from pipelines.home import Home, Input
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.sql import asking
from pipelines.vault import Vault
from reference_data.streams import load_streams
from reference_data.tariffs.compile import load_tariffs
from schemas.columns import I64
from schemas.errors import LedgerError, ReferenceDataError

BesideOption = Annotated[Path | None, typer.Option(
    "--input", help="Folder with operator/ and inbox/. Default: the folder that the home lies in.")]
RevealOption = Annotated[bool, typer.Option("--reveal", help="Show numbers in full; who looked, and why, is kept.")]
WhyOption = Annotated[str, typer.Option("--why", help="Why, in a few words; it is kept.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


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


def read_ledger(home: Home) -> Ledger:
    """The ledger for reading. Raises LedgerError: there is none."""
    if "://" not in home.ledger and not (Path(home.ledger) / "_log").is_dir():
        raise LedgerError(f"no ledger at {home.ledger}", "--home DIR or --ledger PLACE of an earlier `tarifa run`")
    return Ledger.open(home.ledger)


def keys_of(home: Home) -> Keys:
    """The home's keys. Raises LedgerError instead of making new ones."""
    if not home.keys.is_dir():
        raise LedgerError(f"no keys at {home.keys}", "the keys folder of the home that wrote the ledger")
    return Keys.open(home.keys)


@contextmanager
def lineage(source: Input, home: Home) -> Iterator[Lineage]:
    """What explains and traces."""
    archive, ledger = Archive(home.archive, keys_of(home)), read_ledger(home)
    under = ChargedUnder(ledger, home, load_tariffs(source.operator / "tariffs"))
    with asking(ledger) as connection:
        yield Lineage(connection, archive, load_streams(source.operator / "streams.yaml"),
                      source.operator / "formats", under)


def note_look(home: Home, why: str, tokens: I64 | None = None) -> None:
    """Leave in the vault's audit log that somebody looks at numbers now. Before they are shown."""
    who = require_why(why)
    with Vault(home.vault, keys_of(home), write=False) as vault:
        vault.audit.append("reveal", who, why, np.empty(0, np.int64) if tokens is None else tokens, now_us())


def require_why(why: str) -> str:
    """Who is asking; the reason must be given."""
    if not why.strip():
        raise LedgerError("no reason was given", "--why TEXT", "it is kept in the audit log")
    return getpass.getuser()


def now_us() -> int:
    """The machine's clock."""
    return time.time_ns() // 1000
