"""Layout of a compiled tariff: one tuple of int64 vectors, so that a kernel takes one argument.

The compiler (`reference_data.tariffs.compile`) fills them, the kernels (`rating.kernels`) read them; both name a
vector by the constants below. `*_FIRST` vectors have one more element than rows: row r owns [first[r], first[r+1]).
"""

from numba import types

from schemas.jit import I64_IN

NAMES = (
    # versions, ascending by activation
    "VERSION_FROM",          # us UTC from which the version is in force
    "VERSION_CURRENCY",      # index into labels["currency"]
    "VERSION_PLAN",          # [version * plans + plan] row of PLAN_*, -1: the version does not have the plan
    "DIMS",                  # plans, kinds, roaming zones, zones, first label of a roaming zone
    "KIND",                  # [service * 3 + direction] kind, -1: no version prices it
    # serving networks to roaming zones
    "PLMN_COUNTRY",          # [version * 1000 + MCC] roaming zone
    "PLMN_FIRST", "PLMN_CODE", "PLMN_ZONE",   # networks named with their MNC: MCC * 1000 + MNC, ascending
    # rating groups and APNs to zones, first match wins; -1 matches all
    "CLASS_FIRST", "CLASS_GROUP", "CLASS_APN", "CLASS_ZONE",
    # plans of a version
    "PLAN_ROOT",             # root of its deck in the prefix forest
    "PLAN_CELL",             # first cell of the plan
    "CELL",                  # [(kind * roaming zones + roaming) * zones + zone] (entry + 1) | allowance set << 32
    # entries: what a price rule says
    "ENTRY_FAMILY", "ENTRY_TIMING", "ENTRY_RATE_FIRST", "ENTRY_RATE",
    # timings: bands of the local week
    "TIMING_FIRST", "TIMING_ZONE", "SEGMENT_START", "SEGMENT_BAND", "SEGMENT_PLACE",
    "ZONE_FIRST", "ZONE_AT", "ZONE_OFFSET",   # seconds UTC at which a time zone's offset changes, and the offset
    # rates; amounts are numerators over the family's denominator
    "RATE_CONNECT", "RATE_MINIMUM", "RATE_SLOT_FIRST",
    "SLOT_FROM", "SLOT_STEP", "SLOT_PRICE",
    # families: one plan and service, within which a session is priced and rounded once
    "FAMILY_KEY",            # stable over compilations: what session state remembers
    "FAMILY_SERVICE", "FAMILY_UNIT", "FAMILY_DENOMINATOR", "FAMILY_QUANTUM", "FAMILY_RULE", "FAMILY_BOUND",
    "FAMILY_DEBT",
    # allowances
    "SET_FIRST", "SET_DEFINITION",
    "DEFINITION_KEY", "DEFINITION_AMOUNT", "DEFINITION_STEP",
    # what prices may have beyond slots
    "ENTRY_COUNTER_FIRST", "ENTRY_COUNTER",   # rows of COUNTER_*
    "RATE_FORM",             # bits F_* below; 0: slots in steps that begin where the last one ended, nothing else
    "RATE_MAXIMUM",          # -1: none
    "RATE_MINIMUM_QUANTITY",
    "RATE_COUNTER",          # row of COUNTER_* on which positions count, -1: the session's own
    "SLOT_UNIT_PRICE",       # of one unit, exact; for rates that are split, else 0
    "SLOT_FLAT",             # 1: costs its price once, and is paid up to where the next slot begins
    "FAMILY_SCOPE",          # what is rounded once: SCOPE_SESSION, SCOPE_REPORT, SCOPE_DAY
    "FAMILY_TAX_NUMERATOR", "FAMILY_TAX_DENOMINATOR",   # tax = gross * numerator / denominator; 0: none
    "FAMILY_LATE",           # what usage of a closed cycle meets: LATE_PAY, LATE_CURRENT, LATE_SUSPEND
    # chains of discounts, in their order: taken = min(left // denominator * numerator + amount, cap, left)
    "FAMILY_DISCOUNT_FIRST",
    "DISCOUNT_NUMERATOR", "DISCOUNT_DENOMINATOR", "DISCOUNT_AMOUNT", "DISCOUNT_CAP",
    # counters
    "COUNTER_KEY",           # like a bucket's id: hash of its name, unit, cycle; the first day of the cycle is added
    "COUNTER_KIND",          # COUNTS_QUANTITY, COUNTS_CHARGE, COUNTS_EVENTS
    "COUNTER_NAME",          # index into labels["counter"]
    "COUNTER_THRESHOLD_FIRST", "THRESHOLD",   # ascending
)
INDEX = {name: place for place, name in enumerate(NAMES)}
TABLES = types.UniTuple(I64_IN, len(NAMES))
(VERSION_FROM, VERSION_CURRENCY, VERSION_PLAN, DIMS, KIND, PLMN_COUNTRY, PLMN_FIRST, PLMN_CODE, PLMN_ZONE,
 CLASS_FIRST, CLASS_GROUP, CLASS_APN, CLASS_ZONE, PLAN_ROOT, PLAN_CELL, CELL, ENTRY_FAMILY, ENTRY_TIMING,
 ENTRY_RATE_FIRST, ENTRY_RATE, TIMING_FIRST, TIMING_ZONE, SEGMENT_START, SEGMENT_BAND, SEGMENT_PLACE, ZONE_FIRST,
 ZONE_AT, ZONE_OFFSET, RATE_CONNECT, RATE_MINIMUM, RATE_SLOT_FIRST, SLOT_FROM, SLOT_STEP, SLOT_PRICE, FAMILY_KEY,
 FAMILY_SERVICE, FAMILY_UNIT, FAMILY_DENOMINATOR, FAMILY_QUANTUM, FAMILY_RULE, FAMILY_BOUND, FAMILY_DEBT, SET_FIRST,
 SET_DEFINITION, DEFINITION_KEY, DEFINITION_AMOUNT, DEFINITION_STEP, ENTRY_COUNTER_FIRST, ENTRY_COUNTER, RATE_FORM,
 RATE_MAXIMUM, RATE_MINIMUM_QUANTITY, RATE_COUNTER, SLOT_UNIT_PRICE, SLOT_FLAT, FAMILY_SCOPE, FAMILY_TAX_NUMERATOR,
 FAMILY_TAX_DENOMINATOR, FAMILY_LATE, FAMILY_DISCOUNT_FIRST, DISCOUNT_NUMERATOR, DISCOUNT_DENOMINATOR, DISCOUNT_AMOUNT,
 DISCOUNT_CAP, COUNTER_KEY, COUNTER_KIND, COUNTER_NAME, COUNTER_THRESHOLD_FIRST, THRESHOLD) = range(len(NAMES))

# Forms of rates. All rates of one price have the same F_SESSION_START, F_SPLIT, F_VOLUME and F_OVER.
F_SESSION_START, F_SPLIT, F_VOLUME, F_FLAT, F_DISCONNECT, F_MAXIMUM, F_MINIMUM_QUANTITY, F_OVER = (
    1, 2, 4, 8, 16, 32, 64, 128)
SCOPE_SESSION, SCOPE_REPORT, SCOPE_DAY = 0, 1, 2
LATE_PAY, LATE_CURRENT, LATE_SUSPEND = 0, 1, 2
COUNTS_QUANTITY, COUNTS_CHARGE, COUNTS_EVENTS = 0, 1, 2
NO_CAP = 1 << 62
FLAT_STEP = 1 << 60          # a position that no usage reaches: where the last flat slot ends

# Bucket ids describe themselves: hash of plan and allowance, unit, kind of cycle, first day of the cycle
# (days since 1970 in the account's zone). The main money balance is bucket 0, and absent in postings.
BUCKET_UNIT_SHIFT, BUCKET_CYCLE_SHIFT, BUCKET_DAY_BITS = 20, 17, 17
CYCLE_NONE, CYCLE_DAY, CYCLE_MONTH = 0, 1, 2
