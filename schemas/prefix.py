"""Longest prefix of packed digits: the walk that number plan, porting and rating decks share.

A trie of digit pairs, the first step over four digits, eleven symbols a digit (its end, or 0 to 9). Every slot
holds either the offset of a child node (>= 0) or, as ~leaf, the longest match so far (pushed down to all slots
below it), so that a walk never turns back. A leaf is `value << 4 | match length`. `reference_data.prefix_trie`
builds it; the walk is here because rating's kernels may not see reference data.
"""

from schemas.jit import kernel

PAIR = 11 * 11           # slots of a node
ROOT = PAIR * PAIR       # slots of the root: four digits
FIRST_SHIFT = 40         # of the digits behind the first four
NO_LEAF = -16            # value -1, match length 0


@kernel(None)
def left_aligned_nb(packed):  # type: ignore[no-untyped-def]
    """Packed digits with the first digit in bits 56 to 59, zeros behind; 0 for none or ABSENT."""
    if packed <= 0:
        return 0
    if packed < 1 << 28:
        packed <<= 32
    if packed < 1 << 44:
        packed <<= 16
    if packed < 1 << 52:
        packed <<= 8
    if packed < 1 << 56:
        packed <<= 4
    return packed


@kernel(None)
def _symbol_nb(nibble):  # type: ignore[no-untyped-def]
    """0 for the end of the number and for `*`, `#`, `a`, `b`, `c`, which end a match."""
    return nibble if nibble <= 10 else 0


@kernel(None)
def first_slot_nb(left, slots, root):  # type: ignore[no-untyped-def]
    """Slot of the first four of left-aligned digits: below zero ~leaf, else the node of the next two."""
    high = _symbol_nb(left >> 56 & 15) * 11 + _symbol_nb(left >> 52 & 15)
    low = _symbol_nb(left >> 48 & 15) * 11 + _symbol_nb(left >> 44 & 15)
    return slots[root + high * PAIR + low]


@kernel(None)
def next_slot_nb(left, slots, node, shift):  # type: ignore[no-untyped-def]
    """Slot of the two digits at a shift, in a node; the next two are 8 bits lower."""
    pair = _symbol_nb(left >> shift & 15) * 11
    if shift >= 4:
        pair += _symbol_nb(left >> (shift - 4) & 15)
    return slots[node + pair]


@kernel(None)
def prefix_leaf_nb(packed, slots, root, leaves):  # type: ignore[no-untyped-def]
    """Leaf of the longest prefix of `packed` in the trie at slots[root:]: `value << 4 | length`, or NO_LEAF.

    `slots` int32, `leaves` int64, `root` the offset of the trie in `slots`.
    """
    left = left_aligned_nb(packed)
    slot = first_slot_nb(left, slots, root)
    shift = FIRST_SHIFT
    while slot >= 0:
        slot = next_slot_nb(left, slots, slot, shift)
        shift -= 8
    return leaves[~slot]
