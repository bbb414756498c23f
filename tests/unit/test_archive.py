"""The archive: what went in comes out, at any offset, until retention destroys the key."""

import datetime
import mmap
import random
from pathlib import Path

import numpy as np
import pytest

from pipelines.archive import CHUNK_OCTETS, Archive
from pipelines.keys import ErasedError, Keys
from schemas.columns import ABSENT
from schemas.errors import LedgerError

DAY_US = 86_400_000_000
NEW_YEAR_US = 20_454 * DAY_US  # 2026-01-01


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive", Keys.open(tmp_path / "keys"))


def compressible(octets: int) -> bytes:
    return np.random.default_rng(octets).integers(0, 20, octets, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("octets", [0, 1, CHUNK_OCTETS - 1, CHUNK_OCTETS, CHUNK_OCTETS + 1, 3 * CHUNK_OCTETS + 17])
def test_what_is_archived_is_read_back_whole_and_in_parts(archive: Archive, octets: int) -> None:
    content = compressible(octets)
    stored = archive.write(7, NEW_YEAR_US, content)
    assert stored.octets == octets
    assert archive.read_all(7) == content
    assert archive.stat(7) == stored
    luck = random.Random(octets)
    for _ in range(30):
        offset, length = luck.randint(0, octets), luck.randint(0, 3000)
        assert archive.read(7, offset, length) == content[offset:offset + length]
    assert archive.read(7, octets, 10) == b""


def test_a_stream_in_any_pieces_and_a_memory_map_give_the_same(archive: Archive, tmp_path: Path) -> None:
    content = compressible(2 * CHUNK_OCTETS + 999)
    luck = random.Random(1)
    cuts = sorted(luck.sample(range(len(content)), 9))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    sha256 = archive.write(1, NEW_YEAR_US, content).sha256
    assert archive.write(2, NEW_YEAR_US, iter(pieces)).sha256 == sha256
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert archive.write(3, NEW_YEAR_US, mapped).sha256 == sha256
    assert archive.write(4, NEW_YEAR_US, np.frombuffer(content, np.uint8).data, sha256).sha256 == sha256
    assert archive.read_all(2) == archive.read_all(3) == archive.read_all(4) == content


def test_a_hash_that_the_caller_gives_is_checked_when_the_whole_is_read(archive: Archive) -> None:
    archive.write(1, NEW_YEAR_US, b"content", bytes(32))
    assert archive.read(1, 0, 7) == b"content"
    with pytest.raises(LedgerError, match="does not give back"):
        archive.read_all(1)


def test_nothing_readable_lies_in_the_folder(archive: Archive, tmp_path: Path) -> None:
    archive.write(1, NEW_YEAR_US, b"4915112345678," * 10_000)
    (path,) = (p for p in (tmp_path / "archive").rglob("*") if p.is_file())
    assert b"49151" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size < 20_000  # it was compressed before


def test_any_flipped_bit_is_noticed(archive: Archive, tmp_path: Path) -> None:
    archive.write(1, NEW_YEAR_US, b"some file")
    (path,) = (p for p in (tmp_path / "archive").rglob("*") if p.is_file())
    content = path.read_bytes()
    for octet in range(len(content)):
        damaged = bytearray(content)
        damaged[octet] ^= 1 << octet % 8
        path.write_bytes(damaged)
        with pytest.raises(LedgerError):
            Archive(tmp_path / "archive", Keys.open(tmp_path / "keys")).read(1, 0, 9)
    path.write_bytes(content[:40])
    with pytest.raises(LedgerError, match="too short"):
        Archive(tmp_path / "archive", Keys.open(tmp_path / "keys")).read(1, 0, 9)


def test_retention_destroys_the_keys_of_old_days_and_says_so(archive: Archive) -> None:
    archive.write(1, NEW_YEAR_US, b"old")
    archive.write(2, NEW_YEAR_US + DAY_US, b"new")
    note = {"who": "operations", "why": "retention of six months"}
    assert archive.erase_before(datetime.date(2026, 1, 2), note) == ["day-2026-01-01-0000"]
    with pytest.raises(ErasedError, match=r"file 1 \(2026-01-01\) were erased.*six months"):
        archive.read(1, 0, 3)
    assert archive.read_all(2) == b"new"
    assert archive.holds(1)
    # A late file of that day has a key of its own.
    archive.write(3, NEW_YEAR_US, b"late")
    assert archive.read_all(3) == b"late"
    with pytest.raises(ErasedError):
        archive.read(1, 0, 3)


def test_a_file_without_a_time_is_reached_by_retention_too(archive: Archive) -> None:
    archive.write(1, ABSENT, b"timeless")
    tomorrow = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
    assert len(archive.erase_before(tomorrow, {"why": "test"})) == 1
    with pytest.raises(ErasedError):
        archive.read_all(1)


def test_what_is_not_there_is_named(archive: Archive) -> None:
    with pytest.raises(LedgerError, match="file 5 is not in the archive"):
        archive.read(5, 0, 1)
    archive.write(5, NEW_YEAR_US, b"x")
    with pytest.raises(ValueError, match="octets"):
        archive.read(5, -1, 1)


def test_other_keys_do_not_open_it(archive: Archive, tmp_path: Path) -> None:
    archive.write(1, NEW_YEAR_US, b"x")
    with pytest.raises(LedgerError, match="is missing"):
        Archive(tmp_path / "archive", Keys.open(tmp_path / "other")).read(1, 0, 1)
