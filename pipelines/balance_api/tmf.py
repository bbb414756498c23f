"""TMF654 Prepay Balance Management, v4: buckets, top-ups, transfers, adjustments, accumulated balance, what was done.

A bucket is what is left of an account's money or of one of its allowances. Amounts are JSON numbers as TMF says; they
are read and written as decimals, digit for digit. An account is named by `partyAccount.id`, by `bucket.id`, or by
`logicalResource.value`, which is its MSISDN; numbers are never given back.

Source: TMF654 v4.1.0 (swagger). reserveBalance is in `tmf_reserve`, PATCH in `tmf_patch`, /hub in `tmf_hub`. Not
here: deleting what has been posted.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from pipelines.accounts.view import AccountView
from pipelines.balance_api.problems import ProblemError
from pipelines.balance_api.rest import MOST_DAYS_US, span
from pipelines.balance_api.routes import Body, Route
from pipelines.balance_api.service import BalanceService, Call, Reply, facts, money_text
from schemas.codes import Unit
from schemas.money import format_money
from schemas.timepoint import DAY_S, SECOND_US, format_time

BASE = "/tmf-api/prepayBalanceManagement/v4"
MOST = 1000  # items of a page
_MONEY = "money"
_UNITS = {Unit.SECOND: "s", Unit.OCTET: "B", Unit.MESSAGE: "SMS", Unit.UNIT: "unit", Unit.SEGMENT: "segment"}
_USAGE = {Unit.SECOND: "voice", Unit.OCTET: "data", Unit.MESSAGE: "sms", Unit.UNIT: "other", Unit.SEGMENT: "sms",
          Unit.MONEY: "monetary"}
_encode = msgspec.json.Encoder(decimal_format="number").encode
Text = Annotated[str, msgspec.Meta(max_length=400)]


class Quantity(msgspec.Struct):
    """An amount, digit for digit, and of what."""

    amount: Decimal
    units: Annotated[str, msgspec.Meta(max_length=16)] | None = None


class Ref(msgspec.Struct):
    """A reference: by id; of a logical resource, by value. What else is said of it is not looked at."""

    id: Text | None = None
    value: Text | None = None


class TmfBody(Body, forbid_unknown_fields=False, rename="camel"):
    """What all balance requests have."""

    amount: Quantity
    bucket: Ref | None = None
    party_account: Ref | None = None
    logical_resource: Ref | None = None
    description: Text | None = None
    reason: Text | None = None
    usage_type: Text | None = None


class TopupCreate(TmfBody):
    """TopupBalance_Create."""

    is_auto_topup: bool | None = None
    voucher: Text | None = None


class AdjustCreate(TmfBody):
    """AdjustBalance_Create."""

    adjust_type: Text | None = None


class TransferCreate(TmfBody):
    """TransferBalance_Create."""

    receiver_bucket: Ref | None = None
    receiver_party_account: Ref | None = None
    receiver_logical_resource: Ref | None = None
    transfer_cost: Quantity | None = None
    cost_owner: Text | None = None


async def buckets(service: BalanceService, call: Call) -> Reply:
    """What is left of money and allowances of an account."""
    view = await service.view(call, await asked_account(service, call))
    return _page(call, list(_buckets(view)))


async def bucket(service: BalanceService, call: Call) -> Reply:
    """One of them."""
    account, name = _bucket_id(call.path["id"])
    view = await service.view(call, await service.account_of(call, None, account))
    found = next((b for b in _buckets(view) if b["id"] == f"{account}-{name}"), None)
    if found is None:
        raise ProblemError(404, "no such bucket")
    return Reply(_encode(found))


async def accumulated(service: BalanceService, call: Call) -> Reply:
    """All money of an account, as a list of one."""
    view = await service.view(call, await asked_account(service, call))
    return _page(call, [_accumulated(view)])


async def accumulated_one(service: BalanceService, call: Call) -> Reply:
    """The same, by account."""
    account, _ = _bucket_id(call.path["id"] + "-" + _MONEY)
    return Reply(_encode(_accumulated(await service.view(call, await service.account_of(call, None, account)))))


async def topup(service: BalanceService, call: Call) -> Reply:
    """Money onto a balance."""
    asked = TopupCreate.read(call.body)
    if asked.is_auto_topup or asked.voucher is not None:
        raise ProblemError(422, "a recurring top-up or a voucher; expected an amount: the shop keeps both")
    return await post_resource(service, call, asked, "top_up", "topupBalance", money_text(asked.amount.amount))


async def adjust(service: BalanceService, call: Call) -> Reply:
    """A correction: credit, debit, or an amount of either sign."""
    asked = AdjustCreate.read(call.body)
    amount = money_text(asked.amount.amount)
    kind = (asked.adjust_type or "").lower()
    if kind not in ("", "credit", "debit") or (kind and amount.startswith("-")):
        raise ProblemError(422, "an adjustType that is neither credit nor debit, or a sign with it; expected one of "
                           "them and an amount above zero, or none and an amount of either sign")
    return await post_resource(service, call, asked, "adjust", "adjustBalance",
                               f"-{amount}" if kind == "debit" else amount, told=facts(adjustType=asked.adjust_type))


async def transfer(service: BalanceService, call: Call) -> Reply:
    """Money to another account; the sender pays the cost."""
    asked = TransferCreate.read(call.body)
    if (asked.cost_owner or "originator").lower() != "originator":
        raise ProblemError(422, "a costOwner other than the originator")
    account = await account_named(service, call, asked.bucket, asked.party_account, asked.logical_resource)
    other = await account_named(service, call, asked.receiver_bucket, asked.receiver_party_account,
                           asked.receiver_logical_resource)
    call.account_id = account
    fee = None if asked.transfer_cost is None else money_text(asked.transfer_cost.amount)
    told = facts(receiverBucket={"id": f"{other}-{_MONEY}"}, receiverPartyAccount={"id": str(other)},
                 transferCost=None if fee is None else {"amount": Decimal(fee), "units": asked.amount.units},
                 costOwner=asked.cost_owner)
    return await post_resource(service, call, asked, "transfer", "transferBalance", money_text(asked.amount.amount),
                               facts(to_account_id=other, fee=fee), told, account)


async def resources(service: BalanceService, call: Call) -> Reply:
    """What the API itself made of a kind, the newest first."""
    account = await asked_account(service, call)
    offset, limit = slice_of(call)
    count, answers = service.store.of_account(account, _kind(call), offset, limit)
    return Reply(b"[" + b",".join(answer.body for answer in answers) + b"]",
                 headers={"X-Total-Count": str(count), "X-Result-Count": str(len(answers))})


async def resource(service: BalanceService, call: Call) -> Reply:
    """One that the API made, as it was answered."""
    found = service.store.resource(call.path["id"])
    if found is None or found.kind != _kind(call) or found.status >= 300:
        raise ProblemError(404, "no such resource")
    call.account_id = found.account_id
    return Reply(found.body)


async def actions(service: BalanceService, call: Call) -> Reply:
    """What moved the balance within a time, the newest first."""
    account = await asked_account(service, call)
    view = await service.view(call, account)
    rows = await service.movements(account, *span(call))
    return _page(call, [_action(view, row) for row in rows if row["ledger_account"] == "balance"][::-1])


async def action(service: BalanceService, call: Call) -> Reply:
    """One movement of a balance, of the last 400 days."""
    account, _ = _bucket_id(call.path["id"])
    view = await service.view(call, await service.account_of(call, None, account))
    for row in await service.movements(account, call.now_us - MOST_DAYS_US, call.now_us + DAY_S * SECOND_US):
        if row["ledger_account"] == "balance" and (found := _action(view, row))["id"] == call.path["id"]:
            return Reply(_encode(found))
    raise ProblemError(404, "no such action")


def _routes() -> tuple[Route, ...]:
    who = ("partyAccount.id", "logicalResource.value", "bucket.id", "offset", "limit", "fields")
    made = [Route("GET", "/bucket", "balance:read", buckets, "Buckets of an account", query=who, tmf=True),
            Route("GET", "/bucket/{id}", "balance:read", bucket, "A bucket", tmf=True),
            Route("GET", "/accumulatedBalance", "balance:read", accumulated, "All money of an account", query=who,
                  tmf=True),
            Route("GET", "/accumulatedBalance/{id}", "balance:read", accumulated_one, "The same, by account", tmf=True),
            Route("GET", "/balanceAction", "history:read", actions, "What moved a balance", query=(*who, "from", "to"),
                  tmf=True),
            Route("GET", "/balanceAction/{id}", "history:read", action, "One movement of it", tmf=True)]
    for name, scope, handler, body in (("topupBalance", "topup:write", topup, TopupCreate),
                                       ("transferBalance", "transfer:write", transfer, TransferCreate),
                                       ("adjustBalance", "adjust:write", adjust, AdjustCreate)):
        made += [Route("POST", f"/{name}", scope, handler, f"A new {name}", body, tmf=True),
                 Route("GET", f"/{name}", "history:read", resources, f"Every {name} that was made here", query=who,
                       tmf=True),
                 Route("GET", f"/{name}/{{id}}", "history:read", resource, f"One {name}", tmf=True)]
    return tuple(Route(r.method, BASE + r.path, r.scope, r.handler, r.summary, r.body, r.query, r.tmf) for r in made)


ROUTES = _routes()


async def post_resource(service: BalanceService, call: Call, asked: TmfBody, kind: str, resource: str, amount: str,
                        more: dict[str, Any] | None = None, told: dict[str, Any] | None = None,
                        account: int | None = None) -> Reply:
    """Carry out a command that makes a resource. more: fields of the command; told: members of the resource."""
    if account is None:
        account = await account_named(service, call, asked.bucket, asked.party_account, asked.logical_resource)
    currency = asked.amount.units or (await service.view(call, account)).currency
    call.base, when = f"{BASE}/{resource}", format_time(call.now_us)

    def tell(name: str) -> bytes:
        return _encode({
            "id": name, "href": f"{BASE}/{resource}/{name}", "amount": {"amount": asked.amount.amount,
                                                                        "units": currency},
            "bucket": {"id": f"{account}-{_MONEY}"}, "partyAccount": {"id": str(account)}, "status": "confirmed",
            "usageType": "monetary", "requestedDate": when, "confirmationDate": when,
            "@type": resource[0].upper() + resource[1:],
            **facts(description=asked.description, reason=asked.reason), **(told or {})})

    return await service.submit(call, kind, account, {"amount": amount, "currency": currency, **(more or {})}, resource,
                                tell)


async def account_named(service: BalanceService, call: Call, bucket: Ref | None, party: Ref | None,
                        resource: Ref | None) -> int:
    """The account that is named: in one way, or in several that agree."""
    ids = []
    if bucket is not None and bucket.id is not None:
        account, name = _bucket_id(bucket.id)
        if name != _MONEY:
            raise ProblemError(422, "a bucket of units; expected the account's money")
        ids.append(await service.account_of(call, None, account))
    if party is not None and party.id is not None:
        ids.append(await service.account_of(call, None, _bucket_id(f"{party.id}-{_MONEY}")[0]))
    if resource is not None and (resource.value or resource.id):
        ids.append(await service.account_of(call, resource.value or resource.id, None))
    if len(set(ids)) != 1:
        raise ProblemError(400 if not ids else 422, "no account; expected partyAccount.id, bucket.id or "
                           "logicalResource.value" if not ids else "references to different accounts")
    call.account_id = ids[0]
    return ids[0]


async def asked_account(service: BalanceService, call: Call) -> int:
    """The account that a list is asked of: there is no list of all."""
    query = call.query
    return await account_named(service, call, Ref(query.get("bucket.id")), Ref(query.get("partyAccount.id")),
                               Ref(query.get("logicalResource.id"), query.get("logicalResource.value")))


def _bucket_id(text: str) -> tuple[int, str]:
    account, _, name = text.partition("-")
    if not account.isascii() or not account.isdecimal() or len(account) > 18 or not name:
        raise ProblemError(404, "no such account or bucket")
    return int(account), name


def _kind(call: Call) -> str:
    return call.route.removeprefix(BASE + "/").partition("/")[0]


def money_bucket(view: AccountView) -> dict[str, Any]:
    """Of an account's money."""
    account = {"id": str(view.account_id)}
    status = "active" if view.state in ("active", "one_way") else "suspended"
    return {"id": f"{view.account_id}-{_MONEY}", "href": f"{BASE}/bucket/{view.account_id}-{_MONEY}",
           "name": "main balance", "usageType": "monetary", "status": status, "isShared": bool(view.shared_by),
           "remainingValue": _money(view.money, view.currency), "partyAccount": account, "@type": "Bucket",
           **facts(reservedValue=None if view.held is None else _money(view.held, view.currency),
                   validFor=None if view.valid_until_us is None else {"endDateTime": format_time(view.valid_until_us)})}


def _buckets(view: AccountView) -> Iterable[dict[str, Any]]:
    """Its money first, then what is left of allowances."""
    money = money_bucket(view)
    account, status = money["partyAccount"], money["status"]
    yield money
    for each in view.buckets:
        def amount(value: int, unit: Unit = each.unit) -> dict[str, Any]:
            return _money(value, view.currency) if unit == Unit.MONEY else {"amount": value, "units": _UNITS[unit]}

        times = facts(startDateTime=None if each.from_us is None else format_time(each.from_us),
                      endDateTime=None if each.to_us is None else format_time(each.to_us))
        yield {"id": f"{view.account_id}-{each.bucket_id}", "href": f"{BASE}/bucket/{view.account_id}-{each.bucket_id}",
               "name": each.name, "usageType": _USAGE[each.unit], "status": status, "isShared": bool(view.shared_by),
               "remainingValue": amount(each.amount), "partyAccount": account, "@type": "Bucket",
               **facts(reservedValue=None if each.held is None else amount(each.held), validFor=times or None)}


def _accumulated(view: AccountView) -> dict[str, Any]:
    total = view.money + sum(b.amount for b in view.buckets if b.unit == Unit.MONEY)
    return {"id": str(view.account_id), "href": f"{BASE}/accumulatedBalance/{view.account_id}", "name": "all money",
            "totalBalance": _money(total, view.currency), "partyAccount": {"id": str(view.account_id)},
            "bucket": [{"id": b["id"]} for b in _buckets(view) if b["usageType"] == "monetary"],
            "@type": "AccumulatedBalance"}


def _action(view: AccountView, row: dict[str, Any]) -> dict[str, Any]:
    when = format_time(row["at_us"] or 0)
    return {"id": f"{view.account_id}-{row['movement_hi']:016x}{row['movement_lo']:016x}-{row['posting_index']}",
            "amount": _money(int(row["amount"]), view.currency), "reason": row["reason"], "status": "confirmed",
            "usageType": "monetary", "requestedDate": when, "confirmationDate": when,
            "bucket": {"id": f"{view.account_id}-{_MONEY}"}, "partyAccount": {"id": str(view.account_id)},
            "@type": "BalanceAction"}


def _money(nanos: int, currency: str) -> dict[str, Any]:
    return {"amount": Decimal(format_money(nanos)), "units": currency}


def _page(call: Call, items: list[dict[str, Any]]) -> Reply:
    offset, limit = slice_of(call)
    part = items[offset:offset + limit]
    if "fields" in call.query:
        wanted = {"id", "href", *call.query["fields"].split(",")}
        part = [{name: value for name, value in item.items() if name in wanted} for item in part]
    return Reply(_encode(part), headers={"X-Total-Count": str(len(items)), "X-Result-Count": str(len(part))})


def slice_of(call: Call) -> tuple[int, int]:
    """Offset and limit of a list."""
    texts = call.query.get("offset", "0"), call.query.get("limit", "100")
    if not all(text.isascii() and text.isdecimal() and len(text) < 10 for text in texts):
        raise ProblemError(400, "offset or limit that is no whole number from 0 on")
    return int(texts[0]), min(int(texts[1]), MOST)
