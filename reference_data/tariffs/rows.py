"""Rows of tables while they grow, and keys that are the same in every compilation."""

import hashlib

from schemas.tariff_tables import NAMES


class Rows:
    """Rows that are numbered as they first appear, and lists of them that are laid end to end."""

    def __init__(self) -> None:
        self.vectors: dict[str, list[int]] = {name: [] for name in NAMES}
        self.seen: dict[object, int] = {}

    def add(self, **values: int) -> None:
        for name, value in values.items():
            self.vectors[name].append(value)

    def size(self, name: str) -> int:
        return len(self.vectors[name])


def stable_key(*parts: str, bits: int = 63) -> int:
    """The same number for the same names in every compilation."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)
