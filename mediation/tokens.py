"""What a process remembers of identities and names: tokens seen, for the vault, and words that became labels."""

import ipaddress
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mediation.kernels.tokens import TOKEN, remember_nb, word_hash_nb, words_nb
from schemas.codes import Identity
from schemas.columns import ABSENT, I64, U8

_LIMIT = 1 << 23  # tokens kept; then the table starts afresh and the vault sees some again, which it knows


@dataclass(frozen=True)
class Sightings:
    """Tokens met for the first time by this process, (n,) each; the vault may know them already.

    identity: `codes.Identity`. value: packed digits or IPv4 number, for texts their hash. text: by row, what a hash
    stands for; rows that are not in it are values themselves.
    """

    token: I64
    identity: I64
    value: I64
    text: dict[int, str]

    @classmethod
    def concat(cls, parts: "list[Sightings]") -> "Sightings":
        def column(name: str) -> I64:
            return np.concatenate([getattr(p, name) for p in parts]) if parts else np.empty(0, np.int64)

        starts = np.cumsum([0, *(len(p) for p in parts)])
        text = {int(start) + row: t for start, p in zip(starts, parts, strict=False) for row, t in p.text.items()}
        return cls(column("token"), column("identity"), column("value"), text)

    def __len__(self) -> int:
        return self.token.size


class TokenTable:
    """Tokens seen, each with the one value it stands for: a second value is a collision."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._clear(1 << 12)

    def _clear(self, capacity: int) -> None:
        self._seen: npt.NDArray[np.int64] = np.full((capacity, 3), ABSENT, np.int64)
        self._count = 0

    def table(self, more: int) -> npt.NDArray[np.int64]:
        """The table itself, with room for more, for a kernel that enters tokens; then `sighted` counts them."""
        self._make_room(more)
        return self._seen

    def sighted(self, buffer: U8, token: I64, identity: I64, value: I64, text: I64) -> Sightings:
        """First sightings, which a kernel has entered. text: as of `remember`."""
        self._count += token.size
        texts = {}
        if text.max() != ABSENT:
            texts = {int(row): _written(buffer, int(text[row]), int(identity[row]))
                     for row in np.flatnonzero(text != ABSENT)}
        return Sightings(token, identity, value, texts)

    def remember(self, buffer: U8, token: I64, identity: I64, value: I64, text: I64, collides: U8) -> Sightings:
        """Enter a column of tokens. Marks rows in `collides`, and returns the first sightings.

        text (n,): reference into `buffer` where `value` is only a hash, ABSENT elsewhere.
        """
        self._make_room(token.size)
        new = np.empty(token.size, np.int64)
        rows = new[:remember_nb(token, identity, value, self._seen, new, collides)]
        self._count += rows.size
        kinds, references = identity[rows], text[rows]
        texts = {int(row): _written(buffer, int(references[row]), int(kinds[row]))
                 for row in np.flatnonzero(references != ABSENT)}
        return Sightings(token[rows], kinds, value[rows], texts)

    def _make_room(self, more: int) -> None:
        if self._count > self._limit:
            self._clear(1 << 12)
        needed = 2 * (self._count + more)
        if needed <= self._seen.shape[0]:
            return
        old = self._seen[self._seen[:, TOKEN] != ABSENT]
        self._clear(1 << (needed - 1).bit_length())
        columns = [np.ascontiguousarray(column) for column in old.T]
        scratch = np.empty(old.shape[0], np.int64)
        remember_nb(*columns, self._seen, scratch, np.zeros(old.shape[0], np.uint8))
        self._count = old.shape[0]


def _written(buffer: U8, reference: int, identity: int) -> str:
    raw = buffer[reference >> 16:(reference >> 16) + (reference & 0xFFFF)].tobytes()
    if identity == Identity.IP_ADDRESS:
        try:
            return str(ipaddress.IPv6Address(raw if len(raw) == 16 and not raw.isascii() else raw.decode("ascii")))
        except ValueError:
            return str(ipaddress.IPv6Address(raw))
    return raw.decode("utf-8", "replace")


@dataclass
class WordTable:
    """Words of a label column, numbered as they appear: `names[label]` is the word. Shares `names` with its owner."""

    names: list[str]
    _pool: U8 = field(default_factory=lambda: np.empty(0, np.uint8))
    _offsets: I64 = field(default_factory=lambda: np.zeros(1, np.int64))
    _slots: I64 = field(default_factory=lambda: np.full(64, ABSENT, np.int64))

    def labels(self, buffer: U8, reference: I64) -> I64:
        """Label of every text reference, ABSENT for ABSENT; new words are appended to `names`."""
        if self._offsets.size != len(self.names) + 1:
            self._index()
        label, fresh = np.empty(reference.size, np.int64), np.empty(reference.size, np.int64)
        missing = words_nb(buffer, reference, self._pool, self._offsets, self._slots, label, fresh)
        if missing:
            place = {name: i for i, name in enumerate(self.names)}
            for row in fresh[:missing]:
                start, length = int(reference[row]) >> 16, int(reference[row]) & 0xFFFF
                word = buffer[start:start + length].tobytes().decode("utf-8", "backslashreplace")
                label[row] = place.setdefault(word, len(place))
                if label[row] == len(self.names):
                    self.names.append(word)
            self._index()
        return label

    def _index(self) -> None:
        words = [np.frombuffer(name.encode(), np.uint8) for name in self.names]
        self._pool = np.concatenate(words) if words else np.empty(0, np.uint8)
        self._offsets = np.cumsum([0, *(w.size for w in words)]).astype(np.int64)
        self._slots = np.full(max(64, 1 << (4 * len(words)).bit_length()), ABSENT, np.int64)
        mask = self._slots.size - 1
        for number, word in enumerate(words):
            slot = int(word_hash_nb(word)) & mask
            while self._slots[slot] != ABSENT:
                slot = slot + 1 & mask
            self._slots[slot] = number
