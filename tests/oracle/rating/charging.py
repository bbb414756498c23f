"""One event, top to bottom: which price, which buckets, what it costs, who pays."""

from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction

from tests.oracle.rating.amounts import amount, midnight_us
from tests.oracle.rating.buckets import is_blocking, pots_for
from tests.oracle.rating.commands import carry_out
from tests.oracle.rating.counters import count, kept
from tests.oracle.rating.pricing import Price, Session, Tape, walk
from tests.oracle.rating.rounding import Scope
from tests.oracle.rating.scopes import covers
from tests.oracle.rating.selecting import (
    Refused,
    choose,
    discounts_of,
    exchanged,
    plans_of,
    quantity_of,
    rates_of,
    version_at,
)
from tests.oracle.rating.states import first_use, refusal_of

NOTHING = Fraction(0)


def session_key(event, leg):
    """Reports of one session, rating group and service identifier are priced together; each leg for itself."""
    return event.get("session"), event.get("rating_group"), event.get("service_identifier"), leg


@dataclass
class Oracle:
    versions: list                       # dicts with version, active_from_us, ...
    decks: dict                          # (version, deck) -> {prefix: zone}
    accounts: dict
    lateness_us: int
    horizon_us: int
    sessions: dict = field(default_factory=dict)      # session_key -> Session
    cycle_prices: dict = field(default_factory=dict)  # (account, counter, first day, terms) -> Price
    days: dict = field(default_factory=dict)          # (account, terms, local day) -> Price
    bands: dict = field(default_factory=dict)         # (version, timing, second) -> band
    clock_us: int | None = None
    closed_until: int | None = None      # by `period_close`: what ended by then
    closed_through: object = None        # and what ended with this day, in the account's zone
    applied: set = field(default_factory=set)

    def closed_us(self, zone):
        """Cycles of accounts of a zone that ended by then are closed."""
        marks = [self.closed_until, None if self.clock_us is None else self.clock_us - self.lateness_us,
                 None if self.closed_through is None else midnight_us(self.closed_through + timedelta(days=1), zone)]
        return max((mark for mark in marks if mark is not None), default=-10**30)

    def command(self, command):
        """None, or the reason for which a command is set aside."""
        return carry_out(self, command)

    def clock(self, us):
        """A clock command."""
        return carry_out(self, {"id": f"clock {us} {len(self.applied)}", "kind": "clock", "time_us": us})

    def charge(self, event):
        """What one event costs and who pays; changes the accounts. {"reason": ...} when it is set aside."""
        account = self.accounts.get(event["account_id"])
        if event["quantity"] < 0:
            return {"reason": "NEGATIVE_QUANTITY"}
        if account is None:
            return {"reason": "UNKNOWN_ACCOUNT"}
        version = version_at(self, event["time_us"])
        if version is None:
            return {"reason": "NO_TARIFF"}
        try:
            choice = choose(self, version, account, event, plans_of(version, account, event["time_us"]))
            result = self.charge_leg(event, account, choice, 0)
        except Refused as refused:
            return {"reason": refused.reason}
        result["refusal"] = refusal_of(version, account, event, choice.seen)
        first_use(account, event)
        result["legs"] = [self.further_leg(event, account, choice, number, leg)
                          for number, leg in enumerate(version.get("legs", []), 1)
                          if covers(self, version, choice.plan, leg, event, choice.seen)]
        return result

    def further_leg(self, event, user, retail, number, leg):
        """A charge of the same event on another account, or None when no account is named for its network."""
        account_id = leg.get("account")
        if account_id is None:
            account_id = leg["accounts"].get(event.get("other_network"))
            if account_id is None:
                return None
        account = self.accounts.get(int(account_id))
        if account is None:
            return {"leg": number, "reason": "UNKNOWN_ACCOUNT"}
        terms = retail.version["plans"][leg["plan"]]
        plans = [leg["plan"]] if terms.get("currency", retail.version["currency"]) == account.currency else []
        try:
            choice = choose(self, retail.version, account, event, plans, user)
            return {"leg": number, **self.charge_leg(event, account, choice, number)}
        except Refused as refused:
            return {"leg": number, "reason": refused.reason}

    def charge_leg(self, event, account, choice, leg):
        """Price a report and let its account pay."""
        us, quantity = event["time_us"], quantity_of(event, choice.unit)
        counters = kept(self, choice, account, event)
        groups = pots_for(self, choice, account, event, choice.plans)
        happy, chain = discounts_of(self, choice, event)
        session = self.session_of(event, leg)
        terms = (choice.version["version"], choice.plan, event["service"], choice.unit,
                 tuple(name for name, _ in chain), exchanged(choice, event))

        over = rates_of(choice.version, choice.rule)[0].get("over", "session")
        if over in counters:
            price = self.cycle_prices.setdefault((account.account_id, over, counters[over], terms), Price(terms))
            before = account.counters.get((over, counters[over]), 0)
            start = max(price.paid, before)
        else:
            over = None
            before, start = session.position, session.paid
            # A report whose units lie within what was billed already costs nothing, and begins no price.
            price = session.price if session.price.terms == terms else Price(terms)
            if start < before + quantity:
                session.price = price

        tape = Tape(self, choice, happy, event, session, before)
        steps = [(amount(d.get("percent", 0)), tape.money(d, d["cap"]) if "cap" in d else None,
                  tape.money(d, d["amount"]) if "amount" in d else None) for _, d in chain]
        tax = choice.terms.get("tax", {"percent": 0, "prices": "inclusive"})
        factor = 1 + amount(tax["percent"]) / 100 if tax["prices"] == "exclusive" else Fraction(1)
        done = walk(tape, price, session, [[p for p in group if p.definition["unit"] != "money"] for group in groups],
                    start, before + quantity, over, lambda: price.after(steps, factor))
        rounding = Scope(self, choice, account, us, price, over)
        before_block = None if done.payable is None else rounding.due(done.payable)
        due, taxed = rounding.settle(price.after(steps, factor))
        if over is None:
            session.paid = done.reached
        else:
            price.paid = done.reached
            session.paid = max(session.paid, session.position + quantity)
        session.position += quantity
        session.time = max(us, session.time)
        if event.get("session") is not None:
            self.sessions[session_key(event, leg)] = session

        payable = due if before_block is None else max(NOTHING, min(due, before_block))
        left, blocked = self.pay(account, groups, us, due, payable)
        return {"charge": due, "uncollected": left, "blocked": blocked, "allowance": done.covered,
                "connect": done.connect * factor, "tax": taxed, "zone": choice.seen.zone,
                "roaming": choice.seen.roaming, "plan": choice.plan, "disconnect": price.reached,
                "notifications": count(choice, account, event, counters, due)}

    def session_of(self, event, leg):
        us = event["time_us"]
        known = self.sessions.get(session_key(event, leg))
        return known if known is not None and us - known.time <= self.horizon_us else Session(us, us)

    def pay(self, account, groups, us, due, payable):
        """(what nobody paid, the part of it that a bucket blocked): money buckets, own money, the shared account's."""
        if due < 0:
            account.money -= due
            return NOTHING, NOTHING
        blocked, left = due - payable, payable
        for group in groups:
            live = [p for p in group if p.definition["unit"] == "money" and p.in_band(us)]
            for pot in live:
                left -= pot.take(left)
            if live and is_blocking(live[0]) and left > 0:
                return left + blocked, left + blocked
        for payer in (account, self.accounts.get(account.shared)):
            if payer is not None:
                paid = min(max(payer.money + payer.credit, NOTHING), left)
                payer.money -= paid
                left -= paid
        return left + blocked, blocked
