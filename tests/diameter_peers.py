"""Diameter for tests: a server on a thread of its own, a handler that grants everything, python-diameter as client."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from diameter.message import Message
from diameter.message.commands.credit_control import CreditControlRequest
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication

from pipelines.diameter import encode
from pipelines.diameter.base import Identity
from pipelines.diameter.columns import BLOCK, TIME, TOTAL, UNITS
from pipelines.diameter.encode import Answers
from pipelines.diameter.server import DiameterServer, Policy
from schemas.columns import ABSENT, U8, Cells

logging.getLogger("diameter").setLevel(logging.CRITICAL)
OCS = Identity("ocs.example.com", "example.com", origin_state_id=77)
CLIENT, REALM = "pgw1.example.com", "example.com"
PEERS = frozenset({(CLIENT, REALM), ("relay.example.com", REALM)})


def grant_everything(messages: Cells, units: Cells) -> Answers:
    """Each service gets an hour, a mebioctet, ten units, whichever it asks for, or all when it does not say."""
    first = np.flatnonzero((units["kind"] == 0) & (units["used_index"] == 0))
    given = encode.grants(len(first))
    given["message_row"], given["unit_row"] = units["message_row"][first], first
    given["rating_group"], given["result_code"] = units["rating_group"][first], 2001
    asked = units["requested"][first]
    named = asked & (TIME | TOTAL | UNITS)
    given["granted"] = np.where(asked == 0, 0, BLOCK | np.where(named == 0, TOTAL, named))
    given["granted_time_s"], given["granted_total_octets"], given["granted_service_units"] = 3600, 1 << 20, 10
    given["validity_s"] = 600
    answers = encode.answers(len(messages))
    answers["session_failover"], answers["failure_handling"] = 1, 2
    return Answers(answers, given)


class Running:
    """A server and its event loop on a thread. `received` holds what its handler saw: messages, units, buffer."""

    def __init__(self, handler: Callable[..., Any] | None = None, policy: Policy | None = None, tls: Any = None,
                 **options: Any) -> None:
        self.tls = tls
        self.loop = asyncio.new_event_loop()
        self.received: list[tuple[Cells, Cells, U8]] = []
        self._handler = handler
        self.server = DiameterServer(OCS, PEERS, self._handle, policy=policy, **options)
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    async def _handle(self, messages: Cells, units: Cells, buffer: U8) -> Answers:
        self.received.append((messages, units, buffer))
        if self._handler is not None:
            return await self._handler(messages, units, buffer)
        return grant_everything(messages, units)

    def run(self, work: Any, timeout_s: float = 90) -> Any:
        """A coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """A function on the server's loop."""
        async def wrapped() -> Any:
            return function(*arguments)
        return self.run(wrapped())

    def __enter__(self) -> "Running":
        self._thread.start()
        self.port = self.run(self.server.start(port=0, tls=self.tls))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self.server.stop(2))
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()


class Client:
    """python-diameter, connected."""

    def __init__(self, port: int, application: int = 4, host: str = CLIENT, on_request: Any = None,
                 server: str = OCS.host, realm: str = REALM) -> None:
        self.node = Node(host, realm, ip_addresses=["127.0.0.1"], vendor_ids=[10415])
        self.node.wakeup_interval = 1
        self.peer = self.node.add_peer(f"aaa://{server}:{port};transport=tcp", realm, ip_addresses=["127.0.0.1"],
                                       is_persistent=True)
        self.application = SimpleThreadingApplication(application, is_auth_application=True,
                                                      request_handler=on_request)
        self.node.add_application(self.application, [self.peer])

    def __enter__(self) -> "Client":
        self.node.start()
        try:
            self.application.wait_for_ready(10)
        except BaseException:
            self.__exit__()  # else its threads go on for ever
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.node.stop(wait_timeout=3, force=True)

    def ask(self, message: Message) -> Any:
        """Send a request and wait for its answer."""
        return self.application.send_request(message, timeout=10)


def credit_request(kind: int, number: int, session: str = "pgw1.example.com;1;1", **fields: Any) -> Any:
    """A CCR of python-diameter with what must be there; `fields` are its attributes."""
    message = CreditControlRequest()
    message.header.application_id = 4
    message.header.is_proxyable = True
    message.session_id, message.origin_host, message.origin_realm = session, CLIENT.encode(), REALM.encode()
    message.destination_realm, message.auth_application_id = REALM.encode(), 4
    message.service_context_id, message.cc_request_type = "32251@3gpp.org", kind
    message.cc_request_number = number
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def cells_row(cells: Cells, row: int) -> dict[str, int]:
    """What a row says."""
    return {n: int(cells[n][row]) for n in cells.columns.names if cells[n][row] != ABSENT}


def text(buffer: U8, reference: int) -> bytes:
    """Octets behind a reference."""
    start = int(reference) >> 16
    return buffer[start:start + (int(reference) & 0xFFFF)].tobytes()
