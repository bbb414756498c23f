"""Single durable steps, and what a kill between them leaves."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.durable import ASIDE, Disk, crash_points, put_if_absent, reached, replace_file

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class FullDisk(Disk):
    """Room for `room` octets, then ENOSPC, half-way through a write."""

    def __init__(self, room: int) -> None:
        self.room = room

    def _write_all(self, handle: int, payload: bytes | bytearray | memoryview) -> int:
        view = memoryview(payload).cast("B")
        if len(view) > self.room:
            os.write(handle, view[:self.room])
            self.room = 0
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(view)
        return super()._write_all(handle, payload)


class Died(BaseException):
    """Stands for a kill: nothing in the product may catch it."""


def test_put_if_absent_first_wins_second_is_told(tmp_path: Path) -> None:
    disk, path = Disk(), tmp_path / "entry"
    assert put_if_absent(disk, path, b"first")
    assert not put_if_absent(disk, path, b"second")
    assert path.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["entry"]


@pytest.mark.parametrize(("point", "there"), [("durable.put.1", False), ("durable.put.2", True),
                                              ("durable.put.3", True), ("durable.put.4", True)])
def test_put_if_absent_killed_between_steps_is_whole_or_not_there(tmp_path: Path, point: str, there: bool) -> None:
    def die(name: str) -> None:
        if name == point:
            os._exit(9)

    child = os.fork()
    if child == 0:
        with crash_points(die):
            put_if_absent(Disk(), tmp_path / "entry", b"payload")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (tmp_path / "entry").exists() is there
    if there:
        assert (tmp_path / "entry").read_bytes() == b"payload"
    else:
        assert put_if_absent(Disk(), tmp_path / "entry", b"again")


def test_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    disk = FullDisk(3)
    with pytest.raises(OSError, match="No space"):
        put_if_absent(disk, tmp_path / "entry", b"payload")
    (tmp_path / "kept").write_bytes(b"old")
    with pytest.raises(OSError, match="No space"):
        replace_file(disk, tmp_path / "kept", b"new content")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"kept": b"old"}


def test_replace_file_is_old_or_new(tmp_path: Path) -> None:
    replace_file(Disk(), tmp_path / "state", b"one")
    replace_file(Disk(), tmp_path / "state", b"two")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"state": b"two"}


def test_append_file_after_full_disk_goes_on_where_it_was(tmp_path: Path) -> None:
    disk = FullDisk(8)
    log = disk.open_append(tmp_path / "log")
    assert log.append([b"aaaa"]) == 0
    with pytest.raises(OSError, match="No space"):
        log.append([b"bbbb", b"cc"])
    disk.room = 100
    assert log.append([b"dd"]) == 4
    log.sync()
    log.truncate(log.end)
    log.close()
    assert (tmp_path / "log").read_bytes() == b"aaaadd"


def test_append_file_preallocates_and_truncates(tmp_path: Path) -> None:
    log = Disk().open_append(tmp_path / "log", preallocate_octets=4096)
    log.append([b"entry"])
    log.sync()
    assert (tmp_path / "log").stat().st_size in (4096, 5)  # 5 where the file system cannot reserve
    log.truncate(5)
    assert log.append([b"more"]) == 5
    log.truncate(9)
    log.close()
    assert (tmp_path / "log").read_bytes() == b"entrymore"


def test_make_dir_list_dir(tmp_path: Path) -> None:
    disk = Disk()
    assert disk.list_dir(tmp_path / "none") == []
    disk.make_dir(tmp_path / "a" / "b")
    disk.make_dir(tmp_path / "a" / "b")
    disk.write_new(tmp_path / "a" / f"{ASIDE}x", [b"1", b"23"])
    assert disk.list_dir(tmp_path / "a") == [f"{ASIDE}x", "b"]
    assert disk.octets(tmp_path / "a" / f"{ASIDE}x") == 3
    with pytest.raises(FileExistsError):
        disk.write_new(tmp_path / "a" / f"{ASIDE}x", [b"1"])


@pytest.fixture
def _nothing_left() -> Iterator[None]:
    yield
    reached("after")  # no handler may be left behind


@pytest.mark.usefixtures("_nothing_left")
def test_crash_points_are_told_and_handler_removed() -> None:
    seen: list[str] = []
    with crash_points(seen.append):
        reached("a")

    def die(point: str) -> None:
        raise Died(point)

    with pytest.raises(Died, match="b"), crash_points(die):
        reached("b")
    reached("c")
    assert seen == ["a"]
