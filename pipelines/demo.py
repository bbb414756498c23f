"""`tarifa demo`: one operator day from nothing to answers. What a newcomer sees first."""

import datetime as dt
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.apps.run_commands import run_with_bar
from pipelines.controls import control
from pipelines.home import Home, Input
from pipelines.ledger import Ledger
from pipelines.ledger.sql import open_duckdb
from pipelines.report import print_run, rows_table
from pipelines.run import RunOptions
from pipelines.sample.generate import generate
from pipelines.sample.score import Finding, score
from pipelines.tariff_audit import audit_decks

DATE = dt.date(2026, 10, 21)

QUESTIONS = {
    "What does each service earn, and where do calls go?": """
        SELECT service, zone, count(*) AS events, sum(charge_nanos)::DECIMAL(38, 0) / 1e9::DECIMAL(38, 0) AS charged_eur
        FROM rated WHERE leg = 0 GROUP BY ALL ORDER BY charged_eur DESC LIMIT 8""",
    "When is the busy hour?": """
        SELECT strftime(event_time_us AT TIME ZONE 'UTC', '%H:00') AS hour_utc,
               count(*) FILTER (service = 'voice') AS calls, count(*) FILTER (service = 'sms') AS messages,
               round(sum(quantity) FILTER (service = 'data') / 1e9, 1) AS data_gb
        FROM rated WHERE leg = 0 GROUP BY ALL ORDER BY count(*) DESC LIMIT 5""",
    "Which accounts used more than their balance covered?": """
        SELECT account_id, any_value(plan) AS plan, count(*) AS events,
               sum(charge_nanos)::DECIMAL(38, 0) / 1e9::DECIMAL(38, 0) AS charged_eur,
               sum(uncollected_nanos)::DECIMAL(38, 0) / 1e9::DECIMAL(38, 0) AS uncollected_eur
        FROM rated GROUP BY account_id HAVING sum(uncollected_nanos) > 0 ORDER BY uncollected_eur DESC LIMIT 5""",
}


def demo(console: Console, folder: Path, subscribers: int, seed: int) -> None:
    """Generate a day, run it, account for it, score what was found, ask three questions, say how to go on."""
    started = time.perf_counter()
    if folder.exists():
        shutil.rmtree(folder)
    source, home = Input(folder), Home(folder / "home")
    console.rule(f"1  One operator day: {subscribers:,} subscribers, {DATE}, with defects")
    with Progress(TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                  console=console) as bars:
        task = bars.add_task("generate", total=None)
        made = generate(folder, subscribers, DATE, 1, seed, True, False,
                        lambda name, done, total: bars.update(task, description=name, completed=done, total=total))
    console.print(f"{made.records:,} records in {made.files:,} files, {made.octets / 1e6:,.1f} MB")
    console.rule("2  Files to ledger")
    summary = run_with_bar(source, home, RunOptions())
    print_run(console, home, summary)
    console.rule("3  Defects that were injected, and what was found of them")
    connection = open_duckdb(Ledger.open(home.ledger))
    console.print(score_table(score(source.answer_key, findings(connection, source))))
    console.rule("4  Three questions to the ledger, in DuckDB")
    for question, query in QUESTIONS.items():
        console.print(rows_table(connection, query, question))
    console.rule("5  Go on")
    event = connection.execute("SELECT event_id FROM rated WHERE service = 'voice' AND charge_nanos > 0 "
                               "ORDER BY charge_nanos DESC LIMIT 1").fetchone()
    place = f"--input {folder} --home {home.root}"
    for command in (f"tarifa explain {event[0] if event else 'EVENT_ID'} {place}",
                    f"tarifa suspense list --home {home.root}",
                    f"tarifa sql --home {home.root} \"FROM rated LIMIT 5\"",
                    f"tarifa ledger verify --home {home.root}",
                    "tarifa demo --subscribers 100000"):
        console.print(f"  .venv/bin/{command}", soft_wrap=True, highlight=False)
    console.print(f"\ndone in {time.perf_counter() - started:.1f} s")


def findings(connection, source: Input) -> dict[str, Finding]:  # type: ignore[no-untyped-def]
    """What the ledger found, as the score expects it. Reads the ledger and the reference data, never the key."""
    def table(query: str) -> pa.Table:
        return connection.sql(query).to_arrow_table()

    def rows(query: str) -> Callable[[], pa.RecordBatchReader]:
        return lambda: connection.sql(query).to_arrow_reader(1 << 17)

    origin = "source, file_id, record_offset"
    accepted = " UNION ALL ".join(f"SELECT {origin} FROM {name}" for name in ("usage", "held", "filtered", "merged"))  # noqa: S608
    gaps = (f"SELECT source, first_missing::BIGINT AS \"first\", last_missing::BIGINT AS \"last\" "  # noqa: S608
            f"FROM ({control('file_sequence_gaps').sql.rstrip().rstrip(';')})")
    notes = audit_decks(source.operator)
    return {
        "file_audit": table("SELECT source, file_name, file_id, state, header_lies FROM file_audit"),
        "suspense": rows(f"SELECT {origin}, reason FROM suspense"),  # noqa: S608
        "duplicate": rows(f"SELECT {origin} FROM duplicate"),  # noqa: S608
        "accepted": rows(accepted),
        "sequence_gap": table('SELECT node AS source, "first", "last" FROM sequence_gap'),
        "file_gap": table(gaps),
        "tariff": pa.table({"note": pa.array(notes, pa.string())}),
    }


def score_table(scored: pa.Table) -> Table:
    """Injected, found and missed per kind of defect."""
    table = Table(title="Against the answer key, which nothing that charges may read", title_justify="left",
                  box=box.SIMPLE_HEAD, pad_edge=False)
    for name in scored.column_names:
        table.add_column(name.replace("_", " "), justify="left" if name in ("kind", "outcome") else "right")
    for row in scored.to_pylist():
        missed = row.get("missed", 0)
        table.add_row(*(str(value) for value in row.values()), style="red" if missed else "green")
    return table
