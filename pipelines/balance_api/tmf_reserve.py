"""TMF654's reserveBalance: made, listed, looked at, deleted, which gives the money back.

What TMF has no operation for, taking of what is reserved, is `POST /v1/reservations/{id}/debit`. Its status is what the
book says: confirmed while the money is held, then completed, cancelled or expired.
"""

import msgspec

from pipelines.balance_api.problems import ProblemError
from pipelines.balance_api.reservations import reservation
from pipelines.balance_api.routes import Route
from pipelines.balance_api.service import BalanceService, Call, Reply, money_text
from pipelines.balance_api.store import Answer
from pipelines.balance_api.tmf import BASE, Text, TmfBody, account_named, asked_account, post_resource, slice_of
from rating.reservations import ReservationState, key_of
from schemas.timepoint import SECOND_US, format_time, parse_time

RESOURCE = "reserveBalance"
STATUS = {ReservationState.OPEN: "confirmed", ReservationState.USED: "completed",
          ReservationState.RELEASED: "cancelled", ReservationState.EXPIRED: "expired"}
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ReserveCreate(TmfBody):
    """ReserveBalance_Create."""

    expiration_date: Text | None = None


async def reserve(service: BalanceService, call: Call) -> Reply:
    """Hold money until expirationDate, or for a day."""
    asked = ReserveCreate.read(call.body)
    account = await account_named(service, call, asked.bucket, asked.party_account, asked.logical_resource)
    try:
        until_us = call.now_us + 86_400 * SECOND_US if asked.expiration_date is None else parse_time(
            asked.expiration_date)
    except (ValueError, OverflowError):
        raise ProblemError(400, "an expirationDate that is no time; expected one such as 2026-07-01T00:00:00Z"
                           ) from None
    until = format_time(until_us)
    return await post_resource(service, call, asked, "reserve", RESOURCE, money_text(asked.amount.amount),
                               {"until": until}, {"expirationDate": until}, account)


async def reservations(service: BalanceService, call: Call) -> Reply:
    """Those of an account that the API made, the newest first."""
    account = await asked_account(service, call)
    offset, limit = slice_of(call)
    count, answers = service.store.of_account(account, RESOURCE, offset, limit)
    bodies = [await _as_it_is(service, answer) for answer in answers]
    return Reply(b"[" + b",".join(bodies) + b"]", headers={"X-Total-Count": str(count),
                                                           "X-Result-Count": str(len(bodies))})


async def one(service: BalanceService, call: Call) -> Reply:
    """One of them."""
    return Reply(await _as_it_is(service, _made(service, call)))


async def cancel(service: BalanceService, call: Call) -> Reply:
    """Give the money back. What was given back before stays so; what was taken or has expired is a conflict."""
    _made(service, call)
    name = call.path["id"]
    found = await reservation(service, call, name)
    if found.state != ReservationState.RELEASED:
        done = await service.submit(call, "reservation_release", found.account_id, {"reservation": name},
                                    "reservation_release", lambda made: msgspec.json.encode({"id": made}))
        if done.status >= 300:
            raise ProblemError(409, f"a reservation that is {STATUS[found.state]}, or over; expected a confirmed one")
    return Reply(b"", 204)


def _made(service: BalanceService, call: Call) -> Answer:
    found = service.store.resource(call.path["id"])
    if found is None or found.kind != RESOURCE or found.status >= 300:
        raise ProblemError(404, "no such resource")
    call.account_id = found.account_id
    return found


async def _as_it_is(service: BalanceService, answer: Answer) -> bytes:
    """Its body as it was made, with the status of now."""
    key = key_of(answer.resource_id)
    found = None if key is None else await service.desk.ask(lambda book: book.reservations.by_key.get(key))
    body = _members.decode(answer.body)
    body["status"] = msgspec.Raw(msgspec.json.encode("closed" if found is None else STATUS[found.state]))
    if found is not None and found.state != ReservationState.OPEN:
        body["confirmationDate"] = msgspec.Raw(msgspec.json.encode(format_time(found.ended_us)))
    return msgspec.json.encode(body)


_WHO = ("partyAccount.id", "logicalResource.value", "bucket.id", "offset", "limit", "fields")
ROUTES = (
    Route("POST", f"{BASE}/{RESOURCE}", "reserve:write", reserve, "A new reserveBalance", ReserveCreate, tmf=True),
    Route("GET", f"{BASE}/{RESOURCE}", "history:read", reservations, "Every reserveBalance that was made here",
          query=_WHO, tmf=True),
    Route("GET", f"{BASE}/{RESOURCE}/{{id}}", "history:read", one, "One reserveBalance", tmf=True),
    Route("DELETE", f"{BASE}/{RESOURCE}/{{id}}", "reserve:write", cancel, "Give back what a reserveBalance holds",
          tmf=True),
)
