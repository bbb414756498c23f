"""The raw archive: every input file as it came, compressed and encrypted, readable at any offset.

A file is cut into chunks of 1 MiB; each is compressed on its own and encrypted with AES-256-GCM under the file's key
(HKDF of the day's key and a random salt), nonce = number of the chunk. `explain` reads only the chunks it needs.
Retention destroys the key of a day, sealed in the keys folder: from then on its files cannot be read by anyone.

    header  64 octets  magic "TARIFAAR", version u32, chunk octets u32, file id u64, day i32 (since 1970), key
                       generation u32, salt 28, crc32 u32
    chunks             ciphertext of: codec u8 (0 as it is, 1 zstd), payload
    footer             ciphertext of: sha256 32, octets u64, then the end offset u64 of each chunk
    tail    16 octets  octets of the footer u64, magic "TARIFAAR"

The day is that of the file's own time, where it has one. Memory is bounded by the chunk.
"""

import datetime
import hashlib
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipelines.durable import Disk, Payload, reached
from pipelines.keys import ErasedError, Keys
from schemas.columns import ABSENT
from schemas.errors import LedgerError

VERSION = 1
CHUNK_OCTETS = 1 << 20
_MAGIC = b"TARIFAAR"
_HEADER, _TAIL, _SUMMARY = struct.Struct("<8sIIQiI28sI"), struct.Struct("<Q8s"), struct.Struct("<32sQ")
_PLAIN, _ZSTD = 0, 1
# On network files zstd's level 1 is as fast as its negative levels and within a fifth of LZ4, at half LZ4's size.
_CODEC = pa.Codec("zstd", compression_level=1)
_FOOTER_NONCE = b"\xff" * 12
_EPOCH = datetime.date(1970, 1, 1)
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Stored:
    """What was archived."""

    file_id: int
    octets: int           # of the original
    sha256: bytes         # of the original
    archived_octets: int


@dataclass(frozen=True)
class _Opened:
    path: Path
    header: bytes
    cipher: AESGCM
    chunk_octets: int
    sha256: bytes
    octets: int
    ends: tuple[int, ...]


class Archive:
    """Stores and reads by file id, the file's place in collection order."""

    def __init__(self, folder: Path, keys: Keys, disk: Disk | None = None) -> None:
        self._folder, self._keys, self._disk = folder, keys, disk or Disk()
        self._opened: _Opened | None = None      # the last one read: explain walks record by record
        self._chunk: tuple[Path, int, bytes] | None = None

    def write(self, file_id: int, time_us: int, content: Payload | Iterable[Payload], sha256: bytes | None = None
              ) -> Stored:
        """Archive one file, whole and durable when this returns; a further write under its id replaces it.

        time_us: the file's own time, whose day (UTC) chooses the key; ABSENT when it has none: the clock's then,
        since retention must reach every file, and no result depends on it.
        content: the file's octets, at once (a bytes object or memory map: not copied) or in pieces of any size.
        sha256: of the content, when the caller has it already; reading checks it.
        1 write aside and sync; 2 rename; 3 sync the folder.
        """
        days = (time_us if time_us != ABSENT else time.time_ns() // 1000) // _DAY_US
        generation, key = self._day_key(days)
        header = _HEADER.pack(_MAGIC, VERSION, CHUNK_OCTETS, file_id, days, generation, secrets.token_bytes(28), 0)[:-4]
        header += zlib.crc32(header).to_bytes(4, "little")
        path = self._path(file_id)
        self._disk.make_dir(path.parent)
        aside = path.with_name(f".aside-{secrets.token_hex(8)}-{path.name}")
        writer = _Writer(header, _cipher(key, header), sha256)
        archived = self._disk.write_new(aside, writer.pieces(content), 0o600)
        reached("archive.write.1")
        self._disk.rename(aside, path)
        reached("archive.write.2")
        self._disk.sync_dir(path.parent)
        reached("archive.write.3")
        self._opened = self._chunk = None
        return Stored(file_id, writer.octets, writer.sha256, archived)

    def read(self, file_id: int, offset: int, length: int) -> bytes:
        """Octets [offset, offset + length) of the original; fewer where the file ends.

        Raises ErasedError: retention destroyed the key; says when. LedgerError: not archived, or damaged.
        """
        opened = self._open(file_id)
        stop = min(offset + length, opened.octets)
        if offset < 0 or length < 0:
            raise ValueError(f"octets {offset} to {offset + length}")
        pieces = []
        for number in range(offset // opened.chunk_octets, -(-stop // opened.chunk_octets) if stop > offset else 0):
            base = number * opened.chunk_octets
            pieces.append(self._read_chunk(opened, number)[max(offset - base, 0):stop - base])
        return b"".join(pieces)

    def read_all(self, file_id: int) -> bytes:
        """The whole original. Errors as `read`."""
        return b"".join(self.stream(file_id))

    def stream(self, file_id: int) -> Iterator[bytes]:
        """The original, chunk by chunk, its SHA-256 checked at the end."""
        opened = self._open(file_id)
        digest = hashlib.sha256()
        for number in range(len(opened.ends)):
            chunk = self._read_chunk(opened, number)
            digest.update(chunk)
            yield chunk
        if digest.digest() != opened.sha256:
            raise LedgerError(f"{opened.path} does not give back the file that was archived", remedy="restore it")

    def stat(self, file_id: int) -> Stored:
        """Size and hash of the original. Errors as `read`."""
        opened = self._open(file_id)
        return Stored(file_id, opened.octets, opened.sha256, self._disk.octets(opened.path))

    def holds(self, file_id: int) -> bool:
        """Whether the file was archived (its key may be gone all the same)."""
        return self._disk.exists(self._path(file_id))

    def erase_before(self, day: datetime.date, note: Mapping[str, object]) -> list[str]:
        """Retention: destroy the keys of all days before `day`, leaving `note` (who, when, why). Returns names."""
        gone = [n for n in self._keys.sealed_names() if n.startswith("day-") and _day_of(n) < day]
        for name in gone:
            self._keys.destroy(name, note)
            reached("archive.erase.1")
        self._opened = self._chunk = None
        return gone

    def _day_key(self, days: int) -> tuple[int, bytes]:
        """The newest generation of a day's key that still lives; a late file after retention begins a new one."""
        generation = 0
        while True:
            try:
                return generation, self._keys.sealed(_key_name(days, generation), self._keys.archive_key, create=True)
            except ErasedError:
                generation += 1

    def _path(self, file_id: int) -> Path:
        return self._folder / f"{file_id // 1000:09d}" / f"{file_id:012d}.arc"

    def _open(self, file_id: int) -> _Opened:
        path = self._path(file_id)
        if self._opened is None or self._opened.path != path:
            if not self._disk.exists(path):
                raise LedgerError(f"file {file_id} is not in the archive {self._folder}")
            self._opened, self._chunk = self._read_frame(path, file_id), None
        return self._opened

    def _read_frame(self, path: Path, file_id: int) -> _Opened:
        octets = self._disk.octets(path)
        if octets < _HEADER.size + _TAIL.size:
            raise _damaged(path, "too short")
        header = _read_at(path, 0, _HEADER.size)
        magic, version, chunk_octets, written_id, days, generation, _, crc = _HEADER.unpack(header)
        footer_octets, end_magic = _TAIL.unpack(_read_at(path, octets - _TAIL.size, _TAIL.size))
        if (magic, end_magic, written_id, crc) != (_MAGIC, _MAGIC, file_id, zlib.crc32(header[:-4])):
            raise _damaged(path, "its frame")
        if version != VERSION:
            raise LedgerError(f"{path} has format version {version}", f"{VERSION}", "use a newer release")
        if footer_octets > octets - _HEADER.size - _TAIL.size:
            raise _damaged(path, "its footer")
        name = _key_name(days, generation)
        try:
            cipher = _cipher(self._keys.sealed(name, self._keys.archive_key), header)
        except ErasedError as error:
            raise ErasedError(f"the bytes of file {file_id} ({_EPOCH + datetime.timedelta(days)}) were erased",
                              remedy=f"{self._keys.destroyed(name)}") from error
        start = octets - _TAIL.size - footer_octets
        footer = _decrypt(path, cipher, _FOOTER_NONCE, _read_at(path, start, footer_octets), header, "its footer")
        sha256, original = _SUMMARY.unpack_from(footer)
        ends = struct.unpack_from(f"<{(len(footer) - _SUMMARY.size) // 8}Q", footer, _SUMMARY.size)
        return _Opened(path, header, cipher, chunk_octets, sha256, original, ends)

    def _read_chunk(self, opened: _Opened, number: int) -> bytes:
        if self._chunk is None or self._chunk[:2] != (opened.path, number):
            start = opened.ends[number - 1] if number else _HEADER.size
            cipher_text = _read_at(opened.path, start, opened.ends[number] - start)
            plain = _decrypt(opened.path, opened.cipher, number.to_bytes(12, "little"), cipher_text, opened.header,
                             f"chunk {number} at octet {start}")
            octets = min(opened.chunk_octets, opened.octets - number * opened.chunk_octets)
            content = plain[1:] if plain[0] == _PLAIN else _CODEC.decompress(plain[1:], octets, asbytes=True)
            self._chunk = (opened.path, number, content)
        return self._chunk[2]


class _Writer:
    """Turns pieces of the original into pieces of the archived file."""

    def __init__(self, header: bytes, cipher: AESGCM, sha256: bytes | None) -> None:
        self._header, self._cipher, self._digest = header, cipher, hashlib.sha256() if sha256 is None else None
        self.octets, self.sha256 = 0, sha256 or b""

    def pieces(self, content: Payload | Iterable[Payload]) -> Iterator[bytes]:
        yield self._header
        ends, place = [], _HEADER.size
        for number, chunk in enumerate(_chunks(content)):
            if self._digest is not None:
                self._digest.update(chunk)
            self.octets += chunk.nbytes
            packed = _CODEC.compress(chunk, asbytes=True)
            plain = b"\1" + packed if len(packed) < chunk.nbytes else b"\0" + chunk.tobytes()
            sealed = self._cipher.encrypt(number.to_bytes(12, "little"), plain, self._header)
            place += len(sealed)
            ends.append(place)
            yield sealed
        if self._digest is not None:
            self.sha256 = self._digest.digest()
        summary = _SUMMARY.pack(self.sha256, self.octets) + struct.pack(f"<{len(ends)}Q", *ends)
        footer = self._cipher.encrypt(_FOOTER_NONCE, summary, self._header)
        yield footer + _TAIL.pack(len(footer), _MAGIC)


def _chunks(content: Payload | Iterable[Payload]) -> Iterator[memoryview]:
    """Pieces of exactly CHUNK_OCTETS, the last one shorter."""
    pieces: Any
    try:
        pieces = (memoryview(cast(Payload, content)),)
    except TypeError:  # no buffer, so an iterable of them
        pieces = content
    waiting = bytearray()
    for piece in pieces:
        view = memoryview(piece).cast("B")
        if waiting:
            taken = min(CHUNK_OCTETS - len(waiting), view.nbytes)
            waiting += view[:taken]
            view = view[taken:]
            if len(waiting) < CHUNK_OCTETS:
                continue
            yield memoryview(bytes(waiting))
            waiting = bytearray()
        whole = view.nbytes - view.nbytes % CHUNK_OCTETS
        for start in range(0, whole, CHUNK_OCTETS):
            yield view[start:start + CHUNK_OCTETS]
        waiting += view[whole:]
    if waiting:
        yield memoryview(bytes(waiting))


def _cipher(day_key: bytes, header: bytes) -> AESGCM:
    # A key per file: a number as nonce is then safe, whatever is archived under the same id after a crash.
    return AESGCM(HKDF(SHA256(), 32, salt=header[32:60], info=b"tarifa archive 1").derive(day_key))


def _decrypt(path: Path, cipher: AESGCM, nonce: bytes, content: bytes, header: bytes, what: str) -> bytes:
    try:
        return cipher.decrypt(nonce, content, header)
    except InvalidTag:
        raise _damaged(path, what) from None


def _damaged(path: Path, what: str) -> LedgerError:
    return LedgerError(f"{path}: damaged, {what}", remedy="restore it from the backup")


def _read_at(path: Path, offset: int, octets: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), octets, offset)


def _key_name(days: int, generation: int) -> str:
    return f"day-{_EPOCH + datetime.timedelta(days)}-{generation:04d}"


def _day_of(name: str) -> datetime.date:
    return datetime.date.fromisoformat(name[4:14])
