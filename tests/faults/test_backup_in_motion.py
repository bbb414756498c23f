"""Backups of a home where everything moves at once: requests, a run batch by batch, snapshots, a trimmed journal.

Each of them is made anew and must be what the home was before the position that it says.
"""

import shutil
import threading
from pathlib import Path

import pytest

from pipelines.backup.manifest import whole_manifests
from pipelines.backup.restore import prove, restore
from pipelines.backup.save import save
from pipelines.keys import Keys
from pipelines.ledger.store import open_store
from pipelines.sample.generate import generate
from pipelines.serve.node import OnlineNode
from tests.integration.conftest import DATE, SEED
from tests.integration.site import Site
from tests.integration.test_backup import Load, before, elsewhere
from tests.integration.test_serve import InProcess, laws, site_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
BACKUPS = 12


@pytest.fixture
def site(tmp_path: Path) -> Site:
    generate(tmp_path / "day", 60, DATE, 1, SEED, files_per_source=4)
    Keys.open(tmp_path / "shared" / "keys")
    return site_of(tmp_path / "day", tmp_path, tmp_path / "shared" / "keys")


def test_each_backup_of_a_home_in_motion_is_what_it_was_at_its_position(site: Site, tmp_path: Path) -> None:
    place, keys = str(tmp_path / "saved"), tmp_path / "saved-keys"
    files = sorted(path for path in (site.day.root / "inbox").glob("*/*") if path.is_file())
    errors: list[BaseException] = []
    stop = threading.Event()

    def deliver() -> None:
        try:
            for path in files:
                if stop.is_set():
                    return
                site.deliver([path])
                site.run(batch_records=40)
        except BaseException as error:
            errors.append(error)

    with InProcess(site, tmp_path) as running:
        node = running.node
        node._behind._snapshot_rows = 60
        node.charging.journal_file._segment_octets = 30_000
        port = next(int(line.split("127.0.0.1:")[1].split('"')[0]) for line in Path(running.lines.name).read_text(
            ).splitlines() if '"gy"' in line and "listening" in line)
        runner = threading.Thread(target=deliver)
        with Load(port, "busy", sessions=8) as load:
            runner.start()
            positions = []
            for _ in range(BACKUPS):
                load.goes_on(15)
                positions.append((node.charging.journal_file.position, save(site.home, place, keys).manifest))
            stop.set()
            runner.join(60)
    assert not errors and len({made.snapshot for _, made in positions}) > 2
    assert min(site.home.journal.glob("*.journal")).name != f"{0:020d}.journal"  # it was trimmed
    assert not prove(place, keys).findings and len(whole_manifests(open_store(place))) == BACKUPS
    for asked, made in positions:
        assert made.position >= asked and made.position >= made.charged
        other = elsewhere(site, tmp_path / f"restored-{made.number}")
        restore(place, keys, other.home, made.number)
        node = OnlineNode(site.input, other.home)
        node.charging.commit_balances()
        node.close()
        assert before(other, made.position) == before(site, made.position), f"backup {made.number}"
        assert laws(other) == set()
        shutil.rmtree(other.home.root)
