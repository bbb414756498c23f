"""One HTTP request: who asks, for what, with which body; answered or refused. An RSGI application."""

import asyncio
import logging
import time
from typing import Any, Protocol

from granian._granian import RSGIProtocolClosed as ProtocolClosed
from granian._granian import RSGIProtocolError as ProtocolError

from pipelines.nchf.access import CONVERGED, OFFLINE, SPENDING, Door, NchfSettings
from pipelines.nchf.arrivals import Exchange as Held
from pipelines.nchf.arrivals import Watcher, outcome
from pipelines.nchf.blocks import Blocks
from pipelines.nchf.charging import Charging
from pipelines.nchf.kernels.block import REFERENCE
from pipelines.nchf.problems import (
    INVALID_API,
    NOT_FOUND,
    PROBLEM,
    SYSTEM_FAILURE,
    TIMED_OUT,
    ProblemError,
)
from pipelines.nchf.requests import Api
from pipelines.nchf.spending import SpendingLimits
from schemas.online import RequestKind

_UPDATE, _TERMINATION = int(RequestKind.UPDATE), int(RequestKind.TERMINATION)
_LOG = logging.getLogger("tarifa.nchf")
_JSON = [("content-type", "application/json")]
_MOST_REFERENCE = 255
# A block waits for bodies of requests that came together with it, and for the end of a pause behind the block before:
# each block costs the same, be it of one request or a hundred. Meanwhile granian's threads can have the interpreter.
GATHER_S = PAUSE_S = 0.0003
NAP_S = 0.00005
_GONE = 499  # counted as this: whoever asked was gone before there was anything to answer
# First segments of a path: scope, API, version, name of the collection.
_CHARGING = {"nchf-convergedcharging": (CONVERGED, Api.CONVERGED, "v3", "chargingdata"),
             "nchf-offlineonlycharging": (OFFLINE, Api.OFFLINE, "v1", "offlinechargingdata")}
_SESSIONS = "/nchf-convergedcharging/v3/chargingdata/"
_REFERENCE_END = len(_SESSIONS) + REFERENCE
_PLAIN = {"/update": _UPDATE, "/release": _TERMINATION}
_OFFLINE_PATH = "/nchf-offlineonlycharging/v1/offlinechargingdata"
_SPENDING = "nchf-spendinglimitcontrol"


class Scope(Protocol):
    """What is known before the body has come (granian's RSGI scope)."""

    proto: str
    method: str
    path: str
    scheme: str
    authority: str | None
    headers: Any


class Exchange(Protocol):
    """Body and response (granian's RSGI protocol)."""

    def __call__(self) -> Any: ...
    def __aiter__(self) -> Any: ...
    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Answer without a body."""
    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""


class _Asker:
    """A plain request whose body is awaited, and how it is answered."""

    __slots__ = ("_app", "block", "consumer", "exchange", "kind", "reference", "watcher")

    def __init__(self, app: "NchfApp", watcher: Watcher, exchange: Any, kind: int, consumer: str, reference: str
                 ) -> None:
        self._app, self.watcher, self.exchange = app, watcher, exchange
        self.kind, self.consumer, self.reference, self.block = kind, consumer, reference, app.block

    def came(self, coming: Any) -> None:
        """The body is there, or will not come."""
        app = self._app
        if app.reading.pop(coming, None) is not None:
            app.came.append((self, coming))
            if self.block == app.block:
                app.expected -= 1

    def said(self, body: bytes | None) -> None:
        """It was charged; no body: released."""
        if body is not None:
            self.exchange.response_bytes(200, _JSON, body)
            self._app.ended(200)
        else:
            self.exchange.response_empty(204, [])
            self._app.ended(204)

    def refused(self, error: ProblemError) -> None:
        """It was not."""
        self.exchange.response_bytes(error.status, [("content-type", PROBLEM), *error.headers], error.body())
        self._app.ended(error.status)


class NchfApp:
    """Routes, and nothing else: what it says is said by `Charging` and `SpendingLimits`."""

    def __init__(self, charging: Charging, settings: NchfSettings, spending: SpendingLimits | None = None) -> None:
        self.charging, self.settings, self.spending = charging, settings, spending
        self.limits = charging.limits
        self.blocks = Blocks(charging)
        self.door = Door(settings)
        self.stopping = False
        self.open = 0
        self.answered: dict[int, int] = {}
        self._turns = 0
        self.reading: dict[Any, int] = {}  # bodies that are awaited, and since which turn
        self.came: list[tuple[_Asker, Any]] = []
        self.block = 0          # number of the block that fills
        self.expected = 0       # bodies that are awaited by requests that came since it began
        self._until = self._last = 0.0
        self._size = 1           # of the block before
        self._more = self._looking = False
        self._tasks: set[asyncio.Task[None]] = set()

    # as granian's threads hand requests over (`arrivals`)

    def arrived(self, watchers: list[Watcher]) -> None:
        """Await the bodies of requests that look plain; the others become tasks."""
        for watcher in watchers:
            scope, exchange = watcher.scope, watcher.proto
            asker = self._plain(watcher, scope, exchange)
            if asker is None:
                self._begin(watcher, scope, exchange, None)
                continue
            self.open += 1
            self.expected += 1
            self._more = True
            coming = exchange()
            self.reading[coming] = self._turns
            coming.add_done_callback(asker.came)

    def turned(self) -> None:
        """What has come is a block, once the bodies of those who came together with it are there."""
        if not self.came:
            return
        now = time.perf_counter()
        if not self._until:
            self._until = now + GATHER_S
        alone = self.open == 1 and self._size == 1  # as was the one before: waiting would bring nobody
        if not alone and ((now < self._until and (self._more or self.expected > 0)) or now < self._last + PAUSE_S):
            self._more = False
            if not self._looking:
                self._looking = True
                time.sleep(NAP_S)
                asyncio.get_running_loop().call_soon(self._look)
            return
        self._until, self._more, self.expected, self._last = 0.0, False, 0, now
        self.block += 1
        came, self.came = self.came, []
        self._size = len(came)
        askers: list[_Asker] = []
        bodies: list[bytes] = []
        for asker, coming in came:
            body = outcome(coming)
            if isinstance(body, bytes):
                askers.append(asker)
                bodies.append(body)
            elif body is asyncio.CancelledError:  # it did not come in time
                asker.refused(ProblemError(408, TIMED_OUT))
            elif body in (ProtocolClosed, ProtocolError):  # gone, with half of its body
                self.ended(_GONE)
            else:
                asker.refused(ProblemError(500, SYSTEM_FAILURE))
        if not askers:
            return
        for place in self.blocks.take(askers, bodies):
            asker = askers[place]
            self.open -= 1  # the task counts it
            self._begin(asker.watcher, asker.watcher.scope, asker.exchange, bodies[place])

    def _look(self) -> None:
        self._looking = False
        self.turned()

    def _plain(self, watcher: Watcher, scope: Scope, exchange: Exchange) -> _Asker | None:
        """A request that has nothing odd about it so far, by somebody who may ask."""
        path: str = scope.path
        kind = _PLAIN.get(path[_REFERENCE_END:])
        if kind is None or not path.startswith(_SESSIONS) or scope.method != "POST":
            return None
        reference, get = path[len(_SESSIONS):_REFERENCE_END], scope.headers.get
        size = get("content-length")
        if get("content-type") != "application/json" or size is None or not size.isdigit() or \
                int(size) > self.limits.body_octets or get("content-encoding") is not None or \
                not reference.isascii() or "/" in reference:
            return None
        try:
            consumer = self.door.consumer(get("authorization"), CONVERGED)
        except ProblemError:  # told by the task
            return None
        return _Asker(self, watcher, exchange, kind, consumer, reference)

    def ended(self, status: int) -> None:
        """A request was answered."""
        self.open -= 1
        self.answered[status] = self.answered.get(status, 0) + 1

    def _begin(self, watcher: Watcher, scope: Scope, exchange: Exchange, body: bytes | None) -> None:
        async def one() -> None:
            try:
                await self.__rsgi__(scope, Held(loop, exchange, body))
            finally:
                watcher.done()  # of whom nobody took care: 500

        loop = asyncio.get_running_loop()
        task = loop.create_task(one())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # a request at a time

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        self.open += 1
        try:
            status, headers, body = await self._answer(scope, exchange)
        except ProblemError as error:
            status, body = error.status, error.body()
            headers = [("content-type", _problem_type(scope.path, status)), *error.headers]
        except asyncio.CancelledError:  # the body did not come in time
            late = ProblemError(408, TIMED_OUT)
            status, headers, body = 408, [("content-type", PROBLEM)], late.body()
        except (ProtocolClosed, ProtocolError):  # gone, with half of its body
            self.answered[_GONE] = self.answered.get(_GONE, 0) + 1
            return
        except Exception:  # our mistake: it costs this request alone, and is told without what was in it
            _LOG.exception("a request to %s failed", scope.path.partition("/chargingdata/")[0][:64])
            wrong = ProblemError(500, SYSTEM_FAILURE)
            status, headers, body = 500, [("content-type", PROBLEM)], wrong.body()
        finally:
            self.open -= 1
        self.answered[status] = self.answered.get(status, 0) + 1
        if body is None:
            exchange.response_empty(status, headers)
        else:
            exchange.response_bytes(status, headers, body)

    async def _answer(self, scope: Scope, exchange: Exchange) -> tuple[int, list[tuple[str, str]], bytes | None]:
        path = scope.path
        if len(path) > self.limits.path_octets:
            raise ProblemError(414)
        parts = path.split("/")
        name = parts[1] if len(parts) > 1 else ""
        known = _CHARGING.get(name)
        if known is None:
            if name == _SPENDING and self.spending is not None and parts[2:4] == ["v1", "subscriptions"]:
                return await self._spending(scope, exchange, parts[4:])
            raise ProblemError(404, INVALID_API)
        permission, api, version, collection = known
        consumer = self.door.consumer(scope.headers.get("authorization"), permission)
        if len(parts) < 4 or parts[2] != version:
            raise ProblemError(404, INVALID_API)
        if parts[3] != collection or len(parts) not in (4, 6):
            raise ProblemError(404, NOT_FOUND)
        operation = "create" if len(parts) == 4 else parts[5]
        if operation not in ("create", "update", "release") or (len(parts) == 6 and not
                                                                0 < len(parts[4]) <= _MOST_REFERENCE):
            raise ProblemError(404, NOT_FOUND)
        if scope.method != "POST":
            raise ProblemError(405, headers=(("allow", "POST"),))
        body = await self._body(scope, exchange)
        if operation == "update":
            return 200, _JSON, await self.charging.update(body, api, consumer, parts[4])
        if operation == "create":
            created = await self.charging.create(body, api, consumer)
            place = f"{self._root(scope)}/{name}/{version}/{collection}/{created.reference}"
            return 201, [*_JSON, ("location", place)], created.body
        await self.charging.release(body, api, parts[4])
        return 204, [], None

    async def _spending(self, scope: Scope, exchange: Exchange, rest: list[str]
                        ) -> tuple[int, list[tuple[str, str]], bytes | None]:
        assert self.spending is not None
        consumer = self.door.consumer(scope.headers.get("authorization"), SPENDING)
        if not rest:
            if scope.method != "POST":
                raise ProblemError(405, headers=(("allow", "POST"),))
            identifier, said = await self.spending.subscribe(await self._body(scope, exchange), consumer)
            place = f"{self._root(scope)}/{_SPENDING}/v1/subscriptions/{identifier}"
            return 201, [*_JSON, ("location", place)], said
        if len(rest) != 1 or not 0 < len(rest[0]) <= _MOST_REFERENCE:
            raise ProblemError(404, NOT_FOUND)
        if scope.method == "PUT":
            return 200, _JSON, await self.spending.modify(rest[0], await self._body(scope, exchange), consumer)
        if scope.method == "DELETE":
            await self.spending.unsubscribe(rest[0], consumer)
            return 204, [], None
        raise ProblemError(405, headers=(("allow", "PUT, DELETE"),))

    def _root(self, scope: Scope) -> str:
        if self.settings.api_root is not None:
            return self.settings.api_root.rstrip("/")
        host = scope.authority or scope.headers.get("host") or f"{self.settings.host}:{self.settings.port}"
        return f"{scope.scheme}://{host}"

    async def _body(self, scope: Scope, exchange: Exchange) -> bytes:
        """The body, within its limit and in time."""
        headers = scope.headers
        kind = headers.get("content-type")
        if kind is None or not _is_json(kind):
            raise ProblemError(415, detail="application/json")
        encoding = headers.get("content-encoding")
        if encoding is not None and encoding != "identity":
            raise ProblemError(415, detail="no content encoding", headers=(("accept-encoding", "identity"),))
        size = headers.get("content-length")
        if size is None:
            return await self._unmeasured(exchange)
        if not size.isdigit() or int(size) > self.limits.body_octets:
            raise ProblemError(413, detail=f"more than {self.limits.body_octets} octets")
        coming = exchange()
        self.reading[coming] = self._turns
        try:
            body: bytes = await coming
        finally:
            del self.reading[coming]
            del coming  # it keeps its error, whose traceback keeps this frame: a circle that the collector cannot see
        return body

    async def _unmeasured(self, exchange: Exchange) -> bytes:
        """A body that comes in chunks of which nobody said how many there are."""
        parts, total = [], 0
        try:
            async with asyncio.timeout(self.limits.body_s):
                async for part in exchange:
                    total += len(part)
                    if total > self.limits.body_octets:
                        raise ProblemError(413, detail=f"more than {self.limits.body_octets} octets")
                    parts.append(part)
        except TimeoutError:
            raise ProblemError(408, TIMED_OUT) from None
        return b"".join(parts)

    def sweep(self, seconds: float) -> None:
        """Called every so many seconds: give up bodies that do not come.

        Turns are counted and not seconds: while the loop is busy with something long, bodies may have come unseen.
        """
        self._turns += 1
        late = self._turns - self.limits.body_s / seconds
        for coming in [c for c, since in self.reading.items() if since < late]:
            coming.cancel()


def _problem_type(path: str, status: int) -> str:
    """Content type of an error: the official text of OfflineOnlyCharging has another for some (TS 32.291 A.3)."""
    return "application/json" if status in (400, 403, 404) and path.startswith(_OFFLINE_PATH) else PROBLEM


def _is_json(content_type: str) -> bool:
    kind, _, parameters = content_type.partition(";")
    return kind.strip().lower() == "application/json" and (
        not parameters or parameters.strip().lower().replace('"', "") in ("", "charset=utf-8"))
