"""From what was added up to what is owed: limits, discounts, one rounding of what is rounded once, the tax in it.

The exact price is a whole number times the family's multiple over its denominator, which the compiler chose so that
every discount of every amount is whole too.
"""

import numpy as np

from schemas.jit import kernel
from schemas.money import Rounding
from schemas.tariff_tables import (
    DISCOUNT_AMOUNT,
    DISCOUNT_CAP,
    DISCOUNT_DENOMINATOR,
    DISCOUNT_NUMERATOR,
    FAMILY_DENOMINATOR,
    FAMILY_DISCOUNT_FIRST,
    FAMILY_MULTIPLE,
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


@kernel(None, error_model="numpy")
def multiply_divide_nb(one, other, denominator):
    """(quotient, rest) of one * other / denominator, however large the product; 0 <= one < denominator < 2^62."""
    quotient, rest = np.int64(0), np.int64(0)
    for bit in range(62, -1, -1):
        if other >> bit == 0:
            continue
        quotient, rest = 2 * quotient, 2 * rest
        if rest >= denominator:
            quotient, rest = quotient + 1, rest - denominator
        if other >> bit & 1:
            rest += one
            if rest >= denominator:
                quotient, rest = quotient + 1, rest - denominator
    return quotient, rest


@kernel(None, error_model="numpy")
def round_multiple_nb(numerator, multiple, denominator, rule):
    """numerator * multiple / denominator to a whole number by a named rule; below zero without its sign."""
    amount = abs(numerator)
    rest, left = multiply_divide_nb(amount % denominator, multiple, denominator)
    units = amount // denominator * multiple + rest
    odd = units & 1  # half to even looks at the whole number
    units += round_nb(odd * denominator + left, denominator, rule) - odd
    return units if numerator >= 0 else -units


@kernel(None, error_model="numpy", forceinline=True)
def usage_price_nb(numerator, minimum):
    """At least the minimum, where anything is to pay: a session within its free part owes none."""
    return max(numerator, minimum) if numerator > 0 else numerator


@kernel(None, error_model="numpy", forceinline=True)
def exact_price_nb(tables, family, numerator, minimum, maximum):
    """The usage price within its limits, less the discounts of its family. maximum 0: the price has not begun."""
    price = usage_price_nb(numerator, minimum)
    if maximum > 0:
        price = min(price, maximum)
    for d in range(tables[FAMILY_DISCOUNT_FIRST][family], tables[FAMILY_DISCOUNT_FIRST][family + 1]):
        taken = price // tables[DISCOUNT_DENOMINATOR][d] * tables[DISCOUNT_NUMERATOR][d] + tables[DISCOUNT_AMOUNT][d]
        price -= min(price, min(taken, tables[DISCOUNT_CAP][d]))
    return price


@kernel(None, error_model="numpy", forceinline=True)
def rounded_nb(tables, family, exact):
    """Nanos of an exact price by the plan's rule."""
    quantum, rule = tables[FAMILY_QUANTUM][family], tables[FAMILY_RULE][family]
    multiple = tables[FAMILY_MULTIPLE][family]
    denominator = tables[FAMILY_DENOMINATOR][family] * quantum
    if multiple > 1:
        return round_multiple_nb(exact, multiple, denominator, rule) * quantum
    return round_signed_nb(exact, denominator, rule) * quantum


@kernel(None, error_model="numpy", forceinline=True)
def connect_nanos_nb(tables, family, numerator):
    """Whole nanos of a connect fee."""
    if numerator == 0:
        return np.int64(0)
    denominator, multiple = tables[FAMILY_DENOMINATOR][family], tables[FAMILY_MULTIPLE][family]
    nanos = numerator // denominator
    if multiple > 1:
        rest, _ = multiply_divide_nb(numerator % denominator, multiple, denominator)
        nanos = nanos * multiple + rest
    return nanos


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
