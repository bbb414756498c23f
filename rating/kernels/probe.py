"""What memory alone costs: one random record and profile an event, read and written back."""

from numba import types

from rating.kernels.layout import F_CREDIT, MONEY
from schemas.jit import CELLS_OUT, I64_IN, kernel


@kernel(types.int64(I64_IN, CELLS_OUT, CELLS_OUT, types.int64), error_model="numpy")
def probe_nb(rows, records, profile, amount):
    """Add `amount` to the money of each row, in order; returns the sum of the credit limits met."""
    met = 0
    for i in range(rows.size):
        records[rows[i], MONEY] += amount
        met += profile[rows[i], F_CREDIT]
    return met
