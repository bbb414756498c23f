"""Bytes of one field to one int64: the conversions that every text format shares.

Each takes a buffer and the span `[start, stop)` and returns `(value, good)`. None allocates, none raises;
`good` is False when the bytes do not say such a value. Oracles in the tests: Python's int, datetime, ipaddress.
"""

import numpy as np

from schemas.codes import NumberType
from schemas.jit import kernel

_INTERNATIONAL, _TEXT = int(NumberType.INTERNATIONAL), int(NumberType.TEXT)
LARGEST = 1 << 62
LONGEST_TEXT = 65535
MAX_PACKED = 15

# Rounding of decimals to whole units.
EXACT, FLOOR, CEILING, HALF_UP = 0, 1, 2, 3

US = 1_000_000
DAY_S = 86_400
_POWERS = tuple(10**i for i in range(19))


@kernel(None)
def byte_nb(buffer, at):
    """One byte as int64. An unsigned index spares the test for a negative one, which costs as much as the load."""
    return np.int64(buffer[np.uint64(at)])


@kernel(None)
def decimal_nb(buffer, start, stop, multiply, rounding):
    """Decimal text times `multiply`, to a whole number by `rounding`; at most 18 digits. EXACT refuses a rest."""
    i, negative = start, False
    if i < stop and (byte_nb(buffer, i) == 43 or byte_nb(buffer, i) == 45):
        negative = byte_nb(buffer, i) == 45
        i += 1
    value, digits, fraction, point = 0, 0, 0, False
    while i < stop:
        byte = byte_nb(buffer, i)
        if 48 <= byte <= 57:
            if value > 0 or byte > 48:
                digits += 1
            if digits > 18:
                return 0, False
            value = value * 10 + (byte - 48)
            if point:
                fraction += 1
        elif byte == 46 and not point:
            point = True
        else:
            return 0, False
        i += 1
    if stop == start or not 48 <= byte_nb(buffer, stop - 1) <= 57 or fraction > 18:
        return 0, False
    if multiply != 1 and value > LARGEST // multiply:
        return 0, False
    value *= multiply
    if fraction > 0:
        unit = _POWERS[fraction]
        whole, rest = value // unit, value % unit
        if rest > 0:
            if rounding == EXACT:
                return 0, False
            up = rounding == CEILING or (rounding == HALF_UP and rest >= unit - rest)
            if rounding == FLOOR and negative:
                up = True
            if rounding == CEILING and negative:
                up = False
            whole += 1 if up else 0
        value = whole
    return (-value if negative else value), True


@kernel(None)
def hexadecimal_nb(buffer, start, stop):
    """Up to 15 hexadecimal digits, with or without 0x."""
    if stop - start > 2 and byte_nb(buffer, start) == 48 and byte_nb(buffer, start + 1) | 32 == 120:
        start += 2
    if not 0 < stop - start <= 15:
        return 0, False
    value = 0
    for i in range(start, stop):
        byte = byte_nb(buffer, i)
        if 48 <= byte <= 57:
            value = value << 4 | (byte - 48)
        elif 97 <= byte | 32 <= 102:
            value = value << 4 | ((byte | 32) - 87)
        else:
            return 0, False
    return value, True


@kernel(None)
def unsigned_nb(buffer, start, stop):
    """Big-endian binary, one to eight octets, below 2**62."""
    if not 0 < stop - start <= 8:
        return 0, False
    value = 0
    for i in range(start, stop):
        if value > LARGEST >> 8:
            return 0, False
        value = value << 8 | byte_nb(buffer, i)
    return value, value < LARGEST


@kernel(None)
def digits_nb(buffer, start, stop):
    """Packed digits (`schemas.digits`); 1 to 15 of 0-9, `*`, `#`."""
    if not 0 < stop - start <= MAX_PACKED:
        return 0, False
    value = 0
    for i in range(start, stop):
        byte = byte_nb(buffer, i)
        if 48 <= byte <= 57:
            value = value << 4 | (byte - 47)
        elif byte == 42:
            value = value << 4 | 11
        elif byte == 35:
            value = value << 4 | 12
        else:
            return 0, False
    return value, True


@kernel(None)
def _scheme_nb(buffer, start, stop):
    """Octets of a leading `sip:`, `sips:` or `tel:`."""
    if stop - start > 4 and byte_nb(buffer, start + 3) == 58:
        a, b, c = byte_nb(buffer, start) | 32, byte_nb(buffer, start + 1) | 32, byte_nb(buffer, start + 2) | 32
        if (a == 115 and b == 105 and c == 112) or (a == 116 and b == 101 and c == 108):
            return 4
    if stop - start > 5 and byte_nb(buffer, start + 3) | 32 == 115 and byte_nb(buffer, start + 4) == 58:
        a, b, c = byte_nb(buffer, start) | 32, byte_nb(buffer, start + 1) | 32, byte_nb(buffer, start + 2) | 32
        if a == 115 and b == 105 and c == 112:
            return 5
    return 0


@kernel(None)
def phone_nb(buffer, start, stop, written_as):
    """A number as people and switches write it: packed digits and how it was written, or a TEXT reference.

    A leading `+` means international; spaces, dots, hyphens and brackets between digits are passed over;
    `sip:` and `tel:` addresses give their number, when the user part is one. All else is text.
    """
    begin = start + _scheme_nb(buffer, start, stop)
    value, count, number_type = 0, 0, written_as
    i = begin
    if i < stop and byte_nb(buffer, i) == 43:
        number_type = _INTERNATIONAL
        i += 1
    good = True
    while i < stop:
        byte = byte_nb(buffer, i)
        if 48 <= byte <= 57:
            value = value << 4 | (byte - 47)
            count += 1
        elif byte == 42 or byte == 35:
            value = value << 4 | (11 if byte == 42 else 12)
            count += 1
        elif begin > start and (byte == 64 or byte == 59):  # @ or ; ends the user part of an address
            break
        elif not (byte == 32 or byte == 45 or byte == 46 or byte == 40 or byte == 41):
            good = False
            break
        if count > MAX_PACKED:
            good = False
            break
        i += 1
    if good and count > 0:
        return value, number_type
    return start << 16 | (stop - start), _TEXT


@kernel(None)
def ipv4_nb(buffer, start, stop):
    """Dotted quad to a number."""
    value, part, digits, dots = 0, 0, 0, 0
    for i in range(start, stop):
        byte = byte_nb(buffer, i)
        if 48 <= byte <= 57:
            part = part * 10 + (byte - 48)
            digits += 1
            if digits > 3 or part > 255:
                return 0, False
        elif byte == 46 and digits > 0 and dots < 3:
            value = value << 8 | part
            part, digits = 0, 0
            dots += 1
        else:
            return 0, False
    return value << 8 | part, dots == 3 and digits > 0


@kernel(None)
def boolean_nb(buffer, start, stop):
    """true/false, yes/no, t/f, y/n, 1/0, in any case."""
    length = stop - start
    if length == 0 or length > 5:
        return 0, False
    first = byte_nb(buffer, start) | 32 if byte_nb(buffer, start) > 57 else byte_nb(buffer, start)
    if length == 1:
        if first == 49 or first == 116 or first == 121:
            return 1, True
        return 0, first == 48 or first == 102 or first == 110
    word = 0
    for i in range(start, stop):
        word = word << 8 | (byte_nb(buffer, i) | 32)
    if word == 0x74727565 or word == 0x796573:
        return 1, True
    return 0, word == 0x66616C7365 or word == 0x6E6F


@kernel(None)
def plmn_nb(buffer, start, stop):
    """MCC and MNC, 5 or 6 digits with an optional hyphen after the MCC, to MCC * 1000 + MNC."""
    value, count = 0, 0
    for i in range(start, stop):
        byte = byte_nb(buffer, i)
        if 48 <= byte <= 57:
            value = value * 10 + (byte - 48)
            count += 1
        elif not (byte == 45 and count == 3):
            return 0, False
    if count == 5:
        return value // 100 * 1000 + value % 100, True
    return value // 1000 * 1000 + value % 1000, count == 6


@kernel(None)
def days_nb(year, month, day):
    """Days from 1970-01-01 of a date in the Gregorian calendar, and whether there is such a day."""
    if not (1 <= month <= 12 and 1 <= day <= 31 and 1970 <= year <= 9999):
        return 0, False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31
    if month == 2:
        longest = 29 if leap else 28
    y = year - 1 if month <= 2 else year
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468, day <= longest


@kernel(None)
def _number_nb(buffer, at, stop, width):
    """`width` decimal digits at `at`; -1 when they are not there."""
    if at + width > stop:
        return -1
    value = 0
    for i in range(at, at + width):
        if not 48 <= byte_nb(buffer, i) <= 57:
            return -1
        value = value * 10 + (byte_nb(buffer, i) - 48)
    return value


@kernel(None)
def _fraction_nb(buffer, at, stop):
    """Microseconds of a fraction of a second, what is finer cut off, and where it ends."""
    value, count = 0, 0
    while at < stop and 48 <= byte_nb(buffer, at) <= 57:
        if count < 6:
            value = value * 10 + (byte_nb(buffer, at) - 48)
        count += 1
        at += 1
    return value * _POWERS[6 - count if count < 6 else 0], at


@kernel(None)
def _zone_nb(buffer, at, stop, default_s):
    """Seconds east of UTC of `Z`, `+hh`, `+hhmm` or `+hh:mm` at the end of a time; the default when none is there."""
    if at < stop and byte_nb(buffer, at) == 32:
        at += 1
    if at == stop:
        return default_s, True
    if byte_nb(buffer, at) | 32 == 122:
        return 0, at + 1 == stop
    if byte_nb(buffer, at) != 43 and byte_nb(buffer, at) != 45:
        return 0, False
    hours = _number_nb(buffer, at + 1, stop, 2)
    rest = at + 3
    if rest < stop and byte_nb(buffer, rest) == 58:
        rest += 1
    minutes = 0 if rest == stop else _number_nb(buffer, rest, stop, 2)
    if hours < 0 or minutes < 0 or hours > 18 or minutes > 59 or (rest != stop and rest + 2 != stop):
        return 0, False
    offset = hours * 3600 + minutes * 60
    return (-offset if byte_nb(buffer, at) == 45 else offset), True


@kernel(None)
def _join_nb(year, month, day, hour, minute, second, micro, offset_s):
    """Microseconds UTC, and whether there is such a time."""
    days, good = days_nb(year, month, day)
    if not good or not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 59):
        return 0, False
    return ((days * DAY_S + hour * 3600 + minute * 60 + second) - offset_s) * US + micro, True


@kernel(None)
def iso_time_nb(buffer, start, stop, default_s):
    """ISO 8601 extended: date, `T` or a space, time to minutes, seconds or a fraction, zone or none (RFC 3339)."""
    year, month, day = _number_nb(buffer, start, stop, 4), -1, -1
    mark = byte_nb(buffer, start + 4) if stop - start >= 10 else 0
    if (mark == 45 or mark == 47) and byte_nb(buffer, start + 7) == mark:
        month, day = _number_nb(buffer, start + 5, stop, 2), _number_nb(buffer, start + 8, stop, 2)
    at = start + 10
    if at == stop:
        return _join_nb(year, month, day, 0, 0, 0, 0, default_s)
    if at > stop or (byte_nb(buffer, at) | 32 != 116 and byte_nb(buffer, at) != 32):
        return 0, False
    hour, minute, second, micro = _number_nb(buffer, at + 1, stop, 2), _number_nb(buffer, at + 4, stop, 2), 0, 0
    if minute < 0 or byte_nb(buffer, at + 3) != 58:
        return 0, False
    at += 6
    if at < stop and byte_nb(buffer, at) == 58:
        second = _number_nb(buffer, at + 1, stop, 2)
        at += 3
        if at < stop and (byte_nb(buffer, at) == 46 or byte_nb(buffer, at) == 44):
            micro, at = _fraction_nb(buffer, at + 1, stop)
    if at > stop:
        return 0, False
    offset, good = _zone_nb(buffer, at, stop, default_s)
    value, real = _join_nb(year, month, day, hour, minute, second, micro, offset)
    return value, good and real


@kernel(None)
def compact_time_nb(buffer, start, stop, default_s):
    """YYYYMMDDhhmmss, or YYMMDDhhmmss of this century; a fraction and a zone may follow."""
    run = start
    while run < stop and 48 <= byte_nb(buffer, run) <= 57:
        run += 1
    if run - start == 14:
        year, at = _number_nb(buffer, start, stop, 4), start + 4
    elif run - start == 12:
        year, at = 2000 + _number_nb(buffer, start, stop, 2), start + 2
    else:
        return 0, False
    month, day = _number_nb(buffer, at, stop, 2), _number_nb(buffer, at + 2, stop, 2)
    hour, minute, second = (_number_nb(buffer, at + 4, stop, 2), _number_nb(buffer, at + 6, stop, 2),
                            _number_nb(buffer, at + 8, stop, 2))
    at, micro = at + 10, 0
    if at < stop and (byte_nb(buffer, at) == 46 or byte_nb(buffer, at) == 44):
        micro, at = _fraction_nb(buffer, at + 1, stop)
    offset, good = _zone_nb(buffer, at, stop, default_s)
    value, real = _join_nb(year, month, day, hour, minute, second, micro, offset)
    return value, good and real


@kernel(None)
def pattern_time_nb(buffer, start, stop, pool, pattern, pattern_end, default_s):
    """A time by a declared pattern: Y year, M month, D day, h hour, m minute, s second, f fraction, Z zone.

    A field is as long as its letter is repeated (YY is of this century); every other character stands for itself.
    """
    year, month, day, hour, minute, second, micro, offset = 1970, 1, 1, 0, 0, 0, 0, default_s
    at, p = start, pattern
    while p < pattern_end:
        letter, width = byte_nb(pool, p), 1
        while p + width < pattern_end and byte_nb(pool, p + width) == letter:
            width += 1
        if letter == 90:
            offset, good = _zone_nb(buffer, at, stop, default_s)
            if not good or p + width != pattern_end:
                return 0, False
            at = stop
        elif letter == 102:
            micro, at = _fraction_nb(buffer, at, stop)
        elif letter == 89 or letter == 77 or letter == 68 or letter == 104 or letter == 109 or letter == 115:
            number = _number_nb(buffer, at, stop, width)
            if number < 0:
                return 0, False
            at += width
            if letter == 89:
                year = number + 2000 if width == 2 else number
            elif letter == 77:
                month = number
            elif letter == 68:
                day = number
            elif letter == 104:
                hour = number
            elif letter == 109:
                minute = number
            else:
                second = number
        else:
            for _ in range(width):
                if at >= stop or byte_nb(buffer, at) != letter:
                    return 0, False
                at += 1
        p += width
    if at != stop:
        return 0, False
    return _join_nb(year, month, day, hour, minute, second, micro, offset)


@kernel(None)
def clock_nb(buffer, start, stop, rounding):
    """Seconds of hh:mm:ss, mm:ss or ss, the last with a fraction or without."""
    total, part_start, parts = 0, start, 0
    for i in range(start, stop):
        if byte_nb(buffer, i) == 58:
            part = _number_nb(buffer, part_start, i, i - part_start)
            if part < 0 or i == part_start or i - part_start > 6 or parts == 2:
                return 0, False
            total = (total + part) * 60
            part_start, parts = i + 1, parts + 1
    seconds, good = decimal_nb(buffer, part_start, stop, 1, rounding)
    return total + seconds, good and seconds >= 0
