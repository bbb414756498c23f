"""Telling listeners: each its events in order, one at a time, again and again until it has taken them.

Only hosts are called that the operator lists: a listener is whoever has a token, and is not to reach by our hand what
only this machine can. Nobody waits for it, and no money hangs on it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import httpx

from pipelines.balance_api.listeners import Event, Listener
from pipelines.balance_api.service import BalanceService, Call
from pipelines.balance_api.tmf import money_bucket
from pipelines.balance_api.tmf_events import (
    BUCKET,
    RESERVE,
    STATUS_CHANGED,
    bucket_event,
    reservation_now,
    reservation_of,
    resource_event,
)
from pipelines.balance_api.tokens import Grantee, Tokens
from pipelines.nchf.notify import Allowed
from rating.reservations import ReservationState

SCOPE = "hub:write"
_LOOK_S = 1.0
_MOST_CHANGED = 10_000  # accounts whose balances are to be looked at; of others nobody is told
_SLICE = 50             # of them at once, between requests
_AT_ONCE = 16
_TIMEOUT_S = 5.0
_PATIENCE_US, _PAUSE_US = 10_000_000, 60_000_000  # with reservations that no clock has ended yet
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0
_GONE = (404, 410)


class Notifier:
    """One for a process, from `start` to `stop`, in the loop of the API. now_us, now_s: clocks."""

    def __init__(self, service: BalanceService, tokens: Tokens, hosts: tuple[str, ...],
                 now_us: Callable[[], int] = lambda: time.time_ns() // 1000, pause_s: float = _FIRST_PAUSE_S) -> None:
        self.allowed = Allowed(hosts, loopback=False)
        self._service, self._listeners, self._tokens = service, service.store.listeners, tokens
        self._now_us, self._pause_s = now_us, pause_s
        self._changed: dict[int, None] = {}
        self._not_before: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.sent = self.failed = 0
        service.desk.on_changed.append(self.changed)

    def changed(self, accounts: Iterable[int]) -> None:
        """Balances of these accounts are others."""
        if self._task is None or not self._listeners.any_wants(BUCKET):
            return
        for account in accounts:
            if len(self._changed) < _MOST_CHANGED:
                self._changed[account] = None
        self._wake.set()

    def start(self) -> None:
        """Begin to tell, what was left from before too."""
        self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=_TIMEOUT_S)
        self._service.on_event = self._wake.set
        self._wake.set()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """What was not taken waits for the next start."""
        if self._task is None:
            return
        tasks = [self._task, *self._busy.values()]
        self._task, self._service.on_event = None, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _LOOK_S)
            if self._task is None:  # an event at the same moment hides from `wait_for` that it was cancelled
                return
            self._wake.clear()
            await self._look_at_balances()
            await self._look_at_reservations()
            now_s = time.monotonic()
            for name in await asyncio.to_thread(self._listeners.waiting):
                if len(self._busy) < _AT_ONCE and name not in self._busy and self._not_before.get(name, 0.0) <= now_s:
                    self._busy[name] = asyncio.create_task(self._tell(name))

    async def _look_at_balances(self) -> None:
        while self._changed:
            some = list(self._changed)[:_SLICE]
            for account in some:
                del self._changed[account]
            call = Call(Grantee("", (), ""), self._now_us(), "", b"", {}, {})
            events = list[Event]()
            for account in some:
                if await self._service.desk.ask(lambda book, a=account: book.row_of(a)) >= 0:  # type: ignore[misc]
                    bucket = money_bucket(await self._service.view(call, account))
                    events.append(bucket_event(bucket, account, call.now_us))
            await asyncio.to_thread(self._listeners.put, events)

    async def _look_at_reservations(self) -> None:
        """Of those that should be over by the clock, which are: the book says, since they may have ended before."""
        expiries, now_us = self._service.store.expiries, self._now_us()
        names = await asyncio.to_thread(expiries.due, now_us, _SLICE)
        if not names:
            return
        over, waiting, events = list[str](), list[str](), list[Event]()
        for name, until_us in names:
            found = await self._service.desk.ask(lambda book, n=name: reservation_of(book, n))  # type: ignore[misc]
            if found is not None and found.state == ReservationState.OPEN:
                if now_us - until_us > _PATIENCE_US:
                    waiting.append(name)
                continue
            over.append(name)
            made = await asyncio.to_thread(self._service.store.resource, name)
            if found is not None and found.state == ReservationState.EXPIRED and made is not None:
                body = await self._service.desk.ask(lambda book, m=made: reservation_now(book, m))  # type: ignore[misc]
                events.append(resource_event(RESERVE, STATUS_CHANGED, name, made.account_id, body, found.ended_us))
        await asyncio.to_thread(expiries.over, over, events)
        if waiting:
            await asyncio.to_thread(expiries.later, waiting, now_us + _PAUSE_US)

    async def _tell(self, name: str) -> None:
        """Everything that waits for a listener, until it does not take it."""
        try:
            while (listener := self._listeners.find(name)) is not None:
                if not self._may(listener):
                    await asyncio.to_thread(self._listeners.remove, name)
                    return
                found = await asyncio.to_thread(self._listeners.next, name, self._now_us())
                if found is None:
                    return
                status = await self._post(listener.callback, found[1])
                if status in _GONE:
                    await asyncio.to_thread(self._listeners.remove, name)
                elif 200 <= status < 300:
                    self.sent += 1
                    self._failures.pop(name, None)
                    await asyncio.to_thread(self._listeners.told, found[0])
                else:
                    self.failed += 1
                    count = self._failures[name] = self._failures.get(name, 0) + 1
                    self._not_before[name] = time.monotonic() + min(self._pause_s * 2 ** min(count - 1, 16),
                                                                    _LONGEST_PAUSE_S)
                    return
        finally:
            self._busy.pop(name, None)

    async def _post(self, uri: str, body: bytes) -> int:
        """Status of the answer, which is not read: it may have no end. 0: none came, or it may not be called."""
        if not self.allowed(uri):
            return 0
        with suppress(httpx.HTTPError, httpx.InvalidURL, ValueError, OSError):
            async with self._client.stream("POST", uri, content=body,
                                           headers={"content-type": "application/json"}) as answer:
                return answer.status_code
        return 0

    def _may(self, listener: Listener) -> bool:
        """Whether its token is still one that may listen."""
        now_us = self._now_us()
        return any(each.name == listener.grantee and each.may(SCOPE) and (
            each.expires_us is None or each.expires_us > now_us) for each in self._tokens.all())
