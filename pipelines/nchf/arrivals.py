"""Requests as granian's threads hand them over, gathered: the loop is woken once for all that came meanwhile.

granian wakes the loop for each request and again for each body, and makes a task of each request; with the system
calls and the turns of the interpreter's lock that this takes, it cost more than charging does. Here its threads only
put things down. What depends on granian's insides is in this file and in `server.py`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from granian.server.embed import Server


class Watcher(Protocol):
    """A request: `scope`, `proto` (the exchange), and `done`, which answers 500 if nobody has."""

    scope: Any
    proto: Any

    def done(self) -> None: ...


class Gatherer:
    """Stands in for the loop where granian's threads call it.

    arrived: given the requests of a turn. turned: called when all that had come by then was handed out.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, arrived: Callable[[list[Watcher]], None],
                 turned: Callable[[], None]) -> None:
        self._loop, self._arrived, self._turned = loop, arrived, turned
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._woken = False

    def call_soon_threadsafe(self, call: Callable[..., Any], *arguments: Any, context: Any = None  # noqa: ARG002
                             ) -> None:
        """By granian's threads: a request came, or what was awaited is there. Contexts are nobody's here."""
        self._calls.append((call, arguments))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._turn)

    call_soon = call_soon_threadsafe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def close(self) -> None:
        """Hand out nothing any more, and let go of who was handed it: granian keeps this for as long as any client
        keeps its connection."""
        self._woken = True  # so that nobody wakes the loop
        self._arrived, self._turned = _nothing, _nothing
        self._calls.clear()

    def _turn(self) -> None:
        self._woken = False  # first: whoever comes from now on wakes the loop again
        calls, came = self._calls, []
        for _ in range(len(calls)):
            call, arguments = calls.popleft()
            if len(arguments) == 2:  # a request: a coroutine that would become a task, and its watcher
                arguments[0].close()
                came.append(arguments[1])
            else:
                call(*arguments)
        if came:
            self._arrived(came)
        self._turned()


def _nothing(*_: object) -> None:
    """Done with what comes too late."""


class Door:
    """What granian is given in place of the application, which it would keep likewise. app: until it is closed."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __rsgi__(self, scope: Any, exchange: Any) -> None:
        if self.app is not None:
            await self.app.__rsgi__(scope, exchange)


async def awaited(loop: asyncio.AbstractEventLoop, coming: Any) -> Any:
    """What granian's future comes to, which knows the gatherer as its loop and so can't be awaited by a task."""
    done: asyncio.Future[None] = loop.create_future()
    coming.add_done_callback(lambda _: None if done.done() else done.set_result(None))
    try:
        await done
        return coming.result()
    except asyncio.CancelledError:
        coming.cancel()
        raise
    finally:
        del coming  # it keeps its error, whose traceback keeps this frame: a circle that the collector cannot see


def outcome(coming: Any) -> bytes | type[Exception] | type[asyncio.CancelledError]:
    """A body, or the kind of error that came instead."""
    try:
        body: bytes = coming.result()
    except (asyncio.CancelledError, Exception) as error:
        return type(error)
    finally:
        del coming  # as above
    return body


class Exchange:
    """granian's exchange, for a task. body: where it has come already."""

    def __init__(self, loop: asyncio.AbstractEventLoop, exchange: Any, body: bytes | None = None) -> None:
        self._loop, self._exchange, self._body = loop, exchange, body
        self.response_empty, self.response_bytes = exchange.response_empty, exchange.response_bytes

    def __call__(self) -> "asyncio.Future[bytes]":
        if self._body is None:
            return asyncio.ensure_future(awaited(self._loop, self._exchange()))
        there: asyncio.Future[bytes] = self._loop.create_future()
        there.set_result(self._body)
        return there

    def __aiter__(self) -> "Exchange":
        self._parts = self._exchange.__aiter__()
        return self

    async def __anext__(self) -> bytes:
        part: bytes = await awaited(self._loop, self._parts.__anext__())
        return part


def spawned_with(gatherer: Gatherer) -> Callable[..., Any]:
    """granian's own function that runs a worker, with a loop that gathers: `spawn_target` of its embedded server."""
    inner = Server._spawn_rsgi_worker.__wrapped__

    async def spawn(worker_id: int, stopping: Any, callback: Any, sock: Any, *settings: Any) -> None:
        await inner(worker_id, stopping, callback, sock, gatherer, *settings)

    return spawn
