"""Reservations over HTTP: money held for what a customer is about to buy, then debited or given back.

A reservation is a command's (`rating/commands/reserve.py`): what became of it is asked of the book, and is known there
for 35 days after its end.
"""

from typing import Annotated, Any

import msgspec

from pipelines.balance_api.problems import ProblemError
from pipelines.balance_api.rest import AccountId, Amount, Msisdn
from pipelines.balance_api.routes import Body, Route
from pipelines.balance_api.service import BalanceService, Call, Reply, facts, money_text
from rating.reservations import Reservation, key_of
from schemas.money import format_money
from schemas.timepoint import SECOND_US, format_time

WORDS = ("open", "used", "released", "expired")  # by ReservationState


class ReserveMoney(Body):
    """Money held of what can be spent, for a day unless it says for how long."""

    amount: Amount
    msisdn: Msisdn | None = None
    account_id: AccountId | None = None
    currency: str | None = None
    valid_s: Annotated[int, msgspec.Meta(ge=1, le=35 * 86_400)] = 86_400


class DebitReservation(Body):
    """How much of it, all by default; the rest is given back."""

    amount: Amount | None = None


class ReleaseReservation(Body):
    """Nothing more to say: all of it is given back."""


async def make(service: BalanceService, call: Call) -> Reply:
    """Hold money."""
    asked = ReserveMoney.read(call.body)
    account = await service.account_of(call, asked.msisdn, asked.account_id)
    currency = asked.currency or (await service.view(call, account)).currency
    amount, until = money_text(asked.amount), format_time(call.now_us + asked.valid_s * SECOND_US)
    return await service.submit(
        call, "reserve", account, {"amount": amount, "currency": currency, "until": until}, "reservation",
        lambda name: msgspec.json.encode({"id": name, "account_id": account, "state": WORDS[0], "amount": amount,
                                          "currency": currency, "until": until}))


async def show(service: BalanceService, call: Call) -> Reply:
    """What has become of one."""
    found = await reservation(service, call, call.path["id"])
    currency = (await service.view(call, found.account_id)).currency
    return Reply(msgspec.json.encode({
        "id": call.path["id"], "account_id": found.account_id, "state": WORDS[found.state],
        "amount": format_money(found.amount_nanos), "currency": currency, "until": format_time(found.until_us),
        **facts(debited=format_money(found.used_nanos) if found.used_nanos else None)}))


async def debit(service: BalanceService, call: Call) -> Reply:
    """Take of what is held."""
    asked = DebitReservation.read(call.body)
    amount = None if asked.amount is None else money_text(asked.amount)
    return await end(service, call, "reservation_debit", amount=amount)


async def release(service: BalanceService, call: Call) -> Reply:
    """Give it back."""
    ReleaseReservation.read(call.body)
    return await end(service, call, "reservation_release")


async def end(service: BalanceService, call: Call, kind: str, **fields: Any) -> Reply:
    """Carry out the command that ends a reservation."""
    name = call.path["id"]
    found = await reservation(service, call, name)
    debited = fields.get("amount") or (format_money(found.amount_nanos) if kind == "reservation_debit" else None)
    return await service.submit(
        call, kind, found.account_id, facts(reservation=name, **fields), kind,
        lambda made: msgspec.json.encode({"id": made, "reservation": name, "account_id": found.account_id,
                                          "kind": kind, "status": "done", "time": format_time(call.now_us),
                                          **facts(debited=debited)}), ends=name)


async def reservation(service: BalanceService, call: Call, name: str) -> Reservation:
    """The reservation of an id. Raises ProblemError: there is none, or it has been over for long."""
    key = key_of(name)
    found = None if key is None else await service.desk.ask(lambda book: book.reservations.by_key.get(key))
    if found is None:
        raise ProblemError(404, "no such reservation")
    call.account_id = found.account_id
    return found


ROUTES = (
    Route("POST", "/v1/reservations", "reserve:write", make, "Hold money", ReserveMoney),
    Route("GET", "/v1/reservations/{id}", "balance:read", show, "What has become of what was held"),
    Route("POST", "/v1/reservations/{id}/debit", "reserve:write", debit, "Take of what is held, give back the rest",
          DebitReservation),
    Route("POST", "/v1/reservations/{id}/release", "reserve:write", release, "Give back what is held",
          ReleaseReservation),
)
