"""The command line: `tarifa`. Each job's module holds its own commands; here they are only hung together."""

import os
import sys
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.markup import escape

from pipelines.apps import (
    account_commands,
    activate_commands,
    api_commands,
    backup_commands,
    cdr_commands,
    check_commands,
    compare_commands,
    correct_commands,
    erase_commands,
    explain_commands,
    import_commands,
    ledger_commands,
    quote_commands,
    run_commands,
    serve_commands,
    sql_commands,
    suspense_commands,
    tariff_commands,
    top_commands,
)
from schemas.errors import ChargingError, InvariantError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="Network files in, a verified Parquet ledger out; every record and every cent accounted for.")
for module in (run_commands, quote_commands, explain_commands, suspense_commands, sql_commands, ledger_commands,
               check_commands, tariff_commands, erase_commands, correct_commands, compare_commands, import_commands,
               serve_commands, account_commands, api_commands, cdr_commands, top_commands, backup_commands,
               activate_commands):
    module.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: the operator's mistakes are told in one line, ours with where they happened."""
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="tarifa")
    except ChargingError as error:
        Console(stderr=True).print(f"[red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        if os.environ.get("TARIFA_TRACE"):
            raise
        sys.exit(2)
    except InvariantError as error:
        Console(stderr=True).print(f"[red]a law did not hold[/]; nothing was committed: {escape(str(error))}",
                                   highlight=False, soft_wrap=True)
        raise


if __name__ == "__main__":
    main()
