"""What goes on behind the answers: commit 2 of what was charged, and snapshots of the book, on a thread of its own.

Ticks go on meanwhile. Only what is durable in the journal is committed. A snapshot is written by a process that is
forked between two ticks, and counts once the ledger has come as far: copying a book of millions would stop ticks for
seconds, forking does for milliseconds.
"""

import dataclasses
import gc
import os
import signal
import time
import warnings
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from pipelines.charging import ChargingNode
from pipelines.charging.folded import Folded
from pipelines.charging.node import Under
from pipelines.gently import GentleDisk
from pipelines.serve.gathered import GatheredTables
from pipelines.serve.scheduling import as_usual, hurry, when_nobody_else
from pipelines.serve.staging import StagingProcess
from rating.arrays import gather
from rating.book import BalanceBook

SNAPSHOT_S = 3600.0  # for a snapshot to be written; then its process is killed
HURRY_S = 300.0      # after which its process no longer waits until nobody else wants the processor
GATHER_S = 0.01  # between two huge pages, each a millisecond


class Behind:
    """Commits and snapshots, one at a time, in order. `call` calls a function on the thread that owns the journal."""

    def __init__(self, charging: ChargingNode, call: Callable[[Callable[[], None]], None], commit_rows: int,
                 snapshot_rows: int, fork: bool = True, staging: StagingProcess | None = None) -> None:
        """fork: a process of its own writes snapshots; else a thread does, from a copy. staging: writes the files of
        commits, in place of this process."""
        self._charging, self._call = charging, call
        self._commit_rows, self._snapshot_rows = commit_rows, snapshot_rows
        self._gathered, self._staging = GatheredTables(), staging
        self._stop, self._progress, self._under = charging.position, charging.progress(), charging.under
        self._fork = fork and hasattr(os, "fork")
        self._rows_since, self._wanted, self._closing = 0, 0, False
        self._thread = ThreadPoolExecutor(1, "commit-online", as_usual)  # not nicer: it holds the interpreter
        self._running: Future[Any] | None = None
        self._writing: Future[Any] | None = None
        self._removing: Future[Any] | None = None
        self._gathering: Future[Any] | None = None
        self._writer = ThreadPoolExecutor(1, "snapshot", as_usual)
        self.last_commit_s, self.last_snapshot_s, self.last_fork_s = 0.0, 0.0, 0.0
        self.commits, self.snapshots, self.snapshots_failed = 0, 0, 0

    @property
    def rows(self) -> int:
        """Rows that wait to be committed."""
        return self._gathered.rows

    def add(self, folded: Folded, stop: int, progress: dict[str, int]) -> None:
        """A group of the journal has become durable; `stop` is the position behind it."""
        self._gathered.add(folded)
        self._rows_since += folded.rows
        self._stop, self._progress = stop, progress
        if self._gathered.rows >= self._commit_rows:
            self.commit()

    def _taken(self) -> GatheredTables:
        taken, self._gathered = self._gathered, GatheredTables()
        return taken

    def want(self, position: int) -> None:
        """The next commit goes as far as this, even where nothing is to be written."""
        self._wanted = max(self._wanted, position)

    def commit(self) -> bool:
        """Begin to commit what waits, unless that is still done with what came before. Raises what went wrong then."""
        if self._running is not None and not self._running.done():
            return False
        self._raise()
        if self._gathered.rows or self._charging.position < self._wanted:
            self._begin()
        return True

    def settle(self) -> "Future[Any]":
        """Commit what waits and then the balances that it came to; nothing may be under way. Returns when: a future."""
        book = copy_of(self._charging.book, _NOT_IN_BALANCES)
        before = self._running
        gathered = self._taken()
        stop, progress, under = self._stop, self._progress, self._under

        def work() -> None:
            if before is not None:
                before.result()
            self._work(gathered, stop, progress, under)
            self._charging.commit_balances(book, under)

        self._running = self._thread.submit(work)
        return self._running

    def switch(self, stop: int, content: bytes, under: Under) -> None:
        """The journal has an entry SERVING, behind all that was added, up to `stop`: what came before is committed by
        itself, then the entry, and what will be added was charged `under` that."""
        before, gathered = self._running, self._taken()
        first, progress, was, self._under = self._stop, self._progress, self._under, under

        def work() -> None:
            if before is not None:
                before.result()
            if gathered.rows or self._charging.position < first:
                self._work(gathered, first, progress, was)
            self._charging.commit_switch(first, stop, content, progress, under)

        self._running = self._thread.submit(work)

    def _begin(self) -> None:
        gathered = self._taken()
        self._running = self._thread.submit(self._work, gathered, self._stop, self._progress, self._under)

    def _work(self, gathered: GatheredTables, stop: int, progress: dict[str, int], under: Under) -> None:
        started = time.perf_counter()
        self._charging.commit_online(stop, gathered, progress, under, self._staging)
        self.last_commit_s = time.perf_counter() - started
        self.commits += 1

    def snapshot_due(self) -> bool:
        """Whether enough has come since the last one, and that one is written."""
        return self._rows_since >= self._snapshot_rows and (self._writing is None or self._writing.done())

    def snapshot(self, position: int) -> None:
        """Have the book as it is, at journal position `position`, written by a process forked for that."""
        if self._writing is not None:
            self._writing.result()
        started = time.perf_counter()
        child, book = (self._forked(position), None) if self._fork else (0, copy_of(self._charging.book, ()))
        self.last_fork_s = time.perf_counter() - started
        self._rows_since = 0
        self.want(position)
        self._writing = self._writer.submit(self._publish, position, child, book)

    def _forked(self, position: int) -> int:
        """The child shares the book's pages until one of both changes one. It writes one file and ends: it must wait
        for no lock that another thread held, so it does nothing else, and is killed when it takes too long."""
        disk = GentleDisk()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: of forking beside threads
            child = os.fork()
        if child:
            return child
        code = 1
        try:
            os.closerange(3, 1 << 16)  # a lock that a child held too would outlive us
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            gc.disable()
            when_nobody_else()
            self._charging.write_snapshot_aside(position, disk=disk)
            code = 0
        finally:
            os._exit(code)

    def _publish(self, position: int, child: int, book: BalanceBook | None) -> None:
        """Wait for the child, then for the ledger, then let the snapshot count. Without it the next one will do."""
        started = time.perf_counter()
        if book is not None:
            self._charging.write_snapshot_aside(position, book)
        elif not self._ended_well(child):
            self.snapshots_failed += 1
            return
        while self._charging.position < position:  # commits come every second
            time.sleep(0.02)
            if self._closing:
                return
        oldest = self._charging.publish_snapshot(position)
        self._call(lambda: self._trim(oldest))
        self.snapshots += 1
        self.last_snapshot_s = time.perf_counter() - started
        if child and not self._closing:
            self._gathering = self._writer.submit(self._gather)

    def _gather(self) -> None:
        """The child has left the book's pages in pieces; bit by bit, until the next one comes."""
        for table in self._charging.book.tables():
            for _ in gather(table):
                time.sleep(GATHER_S)
                if self._closing or self._writing is None or not self._writing.done():
                    return

    def _trim(self, oldest: int) -> None:
        """On the thread that owns the journal, where answers wait: files are removed on another."""
        segments = self._charging.release_journal(oldest)
        if segments and not self._closing:
            self._removing = self._writer.submit(self._charging.remove_journal, segments)

    def _ended_well(self, child: int) -> bool:
        began, hurried = time.monotonic(), False
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status) == 0
            took = time.monotonic() - began
            if took > HURRY_S and not hurried:
                hurry(child)
                hurried = True
            if took > SNAPSHOT_S or self._closing:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return False
            time.sleep(0.02)

    def finish(self) -> None:
        """Commit everything, and wait until it is; raises what went wrong."""
        self._raise()
        self._begin()
        self._raise()
        if self._writing is not None:
            self._writing.result()
            self._writing = None
        if self._removing is not None:  # before anybody removes what comes behind
            self._removing.result()

    def close(self) -> None:
        """Wait for what is running, however it ends."""
        self._closing = True
        self._thread.shutdown()
        self._writer.shutdown()
        if self._staging is not None:
            self._staging.close()

    def _raise(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.result()
        for each in (self._writing, self._removing, self._gathering):
            if each is not None and each.done():
                each.result()


_NOT_IN_BALANCES = ("sessions", "friends", "online", "applied")


def copy_of(book: BalanceBook, but: Collection[str]) -> BalanceBook:
    """A book that the next tick does not change, but for those fields."""
    copied = object.__new__(type(book))
    for name in (f.name for f in dataclasses.fields(book)):
        value = getattr(book, name)
        setattr(copied, name, value if name in but else _copied(value))
    return copied


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple):
        return tuple(_copied(each) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        copied = object.__new__(type(value))
        for name in (f.name for f in dataclasses.fields(value)):
            object.__setattr__(copied, name, _copied(getattr(value, name)))
        return copied
    return value.copy() if isinstance(value, (list, set, dict)) else value
