"""Money is int64 nano-units of a currency. Decimal text in, decimal text out, never a float between."""

from enum import IntEnum

import numpy as np

from schemas.columns import I64

NANOS = 1_000_000_000  # nano-units in one unit of currency
DECIMALS = 9
MAX_NANOS = 1 << 61  # balances and amounts stay below this, so that sums of two cannot overflow


class Rounding(IntEnum):
    """How an exact amount becomes one of the stated decimals. Amounts that are priced are never negative."""

    UP = 0
    DOWN = 1
    HALF_UP = 2
    HALF_EVEN = 3


def parse_money(text: str) -> int:
    """Nano-units of decimal text such as "0.10" or "-3". Raises ValueError on anything else or finer than nano."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, dot, fraction = digits.partition(".")
    plain = whole.isascii() and whole.isdigit() and (fraction.isascii() and fraction.isdigit() if dot else True)
    if not plain:
        raise ValueError(f"{text!r} is no decimal amount")
    if len(fraction) > DECIMALS:
        raise ValueError(f"{text!r} has {len(fraction)} decimals; at most {DECIMALS} are kept")
    return sign * (int(whole) * NANOS + int(fraction.ljust(DECIMALS, "0")))


def format_money(nanos: int, decimals: int = 2) -> str:
    """Decimal text, with at least `decimals` decimals and as many as it takes to be exact."""
    whole, fraction = divmod(abs(nanos), NANOS)
    text = f"{fraction:09d}".rstrip("0").ljust(decimals, "0")
    return f"{'-' if nanos < 0 else ''}{whole}{'.' if text else ''}{text}"


def round_ratio(numerator: int, denominator: int, rule: Rounding) -> int:
    """Whole number nearest numerator / denominator by `rule`; both not negative, denominator positive."""
    quotient, rest = divmod(numerator, denominator)
    if rule == Rounding.UP:
        return quotient + (rest > 0)
    if rule == Rounding.DOWN:
        return quotient
    if rule == Rounding.HALF_UP:
        return quotient + (2 * rest >= denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1))


def exact_sum(amounts: I64) -> int:
    """Sum as a Python integer: two limbs of 32 bits, so that no count of rows below 2^31 overflows."""
    high = int(np.sum(amounts >> 32))
    return (high << 32) + int(np.sum(amounts & 0xFFFFFFFF))
