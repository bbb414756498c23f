"""Double entry: every movement leg is two rows that sum to zero, the customer's side first."""

from rating.kernels.layout import (
    P_ACCOUNT,
    P_AMOUNT,
    P_BUCKET,
    P_CURRENCY,
    P_HI,
    P_INDEX,
    P_LEDGER,
    P_LO,
    P_POSITION,
    P_REASON,
    P_TIME,
    P_UNIT,
)
from schemas.jit import kernel


@kernel(None, error_model="numpy")
def put_pair_nb(posting, row, movement_hi, movement_lo, index, position, time_us, account, bucket, unit, currency,
                amount, customer_side, operator_side, reason):
    """Write rows `row` and `row + 1`: `amount` to the customer's side, its negative to the operator's."""
    for half in range(2):
        at = row + half
        posting[P_HI, at] = movement_hi
        posting[P_LO, at] = movement_lo
        posting[P_INDEX, at] = index + half
        posting[P_POSITION, at] = position
        posting[P_TIME, at] = time_us
        posting[P_ACCOUNT, at] = account
        posting[P_LEDGER, at] = customer_side if half == 0 else operator_side
        posting[P_BUCKET, at] = bucket if half == 0 else -1
        posting[P_UNIT, at] = unit
        posting[P_CURRENCY, at] = currency
        posting[P_AMOUNT, at] = amount if half == 0 else -amount
        posting[P_REASON, at] = reason
