"""Time is int64 microseconds UTC. Local time comes from tables of offsets, so that kernels know DST nights."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

SECOND_US = 1_000_000
DAY_S = 86_400
WEEK_S = 7 * DAY_S
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR, END_YEAR = 1990, 2100  # times of usage, commands and tariffs lie in [FIRST_YEAR, END_YEAR)


def parse_time(text: str, time_zone: str = "UTC") -> int:
    """Microseconds UTC of ISO text. Without an offset it is local time of `time_zone` (the first of two in autumn)."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(time_zone))
    return to_us(moment)


def is_skipped(moment: datetime, time_zone: str) -> bool:
    """Whether a local time does not exist: the clock jumps over it."""
    if moment.tzinfo is not None:
        return False
    there = moment.replace(tzinfo=ZoneInfo(time_zone))
    return there.astimezone(UTC).astimezone(there.tzinfo).replace(tzinfo=None) != moment


def to_us(moment: datetime) -> int:
    """Microseconds UTC of an aware datetime, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


EARLIEST_US, END_US = parse_time(f"{FIRST_YEAR}-01-01"), parse_time(f"{END_YEAR}-01-01")


def format_time(time_us: int) -> str:
    """ISO text in UTC."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def is_time_zone(name: str) -> bool:
    """Whether the time zone database has this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@cache
def zone_offsets(name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Seconds UTC at which the offset changes, and the offset in seconds from then on, 1990 to 2100.

    The first entry begins before all others. Found by halving each week in which the offset differs at its ends,
    so it depends on nothing but the zone's meaning. Raises ZoneInfoNotFoundError.
    """
    zone = ZoneInfo(name)

    def offset(second: int) -> int:
        return int((_EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset().total_seconds())  # type: ignore[union-attr]

    start = to_us(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)) // SECOND_US
    stop = to_us(datetime(END_YEAR, 1, 1, tzinfo=UTC)) // SECOND_US
    at, offsets = [-(1 << 50)], [offset(start)]
    low = start
    while low < stop:
        high = low + WEEK_S
        left = low
        while offset(high) != offsets[-1]:
            # The offset at `left` is offsets[-1]; find the first second that differs.
            right = high
            while right - left > 1:
                middle = (left + right) // 2
                left, right = (middle, right) if offset(middle) == offsets[-1] else (left, middle)
            at.append(right)
            offsets.append(offset(right))
            left = right
        low = high
    return tuple(at), tuple(offsets)


def local_midnight_us(name: str, day: int) -> int:
    """Instant at which a local day (counted from 1970) begins, as the kernels find it."""
    local = day * DAY_S
    guess = local - local_offset_s(name, local * SECOND_US)
    return (local - local_offset_s(name, guess * SECOND_US)) * SECOND_US


def local_offset_s(name: str, time_us: int) -> int:
    """Offset of local time from UTC, in seconds, at an instant."""
    at, offsets = zone_offsets(name)
    return offsets[bisect_right(at, time_us // SECOND_US) - 1]
