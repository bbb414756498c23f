"""A tiny operator with a VoIP switch: its folder, its files, and a run over them, for tests of the whole path."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.controls import run_controls
from pipelines.home import Home, Input
from pipelines.ledger import Ledger
from pipelines.ledger.sql import open_duckdb
from pipelines.run import RunOptions, RunSummary, run
from tests.small_operator import TARIFF, Reference

NOON = datetime(2026, 10, 21, 12, tzinfo=UTC)
ANNA, BEN, CARL = "+999700000001", "+999700000002", "+999700000003"
SPAIN, BRAZIL = "+34911234567", "+5511912345678"
VOIP = {"name": "voip", "sources": "voip-*", "format": "voip-csv", "filter": ["unanswered"],
        "file_name": r"voip-\d+_(?P<sequence>\d+)_(?P<time>\d{14})\.csv"}
COLUMNS = ("call_id", "node", "sequence", "direction", "served", "calling", "called", "setup_time", "answer_time",
           "release_time", "duration", "cause", "source_ip")


@dataclass
class Network:
    """Files below `root`: operator/, inbox/ and home/. Change `reference` or the files, `write`, then `run`."""

    root: Path
    reference: Reference = field(default_factory=Reference)
    _files: int = 0

    def __post_init__(self) -> None:
        self.reference.streams = [dict(VOIP)]
        for plan in self.reference.plans:
            plan["plan"] = "prepaid-basic"
        for row in self.reference.accounts:
            row["time_zone"] = "Europe/Berlin"
        (self.root / "operator" / "tariffs" / "decks").mkdir(parents=True)
        (self.root / "inbox" / "voip-01").mkdir(parents=True)
        for name in ("2026.yaml", "decks/main.csv"):
            (self.root / "operator" / "tariffs" / name).write_text((TARIFF / name).read_text())
        self.write()

    @property
    def source(self) -> Input:
        return Input(self.root)

    @property
    def home(self) -> Home:
        return Home(self.root / "home")

    @property
    def arguments(self) -> list[str]:
        """For the command line."""
        return ["--home", str(self.root / "home")]

    def write(self) -> None:
        self.reference.write(self.root / "operator")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of the operator's folder."""
        path = self.root / "operator" / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new))

    def deliver(self, calls: Sequence[dict[str, Any]], source: str = "voip-01") -> str:
        """Write calls as the switch's next file; returns its name."""
        self._files += 1
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for call in calls:
            writer.writerow([call[name] for name in COLUMNS])
        text.write(f"TRAILER,{len(calls)}\n")
        stamp = (NOON + timedelta(minutes=self._files)).strftime("%Y%m%d%H%M%S")
        return self.drop(f"{source}_{self._files:06d}_{stamp}.csv", text.getvalue().encode(), source)

    def drop(self, name: str, content: bytes, source: str = "voip-01") -> str:
        folder = self.root / "inbox" / source
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        return name

    def run(self) -> RunSummary:
        return run(self.source, self.home, RunOptions(workers=1))

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with open_duckdb(Ledger.open(self.home.ledger)) as connection:
            return connection.execute(query).fetchall()

    def check_laws(self, *but: str) -> None:
        """Every control that is a law holds, but those that a test has no rows for."""
        with open_duckdb(Ledger.open(self.home.ledger)) as connection:
            broken = {o.control.name for o in run_controls(connection) if o.control.kind == "law" and o.breaks}
        assert broken <= set(but)


def call(number: int, served: str = ANNA, called: str = SPAIN, start: datetime = NOON, seconds: int = 60,
         direction: str = "originating", **changes: Any) -> dict[str, Any]:
    """A line of the switch."""
    def iso(moment: datetime) -> str:
        return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    return {"call_id": f"call-{number}", "node": "voip-01", "sequence": number, "direction": direction,
            "served": served, "calling": served, "called": called, "setup_time": iso(start), "answer_time": iso(start),
            "release_time": iso(start + timedelta(seconds=seconds)), "duration": seconds, "cause": 16,
            "source_ip": "10.0.0.1"} | changes
