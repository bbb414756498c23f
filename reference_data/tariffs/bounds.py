"""A family's arithmetic: one denominator, integer prices for each step, and the proof that int64 suffices.

Prices are exact ratios: nanos per `per` units, charged in steps, times what tax, exchange and happy hours make of
them. A step costs price * step / per; over the least common denominator of all steps of a plan and service (of all
units, for rates that are split; of own prices of allowances) that is a whole number, and a session's cost is a sum of
such numbers, rounded once. The denominator is raised until every discount of every amount is whole too: with g the
greatest common divisor of the amounts and P the product of the percentages' denominators, by P / gcd(P, g).

A session of q units takes steps that together reach at most q plus one step, so
    numerator <= (q + longest step) * dearest price per unit + connect fee + minimum + flat amounts,
which is kept below 2^62; below 2^61 where prices add up over a cycle, so that the sum and one more fit. A maximum, a
discount or volume tiers only lower it.

Tax and exchange rates multiply every amount of a plan, and the denominator with it. Where it leaves no room for the
required session, numerators count multiples of what all amounts have in common: their greatest common divisor, over
the percentages' denominators. It is exact likewise, costs a longer division for each charge, and is not used where it
is not needed: what open sessions remember would change its meaning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from reference_data.tariffs.model import Plan, Rate, TariffVersion
from reference_data.tariffs.rates import plain_slots
from reference_data.tariffs.source import refuse
from schemas.codes import Unit
from schemas.money import DECIMALS

LIMIT = 1 << 62
# What a session must be able to reach: two days (the seconds of a cycle: 32), 64 GiB, 100,000 messages, 1,000 units,
# since a unit of content may cost millions in some currencies. Cheaper rates reach further.
REQUIRED = {Unit.SECOND: 2 * 86_400, Unit.OCTET: 1 << 36, Unit.MESSAGE: 100_000, Unit.UNIT: 1_000,
            Unit.SEGMENT: 100_000}
REQUIRED_OF_CYCLE = REQUIRED | {Unit.SECOND: 32 * 86_400}
# What it is to reach if a common divisor of the numerators makes that possible.
WANTED = {Unit.SECOND: 32 * 86_400, Unit.OCTET: 1 << 36, Unit.MESSAGE: 1_000_000, Unit.UNIT: 1_000_000,
          Unit.SEGMENT: 1_000_000}
# Beyond this no quantity is believed, whatever the price: ten years, one EiB, and so that times stay in int64.
BELIEVED = {Unit.SECOND: 3650 * 86_400, Unit.OCTET: 1 << 60, Unit.MESSAGE: 1 << 40, Unit.UNIT: 1 << 40,
            Unit.SEGMENT: 1 << 40}


@dataclass(frozen=True)
class Use:
    """A rate as a plan uses it. money: what tax and exchange multiply its amounts by; price: and happy hours its
    slots and connect fee."""

    rate: Rate
    money: Fraction = Fraction(1)
    price: Fraction = Fraction(1)


@dataclass(frozen=True)
class Family:
    """nanos = numerator * multiple / denominator; quantum_nanos of the rounding; bound: most units of a session."""

    denominator: int
    quantum_nanos: int
    bound: int
    multiple: int = 1

    def __str__(self) -> str:
        """A part of the keys that open sessions remember."""
        text = f"Family(denominator={self.denominator}, quantum_nanos={self.quantum_nanos}, bound={self.bound}"
        return text + (f", multiple={self.multiple})" if self.multiple > 1 else ")")

    def numerator(self, nanos: Fraction) -> int:
        """Of an exact amount; whole by construction."""
        scaled = nanos * self.denominator / self.multiple
        if scaled.denominator != 1:
            raise ValueError(f"{nanos} nanos are not whole over {self.denominator} by {self.multiple}")
        return scaled.numerator


def raised(plan: Plan) -> Fraction:
    """What an amount of the plan is multiplied by to be gross."""
    return 1 + plan.tax_percent / 100 if plan.tax_exclusive else Fraction(1)


def tax_part(plan: Plan) -> Fraction:
    """The share of a gross charge that is tax."""
    return plan.tax_percent / (100 + plan.tax_percent)


def prove(version: TariffVersion, plan: Plan, unit: Unit, uses: Sequence[Use],
          own_prices: Sequence[tuple[Fraction, int]] = (), amounts: Sequence[Fraction] = (), shares: int = 1) -> Family:
    """Raises ReferenceDataError when a session of the required size could overflow.

    own_prices: of units that allowances cover, and their steps. amounts: of discounts and their caps. shares: the
    product of the denominators of percentages.
    """
    per_unit = [price for price, _ in own_prices]
    exact: list[Fraction] = [*per_unit, *amounts]
    fixed, longest, least_units = Fraction(0), max((step for _, step in own_prices), default=1), 0
    for use in uses:
        rate = use.rate
        exact += [rate.connect_fee_nanos * use.price, rate.minimum_nanos * use.money,
                  (rate.maximum_nanos or 0) * use.money]
        flat = Fraction(0)
        for slot in plain_slots(rate):
            price = Fraction(slot.price_nanos) * use.price
            if slot.flat:
                exact.append(price)
                flat += price
                continue
            exact.append(price * slot.step / slot.per)
            if rate.straddling == "split":
                exact.append(price / slot.per)
            per_unit.append(price / slot.per)
            longest = max(longest, slot.step)
        fixed += flat + rate.connect_fee_nanos * use.price + rate.minimum_nanos * use.money
        least_units = max(least_units, rate.minimum_quantity)
    denominator = lcm(*(p.denominator for p in exact))
    common = gcd(*(int(p * denominator) for p in exact))
    quantum = 10 ** (DECIMALS - plan.decimals)
    dearest = max(per_unit, default=Fraction(0))
    adds_up = plan.rounding_scope == "day" or any(use.rate.over for use in uses)
    tax = tax_part(plan)

    def bound_of(unit_nanos: Fraction) -> int:
        """Largest session where a numerator stands for so many nanos; negative: none."""
        if max(unit_nanos.denominator, tax.denominator) * quantum >= LIMIT or unit_nanos.numerator >= LIMIT or any(
                price.numerator >= LIMIT for price, _ in own_prices):
            return -1
        most = min(LIMIT >> adds_up, int((LIMIT >> adds_up) // max(tax.numerator, 1) / unit_nanos))
        room = most - fixed / unit_nanos
        if room <= 0 or dearest == 0:
            return BELIEVED[unit] if room > 0 else -1
        return min(BELIEVED[unit], int(room * unit_nanos / dearest) - longest - least_units)

    required = (REQUIRED_OF_CYCLE if adds_up else REQUIRED)[unit]
    unit_nanos = Fraction(1, denominator * (shares // gcd(shares, common)))
    bound = bound_of(unit_nanos)
    if bound < WANTED[unit] and common > 0:
        divided = Fraction(common, denominator * shares)
        further = bound_of(divided)
        if further > bound:
            unit_nanos, bound = divided, further
    if bound < required:
        worst = max((use.rate for use in uses),
                    key=lambda r: max(Fraction(s.price_nanos, s.per) for s in r.slots)) if uses else None
        counted = unit.name.lower()
        raise refuse(version.file, worst.line if worst else plan.line, f"plan {plan.name!r}: {counted} prices over the "
                     f"common denominator {unit_nanos.denominator} overflow 64 bits beyond {max(bound, 0)} {counted}s",
                     f"room for {required}", "use prices and percentages with fewer decimals, or `per` and `step` "
                     "that divide each other")
    return Family(unit_nanos.denominator, quantum, bound, unit_nanos.numerator)
