"""`tarifa tariff activate|kept`: tariffs taken by a node that goes on answering, and given back."""

import getpass
import json
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from pipelines.apps.options import BesideOption, HomeOption, JsonOption, LedgerOption, console, places
from pipelines.serve.home_socket import connect
from schemas.errors import LedgerError
from schemas.timepoint import format_time


def register(app: typer.Typer) -> None:
    """Hang this module's commands beside the others of tariffs."""
    app.command("activate")(activate_command)
    app.command("kept")(kept_command)


def activate_command(
    tariffs: Annotated[str, typer.Argument(metavar="[HASH]", help="Tariffs that the home keeps, by the beginning of "
                                           "their hash. Left out: those of the operator's folder.")] = "",
    rollback: Annotated[bool, typer.Option("--rollback", help="Those that were in force before the last "
                                           "activation.")] = False,
    only_from: Annotated[str, typer.Option("--from", metavar="TIME", help="Refuse what changes any price before "
                                           "then.")] = "",
    as_json: JsonOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Have the node that serves this home charge by the tariffs of the operator's folder, without stopping it."""
    _, place = places(home, input_folder, ledger)
    connection = connect(place.root)
    if connection is None:
        raise LedgerError("nobody serves this home", "a running `tarifa serve`",
                          "nothing is to be done: its next start, and the next run, take the folder as it is")
    with connection:
        told = connection.ask(op="activate", tariffs=tariffs, rollback=rollback, only_from=only_from,
                              who=getpass.getuser())
    if as_json:
        typer.echo(json.dumps(told))
        return
    later = "".join(f", {escape(each['version'])} from {each['from']}" for each in told["later"])
    console.print(("in force" if told["changed"] else "in force already") + f": tariffs {told['tariffs'][:12]}, "
                  f"version {escape(str(told['version']))}{later}", highlight=False)
    if told["changed"]:
        console.print(f"ready in {told['seconds']} s; requests waited {told['switch_ms']} ms", highlight=False)
    if told["folder"] != told["tariffs"]:
        console.print("The operator's folder has others. These stay in force, after a restart too, until the "
                      "folder is changed.", highlight=False)


def kept_command(
    as_json: JsonOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Tariffs that this home keeps, newest first; each can be activated again by its hash."""
    from pipelines.corrections.kept import kept_names
    from pipelines.reference_in_force import read_activated

    _, place = places(home, input_folder, ledger)
    noted = read_activated(place)
    marks = {} if noted is None else {noted.before: "before", noted.tariffs: "activated"}
    found = [{"tariffs": name, "kept": format_time(at_us), "versions": versions, "is": marks.get(name, "")}
             for name, at_us, versions in kept_names(place)]
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("tariffs", "kept since", "versions", ""):
        table.add_column(column)
    for each in found:
        table.add_row(str(each["tariffs"])[:12], str(each["kept"])[:19] + "Z", escape(", ".join(each["versions"])),
                      str(each["is"]))
    console.print(table)
