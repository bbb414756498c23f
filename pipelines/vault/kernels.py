"""Comparison hashes of vault entries: tell whether two values are the same without decrypting either."""

import numpy as np
from numba import types

from schemas.hashing import bytes_hash_nb, siphash_words_nb
from schemas.jit import I64_IN, I64_OUT, U8_IN, U64_OUT, kernel


@kernel(types.void(types.uint64, types.uint64, U8_IN, I64_IN, I64_IN, U8_IN, U64_OUT))
def comparison_nb(k0, k1, identity, value, text_end, text, comparison):  # type: ignore[no-untyped-def]
    """SipHash of kind, value and text of each row under the vault's own key. Writes every row."""
    start = 0
    for i in range(identity.size):
        length = text_end[i] - start
        kind = np.uint64(identity[i])
        if length > 0:
            kind |= bytes_hash_nb(text, start, length, k1) << np.uint64(8)
        comparison[i] = siphash_words_nb(k0, k1, kind, np.uint64(value[i]))
        start = text_end[i]


@kernel(types.int64(I64_IN, U8_IN, I64_IN, I64_IN, I64_IN, U8_IN, I64_IN, I64_OUT))
def unseen_nb(token, identity, value, text_end, cache_token, cache_identity, cache_value, rows):  # type: ignore[no-untyped-def]
    """Rows whose (token, identity, value) the cache does not hold: their numbers go to `rows`; returns how many.

    The cache has 2^k slots, a slot is chosen by the token's low bits. Rows with text are always returned.
    """
    found = 0
    mask = cache_token.size - 1
    start = 0
    for i in range(token.size):
        slot = token[i] & mask
        if (cache_token[slot] != token[i] or cache_value[slot] != value[i] or cache_identity[slot] != identity[i]
                or text_end[i] != start):
            rows[found] = i
            found += 1
        start = text_end[i]
    return found
