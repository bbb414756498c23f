"""What makes ticks durable: in the order in which they came, by the loop itself only where nothing is before them."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from mediation.tokens import Sightings
from pipelines.journal import Clock, Entry
from pipelines.serve.appender import Appender


class SlowJournal:
    """Appends when it may; notes what, and by which thread."""

    def __init__(self) -> None:
        self.may, self.appended = threading.Event(), list[tuple[int, bool]]()
        self.may.set()

    def append(self, entries: Sequence[Entry]) -> None:
        self.may.wait(10)
        here = threading.current_thread() is threading.main_thread()
        self.appended += [(entry.time_us, here) for entry in entries if isinstance(entry, Clock)]


class FullJournal(SlowJournal):
    def append(self, entries: Sequence[Entry]) -> None:
        raise OSError("no room")


def run(work: "Callable[[Appender], asyncio.Future[None]]", journal: SlowJournal) -> None:
    async def go() -> None:
        appender = Appender(journal, None, pytest.fail)  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(10):
                await work(appender)
        finally:
            journal.may.set()
            appender.stop()

    asyncio.run(go())


def test_what_nothing_waits_before_is_appended_here_and_the_rest_in_order_by_the_thread() -> None:
    journal, told = SlowJournal(), list[int]()

    def put(appender: Appender, number: int, here: bool, sightings: Sequence[Sightings] = ()) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        appender.append([Clock(number)], sightings, lambda: (told.append(number), done.set_result(None))[1], here)
        return done

    async def work(appender: Appender) -> None:
        assert put(appender, 1, True).done() and told == [1]
        journal.may.clear()
        slow = put(appender, 2, False)
        behind = put(appender, 3, True)  # its turn comes behind that
        journal.may.set()
        until = time.monotonic() + 10
        while len(journal.appended) < 3 and time.monotonic() < until:
            time.sleep(0.001)  # the loop stands, and so nobody is told what is durable already
        last = put(appender, 5, True)
        assert not (slow.done() or behind.done() or last.done())
        await last
        assert put(appender, 4, True).done()

    run(work, journal)  # type: ignore[arg-type]
    assert told == [1, 2, 3, 5, 4]
    assert journal.appended == [(1, True), (2, False), (3, False), (5, False), (4, True)]


def test_what_the_thread_does_between_groups_is_waited_for() -> None:
    journal = SlowJournal()

    async def work(appender: Appender) -> None:
        began, may = threading.Event(), threading.Event()
        appender.call(lambda: (began.set(), may.wait(10))[0])
        assert await asyncio.to_thread(began.wait, 10)
        done = asyncio.get_running_loop().create_future()
        appender.append([Clock(1)], (), lambda: done.set_result(None), True)
        assert not done.done()
        may.set()
        await done

    run(work, journal)  # type: ignore[arg-type]
    assert journal.appended == [(1, False)]


def test_an_append_that_fails_here_is_raised_and_nobody_is_told() -> None:
    async def work(appender: Appender) -> None:
        with pytest.raises(OSError, match="no room"):
            appender.append([Clock(1)], (), lambda: pytest.fail("told"), True)

    run(work, FullJournal())  # type: ignore[arg-type]
