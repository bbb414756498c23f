"""Octets of many connections to rows of messages and units: one walk over the AVPs of each message.

Every octet that is read lies before the end of its segment: an AVP is entered only after its length was held against
what is left of the group around it.
"""

from numba import types

from mediation.kernels.octets import at_nb, cell_nb
from pipelines.diameter import operations as o
from pipelines.diameter.columns import BLOCK, MESSAGE, UNIT, UnitKind
from pipelines.diameter.kernels.names import derived_nb
from pipelines.diameter.kernels.values import (
    address_nb,
    context_nb,
    digits_only_nb,
    half_nb,
    key_nb,
    number_nb,
    plmn_nb,
    same_nb,
    time_nb,
    word_nb,
    zone_nb,
)
from pipelines.diameter.results import Command, Result
from pipelines.diameter.rules import ACTION_BIT
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, kernel

ABSENT = -1
HEADER = 20
I16_IN = types.Array(types.int16, 1, "C", readonly=True)
I16_TABLE = types.Array(types.int16, 2, "C", readonly=True)

(RESULT, FAILED_CODE, FAILED_VENDOR, FAILED, FAILED_ZEROS, SEGMENT, OFFSET, LENGTH, AVPS, FIRST_UNIT, UNIT_COUNT,
 COMMAND, FLAGS, APPLICATION, HOP, END) = (MESSAGE.index(n) for n in (
     "result_code", "failed_avp_code", "failed_avp_vendor", "failed_avp", "failed_avp_zeros", "segment", "offset",
     "length", "avp_count", "first_unit", "unit_count", "command", "flags", "application", "hop_by_hop", "end_to_end"))
E164, IMSI, SIP, SIP_NUMBER = (MESSAGE.index(n) for n in ("e164", "imsi", "sip_uri_text", "sip_number"))
NAI, PRIVATE, CONTEXT = (MESSAGE.index(n) for n in ("nai_text", "private_text", "service_context"))
REQUEST_TYPE, ACTION = MESSAGE.index("request_type"), MESSAGE.index("requested_action")
RECIPIENT, RECIPIENT_TEXT = MESSAGE.index("recipient_number"), MESSAGE.index("recipient_text")
RECIPIENTS, SERVICE = MESSAGE.index("recipient_count"), MESSAGE.index("service_identifier")
ORIGINATOR, ORIGINATOR_TEXT = MESSAGE.index("originator_number"), MESSAGE.index("originator_text")

U_MESSAGE, U_KIND, U_GROUP, U_INDEX, U_TEXT = (UNIT.index(n) for n in (
    "message_row", "kind", "group_index", "used_index", "group_text"))
U_RATING, U_SERVICE, U_SERVICES, U_REASON = (UNIT.index(n) for n in (
    "rating_group", "service_identifier", "service_identifier_count", "reporting_reason"))
U_REQUESTED, U_USED, U_COUNTER = UNIT.index("requested"), UNIT.index("used"), UNIT.index("counter_text")
U_DIGITS = UNIT.index("requested_money_digits") - U_REQUESTED  # from the mask on, in both blocks
K_SERVICE, K_COMMAND, K_COUNTER = int(UnitKind.SERVICE), int(UnitKind.COMMAND), int(UnitKind.COUNTER)

SPENDING_LIMIT = int(Command.SPENDING_LIMIT)
COMMAND_UNSUPPORTED, APPLICATION_UNSUPPORTED = int(Result.COMMAND_UNSUPPORTED), int(Result.APPLICATION_UNSUPPORTED)
INVALID_HDR_BITS, INVALID_AVP_BITS = int(Result.INVALID_HDR_BITS), int(Result.INVALID_AVP_BITS)
AVP_UNSUPPORTED, INVALID_AVP_VALUE = int(Result.AVP_UNSUPPORTED), int(Result.INVALID_AVP_VALUE)
MISSING_AVP, AVP_NOT_ALLOWED = int(Result.MISSING_AVP), int(Result.AVP_NOT_ALLOWED)
TOO_MANY_TIMES, UNABLE_TO_COMPLY = int(Result.AVP_OCCURS_TOO_MANY_TIMES), int(Result.UNABLE_TO_COMPLY)
UNSUPPORTED_VERSION, INVALID_BIT = int(Result.UNSUPPORTED_VERSION), int(Result.INVALID_BIT_IN_HEADER)
INVALID_AVP_LENGTH, INVALID_MESSAGE_LENGTH = int(Result.INVALID_AVP_LENGTH), int(Result.INVALID_MESSAGE_LENGTH)
EVENT_REQUEST = 4
TYPE_CODE, DATA_CODE, DIGITS_CODE = 450, 444, 447  # Subscription-Id-Type, -Data, Value-Digits
DONE, FULL = 0, 1


@kernel(None)
def fail_nb(messages, m, result, code, vendor, reference, zeros):
    """Note what is wrong with a message; the first fault counts."""
    if messages[m, RESULT] == 0:
        messages[m, RESULT] = result
        messages[m, FAILED_CODE], messages[m, FAILED_VENDOR] = code, vendor
        messages[m, FAILED], messages[m, FAILED_ZEROS] = reference, zeros


@kernel(None)
def known_nb(others, vendor, code):
    """Whether an AVP of another vendor is in the table."""
    wanted, low, high = vendor << 32 | code, 0, others.size
    while low < high:
        middle = (low + high) // 2
        if others[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low < others.size and others[low] == wanted


@kernel(None, forceinline=True)
def begin_unit_nb(units, u, m, kind, group, index, text):
    """A row that says nothing yet."""
    for column in range(units.shape[1]):
        units[u, column] = ABSENT
    units[u, U_MESSAGE], units[u, U_KIND], units[u, U_GROUP] = m, kind, group
    units[u, U_INDEX], units[u, U_TEXT], units[u, U_SERVICES] = index, text, 0
    for base in (U_REQUESTED, U_USED):
        units[u, base] = units[u, base + U_DIGITS] = units[u, base + U_DIGITS + 1] = 0


@kernel(None)
def subscription_nb(buffer, messages, m, registers, pos, size):
    """A Subscription-Id has ended: its data goes where its type says."""
    seen, kind, text = registers[o.R_SEEN], registers[o.R_TYPE], registers[o.R_TEXT]
    if seen & o.SEEN_TYPE == 0:
        fail_nb(messages, m, MISSING_AVP, TYPE_CODE, 0, ABSENT, 4)
        return
    if seen & o.SEEN_TEXT == 0:
        fail_nb(messages, m, MISSING_AVP, DATA_CODE, 0, ABSENT, 0)
        return
    start, length = text >> 16, text & 0xFFFF
    if kind <= 1:
        value, column = digits_only_nb(buffer, start, length), E164 if kind == 0 else IMSI
        if value == ABSENT:
            fail_nb(messages, m, INVALID_AVP_VALUE, 443, 0, pos << 16 | size, 0)
        elif messages[m, column] == ABSENT:
            messages[m, column] = value
    else:
        column = SIP if kind == 2 else NAI if kind == 3 else PRIVATE
        imsi, e164 = derived_nb(buffer, start, length)
        if messages[m, IMSI] == ABSENT:
            messages[m, IMSI] = imsi
        if kind == 2 and imsi != ABSENT:
            return  # else its digits would be taken for a number
        if kind != 2 and messages[m, E164] == ABSENT:
            messages[m, E164] = e164
        if messages[m, column] == ABSENT:
            messages[m, column] = text
            if kind == 2:
                messages[m, SIP_NUMBER] = number_nb(buffer, start, length)


@kernel(None)
def party_nb(buffer, messages, m, column, text):
    """A number and its text side by side; a later one that is a number goes before an earlier that is not."""
    number = number_nb(buffer, text >> 16, text & 0xFFFF)
    if messages[m, column + 1] == ABSENT or (messages[m, column] == ABSENT and number != ABSENT):
        messages[m, column], messages[m, column + 1] = number, text


@kernel(None, forceinline=True)
def walk_nb(buffer, start, stop, m, ietf, tgpp, rule_of, rules, others, limits, request, messages, units, first, stack,
            registers):
    """All AVPs of a message. Returns (bits of what was seen, rows of units, AVPs)."""
    pos, limit, group, depth, count, seen, used_rows = start, stop, o.G_COMMAND, 0, 0, 0, 0
    service, service_used, command_row, command_used, groups, row = -1, 0, -1, 0, -1, 0
    while True:
        if pos >= limit:
            if depth == 0:
                return seen, used_rows, count
            depth -= 1
            opened, size = stack[depth, 3], stack[depth, 4]
            if group == o.G_SUBSCRIPTION:
                subscription_nb(buffer, messages, m, registers, opened, size)
            elif group == o.G_SERVICE:
                for u in range(service + 1, first + used_rows):
                    for column in (U_RATING, U_SERVICE, U_SERVICES, U_REASON):
                        units[u, column] = units[service, column]
            elif group == o.G_USED or group == o.G_REQUESTED:
                row = command_row if stack[depth, 0] == o.G_COMMAND else service
            elif group == o.G_UNIT_VALUE:
                if registers[o.R_SEEN] & o.SEEN_DIGITS == 0:
                    fail_nb(messages, m, MISSING_AVP, DIGITS_CODE, 0, ABSENT, 8)
            elif group == o.G_MONEY:
                base = U_REQUESTED if stack[depth, 0] == o.G_REQUESTED else U_USED
                if registers[o.R_SEEN] & o.SEEN_DIGITS == 0:
                    fail_nb(messages, m, MISSING_AVP, 445, 0, ABSENT, 0)
                units[row, base + U_DIGITS] = registers[o.R_DIGITS]
                units[row, base + U_DIGITS + 1] = registers[o.R_EXPONENT]
                if registers[o.R_SEEN] & o.SEEN_CURRENCY:
                    units[row, base + U_DIGITS + 2] = registers[o.R_CURRENCY]
            elif (group == o.G_RECIPIENT or group == o.G_ORIGINATOR) and registers[o.R_SEEN] & o.SEEN_TEXT:
                if group == o.G_RECIPIENT:
                    messages[m, RECIPIENTS] = max(messages[m, RECIPIENTS], 0) + 1
                    if messages[m, RECIPIENT_TEXT] == ABSENT:
                        party_nb(buffer, messages, m, RECIPIENT, registers[o.R_TEXT])
                else:
                    party_nb(buffer, messages, m, ORIGINATOR, registers[o.R_TEXT])
            group, limit, pos = stack[depth, 0], stack[depth, 1], stack[depth, 2]
            continue
        left = limit - pos
        if left < 8:
            fail_nb(messages, m, INVALID_AVP_LENGTH, word_nb(buffer, pos) if left >= 4 else 0, 0, ABSENT, 0)
            return seen, used_rows, count
        code, flags, size = word_nb(buffer, pos), at_nb(buffer, pos + 4), half_nb(buffer, pos + 5)
        head, vendor = 8, 0
        if flags & 0x80:
            head = 12
            if left >= 12:
                vendor = word_nb(buffer, pos + 8)
        number = -1
        if vendor == 0:
            if code < o.CODES_IETF:
                number = ietf[code]
        elif vendor == 10415:
            if code < o.CODES_TGPP:
                number = tgpp[code]
        elif known_nb(others, vendor, code):
            number = 0
        at = cell_nb(rule_of, group, number) if number > 0 else 0
        if size < head or size > left:
            fail_nb(messages, m, INVALID_AVP_LENGTH, code, vendor, ABSENT, cell_nb(rules, at, o.F_OCTETS))
            return seen, used_rows, count
        count += 1
        if count > limits[o.L_AVPS]:
            fail_nb(messages, m, UNABLE_TO_COMPLY, code, vendor, ABSENT, 0)
            return seen, used_rows, count
        this, value_at, length = pos, pos + head, size - head
        reference = this << 16 | size
        text = value_at << 16 | length
        pos = min(pos + (size + 3 & ~3), limit)
        if flags & 0x1F:
            fail_nb(messages, m, INVALID_AVP_BITS, code, vendor, reference, 0)
        if number < 0:
            if flags & 0x40 and limits[o.L_STRICT] and request:
                fail_nb(messages, m, AVP_UNSUPPORTED, code, vendor, reference, 0)
            continue
        if at == 0:
            continue
        op, target, column = cell_nb(rules, at, o.F_OP), cell_nb(rules, at, o.F_TARGET), cell_nb(rules, at, o.F_COLUMN)
        octets = cell_nb(rules, at, o.F_OCTETS)
        if octets != 0 and octets != length:
            fail_nb(messages, m, INVALID_AVP_LENGTH, code, vendor, reference, 0)
            continue

        if op == o.O_ENTER:
            below = cell_nb(rules, at, o.F_GROUP)
            if depth == limits[o.L_DEPTH]:
                fail_nb(messages, m, UNABLE_TO_COMPLY, code, vendor, reference, 0)
                continue
            if used_rows >= limits[o.L_UNITS] and (below == o.G_SERVICE or target == o.T_UNIT):
                fail_nb(messages, m, UNABLE_TO_COMPLY, code, vendor, ABSENT, 0)
                continue
            if below == o.G_SERVICE:
                if command_row >= 0:
                    fail_nb(messages, m, AVP_NOT_ALLOWED, code, vendor, reference, 0)
                groups += 1
                service = row = first + used_rows
                service_used = 0
                begin_unit_nb(units, row, m, K_SERVICE, groups, 0, reference)
                used_rows += 1
            elif below == o.G_REQUESTED or below == o.G_USED:
                owner, taken = service, service_used
                if group == o.G_COMMAND:
                    if groups >= 0:
                        fail_nb(messages, m, AVP_NOT_ALLOWED, code, vendor, reference, 0)
                        continue
                    if command_row < 0:
                        command_row = first + used_rows
                        begin_unit_nb(units, command_row, m, K_COMMAND, 0, 0, ABSENT)
                        used_rows += 1
                    owner, taken = command_row, command_used
                row = owner
                if below == o.G_REQUESTED:
                    if units[row, U_REQUESTED] != 0:
                        fail_nb(messages, m, TOO_MANY_TIMES, code, vendor, reference, 0)
                        continue
                    units[row, U_REQUESTED] = BLOCK
                else:
                    if taken > 0:
                        row = first + used_rows
                        begin_unit_nb(units, row, m, units[owner, U_KIND], units[owner, U_GROUP], taken,
                                      units[owner, U_TEXT])
                        used_rows += 1
                    units[row, U_USED] = BLOCK
                    if group == o.G_COMMAND:
                        command_used += 1
                    else:
                        service_used += 1
            elif below == o.G_MONEY:
                mask, column = cell_nb(rules, at, o.F_MASK), cell_nb(rules, at, o.F_MASK_COLUMN)
                if units[row, column] & mask:
                    fail_nb(messages, m, TOO_MANY_TIMES, code, vendor, reference, 0)
                    continue
                units[row, column] |= mask
            if below != o.G_UNIT_VALUE:
                registers[o.R_SEEN] = registers[o.R_DIGITS] = registers[o.R_EXPONENT] = 0
            stack[depth, 0], stack[depth, 1], stack[depth, 2] = group, limit, pos
            stack[depth, 3], stack[depth, 4] = this, size
            depth += 1
            group, pos, limit = below, value_at, value_at + length
            continue

        value = 0
        if op == o.O_UNSIGNED:
            if length == 4:
                value = word_nb(buffer, value_at)
            else:
                value = word_nb(buffer, value_at) << 32 | word_nb(buffer, value_at + 4)
        elif op == o.O_TEXT or op == o.O_KEYED or op == o.O_CONTEXT or op == o.O_ADDRESS or op == o.O_PARTY:
            value = text
            if length == 0 and op == o.O_KEYED and group == o.G_COMMAND:  # Session-Id (RFC 6733 8.8)
                fail_nb(messages, m, INVALID_AVP_VALUE, code, vendor, reference, 0)
        elif op == o.O_SIGNED:
            value = word_nb(buffer, value_at)
            if length == 4:
                value -= (value & 1 << 31) << 1
            else:
                value = value << 32 | word_nb(buffer, value_at + 4)
        elif op == o.O_TIME:
            value = time_nb(word_nb(buffer, value_at))
        elif op == o.O_OCTET:
            if length != 1:
                continue
            value = at_nb(buffer, value_at)
        elif op == o.O_PLMN:
            value = plmn_nb(buffer, value_at, length)
        elif op == o.O_ZONE:
            value = zone_nb(at_nb(buffer, value_at))
            messages[m, column + 1] = at_nb(buffer, value_at + 1) & 3
        elif op == o.O_PROXY:
            value = this
        elif op == o.O_COUNTER:
            if used_rows >= limits[o.L_UNITS]:
                fail_nb(messages, m, UNABLE_TO_COMPLY, code, vendor, ABSENT, 0)
                continue
            u = first + used_rows
            groups += 1
            begin_unit_nb(units, u, m, K_COUNTER, groups, 0, ABSENT)
            units[u, U_COUNTER] = text
            units[u, U_COUNTER + 1], units[u, U_COUNTER + 2] = key_nb(buffer, value_at, length)
            used_rows += 1
            continue
        elif op == o.O_FORBIDDEN:
            if request:
                fail_nb(messages, m, AVP_NOT_ALLOWED, code, vendor, reference, 0)
                continue
            value = word_nb(buffer, value_at)
        if op == o.O_UNSIGNED or op == o.O_SIGNED:
            if value < cell_nb(rules, at, o.F_LEAST) or value > cell_nb(rules, at, o.F_MOST):
                fail_nb(messages, m, INVALID_AVP_VALUE, code, vendor, reference, 0)
                continue
        elif value == ABSENT:
            continue

        if target == o.T_MESSAGE:
            bit = cell_nb(rules, at, o.F_SEEN)
            if op == o.O_PARTY:
                if seen & bit == 0 or cell_nb(rules, at, o.F_REPEATS):
                    party_nb(buffer, messages, m, column, text)
                continue
            where = column + 1 if op == o.O_ADDRESS else column
            before = messages[m, where]
            seen |= bit
            if before != ABSENT:
                if cell_nb(rules, at, o.F_REPEATS) == 0 and before != value:
                    is_text = op == o.O_TEXT or op == o.O_KEYED or op == o.O_CONTEXT or op == o.O_ADDRESS
                    if not is_text or not same_nb(buffer, before, value):
                        fail_nb(messages, m, TOO_MANY_TIMES, code, vendor, reference, 0)
                continue
            messages[m, where] = value
            if op == o.O_KEYED:
                messages[m, column + 1], messages[m, column + 2] = key_nb(buffer, value_at, length)
            elif op == o.O_CONTEXT:
                messages[m, CONTEXT] = context_nb(buffer, value_at, length)
            elif op == o.O_ADDRESS:
                messages[m, column] = address_nb(buffer, value_at, length)
        elif target == o.T_UNIT:
            mask = cell_nb(rules, at, o.F_MASK)
            before = units[row, column]
            if mask != 0:
                holder = cell_nb(rules, at, o.F_MASK_COLUMN)
                before = before if units[row, holder] & mask else ABSENT
                units[row, holder] |= mask
            elif column == U_SERVICE:
                units[row, U_SERVICES] += 1
            if before == ABSENT:
                units[row, column] = value
            elif before != value and cell_nb(rules, at, o.F_REPEATS) == 0:
                fail_nb(messages, m, TOO_MANY_TIMES, code, vendor, reference, 0)
        else:
            bit = cell_nb(rules, at, o.F_SEEN)
            if registers[o.R_SEEN] & bit:
                if registers[column] != value and (op != o.O_TEXT or not same_nb(buffer, registers[column], value)):
                    fail_nb(messages, m, TOO_MANY_TIMES, code, vendor, reference, 0)
            else:
                registers[column] = value
                registers[o.R_SEEN] |= bit


@kernel(None, forceinline=True)
def header_nb(buffer, start, m, segment, length, messages):
    """A row with what the header says."""
    for column in range(messages.shape[1]):
        messages[m, column] = ABSENT
    messages[m, RESULT], messages[m, SEGMENT], messages[m, OFFSET], messages[m, LENGTH] = 0, segment, start, length
    messages[m, FLAGS], messages[m, COMMAND] = at_nb(buffer, start + 4), half_nb(buffer, start + 5)
    messages[m, APPLICATION], messages[m, HOP] = word_nb(buffer, start + 8), word_nb(buffer, start + 12)
    messages[m, END] = word_nb(buffer, start + 16)
    messages[m, AVPS] = messages[m, UNIT_COUNT] = 0
    messages[m, CONTEXT] = ABSENT


@kernel(None, forceinline=True)
def finish_nb(m, k, seen, request, commands, needed, messages):
    """What must be there, once all was read."""
    if messages[m, COMMAND] == SPENDING_LIMIT and messages[m, REQUEST_TYPE] != ABSENT:
        messages[m, REQUEST_TYPE] += 1
    if not request or k < 0:
        return
    must = commands[k, o.K_NEEDED]
    if messages[m, REQUEST_TYPE] == EVENT_REQUEST and messages[m, COMMAND] != SPENDING_LIMIT:
        must |= ACTION_BIT
    missing = must & ~seen
    if missing != 0:
        bit = 0
        while missing >> bit & 1 == 0:
            bit += 1
        fail_nb(messages, m, MISSING_AVP, needed[bit, 0], needed[bit, 1], ABSENT, needed[bit, 2])


@kernel([types.int64(U8_IN, CELLS_OUT, types.int64, types.int64, I16_IN, I16_IN, I16_TABLE, CELLS_IN, CELLS_IN,
                     CELLS_IN, I64_IN, I64_IN, CELLS_OUT, CELLS_OUT, CELLS_OUT, I64_OUT, I64_OUT)])
def parse_nb(buffer, segments, message_base, unit_base, ietf, tgpp, rule_of, rules, commands, needed, others, limits,
             messages, units, stack, registers, state):
    """Whole messages of all segments, from where each was left. FULL: there is no room for another; call again.

    state: messages written, rows of units written.
    """
    m, u = 0, 0
    for s in range(segments.shape[0]):
        at, stop = segments[s, o.S_TAKEN], segments[s, o.S_STOP]
        while at < stop and segments[s, o.S_CLOSED] == 0:
            if m == messages.shape[0] or u + limits[o.L_UNITS] > units.shape[0]:
                state[0], state[1] = m, u
                return FULL
            left, length = stop - at, 0
            if left >= 4:
                length = half_nb(buffer, at + 1)
            wrong = 0
            if at_nb(buffer, at) != 1:
                wrong = UNSUPPORTED_VERSION
            elif left >= 4 and (length < HEADER or length & 3 or length > limits[o.L_MESSAGE_OCTETS]):
                wrong = INVALID_MESSAGE_LENGTH
            if wrong != 0:
                # Where the next message would begin cannot be known: answered if it has a header, then closed.
                if left >= HEADER:
                    header_nb(buffer, at, m, s, HEADER, messages)
                    messages[m, FIRST_UNIT] = unit_base + u
                    fail_nb(messages, m, wrong, ABSENT, ABSENT, ABSENT, 0)
                    m += 1
                segments[s, o.S_CLOSED] = wrong
                break
            if left < 4 or left < length:
                break
            header_nb(buffer, at, m, s, length, messages)
            messages[m, FIRST_UNIT] = unit_base + u
            flags, request = messages[m, FLAGS], messages[m, FLAGS] & 0x80 != 0
            k = -1
            if flags & 0x0F:
                fail_nb(messages, m, INVALID_BIT, ABSENT, ABSENT, ABSENT, 0)
            if request:
                if flags & 0x20:
                    fail_nb(messages, m, INVALID_HDR_BITS, ABSENT, ABSENT, ABSENT, 0)
                for i in range(commands.shape[0]):
                    if commands[i, o.K_CODE] == messages[m, COMMAND]:
                        k = i
                if k < 0:
                    fail_nb(messages, m, COMMAND_UNSUPPORTED, ABSENT, ABSENT, ABSENT, 0)
                elif commands[k, o.K_ANY_APPLICATION] == 0 and commands[k, o.K_APPLICATION] != messages[m, APPLICATION]:
                    fail_nb(messages, m, APPLICATION_UNSUPPORTED, ABSENT, ABSENT, ABSENT, 0)
                    k = -1
            seen, rows, count = walk_nb(buffer, at + HEADER, at + length, m, ietf, tgpp, rule_of, rules, others, limits,
                                        k >= 0, messages, units, u, stack, registers)
            messages[m, AVPS], messages[m, UNIT_COUNT] = count, rows
            finish_nb(m, k, seen, request, commands, needed, messages)
            service = messages[m, SERVICE]
            for i in range(u, u + rows):
                units[i, U_MESSAGE] = message_base + m
                if service != ABSENT and units[i, U_KIND] == K_COMMAND:
                    units[i, U_SERVICE], units[i, U_SERVICES] = service, 1
            u += rows
            m += 1
            at += length
            segments[s, o.S_TAKEN] = at
        segments[s, o.S_TAKEN] = at
    state[0], state[1] = m, u
    return DONE
