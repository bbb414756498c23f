"""Corrections, piece by piece: who is concerned, under which tariffs, and what is left of a file that was damaged."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from pipelines.corrections.correction import read_correction, write_correction
from pipelines.corrections.layers import Layer, Layers
from pipelines.corrections.scope import named_accounts, with_sharers
from pipelines.corrections.withdrawn import IDS, Withdrawn, renumber
from schemas.columns import Cells
from schemas.errors import LedgerError
from schemas.rated import MEASURES, RATED


def test_whoever_shares_with_whoever_shares_comes_along() -> None:
    ids = np.array([1, 2, 3, 4, 5, 9])
    pairs = np.array([[1, 4], [2, 4], [3, 9], [7, 5]])
    assert with_sharers(ids, pairs, np.array([1])).tolist() == [1, 2, 4]
    assert with_sharers(ids, pairs, np.array([9, 77])).tolist() == [3, 9]
    assert with_sharers(ids, pairs, np.array([5])).tolist() == [5], "an account that was never opened ties nobody"
    assert with_sharers(ids, np.empty((0, 2), np.int64), np.empty(0, np.int64)).tolist() == []


def test_a_command_names_the_accounts_that_it_moves() -> None:
    assert named_accounts({"account_id": 3, "to_account_id": 4, "amount": "1"}) == [3, 4]
    assert named_accounts({"account_id": True, "shared_account_id": "4", "other_account_id": -1}) == []


def test_the_newest_layer_that_covers_an_event_counts_and_what_is_charged_later_has_none() -> None:
    base, first, second = (SimpleNamespace(name=name) for name in ("base", "first", "second"))
    layers = Layers(lambda reference: base, [  # type: ignore[arg-type, return-value]
        Layer(10, first, 100, 200), Layer(20, second, 150, 300, np.array([1]))])  # type: ignore[arg-type]
    account, time = np.array([1, 1, 2, 2, 1]), np.array([120, 160, 160, 250, 99])
    found = layers.runs("r", 5, account, time)
    assert [(start, stop, each.name) for start, stop, each in found] == [  # type: ignore[attr-defined]
        (0, 1, "first"), (1, 2, "second"), (2, 3, "first"), (3, 5, "base")]
    assert [each.name for *_, each in layers.runs("r", 15, account, time)] == [  # type: ignore[attr-defined]
        "base", "second", "base"]
    assert layers.at("r", 5, 160, 2) is first and layers.at("r", 5, 160, 1) is second
    assert layers.at("r", 25, 160, 1) is base and layers.at("r", 5, None) is base
    assert layers.runs("r", 5, account[:0], time[:0]) == []


def test_a_correction_is_read_back_as_written_and_refused_when_damaged(tmp_path: Path) -> None:
    chunks = [("rated", pa.table({"a": [1, 2]})), ("rated", pa.table({"a": [3]})), ("book.plans", pa.table({"b": [4]}))]
    digest = write_correction(tmp_path, {"who": "tester"}, chunks)
    found = read_correction(tmp_path, digest)
    assert found.facts == {"who": "tester"} and found.names() == ["rated"]
    assert [table["a"].to_pylist() for table in found.tables("rated")] == [[1, 2], [3]]
    assert found.book()["plans"]["b"].to_pylist() == [4]
    [path] = tmp_path.glob("*.correction")
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="damaged"):
        read_correction(tmp_path, digest)
    path.unlink()
    with pytest.raises(LedgerError, match="the journal names"):
        read_correction(tmp_path, digest)


def test_an_event_that_comes_again_goes_on_with_its_next_revision() -> None:
    rated = Cells.empty(RATED, 3, fill=0)
    rated["event_id_hi"], rated["event_id_lo"] = [7, 8, 9], [1, 1, 1]
    ids = np.array([(8, 1), (9, 2)], IDS)
    renumber(rated, Withdrawn(ids, np.array([4, 2])))
    assert rated["revision"].tolist() == [0, 4, 0]


def test_a_reversal_negates_what_adds_up_and_nothing_else() -> None:
    assert {"quantity", "charge_nanos", "uncollected_nanos", "allowance_quantity", "duration_s"} <= set(MEASURES)
    assert not any("before" in name or name.endswith(("_us", "_id", "_token")) for name in MEASURES)
