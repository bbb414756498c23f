"""Where things lie: columns of the batches, words of the book's records. Constants for kernels."""

from numba import types

from schemas.codes import AccountState
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT
from schemas.rated import NOTIFICATION, POSTING, RATED
from schemas.tariff_tables import BUCKET_DAY_BITS
from schemas.usage import USAGE

I32_IN = types.Array(types.int32, 1, "C", readonly=True)

# Usage event
U_EVENT_HI, U_EVENT_LO = USAGE.index("event_id_hi"), USAGE.index("event_id_lo")
U_SERVICE, U_DIRECTION = USAGE.index("service"), USAGE.index("direction")
U_TIME, U_QUANTITY, U_UNIT = USAGE.index("event_time_us"), USAGE.index("quantity"), USAGE.index("unit")
U_PREFIX, U_CLASS = USAGE.index("other_prefix"), USAGE.index("other_class")
U_SESSION_HI, U_SESSION_LO = USAGE.index("session_hi"), USAGE.index("session_lo")
U_GROUP, U_SERVICE_ID = USAGE.index("rating_group"), USAGE.index("service_identifier")
U_PLMN, U_ROAMING, U_APN = USAGE.index("serving_plmn"), USAGE.index("roaming"), USAGE.index("apn")
U_ACCOUNT, U_RAT, U_OTHER_TOKEN = USAGE.index("account_id"), USAGE.index("rat_type"), USAGE.index("other_token")
U_OTHER_NETWORK, U_CATEGORY = USAGE.index("other_network"), USAGE.index("category")
U_GROUP_ID, U_LANE = USAGE.index("group_id"), USAGE.index("lane")
U_CALLING, U_SLICE, U_SEGMENTS = USAGE.index("calling_prefix"), USAGE.index("snssai"), USAGE.index("segments")

# Rated event: what charging adds, below the columns of usage
OWN = len(USAGE.columns)
(R_LEG, R_VERSION, R_PLAN, R_ZONE, R_BAND, R_RATE, R_QUANTITY_BEFORE, R_BILLED_BEFORE, R_NUMERATOR_BEFORE,
 R_CHARGED_BEFORE, R_BILLED, R_ALLOWANCE, R_BUCKET, R_CONNECT, R_CHARGE, R_UNCOLLECTED, R_CURRENCY, R_STATUS, R_TAX,
 R_REACHED, R_COUNTER_BEFORE, R_SCOPE_BEFORE, R_BEGAN, R_MINIMUM_BEFORE, R_MAXIMUM, R_STEPS_BEFORE) = (
    RATED.index(name) - OWN for name in (
        "leg", "tariff_version", "plan", "zone", "band", "rate_row", "session_quantity_before",
        "session_billed_before", "session_numerator_before", "session_charged_before_nanos", "billed_quantity",
        "allowance_quantity", "bucket_id", "connect_fee_nanos", "charge_nanos", "uncollected_nanos", "currency",
        "status", "tax_nanos", "maximum_reached_at", "counter_before", "scope_numerator_before", "session_began_us",
        "session_minimum_before", "session_maximum", "tier_steps_before"))
# What stands there unless the fold writes something else; beside these, the journal position.
RATED_USUAL = {"leg": 0, "revision": 0, **dict.fromkeys((
    "tax_nanos", "maximum_reached_at", "counter_before", "scope_numerator_before", "session_began_us",
    "session_minimum_before", "session_maximum", "tier_steps_before", "refusal"), ABSENT)}
POSTING_USUAL = {"leg": ABSENT}

# Notification
(N_HI, N_LO, N_POSITION, N_TIME, N_ACCOUNT, N_COUNTER, N_CYCLE, N_THRESHOLD, N_VALUE) = (
    NOTIFICATION.index(name) for name in NOTIFICATION.names)

# Posting
P_HI, P_LO, P_INDEX = POSTING.index("movement_hi"), POSTING.index("movement_lo"), POSTING.index("posting_index")
P_POSITION, P_TIME = POSTING.index("journal_position"), POSTING.index("event_time_us")
P_ACCOUNT, P_LEDGER = POSTING.index("account_id"), POSTING.index("ledger_account")
P_BUCKET, P_UNIT, P_CURRENCY = POSTING.index("bucket_id"), POSTING.index("unit"), POSTING.index("currency")
P_AMOUNT, P_REASON, P_LEG = POSTING.index("amount"), POSTING.index("reason"), POSTING.index("leg")

# Account record: 16 words of a 128-byte line pair. Slot 0 is the main money balance, slots 1 to 7 buckets of units;
# words 9 to 15 hold the bucket ids of slots 1 to 7, 0 for an empty slot. More buckets spill over into a list.
RECORD_WORDS, SLOTS, BUCKET_ID = 16, 8, 8
MONEY, STATE = 0, 8
TERMINATED, QUARANTINED = int(AccountState.TERMINATED), int(AccountState.QUARANTINED)

# Account profile: 8 words of a 64-byte line.
PROFILE_WORDS = 8
F_ACCOUNT, F_SHARED, F_CREDIT, F_TRAITS = 0, 1, 2, 3
F_PLAN_FROM, F_PLAN, F_PLAN_NEXT, F_SPILL = 4, 5, 6, 7
# Traits: anchor day, currency, time zone, payment, a byte and more apart.
TRAIT_CURRENCY, TRAIT_ZONE, TRAIT_PAYMENT = 8, 20, 40
# Whether the account has granted buckets (they lie in the spill list): only then is the catalogue looked at.
HAS_GRANTED = 1 << 44
# Local day with which the account's days began, 0: they have not. Cycles before are not made up for (`rollover.py`).
TRAIT_SINCE, DAY_MASK = 45, (1 << BUCKET_DAY_BITS) - 1
# What charging does not look at: since when the account is in its state, until when it is valid (NEVER_US: for ever).
LIFE_WORDS, L_SINCE, L_VALID = 2, 0, 1
# Older plans of an account: from, plan (-1: none), next older (-1: no more).
NODE_WORDS, N_FROM, N_PLAN, N_NEXT = 3, 0, 1, 2
# Spilled buckets: bucket id, remaining, next of the account (-1: no more), account row; granted ones with their
# validity, from (inclusive) to (exclusive), us UTC.
SPILL_WORDS, S_BUCKET, S_REMAINING, S_NEXT, S_ROW, S_FROM, S_TO = 6, 0, 1, 2, 3, 4, 5

# Open session: what pricing must remember between its reports. The same row, under a key of its own, keeps a counter
# of a cycle (position: its value; paid: its highest value), the price over a counter's cycle, and what is rounded once
# for a day; X_TIME is then the end of the cycle.
# X_CONNECTED has bits: the fee was charged, the maximum disconnects. X_MAXIMUM is 0 until the price begins.
SESSION_WORDS = 16
(X_HI, X_LO, X_POSITION, X_PAID, X_NUMERATOR, X_CHARGED, X_MINIMUM, X_FAMILY, X_CONNECTED, X_TIME, X_MAXIMUM, X_TAX,
 X_BEGAN, X_STEPS, X_TIER, X_REACHED) = range(16)
CONNECTED, DISCONNECTS = 1, 2

# What is held for a session that goes on: a row of a table by the session's key, in words 0 and 1 as of sessions.
# H_ROW: row of the account that asked; H_SHARED: the one it shared with then, or -1; H_GRANTED: units. From H_ENTRY on
# up to MAX_ENTRIES triples: row of the account, bucket id (-1: its money), amount. CAPPED: a member's cap counts it.
H_ROW, H_SHARED, H_GRANTED, H_COUNT, H_ENTRY = 2, 3, 4, 5, 8
MAX_ENTRIES, ENTRY_WORDS = 8, 3
HOLD_WORDS = H_ENTRY + MAX_ENTRIES * ENTRY_WORDS
CAPPED = 1 << 40

# Scalars of the book.
# B_THROUGH: last day whose cycles `period_close` has closed. B_DUE: no bucket is to expire before the clock is there
# (not part of the state: a restored book looks at all of them once). B_UNTIL: what was over by then is closed too.
# B_GONE: rows of days and sessions from before may be forgotten, though the horizon that holds now reaches further.
# B_HOLDS: rows of the table of what is held.
B_CLOCK, B_LATENESS, B_HORIZON, B_SESSIONS, B_SPILLED, B_THROUGH, B_DUE, B_UNTIL, B_GONE, B_HOLDS = range(10)
SCALARS = 10

# What selection finds for an event.
# C_SET, C_SHARED_SET: sets of up to four plans, the first in the lowest 16 bits; 0 ends them. C_VERSION is a label.
# C_LEGS: bit n: leg n + 1 of the version covers the event. C_LEG: which leg a row is, 0 for the event itself; its legs
# follow it. C_SOURCE: its usage row, C_ACCOUNT: the account that pays, which of a leg is not the usage's.
# C_ASK: what is wanted of the row, see below, and C_LEAST: fewer units than this are not worth holding. Both are the
# caller's; the fold answers with C_GRANTED, units that were held or charged, and C_DUE, what they cost.
(C_REASON, C_ROW, C_ENTRY, C_SET, C_ZONE, C_VERSION, C_PLAN, C_SHARED_ROW, C_SHARED_SET, C_CURRENCY,
 C_QUANTITY, C_LEGS, C_LEG, C_SOURCE, C_ACCOUNT, C_ASK, C_LEAST, C_GRANTED, C_DUE) = range(19)
CHOICE = 19
CHARGED_BEFORE = -2  # reason of an event that is in the block for its legs only: no row comes of it either
NOT_CHARGED = -1  # reason of a row that is no usage, or a leg whose event was not charged: no rated row comes of it
# Wanted of a row: CHARGE usage that was consumed, whatever it finds; REPORT the same, what was held for its session
# given back first; RESERVE as much as can be paid, held for what comes instead of what was; RELEASE what was held;
# DEBIT all of it, or nothing where it cannot be paid; say what it would cost.
CHARGE, REPORT, RESERVE, RELEASE, DEBIT, PRICE_ENQUIRY = range(6)
MAX_PLANS, SET_BITS, SET_MASK = 4, 16, 0xFFFF

# Friends of accounts: hashed by account row and token; account row (-1: empty, -2: removed), token of the number,
# from and to in microseconds.
FRIEND_WORDS, E_ROW, E_TOKEN, E_FROM, E_TO = 4, 0, 1, 2, 3

# Candidate buckets of an event, in the order of use: account row, place, step, units taken, bucket id, row and form of
# the definition, price of a unit over the family's denominator, what is left of a member's cap (-1: none), whether
# units are taken from it now.
MAX_GRANTED = 60  # granted buckets that an account may hold
MAX_CANDIDATES = 1080  # own and shared: four for each of thirty allowances of four plans, and the granted ones
CANDIDATE_WORDS = 10
K_ROW, K_PLACE, K_STEP, K_TAKEN, K_BUCKET, K_DEFINITION, K_FORM, K_PRICE, K_CAP, K_OPEN = range(CANDIDATE_WORDS)

# A session's price while it is walked: what a walk begins with and leaves behind.
# W_STEPS, W_TIER: steps under volume tiers and what they come to. W_REACHED: where a maximum that disconnects was
# reached, 0 for nowhere yet. W_TURNS: pieces it took.
(W_PAID, W_NUMERATOR, W_MINIMUM, W_CONNECTED, W_ALLOWANCE, W_CONNECT, W_PRICED, W_RATE, W_BAND, W_MAXIMUM, W_STEPS,
 W_TIER, W_REACHED, W_TURNS, W_FORMS, W_BLOCKED, W_PAYABLE,
 W_FLOOR) = range(18)
WALK = 18

# Counters that an event counts on: row of COUNTER_*, key of its row, first day and end of its cycle.
MAX_COUNTERS, MARK_WORDS = 16, 5
M_COUNTER, M_HI, M_LO, M_DAY, M_END = range(5)

# Progress of a fold that may stop for room: next event, rated rows, posting rows, notification rows, pieces of walks,
# first posting of the event, its legs included; row with a wish whose work has begun, -1 for none.
G_NEXT, G_RATED, G_POSTED, G_NOTIFIED, G_TURNS, G_FIRST, G_ASKED = range(7)
PROGRESS = 7

__all__ = ["CELLS_IN", "CELLS_OUT", "I32_IN", "I64_IN", "I64_OUT"]
