"""The balance API before a node: in its loop, over its book. Section `api` of serve.yaml."""

from pipelines.balance_api.desk import NodeDesk
from pipelines.balance_api.serve import HttpFront, Listen, api_of
from pipelines.balance_api.tokens import Tokens
from pipelines.serve.config import Api, address
from pipelines.serve.node import OnlineNode


class BalanceFront(HttpFront):
    """Serves it by what `api` of serve.yaml says."""

    name = "api"

    def __init__(self, node: OnlineNode, api: Api) -> None:
        host, port = address(api.listen, "api.listen", api.tls is not None)
        operator, tls = node.source.operator, api.tls
        listen = Listen(host, port) if tls is None else Listen(
            host, port, operator / tls.certificate, operator / tls.key,
            operator / tls.clients if tls.clients else None)
        listen.check(Tokens(node.home.root))
        app, self._store = api_of(NodeDesk(node), node.home, notify_hosts=api.notify_hosts)
        self._notifier = app.state.notifier
        super().__init__(app, listen)

    async def start(self) -> str:
        """Listen, and tell listeners."""
        listening = await super().start()
        self._notifier.start()
        return listening

    async def stop(self) -> None:
        """Answer what was received, and close, the store last."""
        await super().stop()
        await self._notifier.stop()
        self._store.close()
