"""However the input is cut: same balances and same rated rows, by the content hash."""

import shutil
from pathlib import Path

import pytest

from pipelines.sample.generate import generate
from tests.integration.conftest import DATE, SEED
from tests.integration.cutting import cut_inbox
from tests.integration.site import SAID, Site, in_order

NEEDED = {"rated", "posting", "balance", "usage", "suspense", "duplicate", "filtered", "merged", "sequence_gap"}
COUNTED = tuple(name for name in SAID if name != "sequence_gap")


@pytest.fixture(scope="module")
def whole(day: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One run, one batch size, one worker."""
    site = Site(day, tmp_path_factory.mktemp("whole"), keys)
    site.run()
    assert set(site.said()) >= NEEDED
    return site


@pytest.mark.parametrize(("batch_records", "workers"), [(100, 2), (7, 1), (1000, 2)])
def test_batches_and_workers_change_nothing(day: Path, keys: Path, whole: Site, tmp_path: Path, batch_records: int,
                                            workers: int) -> None:
    site = Site(day, tmp_path, keys)
    site.run(batch_records, workers)
    assert site.said() == whole.said()
    assert site.said(tables=["file_audit", "collected"]) == whole.said(tables=["file_audit", "collected"])


def test_five_runs_say_what_one_run_says(day: Path, keys: Path, whole: Site, tmp_path: Path) -> None:
    site = Site(day, tmp_path, keys, own_inbox=True)
    files = in_order(day / "inbox")
    for portion in range(5):
        site.deliver(files[len(files) * portion // 5:len(files) * (portion + 1) // 5])
        site.run(batch_records=(300, 100_000)[portion % 2], workers=1 + portion % 2)
    assert site.said() == whole.said()
    assert site.said(tables=["file_audit", "collected"]) == whole.said(tables=["file_audit", "collected"])


def test_files_cut_at_record_boundaries_say_the_same(day: Path, keys: Path, whole: Site, tmp_path: Path) -> None:
    site = Site(day, tmp_path, keys, own_inbox=True)
    assert cut_inbox(day, site.input.inbox, 4) > 2 * len(in_order(day / "inbox"))
    shutil.copytree(day / "operator", site.input.operator, dirs_exist_ok=True)
    pattern = site.input.operator / "streams.yaml"
    pattern.write_text(pattern.read_text().replace("[0-9]{6})_", "[0-9]{6,9})_"))
    site.run()
    assert site.said(exclude_origin=True) == whole.said(exclude_origin=True)


@pytest.mark.parametrize("layout", ["voip-csv", "ts32298-cs"])
def test_one_file_or_forty_as_the_element_closes_them(keys: Path, tmp_path: Path, layout: str) -> None:
    said = []
    for files in (1, 40):
        source = tmp_path / f"{files}"
        generate(source, 300, DATE, 1, SEED, defects=False, formats=[layout], files_per_source=files)
        shutil.rmtree(source / "inbox" / "commands")  # they lie between files: there order differs, and must
        for second in source.glob("inbox/*-02"):
            shutil.rmtree(second)  # one element: the order of its records is that of its clock
        site = Site(source, tmp_path / f"site-{files}", keys)
        summary = site.run()
        assert summary.files == len(in_order(source / "inbox")) > files // 2
        said.append(site.said(exclude_origin=True))
    assert said[0] == said[1]
    assert {"rated", "posting", "balance"} <= set(said[0])
