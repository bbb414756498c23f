"""Text, written forwards: octets and digits as characters. Each function returns the new position."""

from numba import types

from schemas.jit import U8_IN, U8_OUT, kernel
from schemas.written import number_nb

I64 = types.int64


@kernel(I64(U8_OUT, I64, U8_IN))
def put_nb(out, q, text):
    """Octets as they are."""
    for i in range(text.size):
        out[q + i] = text[i]
    return q + text.size


@kernel(I64(U8_OUT, I64, I64, I64))
def hex_nb(out, q, value, width):
    """A number in `width` hexadecimal digits."""
    for place in range(width - 1, -1, -1):
        digit = value & 15
        out[q + place] = 48 + digit if digit < 10 else 87 + digit
        value >>= 4
    return q + width


@kernel(I64(U8_OUT, I64, I64))
def packed_nb(out, q, packed):
    """Packed digits."""
    width, rest = 0, packed
    while rest > 0:
        rest >>= 4
        width += 1
    for place in range(width - 1, -1, -1):
        out[q + place] = 47 + (packed & 15)
        packed >>= 4
    return q + width


@kernel(I64(U8_OUT, I64, I64))
def dotted_nb(out, q, address):
    """An IPv4 address."""
    for shift in (24, 16, 8, 0):
        q = number_nb(out, q, address >> shift & 255)
        if shift:
            out[q] = 46
            q += 1
    return q
