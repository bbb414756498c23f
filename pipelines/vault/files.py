"""The vault's two kinds of file: a log that grows by one frame a batch, and runs sorted by token.

    frame  magic u32, octets u32 of the rest, crc32 u32 of the rest; nonce 12, ciphertext of Entries
    run    header 64: magic "TARIFAVR", version u32, rows per block u32, rows u64, blocks u64, zeros, crc32 u32 of
           header and index; index: token int64 per row (ascending), comparison uint64 per row, end offset u64 per
           block; blocks, each the ciphertext of Entries (nonce = number of the block)

Tokens and comparison hashes are in the clear: they are keyed hashes, and the ledger is full of tokens. A run is read
by memory map, so that membership costs no memory of ours. Each file has a key of its own, sealed in the keys folder.
"""

import mmap
import os
import secrets
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipelines.durable import Disk
from pipelines.vault.entries import U64, Entries
from schemas.columns import I64
from schemas.errors import LedgerError

VERSION = 1
BLOCK_ROWS = 4096
_FRAME_MAGIC = 0x56F0A71E
_FRAME, _RUN = struct.Struct("<III"), struct.Struct("<8sIIQQ28xI")
_RUN_MAGIC = b"TARIFAVR"


def seal_frame(cipher: AESGCM, entries: Entries) -> bytes:
    """One frame of the log."""
    nonce = secrets.token_bytes(12)
    rest = nonce + cipher.encrypt(nonce, entries.pack(), b"tarifa vault log 1")
    return _FRAME.pack(_FRAME_MAGIC, len(rest), zlib.crc32(rest)) + rest


def read_log(path: Path, content: bytes, cipher: AESGCM) -> tuple[Entries, int]:
    """All whole frames, and the octets they fill. What follows the last whole frame was torn.

    Raises LedgerError: a frame that does not check with a whole one after it.
    """
    parts, end = [], 0
    while (rest := _whole_frame(content, end)) is not None:
        parts.append(Entries.unpack(_open(path, cipher, rest[:12], rest[12:], b"tarifa vault log 1", f"octet {end}")))
        end += _FRAME.size + len(rest)
    magic = _FRAME_MAGIC.to_bytes(4, "little")
    place = content.find(magic, end + 1)
    while place >= 0:
        if _whole_frame(content, place) is not None:
            raise LedgerError(f"{path}: damaged at octet {end}, a whole frame follows at octet {place}",
                              remedy="restore the vault")
        place = content.find(magic, place + 1)
    return Entries.concat(parts), end


def _whole_frame(content: bytes, offset: int) -> bytes | None:
    if offset + _FRAME.size > len(content):
        return None
    magic, octets, crc = _FRAME.unpack_from(content, offset)
    rest = content[offset + _FRAME.size:offset + _FRAME.size + octets]
    return rest if magic == _FRAME_MAGIC and len(rest) == octets and zlib.crc32(rest) == crc else None


def write_run(disk: Disk, path: Path, cipher: AESGCM, entries: Entries, comparison: U64) -> None:
    """Write rows as a run, whole and synced; its name is durable when the caller syncs the folder."""
    order = np.argsort(entries.token)  # no two are the same
    entries, comparison = entries.take(order), comparison[order]
    blocks = [cipher.encrypt(i.to_bytes(12, "little"), _rows(entries, i).pack(), b"tarifa vault run 1")
              for i in range(-(-len(entries) // BLOCK_ROWS))]
    base = _RUN.size + 16 * len(entries) + 8 * len(blocks)
    ends = base + np.cumsum([len(b) for b in blocks], dtype=np.int64)
    index = entries.token.astype("<i8").tobytes() + comparison.astype("<u8").tobytes() + ends.astype("<i8").tobytes()
    head = _RUN.pack(_RUN_MAGIC, VERSION, BLOCK_ROWS, len(entries), len(blocks), 0)[:-4]
    crc = zlib.crc32(index, zlib.crc32(head))
    disk.write_new(path, (head + crc.to_bytes(4, "little"), index, *blocks), 0o600)


def _rows(entries: Entries, block: int) -> Entries:
    start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, len(entries))
    text_start = int(entries.text_end[start - 1]) if start else 0
    return Entries(entries.token[start:stop], entries.identity[start:stop], entries.value[start:stop],
                   entries.text_end[start:stop] - text_start, entries.text[text_start:int(entries.text_end[stop - 1])])


@dataclass(frozen=True)
class Run:
    """An opened run. token (n,) ascending and comparison (n,) are views of the map."""

    path: Path
    token: I64
    comparison: U64
    _ends: I64
    _base: int
    _map: mmap.mmap
    _cipher: AESGCM

    @classmethod
    def open(cls, path: Path, cipher: AESGCM) -> "Run":
        """Map a run and check its index. Raises LedgerError: missing, damaged, or of an unknown version."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise LedgerError(f"{path} is missing", remedy="restore the vault") from None
        try:
            if os.fstat(handle).st_size < _RUN.size:
                raise LedgerError(f"{path}: too short", remedy="restore the vault")
            content = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(handle)
        magic, version, _, rows, blocks, crc = _RUN.unpack_from(content)
        if magic == _RUN_MAGIC and version != VERSION:
            raise LedgerError(f"{path} has format version {version}", f"{VERSION}", "use a newer release")
        base = _RUN.size + 16 * rows + 8 * blocks
        view = memoryview(content)
        actual = zlib.crc32(view[_RUN.size:base], zlib.crc32(view[:_RUN.size - 4]))
        if magic != _RUN_MAGIC or base > len(content) or crc != actual:
            raise LedgerError(f"{path}: damaged, its index", remedy="restore the vault")
        token = np.frombuffer(content, "<i8", rows, _RUN.size)
        comparison = np.frombuffer(content, "<u8", rows, _RUN.size + 8 * rows)
        ends = np.frombuffer(content, "<i8", blocks, _RUN.size + 16 * rows)
        return cls(path, token, comparison, ends, base, content, cipher)

    def find(self, token: I64) -> npt.NDArray[np.intp]:
        """Row of each token, -1 when it is not here. `token` ascending is fastest."""
        if not len(self.token):
            return np.full(len(token), -1, np.intp)
        row = np.minimum(np.searchsorted(self.token, token), len(self.token) - 1)
        return np.where(self.token[row] == token, row, -1)

    def entries(self, rows: npt.NDArray[np.intp]) -> Entries:
        """Decrypted rows, ascending; reads only their blocks."""
        blocks = rows // BLOCK_ROWS
        return Entries.concat(self._block(int(b)).take(rows[blocks == b] - b * BLOCK_ROWS) for b in np.unique(blocks))

    def all(self) -> Entries:
        return Entries.concat(self._block(b) for b in range(len(self._ends)))

    def _block(self, number: int) -> Entries:
        start = int(self._ends[number - 1]) if number else self._base
        content = self._map[start:int(self._ends[number])]
        return Entries.unpack(_open(self.path, self._cipher, number.to_bytes(12, "little"), content,
                                    b"tarifa vault run 1", f"block {number} at octet {start}"))


def _open(path: Path, cipher: AESGCM, nonce: bytes, content: bytes, purpose: bytes, what: str) -> bytes:
    try:
        return cipher.decrypt(nonce, content, purpose)
    except InvalidTag:
        raise LedgerError(f"{path}: damaged, {what}", remedy="restore the vault") from None
