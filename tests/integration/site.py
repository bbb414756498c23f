"""An operator's site in a test: an input folder, a home with given keys, runs, and what its ledger says."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.home import Home, Input
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.content_hash import content_hash
from pipelines.ledger.verify import verify
from pipelines.run import RunOptions, RunSummary, run
from schemas.money import NANOS

SAID = ("rated", "posting", "balance", "usage", "suspense", "duplicate", "filtered", "matched", "merged", "held",
        "sequence_gap")


class Site:
    """`source` is the day it draws from; its own inbox is empty until files are delivered, or it shares the day's."""

    def __init__(self, source: Path, folder: Path, keys: Path, own_inbox: bool = False) -> None:
        self.day = Input(source)
        self.home = Home(folder / "home")
        shutil.copytree(keys, self.home.keys)
        self.input = self.day
        if own_inbox:
            self.input = Input(folder / "input")
            shutil.copytree(self.day.operator, self.input.operator)
            self.input.inbox.mkdir()

    def deliver(self, files: Iterable[Path]) -> None:
        """Copy files of the day into the inbox."""
        for path in files:
            put(self.input.inbox, path.parent.name, path.name, path.read_bytes())

    def run(self, batch_records: int = 100_000, workers: int = 1, consume: bool = False) -> RunSummary:
        return run(self.input, self.home, RunOptions(batch_records, workers), consume)

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self.home.ledger)

    def said(self, exclude_origin: bool = False, tables: Sequence[str] = SAID) -> dict[str, str]:
        """Content hash by table; the ledger must verify."""
        report = verify(self.ledger, [Keys.open(self.home.keys).signing_key.public_key()])
        assert report.sound, report
        return content_hash(self.ledger, tables, exclude_origin)

    def rows(self, table: str, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Rows of a table in commit order; none when it has no file."""
        parts = list(self.ledger.batches(table))
        if not parts:
            return []
        whole: pa.Table = pa.concat_tables(parts, promote_options="default")
        rows: list[dict[str, Any]] = (whole.select(list(columns)) if columns else whole).to_pylist()
        return rows

    def money(self, account: int) -> float:
        """Balance of an account in whole money."""
        rows = [r for r in self.rows("balance") if r["account_id"] == account and r["unit"] == "money"]
        return float(sum(r["amount"] for r in rows)) / NANOS


def put(inbox: Path, source: str, name: str, content: bytes) -> Path:
    """One file into the inbox."""
    (inbox / source).mkdir(parents=True, exist_ok=True)
    path = inbox / source / name
    path.write_bytes(content)
    return path


def put_commands(inbox: Path, number: int, at: str, commands: Iterable[Mapping[str, Any] | str]) -> Path:
    """A command file whose name has the time `at`, YYYYMMDDHHMMSS; texts are lines as they are."""
    lines = [c if isinstance(c, str) else json.dumps(c) for c in commands]
    return put(inbox, "commands", f"commands_{number:06d}_{at}.jsonl", "".join(f"{line}\n" for line in lines).encode())


def in_order(inbox: Path) -> list[Path]:
    """Files of an inbox in collection order: time in the name, source, name."""
    files = [path for path in inbox.glob("*/*") if path.is_file()]
    return sorted(files, key=lambda p: (p.stem.rsplit("_", 1)[-1], p.parent.name, p.name))


def refused(rows: Iterable[Mapping[str, Any]], reason: int) -> list[Mapping[str, Any]]:
    """Rows of suspense with this reason."""
    return [row for row in rows if row["reason"] == reason]
