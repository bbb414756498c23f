"""Write the golden ledger of the present format version: `python -m tests.golden.make_ledger`.

Run it when a new format version is made (into a new folder), never over an old version: what an earlier release wrote
must still be read, verified and resumed. Rows are few and fixed; the key is a test key, its public half is written
beside the ledger.
"""

import json
import shutil
from pathlib import Path

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.ledger import Ledger
from pipelines.ledger.compact import compact
from pipelines.ledger.content_hash import content_hash
from pipelines.ledger.log import FORMAT
from schemas.columns import Cells, ColumnSet, code_names
from schemas.rated import POSTING, RATED
from schemas.usage import HELD, SUSPENSE

FOLDER = Path(__file__).parent
# How long code lists were when this ledger was made, and columns that came later: these rows must not change.
FIRST_CODES = {"Unit": 5, "Reason": 25, "LedgerAccount": 11, "PostingReason": 8, "RatingStatus": 4}
LATER = {"category", "calling_prefix", "snssai", "segments", *RATED.names[RATED.index("status") + 1:]}
LATER_OF_POSTING = set(POSTING.names[POSTING.index("reason") + 1:])
START_US = 1_767_225_600_000_000  # 2026-01-01 UTC


def fixed_rows(columns: ColumnSet, rows: int, first: int) -> pa.Table:
    """Rows whose cells count up from `first`; every third cell of nullable columns is absent."""
    later = LATER | (LATER_OF_POSTING if columns is POSTING else set())
    first_ones = [c for c in columns.columns if c.name not in later]
    columns, labels = ColumnSet(columns.name, columns.version, tuple(first_ones)), {}
    cells = Cells.empty(columns, rows, fill=0)
    for i, column in enumerate(columns.columns):
        for row in range(rows):
            value = first + row + i
            if column.kind == "code":
                assert column.codes is not None
                value %= FIRST_CODES.get(column.codes.__name__, len(code_names(column.codes)))
            elif column.kind == "label":
                value %= 3
            elif column.kind == "bool":
                value %= 2
            elif column.kind == "time":
                value = START_US + value * 3_600_000_000
            elif column.kind == "uint64":
                value = -value - 2  # a pattern beyond int64; -1 would be ABSENT in a nullable column
            elif column.kind in ("int8", "int16"):
                value %= 100
            if column.nullable and column.name != "event_time_us" and (row + i) % 3 == 0:
                value = -1
            cells.matrix[i, row] = value
        if column.kind == "label":
            labels[column.name] = [f"{column.name}-{k}" for k in "abc"]
    return cells.to_arrow(labels)


def make(folder: Path) -> dict[str, object]:
    """A ledger of two streams with a claim, appends, a removed file, a cut, a compaction and signed heads."""
    signer = Ed25519PrivateKey.from_private_bytes(b"golden ledger key for tests only")
    ledger = Ledger.open(folder, signer)
    mediation, charging = ledger.stream("mediation", owner="golden"), ledger.stream("charging", owner="golden")
    mediation.commit([mediation.stage("suspense", fixed_rows(SUSPENSE, 2, 0)),
                      mediation.stage("held", fixed_rows(HELD, 1, 0)),
                      mediation.stage_bytes("duplicates", "run", b"keys")],
                     positions={"msc-1": (0, 5), "pgw-1": (0, 2)}, state={"files": 2},
                     reference={"snapshot": "s1", "kernels": "k1"})
    charging.commit(charging.stage_many({"rated": fixed_rows(RATED, 3, 0), "posting": fixed_rows(POSTING, 6, 0)}),
                    positions={"journal": (0, 1)}, state={"lanes": [1, 2]})
    ledger.cut("golden")
    mediation.commit(removed=[mediation.files("held")[0].path], positions={"pgw-1": (2, 3)}, state={"files": 3})
    charging.commit(charging.stage_many({"rated": fixed_rows(RATED, 3, 30), "posting": fixed_rows(POSTING, 6, 30)}),
                    positions={"journal": (1, 2)}, state={"lanes": [3, 4]})
    compact(ledger, charging, tables=["posting"])
    charging.close()
    mediation.close()
    return {"format": FORMAT, "public_key": signer.public_key().public_bytes_raw().hex(),
            "content_hash": content_hash(ledger), "content_hash_at_cut_1": content_hash(ledger, as_of=1),
            "versions": {name: log.version for name, log in ledger.logs().items()},
            "positions": {name: log.positions() for name, log in ledger.logs().items()}}


def main() -> None:
    folder = FOLDER / f"ledger-v{FORMAT}"
    shutil.rmtree(folder, ignore_errors=True)
    expected = make(folder / "ledger")
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
