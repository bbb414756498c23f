"""Collect: one durable order, nothing twice, nothing half written, nothing lost."""

import os
from pathlib import Path

import pytest

from pipelines.archive import Archive
from pipelines.collect import Mark, stable
from pipelines.durable import reached
from pipelines.home import Home
from pipelines.keys import Keys
from pipelines.run import Run, RunOptions, RunSummary, watch
from schemas.errors import ReferenceDataError
from tests.integration.hand_made import DAY, HEADER, HandMade, call, top_up
from tests.integration.site import put, put_commands


@pytest.fixture
def site(tmp_path: Path, keys: Path) -> HandMade:
    return HandMade(tmp_path, keys)


def order(site: HandMade) -> list[tuple[int, str, str]]:
    return [(row["file_id"], row["source"], row["file_name"]) for row in site.rows("collected")]


def audit(site: HandMade) -> list[tuple[str, int]]:
    return [(row["state"], row["record_count"]) for row in site.rows("file_audit")]


def test_order_is_by_the_time_in_the_name_then_source_then_name(site: HandMade) -> None:
    names = [("voip-02", 1, "100000"), ("voip-01", 9, "100000"), ("voip-01", 3, "100000"), ("voip-01", 4, "090000")]
    for number, (source, sequence, at) in enumerate(names):
        site.calls(sequence, at, [(number, "08:00")], source)
    put_commands(site.input.inbox, 7, f"{DAY}100000", [top_up(1, "08:00")])
    put(site.input.inbox, "voip-02", "unnamed.csv", (HEADER + call(50, "08:00")).encode())  # says no time: first
    site.run(workers=2)
    assert [name for _, _, name in order(site)] == [
        "unnamed.csv", f"voip-01_000004_{DAY}090000.csv", f"commands_000007_{DAY}100000.jsonl",
        f"voip-01_000003_{DAY}100000.csv", f"voip-01_000009_{DAY}100000.csv", f"voip-02_000001_{DAY}100000.csv"]
    assert [number for number, _, _ in order(site)] == [1, 2, 3, 4, 5, 6]


def test_a_file_is_taken_once_and_its_copy_counts_nothing(site: HandMade) -> None:
    path = site.calls(1, "090000", [(1, "08:00"), (2, "08:10")])
    site.run()
    assert site.run().files == 0
    copies = [put(site.input.inbox, *place, path.read_bytes()) for place in (
        ("voip-01", f"voip-01_000002_{DAY}091000.csv"), ("voip-02", path.name))]
    before = site.said(tables=["rated", "posting", "balance", "usage"])
    site.run()
    assert site.said(tables=["rated", "posting", "balance", "usage"]) == before
    assert audit(site) == [("read", 2), *[("duplicate_file", 2)] * len(copies)]
    assert [row["duplicate_of"] for row in site.rows("collected")] == [None, 1, 1]
    assert {(row["kind"], row["first_file_id"]) for row in site.rows("duplicate")} == {("file", 1)}
    assert len(site.rows("duplicate")) == 4


def test_other_content_under_the_same_name_is_a_new_file(site: HandMade) -> None:
    path = site.calls(1, "090000", [(1, "08:00")])
    first = path.read_bytes()
    site.run()
    site.calls(1, "090000", [(1, "08:00"), (2, "08:10")])
    site.run()
    assert audit(site) == [("read", 1), ("read", 2)]
    assert len(site.rows("usage")) == 2
    assert len(site.rows("duplicate")) == 1
    archive = Archive(site.home.archive, Keys.open(site.home.keys))
    assert archive.read_all(1) == first
    assert archive.read_all(2) == path.read_bytes()


def test_what_replaces_a_file_before_it_was_read_does_not_take_its_place(site: HandMade) -> None:
    """The order names content: a file of the same size that lies there now is another file."""
    path = site.calls(1, "090000", [(1, "08:00")])
    job = Run(site.input, site.home, RunOptions(workers=1))
    collected = list(job.collector.collect(job.collector.find()))
    path.write_bytes(path.read_bytes().replace(b"c1@voip", b"c2@voip"))
    assert b"c1@voip" in job.collector.payload(collected[0]).tobytes()
    job.close()
    site.run()
    assert [row["file_id"] for row in site.rows("usage")] == [1, 2]


def test_files_still_being_written_and_hidden_ones_are_left(site: HandMade) -> None:
    content = (HEADER + call(1, "08:00")).encode()
    for name in (".hidden.csv", "a.csv.tmp", "a.csv.part", "a.csv.filepart", "a.csv.writing"):
        put(site.input.inbox, "voip-01", name, content)
    put(site.input.inbox, ".trash", "a.csv", content)
    (site.input.inbox / "voip-01" / "folder").mkdir()
    assert site.run().files == 0
    (site.input.inbox / "voip-01" / "a.csv.part").rename(site.input.inbox / "voip-01" / "a.csv")
    assert site.run().files == 1
    assert order(site) == [(1, "voip-01", "a.csv")]


def test_a_folder_that_no_stream_claims_is_refused_by_name(site: HandMade) -> None:
    site.calls(1, "090000", [(1, "08:00")])
    put(site.input.inbox, "mystery-01", "a.csv", b"x")
    with pytest.raises(ReferenceDataError, match=r"'mystery-01' belongs to no stream.*streams\.yaml"):
        site.run()
    assert order(site) == []
    (site.input.inbox / "mystery-01" / "a.csv").unlink()
    (site.input.inbox / "mystery-01").rmdir()
    assert site.run().files == 1


def test_empty_and_header_only_files_are_audited(site: HandMade) -> None:
    for number, content in enumerate((b"", HEADER.encode(), (HEADER + "TRAILER,0\n").encode())):
        put(site.input.inbox, "voip-01", f"voip-01_{number:06d}_{DAY}09000{number}.csv", content)
    put(site.input.inbox, "chf-01", f"chf-01_000001_{DAY}090000.json", b"")
    put(site.input.inbox, "commands", f"commands_000001_{DAY}090003.jsonl", b"\n\n")
    site.run()
    rows = site.rows("file_audit")
    assert len(rows) == 5
    for row in rows:
        assert row["record_count"] == 0
        assert row["header_octets"] + row["record_octets"] == row["file_octets"]
    assert site.rows("suspense") == site.rows("usage") == []
    assert site.run().files == 0


def test_a_standing_inbox_takes_stable_files_and_removes_them(site: HandMade) -> None:
    path = site.calls(1, "090000", [(1, "08:00")])
    reports: list[RunSummary] = []

    def look(rounds: int, stable_s: float = 0.0) -> int:
        before = len(reports)
        watch(site.input, site.home, RunOptions(workers=1, stable_s=stable_s), rounds, 0.0, reports.append)
        return sum(each.files for each in reports[before:])

    assert look(1) == 0  # one look cannot tell whether it grows
    assert path.exists()
    assert look(2, stable_s=3600) == 0  # too young
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert look(2, stable_s=3600) == 1
    assert not path.exists()
    content = Archive(site.home.archive, Keys.open(site.home.keys)).read_all(1)
    assert content == (HEADER + call(1, "08:00")).encode()
    site.calls(1, "090000", [(1, "08:00")])
    assert look(2) == 0  # the same again
    assert not path.exists()
    assert len(site.rows("usage")) == 1


def test_a_growing_file_is_not_stable(site: HandMade) -> None:
    path = site.calls(1, "090000", [(1, "08:00")])
    job = Run(site.input, site.home, RunOptions(workers=1, stable_s=0.0))
    ages: dict[Path, Mark] = {}
    for number in (2, 3):
        assert job.go(consume=True, ages=ages).files == 0
        path.write_bytes(path.read_bytes() + call(number, "08:00").encode())
    assert [job.go(consume=True, ages=ages).files for _ in range(2)] == [0, 1]
    job.close()
    assert len(site.rows("usage")) == 3


def test_a_file_is_removed_only_once_its_place_is_durable(site: HandMade, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site.calls(1, "090000", [(1, "08:00")])
    there: dict[str, bool] = {}

    def note(point: str) -> None:
        if point.startswith("collect."):
            there.setdefault(point, path.exists())
        if point == "collect.committed":
            raise OSError("stopped")

    monkeypatch.setattr("pipelines.collect.reached", note)
    with pytest.raises(OSError, match="stopped"):
        site.run(consume=True)
    assert there == {"collect.read": True, "collect.archived": True, "collect.committed": True}
    monkeypatch.setattr("pipelines.collect.reached", reached)
    path.unlink()  # and lost: the archive has it
    assert site.run(consume=True).files == 1
    assert len(site.rows("usage")) == 1


def test_a_large_file_is_mapped_and_says_the_same(site: HandMade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.collect.MEMORY_OCTETS", 10)
    path = site.calls(1, "090000", [(1, "08:00")])
    content = path.read_bytes()
    assert site.run(consume=True).files == 1
    assert not path.exists()
    assert Archive(site.home.archive, Keys.open(site.home.keys)).read_all(1) == content
    assert len(site.rows("usage")) == 1


def test_what_came_in_its_place_meanwhile_is_not_removed_but_taken_next(
        site: HandMade, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site.calls(1, "090000", [(1, "08:00")])

    def deliver_again(point: str) -> None:
        if point == "collect.committed" and b"c1@voip" in path.read_bytes():
            site.calls(1, "090000", [(2, "08:10")])

    monkeypatch.setattr("pipelines.collect.reached", deliver_again)
    assert site.run(consume=True).files == 1
    assert path.exists()
    assert site.run(consume=True).files == 1
    assert not path.exists()
    assert audit(site) == [("read", 1), ("read", 1)]


def test_a_file_taken_away_between_look_and_reading_is_passed_over(site: HandMade) -> None:
    gone, there = site.calls(1, "090000", [(1, "08:00")]), site.calls(2, "091000", [(2, "08:10")])
    job = Run(site.input, site.home, RunOptions(workers=1))
    found = job.collector.find()
    gone.unlink()
    ages: dict[Path, Mark] = {}
    assert [stable(found, ages, 0.0), [f.path for f in stable(found, ages, 0.0)]] == [[], [there]]
    assert list(ages) == [there], "what is gone is forgotten"
    assert [file.name for file in job.collector.collect(found)] == [there.name]
    job.close()


def test_a_home_without_keys_makes_its_own(tmp_path: Path, keys: Path) -> None:
    site = HandMade(tmp_path, keys)
    site.home = Home(tmp_path / "elsewhere")
    site.calls(1, "090000", [(1, "08:00")])
    assert site.run().files == 1
