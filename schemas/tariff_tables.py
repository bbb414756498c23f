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
)
INDEX = {name: place for place, name in enumerate(NAMES)}
TABLES = types.UniTuple(I64_IN, len(NAMES))
(VERSION_FROM, VERSION_CURRENCY, VERSION_PLAN, DIMS, KIND, PLMN_COUNTRY, PLMN_FIRST, PLMN_CODE, PLMN_ZONE,
 CLASS_FIRST, CLASS_GROUP, CLASS_APN, CLASS_ZONE, PLAN_ROOT, PLAN_CELL, CELL, ENTRY_FAMILY, ENTRY_TIMING,
 ENTRY_RATE_FIRST, ENTRY_RATE, TIMING_FIRST, TIMING_ZONE, SEGMENT_START, SEGMENT_BAND, SEGMENT_PLACE, ZONE_FIRST,
 ZONE_AT, ZONE_OFFSET, RATE_CONNECT, RATE_MINIMUM, RATE_SLOT_FIRST, SLOT_FROM, SLOT_STEP, SLOT_PRICE, FAMILY_KEY,
 FAMILY_SERVICE, FAMILY_UNIT, FAMILY_DENOMINATOR, FAMILY_QUANTUM, FAMILY_RULE, FAMILY_BOUND, FAMILY_DEBT, SET_FIRST,
 SET_DEFINITION, DEFINITION_KEY, DEFINITION_AMOUNT, DEFINITION_STEP) = range(len(NAMES))

# Bucket ids describe themselves: hash of plan and allowance, unit, kind of cycle, first day of the cycle
# (days since 1970 in the account's zone). The main money balance is bucket 0, and absent in postings.
BUCKET_UNIT_SHIFT, BUCKET_CYCLE_SHIFT, BUCKET_DAY_BITS = 20, 17, 17
CYCLE_NONE, CYCLE_DAY, CYCLE_MONTH = 0, 1, 2
