"""Answers and requests from columns into one send buffer, in one pass."""

from itertools import pairwise

import numpy as np
from numba import types

from mediation.kernels.octets import at_nb
from pipelines.diameter.columns import (
    ANSWER,
    BLOCK,
    GRANT,
    INPUT,
    MESSAGE,
    MONEY,
    OUTPUT,
    REPORT,
    REQUEST,
    TIME,
    TOTAL,
    UNIT,
    UNITS,
)
from pipelines.diameter.kernels.values import half_nb, word_nb
from pipelines.diameter.kernels.write import (
    ABSENT,
    TGPP,
    VM,
    M,
    V,
    avp32_nb,
    close_nb,
    finish_nb,
    given32_nb,
    head_nb,
    message_nb,
    octets_nb,
    put32_nb,
    text_nb,
    time_nb,
    value_nb,
)
from pipelines.diameter.results import Command
from schemas.jit import CELLS_IN, CELLS_OUT, U8_IN, U8_OUT, kernel

CREDIT_CONTROL, SPENDING_LIMIT = int(Command.CREDIT_CONTROL), int(Command.SPENDING_LIMIT)
RE_AUTH, NOTIFICATION = int(Command.RE_AUTH), int(Command.SPENDING_STATUS_NOTIFICATION)

RESULT, FAILED_CODE, FAILED_VENDOR, FAILED, FAILED_ZEROS = (MESSAGE.index(n) for n in (
    "result_code", "failed_avp_code", "failed_avp_vendor", "failed_avp", "failed_avp_zeros"))
OFFSET, LENGTH, COMMAND, FLAGS, APPLICATION, HOP, END, REQUEST_TYPE = (MESSAGE.index(n) for n in (
    "offset", "length", "command", "flags", "application", "hop_by_hop", "end_to_end", "request_type"))
SESSION, PROXY = MESSAGE.index("session_text"), MESSAGE.index("proxy_info")
REQUEST_NUMBER, SUB_SESSION = MESSAGE.index("request_number"), MESSAGE.index("sub_session_id")

A_RESULT, A_GRANTED, A_FAILOVER, A_HANDLING, A_DEBITING, A_BALANCE_RESULT = (ANSWER.index(n) for n in (
    "result_code", "granted", "session_failover", "failure_handling", "debiting_failure_handling", "balance_result"))
A_COST, A_COST_CURRENCY, A_COST_UNIT = (ANSWER.index(n) for n in ("cost_digits", "cost_currency", "cost_unit_text"))
A_LOW, A_BALANCE, A_BALANCE_CURRENCY = (ANSWER.index(n) for n in ("low_balance", "balance_digits", "balance_currency"))
A_ERROR, A_FAILED_CODE, A_FAILED_VENDOR, A_FAILED, A_FAILED_ZEROS = (ANSWER.index(n) for n in (
    "error_text", "failed_avp_code", "failed_avp_vendor", "failed_avp", "failed_avp_zeros"))

G_MESSAGE, G_UNIT, G_RATING, G_SERVICE, G_RESULT, G_GRANTED, G_POOL = (GRANT.index(n) for n in (
    "message_row", "unit_row", "rating_group", "service_identifier", "result_code", "granted", "pool"))
G_TIME_THRESHOLD = GRANT.index("time_threshold_s")
# From the mask on, the same in answers and grants.
(D_TIME, D_TOTAL, D_INPUT, D_OUTPUT, D_UNITS, D_DIGITS, D_EXPONENT, D_CURRENCY, D_CHANGE, D_VALIDITY, D_FINAL,
 D_REDIRECT, D_SERVER, D_RULE, D_FILTER) = range(1, 16)

R_MESSAGE, R_COUNTER, R_STATUS, R_PENDING, R_PENDING_TIME = (REPORT.index(n) for n in (
    "message_row", "counter_text", "status_text", "pending_status_text", "pending_time_us"))
Q_COMMAND, Q_APPLICATION, Q_HOP, Q_END, Q_SESSION, Q_HOST, Q_REALM = (REQUEST.index(n) for n in (
    "command", "application", "hop_by_hop", "end_to_end", "session_text", "destination_host_text",
    "destination_realm_text"))
Q_TYPE, Q_RATING, Q_SERVICE, Q_POOL, Q_NOTIFICATION = (REQUEST.index(n) for n in (
    "reauth_type", "rating_group", "service_identifier", "pool", "notification_type"))
U_TEXT, U_SERVICES = UNIT.index("group_text"), UNIT.index("service_identifier_count")


# Plain numbers in the order of the grammars: code, flags, octets, column, and the bit of the mask that says so.
_GRANTED = [(420, M, 4, D_TIME, TIME), (421, M, 8, D_TOTAL, TOTAL), (412, M, 8, D_INPUT, INPUT),
            (414, M, 8, D_OUTPUT, OUTPUT), (417, M, 8, D_UNITS, UNITS)]
_SERVICE = [(448, M, 4, G_GRANTED + D_VALIDITY, 0), (268, M, 4, G_RESULT, 0)]
_THRESHOLDS = [(code, VM, 4, G_TIME_THRESHOLD + i, 0) for i, code in enumerate((868, 869, 1226, 871, 881))]
_CREDIT = [(416, M, 4, REQUEST_TYPE, 0), (415, M, 4, REQUEST_NUMBER, 0), (419, M, 8, SUB_SESSION, 0)]
_BALANCE = [(422, M, 4, A_BALANCE_RESULT, 0), (427, M, 4, A_HANDLING, 0), (428, M, 4, A_DEBITING, 0),
            (448, M, 4, A_GRANTED + D_VALIDITY, 0)]
_REAUTH = [(453, M, 4, Q_POOL, 0), (439, M, 4, Q_SERVICE, 0), (432, M, 4, Q_RATING, 0)]
_LISTS = (_GRANTED, _SERVICE, _THRESHOLDS, _CREDIT, _BALANCE, _REAUTH)
_FIELDS = np.array([field for each in _LISTS for field in each], np.int64)
_ENDS = [sum(map(len, _LISTS[:i])) for i in range(len(_LISTS) + 1)]
(GRANTED, GRANTED_END), (SERVICE, SERVICE_END), (THRESHOLDS, THRESHOLDS_END), (CREDIT, CREDIT_END), \
    (BALANCE, BALANCE_END), (REAUTH, REAUTH_END) = pairwise(_ENDS)


@kernel(None)
def fields_nb(cells, row, base, mask, first, stop, out, at):
    """Plain numbers of one row; a list of them costs a compiler less than as many calls."""
    for f in range(first, stop):
        value, bit = cells[base + _FIELDS[f, 3], row], _FIELDS[f, 4]
        if (bit == 0 and value != ABSENT) or bit & mask:
            octets = _FIELDS[f, 2]
            at = head_nb(out, at, _FIELDS[f, 0], _FIELDS[f, 1], octets)
            if octets == 8:
                at = put32_nb(out, at, value >> 32)
            at = put32_nb(out, at, value)
    return at


@kernel(None)
def granted_nb(cells, row, base, out, at):
    """Granted-Service-Unit."""
    mask = cells[base, row]
    if mask & BLOCK == 0:
        return at
    begin = at
    at = head_nb(out, at, 431, M, 0)
    at = time_nb(out, at, 451, M, cells[base + D_CHANGE, row])
    if mask & MONEY:
        money = at
        at = value_nb(out, head_nb(out, at, 413, M, 0), cells[base + D_DIGITS, row], cells[base + D_EXPONENT, row])
        at = close_nb(out, money, given32_nb(out, at, 425, M, cells[base + D_CURRENCY, row]))
    at = fields_nb(cells, row, base, mask, GRANTED, GRANTED_END, out, at)
    return close_nb(out, begin, at)


@kernel(None)
def final_nb(cells, row, base, texts, out, at):
    """Final-Unit-Indication."""
    action = cells[base + D_FINAL, row]
    if action == ABSENT:
        return at
    begin = at
    at = avp32_nb(out, head_nb(out, at, 430, M, 0), 449, M, action)
    at = text_nb(out, at, 438, M, texts, cells[base + D_RULE, row])
    at = text_nb(out, at, 11, M, texts, cells[base + D_FILTER, row])
    if cells[base + D_SERVER, row] != ABSENT:
        server = at
        at = avp32_nb(out, head_nb(out, at, 434, M, 0), 433, M, cells[base + D_REDIRECT, row])
        at = close_nb(out, server, text_nb(out, at, 435, M, texts, cells[base + D_SERVER, row]))
    return close_nb(out, begin, at)


@kernel(None)
def services_nb(buffer, group, out, at):
    """The Service-Identifiers of a Multiple-Services-Credit-Control of the request, which was walked before."""
    pos, stop = (group >> 16) + 8, (group >> 16) + (group & 0xFFFF)
    while pos + 8 <= stop:
        size = half_nb(buffer, pos + 5)
        if size < 8 or size > stop - pos:
            break
        if word_nb(buffer, pos) == 439 and size == 12 and at_nb(buffer, pos + 4) & 0x80 == 0:
            at = avp32_nb(out, at, 439, M, word_nb(buffer, pos + 8))
        pos += size + 3 & ~3
    return at


@kernel(None)
def grant_nb(buffer, units, grants, g, texts, out, at):
    """One Multiple-Services-Credit-Control."""
    begin = at
    at = granted_nb(grants, g, G_GRANTED, out, head_nb(out, at, 456, M, 0))
    unit = grants[G_UNIT, g]
    if unit != ABSENT and units[U_SERVICES, unit] > 0 and units[U_TEXT, unit] != ABSENT:
        at = services_nb(buffer, units[U_TEXT, unit], out, at)
    else:
        at = given32_nb(out, at, 439, M, grants[G_SERVICE, g])
    at = given32_nb(out, at, 432, M, grants[G_RATING, g])
    if grants[G_POOL, g] != ABSENT:
        pool = at
        at = avp32_nb(out, head_nb(out, at, 457, M, 0), 453, M, grants[G_POOL, g])
        at = avp32_nb(out, at, 454, M, grants[G_POOL + 1, g])
        at = close_nb(out, pool, value_nb(out, at, grants[G_POOL + 2, g], grants[G_POOL + 3, g]))
    at = fields_nb(grants, g, 0, 0, SERVICE, SERVICE_END, out, at)
    at = final_nb(grants, g, G_GRANTED, texts, out, at)
    at = fields_nb(grants, g, 0, 0, THRESHOLDS, THRESHOLDS_END, out, at)
    return close_nb(out, begin, at)


@kernel(None)
def report_nb(reports, r, texts, out, at):
    """One Policy-Counter-Status-Report."""
    begin = at
    at = text_nb(out, head_nb(out, at, 2903, VM, 0), 2901, VM, texts, reports[R_COUNTER, r])
    at = text_nb(out, at, 2902, VM, texts, reports[R_STATUS, r])
    if reports[R_PENDING, r] != ABSENT:
        pending = at
        at = text_nb(out, head_nb(out, at, 2905, VM, 0), 2902, VM, texts, reports[R_PENDING, r])
        at = close_nb(out, pending, time_nb(out, at, 2906, VM, reports[R_PENDING_TIME, r]))
    return close_nb(out, begin, at)


@kernel(None)
def failed_nb(buffer, code, vendor, reference, zeros, out, at):
    """Failed-AVP: the AVP as it came, or its header with zeros where its length could not be trusted."""
    if code == ABSENT:
        return at
    begin = at
    at = head_nb(out, at, 279, M, 0)
    if reference != ABSENT:
        at = octets_nb(out, at, buffer, reference >> 16, reference & 0xFFFF)
    else:
        head = 12 if vendor > 0 else 8
        at = put32_nb(out, at, code)
        at = put32_nb(out, at, (VM if vendor > 0 else M) << 24 | head + zeros)
        if vendor > 0:
            at = put32_nb(out, at, vendor)
        for _ in range(0, zeros, 4):
            at = put32_nb(out, at, 0)
    return close_nb(out, begin, at)


@kernel(None)
def proxies_nb(buffer, first, stop, out, at):
    """All Proxy-Info of the request, in their order (RFC 6733 6.2): `first` is where one begins."""
    pos = first
    while pos + 8 <= stop:
        size = half_nb(buffer, pos + 5)
        if size < 8 or size > stop - pos:
            break
        if word_nb(buffer, pos) == 284 and at_nb(buffer, pos + 4) & 0x80 == 0:
            at = octets_nb(out, at, buffer, pos, size)
        pos += size + 3 & ~3
    return at


@kernel(None)
def money_nb(code, flags, digits, exponent, currency, unit_text, texts, out, at):
    """Cost-Information or Remaining-Balance."""
    begin = at
    at = value_nb(out, head_nb(out, at, code, flags, 0), digits, exponent)
    at = avp32_nb(out, at, 425, M, currency)
    return close_nb(out, begin, text_nb(out, at, 424, M, texts, unit_text))


@kernel(None)
def credit_nb(buffer, messages, units, m, answers, grants, g, texts, out, at):
    """What a Credit-Control-Answer has beside what all answers have. Returns (grant to go on with, at)."""
    at = fields_nb(messages, m, 0, 0, CREDIT, CREDIT_END, out, at)
    at = granted_nb(answers, m, A_GRANTED, out, at)
    at = given32_nb(out, at, 418, M, answers[A_FAILOVER, m])
    while g < grants.shape[1] and grants[G_MESSAGE, g] == m:
        at = grant_nb(buffer, units, grants, g, texts, out, at)
        g += 1
    if answers[A_COST_CURRENCY, m] != ABSENT:
        at = money_nb(423, M, answers[A_COST, m], answers[A_COST + 1, m], answers[A_COST_CURRENCY, m],
                      answers[A_COST_UNIT, m], texts, out, at)
    at = given32_nb(out, at, 2020, V, answers[A_LOW, m])
    if answers[A_BALANCE_CURRENCY, m] != ABSENT:
        at = money_nb(2021, V, answers[A_BALANCE, m], answers[A_BALANCE + 1, m], answers[A_BALANCE_CURRENCY, m],
                      ABSENT, texts, out, at)
    at = final_nb(answers, m, A_GRANTED, texts, out, at)
    at = fields_nb(answers, m, 0, 0, BALANCE, BALANCE_END, out, at)
    return g, at


@kernel([types.int64(U8_IN, CELLS_IN, CELLS_IN, CELLS_IN, CELLS_IN, CELLS_IN, U8_IN, U8_IN, types.int64, U8_OUT,
                     CELLS_OUT)])
def encode_answers_nb(buffer, messages, units, answers, grants, reports, texts, identity, state_id, out, places):
    """Answers to all messages, one behind the other. Returns the octets needed; nothing is written past the room.

    identity: Origin-Host and Origin-Realm as AVPs
    places (n, 2): where each answer begins and how long it is
    """
    at, g, r = 0, 0, 0
    for m in range(messages.shape[1]):
        begin = at
        command, result = messages[COMMAND, m], answers[A_RESULT, m]
        protocol = 3000 <= result < 4000  # a protocol error: E bit, and the grammar of RFC 6733 7.2
        flags = messages[FLAGS, m] & 0x40 | (0x20 if protocol else 0)
        at = message_nb(out, at, flags, command, messages[APPLICATION, m], messages[HOP, m], messages[END, m])
        at = text_nb(out, at, 263, M, buffer, messages[SESSION, m])
        if result == 4241 or result == 5570:
            group = at
            at = avp32_nb(out, head_nb(out, at, 297, M, 0), 266, M, TGPP)
            at = close_nb(out, group, avp32_nb(out, at, 298, M, result))
        else:
            at = avp32_nb(out, at, 268, M, result)
        at = octets_nb(out, at, identity, 0, identity.size)
        if not protocol:
            if command == CREDIT_CONTROL or command == SPENDING_LIMIT:
                at = avp32_nb(out, at, 258, M, messages[APPLICATION, m])
            if command == CREDIT_CONTROL:
                g, at = credit_nb(buffer, messages, units, m, answers, grants, g, texts, out, at)
            while r < reports.shape[1] and reports[R_MESSAGE, r] == m:
                at = report_nb(reports, r, texts, out, at)
                r += 1
        while g < grants.shape[1] and grants[G_MESSAGE, g] <= m:
            g += 1
        while r < reports.shape[1] and reports[R_MESSAGE, r] <= m:
            r += 1
        at = given32_nb(out, at, 278, M, state_id)
        at = text_nb(out, at, 281, 0, texts, answers[A_ERROR, m])
        if answers[A_FAILED_CODE, m] != ABSENT:
            at = failed_nb(buffer, answers[A_FAILED_CODE, m], answers[A_FAILED_VENDOR, m], answers[A_FAILED, m],
                           answers[A_FAILED_ZEROS, m], out, at)
        elif messages[RESULT, m] == result:
            at = failed_nb(buffer, messages[FAILED_CODE, m], messages[FAILED_VENDOR, m], messages[FAILED, m],
                           messages[FAILED_ZEROS, m], out, at)
        if messages[PROXY, m] != ABSENT:
            at = proxies_nb(buffer, messages[PROXY, m], messages[OFFSET, m] + messages[LENGTH, m], out, at)
        finish_nb(out, begin, at)
        places[m, 0], places[m, 1] = begin, at - begin
    return at


@kernel([types.int64(CELLS_IN, CELLS_IN, U8_IN, U8_IN, types.int64, U8_OUT, CELLS_OUT)])
def encode_requests_nb(requests, reports, texts, identity, state_id, out, places):
    """RAR, ASR and SNR, one behind the other. Returns the octets needed; nothing is written past the room."""
    at, r = 0, 0
    for m in range(requests.shape[1]):
        begin, command = at, requests[Q_COMMAND, m]
        at = message_nb(out, at, 0xC0, command, requests[Q_APPLICATION, m], requests[Q_HOP, m], requests[Q_END, m])
        at = text_nb(out, at, 263, M, texts, requests[Q_SESSION, m])
        at = octets_nb(out, at, identity, 0, identity.size)
        at = text_nb(out, at, 283, M, texts, requests[Q_REALM, m])
        at = text_nb(out, at, 293, M, texts, requests[Q_HOST, m])
        at = avp32_nb(out, at, 258, M, requests[Q_APPLICATION, m])
        if command == RE_AUTH:
            at = avp32_nb(out, at, 285, M, max(requests[Q_TYPE, m], 0))
            at = fields_nb(requests, m, 0, 0, REAUTH, REAUTH_END, out, at)
        elif command == NOTIFICATION:
            at = given32_nb(out, at, 2907, V, requests[Q_NOTIFICATION, m])
            while r < reports.shape[1] and reports[R_MESSAGE, r] == m:
                at = report_nb(reports, r, texts, out, at)
                r += 1
        while r < reports.shape[1] and reports[R_MESSAGE, r] <= m:
            r += 1
        at = given32_nb(out, at, 278, M, state_id)
        finish_nb(out, begin, at)
        places[m, 0], places[m, 1] = begin, at - begin
    return at
