"""Local time for kernels: offsets, bands of the week, cycles. Days count from 1970-01-01.

Civil dates: Howard Hinnant, "chrono-compatible low-level date algorithms" (public domain).
"""

import numpy as np

from schemas.jit import kernel
from schemas.tariff_tables import (
    BUCKET_CYCLE_SHIFT,
    CYCLE_DAY,
    CYCLE_GRANTED,
    CYCLE_MONTH,
    CYCLE_NONE,
    CYCLE_WEEK,
    DAY_PROFILE,
    FIRST_DAY,
    LAST_DAY,
    PROFILE_FIRST,
    ROLLED,
    SEGMENT_BAND,
    SEGMENT_PLACE,
    SEGMENT_START,
    TIMING_DAYS,
    TIMING_FIRST,
    TIMING_ZONE,
    ZONE_AT,
    ZONE_FIRST,
    ZONE_OFFSET,
)

SECOND_US = 1_000_000
DAY_S = 86_400
WEEK_S = 7 * DAY_S
NEVER_US = 1 << 62
# First day of each month from 1970 on. A lookup in place of some forty multiplications, several times an event.
MONTHS = np.arange("1970-01", "2200-01", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int32)
MONTHS_END = int(MONTHS[-2])  # days before this one have their month here and the one behind it
_MONDAY = 3 * DAY_S  # 1970-01-01 was a Thursday


@kernel(None, error_model="numpy", forceinline=True)
def last_at_most_nb(values, low, high, wanted):
    """Index in [low, high) of the last ascending value that is at most `wanted`; low when none is."""
    while high - low > 1:
        middle = (low + high) >> 1
        if values[middle] <= wanted:
            low = middle
        else:
            high = middle
    return low


@kernel(None, error_model="numpy", forceinline=True)
def band_at_nb(tables, timing, time_us):
    """(place of the band in its timing, band label, instant at which it may change)."""
    first, stop = tables[TIMING_FIRST][timing], tables[TIMING_FIRST][timing + 1]
    if stop - first == 1:
        return tables[SEGMENT_PLACE][first], tables[SEGMENT_BAND][first], NEVER_US
    second = time_us // SECOND_US
    zone = tables[TIMING_ZONE][timing]
    last = tables[ZONE_FIRST][zone + 1]
    at = last_at_most_nb(tables[ZONE_AT], tables[ZONE_FIRST][zone], last, second)
    local = second + tables[ZONE_OFFSET][at]
    days = tables[TIMING_DAYS][timing]
    if days < 0:
        place, whole = (local + _MONDAY) % WEEK_S, WEEK_S
    else:
        day = local // DAY_S
        place, whole = local - day * DAY_S, DAY_S
        profile = tables[DAY_PROFILE][days + min(max(day, FIRST_DAY), LAST_DAY - 1) - FIRST_DAY]
        first, stop = tables[PROFILE_FIRST][profile], tables[PROFILE_FIRST][profile + 1]
    segment = last_at_most_nb(tables[SEGMENT_START], first, stop, place)
    end = tables[SEGMENT_START][segment + 1] if segment + 1 < stop else whole
    change = second + end - place
    if at + 1 < last and tables[ZONE_AT][at + 1] < change:
        change = tables[ZONE_AT][at + 1]
    return tables[SEGMENT_PLACE][segment], tables[SEGMENT_BAND][segment], change * SECOND_US


@kernel(None, error_model="numpy", forceinline=True)
def offset_at_nb(zones, zone, second):
    """Offset from UTC in seconds; `zones` is (first, at, offset) of a book's time zones."""
    return zones[2][last_at_most_nb(zones[1], zones[0][zone], zones[0][zone + 1], second)]


@kernel(None, error_model="numpy", forceinline=True)
def civil_nb(day):
    """(year, month, day of month) of a day."""
    day += 719_468
    era = day // 146_097
    of_era = day - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    date = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return year + era * 400 + (1 if month <= 2 else 0), month, date


@kernel(None, error_model="numpy", forceinline=True)
def day_nb(year, month, date):
    """Day of a civil date."""
    if month <= 2:
        year -= 1
    era = year // 400
    of_era = year - era * 400
    shifted = month - 3 if month > 2 else month + 9
    of_year = (153 * shifted + 2) // 5 + date - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@kernel(None, error_model="numpy", forceinline=True)
def anchored_nb(year, month, anchor):
    """Day on which the cycle of this month begins: the anchor day, or the last day of a shorter month."""
    next_year, next_month = (year + 1, 1) if month == 12 else (year, month + 1)
    first = day_nb(year, month, 1)
    length = day_nb(next_year, next_month, 1) - first
    return first + min(anchor, length) - 1


@kernel(None, error_model="numpy", forceinline=True)
def month_nb(day):
    """Place in MONTHS of the month that holds a day; -1 for one that is not there."""
    if day < 0 or day >= MONTHS_END:
        return np.int64(-1)
    month = day * 4800 // 146_097  # as many months as days in 400 years: right, or one off
    if MONTHS[month] > day:
        return month - 1
    return month + 1 if MONTHS[month + 1] <= day else month


@kernel(None, error_model="numpy", forceinline=True)
def anchored_in_nb(month, anchor):
    """As `anchored_nb`, of a place in MONTHS."""
    first = np.int64(MONTHS[month])
    return first + min(anchor, np.int64(MONTHS[month + 1]) - first) - 1


@kernel(None, error_model="numpy")
def month_cycle_nb(day, anchor):
    """First day of the cycle of months that holds `day`, whenever it is."""
    year, month, _ = civil_nb(day)
    start = anchored_nb(year, month, anchor)
    if day >= start:
        return start
    return anchored_nb(year - 1, 12, anchor) if month == 1 else anchored_nb(year, month - 1, anchor)


@kernel(None, error_model="numpy", forceinline=True)
def cycle_start_nb(cycle, day, anchor):
    """First day of the cycle that holds `day`; 0 for what never ends."""
    if cycle == CYCLE_DAY:
        return day
    if cycle == CYCLE_WEEK:
        return day - (day + 3) % 7  # 1970-01-01 was a Thursday
    if cycle != CYCLE_MONTH:
        return 0
    month = month_nb(day)
    if month < 1:
        return month_cycle_nb(day, anchor)
    start = anchored_in_nb(month, anchor)
    return start if day >= start else anchored_in_nb(month - 1, anchor)


@kernel(None, error_model="numpy", forceinline=True)
def next_cycle_nb(cycle, start, anchor):
    """First day of the cycle after the one that begins on `start`; `cycle` is day, week or month."""
    if cycle == CYCLE_DAY:
        return start + 1
    if cycle == CYCLE_WEEK:
        return start + 7
    month = month_nb(start)
    if month >= 0:
        return anchored_in_nb(month + 1, anchor)
    year, month, _ = civil_nb(start)
    return anchored_nb(year + 1, 1, anchor) if month == 12 else anchored_nb(year, month + 1, anchor)


@kernel(None, error_model="numpy", forceinline=True)
def midnight_us_nb(zones, zone, day):
    """Instant at which a local day begins (the first of two midnights, or where the clock jumps over it)."""
    local = day * DAY_S
    guess = local - offset_at_nb(zones, zone, local)
    return (local - offset_at_nb(zones, zone, guess)) * SECOND_US


@kernel(None, error_model="numpy", forceinline=True)
def cycle_end_us_nb(zones, zone, bucket_id, anchor):
    """Instant at which a bucket's cycle is over, local midnight; NEVER_US for one without cycle or granted."""
    cycle = bucket_id >> BUCKET_CYCLE_SHIFT & 7
    if cycle == CYCLE_NONE or cycle == CYCLE_GRANTED:
        return NEVER_US
    if cycle > ROLLED:
        cycle -= ROLLED
    return midnight_us_nb(zones, zone, next_cycle_nb(cycle, bucket_id & ((1 << BUCKET_CYCLE_SHIFT) - 1), anchor))
