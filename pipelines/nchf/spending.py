"""Nchf_SpendingLimitControl: who wants to know which counters have reached which thresholds. TS 29.594."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from mediation.normalise import TokenKey
from mediation.resolve import resolve
from pipelines.nchf import requests
from pipelines.nchf.answers import written
from pipelines.nchf.columns import Columns
from pipelines.nchf.kernels import shape
from pipelines.nchf.limits import Limits
from pipelines.nchf.messages import Name, Time, Uri, encode
from pipelines.nchf.notify import DELIVERED, FAILED, FORGOTTEN, Notifier
from pipelines.nchf.problems import (
    CONGESTION,
    INVALID_MSG_FORMAT,
    MANDATORY_IE_INCORRECT,
    MANDATORY_IE_MISSING,
    ProblemError,
)
from pipelines.nchf.reading import check_shape, read_body
from pipelines.serve.node import OnlineNode
from pipelines.spending.counters import Status
from pipelines.spending.subscriptions import Subscription, SubscriptionLog
from pipelines.spending.watch import Heard, Refusal, RefusedError, Watch
from schemas.columns import ABSENT

_SUBSCRIPTION_NOT_FOUND = "SUBSCRIPTION_NOT_FOUND"
_CAUSES = {Refusal.USER_UNKNOWN: "USER_UNKNOWN", Refusal.UNKNOWN_COUNTERS: "UNKNOWN_POLICY_COUNTERS",
           Refusal.NO_COUNTERS: "NO_AVAILABLE_POLICY_COUNTERS"}
_HEARD = {DELIVERED: Heard.DELIVERED, FORGOTTEN: Heard.FORGOTTEN, FAILED: Heard.FAILED}


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


class NchfSubscription(Subscription, omit_defaults=True, kw_only=True, gc=False):
    """Of a consumer that is called back at notify_uri. Lines of earlier releases are read by these names."""

    notify_uri: str
    supi: str | None = None
    gpsi: str | None = None
    notify_id: str | None = None


def subscription_log(path: Path, secret: bytes) -> SubscriptionLog[NchfSubscription]:
    """Where they are kept. secret: the home's."""
    return SubscriptionLog(path, secret, NchfSubscription, b"nchf-spending")


class SpendingLimits:
    """The API's operations, and notifications over it. All calls in the node's event loop."""

    def __init__(self, node: OnlineNode, token_key: TokenKey, log: SubscriptionLog[NchfSubscription],
                 notifier: Notifier, limits: Limits) -> None:
        self._node, self._notifier, self._limits = node, notifier, limits
        self._columns = Columns(token_key, node.lexicon, "nchf", limits.labels)
        self._first, self._keys = np.zeros(shape.DEPTH + 1, np.int64), np.zeros(shape.KEYS, np.int64)
        self.watch = Watch(node, log, self)

    # operations

    async def subscribe(self, body: bytes, consumer: str) -> tuple[str, bytes]:
        """201: the subscription's id, and the statuses of now. Raises ProblemError."""
        if len(self.watch.subscriptions) >= self._limits.subscriptions:
            raise ProblemError(503, CONGESTION, headers=(("retry-after", str(self._limits.retry_after_s)),))
        context = self._read(body)
        if context.supi is None and context.gpsi is None:
            raise ProblemError(400, MANDATORY_IE_MISSING, "whose counters", "supi")
        if context.notifUri is None:
            raise ProblemError(400, MANDATORY_IE_MISSING, "where to notify", "notifUri")
        account = await self._account(context)
        one = NchfSubscription(secrets.token_urlsafe(18), consumer, account, (), False, notify_uri=context.notifUri,
                               supi=context.supi, gpsi=context.gpsi, notify_id=context.notifId)
        return one.id, await self._apply(one, context)

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
        return await self._apply(one, context)

    async def unsubscribe(self, identifier: str, consumer: str) -> None:
        """204. Raises ProblemError."""
        self.watch.drop(self._mine(identifier, consumer))
        await self.watch.saved()

    # notifications

    def tell(self, news: Sequence[tuple[NchfSubscription, dict[str, Status]]]) -> None:
        """Notify of statuses."""
        for one, statuses in news:
            heard = partial(self._heard, one, statuses)
            if not self._notifier.send(one.notify_uri.rstrip("/") + "/notify", encode(_said(one, statuses)), heard):
                heard(FAILED)

    def _heard(self, one: NchfSubscription, statuses: dict[str, Status], how: int) -> None:
        self.watch.heard(one, statuses, _HEARD[how])

    def closed(self, one: NchfSubscription) -> None:
        """The account is closed: the subscription goes with it."""
        if one.supi is not None:
            said = _Termination(one.supi, "REMOVED_SUBSCRIBER", one.notify_id)
            self._notifier.send(one.notify_uri.rstrip("/") + "/terminate", encode(said))

    # how

    def _read(self, body: bytes) -> SpendingLimitContext:
        check_shape(body, self._first, self._keys)
        context: SpendingLimitContext = read_body(_decode, body)
        if context.notifUri is not None and not self._notifier.allowed(context.notifUri):
            raise ProblemError(400, MANDATORY_IE_INCORRECT, "an http address that may be called", "notifUri")
        return context

    def _mine(self, identifier: str, consumer: str) -> NchfSubscription:
        one = self.watch.subscriptions.get(identifier)
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
        resolve(cells, self._node.charging.current)
        account = int(cells["account_id"][0])
        if account == ABSENT:
            raise ProblemError(400, _CAUSES[Refusal.USER_UNKNOWN])
        return account

    async def _apply(self, one: NchfSubscription, context: SpendingLimitContext) -> bytes:
        """Fill in what a context asks for, keep it, and say how things stand."""
        if context.expiry is not None:
            one.expires_us = requests.micros(context.expiry)
            if one.expires_us <= time.time_ns() // 1000:
                raise ProblemError(400, INVALID_MSG_FORMAT, "a time to come", "expiry")
        try:
            statuses = self.watch.choose(one, context.policyCounterIds)
        except RefusedError as refused:
            raise ProblemError(400, _CAUSES[refused.why], param="policyCounterIds" if refused.unknown else None
                               ) from None
        said = encode(_said(one, statuses))
        self.watch.put(one)
        await self.watch.saved()
        # Behind the response, which is written without giving way to others in between.
        asyncio.get_running_loop().call_soon(self.watch.answered, (one,))
        return said


def _said(one: NchfSubscription, statuses: dict[str, Status]) -> _SpendingLimitStatus:
    infos = {}
    for name, status in statuses.items():
        pending = None if status.ends_us is None else [_Pending("below", written(status.ends_us))]
        infos[name] = _Info(name, status.name, pending)
    return _SpendingLimitStatus(one.supi, one.notify_id, infos,
                                None if one.expires_us is None else written(one.expires_us))
