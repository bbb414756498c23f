"""A quote: events priced over balances that exist only for it, by the very code that charges.

`charge` and `apply_command` fold into a fresh book, so a quote is what charging these events would post.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rating.book import NEVER_US, NO_CLOCK_US, BalanceBook
from rating.charging import Charged, charge
from rating.commands import apply_command
from rating.counters import read_counters
from rating.kernels.layout import B_CLOCK, L_SINCE, L_VALID, STATE
from rating.quote_accounts import (
    ABSENT_ACCOUNT,
    ANY_FRIEND,
    AccountNames,
    GivenAccount,
    account_name,
    friend_token,
    made_up,
    made_up_for_legs,
    open_book,
)
from rating.quote_events import AccountName, EventReader, QuoteEvent
from rating.quote_lines import EARLIEST_US
from rating.quote_refusals import OF_NOBODY, why_refused
from rating.quote_results import REASONS, Result, Teller, day_text, rows_of, say_expected
from reference_data.accounts import STATES
from reference_data.tariffs.compile import Tariffs
from schemas.codes import LedgerAccount, PostingReason, Reason, Unit
from schemas.columns import Cells
from schemas.errors import ReferenceDataError
from schemas.money import format_money, parse_money
from schemas.tariff_tables import BUCKET_UNIT_SHIFT
from schemas.timepoint import format_time, parse_time
from schemas.usage import USAGE

MOST_EXPLAINED = 5000          # events up to which the breakdown is told unless asked otherwise
_WHOLE = {"source": 0, "file_id": 1, "record_length": 1, "container_index": 0, "roaming": 0, "merged_count": 1,
          "incomplete": 0}
_ACCOUNT_KEYS = ("account", "to_account", "from_account", "shared_account")  # each also as ..._id


@dataclass(frozen=True)
class QuoteCommand:
    """A command among the events: what `rating.commands` takes, accounts by their names."""

    line: int
    name: str
    fields: Mapping[str, object]
    expect: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Quote:
    """results: one for each line, in order. totals, balances: at the end. failed: events and commands that were not
    priced or carried out, or not as expected."""

    results: list[Result]
    totals: Result
    balances: list[Result]
    failed: int


def quote(items: Sequence[QuoteEvent | QuoteCommand], given: Sequence[GivenAccount] | None, tariffs: Tariffs,
          reader: EventReader, breakdown: bool | None = None, close_after_s: int | None = None,
          remember_s: int | None = None) -> Quote:
    """Price `items` in their order over the same balances.

    given: accounts of a balances file; None makes one up for each plan and name. reader: that read the events.
    breakdown: whether each result says how its price came about; None: for up to 5,000 events. close_after_s: how long
    after its end a cycle closes by itself, remember_s: how long a session is remembered; the operator's or None for the
    default.
    Raises ReferenceDataError: an account without a plan, or whose balances make no sense.
    """
    events = [item for item in items if isinstance(item, QuoteEvent)]
    if given is None:
        given = made_up(events, tariffs, reader.time_zone)
        owner = {event.line: account_name(event, tariffs) for event in events}
    else:
        owner = {event.line: _owner(event, given) for event in events}
    only = given[0].name if len(given) == 1 else None
    given = [*given, *made_up_for_legs(given, tariffs, reader.time_zone)]
    names = AccountNames([account.name for account in given])
    first_us = events[0].cells["event_time_us"] if events else 0
    book = open_book(given, names, tariffs, first_us)
    if close_after_s is not None:
        book.close_after(close_after_s)
    if remember_s is not None:
        book.remember_sessions(remember_s)
    teller = Teller(tariffs, names, len(events) <= MOST_EXPLAINED if breakdown is None else breakdown)
    teller.begin(book)
    cells = _cells(events, owner, names)
    results: list[Result] = []
    place = at = 0
    while place < len(items):
        item = items[place]
        if isinstance(item, QuoteCommand):
            if item.fields.get("kind") == "clock" and book.scalars[B_CLOCK] == NO_CLOCK_US:
                _begin_clock(book, items[:place + 1])
            results.append(_command(item, place, tariffs, book, names, teller, only))
            place += 1
            continue
        run: dict[int, QuoteEvent] = {}
        while place < len(items) and isinstance(event := items[place], QuoteEvent):
            run[at + len(run)] = event
            place += 1
        for start, stop in _stretches(at, at + len(run), teller):
            part = {number: run[number] for number in range(start, stop)}
            charged = charge(cells, start, stop, place, tariffs, book, reader.labels)
            told = teller.tell(charged, part)
            if teller.kinds:
                _tell_counters(told, charged, book, teller)
            for number, event in part.items():
                say_expected(event.expect, told[number])
            results += told.values()
        at += len(run)
    return Quote(results, _totals(results), _balances(book, teller, names),
                 sum(r["status"] in ("not_priced", "refused") or r.get("as_expected") is False for r in results))


def _begin_clock(book: BalanceBook, items: Sequence[QuoteEvent | QuoteCommand]) -> None:
    """A quote's clock goes since the earliest of its lines: what falls due from then on is for its first clock command.

    Where a ledger is kept the clock goes all the time, and its first command only begins it.
    """
    times = [item.cells["event_time_us"] if isinstance(item, QuoteEvent) else parse_time(str(item.fields["time"]))
             for item in items]
    book.scalars[B_CLOCK] = min(times) - 1
    fresh = book.life[:, L_SINCE] == NO_CLOCK_US
    book.life[fresh, L_SINCE] = min(times)


def _stretches(start: int, stop: int, teller: Teller) -> list[tuple[int, int]]:
    """A run as it is charged: all at once, or event by event where results say how counters stand after each."""
    if teller.breakdown and teller.kinds:
        return [(number, number + 1) for number in range(start, stop)]
    return [(start, stop)]


def _tell_counters(told: Mapping[int, Result], charged: Charged, book: BalanceBook, teller: Teller) -> None:
    """What the counters of each event's account and cycle say; with a result when it is the only one."""
    rated = charged.rated
    for number, leg, account, time_us in zip(*(rated[name].tolist() for name in (
            "event_id_lo", "leg", "account_id", "event_time_us")), strict=True):
        row = int(book.rows_of(np.array([account], np.int64))[0])
        found = read_counters(book, row, teller.kinds.values(), time_us)
        changed = {key: value for key, value in found.items() if teller.counters.get((account, *key)) != value}
        teller.counters |= {(account, *key): value for key, value in found.items()}
        if len(told) == 1 and changed:
            result = told[number] if leg == 0 else next(e for e in told[number]["legs"] if e["leg"] == leg)
            result["counters"] = [
                {"counter": name, "cycle_from": day_text(day), "value": teller.kinds[name].words(value)}
                for (name, day), value in changed.items()]


def _owner(event: QuoteEvent, given: Sequence[GivenAccount]) -> AccountName:
    if event.account is not None:
        return event.account
    having = [a.name for a in given if event.plan is None or any(event.plan == plan for plan, *_ in a.plans)]
    if len(having) != 1:
        raise ReferenceDataError(f"line {event.line}: no account, and {len(having)} of the balances file may be meant",
                                 "field 'account'", "add it")
    return having[0]


def _cells(events: Sequence[QuoteEvent], owner: Mapping[int, AccountName], names: AccountNames) -> Cells:
    """The events as a usage block. Event ids count from 0 in the lower half; a session's key is its own."""
    columns = {name: USAGE.index(name) for name in USAGE.names}
    matrix = np.full((len(events), len(columns)), -1, np.int64)
    for name, value in _WHOLE.items():
        matrix[:, columns[name]] = value
    for number, event in enumerate(events):
        row = matrix[number]
        account = owner[event.line]
        row[columns["event_id_hi"]] = row[columns["session_hi"]] = 0x51554F5445
        row[columns["event_id_lo"]] = row[columns["session_lo"]] = number
        row[columns["record_offset"]] = event.line
        row[columns["account_id"]] = names.number(account)
        if event.friend is None:
            row[columns["other_token"]] = friend_token(event.other) if event.other else -1
        elif event.friend:
            row[columns["other_token"]] = ANY_FRIEND
        for name, value in event.cells.items():
            row[columns[name]] = value
        if event.session:
            row[columns["session_hi"]], row[columns["session_lo"]] = event.session_key(account)
    return Cells(USAGE, np.ascontiguousarray(matrix.T))


def _command(item: QuoteCommand, position: int, tariffs: Tariffs, book: BalanceBook, names: AccountNames,
             teller: Teller, only: AccountName | None) -> Result:
    fields = {**item.fields, "id": item.name}
    for key in _ACCOUNT_KEYS:
        value = fields.pop(key, fields.get(f"{key}_id"))
        if value is not None:
            fields[f"{key}_id"] = ABSENT_ACCOUNT
            if isinstance(value, int | str) and not isinstance(value, bool):  # true is no account 1
                fields[f"{key}_id"] = names.number(value)
    if "account_id" not in fields and only is not None and fields.get("kind") not in OF_NOBODY:
        fields["account_id"] = names.number(only)  # as of events: only one can be meant
    payer = fields.get("account_id")
    if "amount" in fields and "bucket" not in fields and isinstance(payer, int) and payer in teller.currency:
        fields.setdefault("currency", teller.currency[payer])
    number = fields.pop("number", None)
    if number is not None and "token" not in fields:  # friends are known by their tokens
        fields["token"] = friend_token("".join(c for c in str(number) if c.isdigit()))
    result: Result = {"id": item.name, "line": item.line, "kind": fields.get("kind")}
    account = fields.get("account_id")
    if isinstance(account, int):
        result["account"] = item.fields.get("account", item.fields.get("account_id", names.name.get(account, account)))
    charged = apply_command(fields, position, tariffs, book)
    postings = rows_of(charged.posting)
    if len(charged.suspense):
        reason = Reason(int(charged.suspense["reason"][0]))
        wrong = why_refused(fields, tariffs, teller.currency.get(account) if isinstance(account, int) else None) \
            if reason in (Reason.BAD_COMMAND, Reason.UNKNOWN_ACCOUNT) else ""
        result |= {"status": "refused", "reason": reason.name.lower(), "explanation": wrong or REASONS.get(reason, "")}
    else:
        result["status"] = "applied"
    buckets = teller.follow(postings)
    result["movements"] = [{
        "account": names.name.get(row["account_id"], row["account_id"]),
        "of": LedgerAccount(row["ledger_account"]).name.lower(),
        "amount": format_money(row["amount"]) if row["unit"] == Unit.MONEY else row["amount"],
        "unit": Unit(row["unit"]).name.lower(), "reason": PostingReason(row["reason"]).name.lower()}
        for row in postings]
    if buckets:
        result["buckets"] = buckets
    if len(charged.account_state):
        result["states"] = [teller.state(row) for row in rows_of(charged.account_state)]
    if isinstance(account, int) and account in teller.money:
        result["balance"] = format_money(teller.money[account])
    say_expected(item.expect, result)
    return result


def _totals(results: Sequence[Result]) -> Result:
    """Counts, and sums of money by currency over all events."""
    priced = [r for r in results if "charge" in r]
    totals: dict[str, Any] = {
        "events": sum("kind" not in r for r in results), "priced": len(priced),
        "not_priced": sum(r["status"] == "not_priced" for r in results),
        "commands": sum("kind" in r for r in results), "refused": sum(r["status"] == "refused" for r in results)}
    if any("as_expected" in r for r in results):
        totals["not_as_expected"] = sum(r.get("as_expected") is False for r in results)
    for name in ("charge", "connect_fee", "tax", "uncollected"):
        sums: dict[str, int] = {}
        for result in priced:
            if name in result:
                sums[result["currency"]] = sums.get(result["currency"], 0) + parse_money(result[name])
        totals[name] = {currency: format_money(nanos) for currency, nanos in sorted(sums.items())}
    return totals


def _balances(book: BalanceBook, teller: Teller, names: AccountNames) -> list[Result]:
    """What is left, by account: money and buckets."""
    told = []
    by_row: dict[int, list[tuple[int, int, int, int]]] = {}
    for row, *bucket in zip(*(column.tolist() for column in book.buckets()), strict=True):
        by_row.setdefault(row, []).append(tuple(bucket))
    for row, account in enumerate(book.account_ids.tolist()):
        buckets = []
        for bucket_id, amount, from_us, to_us in by_row.get(row, ()):
            unit = Unit(bucket_id >> BUCKET_UNIT_SHIFT & 7)
            told_bucket: Result = teller.bucket(account, bucket_id, unit) | {
                "remaining": format_money(amount) if unit == Unit.MONEY else amount}
            del told_bucket["account"]
            if to_us:
                told_bucket["from"] = format_time(max(from_us, EARLIEST_US))
                if to_us < NEVER_US:
                    told_bucket["to"] = format_time(to_us)
            buckets.append(told_bucket)
        whole = {"account": names.name[account], "currency": teller.currency[account],
                 "balance": format_money(book.money(row)), "buckets": buckets}
        if book.records[row, STATE] != STATES.index("active"):
            whole["state"] = STATES[int(book.records[row, STATE])]
        if book.life[row, L_VALID] < NEVER_US:
            whole["valid_until"] = format_time(int(book.life[row, L_VALID]))
        counters = [{"counter": name, "cycle_from": day_text(day), "value": teller.kinds[name].words(value)}
                    for (owner, name, day), value in sorted(teller.counters.items()) if owner == account]
        told.append(whole | ({"counters": counters} if counters else {}))
    return told


__all__ = ["Quote", "QuoteCommand", "quote"]
