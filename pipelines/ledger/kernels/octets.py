"""Little-endian words, variable-length integers and bit-packed values into an octet buffer.

All return the place after what they wrote. The caller leaves 8 octets of slack: words are stored whole.
"""

import numpy as np

from schemas.jit import kernel


@kernel(None)
def put_word_nb(out, at, word):
    """Eight octets of an uint64; written out, so that they become one store."""
    place = np.uint64(at)
    out[place] = np.uint8(word)
    out[place + np.uint64(1)] = np.uint8(word >> np.uint64(8))
    out[place + np.uint64(2)] = np.uint8(word >> np.uint64(16))
    out[place + np.uint64(3)] = np.uint8(word >> np.uint64(24))
    out[place + np.uint64(4)] = np.uint8(word >> np.uint64(32))
    out[place + np.uint64(5)] = np.uint8(word >> np.uint64(40))
    out[place + np.uint64(6)] = np.uint8(word >> np.uint64(48))
    out[place + np.uint64(7)] = np.uint8(word >> np.uint64(56))
    return at + 8


@kernel(None)
def put_octet_nb(out, at, octet):
    out[np.uint64(at)] = np.uint8(octet)
    return at + 1


@kernel(None)
def put_varint_nb(out, at, value):
    """ULEB128 of an uint64."""
    while value >= np.uint64(128):
        out[np.uint64(at)] = np.uint8((value & np.uint64(127)) | np.uint64(128))
        value >>= np.uint64(7)
        at += 1
    out[np.uint64(at)] = np.uint8(value)
    return at + 1


@kernel(None)
def put_zigzag_nb(out, at, value):
    """ULEB128 of an int64 whose sign is in the lowest bit: Thrift's i32 and i64, Parquet's first value and deltas."""
    return put_varint_nb(out, at, np.uint64((value << 1) ^ (value >> 63)))


@kernel(None)
def bits_nb(value):
    """Bits that an uint64 needs, 0 to 64."""
    found = 0
    while value != np.uint64(0):
        value >>= np.uint64(1)
        found += 1
    return found


@kernel(None)
def pack_nb(values, start, stop, width, out, at):
    """values[start:stop] (uint64, below 2^width), lowest bit first; the last octet filled up with zeros."""
    word, filled = np.uint64(0), 0
    for i in range(start, stop):
        value = values[np.uint64(i)]
        word |= value << np.uint64(filled)
        filled += width
        if filled >= 64:
            put_word_nb(out, at, word)
            at += 8
            filled -= 64
            word = value >> np.uint64(width - filled) if filled else np.uint64(0)
    if filled:
        put_word_nb(out, at, word)
        at += (filled + 7) >> 3
    return at
