"""Every write that must survive a power cut goes through here, so that tests can put a worse disk underneath.

A file is durable when its bytes are synced and its name is: the bytes by `fsync` of the file, the name by `fsync`
of the folder. `Disk` offers the single steps; the functions below it put them in the one right order. A test
replaces `Disk` by a subclass that fails (no space), tears or loses what was not synced, and installs a handler on
the numbered crash points that callers mark with `reached("ledger.commit.1")`.
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

Payload = bytes | bytearray | memoryview
ASIDE = ".aside-"  # names of files that are still being written; whoever vacuums may remove old ones

_handler: Callable[[str], None] | None = None


def reached(point: str) -> None:
    """Mark a crash point, such as "ledger.commit.2". Does nothing unless a test has installed a handler."""
    if _handler is not None:
        _handler(point)


@contextlib.contextmanager
def crash_points(handler: Callable[[str], None]) -> Iterator[None]:
    """Install `handler` for the duration: it may raise, kill the process, or count."""
    global _handler
    before, _handler = _handler, handler
    try:
        yield
    finally:
        _handler = before


class Disk:
    """The file system, one durable step per method. Errors are those of `os` (FileExistsError, OSError ENOSPC...)."""

    def write_new(self, path: Path, chunks: Iterable[Payload], mode: int = 0o644) -> int:
        """Create `path` (it must not exist), write, fsync. Returns octets written. Its name is not yet durable.

        A write that fails leaves no file behind. `mode` 0o600 keeps a file to its owner from its first moment.
        """
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            written = sum(self._write_all(handle, chunk) for chunk in chunks)
            os.fsync(handle)
        except BaseException:
            os.close(handle)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        os.close(handle)
        return written

    def open_append(self, path: Path, preallocate_octets: int = 0) -> "AppendFile":
        """Open `path` for appending, created if need be (then sync its folder too)."""
        return AppendFile(self, path, preallocate_octets)

    def link_new(self, source: Path, target: Path) -> None:
        """Give `source` the further name `target`; FileExistsError when somebody was first. The put-if-absent."""
        os.link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        """Move, replacing `target`."""
        source.replace(target)

    def sync_dir(self, folder: Path) -> None:
        """Make the names in `folder` durable."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def make_dir(self, folder: Path) -> None:
        """Create `folder` and what lies above it, durably. Does nothing when it is there."""
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            with contextlib.suppress(FileExistsError):
                each.mkdir()
            self.sync_dir(each.parent)

    def unlink(self, path: Path) -> None:
        """Remove; nothing happens when it is gone already."""
        path.unlink(missing_ok=True)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def exists(self, path: Path) -> bool:
        return path.exists()

    def octets(self, path: Path) -> int:
        return path.stat().st_size

    def modified_s(self, path: Path) -> float:
        """When `path` was last written, seconds of Unix time."""
        return path.stat().st_mtime

    def list_dir(self, folder: Path) -> list[str]:
        """Names in `folder`, sorted; none when it does not exist."""
        try:
            return sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []

    def _write_all(self, handle: int, payload: Payload) -> int:
        """Write all of `payload` at the handle's place. The one way bytes reach a file."""
        view = memoryview(payload).cast("B")
        done = 0
        while done < len(view):
            done += os.write(handle, view[done:])
        return done


class AppendFile:
    """A log being appended to by one writer. `append` is not durable; `sync` makes all appended bytes so.

    With `preallocate_octets` the file system reserves room ahead in steps of that size, so that a sync need not
    also write the file's length; the rest of the file then reads as zeros, and `truncate` cuts it off.
    """

    def __init__(self, disk: Disk, path: Path, preallocate_octets: int = 0) -> None:
        self._disk, self.path, self._step = disk, path, preallocate_octets
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._reserved = os.fstat(self._handle).st_size
        self.end = self._reserved  # where the next append goes; a reader of a preallocated log sets it by `truncate`
        os.lseek(self._handle, self.end, os.SEEK_SET)

    def append(self, chunks: Iterable[Payload]) -> int:
        """Write at `end` and move it. Returns the offset of the first octet written.

        After an error `end` is where it was: the next append overwrites what was torn.
        """
        start = self.end
        payloads = list(chunks)
        self._reserve(start + sum(memoryview(p).nbytes for p in payloads))
        try:
            for payload in payloads:
                self.end += self._disk._write_all(self._handle, payload)
        except BaseException:
            self.end = start
            os.lseek(self._handle, start, os.SEEK_SET)
            raise
        return start

    def sync(self) -> None:
        """Wait until every appended octet is on stable storage."""
        os.fdatasync(self._handle)

    def truncate(self, octets: int) -> None:
        """Cut the file after `octets` and go on there."""
        os.ftruncate(self._handle, octets)
        self.end = self._reserved = octets
        os.lseek(self._handle, octets, os.SEEK_SET)

    def close(self) -> None:
        os.close(self._handle)

    def _reserve(self, needed: int) -> None:
        if not self._step or needed <= self._reserved:
            return
        ahead = -(-needed // self._step) * self._step
        try:
            os.posix_fallocate(self._handle, self._reserved, ahead - self._reserved)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            return
        self._reserved = ahead


def put_if_absent(disk: Disk, path: Path, payload: Payload, crash_point: str = "durable.put", mode: int = 0o644
                  ) -> bool:
    """Create `path` with `payload`, whole and durable, unless it exists. Returns whether we were the one.

    1 write aside and sync; 2 link to the name (this decides); 3 sync the folder; 4 remove the aside name.
    A kill between leaves at most an aside file. Crash points: `crash_point`.1 to .4, each after its step.
    """
    aside = _aside(path)
    disk.write_new(aside, (payload,), mode)
    reached(f"{crash_point}.1")
    try:
        disk.link_new(aside, path)
    except FileExistsError:
        # The name must be durable before the loser acts on it: it may be seen before its writer has synced it.
        disk.sync_dir(path.parent)
        return False
    else:
        reached(f"{crash_point}.2")
        disk.sync_dir(path.parent)
        reached(f"{crash_point}.3")
    finally:
        disk.unlink(aside)
    reached(f"{crash_point}.4")
    return True


def replace_file(disk: Disk, path: Path, payload: Payload) -> None:
    """Put `payload` in place of whatever `path` holds: a reader, or a restart, sees the old or the new one whole."""
    aside = _aside(path)
    disk.write_new(aside, (payload,))
    try:
        disk.rename(aside, path)
    except BaseException:
        disk.unlink(aside)
        raise
    disk.sync_dir(path.parent)


def _aside(path: Path) -> Path:
    return path.with_name(f"{ASIDE}{secrets.token_hex(8)}-{path.name}")
