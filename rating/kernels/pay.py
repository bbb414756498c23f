"""Who pays what is due in money."""

import numpy as np

from rating.kernels.calendar import band_at_nb
from rating.kernels.candidates import is_last_nb
from rating.kernels.layout import (
    F_ACCOUNT,
    F_CREDIT,
    K_BUCKET,
    K_DEFINITION,
    K_FORM,
    K_PLACE,
    K_ROW,
    MONEY,
    S_REMAINING,
    SLOTS,
)
from rating.kernels.postings import put_pair_nb
from schemas.codes import LedgerAccount, PostingReason, Unit
from schemas.jit import kernel
from schemas.tariff_tables import A_BANDS, A_BLOCKING, A_MONEY, DEFINITION_BANDS, DEFINITION_TIMING, FAMILY_DEBT

BALANCE, REVENUE, UNCOLLECTED = int(LedgerAccount.BALANCE), int(LedgerAccount.REVENUE), int(LedgerAccount.UNCOLLECTED)
CHARGED, DEBT, LOSS = (int(PostingReason.CHARGE), int(PostingReason.UNCOLLECTED_DEBT),
                       int(PostingReason.UNCOLLECTED_LOSS))
ALLOWANCE, BLOCKED = int(LedgerAccount.ALLOWANCE), int(PostingReason.UNCOLLECTED_BLOCKED)
TAX, TAXED = int(LedgerAccount.TAX), int(PostingReason.TAX)
MONEY_UNIT = int(Unit.MONEY)


@kernel(None, error_model="numpy", forceinline=True)
def pay_nb(records, profile, row, due):
    """Money that an account, credit included, has for what is due; takes it."""
    paid = min(max(records[row, MONEY] + profile[row, F_CREDIT], np.int64(0)), due)
    records[row, MONEY] -= paid
    return paid


@kernel(None, error_model="numpy")
def pay_from_buckets_nb(tables, records, profile, spill, candidates, count, due, currency, time_us, event_hi, event_lo,
                        position, posting, posted, index):
    """Pay from buckets of money, in their order, of bands that hold at the usage's time.

    Returns (what is left to be paid, what a used-up bucket blocks of it, posted).
    """
    for c in range(count):
        if candidates[c, K_FORM] & A_MONEY == 0:
            continue
        definition = candidates[c, K_DEFINITION]
        if candidates[c, K_FORM] & A_BANDS:
            place, _, _ = band_at_nb(tables, tables[DEFINITION_TIMING][definition], time_us)
            if tables[DEFINITION_BANDS][definition] >> place & 1 == 0:
                continue
        row, place = candidates[c, K_ROW], candidates[c, K_PLACE]
        paid = min(records[row, place] if place < SLOTS else spill[place - SLOTS, S_REMAINING], due)
        if paid > 0:
            if place < SLOTS:
                records[row, place] -= paid
            else:
                spill[place - SLOTS, S_REMAINING] -= paid
            put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, profile[row, F_ACCOUNT],
                        candidates[c, K_BUCKET], MONEY_UNIT, currency, -paid, ALLOWANCE, REVENUE, CHARGED)
            posted += 2
            index += 2
            due -= paid
        if due == 0:
            break
        if candidates[c, K_FORM] & A_BLOCKING and is_last_nb(candidates, count, c):
            return np.int64(0), due, posted
    return due, np.int64(0), posted


@kernel(None, error_model="numpy", forceinline=True)
def collect_nb(tables, records, profile, spill, candidates, count, forms, family, row, shared, due, blocked, currency,
               time_us, event_hi, event_lo, position, posting, posted, index):
    """Collect what is due: buckets of money, own money, then the shared account's; the rest is uncollected.

    blocked: the part of it that lies behind a used-up bucket which blocks. Returns (uncollected, posted).
    """
    account = profile[row, F_ACCOUNT]
    first = posted - index
    if due < 0:  # the price of what was used before has fallen
        records[row, MONEY] -= due
        put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, account, -1, MONEY_UNIT, currency,
                    -due, BALANCE, REVENUE, CHARGED)
        return np.int64(0), posted + 2
    left = due - blocked
    if left > 0 and forms & A_MONEY:
        left, paid, posted = pay_from_buckets_nb(tables, records, profile, spill, candidates, count, left, currency,
                                                 time_us, event_hi, event_lo, position, posting, posted, index)
        blocked += paid
        index = posted - first
    if left > 0:
        paid = pay_nb(records, profile, row, left)
        if paid > 0:
            put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, account, -1, MONEY_UNIT,
                        currency, -paid, BALANCE, REVENUE, CHARGED)
            posted += 2
            index += 2
            left -= paid
        if left > 0 and shared >= 0:
            paid = pay_nb(records, profile, shared, left)
            if paid > 0:
                put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us,
                            profile[shared, F_ACCOUNT], -1, MONEY_UNIT, currency, -paid, BALANCE, REVENUE, CHARGED)
                posted += 2
                index += 2
                left -= paid
        if left > 0:
            put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, account, -1, MONEY_UNIT,
                        currency, -left, UNCOLLECTED, REVENUE, DEBT if tables[FAMILY_DEBT][family] else LOSS)
            posted += 2
            index += 2
    if blocked > 0:
        put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, account, -1, MONEY_UNIT, currency,
                    -blocked, UNCOLLECTED, REVENUE, BLOCKED)
        posted += 2
    return left + blocked, posted


@kernel(None, error_model="numpy", forceinline=True)
def post_tax_nb(account, tax, currency, time_us, event_hi, event_lo, position, posting, posted, index):
    """Post the tax in a charge from revenue to tax; returns `posted`."""
    if tax == 0:
        return posted
    put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, account, -1, MONEY_UNIT, currency,
                -tax, REVENUE, TAX, TAXED)
    return posted + 2
