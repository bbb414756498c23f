"""A rerating killed at any moment and made again: the same ledger as one that was not disturbed."""

import copy
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.corrections.rerate import Request, rerate
from pipelines.durable import Disk
from pipelines.home import Home
from tests.faults.crash_runner import choose_points, run_child
from tests.faults.fault_disk import Script
from tests.faults.whole_run import Place, make_input, warm

SEED = int(os.environ.get("TARIFA_FAULT_SEED", "1"))
STEPS = {"correction.1", "correction.2", "correction.3", "journal.append.1", "journal.append.2", "charge.corrected",
         "ledger.stage.1", "ledger.commit.2.2", "snapshot.2"}


@pytest.fixture(scope="module")
def charged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A day that was run, and beside it tariffs that cost more. Not to be changed."""
    folder = tmp_path_factory.mktemp("operator") / "input"
    with warm():
        made = run_child(lambda disk: make_input(folder))  # in a child: the parent is to have no threads
        assert not made.error, made.error
        dearer = folder.parent / "dearer"
        shutil.copytree(folder / "operator" / "tariffs", dearer)
        for path in dearer.glob("*.yaml"):
            path.write_text(path.read_text().replace("connect_fee: '0.05'", "connect_fee: '0.07'"))
        place = Place(folder, tmp_path_factory.mktemp("charged"))
        ran = run_child(place.job)
        assert not ran.error, ran.error
        yield place


def beside(charged: Place, folder: Path) -> Place:
    """A copy of the home, over the same input."""
    place = copy.copy(charged)
    place.home = Home(folder / "home")
    shutil.copytree(charged.home.root, place.home.root)
    return place


def corrected(place: Place) -> Any:
    def job(disk: Disk) -> dict[str, Any]:
        request = Request(1_800_000_000_000_000, "tester", "dearer", tariff=str(place.source.root.parent / "dearer"))
        rerate(place.source, place.home, request, disk=disk)
        return place.said()
    return job


def killed(charged: Place, folder: Path, count: int) -> None:
    straight = run_child(corrected(beside(charged, folder / "straight")))
    assert not straight.error, straight.error
    assert set(straight.events) >= STEPS
    assert straight.result != charged.said() and "correction" in straight.result
    for at in choose_points(straight.events, count, SEED):
        place = beside(charged, folder / str(at))
        told = f"seed {SEED}, killed at event {at}, {straight.events[at - 1]}"
        assert run_child(corrected(place), Script(at, "kill", seed=SEED + at)).killed, told
        again = run_child(corrected(place))
        assert not again.error, f"{told}: {again.error}"
        assert again.result == straight.result, told


def test_a_rerating_killed_and_made_again_is_as_one_that_was_not(charged: Place, tmp_path: Path) -> None:
    killed(charged, tmp_path, 8)


@pytest.mark.slow
def test_a_rerating_killed_at_every_step(charged: Place, tmp_path: Path) -> None:
    killed(charged, tmp_path, 1000)
