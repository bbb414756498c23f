"""The socket in the home of a node: `tarifa run` hands over what mediation committed, and commands come in.

A unix socket for its owner alone (mode 0600). A frame is a line of JSON, `octets` of it that follow, and is answered by
a line of JSON. Who holds the run, and so may hand over batches and numbers, is one connection at a time.

    {"op": "hello", "reference": hash, "pid": n}   begins a run: {"version": journaled, "position": n}
    {"op": "charge", "version": n, "octets": n}    lines of commands: {"rated": n}, once all of it is durable
    {"op": "remember", "rows": n, "octets": n}     token, identity, value (int64 each), texts as JSON: {"collisions": n}
    {"op": "settle"}                               everything committed, with balances: {"position": n}
    {"op": "command", "command": {...}}            {"status": ..., "reason": ..., "position": n}
    {"op": "account", "who": text, "at_us": n}     {"account": {...}} of an account's number or an MSISDN
    {"op": "defaults"}                             what a new account gets
    {"op": "figures"}                              what is going on
    {"op": "activate", "tariffs": hash, "rollback": bool, "only_from": time, "who": name}   as
        `Activation.activate`
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from mediation.tokens import Sightings
from pipelines.accounts.desk import check_command
from pipelines.accounts.finding import defaults, show_account
from pipelines.serve.activation import Activation
from pipelines.serve.home_socket import MOST_LINE, MOST_OCTETS, NAME, short
from pipelines.serve.node import OnlineNode
from schemas.errors import ChargingError, LedgerError

_Answer = Callable[[Mapping[str, Any], bytes, asyncio.StreamWriter], Awaitable[dict[str, Any]]]


class HandOff:
    """Listens in the home."""

    name = "home"

    def __init__(self, node: OnlineNode) -> None:
        self._node = node
        self._folder = node.home.root / "serve"
        self._run: tuple[asyncio.StreamWriter, int] | None = None
        self._server: asyncio.AbstractServer | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._ops: dict[str, _Answer] = {"hello": self._hello, "charge": self._charge, "remember": self._remember,
                                         "settle": self._settle, "command": self._command, "figures": self._figures,
                                         "account": self._account, "defaults": self._defaults,
                                         "activate": self._activate}
        self._activation = Activation(node)
        node.book.shared_by(0)  # who shares with whom is looked up for all at once: now, and not at the first question

    async def start(self) -> str:
        """Listen; returns the path. The journal's lock says that nobody else does."""
        self._node.disk.make_dir(self._folder)
        path = self._folder / NAME
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            with short(path) as name:
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                listener.bind(name)
        finally:
            os.umask(before)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MOST_LINE)
        return str(path)

    async def stop(self) -> None:
        """Close."""
        if self._server is not None:
            self._server.close()
            (self._folder / NAME).unlink(missing_ok=True)
        for writer in list(self._writers):
            writer.close()

    def check(self) -> None:
        """Nothing goes wrong here that is not told to who asked."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line, reader, writer)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.IncompleteReadError):
            pass  # it has gone, or sent no frames
        finally:
            if self._run is not None and self._run[0] is writer:
                self._run, self._node.run_pid = None, 0
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, Any]:
        fields = json.loads(line)
        octets = int(fields.get("octets", 0))
        if not 0 <= octets <= MOST_OCTETS:
            raise ValueError(f"{octets} octets")
        payload = await reader.readexactly(octets)
        try:
            if fields["op"] in ("charge", "remember", "settle") and (self._run is None or self._run[0] is not writer):
                raise LedgerError("no run was begun on this connection", "hello first")
            answer = self._ops.get(fields["op"])
            if answer is None:
                raise LedgerError(f"no operation {fields['op']!r}", ", ".join(self._ops))
            return await answer(fields, payload, writer)
        except (ChargingError, KeyError, TypeError) as error:
            return {"error": str(error)}

    async def _hello(self, fields: Mapping[str, Any], _: bytes, writer: asyncio.StreamWriter) -> dict[str, Any]:
        reference = self._node.reference.content_hash
        if fields["reference"] != reference:
            raise LedgerError(f"the node serves reference data {reference[:12]}", str(fields["reference"])[:12],
                              "have the tariffs of the operator's folder in force with `tarifa tariff activate`; where "
                              "more has changed, restart `tarifa serve`")
        if self._run is not None:
            raise LedgerError(f"process {self._run[1]} runs over this home already", "one run at a time",
                              "wait until it has ended")
        self._run = writer, int(fields["pid"])
        self._node.run_pid = self._run[1]
        await self._node.committed()  # the run resolves by what the ledger has: by all that was confirmed before it
        return {"version": self._node.charging.journaled_version, "position": self._node.position}

    async def _charge(self, fields: Mapping[str, Any], payload: bytes, _: asyncio.StreamWriter) -> dict[str, Any]:
        return {"rated": await self._node.charge(int(fields["version"]), payload.splitlines())}

    async def _remember(self, fields: Mapping[str, Any], payload: bytes, _: asyncio.StreamWriter) -> dict[str, Any]:
        rows = int(fields["rows"])
        token, identity, value = np.frombuffer(payload, np.int64, 3 * rows).reshape(3, rows)
        texts = {int(row): text for row, text in json.loads(payload[24 * rows:]).items()}
        return {"collisions": await self._node.remember(Sightings(token, identity, value, texts))}

    async def _settle(self, _: Mapping[str, Any], __: bytes, ___: asyncio.StreamWriter) -> dict[str, Any]:
        return {"position": await self._node.settle()}

    async def _command(self, fields: Mapping[str, Any], _: bytes, __: asyncio.StreamWriter) -> dict[str, Any]:
        check_command(fields["command"])
        outcome = await self._node.command(fields["command"])
        return {"status": outcome.status, "reason": outcome.reason.name.lower(), "position": outcome.position,
                "why": outcome.why}

    async def _account(self, fields: Mapping[str, Any], _: bytes, __: asyncio.StreamWriter) -> dict[str, Any]:
        node = self._node
        return {"account": show_account(node.book, node.reference, node.keys.token_key, str(fields["who"]),
                                        int(fields["at_us"]))}

    async def _defaults(self, _: Mapping[str, Any], __: bytes, ___: asyncio.StreamWriter) -> dict[str, Any]:
        return defaults(self._node.book, self._node.reference)

    async def _activate(self, fields: Mapping[str, Any], _: bytes, __: asyncio.StreamWriter) -> dict[str, Any]:
        return await self._activation.activate(str(fields.get("tariffs", ""))[:64], fields.get("rollback") is True,
                                               str(fields.get("only_from", ""))[:64], str(fields.get("who", ""))[:64])

    async def _figures(self, _: Mapping[str, Any], __: bytes, ___: asyncio.StreamWriter) -> dict[str, Any]:
        return self._node.figures()
