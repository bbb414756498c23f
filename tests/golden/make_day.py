"""Makes the golden day: a tiny inbox of every format, and what a run of it must say. Run as a module, on purpose only.

    python -m tests.golden.make_day

The input is written once and kept; a change of the expected file is a change of what Tarifa charges, and is to be
explained in the commit that makes it.
"""

import datetime
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipelines.home import Home, Input
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.content_hash import content_hash
from pipelines.run import RunOptions, run
from pipelines.sample.generate import generate

HERE = Path(__file__).parent / "day-v1"
EXPECTED = HERE / "expected.json"
TABLES = ("balance", "collected", "command", "duplicate", "file_audit", "filtered", "held", "merged", "posting",
          "rated", "sequence_gap", "suspense", "usage")
SHOWN = ("file_id", "record_offset", "container_index", "account_id", "service", "quantity", "tariff_version", "plan",
         "zone", "band", "charge_nanos", "allowance_quantity", "uncollected_nanos", "status")
TOKEN_KEY = bytes(range(16)).hex()  # of this day only: tokens, and with them hashes, depend on it


def day(folder: Path) -> Input:
    """A copy of the day's input, which a run may do with as it likes."""
    shutil.copytree(HERE / "input", folder / "input")
    return Input(folder / "input")


def home(folder: Path) -> Home:
    """A fresh home with the day's own token key."""
    place = Home(folder / "home")
    Keys.open(place.keys)
    (place.keys / "token.key").write_text(f"tarifa-token 1 {TOKEN_KEY}\n")
    return place


def said(place: Home) -> dict[str, Any]:
    """What the ledger says, in the shape of the expected file."""
    ledger = Ledger.open(place.ledger)
    rows = ledger.table("rated").to_pylist()
    return {"content": content_hash(ledger, TABLES), "rows": {name: sum(p.num_rows for p in ledger.batches(name))
                                                              for name in TABLES},
            "rated": [{name: row[name] for name in SHOWN} for row in rows[::max(1, len(rows) // 12)]]}


def main() -> None:
    """Write the input if there is none, then what a run of it says."""
    if not (HERE / "input").exists():
        with tempfile.TemporaryDirectory() as aside:
            generate(Path(aside) / "input", 40, datetime.date(2026, 3, 2), 1, 1, files_per_source=1, scale=0.4)
            shutil.rmtree(Path(aside) / "input" / "answer-key")
            for second in (Path(aside) / "input" / "inbox").glob("*-02"):
                if second.with_name(second.name.replace("-02", "-01")).exists():
                    shutil.rmtree(second)  # one element of each kind will do
            shutil.copytree(Path(aside) / "input", HERE / "input")
    with tempfile.TemporaryDirectory() as folder:
        place = home(Path(folder))
        run(day(Path(folder)), place, RunOptions(workers=1))
        EXPECTED.write_text(json.dumps(said(place), indent=1) + "\n")


if __name__ == "__main__":
    main()
