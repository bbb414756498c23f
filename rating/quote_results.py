"""What a quote says of an event: rated rows and postings in words, money as decimal text, balances as they fall."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from rating.book import BalanceBook
from rating.charging import Charged
from rating.counters import CounterKind, counter_kinds
from rating.explain import explain_rated
from rating.kernels.layout import F_TRAITS, MONEY, TRAIT_CURRENCY
from rating.legs import leg_name
from rating.quote_accounts import AccountNames
from rating.quote_events import QuoteEvent
from reference_data.tariffs.compile import Tariffs, definition_key
from schemas.codes import AccountState, LedgerAccount, PostingReason, RatingStatus, Reason, StateCause, Unit
from schemas.columns import ABSENT, Cells
from schemas.money import format_money
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT, BUCKET_DAY_BITS, BUCKET_UNIT_SHIFT, CYCLE_GRANTED
from schemas.timepoint import format_time

Result = dict[str, Any]
REASONS = {
    Reason.NO_TARIFF: "no tariff version is in force at that time",
    Reason.NO_PLAN: "the account has no plan then, or the version in force does not have it",
    Reason.NO_ZONE: "no prefix of the plan's deck matches, or the serving network is in no roaming zone",
    Reason.NO_RATE: "no price of the plan covers this usage",
    Reason.QUANTITY_BEYOND_BOUND: "larger than what the tariff's arithmetic was proved for",
    Reason.NEGATIVE_QUANTITY: "a quantity below zero",
    Reason.UNKNOWN_ACCOUNT: "the balances file has no such account",
    Reason.BAD_COMMAND: "the command cannot be carried out: wrong field, currency or amount, not enough money, or a "
                        "balance below its credit limit",
}
_NAME_SHIFT = BUCKET_UNIT_SHIFT + 3  # a bucket's id above it is the hash of its plan and name
_UNITS = {unit: unit.name.lower() for unit in Unit}
_CHARGES = (PostingReason.CHARGE,)


def rows_of(cells: Cells) -> list[dict[str, int]]:
    """Rows as mappings of column names to plain integers."""
    names = cells.columns.names
    return [dict(zip(names, row, strict=True)) for row in cells.matrix.T.tolist()]


@dataclass
class Teller:
    """Follows the postings and tells each event's result.

    money: nanos by account id; buckets: what is left by (account id, bucket id). Both as after the last posting.
    """

    tariffs: Tariffs
    names: AccountNames
    breakdown: bool
    money: dict[int, int] = field(default_factory=dict)
    buckets: dict[tuple[int, int], int] = field(default_factory=dict)
    currency: dict[int, str] = field(default_factory=dict)
    bucket_names: dict[int, tuple[str, str]] = field(default_factory=dict)
    kinds: dict[str, CounterKind] = field(default_factory=dict)
    counters: dict[tuple[int, str, int], int] = field(default_factory=dict)  # by account id, counter, first day

    def __post_init__(self) -> None:
        self.kinds = counter_kinds(self.tariffs)
        for version in self.tariffs.versions:
            for plan, known in [("", version.buckets.values()),
                                *((p.name, p.allowances) for p in version.plans.values())]:
                for each in known:
                    self.bucket_names[definition_key(plan, each) >> _NAME_SHIFT] = plan, each.name

    def begin(self, book: BalanceBook) -> None:
        """Balances as they are before the first event."""
        ids = book.account_ids.tolist()
        self.money = dict(zip(ids, book.records[:, MONEY].tolist(), strict=True))
        places = (book.profile[:, F_TRAITS] >> TRAIT_CURRENCY & 0xFFF).tolist()
        self.currency = {account: book.currencies[place] for account, place in zip(ids, places, strict=True)}
        rows, bucket_ids, left, *_ = book.buckets()
        self.buckets = {(ids[row], bucket): amount for row, bucket, amount in
                        zip(rows.tolist(), bucket_ids.tolist(), left.tolist(), strict=True)}

    def tell(self, charged: Charged, events: Mapping[int, QuoteEvent]) -> dict[int, Result]:
        """Results of one run. events: by `event_id_lo`, in their order; each is told once."""
        rated: dict[int, list[dict[str, int]]] = {}
        for row in rows_of(charged.rated):
            rated.setdefault(row["event_id_lo"], []).append(row)
        aside: dict[int, list[dict[str, int]]] = {}
        for row in [*rows_of(charged.suspense), *rows_of(charged.leg_suspense)]:
            aside.setdefault(row["event_id_lo"], []).append(row)
        postings: dict[int, list[dict[str, int]]] = {}
        for row in rows_of(charged.posting):
            postings.setdefault(row["movement_lo"], []).append(row)
        reached: dict[int, list[dict[str, int]]] = {}
        for row in rows_of(charged.notification):
            reached.setdefault(row["event_id_lo"], []).append(row)
        states: dict[int, list[dict[str, int]]] = {}
        for row in rows_of(charged.account_state):
            states.setdefault(row["movement_lo"], []).append(row)
        return {key: self._event(event, rated.get(key, []), aside.get(key, []), postings.get(key, []),
                                 reached.get(key, []), states.get(key, [])) for key, event in events.items()}

    def _event(self, event: QuoteEvent, rated: list[dict[str, int]], aside: list[dict[str, int]],
               postings: list[dict[str, int]], reached: list[dict[str, int]], states: list[dict[str, int]]) -> Result:
        result: Result = {"id": event.name, "line": event.line}
        own = [row for row in postings if row["leg"] < 0]
        touched = self.follow(own)
        retail = next((row for row in rated if row["leg"] == 0), None)
        if retail is None:
            account = aside[0]["account_id"] if aside else -1
            result |= {"account": self.names.name.get(account, event.account),
                       **_not_priced(Reason(aside[0]["reason"]) if aside else Reason.NO_RATE)}
            retail_account = account
        else:
            result |= self._priced(retail, _consumed(own))
            retail_account = retail["account_id"]
        if event.account is not None:
            result["account"] = event.account  # as it was written there
        result["buckets"] = [bucket for bucket in touched if bucket.get("bucket")]
        legs = [self._leg(row, [p for p in postings if p["leg"] == row["leg"]])
                for row in sorted([*rated, *aside], key=lambda row: row.get("leg", 0)) if row.get("leg", 0) > 0]
        if legs:
            result["legs"] = legs
        if states:
            result["states"] = [self.state(row) for row in states]
        if reached:
            result["notifications"] = [self._notification(row) for row in reached]
        if retail_account in self.money:
            result["balance"] = format_money(self.money[retail_account])
            moved = dict.fromkeys(p["account_id"] for p in postings if p["ledger_account"] == LedgerAccount.BALANCE)
            others = [{"account": self.names.name[row], "balance": format_money(self.money[row])}
                      for row in moved if row != retail_account]
            if others:
                result["other_balances"] = others
        return result

    def _leg(self, row: dict[str, int], postings: list[dict[str, int]]) -> Result:
        """A further charge of the event: a rated row, or one of leg suspense."""
        told: Result = {"leg": row["leg"], "name": leg_name(self.tariffs, row["event_time_us"], row["leg"])}
        touched = [bucket for bucket in self.follow(postings) if bucket.get("bucket")]
        if "charge_nanos" in row:
            told |= self._priced(row, _consumed(postings))
        else:
            told |= {"account": self.names.name.get(row["account_id"], row["account_id"]),
                     **_not_priced(Reason(row["reason"]))}
        if touched:
            told["buckets"] = touched
        return told

    def _priced(self, row: dict[str, int], consumed: list[tuple[int, int]]) -> Result:
        labels, tariffs = self.tariffs.labels, self.tariffs
        told: Result = {
            "account": self.names.name.get(row["account_id"], row["account_id"]),
            "status": RatingStatus(row["status"]).name.lower(), "currency": labels["currency"][row["currency"]],
            "charge": format_money(row["charge_nanos"]), "connect_fee": format_money(row["connect_fee_nanos"]),
            "uncollected": format_money(row["uncollected_nanos"]),
            "tariff_version": labels["tariff_version"][row["tariff_version"]], "plan": labels["plan"][row["plan"]],
            "zone": labels["zone"][row["zone"]], "band": labels["band"][row["band"]],
            "rate": tariffs.rate_names[row["rate_row"]], "quantity": row["quantity"], "unit": _UNITS[Unit(row["unit"])],
            "billed_quantity": row["billed_quantity"], "allowance_quantity": row["allowance_quantity"]}
        for name in _MORE_MONEY:
            if row.get(name, ABSENT) != ABSENT:
                told[name.removesuffix("_nanos")] = format_money(row[name])
        if row.get("maximum_reached_at", ABSENT) != ABSENT:
            told["disconnect_at"] = row["maximum_reached_at"]
        if row.get("refusal", ABSENT) > 0:
            told["refusal"] = row["refusal"]
        if row["session_quantity_before"] > 0:
            told["session_quantity_before"] = row["session_quantity_before"]
        if self.breakdown:
            found = explain_rated(row, tariffs, consumed)
            told["breakdown"] = {key: value for key, value in found.items() if key not in _SAID}
            if "discounts" in found:
                told["discounts"] = _named(told["breakdown"].pop("discounts"), told, tariffs)
            told["bands"] = list(dict.fromkeys(p["band"] for p in found["pieces"] if "band" in p)) or [told["band"]]
        return told

    def state(self, row: Mapping[str, int]) -> Result:
        """A change of an account's state or validity."""
        told: Result = {"account": self.names.name.get(row["account_id"], row["account_id"]),
                        "from": AccountState(row["state_before"]).name.lower(),
                        "to": AccountState(row["state"]).name.lower(), "cause": StateCause(row["cause"]).name.lower(),
                        "time": format_time(row["event_time_us"])}
        if row["valid_until_us"] != ABSENT:
            told["valid_until"] = format_time(row["valid_until_us"])
        return told

    def _notification(self, row: Mapping[str, int]) -> Result:
        """A threshold that was reached, in what its counter counts."""
        name = self.tariffs.labels["counter"][row["counter"]]
        kind = self.kinds[name]
        return {"account": self.names.name.get(row["account_id"], row["account_id"]), "counter": name,
                "cycle_from": day_text(row["cycle_start_day"]), "threshold": kind.words(row["threshold"]),
                "value": kind.words(row["value"])}

    def follow(self, postings: Sequence[Mapping[str, int]]) -> list[Result]:
        """Move the balances by postings; returns the buckets that they touched, with what is left."""
        touched: dict[tuple[int, int], Result] = {}
        for row in postings:
            account, amount = row["account_id"], row["amount"]
            if row["ledger_account"] == LedgerAccount.BALANCE and row["bucket_id"] < 0:
                self.money[account] = self.money.get(account, 0) + amount
            elif row["ledger_account"] in (LedgerAccount.ALLOWANCE, LedgerAccount.BALANCE):
                key = account, row["bucket_id"]
                left = self.buckets[key] = self.buckets.get(key, 0) + amount
                told = touched.setdefault(key, self.bucket(*key, Unit(row["unit"])))
                what = PostingReason(row["reason"]).name.lower() if row["reason"] not in _CHARGES else "used"
                told[what] = told.get(what, 0) + (abs(amount) if amount < 0 else amount)
                told["remaining"] = left
        return [{name: format_money(value) if told["unit"] == "money" and isinstance(value, int) and name != "account"
                 else value for name, value in told.items()} for told in touched.values()]

    def bucket(self, account: int, bucket_id: int, unit: Unit) -> Result:
        """A bucket by its name: plan, allowance and the first day of its cycle."""
        plan, name = self.bucket_names.get(bucket_id >> _NAME_SHIFT, ("", str(bucket_id)))
        told: Result = {"account": self.names.name.get(account, account), "bucket": name, "unit": _UNITS[unit]}
        if plan:
            told["plan"] = plan
        day, cycle = bucket_id & (1 << BUCKET_DAY_BITS) - 1, bucket_id >> BUCKET_CYCLE_SHIFT & 7
        if cycle > CYCLE_GRANTED:  # what was left of the cycle before
            told["rolled_over"] = True
        if day and cycle != CYCLE_GRANTED:
            told["cycle_from"] = day_text(day)
        return told


def _not_priced(reason: Reason) -> Result:
    return {"status": "not_priced", "reason": reason.name.lower(),
            "explanation": REASONS.get(reason, reason.name.lower())}


def _consumed(postings: Sequence[Mapping[str, int]]) -> list[tuple[int, int]]:
    """(bucket, units) that usage took."""
    return [(row["bucket_id"], -row["amount"]) for row in postings
            if row["ledger_account"] == LedgerAccount.ALLOWANCE and row["reason"] in _CHARGES
            and row["unit"] != Unit.MONEY]


def _named(discounts: Sequence[Mapping[str, str]], told: Result, tariffs: Tariffs) -> list[Result]:
    """Discounts by their names: those of the plan, in its order, that take this share or an amount."""
    version = next(v for v in tariffs.versions if v.name == told["tariff_version"])
    plan = version.plans.get(told["plan"])
    names = iter(plan.discounts if plan is not None else ())
    found: list[Result] = []
    for taken in discounts:
        name = next((n for n in names if n in version.discounts and taken["share"] in (
            str(version.discounts[n].percent / 100), "amount" if version.discounts[n].amount_nanos else "")), "")
        found.append({"discount": name, "taken": taken["taken"]})
    return found


def day_text(day: int) -> str:
    """ISO date of a day counted from 1970-01-01."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


_MORE_MONEY = ("tax_nanos",)
# What `explain_rated` repeats of the row.
_SAID = frozenset(("tariff_version", "active_from", "plan", "zone", "band", "rate", "quantity", "unit",
                   "session_quantity_before", "allowance_quantity", "status", "charge", "uncollected"))


def say_expected(expect: Mapping[str, object], result: Result) -> None:
    """Add to a result whether it is as its author expected, where one expected anything."""
    if expect:
        wrong = differences(expect, result)
        result["as_expected"] = not wrong
        if wrong:
            result["differences"] = wrong


def differences(expect: Mapping[str, object], result: Result) -> list[str]:
    """What is not as its author expected; amounts are compared as numbers, the rest as text."""
    wrong = []
    for name, expected in expect.items():
        found = result.get(name, [] if expected == [] else None)  # a list without entries may be left out
        if isinstance(expected, list) and isinstance(found, list):
            same = len(expected) == len(found) and all(_same(e, f) for e, f in zip(expected, found, strict=False))
        else:
            same = _same(expected, found)
        if not same:
            wrong.append(f"{name}: {found if found is not None else 'nothing'}, expected {expected}")
    return wrong


def _same(expected: object, found: object) -> bool:
    if isinstance(expected, dict) and isinstance(found, dict):
        return all(_same(value, found.get(key)) for key, value in expected.items())
    if expected is None or found is None or isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    try:
        return Decimal(str(expected)) == Decimal(str(found))
    except InvalidOperation:
        return str(expected) == str(found)
