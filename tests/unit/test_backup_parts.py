"""What a backup is made of: places in a journal, names that keep files, a disk that is not overrun."""

import os
from pathlib import Path

import pytest

from pipelines.backup.pinned import FOLDER, Pins
from pipelines.backup.save import GentleDisk
from pipelines.durable import Disk
from pipelines.journal import Block, Clock, Command, Journal, places, read_journal

MIB = 1 << 20


def test_a_journal_can_be_cut_at_each_place_and_ends_there(tmp_path: Path) -> None:
    folder, groups = tmp_path / "journal", 0
    with Journal.open(folder, segment_octets=500, preallocate_octets=512) as journal:
        for number in range(1, 13):
            journal.append([Command(b"{}" * number), Block(number // 3, bytes(32), 0, number), Clock(number)])
            groups += 1
        found = list(places(folder))  # while it is open, with room behind its last frame
    assert len({place.path for place in found}) > 2
    assert [place.version for place in found if place.version] == [number // 3 for number in range(3, 13)]
    for place in found:
        cut = tmp_path / f"cut-{place.path.name}-{place.end}"
        cut.mkdir()
        for path in sorted(folder.glob("*.journal")):
            if path < place.path:
                (cut / path.name).write_bytes(path.read_bytes())
            elif path == place.path:
                (cut / path.name).write_bytes(path.read_bytes()[:place.end])
        with Journal.open(cut, at_least=place.stop) as journal:
            assert journal.position == place.stop
            assert len(list(journal.read(0))) == place.stop
            journal.append([Clock(99)])  # and it goes on
        assert [entry for _, entry in read_journal(cut, place.stop)] == [Clock(99)]
    assert found[-1].stop == 3 * groups and list(places(tmp_path / "none")) == []


def test_what_is_pinned_stays_until_it_is_given_up_and_a_dead_ones_pins_are_cleared(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in "abcd":
        (folder / name).write_text(name)
    left = Pins(Disk())  # its process dies
    assert left.pin(folder / "a") == folder / FOLDER / "a"
    with Pins(Disk(), folder) as pins:
        assert not (folder / FOLDER).exists()
        assert pins.pin(folder / "e") is None

        class Trimming(Disk):
            def link_new(self, source: Path, target: Path) -> None:
                super().link_new(source, target)
                if source.name == "c":
                    (folder / "a").unlink()
                    (folder / "b").unlink()

        with Pins(Trimming(), folder) as trimmed:
            trimmed.pin_newest(folder, lambda name: len(name) == 1)
            assert sorted(path.name for path in (folder / FOLDER).iterdir()) == ["c", "d"]  # no gap
            (folder / "c").unlink()
            assert (folder / FOLDER / "c").read_text() == "c"
        assert pins.pin(folder / "d") is not None
    assert sorted(path.name for path in folder.iterdir()) == ["d"]


def test_large_files_are_synced_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda handle: synced.append(os.fstat(handle).st_size))
    disk = GentleDisk()
    disk.write_new(tmp_path / "pieces", (bytes(MIB) for _ in range(20)))
    assert synced == [8 * MIB, 16 * MIB]
    disk.write_new(tmp_path / "whole", [bytes(20 * MIB)])
    assert len(synced) == 4 and (tmp_path / "whole").stat().st_size == 20 * MIB
