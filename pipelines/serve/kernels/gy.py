"""Diameter columns to requests, and answers back to Diameter columns: one pass each."""

import numpy as np
from numba import types

from pipelines.diameter.columns import ANSWER as GIVEN
from pipelines.diameter.columns import BLOCK, INPUT, MESSAGE, MONEY, OUTPUT, TIME, TOTAL, UNIT, UNITS, Context, UnitKind
from pipelines.diameter.columns import GRANT as SERVICE_GIVEN
from schemas.codes import Direction, NumberType, Service, Unit
from schemas.hashing import absorb_hi_nb, absorb_lo_nb
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, kernel
from schemas.online import ANSWER, REQUEST, SUCCESS, EventAction, RequestKind
from schemas.parties import PARTIES

ABSENT = -1
# What the answer needs of each row, beside the request: its message, its first row of units, what it came from.
R_MESSAGE, R_UNIT, R_LEVEL, ROUTE = range(4)
NO_UNITS = -1   # level of a message that has none; else a `UnitKind`
MOST_UNITS = (1 << 62) - 1

_M = {n: MESSAGE.index(n) for n in MESSAGE.names}
_U = {n: UNIT.index(n) for n in UNIT.names}
_Q = {n: REQUEST.index(n) for n in REQUEST.names}

M_FIRST, M_COUNT, M_TYPE, M_NUMBER, M_ACTION, M_CONTEXT = (_M[n] for n in (
    "first_unit", "unit_count", "request_type", "request_number", "requested_action", "service_context"))
M_HI, M_LO, M_SUB, M_TIME, M_SERVICE = (_M[n] for n in (
    "session_hi", "session_lo", "sub_session_id", "event_time_us", "service_identifier"))
M_E164, M_IMSI, M_URI, M_ROLE = (_M[n] for n in ("e164", "imsi", "sip_uri_text", "node_role"))
M_CALLING_TEXT, M_CALLED_TEXT = _M["calling_text"], _M["called_text"]
M_FROM, M_FROM_TEXT, M_TO, M_TO_TEXT = (_M[n] for n in (
    "originator_number", "originator_text", "recipient_number", "recipient_text"))
M_RECIPIENTS, M_MESSAGES, M_SMS_TYPE = _M["recipient_count"], _M["message_count"], _M["sms_type"]
M_PLMN, M_CHARGING, M_PDN = _M["serving_plmn"], _M["charging_id"], _M["pdn_charging_id"]
COPIED = np.array([[_M[n], _Q[n]] for n in ("gateway_address", "rat_type", "serving_plmn", "icid_hi", "icid_lo")])

U_KIND, U_GROUP, U_RATING, U_IDENTIFIER = (_U[n] for n in (
    "kind", "group_index", "rating_group", "service_identifier"))
U_REQUESTED, U_USED, U_CHANGE = _U["requested"], _U["used"], _U["tariff_change_usage"]
U_REASON, U_USED_REASON = _U["reporting_reason"], _U["used_reason"]
# Behind a mask stand its amounts.
TIME_S, TOTAL_OCTETS, INPUT_OCTETS, OUTPUT_OCTETS, SERVICE_UNITS, DIGITS, EXPONENT, CURRENCY = range(1, 9)

Q_SERVICE, Q_DIRECTION, Q_UNIT, Q_TIME = (_Q[n] for n in ("service", "direction", "unit", "event_time_us"))
Q_HI, Q_LO, Q_RATING, Q_IDENTIFIER = (_Q[n] for n in (
    "session_hi", "session_lo", "rating_group", "service_identifier"))
Q_KIND, Q_ACTION, Q_NUMBER, Q_MESSAGE = (_Q[n] for n in ("kind", "action", "number", "message"))
Q_REQUESTED, Q_USED, Q_AFTER, Q_MONEY, Q_REASON = (_Q[n] for n in (
    "requested", "used", "used_after", "money_nanos", "reporting_reason"))
Q_ROAMING, Q_MERGED, Q_INCOMPLETE, Q_CHARGING = (_Q[n] for n in (
    "roaming", "merged_count", "incomplete", "charging_id"))
(P_SERVED, P_SERVED_TYPE, P_IMSI, _, P_OTHER, P_OTHER_TYPE) = range(len(PARTIES))

SECOND, OCTET, MESSAGE_UNIT, PLAIN_UNIT = int(Unit.SECOND), int(Unit.OCTET), int(Unit.MESSAGE), int(Unit.UNIT)
VOICE, SMS, MMS, DATA, GENERIC = (int(s) for s in (
    Service.VOICE, Service.SMS, Service.MMS, Service.DATA, Service.GENERIC))
ORIGINATING, TERMINATING = int(Direction.ORIGINATING), int(Direction.TERMINATING)
UNKNOWN, INTERNATIONAL, TEXT = int(NumberType.UNKNOWN), int(NumberType.INTERNATIONAL), int(NumberType.TEXT)
PACKET, IMS, SMS_CONTEXT, MMS_CONTEXT, MMTEL, VOICE_CONTEXT = (int(c) for c in (
    Context.PACKET, Context.IMS, Context.SMS, Context.MMS, Context.MMTEL, Context.VOICE))
COMMAND = int(UnitKind.COMMAND)
EVENT, INITIAL = int(RequestKind.EVENT), int(RequestKind.INITIAL)
DEBIT, REFUND, CHECK, PRICE = (int(a) for a in EventAction)
_DELIVERY = 3            # SM-Message-Type of a message that is delivered (TS 32.299 7.2.193A)
_TOLERANCE_US = 300_000_000
_OLDEST_US = 35 * 86_400_000_000


@kernel(None)
def _service_nb(context):
    if context == PACKET:
        return DATA
    if context == IMS or context == MMTEL or context == VOICE_CONTEXT:
        return VOICE
    if context == SMS_CONTEXT:
        return SMS
    return MMS if context == MMS_CONTEXT else GENERIC


@kernel(None)
def _native_nb(service):
    if service == DATA:
        return OCTET
    if service == VOICE:
        return SECOND
    return PLAIN_UNIT if service == GENERIC else MESSAGE_UNIT


@kernel(None)
def _mask_nb(unit):
    """Bits of a mask that count in a unit."""
    if unit == SECOND:
        return TIME
    return TOTAL | INPUT | OUTPUT if unit == OCTET else UNITS


@kernel(None)
def _amount_nb(units, mask, u, unit):
    """Units of a block of amounts; the caller knows that it has some of that unit."""
    bits = units[mask, u]
    if unit == SECOND:
        return units[mask + TIME_S, u]
    if unit != OCTET:
        return units[mask + SERVICE_UNITS, u]
    if bits & TOTAL:
        return units[mask + TOTAL_OCTETS, u]
    octets = np.int64(0)
    if bits & INPUT:
        octets += min(units[mask + INPUT_OCTETS, u], MOST_UNITS // 2)
    if bits & OUTPUT:
        octets += min(units[mask + OUTPUT_OCTETS, u], MOST_UNITS // 2)
    return octets


@kernel(None)
def _nanos_nb(digits, exponent):
    """Money in nano-units; ABSENT where it is finer than that, or not in range."""
    power = exponent + 9
    if power < 0 or power > 18 or digits < 0:
        return np.int64(ABSENT)
    nanos = digits
    for _ in range(power):
        if nanos > MOST_UNITS // 10:
            return np.int64(ABSENT)
        nanos *= 10
    return nanos if nanos <= MOST_UNITS else np.int64(ABSENT)


@kernel(None)
def _number_nb(number, text, parties, at, row):
    """A party: as digits where they are known, else as text. Digits that begin with 0 are as they were dialled."""
    if number > 0:
        first = number
        while first > 15:
            first >>= 4
        parties[at, row], parties[at + 1, row] = number, UNKNOWN if first == 1 or number < 1 << 24 else INTERNATIONAL
    elif text != ABSENT:
        parties[at, row], parties[at + 1, row] = text, TEXT


@kernel(None)
def _describe_nb(messages, m, now_us, home, out, parties, row):
    """What a message says of all its rows."""
    service = _service_nb(messages[M_CONTEXT, m])
    out[Q_SERVICE, row], out[Q_UNIT, row] = service, _native_nb(service)
    direction = ORIGINATING
    if service == VOICE and messages[M_ROLE, m] == 1:
        direction = TERMINATING
    elif service == SMS and messages[M_SMS_TYPE, m] == _DELIVERY:
        direction = TERMINATING
    out[Q_DIRECTION, row] = direction
    time_us = messages[M_TIME, m]
    out[Q_TIME, row] = now_us if time_us > now_us + _TOLERANCE_US or time_us < now_us - _OLDEST_US else time_us
    out[Q_HI, row], out[Q_LO, row] = messages[M_HI, m], messages[M_LO, m]
    if messages[M_SUB, m] != ABSENT:
        out[Q_HI, row] = np.int64(absorb_hi_nb(np.uint64(messages[M_HI, m]), messages[M_SUB, m]))
        out[Q_LO, row] = np.int64(absorb_lo_nb(np.uint64(messages[M_LO, m]), messages[M_SUB, m]))
    out[Q_KIND, row], out[Q_NUMBER, row] = messages[M_TYPE, m] - 1, messages[M_NUMBER, m]
    if out[Q_KIND, row] == EVENT:
        out[Q_ACTION, row] = max(messages[M_ACTION, m], 0)
    for i in range(COPIED.shape[0]):
        out[COPIED[i, 1], row] = messages[COPIED[i, 0], m]
    charging = messages[M_CHARGING, m]
    out[Q_CHARGING, row] = charging if charging != ABSENT else messages[M_PDN, m]
    plmn = messages[M_PLMN, m]
    roaming = 1 if plmn != ABSENT else 0
    for i in range(home.size):
        if plmn == home[i]:
            roaming = 0
    out[Q_ROAMING, row], out[Q_MERGED, row], out[Q_INCOMPLETE, row] = roaming, 1, 0
    if messages[M_E164, m] > 0:
        parties[P_SERVED, row], parties[P_SERVED_TYPE, row] = messages[M_E164, m], INTERNATIONAL
    elif messages[M_URI, m] != ABSENT:
        parties[P_SERVED, row], parties[P_SERVED_TYPE, row] = messages[M_URI, m], TEXT
    parties[P_IMSI, row] = messages[M_IMSI, m]
    if service == VOICE:
        text = messages[M_CALLING_TEXT if direction == TERMINATING else M_CALLED_TEXT, m]
        _number_nb(np.int64(0), text, parties, P_OTHER, row)
    elif service == SMS or service == MMS:
        if direction == TERMINATING:
            _number_nb(messages[M_FROM, m], messages[M_FROM_TEXT, m], parties, P_OTHER, row)
        else:
            _number_nb(messages[M_TO, m], messages[M_TO_TEXT, m], parties, P_OTHER, row)


@kernel(None)
def _count_nb(units, first, stop, out, row):
    """Units of one service: rows [first, stop) of what was parsed."""
    unit, bits = out[Q_UNIT, row], np.int64(0)
    for u in range(first, stop):
        bits |= units[U_REQUESTED, u] | units[U_USED, u]
    if not bits & _mask_nb(unit):
        if bits & TIME:
            unit = SECOND
        elif bits & (TOTAL | INPUT | OUTPUT):
            unit = OCTET
        elif bits & UNITS:
            unit = PLAIN_UNIT
    out[Q_UNIT, row] = unit
    mask = _mask_nb(unit)
    asked = units[U_REQUESTED, first]
    if asked & mask:
        out[Q_REQUESTED, row] = min(_amount_nb(units, U_REQUESTED, first, unit), MOST_UNITS)
    elif asked and not asked & MONEY:
        out[Q_REQUESTED, row] = 0
    if asked & MONEY:
        out[Q_MONEY, row] = _nanos_nb(units[U_REQUESTED + DIGITS, first], units[U_REQUESTED + EXPONENT, first])
    reason = units[U_REASON, first]
    for u in range(first, stop):
        if units[U_USED, u] & mask:
            column = Q_AFTER if units[U_CHANGE, u] == 1 else Q_USED
            before = max(out[column, row], 0)
            out[column, row] = before + min(_amount_nb(units, U_USED, u, unit), MOST_UNITS - before)
        if reason == ABSENT:
            reason = units[U_USED_REASON, u]
    if out[Q_AFTER, row] != ABSENT and out[Q_USED, row] == ABSENT:
        out[Q_USED, row] = 0
    out[Q_REASON, row] = reason if 0 <= reason <= 8 else ABSENT


@kernel(None)
def _event_nb(messages, m, out, row):
    """An event that says how much only by being one."""
    action = out[Q_ACTION, row]
    counted = out[Q_UNIT, row] == MESSAGE_UNIT or out[Q_UNIT, row] == PLAIN_UNIT
    if (action == DEBIT or action == PRICE) and out[Q_REQUESTED, row] <= 0 and out[Q_MONEY, row] == ABSENT and counted:
        sent = messages[M_MESSAGES, m]
        out[Q_REQUESTED, row] = sent if sent > 0 else max(messages[M_RECIPIENTS, m], 1)


@kernel(None)
def _joined_nb(out, parties, route, first, row):
    """Whether an earlier row of the message, from `first` on, is of the same service: then this one goes into it.

    One service has one quota, however often a message names it: two reservations of it would each be granted what
    there is once.
    """
    for r in range(first, row):
        if out[Q_RATING, r] != out[Q_RATING, row] or out[Q_IDENTIFIER, r] != out[Q_IDENTIFIER, row] or (
                out[Q_UNIT, r] != out[Q_UNIT, row]) or out[Q_MONEY, r] != ABSENT or out[Q_MONEY, row] != ABSENT:
            continue
        for column in (Q_USED, Q_AFTER, Q_REQUESTED):
            both = out[column, r] != ABSENT and out[column, row] != ABSENT
            if both and column == Q_REQUESTED and min(out[column, r], out[column, row]) == 0:
                out[column, r] = 0  # whatever the operator grants
            elif both:
                out[column, r] += min(out[column, row], MOST_UNITS - out[column, r])
            elif out[column, row] != ABSENT:
                out[column, r] = out[column, row]
        if out[Q_REASON, r] == ABSENT:
            out[Q_REASON, r] = out[Q_REASON, row]
        for cells in (out, parties, route):
            for c in range(cells.shape[0]):
                cells[c, row] = ABSENT
        return True
    return False


@kernel(types.int64(CELLS_IN, CELLS_IN, types.int64, I64_IN, CELLS_OUT, CELLS_OUT, CELLS_OUT))
def requests_nb(messages, units, now_us, home, out, parties, route):
    """REQUEST rows of Credit-Control-Requests: one for each service of a message, or one. Returns how many. What a
    message says of one service in several groups is one row, and answered once.

    home: PLMNs that are no roaming. out, parties and route have room for as many rows as messages and units together,
    and are ABSENT.
    """
    row = 0
    for m in range(messages.shape[1]):
        u, stop = messages[M_FIRST, m], messages[M_FIRST, m] + messages[M_COUNT, m]
        again, first_row = True, row
        while again:
            _describe_nb(messages, m, now_us, home, out, parties, row)
            out[Q_MESSAGE, row], route[R_MESSAGE, row] = m, m
            out[Q_IDENTIFIER, row], route[R_LEVEL, row] = messages[M_SERVICE, m], NO_UNITS
            if u < stop:
                first = u
                while u < stop and units[U_KIND, u] == units[U_KIND, first] and \
                        units[U_GROUP, u] == units[U_GROUP, first]:
                    u += 1
                route[R_UNIT, row], route[R_LEVEL, row] = first, units[U_KIND, first]
                out[Q_RATING, row] = units[U_RATING, first]
                if units[U_IDENTIFIER, first] != ABSENT or units[U_KIND, first] != COMMAND:
                    out[Q_IDENTIFIER, row] = units[U_IDENTIFIER, first]
                _count_nb(units, first, u, out, row)
                if row > first_row and _joined_nb(out, parties, route, first_row, row):
                    again = u < stop
                    continue
            if out[Q_KIND, row] == EVENT:
                _event_nb(messages, m, out, row)
            row += 1
            again = u < stop
    return row


_A = {n: ANSWER.index(n) for n in ANSWER.names}
A_MESSAGE_CODE, A_CODE, A_GRANTED, A_DUE = (_A[n] for n in ("message_code", "result_code", "granted", "due_nanos"))
A_FINAL, A_VALIDITY, A_THRESHOLD, A_HOLDING, A_CHANGE = (_A[n] for n in (
    "final_action", "validity_s", "threshold", "holding_s", "change_us"))
_D = {n: GIVEN.index(n) for n in GIVEN.names}
D_CODE, D_FAILOVER, D_FAILURE, D_DEBITING, D_BALANCE = (_D[n] for n in (
    "result_code", "session_failover", "failure_handling", "debiting_failure_handling", "balance_result"))
D_COST, D_COST_EXPONENT, D_COST_CURRENCY = _D["cost_digits"], _D["cost_exponent"], _D["cost_currency"]
_S = {n: SERVICE_GIVEN.index(n) for n in SERVICE_GIVEN.names}
S_MESSAGE, S_UNIT, S_RATING, S_CODE = (_S[n] for n in ("message_row", "unit_row", "rating_group", "result_code"))
S_TIME, S_VOLUME, S_UNITS, S_HOLDING = (_S[n] for n in (
    "time_threshold_s", "volume_threshold_octets", "unit_threshold", "holding_time_s"))
D_GRANTED, S_GRANTED = _D["granted"], _S["granted"]
# Places from `granted` on; the same in answers and in their services.
G_CHANGE, G_VALIDITY, G_FINAL, G_REDIRECT_TYPE, G_REDIRECT, G_RESTRICTION, G_FILTER = (_S[n] - S_GRANTED for n in (
    "tariff_change_us", "validity_s", "final_action", "redirect_type", "redirect_text", "restriction_text",
    "filter_text"))
# What the rules say of a service, a row of `rules` for each.
L_FAILOVER, L_FAILURE, L_REDIRECT_TYPE, L_REDIRECT, L_RESTRICTION, L_FILTER, RULES = range(7)


@kernel(None)
def _granted_nb(answers, row, unit, service, rules, out, at, column):
    """Granted units, and what goes with them, into the answer or a service of it; `at` is where they begin."""
    granted = answers[A_GRANTED, row]
    if granted > 0:
        if unit == SECOND:
            out[at, column], out[at + TIME_S, column] = BLOCK | TIME, min(granted, 0xFFFFFFFF)
        elif unit == OCTET:
            out[at, column], out[at + TOTAL_OCTETS, column] = BLOCK | TOTAL, granted
        else:
            out[at, column], out[at + SERVICE_UNITS, column] = BLOCK | UNITS, granted
        out[at + G_CHANGE, column] = answers[A_CHANGE, row]
        out[at + G_VALIDITY, column] = answers[A_VALIDITY, row]
    final = answers[A_FINAL, row]
    if final > 0:
        out[at + G_FINAL, column] = final - 1
        if final == 2:
            out[at + G_REDIRECT_TYPE, column] = rules[service, L_REDIRECT_TYPE]
            out[at + G_REDIRECT, column] = rules[service, L_REDIRECT]
        elif final == 3:
            out[at + G_RESTRICTION, column] = rules[service, L_RESTRICTION]
            out[at + G_FILTER, column] = rules[service, L_FILTER]


@kernel(None)
def _cost_nb(nanos, currency, out, m):
    digits, exponent = nanos, np.int64(-9)
    while exponent < 0 and digits % 10 == 0:
        digits //= 10
        exponent += 1
    out[D_COST, m], out[D_COST_EXPONENT, m], out[D_COST_CURRENCY, m] = digits, exponent, currency


@kernel(types.int64(CELLS_IN, CELLS_IN, CELLS_IN, I64_IN, CELLS_IN, CELLS_OUT, CELLS_OUT))
def answers_nb(requests, answers, route, currency, rules, given, services):
    """ANSWER rows into diameter answers `given` (a column for each message) and services of them. Returns how many
    services there are. currency: ISO 4217 number of each row's account, ABSENT where none is known."""
    count = 0
    for row in range(answers.shape[1]):
        m, service, unit = route[R_MESSAGE, row], requests[Q_SERVICE, row], requests[Q_UNIT, row]
        kind, code = requests[Q_KIND, row], answers[A_CODE, row]
        given[D_CODE, m] = answers[A_MESSAGE_CODE, row]
        if kind == EVENT:
            given[D_DEBITING, m] = 1 if rules[service, L_FAILURE] == 1 else 0
        else:
            given[D_FAILOVER, m], given[D_FAILURE, m] = rules[service, L_FAILOVER], rules[service, L_FAILURE]
        told = 2000 <= answers[A_MESSAGE_CODE, row] < 3000 or 4000 <= answers[A_MESSAGE_CODE, row] < 5000
        asked = kind == EVENT and requests[Q_ACTION, row] != DEBIT  # nothing is granted, whatever was looked at
        if route[R_LEVEL, row] == COMMAND or route[R_LEVEL, row] == NO_UNITS:
            if answers[A_MESSAGE_CODE, row] == SUCCESS:
                given[D_CODE, m] = code
            if told and not asked:
                _granted_nb(answers, row, unit, service, rules, given, D_GRANTED, m)
        elif told:
            services[S_MESSAGE, count], services[S_UNIT, count] = m, route[R_UNIT, row]
            services[S_RATING, count], services[S_CODE, count] = requests[Q_RATING, row], code
            if not asked:
                _granted_nb(answers, row, unit, service, rules, services, S_GRANTED, count)
            if answers[A_GRANTED, row] > 0 and not asked:
                threshold = S_TIME if unit == SECOND else (S_VOLUME if unit == OCTET else S_UNITS)
                services[threshold, count] = answers[A_THRESHOLD, row]
                services[S_HOLDING, count] = answers[A_HOLDING, row]
            count += 1
        if kind == EVENT:
            action = requests[Q_ACTION, row]
            if action == CHECK:
                given[D_BALANCE, m] = 0 if code == SUCCESS and answers[A_GRANTED, row] != 0 else 1
            elif answers[A_DUE, row] >= 0 and currency[row] != ABSENT and code == SUCCESS:
                _cost_nb(answers[A_DUE, row], currency[row], given, m)
    return count
