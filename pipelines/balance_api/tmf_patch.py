"""TMF654's PATCH of what was made: what people say of it may change, what was posted may not.

description and reason of all four; of a reserveBalance the status too: cancelled gives the money back, completed takes
it, or the part of it that `amount` says. What is said to be as it is already changes nothing. RFC 7396: null removes.
"""

import asyncio
from decimal import Decimal
from typing import Any

import msgspec

from pipelines.balance_api.problems import ProblemError
from pipelines.balance_api.reservations import reservation
from pipelines.balance_api.routes import Body, Route
from pipelines.balance_api.service import BalanceService, Call, Reply, facts, money_text
from pipelines.balance_api.store import Answer
from pipelines.balance_api.tmf import BASE
from pipelines.balance_api.tmf_events import ALTERED, RESERVE, RESOURCES, STATUS, reservation_now, resource_event
from rating.reservations import ReservationState

_TEXTS = ("description", "reason")
_MOST_TEXT = 400
_SCOPES = {"topupBalance": "topup:write", "transferBalance": "transfer:write", "adjustBalance": "adjust:write",
           RESERVE: "reserve:write"}
_ENDS = {"cancelled": (ReservationState.RELEASED, "reservation_release"),
         "completed": (ReservationState.USED, "reservation_debit")}
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class ResourceUpdate(Body, forbid_unknown_fields=False):
    """What may be said anew."""

    description: str | None = None
    reason: str | None = None
    status: str | None = None


async def patch(service: BalanceService, call: Call) -> Reply:
    """Say something else of it. Returns it as it now is."""
    kind = call.route.removeprefix(BASE + "/").partition("/")[0]
    found = service.store.resource(call.path["id"])
    if found is None or found.kind != kind or found.status >= 300:
        raise ProblemError(404, "no such resource")
    call.account_id = found.account_id
    present = _decode(await _as_it_is(service, found))
    texts, end, amount = _asked(call.body, present, kind)
    if end is not None:
        await _end(service, call, end, amount)
    if texts:
        await asyncio.to_thread(service.store.change, found.resource_id, texts, call.now_us)
        found = service.store.resource(found.resource_id) or found
    body = await _as_it_is(service, found)
    if texts:
        await service.happened(resource_event(kind, ALTERED, found.resource_id, found.account_id, body, call.now_us))
    return Reply(body)


def _asked(body: bytes, present: dict[str, Any], kind: str) -> tuple[dict[str, str | None], str | None, str | None]:
    """Texts that change, the status that ends it, and how much is taken. Raises ProblemError."""
    try:
        asked = _decode(body)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ProblemError(400, "a body that is no JSON object") from None
    except ArithmeticError:
        raise ProblemError(400, "a number that is none") from None
    texts, end, amount = dict[str, str | None](), None, None
    for name, value in asked.items():
        if name in _TEXTS:
            if value is not None and (not isinstance(value, str) or len(value) > _MOST_TEXT):
                raise ProblemError(400, f"a {name} that is no text of up to {_MOST_TEXT} characters")
            if present.get(name) != value:
                texts[name] = value
        elif kind == RESERVE and name == "status" and isinstance(value, str) and value in _ENDS:
            end = value
        elif kind == RESERVE and name == "amount" and asked.get("status") == "completed":
            amount = _part(value, present)
        elif name not in present or present[name] != value:
            raise ProblemError(422, "a member that cannot be changed; expected description or reason" + (
                ", or status cancelled or completed" if kind == RESERVE else
                ": what was posted is corrected by another posting"))
    return texts, end, amount


def _part(value: object, present: dict[str, Any]) -> str:
    """How much of what is held."""
    if not isinstance(value, dict) or isinstance(value.get("amount"), bool) or not isinstance(
            value.get("amount"), (int, Decimal)):
        raise ProblemError(400, "an amount that is none; expected one such as {\"amount\": 1.5}")
    if value.get("units", present["amount"]["units"]) != present["amount"]["units"]:
        raise ProblemError(422, "an amount in another currency than what is held")
    return money_text(Decimal(value["amount"]))


async def _end(service: BalanceService, call: Call, status: str, amount: str | None) -> None:
    """Carry out the command that ends a reservation; one that has ended so is left as it is."""
    name = call.path["id"]
    (state, kind), found = _ENDS[status], await reservation(service, call, name)
    if found.state == state and (amount is None or Decimal(amount).scaleb(9) == found.used_nanos):
        return
    done = await service.submit(call, kind, found.account_id, facts(reservation=name, amount=amount), kind,
                                lambda made: msgspec.json.encode({"id": made}), ends=name)
    if done.status >= 300:
        raise ProblemError(409, f"a reservation that is {STATUS[found.state]}, or over, or holds less; expected a "
                           "confirmed one")


async def _as_it_is(service: BalanceService, answer: Answer) -> bytes:
    if answer.kind != RESERVE:
        return answer.body
    return await service.desk.ask(lambda book: reservation_now(book, answer))


ROUTES = tuple(Route("PATCH", f"{BASE}/{name}/{{id}}", _SCOPES[name], patch, f"Say something else of a {name}",
                     ResourceUpdate, tmf=True) for name in RESOURCES)
