"""Cycles of an account: days, weeks from Monday, months from the anchor day, in the account's zone."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.oracle.rating.amounts import local_day, microseconds, midnight_us


def month_start(year, month, anchor):
    """The anchor's day in a month, or the month's last if it is shorter."""
    following = date(year + month // 12, month % 12 + 1, 1)
    last = following - timedelta(days=1)
    return last.replace(day=min(anchor, last.day))


def cycle(kind, account, us):
    """(first day, instant of its end) of the cycle that holds an instant; (None, None) for the one without end."""
    if kind == "none":
        return None, None
    day = local_day(us, account.zone)
    if kind == "day":
        first, after = day, day + timedelta(days=1)
    elif kind == "week":
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
    else:
        starts = []
        for back in range(-2, 3):
            month = day.year * 12 + day.month - 1 + back
            starts.append(month_start(month // 12, month % 12 + 1, account.anchor))
        first = max(start for start in starts if start <= day)
        after = min(start for start in starts if start > day)
    return first, midnight_us(after, account.zone)


def cycle_from(kind, account, first):
    """Instant of the end of the cycle that begins on a day."""
    return cycle(kind, account, noon_us(first, account.zone))[1]


def noon_us(day, zone):
    return microseconds(datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)))
