"""`tarifa erase`: what was kept long enough, and people who ask to be forgotten. The ledger's hashes stay whole."""

import datetime as dt
from typing import Annotated

import numpy as np
import typer

from pipelines.apps.opening import keys_of
from pipelines.apps.options import HomeOption, WhyOption, console, home_of, now_us, require_why
from pipelines.archive import Archive
from pipelines.vault import Vault
from schemas.errors import ChargingError

app = typer.Typer(no_args_is_help=True, help="Erase: old raw files by day, or what stands behind tokens.")


def register(root: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    root.add_typer(app, name="erase")


@app.command("archive")
def archive_command(
    before: Annotated[str, typer.Argument(metavar="DAY", help="First day that is kept, YYYY-MM-DD.")],
    home: HomeOption = None, why: WhyOption = "",
) -> None:
    """Destroy the keys of raw files of all days before DAY. Explain says of their records that they were erased."""
    try:
        day = dt.date.fromisoformat(before)
    except ValueError:
        raise ChargingError(f"day {before!r}", "YYYY-MM-DD, such as 2026-10-21") from None
    note = {"who": require_why(why), "why": why, "time_us": now_us()}
    place = home_of(home)
    gone = Archive(place.archive, keys_of(place)).erase_before(day, note)
    console.print(f"{len(gone)} day keys destroyed")


@app.command("tokens")
def tokens_command(
    tokens: Annotated[list[int], typer.Argument(metavar="TOKEN...", help="As the ledger has them.")],
    home: HomeOption = None, why: WhyOption = "",
) -> None:
    """Forget the numbers behind tokens: their rows in the ledger stay, nobody's."""
    who, place = require_why(why), home_of(home)
    with Vault(place.vault, keys_of(place)) as vault:
        known = vault.erase(np.array(tokens, np.int64), who, why, now_us())
    console.print(f"{known} of {len(tokens)} tokens were known; they are forgotten")
