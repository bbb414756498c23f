"""Numbers and times as text, written forwards by kernels. Each function returns the new position."""

from numba import types

from schemas.jit import U8_OUT, kernel

I64 = types.int64


@kernel(I64(U8_OUT, I64, I64))
def number_nb(out, q, value):  # type: ignore[no-untyped-def]
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
def padded_nb(out, q, value, width):  # type: ignore[no-untyped-def]
    """A number with leading zeros."""
    for place in range(width - 1, -1, -1):
        out[q + place] = 48 + value % 10
        value //= 10
    return q + width


@kernel(types.UniTuple(I64, 3)(I64))
def civil_nb(days):  # type: ignore[no-untyped-def]
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
def iso_nb(out, q, utc_s, millisecond):  # type: ignore[no-untyped-def]
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
