"""What may befall the bytes of a file: a strategy, and the change it stands for."""

from dataclasses import dataclass

from hypothesis import strategies as st

KINDS = ("flip", "cut", "drop", "double", "empty", "zeros", "insert")


@dataclass(frozen=True)
class Damage:
    """place: which of several files, taken modulo; at: where in it, as a part of its length."""

    place: int
    at: float
    how: str
    bit: int

    def __call__(self, before: bytes) -> bytes:
        at = int(self.at * len(before))
        return {
            "flip": before[:at] + bytes([before[at] ^ 1 << self.bit]) + before[at + 1:] if before else b"",
            "cut": before[:at],
            "drop": before[:at] + before[at + 1:],
            "double": before[:at] + before[at:at + 8] * 2 + before[at + 8:],
            "empty": b"",
            "zeros": before[:at] + bytes(len(before) - at),
            "insert": before[:at] + b" " + before[at:],
        }[self.how]


def damages() -> st.SearchStrategy[Damage]:
    return st.builds(Damage, st.integers(0, 1 << 30), st.floats(0, 1, exclude_max=True), st.sampled_from(KINDS),
                     st.integers(0, 7))
