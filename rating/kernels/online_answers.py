"""What requests are answered, once the fold has done what was planned: remembered, told, and written down."""

import numpy as np
from numba import types

from rating.kernels.layout import (
    F_ACCOUNT,
    F_CREDIT,
    F_TRAITS,
    MONEY,
    TRAIT_CURRENCY,
    U_ACCOUNT,
    U_GROUP,
    U_SERVICE,
    U_SERVICE_ID,
    U_TIME,
)
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
    COPIED,
    L_FINAL,
    L_HOLDING,
    L_THRESHOLD,
    L_VALIDITY,
    NEW,
    O_ACCOUNT,
    O_IMSI,
    O_MSISDN,
    O_SERVICE_ID,
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
    TOLD,
    V_CHANGE,
    V_CODE,
    V_DUE,
    V_FINAL,
    V_GRANTED,
    V_HOLDING,
    V_NUMBER,
    V_THRESHOLD,
    V_VALIDITY,
    Z_CODE,
    Z_DUE,
    Z_FINAL,
    Z_GRANTED,
    Z_MESSAGE,
    Z_MESSAGE_CODE,
    Z_REPEATED,
)
from rating.kernels.online_repeats import remember_nb, tell_again_nb
from rating.kernels.postings import put_pair_nb
from schemas.codes import LedgerAccount, PostingReason, Reason, Unit
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, kernel
from schemas.money import MAX_NANOS
from schemas.online import (
    CREDIT_CONTROL_NOT_APPLICABLE,
    CREDIT_LIMIT_REACHED,
    GRANT,
    RATING_FAILED,
    SUCCESS,
    USER_UNKNOWN,
    EventAction,
    FinalAction,
    RequestKind,
)
from schemas.timepoint import SECOND_US
from schemas.usage import USAGE

(T_FILE, T_OFFSET, T_LENGTH, T_CONTAINER, T_POSITION, T_EVENT_HI, T_EVENT_LO, T_RECEIVED, T_ACCOUNT, T_SERVICE_ID,
 T_MSISDN, T_IMSI, T_USED, T_SINCE, T_GRANTED, T_DUE, T_CODE, T_FINAL, T_RELEASED) = (GRANT.index(name) for name in (
     "file_id", "record_offset", "record_length", "container_index", "journal_position", "event_id_hi", "event_id_lo",
     "received_us", "account_id", "service_id", "msisdn_token", "imsi_token", "used", "used_since_us", "granted",
     "due_nanos", "result_code", "final_action", "released"))
U_SUBSCRIPTION, U_MSISDN, U_IMSI = (USAGE.index(n) for n in ("service_id", "msisdn_token", "imsi_token"))
EVENT = int(RequestKind.EVENT)
DIRECT_DEBITING, CHECK_BALANCE = int(EventAction.DIRECT_DEBITING), int(EventAction.CHECK_BALANCE)
UNKNOWN_ACCOUNT = int(Reason.UNKNOWN_ACCOUNT)
NONE = int(FinalAction.NONE)
MONEY_UNIT, BALANCE = int(Unit.MONEY), int(LedgerAccount.BALANCE)
ADJUSTMENT, ADJUSTED = int(LedgerAccount.ADJUSTMENT), int(PostingReason.ADJUSTMENT)
FEES, FEE = int(LedgerAccount.FEES), int(PostingReason.FEE)


@kernel(None, error_model="numpy")
def granted_nb(plan, i, rule, reason, granted, before_us, change_us, service):
    """Fill the memory of a service with what was granted for row `i`; `service` is its row of the table."""
    asked, units = plan[A_ASKED, i], max(granted, np.int64(0))
    if reason > 0:
        service[V_CODE] = USER_UNKNOWN if reason == UNKNOWN_ACCOUNT else RATING_FAILED
        service[V_GRANTED] = 0
        return
    service[V_GRANTED] = units
    service[V_CODE] = SUCCESS if units > 0 else CREDIT_LIMIT_REACHED
    if units < asked:
        service[V_FINAL] = rule[L_FINAL]
    if units > 0:
        service[V_VALIDITY] = rule[L_VALIDITY]
        service[V_HOLDING] = rule[L_HOLDING]
        if units == asked and rule[L_THRESHOLD] > 0:
            service[V_THRESHOLD] = units * rule[L_THRESHOLD] // 100
        if before_us < change_us <= before_us + rule[L_VALIDITY] * SECOND_US:
            service[V_CHANGE] = change_us


@kernel(None, error_model="numpy")
def move_money_nb(records, profile, currency_of, row, nanos, hi, lo, time_us, position, posting, posted):
    """A refund, or a debit of what is there; whether it could be done. Writes two postings where it is."""
    money = records[row, MONEY]
    if money + nanos >= MAX_NANOS or (nanos < 0 and money + profile[row, F_CREDIT] + nanos < 0):
        return False
    records[row, MONEY] = money + nanos
    put_pair_nb(posting, posted, hi, lo, 0, position, time_us, profile[row, F_ACCOUNT], -1, MONEY_UNIT,
                currency_of[profile[row, F_TRAITS] >> TRAIT_CURRENCY & 0xFFF], nanos, BALANCE,
                ADJUSTMENT if nanos > 0 else FEES, ADJUSTED if nanos > 0 else FEE)
    return True


@kernel(None, error_model="numpy", forceinline=True)
def tell_nb(answer, i, service):
    """What a service was answered, as an answer."""
    answer[Z_CODE, i] = service[V_CODE]
    for word in range(TOLD):
        answer[Z_GRANTED + word, i] = service[V_GRANTED + word]


@kernel(types.void(CELLS_IN, CELLS_IN, I64_IN, I64_IN, I64_IN, CELLS_IN, types.int64, types.int64, I64_IN, I64_IN,
                   CELLS_OUT, CELLS_IN, I64_IN, CELLS_OUT, CELLS_OUT, CELLS_OUT, I64_OUT, CELLS_OUT, CELLS_OUT,
                   CELLS_OUT, I64_OUT, I64_OUT), error_model="numpy")
def conclude_online_nb(request, plan, granted, due, reason, rules, received_us, position, change_us, account_row,
                       records, profile, currency_of, sessions, services, given, counts, answer, grant, posting, final,
                       made):
    """Answers of a block of requests, in order.

    granted, due, reason: what the fold said of its rows. change_us (rows,): when a tariff changes next after each row's
    time. account_row (rows,): row in the book, -1 for none. given: answers remembered one by one. posting: two rows for
    each request have room; final: rows whose answer is the last of its service's units. made (3,): rows of grant, of
    posting, of final.
    """
    grants, posted, finals, first = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for i in range(request.shape[1]):
        if request[Q_MESSAGE, i] != request[Q_MESSAGE, first]:
            first = i
        row, at, verdict = plan[A_SESSION, i], plan[A_SERVICE, i], plan[A_VERDICT, i]
        answer[Z_MESSAGE, i] = request[Q_MESSAGE, i]
        answer[Z_MESSAGE_CODE, i] = plan[A_MESSAGE_CODE, i]
        answer[Z_REPEATED, i] = verdict == REPEATED
        answer[Z_CODE, i] = plan[A_CODE, i] if verdict != REPEATED else plan[A_MESSAGE_CODE, i]
        for word in range(TOLD):
            answer[Z_GRANTED + word, i] = ABSENT
        answer[Z_FINAL, i] = NONE
        is_event = request[Q_KIND, i] == EVENT
        if verdict == NEW and at >= 0:
            service = services[at]
            service[V_NUMBER] = request[Q_NUMBER, i]
            service[V_CODE] = plan[A_CODE, i]
            service[V_GRANTED:V_CHANGE + 1] = ABSENT
            service[V_FINAL] = NONE
            at_fold = plan[A_GRANT, i]
            if plan[A_CODE, i] != SUCCESS:
                if request[Q_REQUESTED, i] != ABSENT and plan[A_CODE, i] != CREDIT_CONTROL_NOT_APPLICABLE:
                    service[V_GRANTED] = 0
            elif at_fold >= 0 and not is_event:
                granted_nb(plan, i, rules[request[U_SERVICE, i]], reason[at_fold], granted[at_fold], request[U_TIME, i],
                           change_us[i], service)
                if service[V_FINAL] != NONE:
                    final[finals] = i
                    finals += 1
            elif at_fold >= 0:
                action = request[Q_ACTION, i]
                if reason[at_fold] > 0:
                    service[V_CODE] = USER_UNKNOWN if reason[at_fold] == UNKNOWN_ACCOUNT else RATING_FAILED
                else:
                    service[V_GRANTED] = max(granted[at_fold], np.int64(0))
                    service[V_DUE] = due[at_fold]
                    if action == DIRECT_DEBITING and service[V_GRANTED] == 0:
                        service[V_CODE] = CREDIT_LIMIT_REACHED
            nanos = plan[A_MONEY, i]
            if plan[A_PRICED, i] == PRICED_REFUND and service[V_CODE] == SUCCESS:
                nanos = max(service[V_DUE], np.int64(0))
                service[V_GRANTED] = ABSENT
            account = account_row[i]
            if nanos != 0 and service[V_CODE] == SUCCESS:
                if account < 0:
                    service[V_CODE] = USER_UNKNOWN
                elif move_money_nb(records, profile, currency_of, account, nanos, plan[A_HI, i], plan[A_LO, i],
                                   request[U_TIME, i], position, posting, posted):
                    posted += 2
                    service[V_DUE] = abs(nanos)
                else:
                    service[V_CODE] = CREDIT_LIMIT_REACHED if nanos < 0 else RATING_FAILED
            if is_event and request[Q_ACTION, i] == CHECK_BALANCE and at_fold < 0 and service[V_CODE] == SUCCESS:
                enough = account >= 0 and records[account, MONEY] + profile[account, F_CREDIT] >= request[Q_MONEY, i]
                service[V_GRANTED] = 1 if enough else 0
            tell_nb(answer, i, service)
        elif verdict == REPEATED:
            told = plan[A_ASKED, i] == 1 and tell_again_nb(
                given, counts, sessions, row, request[Q_NUMBER, i], request[U_GROUP, i], request[U_SERVICE_ID, i],
                i - first, answer, i)
            if not told and at >= 0 and services[at, V_NUMBER] == request[Q_NUMBER, i]:
                tell_nb(answer, i, services[at])
        if is_event and answer[Z_MESSAGE_CODE, i] == SUCCESS:
            answer[Z_MESSAGE_CODE, i] = answer[Z_CODE, i]
        if verdict == REPEATED:
            continue
        remember_nb(given, counts, sessions, row, request[Q_NUMBER, i], request[U_GROUP, i], request[U_SERVICE_ID, i],
                    i - first, received_us, answer, i)
        for pair in COPIED:
            grant[pair[0], grants] = request[pair[1], i]
        used = max(request[Q_USED, i], np.int64(0)) + max(request[Q_AFTER, i], np.int64(0))
        grant[T_FILE, grants] = 0
        grant[T_OFFSET, grants] = position
        grant[T_LENGTH, grants] = 0
        grant[T_CONTAINER, grants] = 0
        grant[T_POSITION, grants] = position
        grant[T_EVENT_HI, grants] = plan[A_HI, i]
        grant[T_EVENT_LO, grants] = plan[A_LO, i]
        grant[T_RECEIVED, grants] = received_us
        own = request[U_ACCOUNT, i]
        known = own != ABSENT
        grant[T_ACCOUNT, grants] = own if known else sessions[row, O_ACCOUNT]
        grant[T_SERVICE_ID, grants] = request[U_SUBSCRIPTION, i] if known else sessions[row, O_SERVICE_ID]
        grant[T_MSISDN, grants] = request[U_MSISDN, i] if known else sessions[row, O_MSISDN]
        grant[T_IMSI, grants] = request[U_IMSI, i] if known else sessions[row, O_IMSI]
        grant[T_USED, grants] = used if request[Q_USED, i] != ABSENT or request[Q_AFTER, i] != ABSENT else ABSENT
        grant[T_SINCE, grants] = plan[A_SINCE, i]
        grant[T_GRANTED, grants] = answer[Z_GRANTED, i]
        grant[T_DUE, grants] = answer[Z_DUE, i]
        grant[T_CODE, grants] = answer[Z_CODE, i]
        grant[T_FINAL, grants] = answer[Z_FINAL, i]
        grant[T_RELEASED, grants] = 0
        grants += 1
    made[0] = grants
    made[1] = posted
    made[2] = finals
