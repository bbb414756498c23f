"""The laws that every block is held to, in one pass over the columns that they are about."""

import numpy as np
from numba import types

from schemas.codes import LedgerAccount
from schemas.columns import ABSENT
from schemas.jit import CELLS_OUT, I64_IN, I64_OUT, kernel

REVENUE, TAX, UNCOLLECTED = int(LedgerAccount.REVENUE), int(LedgerAccount.TAX), int(LedgerAccount.UNCOLLECTED)
# Sums are in two limbs, of the upper and the lower 32 bits, so that none of fewer than 2^31 rows overflows.
_LOWER = 0xFFFFFFFF


@kernel(types.boolean(I64_IN, I64_IN, I64_IN), error_model="numpy")
def balanced_nb(amount, unit, currency):
    """Whether every two rows are of one unit and currency and sum to zero, and none is of nothing."""
    wrong = amount.size & 1
    for pair in range(amount.size >> 1):
        one, other = 2 * pair, 2 * pair + 1
        wrong |= (amount[one] + amount[other]) | (unit[one] ^ unit[other]) | (currency[one] ^ currency[other])
        wrong |= amount[one] == 0
    return wrong == 0


@kernel(types.void(I64_IN, I64_IN, I64_OUT), error_model="numpy")
def posted_nb(amount, ledger_account, sums):
    """Limbs of what was posted: revenue, tax included; tax; uncollected."""
    revenue, revenue_low, tax, tax_low, lost, lost_low = 0, 0, 0, 0, 0, 0
    for i in range(amount.size):
        upper, lower, account = amount[i] >> 32, amount[i] & _LOWER, ledger_account[i]
        revenue += upper if account == REVENUE or account == TAX else 0
        revenue_low += lower if account == REVENUE or account == TAX else 0
        tax += upper if account == TAX else 0
        tax_low += lower if account == TAX else 0
        lost += upper if account == UNCOLLECTED else 0
        lost_low += lower if account == UNCOLLECTED else 0
    sums[0], sums[1], sums[2], sums[3], sums[4], sums[5] = revenue, revenue_low, tax, tax_low, lost, lost_low


@kernel(types.int64(I64_IN, I64_IN, I64_IN, I64_IN, I64_OUT), error_model="numpy")
def rated_nb(leg, charge, tax, uncollected, sums):
    """Limbs of what was rated: charges, tax, uncollected. Returns the events, of which legs are none."""
    events = 0
    charged, charged_low, taxed, taxed_low, lost, lost_low = 0, 0, 0, 0, 0, 0
    for i in range(leg.size):
        events += leg[i] == 0
        charged += charge[i] >> 32
        charged_low += charge[i] & _LOWER
        taxed += 0 if tax[i] == ABSENT else tax[i] >> 32
        taxed_low += 0 if tax[i] == ABSENT else tax[i] & _LOWER
        lost += uncollected[i] >> 32
        lost_low += uncollected[i] & _LOWER
    sums[0], sums[1], sums[2], sums[3], sums[4], sums[5] = charged, charged_low, taxed, taxed_low, lost, lost_low
    return events


@kernel(types.int64(I64_IN, I64_IN, I64_IN, I64_IN, I64_IN, I64_IN, I64_IN, I64_IN, CELLS_OUT), error_model="numpy")
def agree_nb(leg, charge, tax, uncollected, amount, unit, currency, ledger_account, limbs):
    """Limbs of what was rated and of what was posted, the lower ones within 32 bits: equal sums are equal limbs.

    Returns the events, -1 where a movement is not balanced. limbs (2, 6), rated and posted: charges or revenue, tax,
    uncollected, each its upper and lower limb.
    """
    rated, posted = limbs[0], limbs[1]
    if not balanced_nb(amount, unit, currency):
        return np.int64(-1)
    events = rated_nb(leg, charge, tax, uncollected, rated)
    posted_nb(amount, ledger_account, posted)
    posted[4], posted[5] = -posted[4], -posted[5]
    for place in range(0, 6, 2):
        rated[place] += rated[place + 1] >> 32
        rated[place + 1] &= _LOWER
        posted[place] += posted[place + 1] >> 32
        posted[place + 1] &= _LOWER
    return events
