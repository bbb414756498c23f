"""Groups of commands whose modules are imported when one of theirs is called, and not before.

Most of what a command imports takes longer than what it does: DuckDB, Arrow and Numba a second together, and many
times that where a node and its load have the processors. So a group is a table: name, module, help.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Lazy(NamedTuple):
    """A command: the module of `pipelines.apps` that registers it, and its help in one line, as the module says it."""

    module: str
    help: str


NOT_LOADED: Any = None


def lazy_group(table: Mapping[str, Lazy]) -> type[TyperGroup]:
    """What `typer.Typer(cls=...)` wants, for a group of these commands."""

    class Group(TyperGroup):
        """Knows names and helps from the table, and everything else from the modules."""

        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands.update(dict.fromkeys(table, NOT_LOADED))  # names, for "did you mean"

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
            """Names, in the order of the table."""
            return list(table)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
            """The command, imported now."""
            found = table.get(cmd_name)
            return None if found is None else load(found.module).commands[cmd_name]

        def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
            """As usual, from the table."""
            with formatter.section("Commands"):
                formatter.write_dl([(name, each.help) for name, each in table.items()])

    return Group


def load(module: str) -> TyperGroup:
    """What a module of commands registers."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    import_module(f"pipelines.apps.{module}").register(app)
    return typer.main.get_group(app)
