"""Commits of rated events and postings, durable: many small ones, and big ones.

Rows are seeded noise with the shapes of real ones (hashes, tokens, rising offsets, sparse columns). Reports rows/s,
p50 and p99 of a commit, octets a row, and the content hash of what was written.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.ledger import Ledger
from pipelines.ledger.content_hash import content_hash
from schemas.columns import ABSENT, Cells, ColumnSet, code_names
from schemas.rated import POSTING, RATED

DAY_US = 1_767_225_600_000_000  # 2026-01-01 UTC
# Columns that most rows leave empty: packet data fields in voice rows and the reverse.
_SPARSE = frozenset({"forwarded_token", "gateway_address", "charging_id", "rating_group", "service_identifier",
                     "partial_sequence", "rat_type", "apn", "address_token", "uplink_octets", "downlink_octets"})


def sample_cells(columns: ColumnSet, rows: int, seed: int = 1) -> tuple[Cells, dict[str, list[str]]]:
    """Cells of `columns` and their labels: plausible widths and repetition, no meaning."""
    random = np.random.default_rng(seed)
    cells, labels = Cells.empty(columns, rows, fill=0), {}
    for i, column in enumerate(columns.columns):
        name = column.name
        if column.kind == "code":
            assert column.codes is not None
            cells.matrix[i] = random.integers(0, len(code_names(column.codes)), rows)
        elif column.kind == "label":
            labels[name] = [f"{name}-{k}" for k in range(20)]
            cells.matrix[i] = random.integers(0, 20, rows)
        elif column.kind == "bool":
            cells.matrix[i] = random.random(rows) < 0.05
        elif column.kind == "time":
            cells.matrix[i] = DAY_US + np.sort(random.integers(0, 86_400, rows)) * 1_000_000
        elif name.endswith(("_hi", "_lo", "_token")):
            cells.matrix[i] = random.integers(0, 1 << 63, rows)
        elif name in ("file_id", "journal_position", "revision", "leg"):
            cells.matrix[i] = 1
        elif name == "record_offset":
            cells.matrix[i] = np.arange(rows) * 180
        elif name.endswith(("_octets", "quantity")):
            cells.matrix[i] = random.lognormal(10, 2, rows).astype(np.int64)
        elif name.endswith("_nanos") or name == "amount":
            cells.matrix[i] = random.integers(0, 2_000, rows) * 1_000_000
        elif column.kind in ("int8", "int16"):
            cells.matrix[i] = random.integers(0, 20, rows)
        else:
            cells.matrix[i] = random.integers(0, 100_000, rows)
        if name in _SPARSE and column.nullable:
            cells.matrix[i, random.random(rows) < 0.7] = ABSENT
    return cells, labels


def sample_table(columns: ColumnSet, rows: int, seed: int = 1) -> pa.Table:
    cells, labels = sample_cells(columns, rows, seed)
    return cells.to_arrow(labels)


def run(folder: Path, commits: int, rows: int, tables: tuple[ColumnSet, ...] = (RATED, POSTING)) -> dict[str, object]:
    """`commits` commits of `rows` rows in each of `tables`, under `folder`. Returns the figures."""
    ledger = Ledger.open(folder, Ed25519PrivateKey.generate())
    stream = ledger.stream("charging", owner="benchmark")
    samples = {each.name: sample_table(each, rows, seed) for seed, each in enumerate(tables, 1)}
    taken = []
    for i in range(commits):
        before = time.perf_counter()
        stream.commit(stream.stage_many(samples),
                      positions={"journal": (i * rows, (i + 1) * rows)})
        taken.append(time.perf_counter() - before)
    stream.close()
    octets = sum(each.octets for each in stream.files())
    started = time.perf_counter()
    Ledger.open(folder).logs()
    opened_s = time.perf_counter() - started
    return {"tables": "+".join(each.name for each in tables), "commits": commits, "rows_per_commit": rows,
            "rows_per_s": round(commits * rows / sum(taken)), "commit_p50_ms": round(float(np.median(taken)) * 1e3, 2),
            "commit_p99_ms": round(float(np.quantile(taken, 0.99)) * 1e3, 2),
            "octets_per_row": round(octets / (commits * rows), 1), "open_s": round(opened_s, 4),
            "content_hash": content_hash(ledger)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    parser.add_argument("--smoke", action="store_true", help="a few rows, to see that it runs")
    options = parser.parse_args()
    sizes = [(3, 100)] if options.smoke else [(200, 5_000), (20, 100_000), (4, 500_000)]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for i, (commits, rows) in enumerate(sizes):
            for tables in ((POSTING,), (RATED,), (RATED, POSTING)):
                print(json.dumps(run(Path(folder) / f"{i}-{len(tables)}-{tables[0].name}", commits, rows, tables)))


if __name__ == "__main__":
    main()
