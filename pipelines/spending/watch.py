"""Who watches whose counters, what they were told, and when they are told again. One for each interface.

Statuses are looked at when an account reached a threshold (whatever charged it: `OnlineNode.on_reached`), when a
command changed it, and in turn, since cycles end and subscriptions expire by themselves. A notification that failed is
tried again after a pause, with what is true by then. All calls in the node's event loop.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from itertools import islice
from typing import Generic, Protocol, TypeVar

import msgspec

from pipelines.serve.node import CommandOutcome, OnlineNode
from pipelines.spending.counters import PolicyCounters, Status
from pipelines.spending.subscriptions import S, Subscription, SubscriptionLog
from schemas.columns import I64

_SLICE = 100           # subscriptions that are looked at in one go
_MOST_OPEN = 5_000     # notifications under way; the others wait
_PAUSE_S = 0.001       # between slices when many have reached a threshold
_SWEEP_S, _SAVE_S = 0.05, 1.0
_AGAIN_S = 10.0        # after a notification that was not delivered
_MOST_REWRITTEN = 100_000  # subscriptions whose log is written anew while serving; a larger one is at the next start


class Heard(Enum):
    """What became of a notification."""

    DELIVERED = "delivered"
    FORGOTTEN = "the consumer does not know the subscription any more"
    FAILED = "not delivered"


class Refusal(Enum):
    """Why there is no subscription."""

    USER_UNKNOWN = "nobody of this name"
    UNKNOWN_COUNTERS = "counters that there are not"
    NO_COUNTERS = "the tariff has no counters with thresholds"


class RefusedError(Exception):
    """A subscription that cannot be. unknown: counters that there are not."""

    def __init__(self, why: Refusal, unknown: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.why, self.unknown = why, unknown


T = TypeVar("T", bound=Subscription)


class Teller(Protocol[T]):
    """An interface by which consumers are told."""

    def tell(self, news: Sequence[tuple[T, dict[str, Status]]]) -> None:
        """Notify of statuses; `Watch.heard` is called for each once it is known what became of it."""

    def closed(self, one: T) -> T | None:
        """The account is closed. Returns what is left of the subscription."""


class Watch(Generic[S]):
    """Subscriptions of one interface, and what their consumers were told."""

    def __init__(self, node: OnlineNode, log: SubscriptionLog[S], teller: Teller[S]) -> None:
        self._node, self._log, self._teller = node, log, teller
        self._policy = PolicyCounters(node.reference.tariffs)
        self.subscriptions: dict[str, S] = log.read()
        self._of: dict[int, tuple[str, ...]] = {}  # few each: tuples, which the collector passes over
        for one in self.subscriptions.values():
            self._of[one.account_id] = (*self._of.get(one.account_id, ()), one.id)
        self._quiet: dict[str, S] = {}       # those that must not be told now: an answer or a notification is under way
        self._failed: dict[str, float] = {}  # not before
        self._due: dict[str, None] = {}
        self._working = False
        self._failure: Exception | None = None
        self._turn: list[str] = []
        self._unsaved: dict[str, S] = {}
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.told = self.not_told = 0
        node.on_command.append(self._changed)
        node.on_reached.append(self._reached)

    # what consumers ask

    def choose(self, one: S, wanted: Sequence[str] | None) -> dict[str, Status]:
        """Let `one`, which nobody has yet, be for these counters, or for all. Returns how they stand, which its
        consumer then counts as told. Raises RefusedError."""
        known = self.policy().names
        unknown = [name for name in wanted or () if name not in known]
        if unknown:
            raise RefusedError(Refusal.UNKNOWN_COUNTERS, unknown)
        if not known:
            raise RefusedError(Refusal.NO_COUNTERS)
        one.all_counters = wanted is None
        one.counters = tuple(sorted(set(wanted))) if wanted is not None else ()
        statuses = self._statuses(one, time.time_ns() // 1000)
        if not statuses:
            raise RefusedError(Refusal.USER_UNKNOWN)
        one.told = {name: status.name for name, status in statuses.items()}
        return statuses

    def put(self, one: S) -> None:
        """A subscription that is new, or changed. Confirm it after `saved`, then call `answered`: nobody is told of
        what he was not told that he has."""
        before = self.subscriptions.get(one.id)
        if before is not None and before.account_id != one.account_id:
            self._forget(before)
        self.subscriptions[one.id] = self._quiet[one.id] = self._unsaved[one.id] = one
        self._failed.pop(one.id, None)
        same = self._of.get(one.account_id, ())
        if one.id not in same:
            self._of[one.account_id] = (*same, one.id)

    def drop(self, one: S) -> None:
        """A subscription that is over."""
        self._forget(one)
        self._unsaved[one.id] = msgspec.structs.replace(one, gone=True)

    async def saved(self, durable: bool = True) -> None:
        """Wait until all of it is in the log; durable: also after a power cut."""
        # Who waits may be cancelled, the thread that writes may not: it must be the only one.
        await asyncio.shield(self._save(durable))

    async def _save(self, durable: bool) -> None:
        async with self._writing:
            changed, self._unsaved = self._unsaved, {}
            try:
                if changed:
                    await asyncio.to_thread(self._log.append, list(changed.values()), durable)
            except BaseException:
                self._unsaved = changed | self._unsaved
                raise
            count = len(self.subscriptions)
            if count <= _MOST_REWRITTEN and self._log.is_long(count):
                await asyncio.to_thread(self._log.rewrite, dict(self.subscriptions))

    def answered(self, some: Iterable[S]) -> None:
        """What was put is confirmed: consumers may be told of what has changed meanwhile."""
        for one in some:
            if self._quiet.get(one.id) is one:
                del self._quiet[one.id]
                self._look_soon((one.id,))

    # what tellers say

    def heard(self, one: S, statuses: Mapping[str, Status], how: Heard) -> None:
        """What became of a notification."""
        self.told += how is Heard.DELIVERED
        self.not_told += how is not Heard.DELIVERED
        if self._quiet.get(one.id) is not one:
            return  # changed or ended meanwhile: its consumer has had later news
        del self._quiet[one.id]
        if how is Heard.FORGOTTEN:
            self.drop(one)
        elif how is Heard.DELIVERED:
            one.told.update({name: status.name for name, status in statuses.items()})
            self._unsaved[one.id] = one  # told twice after a power cut: no harm
            self._look_soon((one.id,))   # what has changed meanwhile
        else:
            self._failed[one.id] = time.monotonic() + _AGAIN_S
            asyncio.get_running_loop().call_later(_AGAIN_S + 0.001, self._look_soon, (one.id,))

    # what the node says

    def _reached(self, accounts: I64) -> None:
        """Counters of these accounts have reached thresholds."""
        if self._of:
            for account in self._of.keys() & set(accounts.tolist()):
                self._look_soon(self._of[account])

    def _changed(self, command: Mapping[str, object], outcome: CommandOutcome) -> None:
        """An account changed; of one that was closed nobody is told anything more."""
        account = command.get("account_id")
        if outcome.status != "done" or not isinstance(account, int) or account not in self._of:
            return
        if command.get("kind") == "state" and command.get("state") == "terminated":
            for identifier in self._of[account]:
                one = self.subscriptions[identifier]
                left = self._teller.closed(one)
                if left is None:
                    self.drop(one)
                else:
                    self.subscriptions[identifier] = self._unsaved[identifier] = left
                    self._quiet.pop(identifier, None)
        else:
            self._look_soon(self._of[account])

    # how

    def policy(self) -> PolicyCounters:
        """Of the tariff of now."""
        tariffs = self._node.reference.tariffs
        if tariffs is not self._policy.tariffs:
            self._policy = PolicyCounters(tariffs)
        return self._policy

    def _statuses(self, one: S, now_us: int) -> dict[str, Status]:
        policy = self.policy()
        return policy.statuses(self._node.book, one.account_id, policy.names if one.all_counters else one.counters,
                               now_us)

    def _look_soon(self, identifiers: Iterable[str]) -> None:
        self._due.update(dict.fromkeys(identifiers))
        if self._due and not self._working:
            self._working = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        """A slice of those that are due; requests come between it and the next."""
        try:
            self._work_off()
        except Exception as error:  # in a callback of the loop: nobody else would hear of it
            self._failure = error

    def _work_off(self) -> None:
        some = list(islice(self._due, max(0, min(_SLICE, _MOST_OPEN - len(self._quiet)))))
        for identifier in some:
            del self._due[identifier]
        self._look(some)
        self._working = bool(self._due)
        if self._working:
            asyncio.get_running_loop().call_later(_PAUSE_S if some else _SWEEP_S, self._work)

    def _look(self, identifiers: Iterable[str]) -> None:
        """Tell consumers of statuses that are not what they were told."""
        now_us, now_s, news = time.time_ns() // 1000, time.monotonic(), list[tuple[S, dict[str, Status]]]()
        for identifier in identifiers:
            one = self.subscriptions.get(identifier)
            if one is None or identifier in self._quiet or self._failed.get(identifier, now_s) > now_s:
                continue
            statuses = self._statuses(one, now_us)
            fresh = {name: status for name, status in statuses.items() if one.told.get(name) != status.name}
            self._failed.pop(identifier, None)
            if fresh:
                self._quiet[identifier] = one
                news.append((one, fresh))
        if news:
            self._teller.tell(news)

    def sweep(self) -> None:
        """Look at the next subscriptions in turn: cycles end, subscriptions expire."""
        if not self._turn:
            self._turn = list(self.subscriptions)
        some, self._turn = self._turn[:_SLICE], self._turn[_SLICE:]
        now_us = time.time_ns() // 1000
        for identifier in some:
            one = self.subscriptions.get(identifier)
            if one is not None and one.expires_us is not None and one.expires_us <= now_us:
                self.drop(one)
        if len(self._quiet) < _MOST_OPEN:
            self._look(some)

    def _forget(self, one: S) -> None:
        self.subscriptions.pop(one.id)
        self._quiet.pop(one.id, None)
        self._failed.pop(one.id, None)
        same = tuple(each for each in self._of[one.account_id] if each != one.id)
        if same:
            self._of[one.account_id] = same
        else:
            del self._of[one.account_id]

    # life

    def start(self) -> None:
        """Begin to look at subscriptions in turn."""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """A twentieth of the time at most."""
        save_at = time.monotonic() + _SAVE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            self.sweep()
            if began >= save_at:
                if self._unsaved:
                    await self.saved(durable=False)
                save_at = time.monotonic() + _SAVE_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), max(_SWEEP_S, 19 * (time.monotonic() - began)))

    def check(self) -> None:
        """Raise what went wrong."""
        if self._failure is not None:
            raise self._failure
        if self._task is not None and self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Leave the log as things stand."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        await self.saved()
