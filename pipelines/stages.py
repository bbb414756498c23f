"""Run a chain of generators with each stage on a thread of its own, in order, with bounded queues between.

The kernels, compression, hashing and file I/O of the stages all release the GIL, so that stages overlap on real
cores. Order is the order of the input: the number of threads changes when something happens, never what.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, cast

T = TypeVar("T")


def ahead(items: Iterable[T], depth: int = 2, name: str = "", meter: dict[str, float] | None = None) -> Iterator[T]:
    """Draw `items` on a thread of its own, at most `depth` ahead of the consumer.

    meter: receives under `name` the seconds of processor time that the thread took.

    An exception of the source is raised here, after the items that came before it. Closing the iterator stops
    the thread.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None] | None] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: tuple[T | None, BaseException | None] | None) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def draw() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
        except BaseException as error:  # handed to the consumer, who decides
            put((None, error))
        if meter is not None:
            meter[name] = meter.get(name, 0.0) + time.thread_time()
        put(None)

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        while (got := waiting.get()) is not None:
            item, error = got
            if error is not None:
                raise error
            yield cast(T, item)
    finally:
        stop.set()
        thread.join()


class Gate:
    """Holds a stage back behind an item that it must not overtake, until the end of the chain lets it go on."""

    def __init__(self) -> None:
        self._passed: queue.Queue[object] = queue.Queue()
        self._closed = threading.Event()

    def pass_on(self, items: Iterable[T], holds: Callable[[T], bool]) -> Iterator[T]:
        """The items; behind one that `holds`, nothing before `open` was called for it."""
        for item in items:
            yield item
            while holds(item) and not self._closed.is_set():
                with contextlib.suppress(queue.Empty):
                    self._passed.get(timeout=0.1)
                    break

    def closing(self, items: Iterable[T]) -> Iterator[T]:
        """The items at the end of the chain; whatever ends it, nothing waits at the gate any more."""
        try:
            for item in items:  # noqa: UP028 - closing would close the chain first, which waits for who waits here
                yield item
        finally:
            self._closed.set()

    def open(self) -> None:
        """The item that was held behind has had its effect."""
        self._passed.put(None)


def chain(items: Iterable[T], workers: int, depth: int = 2, name: str = "",
          meter: dict[str, float] | None = None) -> Iterator[T]:
    """`ahead` where there is more than one worker, the plain iterator where there is one."""
    return ahead(items, depth, name, meter) if workers > 1 else iter(items)
