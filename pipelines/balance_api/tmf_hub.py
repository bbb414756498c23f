"""TMF654's hub: who wants to be told registers where, and unregisters. Events are those of `tmf_events.TYPES`.

`query` chooses: `eventType=A,B` and `partyAccount.id=N`, joined by &. Events of all accounts are told where it names
none, so the scope is one of its own.
"""

from typing import Annotated
from urllib.parse import parse_qsl

import msgspec

from pipelines.balance_api.notifying import SCOPE
from pipelines.balance_api.problems import ProblemError
from pipelines.balance_api.routes import Body, Route
from pipelines.balance_api.service import BalanceService, Call, Reply
from pipelines.balance_api.tmf import BASE
from pipelines.balance_api.tmf_events import TYPES


class ListenerCreate(Body, forbid_unknown_fields=False):
    """EventSubscriptionInput."""

    callback: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    query: Annotated[str, msgspec.Meta(max_length=400)] | None = None


async def register(service: BalanceService, call: Call) -> Reply:
    """Be told from now on. The same again is the same listener."""
    asked = ListenerCreate.read(call.body)
    if not service.may_call(asked.callback):
        raise ProblemError(400, "a callback that may not be called; expected http or https to a host of notify_hosts")
    types, account = _chosen(asked.query or "")
    made = service.store.listeners.add(call.grantee.name, asked.callback, asked.query or "", types, account,
                                       call.now_us)
    if made is None:
        raise ProblemError(409, "too many listeners", {"Retry-After": "3600"})
    said = {"id": made.id, "callback": made.callback, **({"query": made.query} if made.query else {})}
    return Reply(msgspec.json.encode(said), 201, headers={"Location": f"{BASE}/hub/{made.id}"})


async def unregister(service: BalanceService, call: Call) -> Reply:
    """Be told nothing any more. Each token has its own listeners."""
    found = service.store.listeners.find(call.path["id"])
    if found is None or found.grantee != call.grantee.name:
        raise ProblemError(404, "no such listener")
    service.store.listeners.remove(found.id)
    return Reply(b"", 204)


def _chosen(query: str) -> tuple[list[str], int | None]:
    """Types and account of a query. Raises ProblemError: it says what is not known here."""
    types, account = list[str](), None
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=10) if query else []
    except ValueError:
        raise ProblemError(400, "a query that is none; expected eventType=A,B&partyAccount.id=N") from None
    for name, value in pairs:
        if name == "eventType":
            types += value.split(",")
        elif name == "partyAccount.id" and account is None and value.isascii() and value.isdecimal() and (
                len(value) <= 18):
            account = int(value)
        else:
            raise ProblemError(400, "a query of something else, or badly written; expected eventType=A,B and "
                               "partyAccount.id=N")
    if not set(types) <= set(TYPES):
        raise ProblemError(400, "an eventType that is not told here; expected some of " + ", ".join(TYPES))
    return sorted(set(types)), account


ROUTES = (
    Route("POST", f"{BASE}/hub", SCOPE, register, "Be told of what happens to balances", ListenerCreate, tmf=True),
    Route("DELETE", f"{BASE}/hub/{{id}}", SCOPE, unregister, "Be told nothing any more", tmf=True),
)
