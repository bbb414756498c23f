"""The ASGI application: who asks, may they, how often, how much; then the route's own work; then the audit.

Every failure is problem details and costs its sender alone. Nothing of a request is logged: paths may hold numbers.
"""

import logging
import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from pipelines.balance_api import openapi, reservations, rest, tmf, tmf_hub, tmf_patch, tmf_reserve
from pipelines.balance_api.limits import Limiter
from pipelines.balance_api.problems import ProblemError, problem
from pipelines.balance_api.routes import Route
from pipelines.balance_api.service import BalanceService, Call
from pipelines.balance_api.tokens import Grantee, Tokens

MOST_OCTETS, MOST_URL, MOST_KEY = 64 << 10, 2048, 100
FAILURES_PER_MINUTE = 30  # of one address that has no token
ROUTES = (*rest.ROUTES, *reservations.ROUTES, *tmf.ROUTES, *tmf_reserve.ROUTES, *tmf_patch.ROUTES,
          *tmf_hub.ROUTES)
_log = logging.getLogger("tarifa.api")
Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(service: BalanceService, tokens: Tokens, now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
             now_s: Callable[[], float] = time.monotonic) -> Starlette:
    """The application over a desk, its store and its tokens. now_us, now_s: clocks, for tests."""
    guard = _Guard(service, tokens, now_us, now_s)
    routes = [StarletteRoute(route.path, guard.endpoint(route), methods=[route.method]) for route in ROUTES]
    document = openapi.document(ROUTES)
    routes += [StarletteRoute("/openapi.json", lambda _: Response(document, media_type="application/json")),
               StarletteRoute("/docs", lambda _: Response(openapi.page(ROUTES), media_type="text/html")),
               StarletteRoute("/health", lambda _: Response(b'{"status":"up"}', media_type="application/json"))]

    async def http_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return problem(status, "no such path or method" if status in (404, 405) else "the request failed",
                       request.url.path.startswith(tmf.BASE), headers)

    return Starlette(routes=routes, exception_handlers={HTTPException: http_error, 404: http_error, 405: http_error,
                                                        500: http_error})


class _Guard:
    """What stands before every route."""

    def __init__(self, service: BalanceService, tokens: Tokens, now_us: Callable[[], int], now_s: Callable[[], float]
                 ) -> None:
        self._service, self._tokens, self._now_us, self._now_s = service, tokens, now_us, now_s
        self._limiter = Limiter()

    def endpoint(self, route: Route) -> Endpoint:
        async def answer(request: Request) -> Response:
            call: Call | None = None
            grantee, now = "", self._now_us()
            try:
                known = self._who(request, now)
                grantee = known.name
                self._may(known, route)
                call = await self._call(request, route, known, now)
                reply = await route.handler(self._service, call)
                response = Response(reply.body, reply.status, reply.headers, reply.media_type if reply.body else None)
            except ProblemError as error:
                # Of what a body names and nobody has, TMF says that the request is wrong: the path is there.
                status = 400 if error.status == 404 and route.tmf and route.method == "POST" else error.status
                response = problem(status, error.detail, route.tmf, error.headers)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as error:  # ours: told to the log by kind and place, to the client not at all
                _log.exception("%s %s failed: %s", route.method, route.path, type(error).__name__)
                response = problem(500, "the request failed; it may be sent again with the same Idempotency-Key",
                                   route.tmf)
            self._service.store.note(now, grantee or "-", route.method, route.path, response.status_code,
                                     call.account_id if call else None, call.command if call else None)
            response.headers["Cache-Control"] = "no-store"
            return response

        return answer

    def _who(self, request: Request, now_us: int) -> Grantee:
        """Whose token it is. Raises ProblemError; an address that guesses is slowed down, others behind it are not."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = self._tokens.find(token.strip(), now_us) if scheme.lower() == "bearer" and len(token) < 200 else None
        if found is None:
            address = "address " + (request.client.host if request.client else "")
            if self._limiter.take(address, FAILURES_PER_MINUTE, self._now_s()):
                raise ProblemError(429, "too many requests without a known token", {"Retry-After": "60"})
            raise ProblemError(401, "no token, or one that is not known or has expired; expected Authorization: Bearer",
                               {"WWW-Authenticate": 'Bearer realm="tarifa"'})
        return found

    def _may(self, grantee: Grantee, route: Route) -> None:
        wait_s = self._limiter.take("token " + grantee.name, grantee.rate_per_minute, self._now_s())
        if wait_s:
            raise ProblemError(429, f"more than {grantee.rate_per_minute} requests a minute",
                               {"Retry-After": str(int(wait_s) + 1)})
        if not grantee.may(route.scope):
            raise ProblemError(403, f"a token without the scope {route.scope}",
                               {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{route.scope}"'})

    async def _call(self, request: Request, route: Route, grantee: Grantee, now_us: int) -> Call:
        if len(str(request.url)) > MOST_URL:
            raise ProblemError(414, f"an address of more than {MOST_URL} characters")
        key = request.headers.get("idempotency-key", "")
        if key and (len(key) > MOST_KEY or not key.isascii() or not key.isprintable() or ":" in key):
            raise ProblemError(400, f"an Idempotency-Key that is none; expected at most {MOST_KEY} printable characters"
                               " without a colon")
        body = b""
        if route.method in ("POST", "PATCH"):
            if not key and not route.tmf:
                raise ProblemError(400, "no Idempotency-Key; expected one of its own for each request")
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json" and (route.method != "PATCH" or kind != "application/merge-patch+json"):
                raise ProblemError(415, "a body of another type; expected application/json")
            body = await _body(request)
        return Call(grantee, now_us, route.path, body, request.path_params, dict(request.query_params), key, route.tmf)


async def _body(request: Request) -> bytes:
    """All of it, never more than the limit."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:12]) > MOST_OCTETS:
        raise ProblemError(413, f"a body of more than {MOST_OCTETS} octets")
    parts, octets = [], 0
    async for part in request.stream():
        octets += len(part)
        if octets > MOST_OCTETS:
            raise ProblemError(413, f"a body of more than {MOST_OCTETS} octets")
        parts.append(part)
    return b"".join(parts)
