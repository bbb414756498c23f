"""However the input is cut: same balances and same rated rows, by the content hash."""

import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.ledger.content_hash import table_hash
from pipelines.sample.generate import generate
from tests.integration.conftest import DATE, SEED
from tests.integration.cutting import cut_inbox
from tests.integration.site import SAID, Site, in_order

NEEDED = {"rated", "posting", "balance", "usage", "suspense", "duplicate", "filtered", "merged", "sequence_gap"}


@pytest.fixture(scope="module")
def whole(day: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One run, one batch size, one worker."""
    site = Site(day, tmp_path_factory.mktemp("whole"), keys)
    site.run()
    assert set(site.said()) >= NEEDED
    return site


@pytest.mark.parametrize(("batch_records", "workers"), [
    (100, 2), (1000, 1), pytest.param(7, 1, marks=pytest.mark.slow)])
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


def test_what_is_held_in_the_middle_of_the_day_is_the_same(day: Path, keys: Path, tmp_path: Path) -> None:
    files = [path for path in in_order(day / "inbox") if path.parent.name != "commands"]
    files = files[:len(files) // 2]
    once, often = (Site(day, tmp_path / name, keys, own_inbox=True) for name in ("once", "often"))
    once.deliver(files)
    once.run()
    for start in range(0, len(files), 4):
        often.deliver(files[start:start + 4])
        often.run(batch_records=40, workers=2)
    assert once.rows("held") and once.rows("open_session")
    assert often.said() == once.said()


def test_files_cut_at_record_boundaries_say_the_same(day: Path, keys: Path, whole: Site, tmp_path: Path) -> None:
    site = Site(day, tmp_path, keys, own_inbox=True)
    assert cut_inbox(day, site.input.inbox, 4) > 2 * len(in_order(day / "inbox"))
    shutil.copytree(day / "operator", site.input.operator, dirs_exist_ok=True)
    pattern = site.input.operator / "streams.yaml"
    pattern.write_text(pattern.read_text().replace("[0-9]{6})_", "[0-9]{6,9})_"))
    site.run()
    tables = [name for name in SAID if name not in ("suspense", "duplicate")]
    assert site.said(exclude_origin=True, tables=tables) == whole.said(exclude_origin=True, tables=tables)
    assert suspended(site) == suspended(whole)
    assert repeated(site) == repeated(whole)


def repeated(site: Site) -> tuple[int, int]:
    """Hash of the duplicates but for how each was recognised: a repeated record alone in a file is a repeated file."""
    rows = pa.concat_tables(site.ledger.batches("duplicate"), promote_options="default").unify_dictionaries()
    return rows.num_rows, table_hash(rows.drop_columns(["kind"]), exclude_origin=True)


def suspended(site: Site) -> tuple[int, Counter[tuple[str, ...]]]:
    """Hash of what could be read, and of the rest how much: a record without identity is named by its place."""
    rows = pa.concat_tables(site.ledger.batches("suspense"), promote_options="default").unify_dictionaries()
    unread = pc.is_in(rows["stage"].cast(pa.string()), pa.array(["frame", "decode"]))
    counted = rows.filter(unread).select(["record_type", "reason", "stage", "service", "estimate_nanos"]).to_pylist()
    assert counted
    return table_hash(rows.filter(pc.invert(unread)), exclude_origin=True), Counter(
        tuple(map(str, row.values())) for row in counted)


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
