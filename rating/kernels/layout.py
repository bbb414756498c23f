"""Where things lie: columns of the batches, words of the book's records. Constants for kernels."""

from numba import types

from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT
from schemas.rated import POSTING, RATED
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
U_ACCOUNT = USAGE.index("account_id")

# Rated event: what charging adds
R_LEG, R_REVISION, R_POSITION = RATED.index("leg"), RATED.index("revision"), RATED.index("journal_position")
R_VERSION, R_PLAN, R_ZONE = RATED.index("tariff_version"), RATED.index("plan"), RATED.index("zone")
R_BAND, R_RATE = RATED.index("band"), RATED.index("rate_row")
R_QUANTITY_BEFORE, R_BILLED_BEFORE = RATED.index("session_quantity_before"), RATED.index("session_billed_before")
R_NUMERATOR_BEFORE = RATED.index("session_numerator_before")
R_CHARGED_BEFORE = RATED.index("session_charged_before_nanos")
R_BILLED, R_ALLOWANCE, R_BUCKET = (RATED.index("billed_quantity"), RATED.index("allowance_quantity"),
                                   RATED.index("bucket_id"))
R_CONNECT, R_CHARGE = RATED.index("connect_fee_nanos"), RATED.index("charge_nanos")
R_UNCOLLECTED, R_CURRENCY, R_STATUS = (RATED.index("uncollected_nanos"), RATED.index("currency"),
                                       RATED.index("status"))

# Posting
P_HI, P_LO, P_INDEX = POSTING.index("movement_hi"), POSTING.index("movement_lo"), POSTING.index("posting_index")
P_POSITION, P_TIME = POSTING.index("journal_position"), POSTING.index("event_time_us")
P_ACCOUNT, P_LEDGER = POSTING.index("account_id"), POSTING.index("ledger_account")
P_BUCKET, P_UNIT, P_CURRENCY = POSTING.index("bucket_id"), POSTING.index("unit"), POSTING.index("currency")
P_AMOUNT, P_REASON = POSTING.index("amount"), POSTING.index("reason")

# Account record: 16 words of a 128-byte line pair. Slot 0 is the main money balance, slots 1 to 7 buckets of units;
# words 9 to 15 hold the bucket ids of slots 1 to 7, 0 for an empty slot. More buckets spill over into a list.
RECORD_WORDS, SLOTS, BUCKET_ID = 16, 8, 8
MONEY, STATE = 0, 8

# Account profile: 8 words of a 64-byte line.
PROFILE_WORDS = 8
F_ACCOUNT, F_SHARED, F_CREDIT, F_TRAITS = 0, 1, 2, 3
F_PLAN_FROM, F_PLAN, F_PLAN_NEXT, F_SPILL = 4, 5, 6, 7
# Traits: anchor day, currency, time zone, payment, a byte and more apart.
TRAIT_CURRENCY, TRAIT_ZONE, TRAIT_PAYMENT = 8, 20, 40
# Older plans of an account: from, plan (-1: none), next older (-1: no more).
NODE_WORDS, N_FROM, N_PLAN, N_NEXT = 3, 0, 1, 2
# Spilled buckets: bucket id, remaining, next of the account (-1: no more), account row.
SPILL_WORDS, S_BUCKET, S_REMAINING, S_NEXT, S_ROW = 4, 0, 1, 2, 3

# Open session: what pricing must remember between its reports.
SESSION_WORDS = 10
(X_HI, X_LO, X_POSITION, X_PAID, X_NUMERATOR, X_CHARGED, X_MINIMUM, X_FAMILY, X_CONNECTED, X_TIME) = range(10)

# Scalars of the book.
B_CLOCK, B_LATENESS, B_HORIZON, B_SESSIONS, B_SPILLED = range(5)
SCALARS = 5

# What selection finds for an event.
(C_REASON, C_ROW, C_ENTRY, C_SET, C_ZONE, C_VERSION, C_PLAN, C_SHARED_ROW, C_SHARED_SET) = range(9)
CHOICE = 9

# Candidate buckets of an event, in the order of use: account row, place, step, units taken, bucket id.
MAX_CANDIDATES, CANDIDATE_WORDS = 60, 5
K_ROW, K_PLACE, K_STEP, K_TAKEN, K_BUCKET = range(5)

# A session's price while it is walked: what a walk begins with and leaves behind.
(W_PAID, W_NUMERATOR, W_MINIMUM, W_CONNECTED, W_ALLOWANCE, W_CONNECT, W_PRICED, W_RATE, W_BAND) = range(9)
WALK = 9

# Progress of a fold that may stop for room: next event, rated rows, posting rows, and a sink for prefetched reads.
G_NEXT, G_RATED, G_POSTED, G_SINK = range(4)

__all__ = ["CELLS_IN", "CELLS_OUT", "I32_IN", "I64_IN", "I64_OUT"]
