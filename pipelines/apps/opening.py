"""Open what a command needs of an operator's home, without making anything that is not there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipelines.apps.options import now_us, require_why
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
from schemas.errors import LedgerError


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
