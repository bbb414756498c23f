"""Time, threads and a disk that a seed decides: an asyncio loop whose clock jumps to the next timer, and one thread."""

import asyncio
import heapq
import selectors
import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from random import Random
from typing import Any

from pipelines.serve.appender import Appender


class PowerCut(BaseException):
    """The power has failed: nothing is done any more, and nothing is caught on the way."""


class StuckError(AssertionError):
    """Everybody waits, and nothing is to come."""


class Clock:
    """Virtual time. `wall_us` may jump; `now` never goes back."""

    def __init__(self, wall_us: int) -> None:
        self.now, self._wall_us, self._slept = 0.0, wall_us, 0

    def jump(self, seconds: float) -> None:
        self._wall_us += int(seconds * 1_000_000)

    def time_ns(self) -> int:
        return (self._wall_us + int(self.now * 1_000_000)) * 1000

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._slept += 1
        assert self._slept < 10_000, "a thread waits for what never comes"


class _Selector(selectors.DefaultSelector):
    clock: Clock

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found:
            if timeout is None:
                raise StuckError("everybody waits, and nothing is to come")
            self.clock.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time, whose threads are functions that are called at once."""

    def __init__(self, clock: Clock) -> None:
        selector = _Selector()
        selector.clock = clock
        super().__init__(selector)
        self._virtual = clock

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class Script:
    """As `fault_disk.Script`, but the process lives on, and every later operation fails. at: 0 for never."""

    def __init__(self, at: int, seed: int) -> None:
        self.at, self.seed, self.count, self.dead, self.last = at, seed, 0, False, ""

    def event(self, name: str) -> None:
        if self.due(name):
            raise PowerCut(name)

    def due(self, name: str) -> bool:
        if self.dead:
            raise PowerCut(name)
        self.count += 1
        self.last = name
        self.dead = self.count == self.at
        return self.dead

    def refuse_when_full(self) -> None:
        """It is never full."""

    def part(self, octets: int) -> int:
        return Random(self.seed).randint(0, octets)


def die() -> None:
    """In place of `fault_disk.die`, which ends the process."""
    raise PowerCut("within a write")


class VirtualAppender(Appender):
    """Appends when the seed says that the disk has got so far."""

    luck: Random  # of the simulation that runs

    def __init__(self, journal: Any, vault: Any, failed: Callable[[BaseException], None]) -> None:
        self._journal, self._vault, self._failed = journal, vault, failed
        self._loop = asyncio.get_running_loop()
        self._under_way, self._owned = 0, threading.Lock()
        self._waits: list[Any] = []
        self._armed = False
        self._queue = self  # type: ignore[assignment]

    def append(self, entries: Any, sightings: Any, done: Any, here: bool = False) -> None:
        super().append(entries, sightings, done, here and self.luck.random() < 0.5)

    def put(self, work: Any) -> None:
        self._waits.append(work)
        if not self._armed:
            self._armed = True
            self._loop.call_later(self.luck.choice((0, 0.0003, 0.002, 0.002, 0.05)), self._work)

    def _work(self) -> None:
        self._armed = False
        works, self._waits = self._waits, []
        group: list[Any] = []
        try:
            for work in works:
                if work is None:
                    continue
                if work.call is None:
                    group.append(work)
                    continue
                if group:
                    self._durable(group)
                    group = []
                work.call()
            if group:
                self._durable(group)
        except BaseException as error:
            self._loop.call_soon(self._failed, error)

    def stop(self) -> None:
        self._work()


class _Job(Future):  # type: ignore[type-arg]
    executor: "VirtualExecutor"

    def result(self, timeout: float | None = None) -> Any:
        self.executor.run_up_to(self)
        return super().result(timeout)


class VirtualExecutor:
    """An executor whose jobs are done one after the other, each when the seed says so, or when somebody waits."""

    luck: Random
    numbers = count()

    def __init__(self, _workers: int = 1, name: str = "", _initializer: Any = None) -> None:
        self._name, self._jobs = name, list[tuple[int, _Job, Callable[[], Any]]]()

    def submit(self, function: Callable[..., Any], *args: Any) -> _Job:
        job = _Job()
        job.executor = self
        heapq.heappush(self._jobs, (next(self.numbers), job, lambda: function(*args)))
        self._arm(function, args)
        return job

    def _arm(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no loop: the node stops, and waits for the result
            return
        later = self.luck.choice((0.001, 0.01, 0.3, 2.5))

        def due() -> None:
            behind = getattr(function, "__self__", None)
            waits = getattr(function, "__name__", "") == "_publish" and not behind._closing
            if waits and behind._charging.position < args[0]:
                loop.call_later(0.1, due)  # what it waits for comes with a commit
            elif self._jobs:
                self.run_up_to(self._jobs[0][1])

        loop.call_later(later, due)

    def run_up_to(self, job: _Job) -> None:
        while not job.done():
            _, first, function = heapq.heappop(self._jobs)
            try:
                first.set_result(function())
            except BaseException as error:
                first.set_exception(error)

    def shutdown(self, wait: bool = True) -> None:
        while self._jobs:
            self.run_up_to(self._jobs[0][1])
