"""Sessions whose final units were granted, as lines of a file: what a restart is to know of them.

A line is JSON: the key's halves, the account, Session-Id, Origin-Host and Origin-Realm, and the rating groups whose
final units were granted. The last line of a session counts; without groups it is over, or waits no more. Lines are
added by a thread of its own, since whoever answers must not wait for a disk, and not synced: no money hangs on them,
and what a power cut has spoilt is left out.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pipelines.durable import Disk, replace_file

Key = tuple[int, int]
_SPARE = 10_000  # lines beyond four times those that count, before the file is written anew


def line_of(key: Key, account: int, texts: Sequence[bytes], groups: Sequence[int]) -> bytes:
    """A session as it is written."""
    return json.dumps([*key, account, *(t.decode("latin-1") for t in texts), groups]).encode() + b"\n"


class FinalUnitsLog:
    """The file. Not for several threads at once."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path, self._disk = path, disk
        self._thread = ThreadPoolExecutor(1, "final-units")
        self._running: Future[None] | None = None
        self._lines = 0

    def read(self) -> Iterator[tuple[Key, int, list[bytes], list[int]]]:
        """(key, account, texts, groups) of each session that waits. The file then has these and no others."""
        if self._disk.exists(self._path):
            kept = self._kept()
            self._write(list(kept.values()))
            for hi, lo, account, *texts, groups in map(json.loads, kept.values()):
                yield (hi, lo), account, [t.encode("latin-1") for t in texts], groups

    @property
    def busy(self) -> bool:
        """Whether lines are being added. Raises what went wrong."""
        if self._running is None or not self._running.done():
            return self._running is not None
        self.settle()
        return False

    def add(self, lines: Sequence[bytes], live: int) -> None:
        """Add lines behind the caller's back. live: sessions that wait; `busy` must not hold."""
        self._running = self._thread.submit(self._add, lines, live)

    def settle(self) -> None:
        """Wait until they are added; raises what went wrong."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def rewrite(self, lines: Sequence[bytes]) -> None:
        """Nothing but these, at once."""
        self.settle()
        self._write(lines)

    def _write(self, lines: Sequence[bytes]) -> None:
        self._disk.make_dir(self._path.parent)
        replace_file(self._disk, self._path, b"".join(lines))
        self._lines = len(lines)

    def _add(self, lines: Sequence[bytes], live: int) -> None:
        if not self._disk.exists(self._path):
            self._write(lines)
            return
        with self._path.open("ab") as file:
            file.write(b"".join(lines))
        self._lines += len(lines)
        if self._lines > 4 * live + _SPARE:
            self._write(list(self._kept().values()))

    def _kept(self) -> dict[Key, bytes]:
        """The last line of each session, by its key, where it waits; what is no line is passed over."""
        found = dict[Key, bytes]()
        for line in self._disk.read(self._path).split(b"\n"):
            try:
                hi, lo, _, _, _, _, groups = json.loads(line)
            except (ValueError, TypeError):
                continue
            found.pop((hi, lo), None)
            if groups:
                found[hi, lo] = line + b"\n"
        return found
