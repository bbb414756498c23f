"""Sightings as columns: which value, of which kind, was seen behind which token; and their octets on disk."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.codes import Identity
from schemas.columns import I64, U8
from schemas.digits import unpack

U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
_COUNTS = struct.Struct("<QQ")


@dataclass(frozen=True)
class Entries:
    """Rows, one per token.

    token (n,) int64; identity (n,) uint8, `codes.Identity`; value (n,) int64: packed digits, an IPv4 address as a
    number, or the hash of the text; text: UTF-8 of all texts end to end, row i ends at text_end[i], empty for none.
    """

    token: I64
    identity: U8
    value: I64
    text_end: I64
    text: bytes

    @classmethod
    def of(cls, token: I64, identity: npt.ArrayLike, value: I64, texts: Sequence[str | bytes | None] | None = None
           ) -> "Entries":
        """From columns; `identity` may be one for all rows."""
        n = len(token)
        octets: list[bytes] = []
        if texts is not None and any(texts):
            octets = [t.encode() if isinstance(t, str) else t or b"" for t in texts]
        ends = np.cumsum([len(t) for t in octets], dtype=np.int64) if octets else np.zeros(n, np.int64)
        kinds = np.ascontiguousarray(np.broadcast_to(np.asarray(identity).astype(np.uint8), (n,)))
        return cls(np.ascontiguousarray(token, np.int64), kinds, np.ascontiguousarray(value, np.int64), ends,
                   b"".join(octets))

    @classmethod
    def concat(cls, parts: Iterable["Entries"]) -> "Entries":
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        bases = np.cumsum([0, *(len(p.text) for p in parts)])
        empty = [np.empty(0, np.int64)]
        return cls(np.concatenate([p.token for p in parts] or empty),
                   np.concatenate([p.identity for p in parts] or [np.empty(0, np.uint8)]),
                   np.concatenate([p.value for p in parts] or empty),
                   np.concatenate([p.text_end + base for p, base in zip(parts, bases, strict=False)] or empty),
                   b"".join(p.text for p in parts))

    def __len__(self) -> int:
        return len(self.token)

    def text_of(self, row: int) -> bytes:
        return self.text[int(self.text_end[row - 1]) if row else 0:int(self.text_end[row])]

    def take(self, rows: npt.NDArray[np.intp]) -> "Entries":
        """Rows in the given order."""
        if not self.text:
            ends, text = np.zeros(len(rows), np.int64), b""
        else:
            texts = [self.text_of(int(r)) for r in rows]
            ends, text = np.cumsum([len(t) for t in texts], dtype=np.int64), b"".join(texts)
        return Entries(self.token[rows], self.identity[rows], self.value[rows], ends, text)

    def shown(self, row: int) -> str:
        """The value as a person writes it."""
        text, value, identity = self.text_of(row), int(self.value[row]), int(self.identity[row])
        if text:
            return text.decode("utf-8", "replace")
        if identity == Identity.IP_ADDRESS:
            return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))
        return unpack(value)

    def pack(self) -> bytes:
        """Octets: counts, then column by column."""
        return b"".join((_COUNTS.pack(len(self), len(self.text)), self.token.astype("<i8").tobytes(),
                         self.value.astype("<i8").tobytes(), self.text_end.astype("<i8").tobytes(),
                         self.identity.tobytes(), self.text))

    @classmethod
    def unpack(cls, content: bytes) -> "Entries":
        n, text_octets = _COUNTS.unpack_from(content)
        columns = [np.frombuffer(content, "<i8", n, _COUNTS.size + i * 8 * n).astype(np.int64) for i in range(3)]
        start = _COUNTS.size + 24 * n
        identity = np.frombuffer(content, np.uint8, n, start)
        return cls(columns[0], identity, columns[1], columns[2], content[start + n:start + n + text_octets])
