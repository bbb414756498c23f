"""A family's arithmetic: one denominator, integer prices for each step, and the proof that int64 suffices.

Prices are exact ratios: nanos per `per` units, charged in steps, gross. A step costs price * step / per; over the
least common denominator of all amounts of a plan and service that is a whole number, and a session's cost is a sum of
such numbers, rounded once. The denominator is raised until every discount of every such amount is whole too: with g the
greatest common divisor of the amounts and P the product of the chain's denominators, by P / gcd(P, g).

A session of q units takes steps that together reach at most q plus one step, so
    numerator <= (q + longest step) * dearest price per unit + flat slots + connect fee + minimum,
which is kept below 2^62; below 2^61 where prices add up over a cycle, so that the sum and one more fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm, prod

from reference_data.tariffs.model import Discount, Plan, Rate, Slot, TariffVersion
from reference_data.tariffs.source import refuse
from schemas.codes import Unit
from schemas.money import DECIMALS

LIMIT = 1 << 62
# What a session must be able to reach: 32 days, 64 GiB, a million messages or units. Cheaper rates reach further.
REQUIRED = {Unit.SECOND: 32 * 86_400, Unit.OCTET: 1 << 36}
REQUIRED_COUNT = 1_000_000
# Beyond this no quantity is believed, whatever the price: ten years, one EiB, and so that times stay in int64.
BELIEVED = {Unit.SECOND: 3650 * 86_400, Unit.OCTET: 1 << 60}
BELIEVED_COUNT = 1 << 40


@dataclass(frozen=True)
class Family:
    """denominator; quantum_nanos of the rounding; bound: largest total quantity of a session."""

    denominator: int
    quantum_nanos: int
    bound: int

    def numerator(self, nanos: Fraction | int) -> int:
        """An amount over the denominator; exact by construction."""
        scaled = Fraction(nanos) * self.denominator
        if scaled.denominator != 1:
            raise ValueError(f"{nanos} nanos are not whole over {self.denominator}")
        return scaled.numerator


def raised(plan: Plan) -> Fraction:
    """What an amount of the plan is multiplied by to be gross."""
    return 1 + plan.tax_percent / 100 if plan.tax_exclusive else Fraction(1)


def tax_part(plan: Plan) -> Fraction:
    """The share of a gross charge that is tax."""
    return plan.tax_percent / (100 + plan.tax_percent)


def step_price(slot: Slot) -> Fraction:
    """Nanos of one step, or of the flat slot."""
    return Fraction(slot.price_nanos) if slot.flat else Fraction(slot.price_nanos) * slot.step / slot.per


def prove(version: TariffVersion, plan: Plan, unit: Unit, rates: Sequence[Rate],
          chain: Sequence[Discount] = (), own_prices: Sequence[Fraction] = ()) -> Family:
    """The arithmetic of `rates` under a chain of discounts.

    own_prices: nanos per unit that buckets cost. Raises ReferenceDataError when a session of the required size could
    overflow.
    """
    factor = raised(plan)
    slots = [s for rate in rates for s in rate.slots]
    by_unit = [Fraction(s.price_nanos) / s.per for r in rates if r.straddling == "split" for s in r.slots]
    limits = [Fraction(n) for r in rates for n in (r.connect_fee_nanos, r.minimum_nanos, r.maximum_nanos or 0)]
    limits += [Fraction(n) for d in chain for n in (d.amount_nanos, d.cap_nanos or 0)]
    amounts = [a * factor for a in (*map(step_price, slots), *by_unit, *limits, *own_prices)]
    denominator = lcm(*(a.denominator for a in amounts)) if amounts else 1
    shares = prod((d.percent / 100).denominator for d in chain)
    denominator *= shares // gcd(shares, *(int(a * denominator) for a in amounts))
    quantum = 10 ** (DECIMALS - plan.decimals)

    dearest = max((step_price(s) / s.step for s in slots if not s.flat), default=Fraction(0))
    dearest = max(dearest, *own_prices, Fraction(0)) * factor
    longest = max((s.step for s in slots), default=1)
    once = max((r.connect_fee_nanos for r in rates), default=0) + max((r.minimum_nanos for r in rates), default=0)
    fixed = (once + sum(s.price_nanos for s in slots if s.flat)) * factor
    adds_up = plan.rounding_scope == "day" or any(r.over for r in rates)
    tax = tax_part(plan)
    most = min(LIMIT >> adds_up, (LIMIT >> adds_up) // max(tax.numerator, 1) * denominator)
    room = most - fixed * denominator
    bound, required = BELIEVED.get(unit, BELIEVED_COUNT), REQUIRED.get(unit, REQUIRED_COUNT)
    required = max(required, *(r.minimum_quantity for r in rates)) if rates else required
    if dearest > 0:
        bound = min(bound, int(Fraction(room) / (dearest * denominator)) - longest)
    if max(denominator, tax.denominator) * quantum >= LIMIT or room <= 0 or bound < required:
        worst = max(rates, key=lambda r: max(Fraction(s.price_nanos) / s.per for s in r.slots))
        raise refuse(version.file, worst.line, f"plan {plan.name!r}: {unit.name.lower()} prices over the common "
                     f"denominator {denominator} overflow 64 bits beyond {max(bound, 0)} {unit.name.lower()}s",
                     f"room for {required}", "use prices with fewer decimals, or `per` and `step` that divide "
                     "each other")
    return Family(denominator, quantum, bound)
