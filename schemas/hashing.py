"""Hashes for kernels: 128 bits for identities, SipHash-2-4 for tokens.

Identities (event, session and record keys) need spread, not secrecy; tokens need a key, since numbers are few
enough to try them all. SipHash: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
"""

import numpy as np
from numba import types

from schemas.jit import kernel

_M1 = np.uint64(0xFF51AFD7ED558CCD)  # MurmurHash3 finaliser constants (public domain)
_M2 = np.uint64(0xC4CEB9FE1A85EC53)
_P1 = np.uint64(0x9E3779B97F4A7C15)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_S33, _S27, _S31, _S32 = np.uint64(33), np.uint64(27), np.uint64(31), np.uint64(32)
_MASK63 = np.uint64(0x7FFFFFFFFFFFFFFF)


@kernel(types.uint64(types.uint64))
def mix_nb(x):  # type: ignore[no-untyped-def]
    """Bijective finaliser of 64 bits."""
    x ^= x >> _S33
    x *= _M1
    x ^= x >> _S33
    x *= _M2
    x ^= x >> _S33
    return x


@kernel(types.uint64(types.uint64, types.int64))
def absorb_hi_nb(state, value):  # type: ignore[no-untyped-def]
    """One step of the upper half: fold `value` into `state`."""
    return mix_nb((state ^ np.uint64(value)) * _P1 + _P2)


@kernel(types.uint64(types.uint64, types.int64))
def absorb_lo_nb(state, value):  # type: ignore[no-untyped-def]
    """One step of the lower half; independent of the upper."""
    return mix_nb((state + np.uint64(value)) * _P2 ^ (state << _S27 | state >> np.uint64(37))) + _P1


@kernel(types.uint64(types.Array(types.uint8, 1, "C", readonly=True), types.int64, types.int64, types.uint64))
def bytes_hash_nb(buffer, start, length, seed):  # type: ignore[no-untyped-def]
    """64-bit hash of buffer[start:start + length]. Two seeds give two independent halves."""
    state = mix_nb(seed ^ np.uint64(length))
    word = np.uint64(0)
    shift = np.uint64(0)
    for i in range(start, start + length):
        word |= np.uint64(buffer[i]) << shift
        shift += np.uint64(8)
        if shift == np.uint64(64):
            state = mix_nb((state ^ word) * _P1 + _P2)
            word = np.uint64(0)
            shift = np.uint64(0)
    return mix_nb((state ^ word) * _P1 + _P2 + shift)


@kernel(None)
def _rotl(x, b):  # type: ignore[no-untyped-def]
    return (x << np.uint64(b)) | (x >> np.uint64(64 - b))


@kernel(None)
def _round(v0, v1, v2, v3):  # type: ignore[no-untyped-def]
    v0 = v0 + v1
    v2 = v2 + v3
    v1 = _rotl(v1, 13) ^ v0
    v3 = _rotl(v3, 16) ^ v2
    v0 = _rotl(v0, 32)
    v2 = v2 + v1
    v0 = v0 + v3
    v1 = _rotl(v1, 17) ^ v2
    v3 = _rotl(v3, 21) ^ v0
    v2 = _rotl(v2, 32)
    return v0, v1, v2, v3


@kernel(types.uint64(types.uint64, types.uint64, types.uint64, types.uint64))
def siphash_words_nb(k0, k1, first, second):  # type: ignore[no-untyped-def]
    """SipHash-2-4 of the 16 bytes `first`, `second` (little endian) under the key (k0, k1)."""
    v0 = np.uint64(0x736F6D6570736575) ^ k0
    v1 = np.uint64(0x646F72616E646F6D) ^ k1
    v2 = np.uint64(0x6C7967656E657261) ^ k0
    v3 = np.uint64(0x7465646279746573) ^ k1
    for word in (first, second, np.uint64(16) << np.uint64(56)):
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
    v2 ^= np.uint64(0xFF)
    for _ in range(4):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@kernel(types.int64(types.uint64, types.uint64, types.int64, types.int64))
def token_nb(k0, k1, identity, value):  # type: ignore[no-untyped-def]
    """Token of a value of kind `identity` (`codes.Identity`): 63 bits, never negative.

    `value` is packed digits, an IPv4 address, or, for text, its 64-bit hash.
    """
    return np.int64(siphash_words_nb(k0, k1, np.uint64(identity), np.uint64(value)) & _MASK63)
