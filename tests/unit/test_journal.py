"""The journal: one order, whole groups, torn tails cut, damage named."""

from pathlib import Path

import pytest

from pipelines.journal import Block, Clock, Command, Entry, Journal, read_journal
from schemas.errors import InvariantError, LedgerError, StaleWriterError

SHA = bytes(range(32))
SMALL = {"segment_octets": 512, "preallocate_octets": 256}


def group(n: int) -> list[Entry]:
    return [Block(n, SHA, 2 * n, 2 * n + 2), Command(b'{"id":%d}' % n), Clock(n - 5)]


def filled(folder: Path, groups: int) -> list[Entry]:
    with Journal.open(folder, **SMALL) as journal:
        for n in range(groups):
            assert journal.append(group(n)) == 3 * n
    return [e for n in range(groups) for e in group(n)]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))


def test_what_is_appended_is_read_back_in_order_from_any_position(tmp_path: Path) -> None:
    entries = filled(tmp_path, 20)
    assert len(segments(tmp_path)) > 3
    with Journal.open(tmp_path, **SMALL) as journal:
        assert journal.position == 60
        assert [e for _, e in journal.read(0)] == entries
        for position in (0, 1, 29, 59, 60):
            assert list(journal.read(position)) == list(enumerate(entries))[position:]
        assert list(journal.read(10, 13)) == list(enumerate(entries))[10:13]
        assert list(read_journal(tmp_path, 50)) == list(enumerate(entries))[50:]
        with pytest.raises(LedgerError, match="position 61 is not"):
            next(journal.read(61))


def test_an_empty_group_is_nothing_and_a_large_one_has_a_segment_of_its_own(tmp_path: Path) -> None:
    with Journal.open(tmp_path, **SMALL) as journal:
        assert journal.append([]) == 0
        assert segments(tmp_path) == []
        journal.append([Command(b"x" * 5000)])
        journal.append([Clock(1)])
    with Journal.open(tmp_path, **SMALL) as journal:
        assert list(journal.read(0)) == [(0, Command(b"x" * 5000)), (1, Clock(1))]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with Journal.open(tmp_path), pytest.raises(StaleWriterError, match="open in another process"):
        Journal.open(tmp_path)
    Journal.open(tmp_path).close()


def test_a_tail_torn_anywhere_is_cut_and_the_next_group_takes_its_place(tmp_path: Path) -> None:
    filled(tmp_path / "whole", 2)
    (path,) = segments(tmp_path / "whole")
    content = path.read_bytes()
    with Journal.open(tmp_path / "whole", **SMALL) as journal:
        end = path.stat().st_size
        start = 64 + (end - 64) // 2
        assert journal.position == 6
    for cut in range(start, end):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / path.name).write_bytes(content[:cut] + bytes(len(content) - cut))
        with Journal.open(folder, **SMALL) as journal:
            # Trailing zeros of the last group may be its own: then it was whole.
            assert journal.position == (6 if content[cut:end].count(0) == end - cut else 3), cut
            journal.append([Clock(99)])
        with Journal.open(folder, **SMALL) as journal:
            assert list(journal.read(journal.position - 1)) == [(journal.position - 1, Clock(99))]


def test_any_flipped_bit_before_the_last_group_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    (path,) = segments(tmp_path)
    with Journal.open(tmp_path, **SMALL):
        content = path.read_bytes()
    last = 64 + (len(content) - 64) // 3 * 2
    for octet in range(last):
        damaged = bytearray(content)
        damaged[octet] ^= 1 << octet % 8
        path.write_bytes(damaged)
        with pytest.raises(LedgerError, match=r"octet|version|does not follow"):
            Journal.open(tmp_path, **SMALL)
    path.write_bytes(content)
    with Journal.open(tmp_path, **SMALL) as journal:
        assert journal.position == 9


def test_a_lost_tail_is_noticed_when_something_durable_names_it(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (path,) = segments(tmp_path)
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-40])
    with pytest.raises(LedgerError, match="ends at position 3; expected at least 6"):
        Journal.open(tmp_path, at_least=6, **SMALL)


def test_a_missing_or_foreign_segment_is_noticed(tmp_path: Path) -> None:
    filled(tmp_path / "a", 20)
    filled(tmp_path / "b", 19)
    paths = segments(tmp_path / "a")
    other = (tmp_path / "b" / paths[2].name).read_bytes()
    assert other == paths[2].read_bytes()
    paths[2].unlink()
    with pytest.raises(LedgerError, match="missing or was cut"):
        Journal.open(tmp_path / "a", **SMALL)
    with Journal.open(tmp_path / "c", **SMALL) as journal:
        for n in range(20):
            journal.append([*group(n)[:2], Clock(-1)])
    paths[2].write_bytes((tmp_path / "c" / paths[2].name).read_bytes())
    with pytest.raises(LedgerError, match="do not follow"):
        Journal.open(tmp_path / "a", **SMALL)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    import zlib

    filled(tmp_path, 1)
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    content[8] = 9
    content[60:64] = zlib.crc32(content[:60]).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="format version 9"):
        Journal.open(tmp_path)


def test_trimming_stops_below_the_lower_of_snapshot_and_ledger(tmp_path: Path) -> None:
    entries = filled(tmp_path, 20)
    with Journal.open(tmp_path, **SMALL) as journal:
        assert journal.trim(60, 0) == 0
        assert journal.trim(0, 60) == 0
        start = journal.trim(31, 60)
        assert 0 < start <= 31
        assert list(journal.read(31)) == list(enumerate(entries))[31:]
        with pytest.raises(LedgerError, match="is not in the journal"):
            next(journal.read(0))
        with pytest.raises(InvariantError):
            journal.trim(61, 10)
        journal.trim(60, 60)
    with Journal.open(tmp_path, **SMALL) as journal:
        assert journal.position == 60
        assert journal.append([Clock(7)]) == 60


def test_after_a_failed_write_it_must_be_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.durable import AppendFile

    def fail(self: AppendFile) -> None:
        raise OSError(5, "the disk did not answer")

    with Journal.open(tmp_path, **SMALL) as journal:
        journal.append(group(0))
        with monkeypatch.context() as patch:
            patch.setattr(AppendFile, "sync", fail)
            with pytest.raises(OSError, match="did not answer"):
                journal.append(group(1))
        with pytest.raises(LedgerError, match="open it again"):
            journal.append(group(1))
    with Journal.open(tmp_path, **SMALL) as journal:
        assert journal.position in (3, 6)
