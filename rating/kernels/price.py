"""From the exact price of a session to the money that it comes to: its limits, and one rounding."""

from schemas.jit import kernel
from schemas.money import Rounding

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
