"""The walk of a session: from where it was paid up to, until its new total.

At each position the band of that moment gives the rate and the slot gives the price; allowances cover units first,
the rest is paid in steps. A step belongs where it begins and may reach beyond the report that began it: the next
report starts where it ends. So the walk does the same whatever the reports are. Work grows with slots and boundaries
crossed, never with units.

A step that is split is cut at each boundary it crosses, each part at its own price. A flat slot is one step to its
end. With volume tiers there is nothing to walk: steps are counted, and the last that began says what each costs.
"""

import numpy as np

from rating.kernels.calendar import NEVER_US, SECOND_US, band_at_nb, last_at_most_nb
from rating.kernels.candidates import open_bands_nb, take_nb
from rating.kernels.layout import (
    CONNECTED,
    DISCONNECTS,
    W_BAND,
    W_BLOCKED,
    W_CONNECT,
    W_CONNECTED,
    W_FORMS,
    W_MAXIMUM,
    W_MINIMUM,
    W_NUMERATOR,
    W_PAID,
    W_PRICED,
    W_RATE,
    W_REACHED,
    W_STEPS,
    W_TIER,
    W_TURNS,
)
from rating.kernels.price import usage_price_nb
from schemas.codes import Unit
from schemas.jit import kernel
from schemas.tariff_tables import (
    A_BANDS,
    A_PRICE,
    ENTRY_RATE,
    ENTRY_RATE_FIRST,
    ENTRY_TIMING,
    F_DISCONNECT,
    F_SESSION_START,
    F_SPLIT,
    FLAT_STEP,
    NO_CAP,
    RATE_CONNECT,
    RATE_FORM,
    RATE_MAXIMUM,
    RATE_MINIMUM,
    RATE_MINIMUM_QUANTITY,
    RATE_SLOT_FIRST,
    SLOT_FLAT,
    SLOT_FROM,
    SLOT_PRICE,
    SLOT_STEP,
    SLOT_UNIT_PRICE,
)

SECOND = int(Unit.SECOND)


@kernel(None, error_model="numpy", forceinline=True)
def begin_nb(tables, rate, total, walk):
    """The first unit of a price: its maximum is that of this rate, and of a session the least that is billed.

    Returns the position to walk to.
    """
    maximum = tables[RATE_MAXIMUM][rate]
    walk[W_MAXIMUM] = maximum if maximum >= 0 else NO_CAP
    if tables[RATE_FORM][rate] & F_DISCONNECT:
        walk[W_CONNECTED] |= DISCONNECTS
    return max(total, tables[RATE_MINIMUM_QUANTITY][rate]) if walk[W_PAID] == 0 else total


@kernel(None, error_model="numpy", forceinline=True)
def paid_step_nb(tables, rate, walk):
    """A step of this rate is paid for: the connect fee is owed once, and the rate's minimum."""
    walk[W_MINIMUM] = max(walk[W_MINIMUM], tables[RATE_MINIMUM][rate])
    if walk[W_CONNECTED] & CONNECTED == 0:
        walk[W_CONNECTED] |= CONNECTED
        walk[W_CONNECT] = tables[RATE_CONNECT][rate]
        walk[W_NUMERATOR] += tables[RATE_CONNECT][rate]


@kernel(None, error_model="numpy", forceinline=True)
def note_maximum_nb(walk, start, end, step, price):
    """Steps of one price from `start` to `end` were added: note where they reached a maximum that disconnects."""
    if walk[W_CONNECTED] & DISCONNECTS != 0 and walk[W_REACHED] == 0 and usage_price_nb(
            walk[W_NUMERATOR], walk[W_MINIMUM]) >= walk[W_MAXIMUM]:
        if price > 0 and walk[W_MINIMUM] < walk[W_MAXIMUM]:
            beyond = (walk[W_NUMERATOR] - walk[W_MAXIMUM]) // price
            walk[W_REACHED] = max(end - beyond * step, start + step)
        else:
            walk[W_REACHED] = start + step


@kernel(None, error_model="numpy", forceinline=True)
def slot_at_nb(tables, rate, position):
    """(slot, position at which the next begins) of a rate."""
    slot, last = tables[RATE_SLOT_FIRST][rate], tables[RATE_SLOT_FIRST][rate + 1]
    if last - slot > 1:
        slot = last_at_most_nb(tables[SLOT_FROM], slot, last, position)
        if slot + 1 < last:
            return slot, tables[SLOT_FROM][slot + 1]
    return slot, np.int64(FLAT_STEP)


@kernel(None, error_model="numpy")
def split_step_nb(tables, timing, rates, moving, time_us, before, place, change_us, position, stop, walk):
    """Price one step that crosses boundaries, from `position` to `stop`, part by part."""
    while position < stop:
        walk[W_TURNS] += 1
        edge = stop
        if moving:
            now_us = time_us + (position - before) * SECOND_US
            if now_us >= change_us:
                place, _, change_us = band_at_nb(tables, timing, now_us)
            edge = min(edge, position + -((now_us - change_us) // SECOND_US))
        slot, slot_end = slot_at_nb(tables, tables[ENTRY_RATE][rates + place], position)
        edge = min(edge, slot_end)
        walk[W_NUMERATOR] += (edge - position) * tables[SLOT_UNIT_PRICE][slot]
        position = edge


@kernel(None, error_model="numpy", forceinline=True)
def walk_nb(tables, entry, unit, time_us, began_us, before, total, records, spill, candidates, count, walk):
    """Take a session from walk[W_PAID] to `total` units; `before` of them came in earlier reports.

    `walk` holds the state of the session's price and is moved on; buckets are debited, money is not.
    """
    timing, rates = tables[ENTRY_TIMING][entry], tables[ENTRY_RATE_FIRST][entry]
    form = tables[RATE_FORM][tables[ENTRY_RATE][rates]]
    paid = walk[W_PAID]
    place, band, change_us = band_at_nb(tables, timing, began_us if form & F_SESSION_START else time_us)
    walk[W_BAND] = band
    walk[W_RATE] = tables[ENTRY_RATE][rates + place]
    moving = unit == SECOND and change_us != NEVER_US and form & F_SESSION_START == 0
    turns = 0
    while paid < total:
        turns += 1
        edge = np.int64(FLAT_STEP)
        if moving:
            # The unit at position p is used at time_us + (p - before) seconds.
            now_us = time_us + (paid - before) * SECOND_US
            if now_us >= change_us:
                place, band, change_us = band_at_nb(tables, timing, now_us)
            edge = paid + -((now_us - change_us) // SECOND_US)
        rate = tables[ENTRY_RATE][rates + place]
        if walk[W_MAXIMUM] == 0:
            total = begin_nb(tables, rate, total, walk)
        slot, slot_end = slot_at_nb(tables, rate, paid)
        edge = min(edge, slot_end)
        limit = min(total, edge)
        if walk[W_FORMS] & A_BANDS:
            second = paid - before if unit == SECOND else 0
            limit = min(limit, open_bands_nb(tables, candidates, count, time_us + second * SECOND_US, paid,
                                             unit == SECOND))
        price = tables[SLOT_PRICE][slot]
        if price > 0:
            walk[W_PRICED] = 1
            # What a maximum has made free takes no allowance.
            if count > 0 and walk[W_BLOCKED] == 0 and usage_price_nb(
                    walk[W_NUMERATOR], walk[W_MINIMUM]) < walk[W_MAXIMUM]:
                paid += take_nb(records, spill, candidates, count, limit - paid, walk)
                if walk[W_FORMS] & A_PRICE:  # the bucket's own price may have brought it to the maximum
                    note_maximum_nb(walk, paid, paid, 0, 0)
                if paid >= limit:
                    continue
        paid_step_nb(tables, rate, walk)
        step = tables[SLOT_STEP][slot]
        if tables[SLOT_FLAT][slot]:  # once, to the slot's end
            step = slot_end - paid
        steps = (limit - paid + step - 1) // step
        if form & F_SPLIT and paid + steps * step > edge:
            steps -= 1
            walk[W_NUMERATOR] += steps * price
            note_maximum_nb(walk, paid, paid + steps * step, step, price)
            paid += steps * step
            split_step_nb(tables, timing, rates, moving, time_us, before, place, change_us, paid, paid + step, walk)
            note_maximum_nb(walk, paid, paid + step, step, 0)
            paid += step
        else:
            walk[W_NUMERATOR] += steps * price
            note_maximum_nb(walk, paid, paid + steps * step, step, price)
            paid += steps * step
    walk[W_PAID] = paid
    walk[W_TURNS] += turns


@kernel(None, error_model="numpy")
def volume_nb(tables, entry, time_us, total, walk):
    """Count the steps up to `total`; every one of them costs what the slot says where the last one begins."""
    place, band, _ = band_at_nb(tables, tables[ENTRY_TIMING][entry], time_us)
    rate = tables[ENTRY_RATE][tables[ENTRY_RATE_FIRST][entry] + place]
    walk[W_BAND] = band
    walk[W_RATE] = rate
    walk[W_TURNS] += 1
    paid = walk[W_PAID]
    if paid >= total:
        return
    if walk[W_MAXIMUM] == 0:
        total = begin_nb(tables, rate, total, walk)
    paid_step_nb(tables, rate, walk)
    step = tables[SLOT_STEP][tables[RATE_SLOT_FIRST][rate]]
    steps = (total - paid + step - 1) // step
    walk[W_PAID] = paid + steps * step
    walk[W_STEPS] += steps
    slot, _ = slot_at_nb(tables, rate, walk[W_PAID] - step)
    tier = walk[W_STEPS] * tables[SLOT_PRICE][slot]
    walk[W_NUMERATOR] += tier - walk[W_TIER]
    walk[W_TIER] = tier
    if tables[SLOT_PRICE][slot] > 0:
        walk[W_PRICED] = 1
