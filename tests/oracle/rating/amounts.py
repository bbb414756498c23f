"""Quantities, amounts, instants and rounding, as docs/tariffs.md writes them."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal, localcontext
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

ROUNDINGS = {"up": ROUND_UP, "down": ROUND_DOWN, "half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN}
SUFFIX = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "": 1}
SECOND_US = 1_000_000


@cache
def units(text):
    """A quantity with or without its suffix."""
    number, _, suffix = str(text).partition(" ")
    return int(number) * SUFFIX[suffix.strip()]


@cache
def amount(text):
    """Decimal text as an exact fraction."""
    return Fraction(str(text))


def true(value):
    return str(value).lower() == "true"


def listed(value):
    """A lone text is a list of one; nothing is None."""
    return None if value is None else [str(v) for v in value] if isinstance(value, list) else [str(value)]


def instant(us):
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def microseconds(moment):
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@cache
def local_time(text, zone):
    """Microseconds UTC of ISO text; without an offset it is local time of `zone`."""
    moment = datetime.fromisoformat(str(text))
    return microseconds(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)))


def local_day(us, zone):
    return instant(us).astimezone(ZoneInfo(zone)).date()


def midnight_us(day, zone):
    """The instant at which a day begins in a zone."""
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)))


def round_money(exact, rule, decimals):
    """A fraction to a fraction of so many decimals. An amount below zero is rounded without its sign."""
    if exact < 0:
        return -round_money(-exact, rule, decimals)
    with localcontext() as context:
        context.prec = 200
        scaled = exact * 10**decimals
        whole, rest = divmod(scaled.numerator, scaled.denominator)
        # Tenths, and a hundredth when anything is left beyond them, decide every rule.
        tenth, beyond = divmod(rest * 10, scaled.denominator)
        text = Decimal(whole) + Decimal(tenth) / 10 + (Decimal("0.01") if beyond else 0)
        return Fraction(int(text.quantize(Decimal(1), rounding=ROUNDINGS[rule])), 10**decimals)


def convert(version, value, currency, wanted, us):
    """An amount in another currency: the newest pair at that time, or the exact inverse of its opposite."""
    if currency == wanted:
        return value
    for here, there, inverse in ((currency, wanted, False), (wanted, currency, True)):
        pairs = [(local_time(item.get("valid_from", "1970-01-01"), version["time_zone"]), amount(item["rate"]))
                 for item in version.get("exchange", []) if (item["from"], item["to"]) == (here, there)]
        known = [pair for pair in pairs if pair[0] <= us]
        if known:
            rate = max(known)[1]
            return value / rate if inverse else value * rate
    raise ValueError(f"no exchange from {currency} to {wanted}")
