"""From what was added up to what is owed: limits, discounts, one rounding of what is rounded once, the tax in it.

The exact price is a whole number over the family's denominator, which the compiler chose so that every discount of
every amount is whole too.
"""

from schemas.jit import kernel
from schemas.money import Rounding
from schemas.tariff_tables import (
    DISCOUNT_AMOUNT,
    DISCOUNT_CAP,
    DISCOUNT_DENOMINATOR,
    DISCOUNT_NUMERATOR,
    FAMILY_DENOMINATOR,
    FAMILY_DISCOUNT_FIRST,
    FAMILY_QUANTUM,
    FAMILY_RULE,
    FAMILY_TAX_DENOMINATOR,
    FAMILY_TAX_NUMERATOR,
)

UP, HALF_UP, HALF_EVEN = int(Rounding.UP), int(Rounding.HALF_UP), int(Rounding.HALF_EVEN)


@kernel(None, error_model="numpy", forceinline=True)
def round_nb(numerator, denominator, rule):
    """numerator / denominator, both not negative, to a whole number by a named rule."""
    quotient = numerator // denominator
    rest = numerator - quotient * denominator
    if rest == 0:
        return quotient
    if rule == UP:
        return quotient + 1
    twice = 2 * rest
    if rule == HALF_UP:
        return quotient + (1 if twice >= denominator else 0)
    if rule == HALF_EVEN:
        return quotient + (1 if twice > denominator or (twice == denominator and quotient & 1 == 1) else 0)
    return quotient


@kernel(None, error_model="numpy", forceinline=True)
def round_signed_nb(numerator, denominator, rule):
    """The same for amounts that may be below zero: they are rounded without their sign."""
    return round_nb(numerator, denominator, rule) if numerator >= 0 else -round_nb(-numerator, denominator, rule)


@kernel(None, error_model="numpy", forceinline=True)
def exact_price_nb(tables, family, numerator, minimum, maximum):
    """The usage price within its limits, less the discounts of its family. maximum 0: the price has not begun."""
    price = max(numerator, minimum)
    if maximum > 0:
        price = min(price, maximum)
    for d in range(tables[FAMILY_DISCOUNT_FIRST][family], tables[FAMILY_DISCOUNT_FIRST][family + 1]):
        taken = price // tables[DISCOUNT_DENOMINATOR][d] * tables[DISCOUNT_NUMERATOR][d] + tables[DISCOUNT_AMOUNT][d]
        price -= min(price, min(taken, tables[DISCOUNT_CAP][d]))
    return price


@kernel(None, error_model="numpy", forceinline=True)
def rounded_nb(tables, family, exact):
    """Nanos of an exact price by the plan's rule."""
    quantum = tables[FAMILY_QUANTUM][family]
    return round_signed_nb(exact, tables[FAMILY_DENOMINATOR][family] * quantum, tables[FAMILY_RULE][family]) * quantum


@kernel(None, error_model="numpy", forceinline=True)
def tax_in_nb(tables, family, gross):
    """Nanos of a gross amount that are tax; the whole multiples apart, so that no product overflows."""
    quantum, share = tables[FAMILY_QUANTUM][family], tables[FAMILY_TAX_NUMERATOR][family]
    whole = tables[FAMILY_TAX_DENOMINATOR][family] * quantum
    amount = abs(gross)
    times = amount // whole
    rest = (amount - times * whole) * share
    units = times * share + rest // whole
    odd = units & 1  # half to even looks at the whole number
    tax = (units - odd + round_nb(odd * whole + rest % whole, whole, tables[FAMILY_RULE][family])) * quantum
    return tax if gross >= 0 else -tax
