"""Nchf on its sockets: HTTP/2 (with prior knowledge, or by ALPN under TLS) and HTTP/1.1, in the node's event loop.

granian reads and writes HTTP on a thread of its own, in Rust, and runs the application here.
"""

import asyncio
import contextlib
import gc
import socket
from pathlib import Path

from granian.constants import HTTPModes, Interfaces, SSLProtocols, TaskImpl
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server

from pipelines.nchf.access import NchfSettings
from pipelines.nchf.app import NchfApp
from pipelines.nchf.arrivals import Door, Gatherer, spawned_with
from pipelines.nchf.limits import Limits
from schemas.errors import InvariantError, ReferenceDataError

_SWEEP_S = 0.5
_LAST_WORD_S = 0.2
_FAREWELL_S = 1.0  # for connections to close, once all is answered


class NchfServer:
    """Listens from `start` to `stop`."""

    def __init__(self, app: NchfApp, settings: NchfSettings, limits: Limits) -> None:
        settings.check()
        self.app, self.settings, self.limits = app, settings, limits
        self.port = settings.port
        self._door = Door(app)
        self._gatherer: Gatherer | None = None
        self._server: Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises ReferenceDataError: the port is taken, or certificate and key are unusable."""
        settings, limits = self.settings, self.limits
        self.port = _free(settings.host, settings.port)
        try:
            self._server = Server(
                self._door, address=settings.host, port=self.port, interface=Interfaces.RSGI, http=HTTPModes.auto,
                websockets=False, task_impl=TaskImpl.asyncio, log_enabled=False, log_access=False,
                http1_settings=HTTP1Settings(header_read_timeout=int(limits.header_s * 1000),
                                             max_buffer_size=limits.header_octets),
                http2_settings=HTTP2Settings(max_concurrent_streams=limits.streams,
                                             max_headers_size=limits.header_octets,
                                             keep_alive_interval=30_000),
                ssl_cert=_path(settings.certificate), ssl_key=_path(settings.key), ssl_ca=_path(settings.client_ca),
                ssl_client_verify=settings.client_ca is not None, ssl_protocol_min=SSLProtocols.tls12)
        except (OSError, ValueError) as error:
            raise ReferenceDataError(f"nchf: {error}", "a certificate and its key, as PEM files", "") from error
        spawn = None
        if hasattr(self.app, "arrived"):
            self._gatherer = Gatherer(asyncio.get_running_loop(), self.app.arrived, self.app.turned)
            spawn = spawned_with(self._gatherer)
        self._task = asyncio.create_task(self._server.serve(spawn))
        self._sweeper = asyncio.create_task(self._sweep())
        await self._listening()
        gc.collect()
        gc.freeze()  # what has been loaded stays: walking it again and again took as long as charging

    async def _listening(self) -> None:
        for _ in range(200):
            if self._task is not None and self._task.done():
                self._task.result()
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(self.settings.host, self.port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.01)
        raise ReferenceDataError(f"nchf: no answer on {self.settings.host}:{self.port}", "a free port", "")

    def check(self) -> None:
        """Raise what ended the server, if something did."""
        for task in (self._task, self._sweeper):
            if task is not None and task.done() and not task.cancelled():
                task.result()
                raise InvariantError("the HTTP server ended by itself", "to serve until it is stopped")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.app.sweep(_SWEEP_S)

    async def stop(self, drain_s: float = 5.0) -> None:
        """Answer what was asked, at most for so long, and close."""
        loop = asyncio.get_running_loop()
        until = loop.time() + drain_s
        while self.app.open and loop.time() < until:
            await asyncio.sleep(0.01)
        # The last answers arrive before the farewell: h2, the client's library, gives up what comes in one with that.
        await asyncio.sleep(_LAST_WORD_S)
        gc.unfreeze()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None and self._task is not None:
            self._server.stop()  # type: ignore[no-untyped-call]
            # A client that does not read does not say that it has gone: its connection ends with the process.
            await asyncio.wait([self._task], timeout=_FAREWELL_S)
        if self._gatherer is not None:
            self._gatherer.close()
        self._door.app = None


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _free(host: str, port: int) -> int:
    """The port, if nobody has it; any for port 0."""
    # granian shares its port with whoever else asks to; two nodes on one would answer each other's sessions.
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(kind, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return int(probe.getsockname()[1])
        except OSError as error:
            raise ReferenceDataError(f"nchf: {host}:{port} cannot be had: {error.strerror}", "a free port",
                                     "stop what listens there, or choose another") from error


