"""Which price: account, version, plan, zone, entry of each event. Free of order, so its cache misses overlap."""

import numpy as np
from numba import types

from rating.kernels.calendar import last_at_most_nb
from rating.kernels.layout import (
    C_ENTRY,
    C_PLAN,
    C_REASON,
    C_ROW,
    C_SET,
    C_SHARED_ROW,
    C_SHARED_SET,
    C_VERSION,
    C_ZONE,
    CELLS_IN,
    CELLS_OUT,
    F_PLAN,
    F_PLAN_FROM,
    F_PLAN_NEXT,
    F_SHARED,
    F_TRAITS,
    I32_IN,
    I64_IN,
    N_FROM,
    N_NEXT,
    N_PLAN,
    TRAIT_CURRENCY,
    U_ACCOUNT,
    U_APN,
    U_CLASS,
    U_DIRECTION,
    U_GROUP,
    U_PLMN,
    U_PREFIX,
    U_QUANTITY,
    U_ROAMING,
    U_SERVICE,
    U_TIME,
    U_UNIT,
)
from schemas.codes import Direction, NumberClass, Reason, Service
from schemas.hashing import mix_nb
from schemas.jit import kernel
from schemas.prefix import prefix_leaf_nb
from schemas.tariff_tables import (
    CELL,
    CLASS_APN,
    CLASS_FIRST,
    CLASS_GROUP,
    CLASS_ZONE,
    DIMS,
    ENTRY_FAMILY,
    FAMILY_UNIT,
    KIND,
    PLAN_CELL,
    PLAN_ROOT,
    PLMN_CODE,
    PLMN_COUNTRY,
    PLMN_FIRST,
    PLMN_ZONE,
    TABLES,
    VERSION_CURRENCY,
    VERSION_FROM,
    VERSION_PLAN,
)

OK, NO_TARIFF, NO_PLAN = int(Reason.OK), int(Reason.NO_TARIFF), int(Reason.NO_PLAN)
NO_ZONE, NO_RATE, UNKNOWN_ACCOUNT = int(Reason.NO_ZONE), int(Reason.NO_RATE), int(Reason.UNKNOWN_ACCOUNT)
NEGATIVE_QUANTITY = int(Reason.NEGATIVE_QUANTITY)
DATA, CONTENT, SERVICES = int(Service.DATA), int(Service.CONTENT), len(Service)
DIRECTIONS = len(Direction)
ORDINARY, CLASSES = int(NumberClass.ORDINARY), len(NumberClass)
UNKNOWN_NETWORK, UNKNOWN_ZONE = 1, 0
# Number classes to the built-in zones unknown, emergency, toll_free, premium, short_code, text.
CLASS_TO_ZONE = (0, 1, 2, 4, 3, 5, 0)


@kernel(types.int64(CELLS_IN, types.int64), error_model="numpy")
def find_account_nb(index, account_id):
    """Row of an account, -1 for none. index (capacity, 2): account id and row, open addressing, row -1 empty."""
    mask = index.shape[0] - 1
    place = np.int64(mix_nb(np.uint64(account_id)) & np.uint64(mask))
    while index[place, 1] >= 0:
        if index[place, 0] == account_id:
            return index[place, 1]
        place = (place + 1) & mask
    return np.int64(-1)


@kernel(None, error_model="numpy", forceinline=True)
def plan_at_nb(profile, nodes, row, time_us):
    """Plan of an account at an instant, -1 for none."""
    if time_us >= profile[row, F_PLAN_FROM]:
        return profile[row, F_PLAN]
    node = profile[row, F_PLAN_NEXT]
    while node >= 0:
        if time_us >= nodes[node, N_FROM]:
            return nodes[node, N_PLAN]
        node = nodes[node, N_NEXT]
    return np.int64(-1)


@kernel(None, error_model="numpy", forceinline=True)
def roaming_zone_nb(tables, version, plmn):
    """Roaming zone of a serving network."""
    if plmn < 0 or plmn >= 1_000_000:
        return np.int64(UNKNOWN_NETWORK)
    first, stop = tables[PLMN_FIRST][version], tables[PLMN_FIRST][version + 1]
    if stop > first:
        place = last_at_most_nb(tables[PLMN_CODE], first, stop, plmn)
        if tables[PLMN_CODE][place] == plmn:
            return tables[PLMN_ZONE][place]
    return tables[PLMN_COUNTRY][version * 1000 + plmn // 1000]


@kernel(None, error_model="numpy", forceinline=True)
def class_zone_nb(tables, version, group, apn):
    """Zone of a data container: the first class whose rating group and APN match."""
    for c in range(tables[CLASS_FIRST][version], tables[CLASS_FIRST][version + 1]):
        wanted_group, wanted_apn = tables[CLASS_GROUP][c], tables[CLASS_APN][c]
        if (wanted_group < 0 or wanted_group == group) and (wanted_apn < 0 or wanted_apn == apn):
            return tables[CLASS_ZONE][c]
    return np.int64(UNKNOWN_ZONE)


@kernel(None, error_model="numpy", forceinline=True)
def plan_row_nb(tables, version, plan_of, plan):
    """Row of a book's plan in a version, -1 for none."""
    label = plan_of[plan] if plan >= 0 else np.int64(-1)
    return tables[VERSION_PLAN][version * tables[DIMS][0] + label] if label >= 0 else np.int64(-1)


@kernel(None, error_model="numpy", forceinline=True)
def zone_nb(tables, slots, leaves, version, root, service, other_class, prefix, group, apn):
    """Zone of an event by its service."""
    if service == DATA:
        return class_zone_nb(tables, version, group, apn)
    if other_class > ORDINARY and other_class < CLASSES:
        return np.int64(CLASS_TO_ZONE[other_class])
    if prefix <= 0:
        return np.int64(UNKNOWN_ZONE)
    leaf = prefix_leaf_nb(prefix, slots, root, leaves)
    return leaf >> 4 if leaf >= 0 else np.int64(UNKNOWN_ZONE)


@kernel(types.void(CELLS_IN, types.int64, types.int64, TABLES, I32_IN, I64_IN, CELLS_IN, CELLS_IN, CELLS_IN,
                   I64_IN, I64_IN, I64_IN, CELLS_OUT), error_model="numpy")
def select_nb(usage, start, stop, tables, slots, leaves, index, profile, nodes, plan_of, currency_of, apn_of, choice):
    """Fill choice (CHOICE, stop - start) for usage rows start to stop; every column of a row is written.

    plan_of, currency_of: the book's plans and currencies as labels of the tariff. apn_of: the batch's APN labels
    as the tariff's APNs.
    """
    versions = tables[VERSION_FROM].size
    roaming_count, zone_count = tables[DIMS][2], tables[DIMS][3]
    for i in range(start, stop):
        at = i - start
        choice[C_ENTRY, at] = choice[C_SET, at] = choice[C_ZONE, at] = choice[C_VERSION, at] = -1
        choice[C_PLAN, at] = choice[C_SHARED_ROW, at] = -1
        choice[C_SHARED_SET, at] = 0
        row = find_account_nb(index, usage[U_ACCOUNT, i])
        choice[C_ROW, at] = row
        if row < 0:
            choice[C_REASON, at] = UNKNOWN_ACCOUNT
            continue
        time_us = usage[U_TIME, i]
        if versions == 0 or time_us < tables[VERSION_FROM][0]:
            choice[C_REASON, at] = NO_TARIFF
            continue
        version = last_at_most_nb(tables[VERSION_FROM], 0, versions, time_us)
        choice[C_VERSION, at] = version
        plan = plan_at_nb(profile, nodes, row, time_us)
        plan_row = plan_row_nb(tables, version, plan_of, plan)
        if plan_row < 0:
            choice[C_REASON, at] = NO_PLAN
            continue
        choice[C_PLAN, at] = plan_of[plan]
        service, direction = usage[U_SERVICE, i], usage[U_DIRECTION, i]
        if direction < 0 or direction >= DIRECTIONS:
            direction = 0
        kind = tables[KIND][service * DIRECTIONS + direction] if 0 <= service < SERVICES else np.int64(-1)
        currency = profile[row, F_TRAITS] >> TRAIT_CURRENCY & 0xFFF
        if kind < 0 or currency_of[currency] != tables[VERSION_CURRENCY][version]:
            choice[C_REASON, at] = NO_RATE
            continue
        if usage[U_QUANTITY, i] < 0:
            choice[C_REASON, at] = NEGATIVE_QUANTITY
            continue
        apn = usage[U_APN, i]
        apn = apn_of[apn] if 0 <= apn < apn_of.size else np.int64(-2)
        zone = zone_nb(tables, slots, leaves, version, tables[PLAN_ROOT][plan_row], service, usage[U_CLASS, i],
                       usage[U_PREFIX, i], usage[U_GROUP, i], apn)
        roaming = roaming_zone_nb(tables, version, usage[U_PLMN, i]) if usage[U_ROAMING, i] == 1 else np.int64(0)
        choice[C_ZONE, at] = zone if roaming == 0 else zone_count + roaming
        place = (kind * roaming_count + roaming) * zone_count + zone
        cell = tables[CELL][tables[PLAN_CELL][plan_row] + place]
        entry = (cell & 0xFFFFFFFF) - 1
        if entry < 0 or tables[FAMILY_UNIT][tables[ENTRY_FAMILY][entry]] != usage[U_UNIT, i]:
            unplaced = (zone == UNKNOWN_ZONE and service < DATA) or roaming == UNKNOWN_NETWORK
            choice[C_REASON, at] = NO_ZONE if entry < 0 and unplaced else NO_RATE
            continue
        choice[C_REASON, at] = OK
        choice[C_ENTRY, at] = entry
        choice[C_SET, at] = cell >> 32
        shared = profile[row, F_SHARED]
        if shared >= 0:
            choice[C_SHARED_ROW, at] = shared
            shared_plan = plan_row_nb(tables, version, plan_of, plan_at_nb(profile, nodes, shared, time_us))
            if shared_plan >= 0:
                choice[C_SHARED_SET, at] = tables[CELL][tables[PLAN_CELL][shared_plan] + place] >> 32
