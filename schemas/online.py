"""Requests of charging in real time, and their answers: the same for Gy, Nchf and whatever else asks.

A message has one row for each service that it reports on or asks for (rating group and service identifier), or one
row where it names none. What the columns of USAGE say of a row is what rating selects its price by; `quantity` and
`event_time_us` of what is charged are filled by the desk.
"""

from enum import IntEnum

from schemas.columns import Column, ColumnSet
from schemas.usage import ORIGIN, USAGE


class RequestKind(IntEnum):
    """What a message is for. Source: RFC 8506 8.3, CC-Request-Type; TS 32.290 create, update, release."""

    INITIAL = 0
    UPDATE = 1
    TERMINATION = 2
    EVENT = 3


class EventAction(IntEnum):
    """What an event wants. Source: RFC 8506 8.41, Requested-Action."""

    DIRECT_DEBITING = 0
    REFUND_ACCOUNT = 1
    CHECK_BALANCE = 2
    PRICE_ENQUIRY = 3


class ReportingReason(IntEnum):
    """Why usage is reported. Source: TS 32.299 7.2.175."""

    THRESHOLD = 0
    QHT = 1
    FINAL = 2
    QUOTA_EXHAUSTED = 3
    VALIDITY_TIME = 4
    OTHER_QUOTA_TYPE = 5
    RATING_CONDITION_CHANGE = 6
    FORCED_REAUTHORISATION = 7
    POOL_EXHAUSTED = 8


class FinalAction(IntEnum):
    """What happens when the granted units are used up. Source: RFC 8506 8.35; NONE where more may be asked for."""

    NONE = 0
    TERMINATE = 1
    REDIRECT = 2
    RESTRICT_ACCESS = 3


# Result codes of a service or message, as RFC 8506 9 numbers them; other protocols have their own words for them.
SUCCESS = 2001
END_USER_SERVICE_DENIED = 4010
CREDIT_CONTROL_NOT_APPLICABLE = 4011
CREDIT_LIMIT_REACHED = 4012
UNKNOWN_SESSION_ID = 5002
USER_UNKNOWN = 5030
RATING_FAILED = 5031

REQUEST = ColumnSet("online_request", 1, (
    *USAGE.columns,
    Column("kind", "code", "what the message is for", RequestKind, nullable=False),
    Column("action", "code", "what an event wants; absent: no event", EventAction),
    Column("number", "int64", "number of the request in its session", nullable=False),
    Column("message", "int64", "which message of the block; rows of one follow each other", nullable=False),
    Column("requested", "int64", "units asked for, 0: whatever the operator grants; absent: none asked for"),
    Column("used", "int64", "units used since the last report; of a tariff change, before it"),
    Column("used_after", "int64", "units used after the tariff change that was announced"),
    Column("money_nanos", "int64", "money to refund or to debit, in the account's currency"),
    Column("reporting_reason", "code", "why usage is reported", ReportingReason),
    Column("icid_hi", "uint64", "128-bit key of the IMS charging identifier; absent: none"),
    Column("icid_lo", "uint64", "its lower half"),
))

# One row for each row of a block of requests.
ANSWER = ColumnSet("online_answer", 1, (
    Column("message", "int64", "which message of the block", nullable=False),
    Column("message_code", "int32", "result code of the message: the same in all its rows", nullable=False),
    Column("result_code", "int32", "result code of the service", nullable=False),
    Column("repeated", "bool", "the request had been answered before: the same answer", nullable=False),
    Column("granted", "int64", "units granted or debited, in the row's unit; absent: none were asked for"),
    Column("due_nanos", "int64", "what a debit or refund moved, or units would cost"),
    Column("final_action", "code", "what happens when these units are used up", FinalAction, nullable=False),
    Column("validity_s", "int64", "seconds for which the units may be used"),
    Column("threshold", "int64", "units left at which the next are to be asked for"),
    Column("holding_s", "int64", "seconds without traffic after which units are to be given back"),
    Column("change_us", "time", "when the tariff changes: usage before and after is reported apart"),
))

# What became of every request: a row of the ledger for each row of a message, refusals too.
GRANT = ColumnSet("grant", 1, (
    *ORIGIN,
    Column("journal_position", "int64", "journal entry", nullable=False),
    Column("event_id_hi", "uint64", "event id of the row; that of the usage charged with it", nullable=False),
    Column("event_id_lo", "uint64", "lower half", nullable=False),
    Column("received_us", "time", "when it came", nullable=False),
    Column("event_time_us", "time", "what the request says when it was"),
    Column("kind", "code", "what the message was for", RequestKind, nullable=False),
    Column("action", "code", "what an event wanted", EventAction),
    Column("number", "int64", "number of the request in its session", nullable=False),
    Column("session_hi", "uint64", "key of the session", nullable=False),
    Column("session_lo", "uint64", "lower half", nullable=False),
    Column("service", "code", "what was used", USAGE.columns[USAGE.index("service")].codes),
    Column("direction", "code", "role of the served party", USAGE.columns[USAGE.index("direction")].codes),
    Column("account_id", "int64", "whose"),
    Column("service_id", "int64", "which service of the inventory"),
    Column("msisdn_token", "int64", "token of the served MSISDN"),
    Column("imsi_token", "int64", "token of the served IMSI"),
    Column("rating_group", "int64", "rating group"),
    Column("service_identifier", "int64", "service identifier"),
    Column("unit", "code", "what is counted", USAGE.columns[USAGE.index("unit")].codes),
    Column("requested", "int64", "units asked for, 0: whatever the operator grants"),
    Column("used", "int64", "units reported, all of them"),
    Column("used_since_us", "time", "since when they were used: the request before"),
    Column("granted", "int64", "units granted"),
    Column("due_nanos", "int64", "what a debit or refund moved, or units would cost"),
    Column("result_code", "int32", "result code of the service", nullable=False),
    Column("final_action", "code", "what happens when these units are used up", FinalAction, nullable=False),
    Column("charging_id", "int64", "charging identifier"),
    Column("gateway_address", "int64", "IPv4 address of the gateway, as a number"),
    Column("icid_hi", "uint64", "128-bit key of the IMS charging identifier"),
    Column("icid_lo", "uint64", "its lower half"),
    Column("released", "bool", "nobody asked: supervision gave back what was held", nullable=False),
))
