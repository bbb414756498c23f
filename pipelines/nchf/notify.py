"""Calling consumers back: where may be called, tried how often, and never more at once than is bearable.

Nobody waits for it and no money hangs on it. What cannot be delivered is dropped; a consumer that forgot the resource
(404, 410) is told nothing any more.
"""

import asyncio
import ipaddress
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from pipelines.nchf.access import NchfSettings, is_loopback

DELIVERED, FORGOTTEN, FAILED = range(3)
_HUNG_UP = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)
PLAIN, MOST_PLAIN = "http/1.1", 10_000
_GONE = (404, 410)
_AGAIN = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Manner:
    """How consumers are called."""

    waiting: int = 10_000
    at_once: int = 32
    tries: int = 3
    timeout_s: float = 5.0
    pause_s: float = 0.5


class Allowed:
    """Addresses that may be called: loopback unless said otherwise, and what the operator lists. A consumer names where
    it is called, and nobody is to reach by that what only this machine can."""

    def __init__(self, hosts: tuple[str, ...], loopback: bool = True) -> None:
        self._loopback = loopback
        self._names: set[str] = set()
        self._networks = []
        for host in hosts:
            try:
                self._networks.append(ipaddress.ip_network(host, strict=False))
            except ValueError:
                self._names.add(host.lower())

    def __call__(self, uri: str) -> bool:
        try:
            parts = urlsplit(uri)
            host, _ = parts.hostname, parts.port
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.fragment:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host in self._names or (self._loopback and is_loopback(host))
        return (self._loopback and address.is_loopback) or any(address in network for network in self._networks)


class Notifier:
    """Sends what it is given, `Manner.at_once` at a time. client_certificate: (certificate, key) for TLS, PEM files."""

    def __init__(self, settings: NchfSettings, manner: Manner | None = None) -> None:
        self.allowed = Allowed(settings.notify_hosts)
        self.manner = manner or Manner()
        self.sent = self.failed = self.dropped = 0
        # With prior knowledge where nothing is negotiated, as network functions speak to each other (TS 29.500 5.2.2);
        # who does not understand that is called by HTTP/1.1, and from then on at once.
        self._clients = {name: httpx.AsyncClient(
            http1=name != "http", http2=name != PLAIN, trust_env=False, follow_redirects=False,
            timeout=self.manner.timeout_s, limits=httpx.Limits(max_connections=self.manner.at_once))
            for name in ("http", "https", PLAIN)}
        self._plain: dict[str, None] = {}  # places that speak HTTP/1.1 alone, the newest last
        self._room = asyncio.Semaphore(self.manner.at_once)
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, uri: str, body: bytes, done: Callable[[int], None] | None = None) -> bool:
        """Try to deliver; `done` is told how it ended. Returns whether it will be tried."""
        if len(self._tasks) >= self.manner.waiting or not self.allowed(uri):
            self.dropped += 1
            return False
        task = asyncio.get_running_loop().create_task(self._deliver(uri, body, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _deliver(self, uri: str, body: bytes, done: Callable[[int], None] | None) -> None:
        outcome, place = FAILED, urlsplit(uri).netloc.lower()
        for attempt in range(self.manner.tries):
            if attempt:
                await asyncio.sleep(self.manner.pause_s * 2 ** (attempt - 1))
            status = 503
            async with self._room:
                with suppress(httpx.HTTPError, httpx.InvalidURL, ValueError, OSError):
                    status = await self._post(uri, place, body)
            if status < 300:
                outcome = DELIVERED
            elif status in _GONE:
                outcome = FORGOTTEN
            elif status in _AGAIN:
                continue
            break
        self.sent += outcome == DELIVERED
        self.failed += outcome == FAILED
        if done is not None:
            done(outcome)

    async def _post(self, uri: str, place: str, body: bytes) -> int:
        """Status of the answer, spoken as this place spoke last, or else the other way."""
        scheme = urlsplit(uri).scheme
        try:
            return await self._spoken(PLAIN if place in self._plain and scheme == "http" else scheme, uri, body)
        except _HUNG_UP:  # while it was written to or read from; or what came back is not of this version
            if scheme != "http":
                raise
        if place in self._plain:
            del self._plain[place]
            return await self._spoken(scheme, uri, body)
        status = await self._spoken(PLAIN, uri, body)
        self._plain[place] = None
        if len(self._plain) > MOST_PLAIN:
            del self._plain[next(iter(self._plain))]
        return status

    async def _spoken(self, version: str, uri: str, body: bytes) -> int:
        async with self._clients[version].stream("POST", uri, content=body,
                                                 headers={"content-type": "application/json"}) as answer:
            return answer.status_code  # what it says is not read: it may have no end

    async def idle(self) -> None:
        """Until nothing waits."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """Drop what waits."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=1)
        for client in self._clients.values():
            await client.aclose()
