"""Code lists. Names are the standards' own; values count from 0 so that a code is an index into its names.

Network values that are sparse (cause for record closing, RAT type) keep the number of their standard and have
their names in `CAUSE_FOR_CLOSING` and `RAT_TYPE`.
"""

from enum import IntEnum


class Service(IntEnum):
    """What was used."""

    VOICE = 0
    SMS = 1
    MMS = 2
    DATA = 3
    CONTENT = 4
    GENERIC = 5


class Direction(IntEnum):
    """Role of the served party. Source: TS 32.250 (MOC, MTC, CF records), TS 32.260 role-of-node."""

    ORIGINATING = 0
    TERMINATING = 1
    FORWARDED = 2


class Unit(IntEnum):
    """What a quantity or a posting counts. Money is in nano-units of the row's currency."""

    SECOND = 0
    OCTET = 1
    MESSAGE = 2
    MONEY = 3
    UNIT = 4
    SEGMENT = 5


class RecordType(IntEnum):
    """Kinds of CDR that are read. Source: TS 32.298 record types; RFC 2866 for Wi-Fi."""

    MO_CALL = 0
    MT_CALL = 1
    CALL_FORWARDING = 2
    ROAMING = 3
    SMS_MO = 4
    SMS_MT = 5
    PGW = 6
    SGW = 7
    CHF = 8
    IMS_S_CSCF = 9
    IMS_AS = 10
    IMS_P_CSCF = 11
    IMS_MGCF = 12
    VOIP = 13
    WIFI = 14
    COMMAND = 15
    OTHER = 16


class NumberType(IntEnum):
    """How a number was written. Source: TS 24.008 type of number; TEXT covers SIP URIs and alphanumeric senders."""

    UNKNOWN = 0
    INTERNATIONAL = 1
    NATIONAL = 2
    NETWORK_SPECIFIC = 3
    SHORT_CODE = 4
    TEXT = 5


class Identity(IntEnum):
    """Kinds of value that stand behind a token, and kinds of resource in the inventory."""

    MSISDN = 0
    IMSI = 1
    IMEI = 2
    IP_ADDRESS = 3
    TEXT = 4


class NumberClass(IntEnum):
    """What the operator's number plan says of the other party."""

    ORDINARY = 0
    EMERGENCY = 1
    TOLL_FREE = 2
    SHORT_CODE = 3
    PREMIUM = 4
    TEXT = 5
    NONE = 6


class StreamRole(IntEnum):
    """What a source's records are for: one witness charges."""

    RATE = 0
    RECONCILE = 1
    FILTER = 2


class MergePolicy(IntEnum):
    """Whether partials are priced one by one as they come, or merged first."""

    RATE_EACH = 0
    UNTIL_FINAL = 1


class Stage(IntEnum):
    """Where a record was set aside."""

    FRAME = 0
    DECODE = 1
    NORMALISE = 2
    DEDUPLICATE = 3
    MERGE = 4
    RESOLVE = 5
    CHARGE = 6


class Reason(IntEnum):
    """Why a record or container was set aside. 0 means it was not.

    Each has a test that produces it (`tests/unit/test_reasons.py`).
    """

    OK = 0
    # framing and decoding
    UNFRAMED_BYTES = 1          # bytes between records that are no record
    TRUNCATED_RECORD = 2        # the record ends beyond its file or its frame
    MALFORMED_RECORD = 3        # lengths or structure contradict each other
    UNKNOWN_RECORD_TYPE = 4     # well-formed, but no layout claims it
    MISSING_FIELD = 5           # a field that the layout requires is absent
    BAD_VALUE = 6               # a field is present but its value cannot be read
    TOO_MANY_CONTAINERS = 7     # more containers than the format's limit
    # validation and normalisation
    BAD_NUMBER = 8              # a number that the number plan cannot bring to E.164
    BAD_TIME = 9                # no such time, or end before start
    TIME_AHEAD = 10             # later than its file allows: clock skew
    NEGATIVE_QUANTITY = 11      # a counter below zero, or beyond the declared limit
    # deduplication
    KEY_CONFLICT = 12           # same key, other content
    TOO_OLD = 13                # older than the declared duplicate horizon
    # merging and correlation
    OVERLAPPING_PARTIAL = 14    # same sequence number or time range as a partial already merged
    # resolution
    UNKNOWN_SUBSCRIBER = 15     # no service held this identity, ever
    NOT_SUBSCRIBED_THEN = 16    # the identity is known, but no service held it at event time
    TOKEN_COLLISION = 17        # two values share a token
    # charging
    NO_TARIFF = 18              # no tariff version is active at event time
    NO_PLAN = 19                # the account has no plan at event time
    NO_ZONE = 20                # no prefix of the deck matches
    NO_RATE = 21                # the plan has no rate for this service, zone and time
    QUANTITY_BEYOND_BOUND = 22  # larger than the bound that the tariff's arithmetic was proved for
    UNKNOWN_ACCOUNT = 23        # a command or event for an account the snapshot does not have
    BAD_COMMAND = 24            # a command that cannot be carried out
    # whole files
    REFUSED_FORMAT = 25         # a format that is known and not read yet
    # accounts
    PERIOD_CLOSED = 26          # its cycle is closed, and the plan sets late usage aside
    TOO_MANY_BUCKETS = 27       # the account has as many granted buckets as charging looks at


class FilterReason(IntEnum):
    """Why usage is not charged although nothing is wrong with it."""

    WITNESS = 0             # another record of the same usage is the one that charges
    ZERO_USAGE = 1          # an attempt: no duration, no volume
    NOT_CHARGEABLE_ROLE = 2 # e.g. terminating leg, or a node or role that the stream filters
    FOREIGN_SUBSCRIBER = 3  # an inbound roamer or a foreign number: wholesale's, not retail's


class SuspenseAction(IntEnum):
    """How a suspended container was closed."""

    RECYCLED = 0    # taken up again: it came in once more
    WRITTEN_OFF = 1
    BACKED_OUT = 2  # its delivery was backed out


class DuplicateKind(IntEnum):
    """How a repetition was recognised."""

    RECORD = 0
    FILE = 1


class LedgerAccount(IntEnum):
    """Accounts of the double-entry book. BALANCE and ALLOWANCE are the customer's; the rest are the operator's."""

    BALANCE = 0
    ALLOWANCE = 1
    REVENUE = 2
    CONSUMED = 3        # units of allowances that were used
    UNCOLLECTED = 4
    OPENING = 5
    TOP_UP = 6
    GRANT = 7
    EXPIRY = 8
    ADJUSTMENT = 9
    CLEARING = 10       # between two accounts of a transfer; comes back to zero
    FEES = 11           # revenue that is no usage
    TAX = 12            # the part of revenue that is tax


class PostingReason(IntEnum):
    """What a movement is for."""

    OPENING = 0
    TOP_UP = 1
    GRANT = 2
    CHARGE = 3
    EXPIRY = 4
    ADJUSTMENT = 5
    UNCOLLECTED_DEBT = 6
    UNCOLLECTED_LOSS = 7
    UNCOLLECTED_BLOCKED = 8     # a used-up bucket stands before money
    ROLLOVER = 9
    BONUS = 10
    TRANSFER = 11
    FEE = 12
    FEE_UNCOLLECTED_DEBT = 13
    FEE_UNCOLLECTED_LOSS = 14
    RERATE = 15                 # a correction: what a rerating moves
    BACKOUT = 16                # a correction: what a bad delivery had moved
    TAX = 17                    # the tax in a charge, from revenue


class AccountState(IntEnum):
    """What an account may be; what each permits is the tariff's to say."""

    PRE_ACTIVE = 0
    ACTIVE = 1
    ONE_WAY = 2
    BARRED = 3
    TERMINATED = 4
    QUARANTINED = 5


class StateCause(IntEnum):
    """Why an account came into a state, or its validity moved."""

    OPENING = 0
    COMMAND = 1
    TIMER = 2           # the clock, by `after` of the tariff's states
    FIRST_USE = 3
    TOP_UP = 4


class RatingStatus(IntEnum):
    """How a charge came about."""

    RATED = 0
    FREE = 1            # the rate is zero
    ALLOWANCE = 2       # wholly covered by allowances
    PARTLY_UNCOLLECTED = 3


class Withdrawal(IntEnum):
    """Why an event that was charged, or a container that was held, is neither now."""

    BACKED_OUT = 0
    SET_ASIDE = 1   # a rerating could not price it: it is in suspense
    RELEASED = 2    # held for its session when its delivery was backed out


class CorrectionKind(IntEnum):
    """What a correction of the past was for."""

    RERATE = 0
    BACKOUT = 1


# Source: TS 32.298 CauseForRecClosing (packet and CHF records) and CauseForTerm (circuit records).
CAUSE_FOR_CLOSING = {
    0: "normalRelease", 1: "partialRecord", 2: "partialRecordCallReestablishment",
    3: "unsuccessfulCallAttempt", 4: "abnormalRelease", 5: "cAMELInitCallRelease",
    16: "volumeLimit", 17: "timeLimit", 18: "servingNodeChange", 19: "maxChangeCond",
    20: "managementIntervention", 21: "intraSGSNIntersystemChange", 22: "rATChange",
    23: "mSTimeZoneChange", 24: "sGSNPLMNIDChange", 25: "sGWChange", 26: "aPNAMBRChange",
    52: "unauthorizedRequestingNetwork", 53: "unauthorizedLCSClient", 54: "positionMethodFailure",
    58: "unknownOrUnreachableLCSClient", 59: "listofDownstreamNodeChange",
}
# Causes after which no further partial of the session follows.
FINAL_CAUSES = (0, 3, 4, 5)

# Source: TS 29.061 3GPP-RAT-Type.
RAT_TYPE = {1: "UTRAN", 2: "GERAN", 3: "WLAN", 4: "GAN", 5: "HSPA Evolution", 6: "EUTRAN", 7: "Virtual",
            8: "EUTRAN-NB-IoT", 9: "LTE-M", 51: "NR", 52: "NR in unlicensed bands", 53: "Trusted WLAN"}
