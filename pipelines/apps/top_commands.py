"""`tarifa top`: what a node that serves is doing, once a second."""

import time
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from pipelines.apps.options import HomeOption, InputOption, home_of
from pipelines.serve.home_socket import connect
from pipelines.serve.latency import percentile_ms
from schemas.errors import LedgerError


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.command("top")(top_command)


Every = Annotated[float, typer.Option(help="Seconds between looks.", min=0.1, max=3600)]
Rounds = Annotated[int, typer.Option(help="So many looks, then end; 0: until Ctrl-C.", min=0)]


def top_command(input_folder: InputOption, home: HomeOption = None, every: Every = 1.0, rounds: Rounds = 0) -> None:
    """Watch the node that serves a home: requests, latency, sessions, journal and ledger."""
    connection = connect(home_of(home, input_folder, "").root)
    if connection is None:
        raise LedgerError("nobody serves this home", "a running `tarifa serve`", "start it")
    with connection, Live(auto_refresh=False) as live:
        before, looked = connection.ask(op="figures"), time.monotonic()
        while True:
            time.sleep(every)
            now, at = connection.ask(op="figures"), time.monotonic()
            live.update(table(before, now, at - looked), refresh=True)
            before, looked = now, at
            rounds -= 1
            if rounds == 0:
                return


def table(before: dict[str, Any], now: dict[str, Any], seconds: float) -> Table:
    """What went on between two looks."""
    answered = [int(b) - int(a) for a, b in zip(before["latency"], now["latency"], strict=True)]

    def rate(name: str) -> str:
        return f"{(now[name] - before[name]) / seconds:,.0f} /s"

    def within(percent: float) -> str:
        found = percentile_ms(answered, percent)
        return "-" if found is None else "> 1,000 ms" if found == float("inf") else f"<= {found:g} ms"

    rows = (("services answered", rate("rows")), ("commands", rate("commands")), ("latency p50", within(50)),
            ("latency p99", within(99)), ("waiting", f"{now['waiting']:,}"),
            ("open sessions", f"{now['open_sessions']:,}"), ("services with units held", f"{now['held_sessions']:,}"),
            ("journal position", f"{now['position']:,}"), ("tick applied in", f"{now['tick_ms']:.2f} ms"),
            ("durable after", f"{now['durable_ms']:.2f} ms"),
            ("rows not yet in the ledger", f"{now['uncommitted_rows']:,}"),
            ("last commit", f"{now['commit_s']:.3f} s"), ("batch slices", rate("slices")))
    shown = Table("tarifa", "now")
    shown.columns[1].justify = "right"
    for name, value in rows:
        shown.add_row(name, value)
    return shown
