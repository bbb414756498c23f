"""Ledgers that earlier format versions wrote are still read, verified and resumed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipelines.ledger import Ledger
from pipelines.ledger.content_hash import content_hash
from pipelines.ledger.log import FORMAT
from pipelines.ledger.sql import open_duckdb
from pipelines.ledger.verify import verify
from schemas.rated import RATED
from tests.golden.make_ledger import fixed_rows, make

GOLDEN = sorted(Path(__file__).parent.glob("ledger-v*"))


@pytest.fixture(params=GOLDEN, ids=lambda each: each.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Ledger, dict[str, Any]]:
    shutil.copytree(request.param / "ledger", tmp_path / "ledger")
    return Ledger.open(tmp_path / "ledger"), json.loads((request.param / "expected.json").read_text())


def test_there_is_a_golden_ledger_of_every_format_version() -> None:
    assert [each.name for each in GOLDEN] == [f"ledger-v{version}" for version in range(1, FORMAT + 1)]


def test_golden_ledger_is_read(golden: tuple[Ledger, dict[str, Any]]) -> None:
    ledger, expected = golden
    assert content_hash(ledger) == expected["content_hash"]
    assert content_hash(ledger, as_of=1) == expected["content_hash_at_cut_1"]
    connection = open_duckdb(ledger)
    assert connection.sql("SELECT count(*) FROM posting").fetchall() == [(12,)]
    assert connection.sql("SELECT min(length(event_id)), count(*) FROM rated").fetchall() == [(32, 6)]


def test_golden_ledger_is_verified(golden: tuple[Ledger, dict[str, Any]]) -> None:
    ledger, expected = golden
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(expected["public_key"]))
    report = verify(ledger, [key])
    assert report.sound, report.findings
    assert report.signatures
    assert report.rows


def test_golden_ledger_is_resumed(golden: tuple[Ledger, dict[str, Any]]) -> None:
    ledger, expected = golden
    stream = ledger.stream("charging", owner="this release")
    assert stream.version == expected["versions"]["charging"] + 1
    assert stream.positions == expected["positions"]["charging"]
    assert stream.state == {"lanes": [3, 4]}
    stream.commit([stream.stage("rated", fixed_rows(RATED, 2, 60))], positions={"journal": (2, 3)})
    assert ledger.table("rated").num_rows == 8
    assert verify(ledger).sound


def test_what_is_written_now_says_the_same_as_the_golden_ledger(tmp_path: Path) -> None:
    """The content hash of the same rows is the same in every release."""
    expected = json.loads((GOLDEN[-1] / "expected.json").read_text())
    again = make(tmp_path)
    assert {name: again[name] for name in expected} == expected
