"""Killed at any moment and run again: the same content hash as an undisturbed run, nothing lost, nothing doubled.

Moments are all durable operations and all crash points of collect, decode, both commits, journal, snapshot and
compaction; a seed picks among them, at least one of each name. `make test` takes a few, the slow tier over 200. The
seed is printed by a failure; TARIFA_FAULT_SEED sets it.
"""

import errno
import os
from pathlib import Path

import pytest

from tests.faults.crash_runner import choose_points, run_child
from tests.faults.fault_disk import Script
from tests.faults.whole_run import Place, make_input, warm

SEED = int(os.environ.get("TARIFA_FAULT_SEED", "1"))
STEPS = {"collect.read", "collect.archived", "collect.committed", "archive.write.1", "archive.write.2",
         "archive.write.3", "decode.slice", "mediate.mediated", "mediate.sighted", "vault.remember.1",
         "vault.remember.2", "ledger.stage.1", "ledger.commit.1", "ledger.commit.2.1", "ledger.commit.2.2",
         "ledger.commit.2.3", "ledger.commit.2.4", "ledger.commit.3", "journal.append.1",
         "journal.append.2", "charge.folded", "snapshot.1", "snapshot.2", "snapshot.3", "ledger.compact.1"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("operator") / "input"
    warm()
    made = run_child(lambda disk: make_input(folder))  # in a child: the parent is to have no threads
    assert not made.error, made.error
    return folder


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, list[str]]:
    outcome = run_child(Place(source, tmp_path_factory.mktemp("undisturbed")).job)
    assert not outcome.error, outcome.error
    assert {"rated", "posting", "usage", "suspense", "duplicate"} <= set(outcome.result)
    return outcome.result, outcome.events


def resumed_as_undisturbed(place: Place, expected: object, told: str) -> None:
    again = run_child(place.job, platter=place.platter)
    assert not again.error, f"{told}: {again.error}"
    assert again.result == expected, told


def killed(source: Path, folder: Path, undisturbed: tuple[object, list[str]], count: int, shard: int = 0, of: int = 1
           ) -> int:
    expected, events = undisturbed
    points = choose_points(events, count, SEED)[shard::of]
    for at in points:
        place = Place(source, folder / str(at))
        told = f"seed {SEED}, killed at event {at}, {events[at - 1]}"
        assert run_child(place.job, Script(at, "kill", seed=SEED + at)).killed, told
        resumed_as_undisturbed(place, expected, told)
    return len(points)


def power_lost(source: Path, folder: Path, undisturbed: tuple[object, list[str]], count: int, shard: int = 0,
               of: int = 1) -> None:
    expected, events = undisturbed
    for at in choose_points(events, count, SEED + 1)[shard::of]:
        place = Place(source, folder / str(at), lossy=True)
        assert place.platter is not None
        told = f"seed {SEED}, power lost at event {at}, {events[at - 1]}"
        assert run_child(place.job, Script(at, "kill", seed=SEED + at), place.platter).killed, told
        place.platter.lose_power(None if at % 2 else SEED + at)
        resumed_as_undisturbed(place, expected, told)


def full(source: Path, folder: Path, undisturbed: tuple[object, list[str]], count: int, shard: int = 0, of: int = 1
         ) -> None:
    expected, events = undisturbed
    for at in choose_points(events, count, SEED + 2)[shard::of]:
        place = Place(source, folder / str(at))
        told = f"seed {SEED}, disk full from event {at}, {events[at - 1]}"
        stopped = run_child(place.job, Script(at, "full", seed=SEED + at))
        assert stopped.error == "" or os.strerror(errno.ENOSPC) in stopped.error, f"{told}: {stopped.error}"
        resumed_as_undisturbed(place, expected, told)


def torn(source: Path, folder: Path, undisturbed: tuple[object, list[str]], names: tuple[str, ...], seeds: int) -> None:
    """The last entry of journal, vault log or ledger log was written and not synced when the power failed."""
    expected, events = undisturbed
    for name in names:
        places = [n for n, event in enumerate(events, 1) if event == name]
        for seed in range(seeds):
            at = places[(SEED + seed * 7) % len(places)]
            place = Place(source, folder / f"{name}-{seed}", lossy=True)
            assert place.platter is not None
            assert run_child(place.job, Script(at, "kill"), place.platter).killed
            place.platter.lose_power(SEED + seed)
            resumed_as_undisturbed(place, expected, f"seed {SEED + seed}, torn at event {at}, {name}")


def test_the_job_passes_every_step_that_may_be_killed(undisturbed: tuple[object, list[str]]) -> None:
    assert set() == STEPS - set(undisturbed[1])


def test_two_undisturbed_runs_say_the_same(source: Path, tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    assert run_child(Place(source, tmp_path).job).result == undisturbed[0]


def test_killed_anywhere(source: Path, tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    killed(source, tmp_path, undisturbed, 8)


def test_power_lost_anywhere(source: Path, tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    power_lost(source, tmp_path, undisturbed, 4)


def test_disk_full_anywhere(source: Path, tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    full(source, tmp_path, undisturbed, 3)


def test_last_entries_torn(source: Path, tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    torn(source, tmp_path, undisturbed, ("journal.append.1",), 1)


def test_killed_again_while_recovering(source: Path, tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    expected, events = undisturbed
    for at in choose_points(events, 1, SEED + 3):
        place = Place(source, tmp_path / str(at))
        run_child(place.job, Script(at, "kill", seed=at))
        for further in (40, 160):
            run_child(place.job, Script(further, "kill", seed=further))
        resumed_as_undisturbed(place, expected, f"seed {SEED}, killed three times, first at event {at}")


# The slow tier comes in shards, so that `pytest -n` can share it.
@pytest.mark.slow
@pytest.mark.parametrize("shard", range(4))
def test_killed_at_220_points(source: Path, tmp_path: Path, undisturbed: tuple[object, list[str]], shard: int) -> None:
    assert killed(source, tmp_path, undisturbed, 220, shard, 4) == 55


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(4))
def test_power_lost_at_100_points(
        source: Path, tmp_path: Path, undisturbed: tuple[object, list[str]], shard: int) -> None:
    power_lost(source, tmp_path, undisturbed, 100, shard, 4)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(2))
def test_disk_full_at_50_points(
        source: Path, tmp_path: Path, undisturbed: tuple[object, list[str]], shard: int) -> None:
    full(source, tmp_path, undisturbed, 50, shard, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["journal.append.1", "vault.remember.1", "ledger.commit.2.1", "ledger.commit.2.2"])
def test_last_entries_torn_in_many_ways(
        source: Path, tmp_path: Path, undisturbed: tuple[object, list[str]], name: str) -> None:
    torn(source, tmp_path, undisturbed, (name,), 12)
