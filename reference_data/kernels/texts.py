"""Arrow strings to values and hashes."""

import numpy as np
from numba import types

from schemas.addresses import address_value_nb
from schemas.codes import Identity
from schemas.hashing import absorb_hi_nb, absorb_lo_nb, bytes_hash_nb, token_nb
from schemas.jit import I64_IN, I64_OUT, U8_IN, U64_OUT, kernel

_IP_ADDRESS = int(Identity.IP_ADDRESS)
BAD_VALUE = -1


@kernel(types.void(U8_IN, I64_IN, I64_IN, types.uint64, types.uint64, I64_OUT))
def tokens_nb(text, offsets, kind, k0, k1, token):
    """Token of every value: digits (a leading + is dropped), or an IP address; BAD_VALUE if it is neither."""
    for i in range(kind.size):
        start, stop = offsets[i], offsets[i + 1]
        value = np.int64(0)
        if kind[i] == _IP_ADDRESS:
            value = address_value_nb(text, start, stop - start)
        else:
            if start < stop and text[start] == 43:
                start += 1
            if stop == start or stop - start > 15:
                value = np.int64(BAD_VALUE)
            for j in range(start, stop):
                digit = np.int64(text[j]) - 48
                if value < 0 or digit < 0 or digit > 9:
                    value = np.int64(BAD_VALUE)
                    break
                value = value << 4 | digit + 1
        token[i] = BAD_VALUE if value < 0 else token_nb(k0, k1, kind[i], value)


@kernel(types.void(I64_IN, U64_OUT, U64_OUT))
def absorb_numbers_nb(values, hi, lo):
    """Fold a column of numbers into the hash of every row."""
    for i in range(values.size):
        hi[i] = absorb_hi_nb(hi[i], values[i])
        lo[i] = absorb_lo_nb(lo[i], values[i])


@kernel(types.void(U8_IN, I64_IN, U64_OUT, U64_OUT))
def absorb_texts_nb(text, offsets, hi, lo):
    """Fold a column of strings into the hash of every row."""
    for i in range(hi.size):
        start, length = offsets[i], offsets[i + 1] - offsets[i]
        hi[i] = bytes_hash_nb(text, start, length, hi[i])
        lo[i] = bytes_hash_nb(text, start, length, lo[i])
