"""The main job as the fault tests run it: files to ledger over a small operator, then compaction."""

import contextlib
import datetime
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mediation.formats.frame import FileFormat
from mediation.formats.registry import format_names, load_format
from pipelines import reading
from pipelines.durable import Disk
from pipelines.home import Home, Input
from pipelines.journal import read_journal
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.catalogue import product_schemas
from pipelines.ledger.compact import compact
from pipelines.ledger.content_hash import content_hash
from pipelines.ledger.verify import verify
from pipelines.run import RunOptions, run
from pipelines.sample.generate import generate
from pipelines.snapshots import Snapshots
from tests.faults.platter import Platter

SUBSCRIBERS, SEED = 30, 20_260_301
COMPACTED = ("mediation", "charging")


class Place:
    """One home over a shared input, perhaps with its platter. All homes have the same keys, so that tokens agree."""

    def __init__(self, source: Path, folder: Path, lossy: bool = False, batch_records: int = 250, workers: int = 1
                 ) -> None:
        self.source, self.home = Input(source), Home(folder / "home")
        shutil.copytree(source.parent / "keys", self.home.keys)
        self.platter = Platter(self.home.root, folder / "platter") if lossy else None
        self._options = RunOptions(batch_records=batch_records, workers=workers)

    def stopped(self, at: int) -> None:
        """Started again."""

    def job(self, disk: Disk) -> dict[str, Any]:
        """Run, compact, and tell what the ledger says."""
        run(self.source, self.home, self._options, disk=disk)
        keys = Keys.open(self.home.keys, disk)
        ledger = Ledger.open(self.home.ledger, keys.signing_key, disk=disk)
        for name in COMPACTED:
            stream = ledger.stream(name)
            compact(ledger, stream)
            stream.close()
        return self.said()

    def said(self) -> dict[str, Any]:
        """Content hash by table; raises AssertionError when ledger, journal and snapshot do not hold together."""
        keys = Keys.open(self.home.keys)
        ledger = Ledger.open(self.home.ledger)
        report = verify(ledger, [keys.signing_key.public_key()])
        assert report.sound, report
        newest = Snapshots(self.home.snapshots).newest()
        assert newest is not None
        list(read_journal(self.home.journal, newest.position))
        return content_hash(ledger)


@contextlib.contextmanager
def warm() -> Iterator[None]:
    """What every child would do again is done: formats compiled and kept, schemas found. Starts no threads."""
    product_schemas()
    for name in format_names():
        kept_format(name)
    before = reading.load_format  # type: ignore[attr-defined]
    reading.load_format = lambda name, folder: kept_format(name)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        reading.load_format = before  # type: ignore[attr-defined]


@functools.cache
def kept_format(name: str) -> FileFormat:
    """A format of the house; the sample operator has none of its own."""
    return load_format(name)


def make_input(folder: Path) -> None:
    """Write the small operator's day, defects and all, and beside it the keys of all homes."""
    generate(folder, SUBSCRIBERS, datetime.date(2026, 3, 2), 1, SEED, files_per_source=1)
    Keys.open(folder.parent / "keys")
