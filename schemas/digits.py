"""Numbers as int64: four bits a digit, each digit plus one, the last digit lowest.

"112" is 0x223. Zero is the empty number, ABSENT (-1) no number at all. Fifteen digits fit, as E.164 and IMSI
have at most; digit + 1 keeps "0" apart from nothing. `*`, `#`, `a`, `b`, `c` are 10 to 14 (TBCD, TS 29.002).
"""

from schemas.jit import kernel

MAX_DIGITS = 15
_ALPHABET = "0123456789*#abc"


def pack(text: str) -> int:
    """Packed digits of a number. Raises ValueError on other characters or more than 15 digits."""
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{len(text)} digits; at most {MAX_DIGITS} are packed")
    value = 0
    for character in text:
        value = value << 4 | _ALPHABET.index(character) + 1
    return value


def unpack(value: int) -> str:
    """The number behind packed digits."""
    text = ""
    while value > 0:
        text = _ALPHABET[(value & 15) - 1] + text
        value >>= 4
    return text


@kernel(None)
def digit_count_nb(packed):  # type: ignore[no-untyped-def]
    """Digits of a packed number."""
    if packed <= 0:
        return 0
    count = 1
    if packed >= 1 << 32:
        packed >>= 32
        count += 8
    if packed >= 1 << 16:
        packed >>= 16
        count += 4
    if packed >= 1 << 8:
        packed >>= 8
        count += 2
    if packed >= 1 << 4:
        count += 1
    return count
