"""`tarifa run --watch`, killed anywhere, above all where it picks files up: none is lost, none is taken twice."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.crash_runner import run_child
from tests.faults.ordeal import SEED, Ordeal
from tests.faults.standing_inbox import GOES, Standing, make_standing_base

PICK_UP = ("collect.read", "archive.write.1", "archive.write.2", "archive.write.3", "collect.archived",
           "ledger.commit.2.1", "ledger.commit.2.2", "collect.committed", "collect.removed")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "net"
    make_standing_base(folder)
    return folder


@pytest.fixture(scope="module")
def ordeal(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Ordeal:
    return Ordeal.of(lambda folder, lossy: Standing(base, folder, lossy), tmp_path_factory.mktemp("undisturbed"))


def pick_ups(ordeal: Ordeal) -> list[int]:
    """Every event from the first look to the last removal of each go."""
    points: list[int] = []
    at = [n for n, name in enumerate(ordeal.events, 1) if name.startswith("collect.")]
    for n in at:
        points += [m for m in range(n - 6, n + 2) if 0 < m <= len(ordeal.events)]
    return sorted(set(points))


def test_every_file_is_picked_up_once(ordeal: Ordeal) -> None:
    assert set() == set(PICK_UP) - set(ordeal.events)
    # A place for each file, the commands and the copy under another name; none for the one that came again.
    assert len(ordeal.expected["archive"]) == 2 * GOES + 2
    assert ordeal.events.count("collect.removed") == 2 * GOES + 3


def test_killed_while_picking_up_and_started_again_it_is_the_same(tmp_path: Path, ordeal: Ordeal) -> None:
    luck = random.Random(SEED)
    names = luck.sample(("collect.read", "collect.archived", "collect.committed", "collect.removed"), 3)
    ordeal.killed(tmp_path, [luck.choice([n for n, event in enumerate(ordeal.events, 1) if event == name])
                             for name in names])


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(2))
def test_killed_at_every_operation_of_picking_up(tmp_path: Path, ordeal: Ordeal, shard: int) -> None:
    ordeal.killed(tmp_path, pick_ups(ordeal)[shard::2])


@pytest.mark.slow
def test_power_lost_while_picking_up(tmp_path: Path, ordeal: Ordeal) -> None:
    """The inbox keeps what was done to it, the home loses what was not synced: the worse way round."""
    ordeal.power_lost(tmp_path, pick_ups(ordeal)[::3])


@pytest.mark.slow
def test_killed_at_40_other_points(tmp_path: Path, ordeal: Ordeal) -> None:
    ordeal.killed(tmp_path, ordeal.chosen(40, SEED))


@pytest.mark.slow
def test_the_command_killed_while_files_come_in(base: Path, tmp_path: Path, ordeal: Ordeal) -> None:
    """The real process, at moments of its own."""
    luck = random.Random(SEED)
    print(f"seed {SEED}")
    place = Standing(base, tmp_path, False)
    command = [sys.executable, "-m", "pipelines.apps.cli", "run", "--watch", "--input", str(place.source.root),
               "--home", str(place.home.root), "--stable-s", "0", "--every-s", "0.02", "--batch-records", "3"]
    kills = 0
    for _ in range(12):
        before = footprint(place)
        place.deliver()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 300
        while footprint(place) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(luck.uniform(0, 0.4))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"seed {SEED}: {errors.decode()}"
        if place.all_taken:
            break
    assert kills
    assert run_child(place.job).result == ordeal.expected, f"seed {SEED}, {kills} kills"


def footprint(place: Standing) -> int:
    """Changes whenever the process has done anything that lasts."""
    return sum(1 for _ in place.home.root.rglob("*"))
