"""The balance API before a node: in its loop, over its book. Section `api` of serve.yaml."""

import asyncio

from pipelines.balance_api.desk import NodeDesk
from pipelines.balance_api.serve import Listen, Server, api_of, bind, make_server
from pipelines.balance_api.tokens import Tokens
from pipelines.serve.config import Api, address
from pipelines.serve.node import OnlineNode
from schemas.errors import LedgerError


class BalanceFront:
    """A front end as `pipelines.serve.service` runs them."""

    name = "api"

    def __init__(self, node: OnlineNode, api: Api) -> None:
        host, port = address(api.listen, "api.listen", api.tls is not None)
        operator, tls = node.source.operator, api.tls
        self._listen = Listen(host, port) if tls is None else Listen(
            host, port, operator / tls.certificate, operator / tls.key,
            operator / tls.clients if tls.clients else None)
        self._listen.check(Tokens(node.home.root))
        self._app, self._store = api_of(NodeDesk(node), node.home)
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
        self._store.close()

    def check(self) -> None:
        """Raise what went wrong."""
        if self._running is not None and self._running.done():
            raise LedgerError("the balance API stopped listening", "", "see the log")
