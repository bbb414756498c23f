"""Serve the API: loopback by default; to others only over TLS and only when there is a token to ask for.

uvicorn runs within the loop of whoever serves, so that a node's API looks at the node's own book.
"""

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from pipelines.accounts.desk import HomeDesk
from pipelines.balance_api.app import make_app
from pipelines.balance_api.desk import ApiDesk, ThreadDesk
from pipelines.balance_api.notifying import Notifier
from pipelines.balance_api.service import BalanceService
from pipelines.balance_api.store import ApiStore
from pipelines.balance_api.tokens import Tokens
from pipelines.home import Home, Input
from schemas.errors import ChargingError, LedgerError

MOST_AT_ONCE = 512   # requests that are under way
KEEP_ALIVE_S = 30
GRACE_S = 10


@dataclass(frozen=True)
class Listen:
    """Where, and over what. client_ca: certificates that clients must have one of (mutual TLS)."""

    host: str = "127.0.0.1"
    port: int = 8654
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None

    def check(self, tokens: Tokens) -> None:
        """Raises ChargingError: a public address without encryption or without anybody who may ask."""
        if (self.certificate is None) != (self.key is None) or (self.client_ca and not self.certificate):
            raise ChargingError("a certificate without its key, or the other way round", "both, or none")
        for path in (self.certificate, self.key, self.client_ca):
            if path is not None and not path.is_file():
                raise ChargingError(f"no file {path.name}", "a PEM file")
        if not tokens.all() and not _is_loopback(self.host):
            raise ChargingError(f"the public address {self.host} and no token", "somebody who may ask",
                                "tarifa api token create")
        if not _is_loopback(self.host) and self.certificate is None:
            raise ChargingError(f"the public address {self.host} without TLS, where tokens can be overheard",
                                "--certificate and --key, or 127.0.0.1 behind a proxy that has them")


class Server(uvicorn.Server):
    """Leaves signals to whoever runs the loop: uvicorn's own handler kills the process before it has settled."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Does nothing."""
        yield


def make_server(app: Starlette, listen: Listen) -> Server:
    """A server that writes no access log: addresses of requests may hold numbers."""
    config = uvicorn.Config(
        app, listen.host, listen.port, access_log=False, log_level=logging.WARNING, server_header=False,
        proxy_headers=False, timeout_keep_alive=KEEP_ALIVE_S, limit_concurrency=MOST_AT_ONCE, lifespan="off",
        timeout_graceful_shutdown=GRACE_S, h11_max_incomplete_event_size=16 << 10, http="h11",
        ssl_certfile=listen.certificate, ssl_keyfile=listen.key,
        ssl_ca_certs=None if listen.client_ca is None else str(listen.client_ca),
        ssl_cert_reqs=ssl.CERT_REQUIRED if listen.client_ca else ssl.CERT_NONE)
    return Server(config)


def api_of(desk: ApiDesk, home: Home, now_s: Callable[[], float] = time.monotonic, notify_hosts: tuple[str, ...] = ()
           ) -> tuple[Starlette, ApiStore]:
    """The application over a desk, and its store, which the caller closes; `state.notifier` of it tells listeners once
    the caller starts it."""
    store, tokens = ApiStore(home.root), Tokens(home.root)
    service = BalanceService(desk, store)
    app = make_app(service, tokens, now_s=now_s)
    app.state.notifier = Notifier(service, tokens, notify_hosts)
    service.may_call = app.state.notifier.allowed
    return app, store


def serve(source: Input, home: Home, listen: Listen, notify_hosts: tuple[str, ...] = ()) -> None:
    """Serve a home that nobody else has open, until told to stop."""
    listen.check(Tokens(home.root))
    desk = ThreadDesk(HomeDesk(source, home))
    try:
        app, store = api_of(desk, home, notify_hosts=notify_hosts)
        try:
            asyncio.run(_until_told(make_server(app, listen), bind(listen), app.state.notifier))
        finally:
            store.close()
    finally:
        desk.close()


def bind(listen: Listen) -> socket.socket:
    """The listening socket. Raises ChargingError; uvicorn's own would end the process."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((listen.host, listen.port))
    except OSError as error:
        bound.close()
        raise ChargingError(f"the address {listen.host}:{listen.port} cannot be listened on: {error.strerror}",
                            "one that is free") from None
    return bound


class HttpFront:
    """An application before a node, in its loop: a front end as `pipelines.serve.service` runs them."""

    name = "http"

    def __init__(self, app: Starlette, listen: Listen) -> None:
        self._app, self._listen = app, listen
        self._server: Server | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen; returns the address. Raises ChargingError: it is taken."""
        bound = bind(self._listen)
        self._server = make_server(self._app, self._listen)
        self._running = asyncio.ensure_future(self._server.serve(sockets=[bound]))
        while not self._server.started and not self._running.done():
            await asyncio.sleep(0.01)
        host, port = bound.getsockname()[:2]
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Answer what was received, and close."""
        if self._server is not None and self._running is not None:
            self._server.should_exit = True
            await asyncio.gather(self._running, return_exceptions=True)

    def check(self) -> None:
        """Raise LedgerError: it listens no more."""
        if self._running is not None and self._running.done():
            raise LedgerError(f"{self.name} stopped listening", "", "see the log")


async def _until_told(server: Server, bound: socket.socket, notifier: Notifier) -> None:
    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    notifier.start()
    await server.serve(sockets=[bound])
    await notifier.stop()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
