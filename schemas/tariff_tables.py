"""Layout of a compiled tariff: int64 vectors under one address, so that a kernel takes one argument.

The compiler (`reference_data.tariffs.compile`) fills them, the kernels (`rating.kernels`) read them; both name a
vector by the constants below. `*_FIRST` vectors have one more element than rows: row r owns [first[r], first[r+1]).
"""

from schemas.vectors import VECTORS

NAMES = (
    # epochs, ascending: a version, or a span of it within which no validity and no exchange rate changes
    "VERSION_FROM",          # us UTC from which the epoch is in force
    "VERSION_LABEL",         # index into labels["tariff_version"]
    "VERSION_PLAN",          # [epoch * plans + plan] row of PLAN_*, -1: the version does not have the plan
    "VERSION_OWN",           # [epoch * networks + network] 1: calls to it are on-net
    "DIMS",                  # by D_PLANS ... below
    "KIND",                  # [plan row * kinds + kind] first cell of the slice, -1: the plan has no price there
    "PRICED",                # [service * 3 + direction] 1: some plan of some version has a price
    "CALLING",               # [zone] place of the calling zone, 0: one that no price names
    # serving networks to roaming zones
    "PLMN_COUNTRY",          # [epoch * 1000 + MCC] roaming zone
    "PLMN_FIRST", "PLMN_CODE", "PLMN_ZONE",   # networks named with their MNC: MCC * 1000 + MNC, ascending
    # conditions of data containers to zones, first match wins; -1 matches all
    "CLASS_FIRST", "CLASS_GROUP", "CLASS_APN", "CLASS_ZONE",
    "CLASS_MORE",            # 1: one of the further conditions holds too, or it gives a category
    "CLASS_SERVICE_ID", "CLASS_SLICE",        # slice: SST << 32 | SD + 1, or -2 - SST for any SD
    "CLASS_RAT", "CLASS_PLMN",                # network: MCC * 1000 + MNC, or -2 - MCC for a country
    "CLASS_CATEGORY",        # category of containers that have none, -1: leaves them without
    # plans of an epoch
    "PLAN_ROOT",             # root of its deck in the prefix forest
    "PLAN_CURRENCY",         # index into labels["currency"]
    "CELL",                  # [slice + roaming * zones + zone] (entry + 1) | allowance set << 32 (below 2^16)
                             # | charge legs << LEGS_SHIFT
    # entries: what a price rule says, with the discounts and counters of the usage
    "ENTRY_FAMILY", "ENTRY_TIMING", "ENTRY_RATE_FIRST", "ENTRY_RATE",
    "ENTRY_COUNTER_FIRST", "ENTRY_COUNTER",   # rows of COUNTER_*
    # timings: bands of the local week, or of days
    "TIMING_FIRST", "TIMING_ZONE", "SEGMENT_START", "SEGMENT_BAND", "SEGMENT_PLACE",
    "TIMING_DAYS",           # first element of DAY_PROFILE, -1: bands of the week
    "DAY_PROFILE",           # [first + local day - FIRST_DAY] row of PROFILE_*
    "PROFILE_FIRST",         # segments of a profile, which begin at seconds of the day
    "ZONE_FIRST", "ZONE_AT", "ZONE_OFFSET",   # seconds UTC at which a time zone's offset changes, and the offset
    # rates; amounts are numerators over the family's denominator
    "RATE_CONNECT", "RATE_MINIMUM", "RATE_SLOT_FIRST",
    "RATE_FORM",             # bits F_* below; 0: slots in steps that begin where the last one ended, nothing else
    "RATE_MAXIMUM",          # -1: none
    "RATE_MINIMUM_QUANTITY",
    "RATE_COUNTER",          # row of COUNTER_* on which positions count, -1: the session's own
    "SLOT_FROM", "SLOT_STEP", "SLOT_PRICE",   # of a flat slot: its amount, and a step beyond any session
    "SLOT_UNIT_PRICE",       # of one unit, exact; for rates that are split, else 0
    "SLOT_FLAT",             # 1: costs its price once, and is paid up to where the next slot begins
    # families: one plan, service and chain of discounts, within which a session is priced and rounded once
    "FAMILY_KEY",            # stable over compilations: what session state remembers
    "FAMILY_MULTIPLE",       # nanos = numerator * multiple / denominator; 1 where the denominator alone leaves room
    "FAMILY_SERVICE", "FAMILY_UNIT", "FAMILY_DENOMINATOR", "FAMILY_QUANTUM", "FAMILY_RULE", "FAMILY_BOUND",
    "FAMILY_DEBT",
    "FAMILY_SCOPE",          # what is rounded once: SCOPE_SESSION, SCOPE_REPORT, SCOPE_DAY
    "FAMILY_TAX_NUMERATOR", "FAMILY_TAX_DENOMINATOR",   # tax = gross * numerator / denominator; 0: none
    "FAMILY_OWN_NUMERATOR", "FAMILY_OWN_DENOMINATOR",   # what own prices of buckets are multiplied by: tax, exchange
    "FAMILY_LATE",           # what usage of a closed cycle meets: LATE_PAY, LATE_CURRENT, LATE_SUSPEND
    # chains of discounts, in their order: taken = min(left // denominator * numerator + amount, cap, left)
    "FAMILY_DISCOUNT_FIRST",
    "DISCOUNT_NUMERATOR", "DISCOUNT_DENOMINATOR", "DISCOUNT_AMOUNT", "DISCOUNT_CAP",
    # counters
    "COUNTER_KEY",           # like a bucket's id: hash of its name, unit, cycle; the first day of the cycle is added
    "COUNTER_KIND",          # COUNTS_QUANTITY, COUNTS_CHARGE, COUNTS_EVENTS
    "COUNTER_NAME",          # index into labels["counter"]
    "COUNTER_THRESHOLD_FIRST", "THRESHOLD",   # ascending
    # allowances
    "SET_FIRST", "SET_DEFINITION",
    "FULL_FIRST", "FULL_DEFINITION",          # of the same sets with the catalogue's buckets among them
    "DEFINITION_KEY", "DEFINITION_AMOUNT", "DEFINITION_STEP",
    "DEFINITION_FORM",       # bits A_* below; 0: units that cost nothing, once in a cycle
    "DEFINITION_PRICE", "DEFINITION_PER",     # nanos per so many units, in lowest terms
    "DEFINITION_ROLLOVER", "DEFINITION_MEMBER_CAP",     # -1: none
    "DEFINITION_TIMING", "DEFINITION_BANDS",  # -1: at any time; else bit p for place p of the timing's bands
    "DEFINITION_VALIDITY",   # seconds from the grant, -1: for ever (catalogue), or its cycle (plans)
)
INDEX = {name: place for place, name in enumerate(NAMES)}
TABLES = VECTORS
(VERSION_FROM, VERSION_LABEL, VERSION_PLAN, VERSION_OWN, DIMS, KIND, PRICED, CALLING, PLMN_COUNTRY,
 PLMN_FIRST, PLMN_CODE, PLMN_ZONE, CLASS_FIRST, CLASS_GROUP, CLASS_APN, CLASS_ZONE, CLASS_MORE,
 CLASS_SERVICE_ID, CLASS_SLICE, CLASS_RAT, CLASS_PLMN, CLASS_CATEGORY, PLAN_ROOT, PLAN_CURRENCY,
 CELL, ENTRY_FAMILY, ENTRY_TIMING, ENTRY_RATE_FIRST, ENTRY_RATE, ENTRY_COUNTER_FIRST, ENTRY_COUNTER,
 TIMING_FIRST, TIMING_ZONE, SEGMENT_START, SEGMENT_BAND, SEGMENT_PLACE, TIMING_DAYS, DAY_PROFILE,
 PROFILE_FIRST, ZONE_FIRST, ZONE_AT, ZONE_OFFSET, RATE_CONNECT, RATE_MINIMUM, RATE_SLOT_FIRST,
 RATE_FORM, RATE_MAXIMUM, RATE_MINIMUM_QUANTITY, RATE_COUNTER, SLOT_FROM, SLOT_STEP, SLOT_PRICE,
 SLOT_UNIT_PRICE, SLOT_FLAT, FAMILY_KEY, FAMILY_MULTIPLE, FAMILY_SERVICE, FAMILY_UNIT, FAMILY_DENOMINATOR,
 FAMILY_QUANTUM, FAMILY_RULE, FAMILY_BOUND, FAMILY_DEBT, FAMILY_SCOPE, FAMILY_TAX_NUMERATOR,
 FAMILY_TAX_DENOMINATOR, FAMILY_OWN_NUMERATOR, FAMILY_OWN_DENOMINATOR, FAMILY_LATE,
 FAMILY_DISCOUNT_FIRST, DISCOUNT_NUMERATOR,
 DISCOUNT_DENOMINATOR, DISCOUNT_AMOUNT, DISCOUNT_CAP, COUNTER_KEY, COUNTER_KIND, COUNTER_NAME,
 COUNTER_THRESHOLD_FIRST, THRESHOLD, SET_FIRST, SET_DEFINITION, FULL_FIRST, FULL_DEFINITION,
 DEFINITION_KEY, DEFINITION_AMOUNT, DEFINITION_STEP, DEFINITION_FORM, DEFINITION_PRICE,
 DEFINITION_PER, DEFINITION_ROLLOVER, DEFINITION_MEMBER_CAP, DEFINITION_TIMING, DEFINITION_BANDS,
 DEFINITION_VALIDITY) = range(len(NAMES))

# DIMS
(D_PLANS, D_KINDS, D_ROAMING, D_ZONES, D_FRIENDS, D_NETWORKS, D_CATEGORIES, D_CALLINGS, D_OWN) = range(9)
# A kind: (((service * 3 + direction) * friends + friend) * networks + on-net) * categories + category) * callings +
# calling zone. A dimension that no price of any version looks at has one place, and costs nothing.

LEGS_SHIFT, MOST_LEGS = 48, 12   # bit n of what lies above the shift: leg n + 1 of the version covers the usage

# Forms of rates. All rates of one price have the same F_SESSION_START, F_SPLIT, F_VOLUME and F_OVER.
F_SESSION_START, F_SPLIT, F_VOLUME, F_FLAT, F_DISCONNECT, F_MAXIMUM, F_MINIMUM_QUANTITY, F_OVER = (
    1, 2, 4, 8, 16, 32, 64, 128)
SCOPE_SESSION, SCOPE_REPORT, SCOPE_DAY = 0, 1, 2
LATE_PAY, LATE_CURRENT, LATE_SUSPEND = 0, 1, 2
COUNTS_QUANTITY, COUNTS_CHARGE, COUNTS_EVENTS = 0, 1, 2
A_ROLLOVER, A_AFTER, A_PRICE, A_BLOCKING, A_MEMBER_CAP, A_BANDS, A_MONEY, A_CATALOGUE = 1, 2, 4, 8, 16, 32, 64, 128
FIRST_DAY, LAST_DAY = 7305, 47_847  # 1990-01-01 to before 2101: days of DAY_PROFILE, the years of time zones too
NO_CAP = 1 << 62
FLAT_STEP = 1 << 60          # a position that no usage reaches: where the last flat slot ends

# Bucket ids describe themselves: hash of plan and allowance, unit, kind of cycle, first day of the cycle
# (days since 1970 in the account's zone). The main money balance is bucket 0, and absent in postings.
# CYCLE_GRANTED: a bucket of the catalogue, from the instant to the instant that its grant said; the day is a number
# that tells grants of one account apart. ROLLED + a cycle: what was left of the cycle before, carried into this one.
BUCKET_UNIT_SHIFT, BUCKET_CYCLE_SHIFT, BUCKET_DAY_BITS = 20, 17, 17
CYCLE_NONE, CYCLE_DAY, CYCLE_MONTH, CYCLE_WEEK, CYCLE_GRANTED = range(5)
ROLLED = 4
