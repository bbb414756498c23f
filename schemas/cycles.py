"""Cycles of accounts in plain Python; the kernels have their own (`rating.kernels.calendar`). Days count from 1970."""

from calendar import monthrange
from datetime import date, timedelta

_EPOCH = date(1970, 1, 1)


def cycle_start(cycle: str, day: int, anchor: int) -> int:
    """First day of the cycle (day, week from Monday, month from the anchor day) that holds `day`."""
    if cycle == "day":
        return day
    if cycle == "week":
        return day - (day + 3) % 7
    when = _EPOCH + timedelta(days=day)
    start = _anchored(when.year, when.month, anchor)
    if start > when:
        start = _anchored(when.year - 1, 12, anchor) if when.month == 1 else _anchored(when.year, when.month - 1,
                                                                                        anchor)
    return (start - _EPOCH).days


def next_cycle(cycle: str, start: int, anchor: int) -> int:
    """First day of the cycle after the one that begins on `start`."""
    if cycle == "day":
        return start + 1
    if cycle == "week":
        return start + 7
    when = _EPOCH + timedelta(days=start)
    after = _anchored(when.year + 1, 1, anchor) if when.month == 12 else _anchored(when.year, when.month + 1, anchor)
    return (after - _EPOCH).days


def _anchored(year: int, month: int, anchor: int) -> date:
    return date(year, month, min(anchor, monthrange(year, month)[1]))
