"""`tarifa serve`: charge in real time."""

import asyncio

import typer

from pipelines.apps.options import HomeOption, InputOption, LedgerOption, home_of
from pipelines.home import Input


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.command("serve")(serve_command)


def serve_command(input_folder: InputOption, home: HomeOption = None, ledger: LedgerOption = "") -> None:
    """Answer charging requests as operator/serve.yaml says, until SIGTERM. Says what it does as JSON lines."""
    from pipelines.read_ahead import read_ahead

    served = home_of(home, input_folder, ledger)
    read_ahead(served.root)
    from pipelines.serve.log import Log
    from pipelines.serve.service import run_service

    asyncio.run(run_service(Input(input_folder), served, Log()))
