"""A disk with a script: at the n-th event it kills the process, tears a write, or is full."""

import errno
import os
import random
import signal
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines.durable import AppendFile, Disk, Payload
from tests.faults.platter import Platter

Action = Literal["none", "kill", "full"]


@dataclass
class Script:
    """What happens, and when. Events are durable operations (counted before they are done) and crash points.

    at: number of the event, from 1. A kill at a write first lets a random part of it through, and so does a disk
    that is full, which it stays. seen: names of the events so far.
    """

    at: int = 0
    action: Action = "none"
    seed: int = 0
    seen: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def event(self, name: str) -> None:
        """An operation begins, or a crash point is reached."""
        if self.due(name):
            die()

    def due(self, name: str) -> bool:
        """Count; whether the process is to die in this operation."""
        with self._lock:
            self.seen.append(name)
            return self.action == "kill" and len(self.seen) == self.at

    def refuse_when_full(self) -> None:
        """Raises OSError ENOSPC once the disk is full."""
        if self.action == "full" and len(self.seen) >= self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def part(self, octets: int) -> int:
        """How much of a write of so many octets gets through."""
        return random.Random(self.seed).randint(0, octets)


def die() -> None:
    """SIGKILL to ourselves: no handler runs, no buffer is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


class FaultDisk(Disk):
    """`Disk` under a script; with a platter also one that forgets what was not synced when power fails."""

    def __init__(self, script: Script, platter: Platter | None = None) -> None:
        self.script, self.platter = script, platter

    def write_new(self, path: Path, chunks: Iterable[Payload], mode: int = 0o644) -> int:
        if self.script.due("disk.write_new"):
            payload = b"".join(bytes(c) for c in chunks)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            os.write(handle, payload[:self.script.part(len(payload))])
            die()
        written = super().write_new(path, chunks, mode)
        if self.platter is not None:
            self.platter.file_synced(path)
        return written

    def open_append(self, path: Path, preallocate_octets: int = 0) -> AppendFile:
        self.script.event("disk.open_append")
        return FaultAppendFile(self, path, preallocate_octets)

    def link_new(self, source: Path, target: Path) -> None:
        self.script.event("disk.link_new")
        self.script.refuse_when_full()
        super().link_new(source, target)

    def rename(self, source: Path, target: Path) -> None:
        self.script.event("disk.rename")
        self.script.refuse_when_full()
        super().rename(source, target)

    def sync_dir(self, folder: Path) -> None:
        self.script.event("disk.sync_dir")
        super().sync_dir(folder)
        if self.platter is not None:
            self.platter.names_synced(folder)

    def unlink(self, path: Path) -> None:
        self.script.event("disk.unlink")
        super().unlink(path)

    def _write_all(self, handle: int, payload: Payload) -> int:
        try:
            self.script.refuse_when_full()
        except OSError:
            view = memoryview(payload).cast("B")
            os.write(handle, view[:self.script.part(len(view))])
            raise
        return super()._write_all(handle, payload)


class FaultAppendFile(AppendFile):
    """Appends under the same script; tells the platter what a sync has made durable."""

    def __init__(self, disk: FaultDisk, path: Path, preallocate_octets: int) -> None:
        super().__init__(disk, path, preallocate_octets)
        self._script, self._platter = disk.script, disk.platter
        self._dirty_from = self.end

    def append(self, chunks: Iterable[Payload]) -> int:
        payload = b"".join(bytes(c) for c in chunks)
        start = self.end
        if self._script.due("disk.append"):
            super().append((payload[:self._script.part(len(payload))],))
            die()
        result = super().append((payload,))
        self._dirty_from = min(self._dirty_from, start)
        return result

    def sync(self) -> None:
        self._script.event("disk.sync")
        super().sync()
        if self._platter is not None:
            self._platter.range_synced(self.path, self._dirty_from, max(self.end, self._dirty_from))
        self._dirty_from = self.end

    def truncate(self, octets: int) -> None:
        self._script.event("disk.truncate")
        super().truncate(octets)
        self._dirty_from = min(self._dirty_from, octets)
