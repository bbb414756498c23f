"""An operator who delivers files into a standing inbox in three goes, and a watch over it that may be killed.

Delivered again: a file that was taken already, and its content under another name. Order is by the time in the names,
so that it does not depend on which look found what.
"""

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines.archive import Archive
from pipelines.durable import Disk
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.run import RunOptions, RunSummary, watch
from tests.faults.after_run import HomePlace
from tests.tiny_network import ANNA, BEN, CARL, NOON, Network, call

GOES = 3
ROUNDS = 4 * GOES


class Standing(HomePlace):
    """The base's folder `later` holds the goes that are still to come; the inbox is empty at first and at last."""

    @property
    def inbox(self) -> Path:
        return self.source.inbox

    @property
    def later(self) -> Path:
        return self.source.root / "later"

    def deliver(self) -> bool:
        """What is left of the next go, each file whole and at once, as an operator should. False: all is delivered."""
        for go in sorted(self.later.iterdir()):
            for path in sorted(go.glob("*/*")):
                (self.inbox / path.parent.name).mkdir(exist_ok=True)
                path.rename(self.inbox / path.parent.name / path.name)
            shutil.rmtree(go)
            return True
        return False

    @property
    def all_taken(self) -> bool:
        return not list(self.later.iterdir()) and not [path for path in self.inbox.rglob("*") if path.is_file()]

    def job(self, disk: Disk) -> dict[str, Any]:
        """Deliver, and the next whenever something was taken; stand by until there is nothing more."""
        self.deliver()

        def taken(summary: RunSummary) -> None:
            self.deliver()

        watch(self.source, self.home, RunOptions(batch_records=3, workers=1, stable_s=0), ROUNDS, 0.0, taken, disk)
        return self.said()

    def said(self) -> dict[str, Any]:
        assert self.all_taken
        archive = Archive(self.home.archive, Keys.open(self.home.keys))
        rows = Ledger.open(self.home.ledger).table("collected").to_pylist()
        kept = {row["file_id"]: archive.stat(row["file_id"]).sha256.hex() for row in rows}
        assert all(len(archive.read_all(file_id)) for file_id in kept)
        return super().said() | {"archive": [kept[file_id] for file_id in sorted(kept)]}


def make_standing_base(folder: Path) -> None:
    """An operator's folder, an empty inbox, three goes."""
    network = Network(folder)
    for go in range(GOES):
        place = folder / "later" / str(go) / "voip-01"
        place.mkdir(parents=True)
        for _ in range(2):
            name = network.deliver([call(10 * network._files + n, (ANNA, BEN, CARL)[n % 3], seconds=30 * n + 1)
                                    for n in range(4)])
            (folder / "inbox" / "voip-01" / name).rename(place / name)
    stamp = (NOON + timedelta(minutes=3)).strftime("%Y%m%d%H%M%S")
    commands = folder / "later" / "1" / "commands"
    commands.mkdir()
    (commands / f"c_000001_{stamp}.jsonl").write_text(json.dumps(
        {"id": "t-1", "kind": "top_up", "time": "2026-10-21T12:00:00Z", "account_id": 1, "amount": "5.00",
         "currency": "EUR"}) + "\n")
    first = sorted((folder / "later" / "0" / "voip-01").iterdir())[0]
    shutil.copy2(first, folder / "later" / "2" / "voip-01" / first.name)
    other = (NOON + timedelta(minutes=20)).strftime("voip-01_000020_%Y%m%d%H%M%S.csv")
    shutil.copy2(first, folder / "later" / "2" / "voip-01" / other)
    Keys.open(folder / "home" / "keys")
