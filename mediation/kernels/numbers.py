"""Numbers as dialled or signalled, to E.164 by the number plan."""

import numpy as np
from numba import types

from reference_data.number_plan import (
    COUNTRY,
    COUNTRY_DIGITS,
    INTERNATIONAL,
    INTERNATIONAL_DIGITS,
    NATIONAL,
    NATIONAL_DIGITS,
    NUMBER_MAX,
    NUMBER_MIN,
    PLAIN_NATIONAL,
    SHORT_MAX,
    SHORT_MIN,
)
from schemas.codes import NumberClass, NumberType
from schemas.digits import digit_count_nb
from schemas.hashing import bytes_hash_nb
from schemas.jit import I64_IN, I64_OUT, U8_IN, kernel
from schemas.prefix import prefix_leaf_nb

I32_IN = types.Array(types.int32, 1, "C", readonly=True)
ABSENT = -1

_UNKNOWN, _INTERNATIONAL, _NATIONAL = int(NumberType.UNKNOWN), int(NumberType.INTERNATIONAL), int(NumberType.NATIONAL)
_NETWORK, _SHORT, _TEXT = int(NumberType.NETWORK_SPECIFIC), int(NumberType.SHORT_CODE), int(NumberType.TEXT)
ORDINARY, EMERGENCY, SHORT_CODE = int(NumberClass.ORDINARY), int(NumberClass.EMERGENCY), int(NumberClass.SHORT_CODE)
TEXT, NONE = int(NumberClass.TEXT), int(NumberClass.NONE)
BAD = -2  # in place of a class: no number of this plan
_TEXT_SEED = np.uint64(0x7461726966615458)
_MASK63 = np.uint64(0x7FFFFFFFFFFFFFFF)


@kernel(None)
def text_value_nb(buffer, start, length):
    """63-bit value of a text, as tokens and session keys take it."""
    return np.int64(bytes_hash_nb(buffer, start, length, _TEXT_SEED) & _MASK63)


@kernel(None)
def _lower_nb(c):
    return c | 32 if 65 <= c <= 90 else c


@kernel(None)
def _begins_nb(buffer, start, stop, word):
    """Whether buffer[start:stop] begins with `word` (lower case), whatever its case."""
    if stop - start < len(word):
        return False
    for i in range(len(word)):
        if _lower_nb(buffer[start + i]) != word[i]:
            return False
    return True


_SIP, _SIPS, _TEL = tuple(b"sip:"), tuple(b"sips:"), tuple(b"tel:")
_SOS = tuple(b"urn:service:sos")


@kernel(None)
def text_number_nb(buffer, start, length):
    """A SIP or tel URI, or bare text: (kind, packed digits or text value, start, length of the part that identifies).

    Kind is a `NumberType`: INTERNATIONAL behind a plus, UNKNOWN for other digits, SHORT_CODE for the emergency
    URN, with packed 0 (RFC 5031), TEXT for names; -1 for more digits than a number has. Source: RFC 3261, 3966.
    """
    stop = start + length
    if _begins_nb(buffer, start, stop, _SOS):
        return _SHORT, np.int64(0), start, length
    if _begins_nb(buffer, start, stop, _SIP) or _begins_nb(buffer, start, stop, _TEL):
        start += 4
    elif _begins_nb(buffer, start, stop, _SIPS):
        start += 5
    end = start
    while end < stop and buffer[end] != 64 and buffer[end] != 59:  # @ ;
        end += 1
    first = start
    kind = _UNKNOWN
    if first < end and buffer[first] == 43:
        kind = _INTERNATIONAL
        first += 1
    packed, digits = np.int64(0), 0
    for i in range(first, end):
        c = buffer[i]
        if 48 <= c <= 57:
            digits += 1
            if digits <= 15:
                packed = packed << 4 | np.int64(c - 47)
        elif c == 42 and digits < 15:    # *
            digits += 1
            packed = packed << 4 | 11
        elif c == 35 and digits < 15:    # #
            digits += 1
            packed = packed << 4 | 12
        elif c not in (45, 46, 40, 41):  # visual separators - . ( )
            return _TEXT, text_value_nb(buffer, start, end - start), start, end - start
    if digits == 0:
        return _TEXT, text_value_nb(buffer, start, end - start), start, end - start
    if digits > 15:
        return -1, np.int64(0), start, end - start
    return kind, packed, start, end - start


@kernel(None)
def _only_digits_nb(packed):
    # Five added to a nibble above 10 carries into its neighbour; odd and even nibbles apart, all at once.
    odd = (packed & 0x0F0F0F0F0F0F0F0F) + 0x0505050505050505
    even = (packed >> 4 & 0x0F0F0F0F0F0F0F0F) + 0x0505050505050505
    return (odd | even) & 0x1010101010101010 == 0


@kernel(None)
def e164_nb(packed, number_type, rules, emergency, class_slots, class_leaves):
    """(number, class): E.164 for ordinary, toll-free and premium numbers, as dialled for short and emergency ones.

    ABSENT and NONE without a number; class BAD when the plan can't read it. Emergency and short codes come before
    E.164: 112 is no number of any country.
    """
    if packed <= 0:
        return np.int64(ABSENT), NONE
    for i in range(emergency.size):
        if emergency[i] == packed:
            return packed, EMERGENCY
    digits = digit_count_nb(packed)
    short = digits <= rules[SHORT_MAX]
    if number_type == _SHORT or not _only_digits_nb(packed) or (number_type == _NETWORK and short):
        # Service codes with * and # are the network's own business, whatever their length.
        if number_type == _INTERNATIONAL or number_type == _NATIONAL:
            return packed, BAD
        return packed, SHORT_CODE
    behind_international = digits - rules[INTERNATIONAL_DIGITS]
    behind_national = digits - rules[NATIONAL_DIGITS]
    with_international = behind_international > 0 and packed >> 4 * behind_international == rules[INTERNATIONAL]
    with_national = rules[NATIONAL_DIGITS] > 0 and behind_national > 0 and \
        packed >> 4 * behind_national == rules[NATIONAL]
    country_digits = np.int64(0)
    if with_international and number_type != _NATIONAL:
        number = packed & (np.int64(1) << 4 * behind_international) - 1
        digits = behind_international
    elif number_type == _INTERNATIONAL:
        number = packed
    elif with_national:
        number = packed & (np.int64(1) << 4 * behind_national) - 1
        digits = behind_national
        country_digits = rules[COUNTRY_DIGITS]
    elif short and digits >= rules[SHORT_MIN]:
        return packed, SHORT_CODE
    else:
        number = packed
        if number_type == _NATIONAL or rules[PLAIN_NATIONAL] == 1:
            country_digits = rules[COUNTRY_DIGITS]
    if digits + country_digits > rules[NUMBER_MAX] or digits + country_digits < rules[NUMBER_MIN]:
        return packed, BAD
    if country_digits > 0:
        number |= rules[COUNTRY] << 4 * digits
    elif number >> 4 * (digits - 1) == 1:
        return packed, BAD  # no country code begins with 0
    leaf = prefix_leaf_nb(number, class_slots, 0, class_leaves)
    return number, leaf >> 4 if leaf >= 0 else ORDINARY


@kernel(types.void(U8_IN, I64_IN, I64_IN, I64_IN, I64_IN, I32_IN, I64_IN, I64_OUT, I64_OUT, I64_OUT))
def numbers_nb(buffer, raw, number_type, rules, emergency, class_slots, class_leaves, value, number_class, text):
    """Normalise a column of numbers.

    value: E.164 or dialled packed digits, or the value of a text; ABSENT for none. number_class: `NumberClass`, or
    BAD. text: reference of the identifying part where the value stands for a text, ABSENT otherwise.
    """
    for i in range(raw.size):
        packed, kind = raw[i], number_type[i]
        text[i] = ABSENT
        if kind == _TEXT and packed != ABSENT:
            kind, packed, start, length = text_number_nb(buffer, packed >> 16, packed & 0xFFFF)
            if kind == _SHORT:
                value[i], number_class[i] = ABSENT, EMERGENCY
                continue
            if kind == _TEXT:
                value[i], number_class[i] = packed, NONE
                if length > 0:
                    number_class[i] = TEXT
                    text[i] = np.int64(start) << 16 | length
                else:
                    value[i] = ABSENT
                continue
            if kind < 0:
                value[i], number_class[i] = ABSENT, BAD
                continue
        value[i], number_class[i] = e164_nb(packed, kind, rules, emergency, class_slots, class_leaves)
