"""Compaction and vacuum, killed anywhere and called again: the same rows, all that lives is there, nothing else is."""

from pathlib import Path

import pytest

from tests.faults.after_run import UpkeepPlace, make_worn_base
from tests.faults.ordeal import SEED, Ordeal

STEPS = {"ledger.compact.1", "ledger.stage.1", "ledger.commit.1", "ledger.commit.2.1", "ledger.commit.2.2",
         "ledger.commit.2.3", "ledger.commit.2.4", "ledger.commit.3", "disk.unlink"}


@pytest.fixture(scope="module")
def ordeal(tmp_path_factory: pytest.TempPathFactory) -> Ordeal:
    base = tmp_path_factory.mktemp("base") / "net"
    make_worn_base(base)
    return Ordeal.of(lambda folder, lossy: UpkeepPlace(base, folder, lossy), tmp_path_factory.mktemp("undisturbed"))


def test_upkeep_passes_every_step_and_joins_files(ordeal: Ordeal) -> None:
    assert set() == STEPS - set(ordeal.events)
    assert ordeal.expected["files"]["collected"] == 1 and ordeal.expected["files"]["rated"] == 5, "one an event date"


def test_killed_anywhere_and_called_again_it_is_the_same(tmp_path: Path, ordeal: Ordeal) -> None:
    ordeal.killed(tmp_path, ordeal.chosen(4, SEED))


def test_power_lost_anywhere_and_called_again_it_is_the_same(tmp_path: Path, ordeal: Ordeal) -> None:
    ordeal.power_lost(tmp_path, ordeal.chosen(1, SEED + 1))


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(2))
def test_killed_at_every_operation(tmp_path: Path, ordeal: Ordeal, shard: int) -> None:
    ordeal.killed(tmp_path, range(1 + shard, len(ordeal.events) + 1, 2))


@pytest.mark.slow
def test_power_lost_at_60_points(tmp_path: Path, ordeal: Ordeal) -> None:
    ordeal.power_lost(tmp_path, ordeal.chosen(60, SEED + 1))


@pytest.mark.slow
def test_disk_full_at_30_points(tmp_path: Path, ordeal: Ordeal) -> None:
    ordeal.full(tmp_path, ordeal.chosen(30, SEED + 2))


@pytest.mark.slow
def test_killed_again_while_recovering(tmp_path: Path, ordeal: Ordeal) -> None:
    for at in ordeal.chosen(6, SEED + 3):
        ordeal.killed_again(tmp_path, at, (20 + at % 7, 45, 70))
