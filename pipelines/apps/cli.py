"""The command line: `tarifa`. Each job's module holds its own commands; here they are only hung together."""

import os
import sys
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.markup import escape

from pipelines.apps.lazily import Lazy, lazy_group
from schemas.errors import ChargingError, InvariantError

COMMANDS = {
    "generate": Lazy("run_commands", "Write a sample operator and the files of its network."),
    "run": Lazy("run_commands", "Take what is in the inbox to the ledger, and account for every record."),
    "demo": Lazy("run_commands", "One operator day: generate it, run it, account for it, find its defects, ask it "
                                 "questions."),
    "quote": Lazy("quote_commands", "What usage costs, event after event over the same balances; nothing is posted."),
    "explain": Lazy("explain_commands", "Why a usage was charged what it was: price, postings, and the bytes it came "
                                        "from, decoded again on the spot."),
    "trace": Lazy("explain_commands", "What became of a byte: the record it belongs to, and every row that came of "
                                      "it."),
    "sql": Lazy("sql_commands", "Ask the ledger. Views: rated, posting, balance, usage, suspense, suspense_open, "
                                "file_audit and so on."),
    "rerate": Lazy("correct_commands", "Charge the past again under other tariffs, and post the differences."),
    "backout": Lazy("correct_commands", "Take a bad delivery back; its records are taken in again should they come "
                                        "again."),
    "whatif": Lazy("correct_commands", "What the past would have brought under other tariffs. Posts nothing."),
    "compare": Lazy("compare_commands", "Class every difference between an incumbent's figures and ours, with its "
                                        "money, worst first."),
    "serve": Lazy("serve_commands", "Answer charging requests as operator/serve.yaml says, until SIGTERM. Says what "
                                    "it does as JSON lines."),
    "top": Lazy("top_commands", "Watch the node that serves a home: requests, latency, sessions, journal and ledger."),
    "account": Lazy("account_commands", "Accounts: make, change and ask them, live."),
    "api": Lazy("api_commands", "Balances over HTTP: tokens, and serving."),
    "tariff": Lazy("tariff_group", "Tariffs: proved, stored, compared and read before they are used."),
    "suspense": Lazy("suspense_commands", "What was set aside: look at it, take it back in, or write it off."),
    "ledger": Lazy("ledger_commands", "The ledger itself: prove it, look at it, keep it small, copy it."),
    "backup": Lazy("backup_commands", "A whole home: copy it while it is served, prove the copy, make a home of it "
                                      "elsewhere."),
    "format": Lazy("check_commands", "Layouts of network files: whether they are sound, and what they make of a "
                                     "file."),
    "erase": Lazy("erase_commands", "Erase: old raw files by day, or what stands behind tokens."),
    "import": Lazy("import_commands", "Coming from another system."),
    "period": Lazy("import_commands", "Periods of accounts."),
    "cdr": Lazy("cdr_commands", "CHF records of what was charged online, for systems that read CDRs."),
}

app = typer.Typer(cls=lazy_group(COMMANDS), no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None)


@app.callback()
def tarifa() -> None:
    """Network files in, a verified Parquet ledger out; every record and every cent accounted for."""


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
