"""Which price: account, version, plan, zone, entry of each event. Free of order, so its cache misses overlap."""

import numpy as np
from numba import types

from rating.kernels.ahead import AHEAD, find_accounts_nb
from rating.kernels.calendar import last_at_most_nb
from rating.kernels.friends import is_friend_nb
from rating.kernels.layout import (
    C_ACCOUNT,
    C_CURRENCY,
    C_ENTRY,
    C_LEG,
    C_LEGS,
    C_PLAN,
    C_QUANTITY,
    C_REASON,
    C_ROW,
    C_SET,
    C_SHARED_ROW,
    C_SHARED_SET,
    C_SOURCE,
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
    MAX_PLANS,
    N_FROM,
    N_NEXT,
    N_PLAN,
    SET_BITS,
    SET_MASK,
    TRAIT_CURRENCY,
    U_ACCOUNT,
    U_APN,
    U_CALLING,
    U_CATEGORY,
    U_CLASS,
    U_DIRECTION,
    U_GROUP,
    U_OTHER_NETWORK,
    U_OTHER_TOKEN,
    U_PLMN,
    U_PREFIX,
    U_QUANTITY,
    U_RAT,
    U_ROAMING,
    U_SEGMENTS,
    U_SERVICE,
    U_SERVICE_ID,
    U_SLICE,
    U_TIME,
    U_UNIT,
)
from rating.kernels.zones import (
    ROOT,
    UNKNOWN_ZONE,
    ZONE,
    called_zone_nb,
    find_zones_nb,
    is_special_nb,
    prefix_zone_nb,
)
from schemas.codes import Direction, Reason, Service, Unit
from schemas.jit import kernel
from schemas.tariff_tables import (
    CALLING,
    CELL,
    CLASS_APN,
    CLASS_CATEGORY,
    CLASS_FIRST,
    CLASS_GROUP,
    CLASS_MORE,
    CLASS_PLMN,
    CLASS_RAT,
    CLASS_SERVICE_ID,
    CLASS_SLICE,
    CLASS_ZONE,
    D_CALLINGS,
    D_CATEGORIES,
    D_FRIENDS,
    D_KINDS,
    D_NETWORKS,
    D_OWN,
    D_PLANS,
    D_ZONES,
    DIMS,
    ENTRY_FAMILY,
    FAMILY_UNIT,
    KIND,
    LEGS_SHIFT,
    PLAN_CURRENCY,
    PLAN_ROOT,
    PLMN_CODE,
    PLMN_COUNTRY,
    PLMN_FIRST,
    PLMN_ZONE,
    PRICED,
    TABLES,
    VERSION_FROM,
    VERSION_LABEL,
    VERSION_OWN,
    VERSION_PLAN,
)

OK, NO_TARIFF, NO_PLAN = int(Reason.OK), int(Reason.NO_TARIFF), int(Reason.NO_PLAN)
NO_ZONE, NO_RATE, UNKNOWN_ACCOUNT = int(Reason.NO_ZONE), int(Reason.NO_RATE), int(Reason.UNKNOWN_ACCOUNT)
NEGATIVE_QUANTITY = int(Reason.NEGATIVE_QUANTITY)
DATA, CONTENT, SERVICES = int(Service.DATA), int(Service.CONTENT), len(Service)
DIRECTIONS = len(Direction)
UNKNOWN_NETWORK = 1
MESSAGE, SEGMENT = int(Unit.MESSAGE), int(Unit.SEGMENT)
UNKNOWN_PLAN = -2  # a plan that no version has; -1 stands behind the last one of an account
# Labels of the batch and the book as places in the tariff.
CURRENCY_OF, APN_OF, NETWORK_OF, CATEGORY_OF = range(4)


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
def class_nb(tables, version, usage, i, apn):
    """First class whose conditions a data container meets, -1 for none."""
    group = usage[U_GROUP, i]
    for c in range(tables[CLASS_FIRST][version], tables[CLASS_FIRST][version + 1]):
        wanted_group, wanted_apn = tables[CLASS_GROUP][c], tables[CLASS_APN][c]
        if (wanted_group < 0 or wanted_group == group) and (wanted_apn < 0 or wanted_apn == apn):
            if tables[CLASS_MORE][c] == 0:
                return c
            service_id, plmn, rat = tables[CLASS_SERVICE_ID][c], tables[CLASS_PLMN][c], tables[CLASS_RAT][c]
            wanted, part = tables[CLASS_SLICE][c], usage[U_SLICE, i]
            if (service_id < 0 or service_id == usage[U_SERVICE_ID, i]) and (rat < 0 or rat == usage[U_RAT, i]) and (
                    wanted == -1 or wanted == part or (part >= 0 and wanted == -2 - (part >> 32))) and (
                    plmn == -1 or plmn == usage[U_PLMN, i] or (usage[U_PLMN, i] >= 0
                                                              and plmn == -2 - usage[U_PLMN, i] // 1000)):
                return c
    return np.int64(-1)


@kernel(None, error_model="numpy", forceinline=True)
def plan_row_nb(tables, version, plan_of, plan, option):
    """Row of the option-th plan of a book's plan in a version, -1 for none."""
    label = plan_of[plan, option] if plan >= 0 else np.int64(-1)
    return tables[VERSION_PLAN][version * tables[DIMS][D_PLANS] + label] if label >= 0 else np.int64(-1)


@kernel(None, error_model="numpy", forceinline=True)
def cell_nb(tables, plan_row, kind, roaming, zone):
    """What a plan says of a kind of usage: (entry + 1) | allowance set << 32 | legs << LEGS_SHIFT, 0 for nothing."""
    dims = tables[DIMS]
    first = tables[KIND][plan_row * dims[D_KINDS] + kind]
    return tables[CELL][first + roaming * dims[D_ZONES] + zone] if first >= 0 else np.int64(0)


@kernel(None, error_model="numpy", forceinline=True)
def deck_nb(tables, usage, i, plan_of, plan):
    """Root of the deck in which a called number is most likely to be looked up, -1: in none."""
    versions, time_us = tables[VERSION_FROM].size, usage[U_TIME, i]
    if usage[U_SERVICE, i] == DATA or usage[U_PREFIX, i] <= 0 or is_special_nb(usage[U_CLASS, i]) or (
            versions == 0 or time_us < tables[VERSION_FROM][0]):
        return np.int64(-1)
    version = last_at_most_nb(tables[VERSION_FROM], 0, versions, time_us)
    plan_row = plan_row_nb(tables, version, plan_of, plan, 0)
    return tables[PLAN_ROOT][plan_row] if plan_row >= 0 else np.int64(-1)


@kernel(types.int64(TABLES, types.int64, types.int64, types.int64, types.int64, CELLS_IN, types.int64, types.int64,
                    CELLS_IN, types.UniTuple(I64_IN, 4)), error_model="numpy")
def kind_nb(tables, version, service, direction, data_class, usage, i, row, friends, places):
    """Kind of an event without its calling zone, which depends on the deck: see `schemas.tariff_tables`."""
    dims = tables[DIMS]
    kind = service * DIRECTIONS + direction
    if dims[D_FRIENDS] > 1:
        kind = kind * 2 + is_friend_nb(friends, row, usage[U_OTHER_TOKEN, i], usage[U_TIME, i])
    if dims[D_NETWORKS] > 1:
        network = usage[U_OTHER_NETWORK, i]
        network = places[NETWORK_OF][network] if 0 <= network < places[NETWORK_OF].size else np.int64(-1)
        kind = kind * 2 + (tables[VERSION_OWN][version * dims[D_OWN] + network] if network >= 0 else 0)
    if dims[D_CATEGORIES] > 1:
        category = usage[U_CATEGORY, i]
        if 0 <= category < places[CATEGORY_OF].size:
            category = places[CATEGORY_OF][category]
        else:
            category = max(tables[CLASS_CATEGORY][data_class], 0) if data_class >= 0 else np.int64(0)
        kind = kind * dims[D_CATEGORIES] + category
    return kind


@kernel(types.void(CELLS_IN, types.int64, types.int64, TABLES, I32_IN, I64_IN, CELLS_IN, CELLS_IN, CELLS_IN, CELLS_IN,
                   CELLS_IN, types.UniTuple(I64_IN, 4), CELLS_IN, CELLS_OUT), error_model="numpy")
def select_nb(usage, start, stop, tables, slots, leaves, index, profile, nodes, friends, plan_of, places, legs, choice):
    """Fill choice (CHOICE, stop - start or more) for usage rows start to stop; every column of a row is written.

    plan_of (plans, MAX_PLANS): labels in the tariff of the book's plans, by priority, -1 behind the last. places: the
    book's currencies, the batch's APNs, networks and categories, as places in the tariff. legs: (2, 0), or that the
    rows are charge legs: for each the row of plan_of that prices it and the account row whose friends count; the
    choice then says already which usage row each is of, who pays and which leg it is.
    """
    legged = legs.shape[1] > 0
    versions = tables[VERSION_FROM].size
    dims = tables[DIMS]
    zone_count, callings = dims[D_ZONES], dims[D_CALLINGS]
    rich = dims[D_FRIENDS] > 1 or dims[D_NETWORKS] > 1 or dims[D_CATEGORIES] > 1
    for at in range(stop - start):
        if at % AHEAD == 0:
            ahead = min(at + AHEAD, stop - start)
            if not legged:
                for j in range(at, ahead):
                    choice[C_SOURCE, j] = start + j
                    choice[C_ACCOUNT, j] = usage[U_ACCOUNT, start + j]
                    choice[C_LEG, j] = 0
            find_accounts_nb(choice, at, ahead, index, profile)
            for j in range(at, ahead):
                choice[ROOT, j] = -1
                if choice[C_ROW, j] >= 0:
                    i = choice[C_SOURCE, j]
                    plan = legs[0, j] if legged else plan_at_nb(profile, nodes, choice[C_ROW, j], usage[U_TIME, i])
                    choice[ROOT, j] = deck_nb(tables, usage, i, plan_of, plan)
            find_zones_nb(usage, choice, at, ahead, slots, leaves)
        i, looked_in, found_there = choice[C_SOURCE, at], choice[ROOT, at], choice[ZONE, at]
        choice[C_ENTRY, at] = choice[C_SET, at] = choice[C_ZONE, at] = choice[C_VERSION, at] = -1
        choice[C_PLAN, at] = choice[C_SHARED_ROW, at] = choice[C_CURRENCY, at] = -1
        choice[C_SHARED_SET, at] = choice[C_LEGS, at] = 0
        quantity = usage[U_QUANTITY, i]
        choice[C_QUANTITY, at] = quantity
        row = choice[C_ROW, at]
        if row < 0:
            choice[C_REASON, at] = UNKNOWN_ACCOUNT
            continue
        time_us = usage[U_TIME, i]
        if versions == 0 or time_us < tables[VERSION_FROM][0]:
            choice[C_REASON, at] = NO_TARIFF
            continue
        version = last_at_most_nb(tables[VERSION_FROM], 0, versions, time_us)
        choice[C_VERSION, at] = tables[VERSION_LABEL][version]
        plan = legs[0, at] if legged else plan_at_nb(profile, nodes, row, time_us)
        service, direction = usage[U_SERVICE, i], usage[U_DIRECTION, i]
        if direction < 0 or direction >= DIRECTIONS:
            direction = 0
        known = 0 <= service < SERVICES
        zone, data_class = np.int64(UNKNOWN_ZONE), np.int64(-1)
        if service == DATA:
            apn = usage[U_APN, i]
            apn = places[APN_OF][apn] if 0 <= apn < places[APN_OF].size else np.int64(-2)
            data_class = class_nb(tables, version, usage, i, apn)
            if data_class >= 0:
                zone = tables[CLASS_ZONE][data_class]
        kind = service * DIRECTIONS + direction
        if rich and known:
            kind = kind_nb(tables, version, service, direction, data_class, usage, i, legs[1, at] if legged else row,
                           friends, places)
        roaming = roaming_zone_nb(tables, version, usage[U_PLMN, i]) if usage[U_ROAMING, i] == 1 else np.int64(0)
        currency = places[CURRENCY_OF][profile[row, F_TRAITS] >> TRAIT_CURRENCY & 0xFFF]
        reason, sets, filled = np.int64(NO_PLAN), np.int64(0), 0
        entry, calling, placed = np.int64(-1), np.int64(0), zone
        for option in range(MAX_PLANS):
            if plan < 0 or plan_of[plan, option] == -1:
                break
            plan_row = plan_row_nb(tables, version, plan_of, plan, option)
            if plan_row < 0 or currency != tables[PLAN_CURRENCY][plan_row]:
                continue
            first = reason == NO_PLAN
            if first:
                reason = np.int64(NO_RATE)
                choice[C_PLAN, at] = plan_of[plan, option]
            if not known:
                continue
            here = zone
            if service != DATA:
                root = tables[PLAN_ROOT][plan_row]
                here = found_there if root == looked_in else called_zone_nb(slots, leaves, root, usage[U_CLASS, i],
                                                                            usage[U_PREFIX, i])
            if first:
                placed = here
                unplaced = (here == UNKNOWN_ZONE and service < DATA) or roaming == UNKNOWN_NETWORK
                if unplaced and tables[PRICED][service * DIRECTIONS + direction] == 1:
                    reason = np.int64(NO_ZONE)
            if callings > 1:
                calling = tables[CALLING][prefix_zone_nb(slots, leaves, tables[PLAN_ROOT][plan_row],
                                                         usage[U_CALLING, i])]
            cell = cell_nb(tables, plan_row, kind * callings + calling, roaming, here)
            found = (cell & 0xFFFFFFFF) - 1
            unit = tables[FAMILY_UNIT][tables[ENTRY_FAMILY][found]] if found >= 0 else usage[U_UNIT, i]
            if unit != usage[U_UNIT, i] and not (unit == SEGMENT and usage[U_UNIT, i] == MESSAGE):
                continue
            if entry < 0 and found >= 0:
                entry, reason, placed = found, np.int64(OK), here
                choice[C_PLAN, at] = plan_of[plan, option]
                choice[C_CURRENCY, at] = tables[PLAN_CURRENCY][plan_row]
                choice[C_LEGS, at] = cell >> LEGS_SHIFT
                if unit == SEGMENT and usage[U_SEGMENTS, i] >= 0:
                    choice[C_QUANTITY, at] = usage[U_SEGMENTS, i]
            if cell >> 32 & SET_MASK > 0:
                sets |= (cell >> 32 & SET_MASK) << filled
                filled += SET_BITS
        if reason != NO_PLAN and quantity < 0:
            reason = np.int64(NEGATIVE_QUANTITY)
        choice[C_REASON, at] = reason
        if reason == NO_PLAN:
            continue
        choice[C_ZONE, at] = placed if roaming == 0 else zone_count + roaming
        if reason != OK:
            continue
        choice[C_ENTRY, at] = entry
        choice[C_SET, at] = sets
        shared = profile[row, F_SHARED]
        if shared >= 0:
            choice[C_SHARED_ROW, at] = shared
            shared_plan = plan_at_nb(profile, nodes, shared, time_us)
            sets, filled = np.int64(0), 0
            for option in range(MAX_PLANS):
                plan_row = plan_row_nb(tables, version, plan_of, shared_plan, option)
                if plan_row < 0:
                    if shared_plan < 0 or plan_of[shared_plan, option] == -1:
                        break
                    continue
                if currency != tables[PLAN_CURRENCY][plan_row]:
                    continue
                cell = cell_nb(tables, plan_row, kind * callings + calling, roaming, placed)
                if cell >> 32 & SET_MASK > 0:
                    sets |= (cell >> 32 & SET_MASK) << filled
                    filled += SET_BITS
            choice[C_SHARED_SET, at] = sets
