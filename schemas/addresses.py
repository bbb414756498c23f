"""IP addresses as int64 values behind tokens: IPv4 its number, IPv6 a hash of its 16 octets above 2^62."""

import numpy as np

from schemas.hashing import absorb_hi_nb, absorb_lo_nb
from schemas.jit import kernel

_IPV6 = np.int64(1 << 62)
_MASK = np.int64((1 << 62) - 1)
BAD_ADDRESS = -1


@kernel(None)
def ipv6_value_nb(high, low):  # type: ignore[no-untyped-def]
    """Value of an IPv6 address given as two words of 64 bits."""
    state = absorb_lo_nb(absorb_hi_nb(np.uint64(6), high), low)
    return np.int64(state >> np.uint64(2)) & _MASK | _IPV6


@kernel(None)
def _ipv4_nb(buffer, start, stop):  # type: ignore[no-untyped-def]
    """Dotted decimal as a number, or BAD_ADDRESS."""
    value, octet, digits, parts = 0, 0, 0, 1
    for i in range(start, stop):
        c = buffer[i]
        if 48 <= c <= 57 and digits < 3:
            octet = octet * 10 + (c - 48)
            digits += 1
        elif c == 46 and digits > 0 and octet < 256 and parts < 4:
            value, octet, digits, parts = value << 8 | octet, 0, 0, parts + 1
        else:
            return BAD_ADDRESS
    if parts != 4 or digits == 0 or octet > 255:
        return BAD_ADDRESS
    return np.int64(value << 8 | octet)


@kernel(None)
def address_value_nb(buffer, start, length):  # type: ignore[no-untyped-def]
    """Value of an address written as text (RFC 4291 for IPv6) or as 4 or 16 raw octets; BAD_ADDRESS if neither.

    Text is tried first: no IPv4 text has 4 octets, and 16 raw octets that are all hexadecimal digits and colons
    in the right places lie in no assigned range.
    """
    stop = start + length
    value = _ipv4_nb(buffer, start, stop)
    if value >= 0:
        return value
    high, low, groups, gap, digits, group, good = np.int64(0), np.int64(0), 0, -1, 0, np.int64(0), length > 1
    i = start
    if length >= 2 and buffer[start] == 58 and buffer[start + 1] == 58:
        gap, i = 0, start + 2
    while i < stop and good:
        c = buffer[i]
        if 48 <= c <= 57:
            digit = np.int64(c - 48)
        elif 97 <= c | 32 <= 102:
            digit = np.int64((c | 32) - 87)
        else:
            digit = np.int64(-1)
        if digit >= 0 and digits < 4:
            group = group << 4 | digit
            digits += 1
        elif c == 58 and digits > 0 and groups < 7 and i + 1 < stop:
            # A finished group moves into the 128 bits from below; the gap of `::` is opened at the end.
            high, low = high << 16 | low >> 48 & 0xFFFF, low << 16 | group
            groups, digits, group = groups + 1, 0, np.int64(0)
            if buffer[i + 1] == 58:
                good = gap < 0
                gap = groups
                i += 1
        else:
            good = False
        i += 1
    if good and digits > 0:
        high, low = high << 16 | low >> 48 & 0xFFFF, low << 16 | group
        groups += 1
    if good and ((groups == 8 and gap < 0) or (gap >= 0 and groups < 8)):
        if gap >= 0:
            behind = groups - gap  # groups after `::` stay below, those before move up by what is missing
            for _ in range(8 - groups):
                keep_high, keep_low = _below_nb(high, low, behind)
                up_high, up_low = high ^ keep_high, low ^ keep_low
                high, low = up_high << 16 | up_low >> 48 & 0xFFFF | keep_high, up_low << 16 | keep_low
        return ipv6_value_nb(high, low)
    if length == 4 or length == 16:
        high, low = np.int64(0), np.int64(0)
        for i in range(start, stop):
            high, low = high << 8 | low >> 56 & 0xFF, low << 8 | np.int64(buffer[i])
        return low if length == 4 else ipv6_value_nb(high, low)
    return np.int64(BAD_ADDRESS)


@kernel(None)
def _below_nb(high, low, groups):  # type: ignore[no-untyped-def]
    """The lowest `groups` groups of 16 bits, the rest zero."""
    if groups <= 0:
        return np.int64(0), np.int64(0)
    if groups < 4:
        return np.int64(0), low & (np.int64(1) << 16 * groups) - 1
    if groups == 4:
        return np.int64(0), low
    return high & (np.int64(1) << 16 * (groups - 4)) - 1, low
