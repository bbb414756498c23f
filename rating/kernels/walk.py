"""The walk of a session: from where it was paid up to, until its new total.

At each position the band of that moment gives the rate and the slot gives the price; allowances cover units first,
the rest is paid in whole steps. A step belongs where it begins, and may reach beyond the report that began it: the
next report starts where it ends. So the walk does the same whatever the reports are. Work grows with slots and
boundaries crossed, never with units.
"""

from rating.kernels.calendar import NEVER_US, SECOND_US, band_at_nb, last_at_most_nb
from rating.kernels.candidates import take_nb
from rating.kernels.layout import (
    W_ALLOWANCE,
    W_BAND,
    W_CONNECT,
    W_CONNECTED,
    W_MINIMUM,
    W_NUMERATOR,
    W_PAID,
    W_PRICED,
    W_RATE,
)
from schemas.codes import Unit
from schemas.jit import kernel
from schemas.tariff_tables import (
    ENTRY_RATE,
    ENTRY_RATE_FIRST,
    ENTRY_TIMING,
    RATE_CONNECT,
    RATE_MINIMUM,
    RATE_SLOT_FIRST,
    SLOT_FROM,
    SLOT_PRICE,
    SLOT_STEP,
)

SECOND = int(Unit.SECOND)


@kernel(None, error_model="numpy", forceinline=True)
def walk_nb(tables, entry, unit, time_us, before, total, records, spill, candidates, count, walk):
    """Take a session from walk[W_PAID] to `total` units; `before` of them came in earlier reports.

    `walk` holds the state of the session's price and is moved on; buckets are debited, money is not.
    """
    timing, rates = tables[ENTRY_TIMING][entry], tables[ENTRY_RATE_FIRST][entry]
    paid = walk[W_PAID]
    place, band, change_us = band_at_nb(tables, timing, time_us)
    walk[W_BAND] = band
    walk[W_RATE] = tables[ENTRY_RATE][rates + place]
    moving = unit == SECOND and change_us != NEVER_US
    while paid < total:
        limit = total
        if moving:
            # The unit at position p is used at time_us + (p - before) seconds.
            now_us = time_us + (paid - before) * SECOND_US
            if now_us >= change_us:
                place, band, change_us = band_at_nb(tables, timing, now_us)
            limit = min(limit, paid + -((now_us - change_us) // SECOND_US))
        rate = tables[ENTRY_RATE][rates + place]
        last = tables[RATE_SLOT_FIRST][rate + 1]
        slot = tables[RATE_SLOT_FIRST][rate]
        if last - slot > 1:
            slot = last_at_most_nb(tables[SLOT_FROM], slot, last, paid)
            if slot + 1 < last:
                limit = min(limit, tables[SLOT_FROM][slot + 1])
        price = tables[SLOT_PRICE][slot]
        if price > 0:
            walk[W_PRICED] = 1
            if count > 0:
                covered = take_nb(records, spill, candidates, count, limit - paid)
                walk[W_ALLOWANCE] += covered
                paid += covered
                if paid >= limit:
                    continue
        step = tables[SLOT_STEP][slot]
        steps = (limit - paid + step - 1) // step
        paid += steps * step
        walk[W_NUMERATOR] += steps * price
        walk[W_MINIMUM] = max(walk[W_MINIMUM], tables[RATE_MINIMUM][rate])
        if walk[W_CONNECTED] == 0:
            walk[W_CONNECTED] = 1
            walk[W_CONNECT] = tables[RATE_CONNECT][rate]
            walk[W_NUMERATOR] += tables[RATE_CONNECT][rate]
    walk[W_PAID] = paid
