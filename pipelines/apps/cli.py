"""The command line: `tarifa`. Each job's module holds its own commands; here they are only hung together."""

import os
import sys

import typer
from rich.console import Console

from pipelines.apps import run_commands
from schemas.errors import ChargingError, InvariantError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Network files in, a verified Parquet ledger out; every record and every cent accounted for.")
run_commands.register(app)


def main() -> None:
    """Entry point: the operator's mistakes are told in one line, ours with where they happened."""
    try:
        app()
    except ChargingError as error:
        Console(stderr=True).print(f"[red]error[/] {type(error).__name__}: {error}", highlight=False)
        if os.environ.get("TARIFA_TRACE"):
            raise
        sys.exit(2)
    except InvariantError as error:
        Console(stderr=True).print(f"[red]a law did not hold[/]; nothing was committed: {error}", highlight=False)
        raise


if __name__ == "__main__":
    main()
