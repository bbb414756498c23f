"""The small REST: balance by number, top-up, transfer, adjustment, commands on accounts. Money is decimal text."""

from typing import Annotated, Any

import msgspec

from pipelines.balance_api.problems import ProblemError
from pipelines.balance_api.routes import Body, Route
from pipelines.balance_api.service import BalanceService, Call, Reply, facts, money_text
from pipelines.commands import NUMBER_FIELDS
from rating.commands import IDENTITY_KINDS
from schemas.money import format_money
from schemas.timepoint import format_time, parse_time

Msisdn = Annotated[str, msgspec.Meta(max_length=20, description="with its country code, with or without +")]
AccountId = Annotated[int, msgspec.Meta(ge=0)]
Amount = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$", description="decimal text, never a "
                                     "number: 10.00")]
MOST_DAYS_US = 400 * 86_400 * 1_000_000
KINDS = ("account_create", *IDENTITY_KINDS, "plan_change", "option_add", "option_remove", "state", "credit_limit",
         "grant", "friend_add", "friend_remove", "share_join", "share_leave")


class TopUp(Body):
    """Money onto a balance, with what the tariff's `top_ups` add."""

    amount: Amount
    msisdn: Msisdn | None = None
    account_id: AccountId | None = None
    currency: str | None = None


class Transfer(Body):
    """Money from one account to another; the sender pays the fee."""

    amount: Amount
    msisdn: Msisdn | None = None
    account_id: AccountId | None = None
    to_msisdn: Msisdn | None = None
    to_account_id: AccountId | None = None
    fee: Amount | None = None
    currency: str | None = None


class Adjustment(Body):
    """A correction of either sign, against the adjustment account."""

    amount: Amount
    msisdn: Msisdn | None = None
    account_id: AccountId | None = None
    currency: str | None = None
    reason: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class AccountCommand(Body):
    """A command of rating.commands: kind, account_id, and in `fields` what the kind needs beyond that."""

    kind: str
    account_id: AccountId
    fields: dict[str, str | int | None] = msgspec.field(default_factory=dict)


async def balance(service: BalanceService, call: Call) -> Reply:
    """State, plans and balances of a number's account."""
    account = await service.account_of(call, call.path["msisdn"], None)
    return _json((await service.view(call, account)).as_json())


async def account_balance(service: BalanceService, call: Call) -> Reply:
    """The same, by account."""
    account = await service.account_of(call, None, _whole(call.path["account_id"]))
    return _json((await service.view(call, account)).as_json())


async def history(service: BalanceService, call: Call) -> Reply:
    """Movements of a balance, in the order in which they were charged."""
    account = await service.account_of(call, call.path["msisdn"], None)
    from_us, to_us = span(call)
    rows = await service.movements(account, from_us, to_us)
    return _json({"account_id": account, "from": format_time(from_us), "to": format_time(to_us),
                  "movements": [movement(row) for row in rows if row["ledger_account"] == "balance"]})


async def top_up(service: BalanceService, call: Call) -> Reply:
    """Money onto a balance, with what the tariff's `top_ups` add."""
    asked = TopUp.read(call.body)
    account = await service.account_of(call, asked.msisdn, asked.account_id)
    currency = asked.currency or (await service.view(call, account)).currency
    amount = money_text(asked.amount)
    return await service.submit(
        call, "top_up", account, {"amount": amount, "currency": currency}, "top_up",
        lambda name: _told(call, name, "top_up", account, amount, currency))


async def adjust(service: BalanceService, call: Call) -> Reply:
    """A correction of either sign."""
    asked = Adjustment.read(call.body)
    account = await service.account_of(call, asked.msisdn, asked.account_id)
    currency = asked.currency or (await service.view(call, account)).currency
    amount = money_text(asked.amount)
    return await service.submit(
        call, "adjust", account, facts(amount=amount, currency=currency, why=asked.reason), "adjust",
        lambda name: _told(call, name, "adjust", account, amount, currency))


async def transfer(service: BalanceService, call: Call) -> Reply:
    """Money to another account."""
    asked = Transfer.read(call.body)
    other = await service.account_of(call, asked.to_msisdn, asked.to_account_id)
    account = await service.account_of(call, asked.msisdn, asked.account_id)
    currency = asked.currency or (await service.view(call, account)).currency
    amount, fee = money_text(asked.amount), None if asked.fee is None else money_text(asked.fee)
    return await service.submit(
        call, "transfer", account, facts(amount=amount, currency=currency, to_account_id=other, fee=fee), "transfer",
        lambda name: _told(call, name, "transfer", account, amount, currency, to_account_id=other, fee=fee))


async def command(service: BalanceService, call: Call) -> Reply:
    """Create and change accounts: what `tarifa account` does."""
    asked = AccountCommand.read(call.body)
    if asked.kind not in KINDS:
        raise ProblemError(422, "a kind of command that the API does not send; expected one of " + ", ".join(KINDS))
    reserved = {"id", "time", "kind", "account_id", "who", "line", "command"} & set(asked.fields)
    if reserved:
        raise ProblemError(400, f"a field {min(reserved)!r}; it is not the client's to say")
    call.account_id = asked.account_id
    shown = sorted(set(asked.fields) - set(NUMBER_FIELDS))
    return await service.submit(
        call, asked.kind, asked.account_id, asked.fields, "command",
        lambda name: msgspec.json.encode({"id": name, "kind": asked.kind, "account_id": asked.account_id,
                                          "status": "done", "time": format_time(call.now_us), "fields": shown}))


ROUTES = (
    Route("GET", "/v1/balance/{msisdn}", "balance:read", balance, "State, plans and balances of a number's account"),
    Route("GET", "/v1/balance/{msisdn}/history", "history:read", history, "What moved its balance",
          query=("from", "to")),
    Route("GET", "/v1/accounts/{account_id}", "balance:read", account_balance, "The same, by account"),
    Route("POST", "/v1/topup", "topup:write", top_up, "Top up", TopUp),
    Route("POST", "/v1/transfer", "transfer:write", transfer, "Transfer money between accounts", Transfer),
    Route("POST", "/v1/adjust", "adjust:write", adjust, "Adjust a balance", Adjustment),
    Route("POST", "/v1/commands", "account:write", command, "Create and change accounts", AccountCommand),
)


def movement(row: dict[str, Any]) -> dict[str, Any]:
    """A posting on a balance as people read it."""
    return {"id": f"{row['movement_hi']:016x}{row['movement_lo']:016x}", "time": format_time(row["at_us"] or 0),
            "reason": row["reason"], "amount": format_money(int(row["amount"])), "currency": row["currency"],
            "balance_after": format_money(int(row["balance_after"]))}


def span(call: Call) -> tuple[int, int]:
    """From and to of a question about the past; by default the last thirty days."""
    try:
        to_us = parse_time(call.query["to"]) if "to" in call.query else call.now_us
        from_us = parse_time(call.query["from"]) if "from" in call.query else to_us - 30 * 86_400 * 1_000_000
    except (ValueError, OverflowError):
        raise ProblemError(400, "from or to that is no time; expected an instant such as 2026-07-01T00:00:00Z"
                           ) from None
    if not 0 <= to_us - from_us <= MOST_DAYS_US:
        raise ProblemError(400, "a span that is negative or too long; expected at most 400 days")
    return from_us, to_us


def _told(call: Call, name: str, kind: str, account: int, amount: str, currency: str, **more: object) -> bytes:
    return msgspec.json.encode({"id": name, "kind": kind, "account_id": account, "amount": amount, "currency": currency,
                                "status": "done", "time": format_time(call.now_us), **facts(**more)})


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise ProblemError(404, "no such account")
    return int(text)


def _json(content: object) -> Reply:
    return Reply(msgspec.json.encode(content))

