"""Tokens of identities, the table of those already seen, and the table of names that become labels."""

import numpy as np
from numba import types

from schemas.addresses import address_value_nb
from schemas.codes import Identity, NumberClass
from schemas.hashing import bytes_hash_nb, token_nb
from schemas.jit import CELLS_OUT, I64_IN, I64_OUT, U8_IN, U8_OUT, kernel

ABSENT = -1
TOKEN, IDENTITY, VALUE = range(3)  # columns of the table of tokens seen
_TEXT, _TEXT_CLASS = int(Identity.TEXT), int(NumberClass.TEXT)
_WORD_SEED = np.uint64(0x2545F4914F6CDD1D)


@kernel(types.void(I64_IN, types.int64, types.uint64, types.uint64, I64_OUT))
def tokens_nb(value, identity, k0, k1, token):
    """Tokens of one kind of identity; ABSENT and empty values have none."""
    for i in range(value.size):
        token[i] = token_nb(k0, k1, identity, value[i]) if value[i] > 0 else ABSENT


@kernel(types.void(I64_IN, I64_IN, types.int64, types.uint64, types.uint64, I64_OUT, I64_OUT))
def number_tokens_nb(value, number_class, identity, k0, k1, token, kind):
    """Tokens of numbers, some of which are texts; `kind` is the `Identity` of each."""
    for i in range(value.size):
        kind[i] = _TEXT if number_class[i] == _TEXT_CLASS else identity
        token[i] = token_nb(k0, k1, kind[i], value[i]) if value[i] > 0 else ABSENT


@kernel(types.void(U8_IN, I64_IN, I64_IN, I64_OUT, I64_OUT))
def addresses_nb(buffer, raw, is_text, value, text):
    """Values of IP addresses; `text` refers to those whose value is a hash. Unreadable ones are ABSENT."""
    for i in range(raw.size):
        text[i] = ABSENT
        value[i] = raw[i]
        if is_text[i] == 1 and raw[i] != ABSENT:
            value[i] = address_value_nb(buffer, raw[i] >> 16, raw[i] & 0xFFFF)
            if value[i] >= 1 << 32:
                text[i] = raw[i]


@kernel(types.int64(I64_IN, I64_IN, I64_IN, CELLS_OUT, I64_OUT, U8_OUT))
def remember_nb(token, identity, value, seen, new, collides):
    """Enter tokens into the open-addressed table `seen` (capacity a power of two, rows of token, identity, value).

    new: rows of the batch that brought a token not seen before; their number is returned. collides: 1 where the
    table has the token for another value. The caller keeps the table at most half full.
    """
    mask = seen.shape[0] - 1
    count = 0
    for i in range(token.size):
        if token[i] == ABSENT:
            continue
        slot = token[i] & mask
        while seen[slot, TOKEN] != ABSENT and seen[slot, TOKEN] != token[i]:
            slot = slot + 1 & mask
        if seen[slot, TOKEN] == ABSENT:
            seen[slot, TOKEN], seen[slot, IDENTITY], seen[slot, VALUE] = token[i], identity[i], value[i]
            new[count] = i
            count += 1
        elif seen[slot, VALUE] != value[i] or seen[slot, IDENTITY] != identity[i]:
            collides[i] = 1
    return count


@kernel(types.int64(U8_IN, I64_IN, U8_IN, I64_IN, I64_IN, I64_OUT, I64_OUT))
def words_nb(buffer, reference, pool, pool_offsets, slots, label, fresh):
    """Label of every text by exact comparison with the words known (`pool`, cut at `pool_offsets`).

    slots: open-addressed table of word numbers, ABSENT where free. Rows whose word is not known are listed in `fresh`;
    their number is returned.
    """
    mask = slots.size - 1
    missing = 0
    for i in range(reference.size):
        label[i] = ABSENT
        if reference[i] == ABSENT:
            continue
        start, length = reference[i] >> 16, reference[i] & 0xFFFF
        slot = np.int64(bytes_hash_nb(buffer, start, length, _WORD_SEED) & np.uint64(mask))
        found = ABSENT
        while slots[slot] != ABSENT and found == ABSENT:
            word = slots[slot]
            begin = pool_offsets[word]
            if pool_offsets[word + 1] - begin == length:
                same = True
                for j in range(length):
                    if pool[begin + j] != buffer[start + j]:
                        same = False
                        break
                if same:
                    found = word
            slot = slot + 1 & mask
        if found == ABSENT:
            fresh[missing] = i
            missing += 1
        label[i] = found
    return missing


@kernel(types.uint64(U8_IN))
def word_hash_nb(word):
    """Hash by which `words_nb` looks a word up."""
    return bytes_hash_nb(word, 0, word.size, _WORD_SEED)
