"""`tarifa cdr`: CDRs of our own, of what was charged online."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.apps.opening import keys_of
from pipelines.apps.options import HomeOption, console, home_of
from pipelines.cdrs.export import ExportOptions, export

app = typer.Typer(no_args_is_help=True, help="CHF records of what was charged online, for systems that read CDRs.")


def register(root: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    root.add_typer(app, name="cdr")


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Option("--out", help="Folder that gets the files, each in one step.")],
    home: HomeOption = None,
    node: Annotated[str, typer.Option("--node", help="Name of this node, in records and file names.")] = "tarifa-chf",
    partial_s: Annotated[int, typer.Option("--partial-s", min=60, help="Sessions that last longer get a record for "
                                           "each such time.")] = 86_400,
    most_octets: Annotated[int, typer.Option("--most-octets", min=1 << 16, help="Size of a file.")] = 16 << 20,
    most_s: Annotated[int, typer.Option("--most-s", min=60, help="Record time that a file spans.")] = 3600,
    subscribers: Annotated[bool, typer.Option("--subscribers/--no-subscribers", help="Put IMSIs into records; "
                                              "that this was done is kept in the vault's audit.")] = True,
) -> None:
    """Write what was charged online since the last export as CHF records (TS 32.298) in files of TS 32.297."""
    place = home_of(home)
    keys_of(place)
    done = export(place, out, ExportOptions(node, most_octets, most_s=most_s, partial_s=partial_s,
                                            subscribers=subscribers))
    for name in done.files:
        console.print(name, highlight=False)
    console.print(f"{len(done.files)} files, {done.records} records; {done.open_sessions} sessions are open")
