"""Text, written forwards: numbers, digits and ISO times as characters. Each function returns the new position."""

from numba import types

from schemas.jit import U8_IN, U8_OUT, kernel

I64 = types.int64


@kernel(I64(U8_OUT, I64, U8_IN))
def put_nb(out, q, text):
    """Octets as they are."""
    for i in range(text.size):
        out[q + i] = text[i]
    return q + text.size


@kernel(I64(U8_OUT, I64, I64))
def number_nb(out, q, value):
    """A whole number >= 0."""
    width, rest = 1, value
    while rest >= 10:
        rest //= 10
        width += 1
    for place in range(width - 1, -1, -1):
        out[q + place] = 48 + value % 10
        value //= 10
    return q + width


@kernel(I64(U8_OUT, I64, I64, I64))
def padded_nb(out, q, value, width):
    """A number with leading zeros."""
    for place in range(width - 1, -1, -1):
        out[q + place] = 48 + value % 10
        value //= 10
    return q + width


@kernel(I64(U8_OUT, I64, I64, I64))
def hex_nb(out, q, value, width):
    """A number in `width` hexadecimal digits."""
    for place in range(width - 1, -1, -1):
        digit = value & 15
        out[q + place] = 48 + digit if digit < 10 else 87 + digit
        value >>= 4
    return q + width


@kernel(I64(U8_OUT, I64, I64))
def packed_nb(out, q, packed):
    """Packed digits."""
    width, rest = 0, packed
    while rest > 0:
        rest >>= 4
        width += 1
    for place in range(width - 1, -1, -1):
        out[q + place] = 47 + (packed & 15)
        packed >>= 4
    return q + width


@kernel(I64(U8_OUT, I64, I64))
def dotted_nb(out, q, address):
    """An IPv4 address."""
    for shift in (24, 16, 8, 0):
        q = number_nb(out, q, address >> shift & 255)
        if shift:
            out[q] = 46
            q += 1
    return q


@kernel(types.UniTuple(I64, 3)(I64))
def civil_nb(days):
    """Year, month, day from days since 1970. Source: Howard Hinnant, "chrono-compatible low-level date algorithms"."""
    z = days + 719468
    era = z // 146097
    doe = z - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    return yoe + era * 400 + (1 if month <= 2 else 0), month, doy - (153 * mp + 2) // 5 + 1


@kernel(I64(U8_OUT, I64, I64, I64))
def iso_nb(out, q, utc_s, millisecond):
    """YYYY-MM-DDThh:mm:ss[.mmm]Z; no fraction when `millisecond` is negative."""
    year, month, day = civil_nb(utc_s // 86400)
    second = utc_s % 86400
    q = padded_nb(out, q, year, 4)
    out[q] = 45
    q = padded_nb(out, q + 1, month, 2)
    out[q] = 45
    q = padded_nb(out, q + 1, day, 2)
    out[q] = 84
    q = padded_nb(out, q + 1, second // 3600, 2)
    out[q] = 58
    q = padded_nb(out, q + 1, second // 60 % 60, 2)
    out[q] = 58
    q = padded_nb(out, q + 1, second % 60, 2)
    if millisecond >= 0:
        out[q] = 46
        q = padded_nb(out, q + 1, millisecond, 3)
    out[q] = 90
    return q + 1
