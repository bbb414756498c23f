"""`tarifa tariff ...`: commands that compile tariffs, and those that only tell a node which are in force."""

import typer

from pipelines.apps.lazily import Lazy, lazy_group

TARIFF = {
    "check": Lazy("tariff_commands", "Whether every version compiles, alone and together. Ends with 1 when one does "
                                     "not, and names file and line."),
    "compile": Lazy("tariff_commands", "Compile all versions into one immutable file, named after its content hash."),
    "diff": Lazy("tariff_commands", "What changes, in words and money. Ends with 0 when nothing does, with 1 when "
                                    "something does."),
    "show": Lazy("tariff_commands", "Plans with their prices by zone and band; or, with --number, which zone and "
                                    "price a number has."),
    "activate": Lazy("activate_commands", "Have the node that serves this home charge by the tariffs of the "
                                          "operator's folder, without stopping it."),
    "kept": Lazy("activate_commands", "Tariffs that this home keeps, newest first; each can be activated again by "
                                      "its hash."),
}


def register(app: typer.Typer) -> None:
    """Hang them into the command line."""
    group = typer.Typer(cls=lazy_group(TARIFF), no_args_is_help=True,
                        help="Tariffs: proved, stored, compared and read before they are used.")
    group.callback()(_all)
    app.add_typer(group, name="tariff")


def _all() -> None:
    """Nothing is common to them."""
