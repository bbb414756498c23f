"""Where things lie in the tables of online sessions, in plans of requests and in the rules by service."""

from schemas.online import ANSWER, GRANT, REQUEST

# Session: a row of an arena; `index` finds it by its key. O_SEEN: bit k: request O_NUMBER - 1 - k was seen. O_CODE: the
# code that the last request was answered with. O_FIRST: its first service, or -1. O_DUE: second in whose slot of the
# wheel it waits. O_TIME: when its last request says it was. Of a free row, O_NEXT is the next free one. O_ANSWERED:
# the last of its answers that are remembered one by one, 0 for none.
(O_HI, O_LO, O_NUMBER, O_SEEN, O_STATE, O_HEARD, O_CODE, O_FIRST, O_UNITS, O_NEXT, O_DUE, O_TIME, O_ACCOUNT,
 O_SERVICE_ID, O_GROUP_ID, O_LANE, O_MSISDN, O_IMSI, O_SERVICE, O_UNIT, O_SOURCE, O_ANSWERED) = range(22)
ONLINE_WORDS = 24
FREE, OPEN, CLOSED = range(3)
WINDOW = 63  # requests before the last of a session whose numbers, and answers, are remembered one by one

# Service of a session (rating group and service identifier): a row of an arena, those of a session chained. V_NUMBER:
# the request that it was last answered for, and how: V_CODE to V_CHANGE. V_SINCE: since when what is used is counted.
# V_WANTED: what was asked to be held, 0 where nothing is.
(V_GROUP, V_SERVICE_ID, V_NEXT, V_NUMBER, V_SINCE, V_WANTED, V_CODE, V_GRANTED, V_DUE, V_FINAL, V_VALIDITY, V_THRESHOLD,
 V_HOLDING, V_CHANGE) = range(14)
SERVICE_WORDS = 16
MOST_SERVICES = 256  # of one session

# Answers, one by one: a ring of rows of all sessions, in the order in which they were given; the one that was given as
# the n-th is in row n modulo the ring's length. R_HI, R_LO: the session's key, both 0 of one that was forgotten.
# R_BEFORE: which is its session's before it, 0 for none. R_CODES: the message's and the service's. R_PLACE: which row
# of its message it was.
(R_HI, R_LO, R_NUMBER, R_GROUP, R_SERVICE_ID, R_BEFORE, R_PLACE, R_GIVEN, R_CODES, R_GRANTED, R_DUE, R_FINAL,
 R_VALIDITY, R_THRESHOLD, R_HOLDING, R_CHANGE) = range(16)
GIVEN_WORDS = 16

# Scalars of the tables: rows ever used, free rows (first, or -1), sessions in the tables and how many of them are open,
# services, second up to which the wheel was turned, answers given.
(N_SESSION_TOP, N_SESSION_FREE, N_SESSIONS, N_OPEN, N_SERVICE_TOP, N_SERVICE_FREE, N_SERVICES, N_SECOND,
 N_GIVEN) = range(9)
ONLINE_SCALARS = 9
WHEEL = 8192  # seconds: what is due later waits in the last slot, and moves on when that comes

# Rules: a row for each service of `schemas.codes.Service`.
(L_QUOTA, L_LEAST, L_VALIDITY, L_THRESHOLD, L_HOLDING, L_FINAL) = range(6)
RULE_WORDS = 6

# What is planned for each row of requests. A_GRANT: row of the fold whose answer is the row's, -1 for none. A_ASKED:
# units; of a repeated one, whether its answer may be remembered. A_MONEY: nanos to move at the end, A_PRICED: by what
# the fold says that they cost.
(A_VERDICT, A_SESSION, A_SERVICE, A_GRANT, A_ASKED, A_CODE, A_MESSAGE_CODE, A_SINCE, A_MONEY, A_PRICED, A_HI,
 A_LO) = range(12)
PLAN_WORDS = 12
# Verdicts: first seen; seen and answered; an earlier one that comes late; of a session that is unknown or over.
NEW, REPEATED, LATE, UNKNOWN = range(4)
PRICED_NOT, PRICED_REFUND = range(2)

(Q_KIND, Q_ACTION, Q_NUMBER, Q_MESSAGE, Q_REQUESTED, Q_USED, Q_AFTER, Q_MONEY, Q_ICID_HI, Q_ICID_LO) = (
    REQUEST.index(name) for name in ("kind", "action", "number", "message", "requested", "used", "used_after",
                                     "money_nanos", "icid_hi", "icid_lo"))
(Z_MESSAGE, Z_MESSAGE_CODE, Z_CODE, Z_REPEATED, Z_GRANTED, Z_DUE, Z_FINAL, Z_VALIDITY, Z_THRESHOLD, Z_HOLDING,
 Z_CHANGE) = (ANSWER.index(name) for name in ANSWER.names)
# What a service was told lies in one order wherever it lies: in its row, in the ring, in answers.
TOLD = V_CHANGE - V_GRANTED + 1
assert [V_GRANTED, V_DUE, V_FINAL, V_VALIDITY, V_THRESHOLD, V_HOLDING, V_CHANGE] == list(range(V_GRANTED, V_CHANGE + 1))
assert [R_GRANTED, R_DUE, R_FINAL, R_VALIDITY, R_THRESHOLD, R_HOLDING, R_CHANGE] == list(range(R_GRANTED, R_CHANGE + 1))
assert [Z_GRANTED, Z_DUE, Z_FINAL, Z_VALIDITY, Z_THRESHOLD, Z_HOLDING, Z_CHANGE] == list(range(Z_GRANTED, Z_CHANGE + 1))
# Columns of GRANT that are those of the request, and the others.
COPIED = tuple((GRANT.index(name), REQUEST.index(name)) for name in GRANT.names
               if name in REQUEST.names and name not in ("used", "account_id", "service_id", "msisdn_token",
                                                         "imsi_token", "event_id_hi", "event_id_lo", "file_id",
                                                         "record_offset", "record_length", "container_index"))
