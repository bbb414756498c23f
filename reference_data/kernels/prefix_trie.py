"""Building and walking the digit-pair trie (`schemas.prefix`)."""

from numba import types

from schemas.jit import I64_IN, I64_OUT, kernel
from schemas.prefix import NO_LEAF, PAIR, ROOT, left_aligned_nb, prefix_leaf_nb

I32_IN = types.Array(types.int32, 1, "C", readonly=True)
I32_OUT = types.int32[::1]


@kernel(types.int64(I64_IN, I64_IN, I32_OUT, I64_OUT))
def build_nb(packed, values, slots, leaves):
    """Fill `slots` from prefixes in order of length; returns slots used, or -1 when `slots` is too small.

    Shorter prefixes first: what a longer one overwrites is its own, and what it opens inherits the shorter match.
    """
    leaves[0] = NO_LEAF
    slots[:ROOT] = ~0
    used = ROOT
    for i in range(packed.size):
        left = left_aligned_nb(packed[i])
        length = 0
        rest = packed[i]
        while rest > 0:
            rest >>= 4
            length += 1
        leaves[i + 1] = values[i] << 4 | length
        # Digits 1 to 4 choose a range of root slots; an absent digit leaves its symbol free.
        start, span = 0, ROOT
        for place in range(min(length, 4)):
            span //= 11
            start += (left >> (56 - 4 * place) & 15) * span
        depth = 4
        while length > depth:
            if slots[start] < 0:  # span is 1 here: open a node that inherits the match
                if used + PAIR > slots.size:
                    return -1
                slots[used : used + PAIR] = slots[start]
                slots[start] = used
                used += PAIR
            node = slots[start]
            high = left >> (56 - 4 * depth) & 15
            start, span = node + high * 11, 11
            if length > depth + 1:
                start += left >> (52 - 4 * depth) & 15
                span = 1
            depth += 2
        slots[start : start + span] = ~(i + 1)
    return used


@kernel(types.void(I64_IN, I32_IN, types.int64, I64_IN, I64_OUT, I64_OUT))
def lookup_nb(packed, slots, root, leaves, value, match_length):
    """Value and length of the longest prefix of each number; -1 and 0 where none matches."""
    for i in range(packed.size):
        leaf = prefix_leaf_nb(packed[i], slots, root, leaves)
        value[i] = leaf >> 4
        match_length[i] = leaf & 15
