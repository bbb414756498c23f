"""One field of a BER record: from its octets to a cell.

Every conversion returns (value, number type, reason): ABSENT for a field that holds nothing, a Reason other than OK
for one that cannot be read. Text references are `offset << 16 | length`.
"""

from numba import types

from mediation.formats.conversions import (
    C_ADDRESS,
    C_BOOL,
    C_DIGITS,
    C_IMEI,
    C_INT,
    C_IP_NUMBER,
    C_IPV4,
    C_IPV4_TEXT,
    C_IPV6,
    C_IPV6_TEXT,
    C_PLMN,
    C_PRESENT,
    C_QUANTITY,
    C_SMS_ADDRESS,
    C_TBCD,
    C_TEXT,
    C_TIMESTAMP9,
    C_UINT,
    C_URI,
)
from mediation.kernels.octets import at_nb
from schemas.codes import NumberType, Reason
from schemas.jit import I64_OUT, U8_IN, kernel

ABSENT = -1
OK = int(Reason.OK)
BAD_VALUE = int(Reason.BAD_VALUE)
BAD_NUMBER = int(Reason.BAD_NUMBER)
BAD_TIME = int(Reason.BAD_TIME)
NEGATIVE_QUANTITY = int(Reason.NEGATIVE_QUANTITY)
UNKNOWN, INTERNATIONAL = int(NumberType.UNKNOWN), int(NumberType.INTERNATIONAL)
NATIONAL, NETWORK_SPECIFIC = int(NumberType.NATIONAL), int(NumberType.NETWORK_SPECIFIC)
SHORT_CODE, TEXT = int(NumberType.SHORT_CODE), int(NumberType.TEXT)

MAX_DIGITS = 15
IMEI_DIGITS = 14
MAX_TEXT = 0xFFFF
DAY_US = 86_400_000_000


@kernel(None, forceinline=True)
def signed_nb(buffer, start, length):
    """Two's complement of 1 to 8 octets (more when they only repeat the sign)."""
    if length < 1:
        return ABSENT, UNKNOWN, BAD_VALUE
    sign = -1 if at_nb(buffer, start) & 0x80 else 0
    while length > 8 and at_nb(buffer, start) == (sign & 0xFF):
        start += 1
        length -= 1
    if length > 8 or (length == 8 and (at_nb(buffer, start) >= 0x80) != (sign == -1)):
        return ABSENT, UNKNOWN, BAD_VALUE
    value = sign
    for i in range(start, start + length):
        value = value << 8 | at_nb(buffer, i)
    return value, UNKNOWN, OK


@kernel(None, forceinline=True)
def unsigned_nb(buffer, start, length):
    """Octets as an unsigned number below 2^63."""
    while length > 1 and at_nb(buffer, start) == 0:
        start += 1
        length -= 1
    if length < 1 or length > 8 or (length == 8 and at_nb(buffer, start) >= 0x80):
        return ABSENT, UNKNOWN, BAD_VALUE
    value = 0
    for i in range(start, start + length):
        value = value << 8 | at_nb(buffer, i)
    return value, UNKNOWN, OK


@kernel(None, forceinline=True)
def tbcd_nb(buffer, start, length, limit):
    """Packed digits of a TBCD string. Digits beyond `limit` are not packed when it is below 15; more than 15 are a
    BAD_NUMBER; a filler that is not the last nibble is a BAD_VALUE."""
    value, digits = 0, 0
    for i in range(start, start + length):
        low, high = at_nb(buffer, i) & 15, at_nb(buffer, i) >> 4
        if low == 15:
            if high == 15 and i == start + length - 1:
                break  # a whole octet of filler
            return ABSENT, UNKNOWN, BAD_VALUE
        if digits < limit:
            value = value << 4 | low + 1
        digits += 1
        if high == 15:
            if i != start + length - 1 and not (i == start + length - 2 and at_nb(buffer, i + 1) == 0xFF):
                return ABSENT, UNKNOWN, BAD_VALUE
            break
        if digits < limit:
            value = value << 4 | high + 1
        digits += 1
    if digits > MAX_DIGITS and limit >= MAX_DIGITS:
        return ABSENT, UNKNOWN, BAD_NUMBER
    if digits == 0:
        return ABSENT, UNKNOWN, OK
    return value, UNKNOWN, OK


@kernel(None)
def number_type_nb(octet):
    """Type of number from the octet before the digits. Source: TS 24.008 table 10.5.118, TS 29.002 AddressString."""
    nature = octet >> 4 & 7
    if nature == 1:
        return INTERNATIONAL
    if nature == 2:
        return NATIONAL
    if nature == 3:
        return NETWORK_SPECIFIC
    if nature == 4 or nature == 6:
        return SHORT_CODE
    return UNKNOWN


@kernel(None)
def reference_nb(start, length):
    if length > MAX_TEXT:
        return ABSENT, TEXT, BAD_VALUE
    if length == 0:
        return ABSENT, TEXT, OK
    return start << 16 | length, TEXT, OK


@kernel(None)
def address_nb(buffer, start, length):
    if length < 1:
        return ABSENT, UNKNOWN, BAD_VALUE
    kind = number_type_nb(at_nb(buffer, start))
    skip = 1
    if at_nb(buffer, start) & 0x80 == 0:  # octet 3a follows: presentation and screening
        skip = 2
    if length < skip:
        return ABSENT, UNKNOWN, BAD_VALUE
    value, _, reason = tbcd_nb(buffer, start + skip, length - skip, MAX_DIGITS)
    return value, kind, reason


@kernel(None)
def sms_address_nb(buffer, start, length):
    if length < 1:
        return ABSENT, UNKNOWN, BAD_VALUE
    if at_nb(buffer, start) & 0x80 == 0:  # the length in half octets; a type of address always has its top bit set
        start += 1
        length -= 1
        if length < 1:
            return ABSENT, UNKNOWN, BAD_VALUE
    if at_nb(buffer, start) >> 4 & 7 == 5:  # alphanumeric: seven-bit characters
        return reference_nb(start + 1, length - 1)
    kind = number_type_nb(at_nb(buffer, start))
    value, _, reason = tbcd_nb(buffer, start + 1, length - 1, MAX_DIGITS)
    return value, kind, reason


@kernel(None)
def characters_nb(buffer, start, stop, uri):
    """Digits as characters. Returns (packed, digits, international, where reading stopped).

    In a URI visual separators are skipped (RFC 3966).
    """
    value, digits, international = 0, 0, False
    i = start
    if i < stop and at_nb(buffer, i) == 0x2B:
        international = True
        i += 1
    while i < stop:
        c = at_nb(buffer, i)
        if 0x30 <= c <= 0x39:
            digit = c - 0x30
        elif c == 0x2A and not international:
            digit = 10
        elif c == 0x23 and not international:
            digit = 11
        elif uri and (c == 0x2D or c == 0x2E or c == 0x28 or c == 0x29):
            i += 1
            continue
        else:
            break
        if digits < MAX_DIGITS:
            value = value << 4 | digit + 1
        digits += 1
        i += 1
    return value, digits, international, i


@kernel(None)
def digits_nb(buffer, start, length):
    """A number in characters; anything else is text."""
    value, digits, international, i = characters_nb(buffer, start, start + length, False)
    if length == 0:
        return ABSENT, UNKNOWN, OK
    if i < start + length or digits == 0:
        return reference_nb(start, length)
    if digits > MAX_DIGITS:
        return ABSENT, UNKNOWN, BAD_NUMBER
    return value, INTERNATIONAL if international else UNKNOWN, OK


@kernel(None)
def _scheme_nb(buffer, start, stop):
    """Length of a URI's scheme with its colon, and whether it is tel: (0, False) for none."""
    if stop - start >= 4 and at_nb(buffer, start + 3) == 0x3A:
        a, b, c = at_nb(buffer, start) | 0x20, at_nb(buffer, start + 1) | 0x20, at_nb(buffer, start + 2) | 0x20
        if a == 0x74 and b == 0x65 and c == 0x6C:
            return 4, True
        if a == 0x73 and b == 0x69 and c == 0x70:
            return 4, False
    if stop - start >= 5 and at_nb(buffer, start + 4) == 0x3A and at_nb(buffer, start) | 0x20 == 0x73 \
            and at_nb(buffer, start + 1) | 0x20 == 0x69 and at_nb(buffer, start + 2) | 0x20 == 0x70 \
            and at_nb(buffer, start + 3) | 0x20 == 0x73:
        return 5, False
    return 0, False


@kernel(None)
def uri_nb(buffer, start, length):
    """The number of a tel URI, or of the user part of a SIP URI; otherwise the whole as text."""
    stop = start + length
    begin = start
    if length > 0 and at_nb(buffer, begin) == 0x3C:
        begin += 1
    skip, tel = _scheme_nb(buffer, begin, stop)
    value, digits, international, i = characters_nb(buffer, begin + skip, stop, True)
    ends = i == stop or at_nb(buffer, i) == 0x3B or at_nb(buffer, i) == 0x3E
    if not tel:  # digits are a number only as a user part: sip:10.0.0.1 is a host
        at = i
        if ends:
            while at < stop and at_nb(buffer, at) != 0x40:
                at += 1
        ends = at < stop and at_nb(buffer, at) == 0x40
    if not ends or digits == 0:
        return reference_nb(start, length)
    if digits > MAX_DIGITS:
        return ABSENT, UNKNOWN, BAD_NUMBER
    return value, INTERNATIONAL if international else UNKNOWN, OK


@kernel(None)
def days_nb(year, month, day):
    """Days since 1970-01-01 of a Gregorian date (years from March, so that the leap day comes last)."""
    if month <= 2:
        year -= 1
        month += 9
    else:
        month -= 3
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719469


@kernel(None)
def month_days_nb(year, month):
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@kernel(None, forceinline=True)
def timestamp9_nb(buffer, start, length):
    """TimeStamp of TS 32.298 to microseconds UTC; years 80 to 99 are of the last century."""
    if length != 9:
        return ABSENT, UNKNOWN, BAD_VALUE
    bad = 0
    for i in range(9):
        b = at_nb(buffer, start + i)
        if i != 6 and (b > 0x99 or b & 15 > 9):
            bad += 1
    sign = at_nb(buffer, start + 6)
    if bad != 0 or (sign != 0x2B and sign != 0x2D):
        return ABSENT, UNKNOWN, BAD_VALUE
    b = at_nb(buffer, start)
    year = 2000 + (b >> 4) * 10 + (b & 15)
    if year >= 2080:
        year -= 100
    b = at_nb(buffer, start + 1)
    month = (b >> 4) * 10 + (b & 15)
    b = at_nb(buffer, start + 2)
    day = (b >> 4) * 10 + (b & 15)
    b = at_nb(buffer, start + 3)
    hour = (b >> 4) * 10 + (b & 15)
    b = at_nb(buffer, start + 4)
    minute = (b >> 4) * 10 + (b & 15)
    b = at_nb(buffer, start + 5)
    second = (b >> 4) * 10 + (b & 15)
    b = at_nb(buffer, start + 7)
    offset = ((b >> 4) * 10 + (b & 15)) * 60
    b = at_nb(buffer, start + 8)
    away = (b >> 4) * 10 + (b & 15)
    if month < 1 or month > 12 or day < 1 or hour > 23 or minute > 59 or second > 59 or offset > 1440 or away > 59:
        return ABSENT, UNKNOWN, BAD_TIME
    if day > 28 and day > month_days_nb(year, month):
        return ABSENT, UNKNOWN, BAD_TIME
    offset += away
    if sign == 0x2D:
        offset = -offset
    seconds = ((days_nb(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second
    return seconds * 1_000_000, UNKNOWN, OK


@kernel(None)
def plmn_nb(buffer, start, length):
    """MCC * 1000 + MNC; a network code of two digits has a filler for its third."""
    if length != 3:
        return ABSENT, UNKNOWN, BAD_VALUE
    a, b, c = at_nb(buffer, start), at_nb(buffer, start + 1), at_nb(buffer, start + 2)
    mcc = (a & 15) * 100 + (a >> 4) * 10 + (b & 15)
    mnc = (c & 15) * 10 + (c >> 4)
    if a & 15 > 9 or a >> 4 > 9 or b & 15 > 9 or c & 15 > 9 or c >> 4 > 9:
        return ABSENT, UNKNOWN, BAD_VALUE
    third = b >> 4
    if third != 15:
        if third > 9:
            return ABSENT, UNKNOWN, BAD_VALUE
        mnc = mnc * 10 + third
    return mcc * 1000 + mnc, UNKNOWN, OK


@kernel(None)
def ipv4_text_nb(buffer, start, length):
    value, part, digits, dots = 0, 0, 0, 0
    for i in range(start, start + length):
        c = at_nb(buffer, i)
        if 0x30 <= c <= 0x39 and digits < 3:
            part = part * 10 + c - 0x30
            digits += 1
        elif c == 0x2E and digits > 0 and part < 256 and dots < 3:
            value = value << 8 | part
            part, digits = 0, 0
            dots += 1
        else:
            return ABSENT, UNKNOWN, BAD_VALUE
    if dots != 3 or digits == 0 or part > 255:
        return ABSENT, UNKNOWN, BAD_VALUE
    return value << 8 | part, UNKNOWN, OK


@kernel(None)
def ip_number_nb(buffer, start, length):
    """IPv4 as a number; of sixteen octets a 62-bit hash with the top one of them set (FNV-1a)."""
    if length == 4:
        return unsigned_nb(buffer, start, 4)
    if length != 16:
        return ABSENT, UNKNOWN, BAD_VALUE
    value = 0x4BF29CE484222325
    for i in range(start, start + 16):
        value = (value ^ at_nb(buffer, i)) * 0x100000001B3
    return value & 0x1FFFFFFFFFFFFFFF | 0x2000000000000000, UNKNOWN, OK


@kernel(None, forceinline=True)
def convert_nb(code, buffer, start, length):
    """One field. (value, number type or text flag, reason)."""
    if code == C_UINT:
        return unsigned_nb(buffer, start, length)
    if code == C_QUANTITY or code == C_INT:
        value, kind, reason = signed_nb(buffer, start, length)
        if reason == OK and value < 0:
            return ABSENT, kind, NEGATIVE_QUANTITY if code == C_QUANTITY else BAD_VALUE
        return value, kind, reason
    if code == C_TIMESTAMP9:
        return timestamp9_nb(buffer, start, length)
    if code == C_TEXT:
        return reference_nb(start, length)
    if code == C_TBCD:
        return tbcd_nb(buffer, start, length, MAX_DIGITS)
    if code == C_IMEI:
        return tbcd_nb(buffer, start, length, IMEI_DIGITS)
    if code == C_ADDRESS:
        return address_nb(buffer, start, length)
    if code == C_SMS_ADDRESS:
        return sms_address_nb(buffer, start, length)
    if code == C_PLMN:
        return plmn_nb(buffer, start, length)
    if code == C_IPV4:
        if length != 4:
            return ABSENT, 0, BAD_VALUE
        return unsigned_nb(buffer, start, length)
    if code == C_IPV6:
        if length != 16:
            return ABSENT, 0, BAD_VALUE
        return start << 16 | length, 1, OK
    if code == C_IP_NUMBER:
        return ip_number_nb(buffer, start, length)
    if code == C_DIGITS:
        return digits_nb(buffer, start, length)
    if code == C_URI:
        return uri_nb(buffer, start, length)
    if code == C_IPV4_TEXT:
        return ipv4_text_nb(buffer, start, length)
    if code == C_IPV6_TEXT:
        value, _, reason = reference_nb(start, length)
        return value, 1, reason
    if code == C_BOOL:
        if length != 1:
            return ABSENT, UNKNOWN, BAD_VALUE
        return 1 if at_nb(buffer, start) != 0 else 0, UNKNOWN, OK
    if code == C_PRESENT:
        return 1, UNKNOWN, OK
    return ABSENT, UNKNOWN, BAD_VALUE


@kernel([types.void(types.int64, U8_IN, I64_OUT)])
def convert_one_nb(code, octets, result):
    """One field by itself, for `describe`: value, number type, reason."""
    result[0], result[1], result[2] = convert_nb(code, octets, 0, octets.size)
