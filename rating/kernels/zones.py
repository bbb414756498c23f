"""Zones of called numbers: by a deck, for one event; or for many ahead, step by step, so that their waits overlap."""

import numpy as np

from rating.kernels.layout import C_ENTRY, C_SET, C_SOURCE, C_ZONE, U_PREFIX
from schemas.codes import NumberClass
from schemas.jit import kernel
from schemas.prefix import FIRST_SHIFT, first_slot_nb, left_aligned_nb, next_slot_nb, prefix_leaf_nb

ORDINARY, CLASSES = int(NumberClass.ORDINARY), len(NumberClass)
UNKNOWN_ZONE = 0
# Number classes to the built-in zones unknown, emergency, toll_free, premium, short_code, text.
CLASS_TO_ZONE = (0, 1, 2, 4, 3, 5, 0)
# Columns of the choice until selection fills them: root of the deck (-1: nothing to look up), digits, zone.
ROOT, DIGITS, ZONE = C_ENTRY, C_SET, C_ZONE


@kernel(None, error_model="numpy", forceinline=True)
def is_special_nb(other_class):
    """Whether a number has a zone of its own, whatever its digits."""
    return other_class > ORDINARY and other_class < CLASSES


@kernel(None, error_model="numpy", forceinline=True)
def called_zone_nb(slots, leaves, root, other_class, prefix):
    """Zone of the other party by a deck; special numbers have zones of their own."""
    if is_special_nb(other_class):
        return np.int64(CLASS_TO_ZONE[other_class])
    return prefix_zone_nb(slots, leaves, root, prefix)


@kernel(None, error_model="numpy", forceinline=True)
def prefix_zone_nb(slots, leaves, root, prefix):
    """Zone of a prefix by a deck."""
    if prefix <= 0:
        return np.int64(UNKNOWN_ZONE)
    leaf = prefix_leaf_nb(prefix, slots, root, leaves)
    return leaf >> 4 if leaf >= 0 else np.int64(UNKNOWN_ZONE)


@kernel(None, error_model="numpy", forceinline=True)
def find_zones_nb(usage, choice, first, stop, slots, leaves):
    """Fill choice[ZONE] as `prefix_zone_nb` finds it, where choice[ROOT] says in which deck; prefixes are positive."""
    for at in range(first, stop):
        if choice[ROOT, at] >= 0:
            digits = left_aligned_nb(usage[U_PREFIX, choice[C_SOURCE, at]])
            choice[DIGITS, at] = digits
            choice[ZONE, at] = first_slot_nb(digits, slots, choice[ROOT, at])
        else:
            choice[ZONE, at] = -1
    walking, shift = 1, FIRST_SHIFT
    while walking:
        walking = 0
        for at in range(first, stop):
            if choice[ZONE, at] >= 0:
                choice[ZONE, at] = next_slot_nb(choice[DIGITS, at], slots, choice[ZONE, at], shift)
                walking = 1
        shift -= 8
    for at in range(first, stop):
        if choice[ROOT, at] >= 0:
            leaf = leaves[~choice[ZONE, at]]
            choice[ZONE, at] = leaf >> 4 if leaf >= 0 else UNKNOWN_ZONE
