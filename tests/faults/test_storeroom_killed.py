"""Keys, archive, vault, journal and snapshots, stopped at their durable operations and crash points.

`make test` takes some of each kind; the slow tier every single one.
"""

import errno
from pathlib import Path

import pytest

from tests.faults import storeroom
from tests.faults.crash_runner import choose_points, run_child
from tests.faults.fault_disk import FaultDisk, Script
from tests.faults.platter import Platter


class Place:
    """A home, what was promised about it, and perhaps its platter."""

    def __init__(self, folder: Path, lossy: bool = False) -> None:
        self.home, self.answered = folder / "home", folder / "answered"
        self.home.mkdir(parents=True)
        self.platter = Platter(self.home, folder / "platter") if lossy else None

    def job(self, disk: FaultDisk) -> object:
        return storeroom.job(self.home, self.answered, disk)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, list[str]]:
    outcome = run_child(Place(tmp_path_factory.mktemp("undisturbed")).job)
    assert not outcome.error
    return outcome.result, outcome.events


def test_the_job_passes_every_crash_point_of_the_storeroom(undisturbed: tuple[object, list[str]]) -> None:
    expected = {"archive.write.1", "archive.write.2", "archive.write.3", "journal.append.1", "journal.append.2",
                "journal.roll.1", "journal.roll.2", "journal.roll.3", "journal.trim.1", "keys.make.2", "keys.seal.2",
                "snapshot.1", "snapshot.2", "snapshot.3", "vault.remember.1", "vault.remember.2", "vault.seal.1",
                "vault.seal.2", "vault.seal.3", "vault.audit.1"}
    assert expected <= set(undisturbed[1])


def killed_at_each(folder: Path, undisturbed: tuple[object, list[str]], points: list[int]) -> None:
    expected, events = undisturbed
    for at in points:
        place = Place(folder / str(at))
        assert run_child(place.job, Script(at, "kill", seed=at)).killed, f"event {at}, {events[at - 1]}"
        again = run_child(place.job)
        assert not again.error, f"killed at event {at}, {events[at - 1]}: {again.error}"
        assert again.result == expected, f"killed at event {at}, {events[at - 1]}"
        assert storeroom.leftovers(place.home) == []


def power_lost_at_each(folder: Path, undisturbed: tuple[object, list[str]], points: list[int]) -> None:
    expected, events = undisturbed
    for at in points:
        place = Place(folder / str(at), lossy=True)
        assert place.platter is not None
        assert run_child(place.job, Script(at, "kill", seed=at), place.platter).killed
        place.platter.lose_power(None if at % 3 == 0 else at)
        again = run_child(place.job, platter=place.platter)
        assert not again.error, f"power lost at event {at}, {events[at - 1]}: {again.error}"
        assert again.result == expected, f"power lost at event {at}, {events[at - 1]}"


def test_killed_and_run_again_nothing_is_lost(tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    killed_at_each(tmp_path, undisturbed, choose_points(undisturbed[1], 40, seed=1))


def test_power_lost_what_was_answered_is_there(tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    power_lost_at_each(tmp_path, undisturbed, choose_points(undisturbed[1], 40, seed=2))


@pytest.mark.slow
def test_killed_at_every_operation_nothing_is_lost(tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    killed_at_each(tmp_path, undisturbed, list(range(1, len(undisturbed[1]) + 1)))


@pytest.mark.slow
def test_power_lost_at_every_operation_what_was_answered_is_there(
        tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    power_lost_at_each(tmp_path, undisturbed, list(range(1, len(undisturbed[1]) + 1)))


def test_power_lost_twice_once_while_recovering(tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    expected, events = undisturbed
    for at in choose_points(events, 5, seed=7):
        place = Place(tmp_path / str(at), lossy=True)
        assert place.platter is not None
        for further in (at, 9 + at % 23):
            run_child(place.job, Script(further, "kill", seed=further), place.platter)
            place.platter.lose_power(further)
        assert run_child(place.job, platter=place.platter).result == expected, f"event {at}, {events[at - 1]}"


def test_disk_full_at_any_operation_is_told_and_later_made_good(
        tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    expected, events = undisturbed
    for at in choose_points(events, 30, seed=3):
        place = Place(tmp_path / str(at))
        full = run_child(place.job, Script(at, "full", seed=at))
        assert full.error == "" or full.error_number == errno.ENOSPC, full.error
        again = run_child(place.job)
        assert not again.error, f"full from event {at}, {events[at - 1]}: {again.error}"
        assert again.result == expected


def test_a_disk_that_never_syncs_would_be_found_out(tmp_path: Path, undisturbed: tuple[object, list[str]]) -> None:
    """The platter has teeth: without the journal's syncs, what was answered is lost."""
    place = Place(tmp_path, lossy=True)
    assert place.platter is not None
    place.platter.range_synced = lambda path, start, stop: None  # type: ignore[method-assign]
    last = len(undisturbed[1])
    assert run_child(place.job, Script(last, "kill"), place.platter).killed
    place.platter.lose_power()
    assert "at least" in run_child(place.job).error
