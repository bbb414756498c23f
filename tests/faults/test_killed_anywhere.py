"""Killed at any moment and run again: the same content hash as an undisturbed run, nothing lost, nothing doubled.

Moments are all durable operations and all crash points of collect, decode, both commits, journal, snapshot and
compaction; a seed picks among them, at least one of each name. `make test` takes a few, the slow tier over 200. The
seed is printed by a failure; TARIFA_FAULT_SEED sets it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.crash_runner import run_child
from tests.faults.ordeal import SEED, Ordeal
from tests.faults.whole_run import Place, make_input, warm

STEPS = {"collect.read", "collect.archived", "collect.committed", "archive.write.1", "archive.write.2",
         "archive.write.3", "decode.slice", "mediate.mediated", "mediate.sighted", "vault.remember.1",
         "vault.remember.2", "ledger.stage.1", "ledger.commit.1", "ledger.commit.2.1", "ledger.commit.2.2",
         "ledger.commit.2.3", "ledger.commit.2.4", "ledger.commit.3", "journal.append.1",
         "journal.append.2", "charge.folded", "snapshot.1", "snapshot.2", "snapshot.3", "ledger.compact.1"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("operator") / "input"
    with warm():
        made = run_child(lambda disk: make_input(folder))  # in a child: the parent is to have no threads
        assert not made.error, made.error
        yield folder


@pytest.fixture(scope="module")
def ordeal(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Ordeal:
    found = Ordeal.of(lambda folder, lossy: Place(source, folder, lossy), tmp_path_factory.mktemp("undisturbed"))
    assert {"rated", "posting", "usage", "suspense", "duplicate"} <= set(found.expected)
    return found


@pytest.fixture(scope="module")
def two_workers(source: Path, ordeal: Ordeal) -> Ordeal:
    """Stages on threads: which operation is the n-th differs from run to run, and with one worker it is another."""
    return Ordeal(lambda folder, lossy: Place(source, folder, lossy, workers=2), ordeal.expected, ordeal.events)


def test_the_job_passes_every_step_that_may_be_killed(ordeal: Ordeal) -> None:
    assert set() == STEPS - set(ordeal.events)


def test_two_undisturbed_runs_say_the_same(tmp_path: Path, ordeal: Ordeal) -> None:
    assert run_child(ordeal.make_place(tmp_path, False).job).result == ordeal.expected


def test_killed_anywhere(tmp_path: Path, ordeal: Ordeal) -> None:
    ordeal.killed(tmp_path, ordeal.chosen(8, SEED))


def test_power_lost_anywhere(tmp_path: Path, ordeal: Ordeal) -> None:
    ordeal.power_lost(tmp_path, ordeal.chosen(4, SEED + 1))


def test_disk_full_anywhere(tmp_path: Path, ordeal: Ordeal) -> None:
    ordeal.full(tmp_path, ordeal.chosen(3, SEED + 2))


def test_last_entries_torn(tmp_path: Path, ordeal: Ordeal) -> None:
    ordeal.torn(tmp_path, ("journal.append.1",), 1)


def test_killed_again_while_recovering(tmp_path: Path, ordeal: Ordeal) -> None:
    for at in ordeal.chosen(1, SEED + 3):
        ordeal.killed_again(tmp_path, at, (40, 160))


# The slow tier comes in shards, so that `pytest -n` can share it.
@pytest.mark.slow
@pytest.mark.parametrize("shard", range(4))
def test_killed_at_220_points(tmp_path: Path, ordeal: Ordeal, shard: int) -> None:
    assert ordeal.killed(tmp_path, ordeal.chosen(220, SEED, shard, 4)) == 55


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(4))
def test_power_lost_at_100_points(tmp_path: Path, ordeal: Ordeal, shard: int) -> None:
    assert ordeal.power_lost(tmp_path, ordeal.chosen(100, SEED + 1, shard, 4)) == 25


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(2))
def test_disk_full_at_50_points(tmp_path: Path, ordeal: Ordeal, shard: int) -> None:
    ordeal.full(tmp_path, ordeal.chosen(50, SEED + 2, shard, 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["journal.append.1", "vault.remember.1", "ledger.commit.2.1", "ledger.commit.2.2"])
def test_last_entries_torn_in_many_ways(tmp_path: Path, ordeal: Ordeal, name: str) -> None:
    ordeal.torn(tmp_path, (name,), 12)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(2))
def test_two_workers_killed_at_80_points(tmp_path: Path, two_workers: Ordeal, shard: int) -> None:
    assert two_workers.killed(tmp_path, two_workers.chosen(80, SEED + 4, shard, 2), sure=False) >= 30


@pytest.mark.slow
def test_two_workers_lose_power_at_30_points(tmp_path: Path, two_workers: Ordeal) -> None:
    assert two_workers.power_lost(tmp_path, two_workers.chosen(30, SEED + 5), sure=False) >= 20
