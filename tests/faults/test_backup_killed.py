"""A backup and a restore killed at their durable operations: there is a whole one or none, and the next goes on.

`make test` takes some of each kind; the slow tier many more.
"""

import json
import shutil
from pathlib import Path

import pytest

from pipelines.backup.manifest import whole_manifests
from pipelines.backup.pinned import FOLDER
from pipelines.backup.restore import prove, restore
from pipelines.backup.save import save
from pipelines.durable import Disk
from pipelines.home import Home
from pipelines.keys import Keys
from pipelines.ledger.store import open_store
from pipelines.sample.generate import generate
from pipelines.vault import Vault
from tests.faults.crash_runner import choose_points, run_child
from tests.faults.fault_disk import FaultDisk, Script
from tests.integration.conftest import DATE, SEED
from tests.integration.site import Site

POINTS = {"backup.remembered", "backup.point", "backup.ledger", "backup.keys", "backup.files", "backup.manifest.2"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("backed-up")
    generate(folder / "day", 60, DATE, 1, SEED, files_per_source=1)
    Keys.open(folder / "keys")
    made = Site(folder / "day", folder, folder / "keys")
    made.run()
    (made.home.root / "serve").mkdir()
    (made.home.root / "serve" / "origin_state").write_text("7\n")
    return made


def leftovers(home: Path) -> list[Path]:
    """What a backup should have removed."""
    return [path for path in home.rglob("*") if path.name == FOLDER or (path.parent.name == "backup"
            and path.name != "lock")]


def killed_backups(site: Site, folder: Path, count: int) -> None:
    place, keys = str(folder / "saved"), folder / "saved-keys"

    def job(disk: FaultDisk) -> int:
        return save(site.home, place, keys, disk).manifest.number

    undisturbed = run_child(job)
    assert not undisturbed.error and set(undisturbed.events) >= POINTS
    events = undisturbed.events
    shutil.rmtree(place)
    shutil.rmtree(keys)
    made = 0
    for at in choose_points(events, count, seed=5):
        fresh = folder / f"fresh-{at}"
        if at % 2:  # into a place that has backups, and into one that has none
            assert run_child(lambda disk, fresh=fresh: save(site.home, str(fresh / "saved"), fresh / "keys",  # type: ignore[misc]
                                                            disk).manifest.number, Script(at, "kill", seed=at)).killed
            assert len(whole_manifests(open_store(str(fresh / "saved")))) <= 1
        outcome = run_child(job, Script(at, "kill", seed=at))
        there = whole_manifests(open_store(place))
        assert made <= len(there) <= made + 1, f"event {at}, {events[at - 1]}"
        assert outcome.killed or outcome.result == len(there)
        if there:
            assert not prove(place, keys).findings, f"event {at}, {events[at - 1]}"
        made = len(there)
        again = run_child(lambda disk, fresh=fresh: save(site.home, str(fresh / "saved"), fresh / "keys",  # type: ignore[misc]
                                                         disk).manifest.number)
        assert not again.error and leftovers(site.home.root) == []
        assert not prove(str(fresh / "saved"), fresh / "keys").findings
        shutil.rmtree(fresh)
    save(site.home, place, keys)
    same(site, folder, place, keys)


def same(site: Site, folder: Path, place: str, keys: Path) -> None:
    """What is restored has the same ledger, book and numbers as the home."""
    other = Site(site.day.root, folder / "restored", site.home.keys)
    shutil.rmtree(other.home.root)
    restore(place, keys, other.home)
    assert other.said() == site.said()
    vaults = [Vault(home.vault, Keys.open(home.keys), write=False) for home in (site.home, other.home)]
    assert len(vaults[0]) == len(vaults[1]) > 0
    assert not other.run().files  # it goes on


def killed_restores(site: Site, folder: Path, count: int) -> None:
    place, keys, target = str(folder / "saved"), folder / "saved-keys", Home(folder / "new")
    save(site.home, place, keys)

    def job(disk: FaultDisk) -> int:
        return restore(place, keys, target, disk=disk).number

    undisturbed = run_child(job)
    assert not undisturbed.error and {"restore.files", "restore.ledger", "restore.checked"} <= set(undisturbed.events)
    for at in choose_points(undisturbed.events, count, seed=6):
        shutil.rmtree(target.root, ignore_errors=True)
        assert run_child(job, Script(at, "kill", seed=at)).killed
        if target.root.exists():
            assert (target.root / "serve" / "origin_state").exists() and (target.root / "journal").is_dir()
        else:
            assert run_child(job).error == ""
        for path in folder.glob(".restoring-*"):
            shutil.rmtree(path)
    assert json.loads((target.root / "serve" / "origin_state").read_text()) > 7


def test_a_backup_killed_is_none_and_the_next_one_whole(site: Site, tmp_path: Path) -> None:
    killed_backups(site, tmp_path, 14)


def test_a_restore_killed_leaves_no_home(site: Site, tmp_path: Path) -> None:
    killed_restores(site, tmp_path, 8)


@pytest.mark.slow
def test_a_backup_killed_in_many_places_is_none_and_the_next_one_whole(site: Site, tmp_path: Path) -> None:
    killed_backups(site, tmp_path, 80)


@pytest.mark.slow
def test_a_restore_killed_in_many_places_leaves_no_home(site: Site, tmp_path: Path) -> None:
    killed_restores(site, tmp_path, 80)


def test_what_is_trimmed_and_sealed_while_it_is_copied_is_in_the_backup(site: Site, tmp_path: Path) -> None:
    """The home goes on between the point and the copying: snapshots and segments go, the vault's log becomes a run."""
    home = Home(tmp_path / "home")
    shutil.copytree(site.home.root, home.root)
    place, keys = str(tmp_path / "saved"), tmp_path / "saved-keys"

    class GoingOn(Disk):
        moved = False

        def link_new(self, source: Path, target: Path) -> None:
            super().link_new(source, target)
            if source.parent == home.vault and not self.moved:  # its log is pinned: now it becomes a run
                self.moved = True
                with Vault(home.vault, Keys.open(home.keys), seal_rows=1) as vault:
                    vault._seal()
                for folder in (home.journal, home.snapshots):
                    for path in folder.glob("[0-9]*"):
                        path.unlink()

    disk = GoingOn()
    made = save(home, place, keys, disk).manifest
    assert disk.moved and any(file.path.startswith("vault/run-") for file in made.files)
    same(site, tmp_path, place, keys)
