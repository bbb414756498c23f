"""Nchf before a node: what `tarifa serve` starts and stops where serve.yaml has a section `nchf`.

    nchf:
      listen: "127.0.0.1:8089"
      tls: {certificate: chf.pem, key: chf-key.pem, clients: core-ca.pem}
      tokens: [{consumer: smf-01, sha256: ..., scopes: [nchf-convergedcharging]}]
      notify_hosts: ["10.20.0.0/16", smf.core.example]
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from pipelines.nchf.access import NchfSettings, Token
from pipelines.nchf.app import NchfApp
from pipelines.nchf.charging import Charging
from pipelines.nchf.limits import Limits
from pipelines.nchf.notify import Notifier
from pipelines.nchf.server import NchfServer
from pipelines.nchf.sessions import Callbacks
from pipelines.nchf.spending import SpendingLimits, subscription_log
from pipelines.serve.config import FILE, Tls, address
from pipelines.serve.node import CommandOutcome, OnlineNode
from pipelines.serve.open_sessions import OpenSessions
from schemas.errors import ReferenceDataError


class NchfSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`nchf` of serve.yaml; see `NchfSettings`. waiting_*: see `Limits`."""

    listen: str = "127.0.0.1:8089"
    tls: Tls | None = None
    tokens: tuple[Token, ...] = ()
    open_on_loopback: bool = False
    api_root: str | None = None
    notify_hosts: tuple[str, ...] = ()
    waiting_creates: int = 6_000
    waiting_updates: int = 12_000
    waiting_each: int = 4_000

    def settings(self, operator: Path) -> NchfSettings:
        """Checked. Raises ReferenceDataError."""
        host, port = address(self.listen, "nchf.listen", True)
        tls = self.tls

        def file(name: str) -> str | None:
            return str(operator / name) if name else None

        settings = NchfSettings(
            host, port, file(tls.certificate) if tls else None, file(tls.key) if tls else None,
            file(tls.clients) if tls else None, self.tokens, self.open_on_loopback, self.api_root, self.notify_hosts)
        settings.check()
        return settings

    def limits(self) -> Limits:
        """The usual ones, but for these."""
        return Limits(waiting_creates=self.waiting_creates, waiting_updates=self.waiting_updates,
                      waiting_each=self.waiting_each)


def read_section(section: Mapping[str, object]) -> NchfSection:
    """Raises ReferenceDataError."""
    try:
        return msgspec.convert(section, NchfSection)
    except msgspec.ValidationError as error:
        raise ReferenceDataError(f"{FILE}, nchf: {error}", "as docs/nchf.md says", "correct that key") from None


class NchfService:
    """A front end of `pipelines.serve.service`."""

    name = "nchf"

    def __init__(self, node: OnlineNode, section: Mapping[str, object]) -> None:
        read = read_section(section)
        self.settings, limits = read.settings(node.source.operator), read.limits()
        folder, secret, key = node.home.root / "serve", node.keys.vault_key, node.keys.token_key
        self._node = node
        self._sessions = OpenSessions(folder / "nchf_final_units.jsonl")
        self._notifier = Notifier(self.settings)
        self._callbacks = Callbacks(self._sessions, self._notifier)
        self.charging = Charging(node, key, secret, limits, self._callbacks, lambda: node.waiting)
        self.spending = SpendingLimits(node, key, subscription_log(folder / "nchf_subscriptions.log", secret),
                                       self._notifier, limits)
        node.on_command.append(self._changed)
        self.app = NchfApp(self.charging, self.settings, self.spending)
        self.server = NchfServer(self.app, self.settings, limits)

    async def start(self) -> str:
        """Listen; returns the address."""
        await self.server.start()
        self.spending.watch.start()
        host = self.settings.host
        return f"[{host}]:{self.server.port}" if ":" in host else f"{host}:{self.server.port}"

    async def stop(self) -> None:
        """Answer what was received, and close."""
        await self.server.stop()
        await self.charging.ticks.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._notifier.idle()
        await self._notifier.close()
        await self.spending.watch.stop()
        self._sessions.save()

    def check(self) -> None:
        """Raise what went wrong; keep what a restart is to know."""
        self.spending.watch.check()
        self.server.check()
        self._sessions.save_behind()

    def _changed(self, command: Mapping[str, object], outcome: CommandOutcome) -> None:
        self._callbacks.changed(command, outcome, self._node.book)
