"""Plain bodies of charging data requests, a block of them in one pass: JSON to numbers.

Plain is what networks send: known fields of the right types, printable ASCII without escapes, no nulls, no fractions
where units are counted. Whatever is not plain, or wrong, is left to the slower reader (`pipelines.nchf.reading`), which
also knows how to say what is wrong; this one never refuses, and never takes what the other would refuse. An object
that names a key twice is not plain.

The text ends with an octet 0 behind each body, which no body may have and at which everything here stops.
"""

from pipelines.nchf.kernels.places import (
    BOOLEAN,
    CHANGE,
    F_BIT,
    F_CHILD,
    F_KIND,
    F_LEAST,
    F_MOST,
    F_NAME,
    F_NODE,
    F_PLACE,
    F_SIZE,
    HEXADECIMAL,
    INTEGER,
    MESSAGE_PLACES,
    N_EVENT,
    N_FROM,
    N_REQUIRED,
    N_TO,
    NO_EVENT,
    OBJECT,
    OBJECTS,
    OF_CONTAINER,
    OF_CONTAINER_TRIGGER,
    OF_REQUEST_TRIGGER,
    OF_UNIT,
    OFFLINE,
    OTHER,
    P_ASKED_DOWN,
    P_ASKED_TIME,
    P_ASKED_TOTAL,
    P_ASKED_UNITS,
    P_ASKED_UP,
    P_BEFORE,
    P_CHANGED,
    P_CONTAINERS,
    P_GROUP,
    P_OWN,
    P_OWN_CHANGE,
    P_OWN_REASON,
    P_OWN_TRIGGERS,
    P_QUOTA,
    P_REASON,
    P_SERVICE,
    P_SINCE,
    P_SINCE_COUNT,
    P_STAMPS,
    P_TRIGGER,
    P_TRIGGERS,
    P_UNIT_REASON,
    P_UNITS,
    P_UPF,
    P_USED_DOWN,
    P_USED_TIME,
    P_USED_TOTAL,
    P_USED_UNITS,
    P_USED_UP,
    P_WANTED,
    REASONS,
    SKIPPED,
    STRING,
    TIME,
    TIMES,
    U_AFTER,
    U_ASKED,
    U_GROUP,
    U_REASON,
    U_UPF,
    U_USED,
    W_CODE,
    W_SIZE,
    W_START,
)
from schemas.codes import Unit
from schemas.jit import kernel
from schemas.online import ReportingReason

ABSENT = -1
OTHERWISE = -2      # what is there is not plain
DEPTH = 24          # objects and arrays in each other
MOST_UNITS, MOST_ASKED = 1 << 60, 1 << 50
S_NODE, S_SEEN, S_KIND, S_CHILD, S_COUNTED, S_FIRST = range(6)  # of the stack; kind ABSENT: an object
STACK = 6
KEYS = 256          # keys that are no known field's, open at once
_OCTET, _SECOND = int(Unit.OCTET), int(Unit.SECOND)
_CONDITION = int(ReportingReason.RATING_CONDITION_CHANGE)
_FIRST, _ITEM, _NEXT = range(3)


@kernel(None)
def blank_nb(text, i):
    """The next place that is no white space."""
    while text[i] == 32 or text[i] == 10 or text[i] == 13 or text[i] == 9:
        i += 1
    return i


@kernel(None)
def string_nb(text, i):
    """Place of the quote that ends a string, of which `i` is the first letter; OTHERWISE for odd letters."""
    while True:
        c = text[i]
        if c == 34:
            return i
        if c < 32 or c >= 127 or c == 92:
            return OTHERWISE
        i += 1


@kernel(None)
def digits_nb(text, i, count):
    """A number of exactly so many digits; OTHERWISE."""
    value = 0
    for place in range(i, i + count):
        digit = text[place] - 48
        if digit < 0 or digit > 9:
            return OTHERWISE
        value = value * 10 + digit
    return value


@kernel(None)
def time_nb(text, start, stop):
    """Microseconds since 1970 of a time with a zone, as TS 29.571 writes it; OTHERWISE for rarer forms.

    Days from a date: Fliegel and Van Flandern's way, for years from 1971 to 2098.
    """
    if stop - start < 20 or text[start + 4] != 45 or text[start + 7] != 45 or text[start + 10] != 84 \
            or text[start + 13] != 58 or text[start + 16] != 58:
        return OTHERWISE
    year, month, day = digits_nb(text, start, 4), digits_nb(text, start + 5, 2), digits_nb(text, start + 8, 2)
    hour, minute = digits_nb(text, start + 11, 2), digits_nb(text, start + 14, 2)
    second = digits_nb(text, start + 17, 2)
    if year < 1971 or year > 2098 or month < 1 or month > 12 or day < 1 or hour < 0 or hour > 23 or minute < 0 \
            or minute > 59 or second < 0 or second > 59:
        return OTHERWISE
    longest = 31
    if month == 4 or month == 6 or month == 9 or month == 11:
        longest = 30
    elif month == 2:
        longest = 29 if year % 4 == 0 else 28  # 2000 is a leap year
    if day > longest:
        return OTHERWISE
    i, fraction, scale = start + 19, 0, 100_000
    if text[i] == 46:
        i += 1
        if text[i] < 48 or text[i] > 57:
            return OTHERWISE
        while text[i] >= 48 and text[i] <= 57:
            if scale == 0:
                return OTHERWISE
            fraction += (text[i] - 48) * scale
            scale //= 10
            i += 1
    offset = 0
    if text[i] == 90:
        i += 1
    elif text[i] == 43 or text[i] == 45:
        if i + 6 != stop or text[i + 3] != 58:
            return OTHERWISE
        hours, minutes = digits_nb(text, i + 1, 2), digits_nb(text, i + 4, 2)
        if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
            return OTHERWISE
        offset = (hours * 60 + minutes) * 60
        if text[i] == 45:
            offset = -offset
        i += 6
    else:
        return OTHERWISE  # a time without a zone
    if i != stop:
        return OTHERWISE
    shifted = year - 1 if month <= 2 else year
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468
    return (((days * 24 + hour) * 60 + minute) * 60 + second - offset) * 1_000_000 + fraction


@kernel(None)
def word_nb(text, reference, table, pool, words, codes):
    """Code of a word of a table, ABSENT for others. words: (tables, 2) ranges of `codes`."""
    start, size = reference >> 16, reference & 0xFFFF
    for row in range(words[table, 0], words[table, 1]):
        if codes[row, W_SIZE] == size:
            at, same = codes[row, W_START], 0
            while same < size and pool[at + same] == text[start + same]:
                same += 1
            if same == size:
                return codes[row, W_CODE]
    return ABSENT


@kernel(None)
def mark_nb(node, size, first, middle, last, mask):
    """Where the search for a field begins."""
    mixed = ((node * 31 + size) * 31 + first) * 31 + middle
    return (mixed * 31 + last + (mixed >> 7)) & mask


@kernel(None)
def field_nb(text, start, stop, node, slots, fields, pool):
    """Row of the field of an object that is called so, ABSENT for none."""
    size = stop - start
    if size == 0:
        return ABSENT
    mask = slots.size - 1
    slot = mark_nb(node, size, text[start], text[start + size // 2], text[stop - 1], mask)
    while slots[slot] != ABSENT:
        row = slots[slot]
        if fields[row, F_NODE] == node and fields[row, F_SIZE] == size:
            at, same = fields[row, F_NAME], 0
            while same < size and pool[at + same] == text[start + same]:
                same += 1
            if same == size:
                return row
        slot = slot + 1 & mask
    return ABSENT


@kernel(None)
def new_nb(text, start, stop, keys, first, count):
    """Note a key; False where there was the same since `first`, or are too many."""
    if count == KEYS:
        return False
    size = stop - start
    for other in range(first, count):
        if keys[other] & 0xFFFF == size:
            at, same = keys[other] >> 16, 0
            while same < size and text[at + same] == text[start + same]:
                same += 1
            if same == size:
                return False
    keys[count] = start << 16 | size
    return True


@kernel(None)
def plain_nb(text, begin, end, unit, fields, slots, nodes, pool, words, codes, limits, stack, keys, now, units,
             first_unit):
    """Read a body: its fields into `now` and its rating groups into `units` from `first_unit` on.

    Returns the number of rating groups, OTHERWISE where it is not plain.
    """
    i = blank_nb(text, begin)
    if text[i] != 123:
        return OTHERWISE
    for place in range(MESSAGE_PLACES[0], MESSAGE_PLACES[1]):
        now[place] = ABSENT
    now[P_UNITS] = now[P_CONTAINERS] = now[P_TRIGGERS] = 0
    depth, state, strange = 0, _FIRST, 0
    stack[0, S_NODE], stack[0, S_SEEN], stack[0, S_KIND], stack[0, S_FIRST] = 0, 0, ABSENT, 0
    i += 1
    while True:
        i = blank_nb(text, i)
        c = text[i]
        of_object = stack[depth, S_KIND] == ABSENT
        if state != _ITEM and c == (125 if of_object else 93):
            i += 1
            strange = stack[depth, S_FIRST]
            if of_object and stack[depth, S_NODE] >= 0:
                node = stack[depth, S_NODE]
                required = nodes[node, N_REQUIRED]
                if stack[depth, S_SEEN] & required != required:
                    return OTHERWISE
                event = nodes[node, N_EVENT]
                if event != NO_EVENT and not ended_nb(text, event, unit, pool, words, codes, limits, now, units,
                                                      first_unit):
                    return OTHERWISE
            depth -= 1
            if depth < 0:
                return now[P_UNITS] if blank_nb(text, i) == end else OTHERWISE
            state = _NEXT
            continue
        if state == _NEXT:
            if c != 44:
                return OTHERWISE
            i += 1
            state = _ITEM
            continue
        state = _NEXT
        # What comes now: of an object a name and its value, of an array a value.
        row, kind, child, place, least, most = ABSENT, SKIPPED, ABSENT, ABSENT, 0, 0
        if of_object:
            if c != 34:
                return OTHERWISE
            stop = string_nb(text, i + 1)
            if stop < 0:
                return OTHERWISE
            if stack[depth, S_NODE] >= 0:
                row = field_nb(text, i + 1, stop, stack[depth, S_NODE], slots, fields, pool)
            if row == ABSENT:
                if not new_nb(text, i + 1, stop, keys, stack[depth, S_FIRST], strange):
                    return OTHERWISE
                strange += 1
            i = blank_nb(text, stop + 1)
            if text[i] != 58:
                return OTHERWISE
            i = blank_nb(text, i + 1)
            c = text[i]
            if row != ABSENT:
                if stack[depth, S_SEEN] & fields[row, F_BIT]:
                    return OTHERWISE
                stack[depth, S_SEEN] |= fields[row, F_BIT]
                kind, child, place = fields[row, F_KIND], fields[row, F_CHILD], fields[row, F_PLACE]
                least, most = fields[row, F_LEAST], fields[row, F_MOST]
        else:
            kind, child = stack[depth, S_KIND], stack[depth, S_CHILD]
            if stack[depth, S_COUNTED] != ABSENT:
                now[stack[depth, S_COUNTED]] += 1
        if kind == OTHER:
            return OTHERWISE

        if c == 34:  # a string
            stop = string_nb(text, i + 1)
            if stop < 0:
                return OTHERWISE
            if kind == STRING or kind == HEXADECIMAL:
                size = stop - i - 1
                if size < least or size > most:
                    return OTHERWISE
                if kind == HEXADECIMAL:
                    for at in range(i + 1, stop):
                        small = text[at] | 32
                        if not (text[at] >= 48 and text[at] <= 57) and not (small >= 97 and small <= 102):
                            return OTHERWISE
                if place != ABSENT:
                    now[place] = (i + 1) << 16 | size
            elif kind == TIME:
                moment = time_nb(text, i + 1, stop)
                if moment == OTHERWISE:
                    return OTHERWISE
                if place != ABSENT:
                    now[place] = moment
            elif kind != SKIPPED:
                return OTHERWISE
            i = stop + 1
        elif c == 123 or c == 91:
            if depth + 1 == DEPTH:
                return OTHERWISE
            i += 1
            depth += 1
            stack[depth, S_FIRST] = strange
            state = _FIRST
            if c == 123:
                if kind != OBJECT and kind != SKIPPED:
                    return OTHERWISE
                stack[depth, S_NODE], stack[depth, S_SEEN], stack[depth, S_KIND] = child, 0, ABSENT
                if child != ABSENT:
                    for cleared in range(nodes[child, N_FROM], nodes[child, N_TO]):
                        now[cleared] = ABSENT
                    if nodes[child, N_EVENT] == OF_UNIT:
                        now[P_OWN] = now[P_BEFORE] = now[P_SINCE] = now[P_SINCE_COUNT] = now[P_CHANGED] = 0
                    elif nodes[child, N_EVENT] == OF_CONTAINER:
                        now[P_OWN_TRIGGERS] = now[P_OWN_CHANGE] = 0
                if place != ABSENT:
                    now[place] = 1
            else:
                if kind != OBJECTS and kind != TIMES and kind != SKIPPED:
                    return OTHERWISE
                stack[depth, S_NODE] = ABSENT
                stack[depth, S_KIND] = OBJECT if kind == OBJECTS else TIME if kind == TIMES else SKIPPED
                stack[depth, S_CHILD], stack[depth, S_COUNTED] = child, place
                if place != ABSENT:
                    now[place] = 0
        elif c == 45 or (c >= 48 and c <= 57):  # a number
            if kind != INTEGER and kind != SKIPPED:
                return OTHERWISE
            if c == 45:
                i += 1
                if kind != SKIPPED:
                    return OTHERWISE
            start, value = i, 0
            while text[i] >= 48 and text[i] <= 57:
                value = value * 10 + (text[i] - 48)
                i += 1
                if i - start > 18:
                    return OTHERWISE
            if i == start or (text[start] == 48 and i - start > 1):
                return OTHERWISE
            if text[i] == 46 and kind == SKIPPED:
                i += 1
                start = i
                while text[i] >= 48 and text[i] <= 57:
                    i += 1
                if i == start or i - start > 15:
                    return OTHERWISE
            if text[i] == 46 or text[i] == 101 or text[i] == 69:
                return OTHERWISE
            if kind == INTEGER:
                if value < least or value > most:
                    return OTHERWISE
                if place != ABSENT:
                    now[place] = value
        elif c == 116 and text[i + 1] == 114 and text[i + 2] == 117 and text[i + 3] == 101:
            if kind != BOOLEAN and kind != SKIPPED:
                return OTHERWISE
            if place != ABSENT:
                now[place] = 1
            i += 4
        elif c == 102 and text[i + 1] == 97 and text[i + 2] == 108 and text[i + 3] == 115 and text[i + 4] == 101:
            if kind != BOOLEAN and kind != SKIPPED:
                return OTHERWISE
            if place != ABSENT:
                now[place] = 0
            i += 5
        else:
            return OTHERWISE


@kernel(None)
def ended_nb(text, event, unit, pool, words, codes, limits, now, units, first_unit):
    """An object that counts for something has ended. False where only the slower reader knows what it comes to."""
    if event == OF_CONTAINER_TRIGGER or event == OF_REQUEST_TRIGGER:
        code = ABSENT
        if now[P_TRIGGER] != ABSENT:
            code = word_nb(text, now[P_TRIGGER], REASONS, pool, words, codes)
        if event == OF_REQUEST_TRIGGER:
            now[P_TRIGGERS] += 1
            if code >= 0 and now[P_REASON] == ABSENT:
                now[P_REASON] = code
        else:
            now[P_OWN_TRIGGERS] += 1
            if code == CHANGE:
                now[P_OWN_CHANGE] = 1
            elif code >= 0 and now[P_OWN_REASON] == ABSENT:
                now[P_OWN_REASON] = code
        return True
    if event == OF_CONTAINER:
        now[P_CONTAINERS] += 1
        if now[P_CONTAINERS] > limits[1]:
            return False
        if now[P_SERVICE] != ABSENT and now[P_QUOTA] != ABSENT and \
                word_nb(text, now[P_QUOTA], OFFLINE, pool, words, codes) != ABSENT:
            return False
        if unit == _OCTET:
            used = now[P_USED_TOTAL]
            if used == ABSENT:
                used = max(now[P_USED_UP], 0) + max(now[P_USED_DOWN], 0)
        elif unit == _SECOND:
            used = max(now[P_USED_TIME], 0)
        else:
            used = now[P_USED_UNITS] if now[P_USED_UNITS] != ABSENT else max(now[P_STAMPS], 0)
        if now[P_OWN_TRIGGERS] > 0 and (now[P_UNIT_REASON] == ABSENT or now[P_UNIT_REASON] == _CONDITION):
            now[P_UNIT_REASON] = now[P_OWN_REASON] if now[P_OWN_REASON] != ABSENT else _CONDITION
        now[P_OWN] += 1
        now[P_SINCE] += used
        now[P_SINCE_COUNT] += 1
        if now[P_OWN_CHANGE]:
            now[P_BEFORE] += now[P_SINCE]
            now[P_SINCE] = now[P_SINCE_COUNT] = 0
            now[P_CHANGED] = 1
        return now[P_BEFORE] + now[P_SINCE] <= MOST_UNITS

    # OF_UNIT: a rating group.
    count = now[P_UNITS]
    if count == limits[0] or first_unit + count == units.shape[0]:
        return False
    for other in range(first_unit, first_unit + count):
        if units[other, U_GROUP] == now[P_GROUP]:
            return False
    asked = ABSENT
    if now[P_WANTED] != ABSENT:
        if unit == _OCTET:
            asked = now[P_ASKED_TOTAL]
            if asked == ABSENT:
                asked = max(now[P_ASKED_UP], 0) + max(now[P_ASKED_DOWN], 0)
        else:
            asked = max(now[P_ASKED_TIME] if unit == _SECOND else now[P_ASKED_UNITS], 0)
        asked = min(asked, MOST_ASKED)
    row = first_unit + count
    units[row, U_GROUP], units[row, U_ASKED], units[row, U_UPF] = now[P_GROUP], asked, now[P_UPF]
    units[row, U_USED] = units[row, U_AFTER] = ABSENT
    if now[P_OWN] == 1 or (now[P_OWN] > 0 and not now[P_CHANGED]):
        units[row, U_USED] = now[P_BEFORE] + now[P_SINCE]
    elif now[P_OWN] > 0:
        units[row, U_USED] = now[P_BEFORE]
        if now[P_SINCE_COUNT] > 0:
            units[row, U_AFTER] = now[P_SINCE]
    units[row, U_REASON] = now[P_UNIT_REASON]
    now[P_UNITS] = count + 1
    return True


