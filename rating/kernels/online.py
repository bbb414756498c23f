"""Requests against the tables of online sessions: first what is to be charged for them, then what they are answered.

Between the two, the fold does what the plan says. The plan moves a session on at once, so that several messages of one
session may stand in a block; what a service was answered is remembered in the order of the messages at the end.
"""

import numpy as np
from numba import types

from rating.kernels.layout import (
    CHARGE,
    DEBIT,
    PRICE_ENQUIRY,
    RELEASE,
    REPORT,
    RESERVE,
    STATE,
    U_ACCOUNT,
    U_CLASS,
    U_DIRECTION,
    U_EVENT_HI,
    U_EVENT_LO,
    U_GROUP,
    U_GROUP_ID,
    U_LANE,
    U_QUANTITY,
    U_SERVICE,
    U_SERVICE_ID,
    U_SESSION_HI,
    U_SESSION_LO,
    U_TIME,
    U_UNIT,
)
from rating.kernels.maintain import find_account_nb
from rating.kernels.online_layout import (
    A_ASKED,
    A_CODE,
    A_GRANT,
    A_HI,
    A_LO,
    A_MESSAGE_CODE,
    A_MONEY,
    A_PRICED,
    A_SERVICE,
    A_SESSION,
    A_SINCE,
    A_VERDICT,
    CLOSED,
    L_LEAST,
    L_QUOTA,
    LATE,
    N_OPEN,
    NEW,
    O_ACCOUNT,
    O_CODE,
    O_FIRST,
    O_GROUP_ID,
    O_HEARD,
    O_HI,
    O_IMSI,
    O_LANE,
    O_LO,
    O_MSISDN,
    O_NUMBER,
    O_SEEN,
    O_SERVICE,
    O_SERVICE_ID,
    O_SOURCE,
    O_STATE,
    O_TIME,
    O_UNIT,
    OPEN,
    PRICED_REFUND,
    Q_ACTION,
    Q_AFTER,
    Q_KIND,
    Q_MESSAGE,
    Q_MONEY,
    Q_NUMBER,
    Q_REQUESTED,
    Q_USED,
    REPEATED,
    UNKNOWN,
    V_CHANGE,
    V_GROUP,
    V_NEXT,
    V_SERVICE_ID,
    V_SINCE,
    V_WANTED,
    WINDOW,
)
from rating.kernels.online_table import add_online_nb, add_service_nb, find_online_nb, find_service_nb, wait_nb
from schemas.codes import Direction, NumberClass, Service
from schemas.columns import ABSENT
from schemas.hashing import absorb_hi_nb, absorb_lo_nb
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, kernel
from schemas.online import (
    CREDIT_CONTROL_NOT_APPLICABLE,
    GRANT,
    SUCCESS,
    UNKNOWN_SESSION_ID,
    USER_UNKNOWN,
    EventAction,
    RequestKind,
)
from schemas.usage import USAGE

USAGE_COLUMNS = len(USAGE.columns)
U_FILE, U_OFFSET, U_LENGTH = (USAGE.index(n) for n in ("file_id", "record_offset", "record_length"))
U_CONTAINER, U_END, U_PARTIAL = (USAGE.index(n) for n in ("container_index", "end_time_us", "partial_sequence"))
U_SUBSCRIPTION, U_MSISDN, U_IMSI = (USAGE.index(n) for n in ("service_id", "msisdn_token", "imsi_token"))
U_SOURCE, U_MERGED, U_ROAMING, U_INCOMPLETE = (
    USAGE.index(n) for n in ("source", "merged_count", "roaming", "incomplete"))
T_POSITION, T_RECEIVED, T_KIND, T_NUMBER, T_CODE, T_FINAL, T_RELEASED = (GRANT.index(n) for n in (
    "journal_position", "received_us", "kind", "number", "result_code", "final_action", "released"))
COPIED_OF_USAGE = tuple((GRANT.index(n), USAGE.index(n)) for n in GRANT.names if n in USAGE.names)
INITIAL, UPDATE, TERMINATION, EVENT = (int(k) for k in RequestKind)
DIRECT_DEBITING, REFUND_ACCOUNT, CHECK_BALANCE, _PRICE = (int(a) for a in EventAction)
TOO_MANY_SERVICES = 5012
EMERGENCY, SERVICES, DIRECTIONS = int(NumberClass.EMERGENCY), len(Service), len(Direction)


@kernel(None, error_model="numpy", forceinline=True)
def event_id_nb(hi, lo, number, group, service_identifier, part):
    """(hi, lo) of what a request brings for one service, of its business key: a repetition has the same."""
    hi, lo = absorb_hi_nb(np.uint64(hi), number ^ 0x4F4E4C), absorb_lo_nb(np.uint64(lo), number ^ 0x4F4E4C)
    hi, lo = absorb_hi_nb(hi, group), absorb_lo_nb(lo, group)
    hi, lo = absorb_hi_nb(hi, service_identifier), absorb_lo_nb(lo, service_identifier)
    return np.int64(absorb_hi_nb(hi, part)), np.int64(absorb_lo_nb(lo, part))


@kernel(None, error_model="numpy")
def verdict_nb(sessions, row, number, kind):
    """What a request is to a session that is known; its number is seen from now on."""
    last = sessions[row, O_NUMBER]
    if number == last:
        return REPEATED
    if number > last:
        step = number - last
        seen = np.uint64(sessions[row, O_SEEN])
        seen = (seen << np.uint64(step) | np.uint64(1) << np.uint64(step - 1)) if step <= WINDOW else np.uint64(0)
        sessions[row, O_SEEN] = np.int64(seen)
        sessions[row, O_NUMBER] = number
        over = sessions[row, O_STATE] == CLOSED and kind != INITIAL and kind != EVENT
        return UNKNOWN if over else NEW
    back = last - number - 1
    if back >= WINDOW or np.uint64(sessions[row, O_SEEN]) >> np.uint64(back) & np.uint64(1):
        return REPEATED
    sessions[row, O_SEEN] |= np.int64(1) << back
    return LATE


@kernel(None, error_model="numpy")
def put_nb(fold, ask, least, put, request, i, sessions, row, services, service, position, wish, at_least, quantity,
           time_us, part):
    """One row for the fold, from request row `i`, or of a session that nobody asks for where that is -1."""
    group, service_identifier = np.int64(ABSENT), np.int64(ABSENT)
    if i >= 0:
        for c in range(USAGE_COLUMNS):
            fold[c, put] = request[c, i]
        group, service_identifier = request[U_GROUP, i], request[U_SERVICE_ID, i]
    else:
        for c in range(USAGE_COLUMNS):
            fold[c, put] = ABSENT
        fold[U_ROAMING, put] = 0
        fold[U_SERVICE, put] = sessions[row, O_SERVICE]
        fold[U_UNIT, put] = sessions[row, O_UNIT]
        fold[U_SOURCE, put] = sessions[row, O_SOURCE]
    if service >= 0:
        group, service_identifier = services[service, V_GROUP], services[service, V_SERVICE_ID]
        fold[U_GROUP, put] = group
        fold[U_SERVICE_ID, put] = service_identifier
    if i < 0 or (request[U_ACCOUNT, i] == ABSENT and request[U_MSISDN, i] == ABSENT and request[U_IMSI, i] == ABSENT):
        fold[U_ACCOUNT, put] = sessions[row, O_ACCOUNT]
        fold[U_SUBSCRIPTION, put] = sessions[row, O_SERVICE_ID]
        fold[U_GROUP_ID, put] = sessions[row, O_GROUP_ID]
        fold[U_LANE, put] = sessions[row, O_LANE]
        fold[U_MSISDN, put] = sessions[row, O_MSISDN]
        fold[U_IMSI, put] = sessions[row, O_IMSI]
    hi, lo, number = sessions[row, O_HI], sessions[row, O_LO], sessions[row, O_NUMBER]
    if i >= 0:
        number = request[Q_NUMBER, i]
    event_hi, event_lo = event_id_nb(hi, lo, number, group, service_identifier, part)
    fold[U_FILE, put] = 0
    fold[U_OFFSET, put] = position
    fold[U_LENGTH, put] = 0
    fold[U_CONTAINER, put] = part
    fold[U_EVENT_HI, put] = event_hi
    fold[U_EVENT_LO, put] = event_lo
    fold[U_PARTIAL, put] = number
    fold[U_END, put] = ABSENT
    fold[U_MERGED, put] = 1
    fold[U_INCOMPLETE, put] = 0
    fold[U_SESSION_HI, put] = hi if wish < DEBIT and wish != CHARGE else event_hi
    fold[U_SESSION_LO, put] = lo if wish < DEBIT and wish != CHARGE else event_lo
    fold[U_QUANTITY, put] = quantity
    fold[U_TIME, put] = time_us
    ask[put] = wish
    least[put] = at_least
    return put + 1


@kernel(None, error_model="numpy")
def release_all_nb(fold, ask, least, put, request, sessions, row, services, position, time_us):
    """Give back what is held for any service of a session."""
    service = sessions[row, O_FIRST]
    while service >= 0:
        if services[service, V_WANTED] > 0:
            put = put_nb(fold, ask, least, put, request, np.int64(-1), sessions, row, services, service, position,
                         RELEASE, np.int64(0), np.int64(0), time_us, np.int64(6))
            services[service, V_WANTED] = 0
        service = services[service, V_NEXT]
    return put


@kernel(types.int64(CELLS_IN, I64_OUT, CELLS_OUT, CELLS_OUT), error_model="numpy")
def room_online_nb(request, index, sessions, services):
    """Rows of the fold that requests may need at most: three each, and what their sessions hold."""
    room = np.int64(0)
    for i in range(request.shape[1]):
        room += 4
        if i == 0 or request[Q_MESSAGE, i] != request[Q_MESSAGE, i - 1]:
            row = find_online_nb(index, sessions, request[U_SESSION_HI, i], request[U_SESSION_LO, i])
            if row >= 0:
                at = sessions[row, O_FIRST]
                while at >= 0:
                    room += 1
                    at = services[at, V_NEXT]
    return room


@kernel(types.int64(CELLS_IN, types.int64, types.int64, types.int64, types.int64, CELLS_IN, I64_IN, CELLS_IN, I64_IN,
                    CELLS_IN, CELLS_IN, I64_OUT, CELLS_OUT, CELLS_OUT, I64_OUT, I64_OUT, CELLS_OUT,
                    I64_OUT, I64_OUT, CELLS_OUT),
        error_model="numpy")
def plan_online_nb(request, received_us, position, supervision_s, remember_s, rules, offline, refusals, version,
                   accounts, records, index, sessions, services, counts, wheel, fold, ask, least, plan):
    """What is to be charged, held and given back for a block of requests. Returns rows of the fold.

    offline: rating groups without credit control. refusals (versions, states * services *
    directions): code with which a state refuses a service, 0 for none; version (rows,) at each row's time. accounts:
    the book's index. plan (PLAN_WORDS, rows) is filled; `fold`, `ask` and `least` have room.
    """
    put, first, count = np.int64(0), np.int64(0), request.shape[1]
    while first < count:
        last = first + 1
        while last < count and request[Q_MESSAGE, last] == request[Q_MESSAGE, first]:
            last += 1
        hi, lo = request[U_SESSION_HI, first], request[U_SESSION_LO, first]
        kind, number, time_us = request[Q_KIND, first], request[Q_NUMBER, first], request[U_TIME, first]
        begins = kind == INITIAL or kind == EVENT
        row = find_online_nb(index, sessions, hi, lo)
        if row < 0:
            stays_s = remember_s if kind != INITIAL else supervision_s
            row = add_online_nb(index, sessions, counts, wheel, ~row, hi, lo, received_us // 1_000_000 + stays_s)
            sessions[row, O_NUMBER] = number
            sessions[row, O_STATE] = CLOSED
            sessions[row, O_TIME] = time_us
            sessions[row, O_ACCOUNT] = ABSENT
            verdict = NEW if begins else UNKNOWN
        else:
            verdict = verdict_nb(sessions, row, number, kind)
        sessions[row, O_HEARD] = max(sessions[row, O_HEARD], received_us)
        message_code = SUCCESS
        if verdict == REPEATED:
            message_code = sessions[row, O_CODE] if number == sessions[row, O_NUMBER] else SUCCESS
        elif verdict == UNKNOWN:
            message_code = UNKNOWN_SESSION_ID
        if verdict == NEW and kind == INITIAL:
            put = release_all_nb(fold, ask, least, put, request, sessions, row, services, position, time_us)
            if sessions[row, O_STATE] == CLOSED:
                sessions[row, O_STATE] = OPEN
                counts[N_OPEN] += 1
        named = request[U_MSISDN, first] != ABSENT or request[U_IMSI, first] != ABSENT or (
            request[U_ACCOUNT, first] != ABSENT)
        if verdict != REPEATED and (named or sessions[row, O_ACCOUNT] == ABSENT):
            sessions[row, O_ACCOUNT] = request[U_ACCOUNT, first]
            sessions[row, O_SERVICE_ID] = request[U_SUBSCRIPTION, first]
            sessions[row, O_GROUP_ID] = request[U_GROUP_ID, first]
            sessions[row, O_LANE] = request[U_LANE, first]
            sessions[row, O_MSISDN] = request[U_MSISDN, first]
            sessions[row, O_IMSI] = request[U_IMSI, first]
            sessions[row, O_SERVICE] = request[U_SERVICE, first]
            sessions[row, O_UNIT] = request[U_UNIT, first]
            sessions[row, O_SOURCE] = request[U_SOURCE, first]
        if verdict == NEW and sessions[row, O_ACCOUNT] == ABSENT:
            message_code = USER_UNKNOWN
        before_us, who = sessions[row, O_TIME], np.int64(-1)
        if sessions[row, O_ACCOUNT] != ABSENT:
            who = find_account_nb(accounts, sessions[row, O_ACCOUNT])
        wishes, refused = np.int64(0), np.int64(0)
        for i in range(first, last):
            group, service_identifier = request[U_GROUP, i], request[U_SERVICE_ID, i]
            requested, used, after = request[Q_REQUESTED, i], request[Q_USED, i], request[Q_AFTER, i]
            service = find_service_nb(sessions, services, row, group, service_identifier)
            plan[A_VERDICT, i] = verdict
            plan[A_SESSION, i] = row
            plan[A_GRANT, i] = -1
            plan[A_ASKED, i] = 0
            plan[A_CODE, i] = SUCCESS
            plan[A_MONEY, i] = 0
            plan[A_PRICED, i] = 0
            plan[A_SINCE, i] = ABSENT
            plan[A_HI, i], plan[A_LO, i] = event_id_nb(hi, lo, number, group, service_identifier, np.int64(0))
            if verdict == REPEATED:
                plan[A_SERVICE, i] = service
                plan[A_ASKED, i] = sessions[row, O_NUMBER] - number <= WINDOW  # whether its answer may be remembered
                continue
            says = requested != ABSENT or used != ABSENT or after != ABSENT or kind == EVENT
            if service < 0 and says and verdict != UNKNOWN:
                service = add_service_nb(sessions, services, counts, row, group, service_identifier, before_us)
            plan[A_SERVICE, i] = service
            since_us = services[service, V_SINCE] if service >= 0 else before_us
            if verdict == LATE:
                since_us = min(since_us, time_us)
            rule = rules[request[U_SERVICE, i]]
            code = message_code if message_code != SUCCESS else SUCCESS
            held = service >= 0 and services[service, V_WANTED] > 0
            refusal = np.int64(0)
            if who >= 0 and request[U_CLASS, i] != EMERGENCY:
                refusal = refusals[version[i], (records[who, STATE] * SERVICES + request[U_SERVICE, i]) * DIRECTIONS
                                   + max(request[U_DIRECTION, i], 0)]

            # What was used is charged, whatever is the matter with the rest.
            wish = CHARGE if kind == EVENT else REPORT
            given_back = False
            if used > 0:
                plan[A_SINCE, i] = since_us
                put = put_nb(fold, ask, least, put, request, i, sessions, row, services, service, position, wish,
                             np.int64(0), used, time_us if kind == EVENT else since_us, np.int64(0))
                given_back = True
            if after > 0:
                change_us = services[service, V_CHANGE] if service >= 0 else np.int64(ABSENT)
                if not since_us <= change_us <= time_us:
                    change_us = since_us
                plan[A_SINCE, i] = since_us
                put = put_nb(fold, ask, least, put, request, i, sessions, row, services, service, position, wish,
                             np.int64(0), after, change_us, np.int64(1))
                given_back = True
            if verdict == LATE:
                if held and given_back:
                    put = put_nb(fold, ask, least, put, request, i, sessions, row, services, service, position, RESERVE,
                                 np.int64(1), services[service, V_WANTED], time_us, np.int64(2))
                continue

            if kind == EVENT:
                amount, action = request[Q_MONEY, i], request[Q_ACTION, i]
                quantity = requested if requested > 0 else rule[L_QUOTA]
                if code == SUCCESS and action == DIRECT_DEBITING and refusal > 0:
                    code = refusal
                if code == SUCCESS and action != ABSENT and (used == ABSENT or action != DIRECT_DEBITING):
                    if amount == ABSENT:
                        plan[A_GRANT, i] = put
                        plan[A_ASKED, i] = quantity
                        plan[A_PRICED, i] = PRICED_REFUND if action == REFUND_ACCOUNT else 0
                        put = put_nb(fold, ask, least, put, request, i, sessions, row, services, service, position,
                                     DEBIT if action == DIRECT_DEBITING else PRICE_ENQUIRY, np.int64(0), quantity,
                                     time_us, np.int64(0))
                    elif action == DIRECT_DEBITING or action == REFUND_ACCOUNT:
                        plan[A_MONEY, i] = amount if action == REFUND_ACCOUNT else -amount
                    else:
                        plan[A_ASKED, i] = 1  # enough for `amount`?
            elif requested != ABSENT and kind != TERMINATION and verdict == NEW:
                wishes += 1
                apart = False
                for each in offline:
                    apart |= each == group
                if code == SUCCESS and apart:
                    code = CREDIT_CONTROL_NOT_APPLICABLE
                elif code == SUCCESS and refusal > 0:
                    code = refusal
                    refused += 1
                elif code == SUCCESS and service < 0:
                    code = np.int64(TOO_MANY_SERVICES)
                if code == SUCCESS:
                    asked = min(requested, rule[L_QUOTA]) if requested > 0 else rule[L_QUOTA]
                    plan[A_GRANT, i] = put
                    plan[A_ASKED, i] = asked
                    put = put_nb(fold, ask, least, put, request, i, sessions, row, services, service, position, RESERVE,
                                 min(rule[L_LEAST], asked), asked, time_us, np.int64(3))
                    services[service, V_WANTED] = asked
                    given_back, held = True, False
            if held:
                if not given_back:
                    put = put_nb(fold, ask, least, put, request, i, sessions, row, services, service, position, RELEASE,
                                 np.int64(0), np.int64(0), time_us, np.int64(4))
                services[service, V_WANTED] = 0
            if service >= 0:
                services[service, V_SINCE] = time_us
            plan[A_CODE, i] = code
        if verdict != REPEATED and verdict != LATE:
            sessions[row, O_TIME] = time_us
            denied = kind == INITIAL and wishes > 0 and refused == wishes
            if denied:
                message_code = plan[A_CODE, last - 1]
            if (kind == TERMINATION or denied or (message_code == USER_UNKNOWN and kind == INITIAL)) and (
                    sessions[row, O_STATE] == OPEN):
                put = release_all_nb(fold, ask, least, put, request, sessions, row, services, position, time_us)
                sessions[row, O_STATE] = CLOSED
                counts[N_OPEN] -= 1
            sessions[row, O_CODE] = message_code
        for i in range(first, last):
            plan[A_MESSAGE_CODE, i] = message_code
        first = last
    return put


@kernel(types.int64(I64_IN, *[types.int64] * 3, CELLS_OUT, CELLS_OUT, I64_OUT, I64_OUT, CELLS_OUT, I64_OUT, I64_OUT,
                    CELLS_OUT, I64_OUT), error_model="numpy")
def silence_nb(silent, now_us, position, remember_s, sessions, services, counts, wheel, fold, ask, least, grant, made):
    """Close sessions that are off the wheel, giving back what they hold. Returns rows of the fold.

    made (1,): rows of `grant`, one for each of the fold, and one for each session that held nothing: whoever waits for
    its usage is to know that nobody will report it. All have room for a row more for each session.
    """
    put, told = np.int64(0), np.int64(0)
    for row in silent:
        first = put
        put = release_all_nb(fold, ask, least, put, fold, sessions, row, services, position, now_us)
        stop = put
        if stop == first:  # for `grant` alone: the next takes its place
            stop = put_nb(fold, ask, least, put, fold, np.int64(-1), sessions, row, services, np.int64(-1),
                          position, RELEASE, np.int64(0), np.int64(0), now_us, np.int64(6))
        for k in range(first, stop):
            for c in range(grant.shape[0]):
                grant[c, told] = ABSENT
            for pair in COPIED_OF_USAGE:
                grant[pair[0], told] = fold[pair[1], k]
            grant[T_POSITION, told] = position
            grant[T_RECEIVED, told] = now_us
            grant[T_KIND, told] = TERMINATION
            grant[T_NUMBER, told] = sessions[row, O_NUMBER]
            grant[T_CODE, told] = SUCCESS
            grant[T_FINAL, told] = 0
            grant[T_RELEASED, told] = 1
            told += 1
        sessions[row, O_STATE] = CLOSED
        counts[N_OPEN] -= 1
        wait_nb(sessions, counts, wheel, row, now_us // 1_000_000 + remember_s)
    made[0] = told
    return put
