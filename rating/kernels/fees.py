"""Fees: debited from an account's money, then from the account that it shares; the rest is uncollected."""

from numba import types

from rating.kernels.layout import CELLS_IN, CELLS_OUT, F_ACCOUNT, F_SHARED, G_NEXT, G_POSTED, I64_IN, I64_OUT
from rating.kernels.pay import BALANCE, MONEY_UNIT, TAX, TAXED, UNCOLLECTED, pay_nb
from rating.kernels.postings import put_pair_nb
from rating.kernels.select import plan_at_nb
from schemas.codes import LedgerAccount, PostingReason
from schemas.jit import kernel

FEES, FEE = int(LedgerAccount.FEES), int(PostingReason.FEE)
FEE_DEBT, FEE_LOSS = int(PostingReason.FEE_UNCOLLECTED_DEBT), int(PostingReason.FEE_UNCOLLECTED_LOSS)
FIRST_INDEX = 1 << 14  # of fees among the postings of a clock command: behind what expired
ROWS = 8  # postings of a fee at most


@kernel(types.void(CELLS_OUT, CELLS_IN, CELLS_IN, types.int64, types.int64, types.int64, CELLS_OUT, I64_OUT),
        error_model="numpy")
def debit_fees_nb(records, profile, fees, movement_hi, movement_lo, position, posting, progress):
    """Debit fees (n, 7) from progress[G_NEXT] until `posting` is full; of an account they are one movement.

    fees: account row, nanos, currency label, time, debt (1) or loss (0), place among the account's fees, tax in it.
    """
    while progress[G_NEXT] < fees.shape[0]:
        k = progress[G_NEXT]
        if progress[G_POSTED] + ROWS > posting.shape[1]:
            return
        row, left, currency, time_us = fees[k, 0], fees[k, 1], fees[k, 2], fees[k, 3]
        account = profile[row, F_ACCOUNT]
        lo = movement_lo ^ account
        index = FIRST_INDEX + ROWS * fees[k, 5]
        for side in range(2):
            payer = row if side == 0 else profile[row, F_SHARED]
            if left > 0 and payer >= 0:
                paid = pay_nb(records, profile, payer, left)
                if paid > 0:
                    put_pair_nb(posting, progress[G_POSTED], movement_hi, lo, index, position, time_us,
                                profile[payer, F_ACCOUNT], -1, MONEY_UNIT, currency, -paid, BALANCE, FEES, FEE)
                    progress[G_POSTED] += 2
                    index += 2
                    left -= paid
        if left > 0:
            put_pair_nb(posting, progress[G_POSTED], movement_hi, lo, index, position, time_us, account, -1,
                        MONEY_UNIT, currency, -left, UNCOLLECTED, FEES, FEE_DEBT if fees[k, 4] == 1 else FEE_LOSS)
            progress[G_POSTED] += 2
            index += 2
        if fees[k, 6] != 0:
            put_pair_nb(posting, progress[G_POSTED], movement_hi, lo, index, position, time_us, account, -1,
                        MONEY_UNIT, currency, -fees[k, 6], FEES, TAX, TAXED)
            progress[G_POSTED] += 2
        progress[G_NEXT] = k + 1


@kernel(types.void(CELLS_IN, CELLS_IN, I64_IN, types.int64, I64_OUT), error_model="numpy")
def plans_at_nb(profile, nodes, rows, time_us, plans):
    """Main plan of accounts at an instant, -1 for none."""
    for i in range(rows.size):
        plans[i] = plan_at_nb(profile, nodes, rows[i], time_us)
