"""`tarifa suspense recycle`, killed anywhere and called again: the content hash of an undisturbed one.

Called again alone, or after a run. Nothing is lost, nothing is doubled, every law holds and everything is settled.
"""

from pathlib import Path

import pytest

from tests.faults.after_run import RecyclePlace, make_mended_base
from tests.faults.crash_runner import run_child
from tests.faults.ordeal import SEED, Ordeal

STEPS = {"recycle.sighted", "vault.remember.1", "ledger.stage.1", "ledger.commit.1",
         "ledger.commit.2.1", "ledger.commit.2.2", "ledger.commit.2.3", "ledger.commit.2.4", "ledger.commit.3",
         "journal.append.1", "journal.append.2", "charge.folded", "snapshot.1", "snapshot.2", "snapshot.3"}


@pytest.fixture(scope="module")
def ordeal(tmp_path_factory: pytest.TempPathFactory) -> Ordeal:
    base = tmp_path_factory.mktemp("base") / "net"
    made = run_child(lambda disk: make_mended_base(base))
    assert not made.error, made.error
    return Ordeal.of(lambda folder, lossy: RecyclePlace(base, folder, lossy), tmp_path_factory.mktemp("undisturbed"))


def test_the_recycle_passes_every_step_and_moves_rows_of_every_stage(ordeal: Ordeal) -> None:
    assert set() == STEPS - set(ordeal.events)
    assert ordeal.expected["settled"] == [6]
    assert {reason for _, reason, _ in ordeal.expected["open"]} == {"bad_time", "key_conflict", "unknown_account"}


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
