"""Who pays what is due in money."""

import numpy as np

from rating.kernels.layout import (
    F_ACCOUNT,
    F_CREDIT,
    MONEY,
)
from rating.kernels.postings import put_pair_nb
from schemas.codes import LedgerAccount, PostingReason, Unit
from schemas.jit import kernel
from schemas.tariff_tables import (
    FAMILY_DEBT,
)

BALANCE, REVENUE, UNCOLLECTED = int(LedgerAccount.BALANCE), int(LedgerAccount.REVENUE), int(LedgerAccount.UNCOLLECTED)
CHARGED, DEBT, LOSS = (int(PostingReason.CHARGE), int(PostingReason.UNCOLLECTED_DEBT),
                       int(PostingReason.UNCOLLECTED_LOSS))
TAX, TAXED = int(LedgerAccount.TAX), int(PostingReason.TAX)
MONEY_UNIT = int(Unit.MONEY)


@kernel(None, error_model="numpy", forceinline=True)
def pay_nb(records, profile, row, due):
    """Money that an account, credit included, has for what is due; takes it."""
    paid = min(max(records[row, MONEY] + profile[row, F_CREDIT], np.int64(0)), due)
    records[row, MONEY] -= paid
    return paid


@kernel(None, error_model="numpy", forceinline=True)
def collect_nb(tables, records, profile, family, row, shared, due, currency, time_us, event_hi, event_lo, position,
               posting, posted, index):
    """Collect what is due: own money, then the shared account's; the rest is posted as uncollected.

    Returns (uncollected, posted).
    """
    account = profile[row, F_ACCOUNT]
    if due < 0:  # the price of what was used before has fallen
        records[row, MONEY] -= due
        put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, account, -1, MONEY_UNIT, currency,
                    -due, BALANCE, REVENUE, CHARGED)
        return np.int64(0), posted + 2
    left = due
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
    return left, posted


@kernel(None, error_model="numpy", forceinline=True)
def post_tax_nb(account, tax, currency, time_us, event_hi, event_lo, position, posting, posted, index):
    """Post the tax in a charge from revenue to tax; returns `posted`."""
    if tax == 0:
        return posted
    put_pair_nb(posting, posted, event_hi, event_lo, index, position, time_us, account, -1, MONEY_UNIT, currency,
                -tax, REVENUE, TAX, TAXED)
    return posted + 2
