"""SipHash against the vectors of its paper's reference implementation, the rest against plain properties."""

import struct

import numpy as np
import pytest

from schemas.digits import digit_count_nb, pack, unpack
from schemas.hashing import bytes_hash_nb, siphash_words_nb, token_nb

KEY = struct.unpack("<QQ", bytes(range(16)))


def siphash_2_4(key: bytes, message: bytes) -> int:
    """The algorithm in plain integers, from the paper."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<QQ", key)
    v = [0x736F6D6570736575 ^ k0, 0x646F72616E646F6D ^ k1, 0x6C7967656E657261 ^ k0, 0x7465646279746573 ^ k1]

    def rotate(x: int, b: int) -> int:
        return (x << b | x >> 64 - b) & mask

    def sip_round() -> None:
        v[0] = v[0] + v[1] & mask
        v[2] = v[2] + v[3] & mask
        v[1], v[3] = rotate(v[1], 13) ^ v[0], rotate(v[3], 16) ^ v[2]
        v[0] = rotate(v[0], 32)
        v[2] = v[2] + v[1] & mask
        v[0] = v[0] + v[3] & mask
        v[1], v[3] = rotate(v[1], 17) ^ v[2], rotate(v[3], 21) ^ v[0]
        v[2] = rotate(v[2], 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 255])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        sip_round()
        sip_round()
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(4):
        sip_round()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_the_plain_siphash_gives_the_papers_vector() -> None:
    assert siphash_2_4(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5  # appendix A


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 7), (2**64 - 1, 2**63), (0x2233, 1)])
def test_the_kernel_gives_what_the_plain_siphash_gives(first: int, second: int) -> None:
    words = [np.uint64(x) for x in (*KEY, first, second)]
    assert int(siphash_words_nb(*words)) == siphash_2_4(bytes(range(16)), struct.pack("<QQ", first, second))


def test_a_token_is_never_negative_and_depends_on_kind_and_key() -> None:
    k0, k1 = (np.uint64(k) for k in KEY)
    tokens = {int(token_nb(k0, k1, kind, pack("4915112345678"))) for kind in range(5)}
    tokens.add(int(token_nb(k1, k0, 0, pack("4915112345678"))))
    assert len(tokens) == 6
    assert min(tokens) >= 0


def test_bytes_hash_sees_every_byte_its_length_and_its_place() -> None:
    texts = [b"", b"a", b"b", b"ab", b"ba", b"abcdefgh", b"abcdefg", b"abcdefghi", b"\0", b"\0\0"]
    values = {int(bytes_hash_nb(np.frombuffer(b"xx" + t, np.uint8), 2, len(t), np.uint64(1))) for t in texts}
    assert len(values) == len(texts)


@pytest.mark.parametrize("number", ["", "0", "00", "112", "491511234567890", "*100#"])
def test_packed_digits_come_back(number: str) -> None:
    assert unpack(pack(number)) == number
    assert digit_count_nb(pack(number)) == len(number)


@pytest.mark.parametrize("number", ["1234567890123456", "12 3", "+49"])
def test_what_does_not_fit_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match=r"digits|substring"):
        pack(number)
