"""A family's arithmetic: one denominator, integer prices for each step, and the proof that int64 suffices.

Prices are exact ratios: nanos per `per` units, charged in steps. A step costs price * step / per; over the least
common denominator of all steps of a plan and service that is a whole number, and a session's cost is a sum of such
numbers, rounded once. A session of q units takes steps that together reach at most q plus one step, so
    numerator <= (q + longest step) * dearest price per unit + connect fee + minimum,
which is kept below 2^62.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from reference_data.tariffs.model import Plan, Rate, TariffVersion
from reference_data.tariffs.source import refuse
from schemas.codes import Unit
from schemas.money import DECIMALS

LIMIT = 1 << 62
# What a session must be able to reach: 32 days, 64 GiB, a million messages or units. Cheaper rates reach further.
REQUIRED = {Unit.SECOND: 32 * 86_400, Unit.OCTET: 1 << 36, Unit.MESSAGE: 1_000_000, Unit.UNIT: 1_000_000}
# Beyond this no quantity is believed, whatever the price: ten years, one EiB, and so that times stay in int64.
BELIEVED = {Unit.SECOND: 3650 * 86_400, Unit.OCTET: 1 << 60, Unit.MESSAGE: 1 << 40, Unit.UNIT: 1 << 40}


@dataclass(frozen=True)
class Family:
    """denominator; quantum_nanos of the rounding; bound: largest total quantity of a session."""

    denominator: int
    quantum_nanos: int
    bound: int

    def step_price(self, price_nanos: int, step: int, per: int) -> int:
        """Numerator of one step; exact by construction."""
        return int(Fraction(price_nanos * step, per) * self.denominator)


def prove(version: TariffVersion, plan: Plan, unit: Unit, rates: list[Rate]) -> Family:
    """Raises ReferenceDataError when a session of the required size could overflow."""
    prices = [Fraction(s.price_nanos * s.step, s.per) for rate in rates for s in rate.slots]
    denominator = lcm(*(p.denominator for p in prices)) if prices else 1
    quantum = 10 ** (DECIMALS - plan.decimals)
    dearest = max((p / s.step for p, s in zip(prices, (s for r in rates for s in r.slots), strict=True)),
                  default=Fraction(0))
    longest = max((s.step for r in rates for s in r.slots), default=1)
    fixed = max((r.connect_fee_nanos for r in rates), default=0) + max((r.minimum_nanos for r in rates), default=0)
    room = LIMIT - fixed * denominator
    bound = BELIEVED[unit]
    if dearest > 0:
        bound = min(bound, int(Fraction(room) / (dearest * denominator)) - longest)
    if denominator * quantum >= LIMIT or room <= 0 or bound < REQUIRED[unit]:
        worst = max(rates, key=lambda r: max(Fraction(s.price_nanos, s.per) for s in r.slots))
        raise refuse(version.file, worst.line, f"plan {plan.name!r}: {unit.name.lower()} prices over the common "
                     f"denominator {denominator} overflow 64 bits beyond {max(bound, 0)} {unit.name.lower()}s",
                     f"room for {REQUIRED[unit]}", "use prices with fewer decimals, or `per` and `step` that divide "
                     "each other")
    return Family(denominator, quantum, bound)
