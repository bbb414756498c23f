"""`tarifa format check`: the layouts that the operator writes, proved before they are used."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from mediation.formats.check import Sample, check_layout, check_sample
from pipelines.apps.options import console
from pipelines.masking import mask, mask_text

WRONG = 1
_NUMBERS = ("served_number", "other_number", "forwarded_number", "served_imsi", "served_imei", "served_address")

formats = typer.Typer(no_args_is_help=True,
                      help="Layouts of network files: whether they are sound, and what they make of a file.")


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.add_typer(formats, name="format")


@formats.command("check")
def format_check_command(
    layout: Annotated[Path, typer.Argument(metavar="FILE.yaml", exists=True, dir_okay=False, help="The layout.")],
    sample: Annotated[Path | None, typer.Option("--sample", exists=True, dir_okay=False, help="A network file to "
                      "read by it.")] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Containers to show.")] = 5,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show numbers of the sample in full.")] = False,
) -> None:
    """Whether a layout is sound and, with a sample, what it makes of a file. Ends with 1 when something is wrong."""
    problems = check_layout(layout)
    for problem in problems:
        console.print(f"[red]{escape(problem)}[/]", highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(WRONG)
    console.print(f"[green]{escape(layout.name)} is sound[/]")
    if sample is not None and not _show_sample(check_sample(layout, sample, rows), reveal):
        raise typer.Exit(WRONG)


def _show_sample(found: Sample, reveal: bool) -> bool:
    """Whether all of the file could be read."""
    console.print(f"{found.records:,} records, {found.containers:,} containers: "
                  + ", ".join(f"{count:,} {reason}" for reason, count in found.reasons.items()))
    for problem in found.problems:
        console.print(f"[yellow]{escape(problem)}[/]", highlight=False, soft_wrap=True)
    for number, row in enumerate(found.rows, 1):
        shown = Table(f"container {number}", "", box=None)
        for name in found.columns:
            if name in row:
                shown.add_row(name, escape(row[name] if reveal else str(mask(row[name], _label(name)))))
        console.print(shown)
    if found.rejects:
        shown = Table("offset", "octets", "reason", "at", "bytes", title="not read", title_justify="left")
        for row in found.rejects:
            shown.add_row(row["offset"], row["octets"], row["reason"], row["at"],
                          escape(row["bytes"] if reveal else mask_text(row["bytes"])))
        console.print(shown)
    return not found.rejects and not found.problems


def _label(name: str) -> str:
    return "number" if name in _NUMBERS else name
