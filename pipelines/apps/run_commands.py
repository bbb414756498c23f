"""`tarifa generate`, `run`, `demo`, `format check`, `tariff check`."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipelines.apps.options import HomeOption, InputOption, LedgerOption, console, home_of
from pipelines.home import Home, Input
from pipelines.report import print_run
from pipelines.run import BATCH_RECORDS, RunOptions, RunSummary, run, watch
from pipelines.sample.limits import MAX_SUBSCRIBERS, MIN_SUBSCRIBERS
from schemas.errors import ChargingError


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.command("generate")(generate_command)
    app.command("run")(run_command)
    app.command("demo")(demo_command)


def generate_command(
    out: Annotated[Path, typer.Option("--out", help="New folder for operator/, inbox/ and answer-key/.")],
    subscribers: Annotated[int, typer.Option(min=MIN_SUBSCRIBERS, max=MAX_SUBSCRIBERS)] = 1000,
    date: Annotated[str, typer.Option(help="First day, YYYY-MM-DD.")] = "2026-10-21",
    days: Annotated[int, typer.Option(min=1, max=366)] = 1,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    defects: Annotated[bool, typer.Option("--defects/--no-defects", help="Inject defects, with an answer key.")] = True,
    dst_night: Annotated[bool, typer.Option(help="Take the next night in which the clock changes.")] = False,
    formats: Annotated[str, typer.Option(help="Only these formats, comma separated.")] = "",
    scale: Annotated[float, typer.Option(help="So many times the usual traffic.")] = 1.0,
    files_per_source: Annotated[int, typer.Option(help="Files per element; 0: hourly.")] = 0,
) -> None:
    """Write a sample operator and the files of its network."""
    from pipelines.sample.generate import generate

    try:
        first = dt.date.fromisoformat(date)
    except ValueError:
        raise ChargingError(f"date {date!r}", "YYYY-MM-DD, such as 2026-10-21") from None
    with Progress(TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                  console=console) as bars:
        task = bars.add_task("generate", total=None)
        summary = generate(out, subscribers, first, days, seed, defects, dst_night,
                           lambda name, done, total: bars.update(task, description=name, completed=done, total=total),
                           [f for f in formats.split(",") if f] or None, scale, files_per_source or None)
    console.print(f"{summary.records:,} records in {summary.files:,} files, {summary.octets / 1e6:,.1f} MB, in {out}")


def run_command(
    input_folder: InputOption,
    home: HomeOption = None,
    ledger: LedgerOption = "",
    watching: Annotated[bool, typer.Option("--watch", help="Stand by the inbox, taking files.")] = False,
    every_s: Annotated[float, typer.Option(help="With --watch: seconds between looks.")] = 2.0,
    stable_s: Annotated[float, typer.Option(help="With --watch: age a file needs, unchanged.")] = 5.0,
    rounds: Annotated[int, typer.Option(help="With --watch: stop after so many looks; 0: never.")] = 0,
    batch_records: Annotated[int, typer.Option(min=1, help="Changes speed, no result.")] = BATCH_RECORDS,
    workers: Annotated[int, typer.Option(min=1, max=8, help="1: one thread; more: a thread for each stage.")] = 2,
) -> None:
    """Take what is in the inbox to the ledger, and account for every record."""
    source, place = Input(input_folder), home_of(home, input_folder, ledger)
    options = RunOptions(batch_records, workers, stable_s)
    if watching:
        def report(summary: RunSummary) -> None:
            console.print(f"{summary.files} files, {summary.records:,} records, {summary.rated:,} rated")

        watch(source, place, options, rounds or None, every_s, report)
        return
    print_run(console, place, run_with_bar(source, place, options))


def run_with_bar(source: Input, home: Home, options: RunOptions) -> RunSummary:
    """A run with a progress bar over the inbox's octets."""
    total = sum(path.stat().st_size for path in source.inbox.rglob("*") if path.is_file())
    with Progress(TextColumn("{task.description:>12}"), BarColumn(), DownloadColumn(), TimeElapsedColumn(),
                  console=console) as bars:
        task = bars.add_task("run", total=total)
        return run(source, home, options, progress=lambda octets: bars.advance(task, octets))


def demo_command(
    subscribers: Annotated[int, typer.Option(min=MIN_SUBSCRIBERS, max=MAX_SUBSCRIBERS)] = 1000,
    folder: Annotated[Path, typer.Option(help="Where the demo lives; made anew each time.")] = Path("var/demo"),
    seed: int = 1,
) -> None:
    """One operator day: generate it, run it, account for it, find its defects, ask it questions."""
    from pipelines.demo import demo

    demo(console, folder, subscribers, seed)
