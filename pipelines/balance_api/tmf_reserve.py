"""TMF654's reserveBalance: made, listed, looked at, deleted, which gives the money back.

What is reserved is taken by PATCH (`tmf_patch`) or by `POST /v1/reservations/{id}/debit`. Its status is what the
book says: confirmed while the money is held, then completed, cancelled or expired.
"""

import msgspec

from pipelines.balance_api.problems import ProblemError
from pipelines.balance_api.reservations import reservation
from pipelines.balance_api.routes import Route
from pipelines.balance_api.service import BalanceService, Call, Reply, money_text
from pipelines.balance_api.store import Answer
from pipelines.balance_api.tmf import BASE, Text, TmfBody, account_named, asked_account, post_resource, slice_of
from pipelines.balance_api.tmf_events import RESERVE, STATUS, reservation_now
from rating.reservations import ReservationState
from schemas.timepoint import SECOND_US, format_time, parse_time


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
    return await post_resource(service, call, asked, "reserve", RESERVE, money_text(asked.amount.amount),
                               {"until": until}, {"expirationDate": until}, account)


async def reservations(service: BalanceService, call: Call) -> Reply:
    """Those of an account that the API made, the newest first."""
    account = await asked_account(service, call)
    offset, limit = slice_of(call)
    count, answers = service.store.of_account(account, RESERVE, offset, limit)
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
                                    "reservation_release", lambda made: msgspec.json.encode({"id": made}), ends=name)
        if done.status >= 300:
            raise ProblemError(409, f"a reservation that is {STATUS[found.state]}, or over; expected a confirmed one")
    return Reply(b"", 204)


def _made(service: BalanceService, call: Call) -> Answer:
    found = service.store.resource(call.path["id"])
    if found is None or found.kind != RESERVE or found.status >= 300:
        raise ProblemError(404, "no such resource")
    call.account_id = found.account_id
    return found


async def _as_it_is(service: BalanceService, answer: Answer) -> bytes:
    """Its body as it was made, with the status of now."""
    return await service.desk.ask(lambda book: reservation_now(book, answer))


_WHO = ("partyAccount.id", "logicalResource.value", "bucket.id", "offset", "limit", "fields")
ROUTES = (
    Route("POST", f"{BASE}/{RESERVE}", "reserve:write", reserve, "A new reserveBalance", ReserveCreate, tmf=True),
    Route("GET", f"{BASE}/{RESERVE}", "history:read", reservations, "Every reserveBalance that was made here",
          query=_WHO, tmf=True),
    Route("GET", f"{BASE}/{RESERVE}/{{id}}", "history:read", one, "One reserveBalance", tmf=True),
    Route("DELETE", f"{BASE}/{RESERVE}/{{id}}", "reserve:write", cancel, "Give back what a reserveBalance holds",
          tmf=True),
)
