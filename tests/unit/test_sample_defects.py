"""Injected defects: each is in the files, where the answer key says, and the score counts what was found."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.sample.defects import EXPECTED
from pipelines.sample.population import NOBODY, SWAPPED, imsi_digits
from pipelines.sample.score import score
from schemas.codes import Reason
from tests.unit.sample_operator import Read, make, read_file


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("broken") / "out", defects=True, subscribers=1000).out


@pytest.fixture(scope="module")
def defects(broken: Path) -> list[dict]:
    rows: list[dict] = pq.read_table(broken / "answer-key" / "defects.parquet").to_pylist()
    return rows


def _of(defects: list[dict], kind: str) -> list[dict]:
    return [d for d in defects if d["kind"] == kind]


def _path(broken: Path, defect: dict) -> Path:
    return broken / "inbox" / defect["source"] / defect["file_name"]


def _status(found: Read, offset: int) -> int:
    return int(found.cells["status"][found.cells["record_offset"] == offset][0])


def test_every_kind_is_there(defects: list[dict]) -> None:
    assert {d["kind"] for d in defects} == set(EXPECTED)


def test_nothing_of_the_answer_key_lies_in_the_input(broken: Path) -> None:
    assert sorted(p.name for p in (broken / "answer-key").iterdir()) == \
        ["clean.parquet", "defects.parquet", "files.parquet"]
    assert {p.suffix for p in (broken / "inbox").rglob("*") if p.is_file()} <= \
        {".dat", ".csv", ".json", ".rad", ".jsonl"}


def test_a_repeated_record_stands_twice_in_its_source(broken: Path, defects: list[dict]) -> None:
    for defect in _of(defects, "repeated_record"):
        data, at = _path(broken, defect).read_bytes(), defect["record_offset"]
        record = data[at:at + defect["record_length"]]
        assert data[at - len(record):at] == record


def test_a_conflict_has_the_same_length_of_key_and_other_content(broken: Path, defects: list[dict]) -> None:
    for defect in _of(defects, "key_conflict"):
        found = read_file(_path(broken, defect)).cells
        assert (found["record_offset"] == defect["record_offset"]).any()


def test_damaged_records_are_where_the_key_says_and_nowhere_else(broken: Path, defects: list[dict]) -> None:
    places = {(d["source"], d["file_name"], d["record_offset"])
              for d in defects if d["kind"] in ("corrupted_record", "truncated_record")}
    names = {reason.name.lower() for reason in Reason}
    bad = set()
    for folder in (p for p in (broken / "inbox").iterdir() if p.name != "commands"):
        for path in folder.iterdir():
            cells = read_file(path).cells
            for offset, status in zip(cells["record_offset"].tolist(), cells["status"].tolist(), strict=True):
                if status != Reason.OK:
                    bad.add((folder.name, path.name, offset))
    repeated = {(d["source"], d["file_name"].rsplit("_", 1)[0]) for d in _of(defects, "repeated_file")}
    assert {b for b in bad if (b[0], b[1].rsplit("_", 1)[0]) not in repeated} == \
        {p for p in places if (p[0], p[1].rsplit("_", 1)[0]) not in repeated}
    for defect in _of(defects, "corrupted_record") + _of(defects, "truncated_record"):
        assert set(defect["reasons"]) <= names
        status = _status(read_file(_path(broken, defect)), defect["record_offset"])
        assert Reason(status).name.lower() in defect["reasons"]


def test_files_are_missing_repeated_and_lying_as_the_key_says(broken: Path, defects: list[dict]) -> None:
    assert all(not _path(broken, d).exists() for d in _of(defects, "missing_file"))
    for defect in _of(defects, "repeated_file"):
        stem = defect["file_name"].rsplit("_", 1)[0]
        copies = sorted(_path(broken, defect).parent.glob(f"{stem}_*"))
        assert len(copies) == 2 and len({hashlib.sha256(p.read_bytes()).digest() for p in copies}) == 1
    for defect in _of(defects, "header_lies"):
        if not defect["source"].startswith(("nchf", "wifi")):  # formats without a header
            assert read_file(_path(broken, defect)).frame.header_lies


def test_a_lost_partial_leaves_a_hole_and_a_late_one_comes_hours_after(broken: Path, defects: list[dict]) -> None:
    for defect in _of(defects, "lost_partial") + _of(defects, "late_partial"):
        if defect["source"].startswith(("pgw", "chf")):
            holders = [path.name for path in sorted((broken / "inbox" / defect["source"]).iterdir())
                       if defect["sequence"] in read_file(path).cells["local_sequence"].tolist()]
            if defect["kind"] == "lost_partial":
                assert holders == []
            else:
                assert defect["file_name"] in holders


def test_skewed_clocks_and_wrong_identities_are_in_the_records(broken: Path, defects: list[dict]) -> None:
    for defect in _of(defects, "clock_skew"):
        cells = read_file(_path(broken, defect)).cells
        at = cells["record_offset"] == defect["record_offset"]
        assert cells["start_time_us"][at][0] > cells["start_time_us"][~at].max() + 12 * 3_600_000_000
    assert _of(defects, "unknown_subscriber") and _of(defects, "stale_port")


def test_the_score_counts_what_was_found(broken: Path, defects: list[dict]) -> None:
    nothing = score(broken / "answer-key", {}).to_pylist()
    assert sum(r["injected"] for r in nothing) == len(defects) and not any(r["found"] for r in nothing)
    names = {(d["source"], d["file_name"]) for d in defects if d["file_name"]}
    ids = {name: number for number, name in enumerate(sorted(names), 1)}
    lies = {(d["source"], d["file_name"]) for d in _of(defects, "header_lies")}
    twice = {(d["source"], d["file_name"]) for d in _of(defects, "repeated_file")}
    placed = [d for d in defects if d["record_offset"] is not None]
    late = [d for d in defects if d["kind"] == "late_batch"]
    audit = [{"source": s, "file_name": n, "file_id": i, "header_lies": (s, n) in lies,
              "state": "duplicate_file" if (s, n) in twice else "read"} for (s, n), i in ids.items()]

    def places(expected: str, rows: list[dict]) -> list[dict]:
        return [{"source": d["source"], "file_id": ids[d["source"], d["file_name"]],
                 "record_offset": d["record_offset"] or 0, "reason": (d["reasons"] or [""])[0]}
                for d in rows if d["expected"] == expected]

    def gaps(expected: str) -> list[dict]:
        return [{"source": d["source"], "first": d["sequence"], "last": d["sequence"]}
                for d in defects if d["expected"] == expected]

    everything = {
        "file_audit": audit, "suspense": places("suspended", placed), "duplicate": places("duplicate", placed),
        "accepted": places("accepted", placed + late), "sequence_gap": gaps("sequence_gap"),
        "file_gap": gaps("file_gap"), "tariff": [{"note": "prefix 33 moved to another zone"}]}
    found = score(broken / "answer-key", {name: pa.Table.from_pylist(rows) for name, rows in everything.items()})
    assert found.column("missed").to_pylist() == [0] * found.num_rows
    assert sum(found.column("found").to_pylist()) == len(defects)


def test_a_gap_that_wraps_is_found(tmp_path: Path) -> None:
    rows = [{"kind": "lost_partial", "source": "pgw-01", "expected": "sequence_gap", "sequence": s} for s in (1, 9)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "defects.parquet")
    key = pq.read_table(tmp_path / "defects.parquet").append_column("file_name", pa.array(["", ""]))
    pq.write_table(key, tmp_path / "defects.parquet")
    gap = pa.table({"source": ["pgw-01"], "first": [(1 << 32) - 2], "last": [3]})
    assert score(tmp_path, {"sequence_gap": gap}).column("found").to_pylist() == [1]


def test_numbers_that_nobody_has_are_nobodys() -> None:
    """Multiples spread over all numbers: a range of its own would hold some subscriber's, from 100,000 on."""
    index = np.arange(200_000)
    held = {*imsi_digits(index).tolist(), *imsi_digits(index + SWAPPED).tolist()}
    assert len(held) == 400_000
    assert held.isdisjoint(imsi_digits(index * 50 + NOBODY).tolist())
