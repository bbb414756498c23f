"""Row hashes: each row folded column by column into 128 bits, and their sum modulo 2^128."""

import numpy as np
from numba import types

from schemas.hashing import absorb_hi_nb, absorb_lo_nb, mix_nb
from schemas.jit import kernel

U64 = types.uint64[::1]
I64_IN = types.Array(types.int64, 1, "C", readonly=True)
U8_IN = types.Array(types.uint8, 1, "C", readonly=True)


@kernel(types.void(U64, U64, I64_IN, U8_IN, types.int64))
def fold_column_nb(hi, lo, values, present, salt):  # type: ignore[no-untyped-def]
    """Fold one column into the row states hi, lo. Absent values change nothing: a column of nulls is no column.

    salt: hash of the column's name, so that equal values in different columns differ.
    """
    for i in range(values.size):
        if present[i]:
            hi[i] = absorb_hi_nb(absorb_hi_nb(hi[i], salt), values[i])
            lo[i] = absorb_lo_nb(absorb_lo_nb(lo[i], salt), values[i])


@kernel(types.void(U64, U64, U64))
def sum_rows_nb(hi, lo, total):  # type: ignore[no-untyped-def]
    """Add the rows' hashes to `total` (upper, lower half), modulo 2^128. A sum, since XOR would hide doubles."""
    for i in range(hi.size):
        low = mix_nb(lo[i])
        before = total[1]
        total[1] = before + low
        carry = np.uint64(1) if total[1] < before else np.uint64(0)
        total[0] = total[0] + mix_nb(hi[i]) + carry
