"""What makes ticks durable: one thread that appends to the journal, everything that waits in one go.

While the disk works on one group the next ticks fill, and all of them are the next group: the slower the disk, the
larger its groups. A small tick that nothing else waits behind is appended by the loop itself: to hand it to a thread
and be told takes longer than most disks. Numbers that were seen for the first time are durable in the vault before the
journal names their tokens.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mediation.tokens import Sightings
from pipelines.journal import Entry, Journal
from pipelines.serve.scheduling import wake_soon
from pipelines.vault import Vault
from schemas.errors import LedgerError


@dataclass(frozen=True)
class _Work:
    """A group of entries and what is to be called on the loop once it is durable; or a function for this thread."""

    entries: Sequence[Entry] = ()
    sightings: Sequence[Sightings] = ()
    done: Callable[[], None] | None = None
    call: Callable[[], None] | None = None


class Appender:
    """Owns journal and vault while it runs. `failed` is called on the loop, once, with what went wrong."""

    def __init__(self, journal: Journal, vault: Vault, failed: Callable[[BaseException], None]) -> None:
        self._journal, self._vault, self._failed = journal, vault, failed
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._under_way = 0  # groups that the thread has and whose callers were not told yet
        self._owned = threading.Lock()  # journal and vault, by whoever uses them
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def append(self, entries: Sequence[Entry], sightings: Sequence[Sightings], done: Callable[[], None],
               here: bool = False) -> None:
        """Make entries durable, in the order of calls; then `done` is called on the loop.

        here: before this returns, unless that must wait for others; then it raises OSError or LedgerError, and whether
        the entries are in the journal is not known.
        """
        if here and not self._under_way and not any(map(len, sightings)) and self._owned.acquire(blocking=False):
            try:
                self._journal.append(entries)
            finally:
                self._owned.release()
            done()
            return
        self._under_way += 1
        self._queue.put(_Work(entries, sightings, done))

    def call(self, function: Callable[[], None]) -> None:
        """Call a function between groups, on the thread that owns the journal."""
        self._queue.put(_Work(call=function))

    def remember(self, token: Any, identity: Any, value: Any, texts: Any) -> "asyncio.Future[Any]":
        """Keep sightings of another process: `Vault.remember`, in turn."""
        loop, found = self._loop, self._loop.create_future()

        def work() -> None:
            remembered = self._vault.remember(token, identity, value, texts)
            loop.call_soon_threadsafe(lambda: None if found.done() else found.set_result(remembered))

        self.call(work)
        return found

    def stop(self) -> None:
        """Wait until everything is durable, or has failed."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        wake_soon()
        try:
            while True:
                work = self._queue.get()
                group = []
                while work is not None and work.call is None:
                    group.append(work)
                    try:
                        work = self._queue.get_nowait()
                    except queue.Empty:
                        break
                if group:
                    self._durable(group)
                    if work is group[-1]:
                        continue
                if work is None:
                    return
                if work.call is not None:
                    with self._owned:
                        work.call()
        except BaseException as error:  # whoever waits for an answer gets none
            self._loop.call_soon_threadsafe(self._failed, error)

    def _durable(self, group: Sequence[_Work]) -> None:
        with self._owned:
            seen = [s for work in group for s in work.sightings if len(s)]
            if seen:
                self._remember(Sightings.concat(seen))
            self._journal.append([entry for work in group for entry in work.entries])
        self._loop.call_soon_threadsafe(self._tell, group)

    def _tell(self, group: Sequence[_Work]) -> None:
        self._under_way -= len(group)
        for work in group:
            if work.done is not None:
                work.done()

    def _remember(self, seen: Sightings) -> None:
        texts = [seen.text.get(row) for row in range(len(seen))] if seen.text else None
        found = self._vault.remember(np.ascontiguousarray(seen.token), seen.identity, seen.value, texts)
        if found.collisions.size:
            raise LedgerError(f"{found.collisions.size} tokens stand for other values already", "one value a token",
                              "ask for help: in 63 bits this does not happen by chance")
