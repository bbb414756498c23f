"""Nchf_SpendingLimitControl: who wants to know which counters have reached which thresholds. TS 29.594."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from mediation.normalise import TokenKey
from mediation.resolve import resolve
from pipelines.nchf import requests
from pipelines.nchf.answers import written
from pipelines.nchf.columns import Columns
from pipelines.nchf.counters import PolicyCounters, Status
from pipelines.nchf.kernels import shape
from pipelines.nchf.limits import Limits
from pipelines.nchf.messages import Name, Time, Uri, encode
from pipelines.nchf.notify import DELIVERED, FORGOTTEN, Notifier
from pipelines.nchf.problems import (
    CONGESTION,
    INVALID_MSG_FORMAT,
    MANDATORY_IE_INCORRECT,
    MANDATORY_IE_MISSING,
    ProblemError,
)
from pipelines.nchf.reading import check_shape, read_body
from pipelines.nchf.subscriptions import Subscription, SubscriptionLog
from pipelines.serve.node import CommandOutcome, OnlineNode
from schemas.columns import ABSENT

_SUBSCRIPTION_NOT_FOUND = "SUBSCRIPTION_NOT_FOUND"
_USER_UNKNOWN, _UNKNOWN_COUNTERS, _NO_COUNTERS = (
    "USER_UNKNOWN", "UNKNOWN_POLICY_COUNTERS", "NO_AVAILABLE_POLICY_COUNTERS")
_SECOND_US = 1_000_000
_SLICE = 100  # subscriptions that are looked at in one go


class SpendingLimitContext(Struct):
    """What a consumer subscribes with."""

    supi: Name | None = None
    gpsi: Name | None = None
    policyCounterIds: Annotated[list[Name], Meta(min_length=1, max_length=64)] | None = None  # noqa: N815
    notifUri: Uri | None = None  # noqa: N815
    notifId: Name | None = None  # noqa: N815
    expiry: Time | None = None
    supportedFeatures: Annotated[str, Meta(pattern="^[0-9A-Fa-f]*$", max_length=64)] | None = None  # noqa: N815


class _Pending(Struct):
    policyCounterStatus: str  # noqa: N815
    activationTime: str  # noqa: N815


class _Info(Struct, omit_defaults=True):
    policyCounterId: str  # noqa: N815
    currentStatus: str  # noqa: N815
    penPolCounterStatuses: list[_Pending] | None = None  # noqa: N815


class _SpendingLimitStatus(Struct, omit_defaults=True):
    supi: str | None = None
    notifId: str | None = None  # noqa: N815
    statusInfos: dict[str, _Info] | None = None  # noqa: N815
    expiry: str | None = None


class _Termination(Struct, omit_defaults=True):
    supi: str
    termCause: str  # noqa: N815
    notifId: str | None = None  # noqa: N815


_decode = msgspec.json.Decoder(SpendingLimitContext).decode


class SpendingLimits:
    """Subscriptions, and what their consumers were told. All calls in the node's event loop."""

    def __init__(self, node: OnlineNode, token_key: TokenKey, log: SubscriptionLog, notifier: Notifier,
                 limits: Limits) -> None:
        self._node, self._log, self._notifier, self._limits = node, log, notifier, limits
        self._columns = Columns(token_key, node.lexicon, "nchf", limits.labels)
        self._counters = PolicyCounters(node.reference.tariffs)
        self._first, self._keys = np.zeros(shape.DEPTH + 1, np.int64), np.zeros(shape.KEYS, np.int64)
        self._writing = asyncio.Lock()
        self._calling: set[str] = set()
        self._queue: list[str] = []
        self.subscriptions = log.read()
        self._of: dict[int, set[str]] = {}
        for one in self.subscriptions.values():
            self._of.setdefault(one.account_id, set()).add(one.id)

    # operations

    async def subscribe(self, body: bytes, consumer: str) -> tuple[str, bytes]:
        """201: the subscription's id, and the statuses of now. Raises ProblemError."""
        if len(self.subscriptions) >= self._limits.subscriptions:
            raise ProblemError(503, CONGESTION, headers=(("retry-after", str(self._limits.retry_after_s)),))
        context = self._read(body)
        if context.supi is None and context.gpsi is None:
            raise ProblemError(400, MANDATORY_IE_MISSING, "whose counters", "supi")
        if context.notifUri is None:
            raise ProblemError(400, MANDATORY_IE_MISSING, "where to notify", "notifUri")
        account = await self._account(context)
        one = Subscription(secrets.token_urlsafe(18), consumer, account, context.notifUri, [], False, context.supi,
                           context.gpsi, context.notifId)
        said = self._apply(one, context)
        await self._keep([one])
        self.subscriptions[one.id] = one
        self._of.setdefault(account, set()).add(one.id)
        return one.id, said

    async def modify(self, identifier: str, body: bytes, consumer: str) -> bytes:
        """200: the statuses of now. Raises ProblemError."""
        before = self._mine(identifier, consumer)
        context = self._read(body)
        if context.supi is not None or context.gpsi is not None:
            account = await self._account(context)
            before = self._mine(identifier, consumer)  # which may have gone meanwhile
            if account != before.account_id:
                raise ProblemError(400, MANDATORY_IE_INCORRECT, "the subscriber of the subscription", "supi")
        one = msgspec.structs.replace(before, notify_uri=context.notifUri or before.notify_uri,
                                      notify_id=context.notifId or before.notify_id, expires_us=None)
        said = self._apply(one, context)
        await self._keep([one])
        if identifier in self.subscriptions:
            self.subscriptions[identifier] = one
        return said

    async def unsubscribe(self, identifier: str, consumer: str) -> None:
        """204. Raises ProblemError."""
        one = self._mine(identifier, consumer)
        self._forget(identifier)
        await self._keep([msgspec.structs.replace(one, gone=True)])

    # what the node says

    def charged(self, accounts: list[int]) -> None:
        """Usage of these accounts was charged."""
        if self._of:
            for account in self._of.keys() & set(accounts):
                self._look(self._of[account])

    def changed(self, command: Mapping[str, object], outcome: CommandOutcome) -> None:
        """An account changed; of one that was closed nobody is told anything more."""
        account = command.get("account_id")
        if outcome.status != "done" or not isinstance(account, int) or account not in self._of:
            return
        if command.get("kind") == "state" and command.get("state") == "terminated":
            for identifier in tuple(self._of[account]):
                one = self.subscriptions[identifier]
                if one.supi is not None:
                    said = _Termination(one.supi, "REMOVED_SUBSCRIBER", one.notify_id)
                    self._notifier.send(one.notify_uri.rstrip("/") + "/terminate", encode(said))
                self._drop(one)
        else:
            self._look(self._of[account])

    def sweep(self) -> None:
        """Look at the next subscriptions in turn: cycles end, subscriptions expire, and usage is charged elsewhere."""
        if not self._queue:
            self._queue = list(self.subscriptions)
        some, self._queue = self._queue[:_SLICE], self._queue[_SLICE:]
        now_us = time.time_ns() // 1000
        for identifier in some:
            one = self.subscriptions.get(identifier)
            if one is not None and one.expires_us is not None and one.expires_us <= now_us:
                self._drop(one)
        self._look(some)

    # how

    def _read(self, body: bytes) -> SpendingLimitContext:
        check_shape(body, self._first, self._keys)
        context: SpendingLimitContext = read_body(_decode, body)
        if context.notifUri is not None and not self._notifier.allowed(context.notifUri):
            raise ProblemError(400, MANDATORY_IE_INCORRECT, "an http address that may be called", "notifUri")
        return context

    def _mine(self, identifier: str, consumer: str) -> Subscription:
        one = self.subscriptions.get(identifier)
        if one is None or one.consumer != consumer:
            raise ProblemError(404, _SUBSCRIPTION_NOT_FOUND)
        return one

    async def _account(self, context: SpendingLimitContext) -> int:
        """Whose counters are meant. Raises ProblemError."""
        rows = requests.Rows.begin()
        requests.append_subscriber(rows, context.supi, context.gpsi, time.time_ns() // 1000)
        cells, sightings = self._columns.cells(rows, self._node.reference)
        if len(sightings):  # nobody else will see them first: what is charged of this subscriber names them by tokens
            await self._node.remember(sightings)
        resolve(cells, self._node.reference)
        account = int(cells["account_id"][0])
        if account == ABSENT:
            raise ProblemError(400, _USER_UNKNOWN)
        return account

    def _apply(self, one: Subscription, context: SpendingLimitContext) -> bytes:
        """Fill in what a context asks for, and say how things stand."""
        now_us = time.time_ns() // 1000
        wanted = context.policyCounterIds
        known = self._policy().names
        if wanted is not None and not set(wanted) <= set(known):
            raise ProblemError(400, _UNKNOWN_COUNTERS, param="policyCounterIds")
        if not known:
            raise ProblemError(400, _NO_COUNTERS)
        one.all_counters = wanted is None
        one.counters = sorted(set(wanted)) if wanted is not None else []
        if context.expiry is not None:
            one.expires_us = requests.micros(context.expiry)
            if one.expires_us <= now_us:
                raise ProblemError(400, INVALID_MSG_FORMAT, "a time to come", "expiry")
        statuses = self._statuses(one, now_us)
        if not statuses:
            raise ProblemError(400, _USER_UNKNOWN)
        one.told = {name: status.name for name, status in statuses.items()}
        return encode(_said(one, statuses))

    def _policy(self) -> PolicyCounters:
        tariffs = self._node.reference.tariffs
        if tariffs is not self._counters.tariffs:
            self._counters = PolicyCounters(tariffs)
        return self._counters

    def _statuses(self, one: Subscription, now_us: int) -> dict[str, Status]:
        policy = self._policy()
        return policy.statuses(self._node.book, one.account_id, list(policy.names) if one.all_counters
                               else one.counters, now_us)

    def _look(self, identifiers: "list[str] | set[str]") -> None:
        """Tell consumers of statuses that are not what they were told."""
        now_us = time.time_ns() // 1000
        for identifier in tuple(identifiers):
            one = self.subscriptions.get(identifier)
            if one is None or identifier in self._calling:
                continue
            statuses = self._statuses(one, now_us)
            fresh = {name: status for name, status in statuses.items() if one.told.get(name) != status.name}
            if fresh:
                self._tell(one, fresh)

    def _tell(self, one: Subscription, fresh: dict[str, Status]) -> None:
        def told(how: int) -> None:
            self._calling.discard(one.id)
            now = self.subscriptions.get(one.id)
            if now is None:
                return
            if how == FORGOTTEN:
                self._drop(now)
            elif how == DELIVERED:
                now.told.update({name: status.name for name, status in fresh.items()})
                self._log.append([now], durable=False)  # told twice after a power cut: no harm
                self._look([one.id])  # what has changed meanwhile

        if self._notifier.send(one.notify_uri.rstrip("/") + "/notify", encode(_said(one, fresh)), told):
            self._calling.add(one.id)

    def _drop(self, one: Subscription) -> None:
        self._forget(one.id)
        self._log.append([msgspec.structs.replace(one, gone=True)], durable=False)

    def _forget(self, identifier: str) -> None:
        one = self.subscriptions.pop(identifier)
        same = self._of[one.account_id]
        same.discard(identifier)
        if not same:
            del self._of[one.account_id]

    async def _keep(self, changed: list[Subscription]) -> None:
        async with self._writing:
            await asyncio.to_thread(self._log.append, changed)


def _said(one: Subscription, statuses: dict[str, Status]) -> _SpendingLimitStatus:
    infos = {}
    for name, status in statuses.items():
        pending = None if status.ends_us is None else [_Pending("below", written(status.ends_us))]
        infos[name] = _Info(name, status.name, pending)
    return _SpendingLimitStatus(one.supi, one.notify_id, infos,
                                None if one.expires_us is None else written(one.expires_us))
