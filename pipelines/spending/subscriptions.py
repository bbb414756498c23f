"""Spending limit subscriptions, durable before they are confirmed: a log of lines, encrypted since they name people.

A line is a subscription as it now is, or the id of one that has gone. When most of the log is history it is written
anew. A torn last line, of a power cut, is cut off: nobody had been told of it.
"""

import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipelines.durable import Disk, replace_file
from schemas.errors import LedgerError

_FEW = 1000  # lines for which nobody writes a log anew


class Subscription(msgspec.Struct, omit_defaults=True, gc=False):
    """One consumer's interest in an account's counters. told: status of each counter that it was told last.

    There may be millions: nothing of them is to be walked by Python's collector.
    """

    id: str
    consumer: str
    account_id: int
    counters: tuple[str, ...]
    all_counters: bool
    expires_us: int | None = None
    told: dict[str, str] = {}
    gone: bool = False


S = TypeVar("S", bound=Subscription)
_encode = msgspec.json.Encoder().encode


class SubscriptionLog(Generic[S]):
    """The file. Called by one thread at a time. kind: what a line is; purpose: what the key is for, in 16 octets."""

    def __init__(self, path: Path, secret: bytes, kind: type[S], purpose: bytes, disk: Disk | None = None) -> None:
        self._path, self._disk = path, disk or Disk()
        self._cipher = AESGCM(blake2b(secret, digest_size=32, person=purpose).digest())
        self._decode = msgspec.json.Decoder(kind).decode
        self._lines = 0

    def is_long(self, kept: int) -> bool:
        """Whether most of it is history, `kept` subscriptions being alive."""
        return self._lines > _FEW + 4 * kept

    def read(self) -> dict[str, S]:
        """All that are there. Raises LedgerError: a line that is whole and cannot be read."""
        found: dict[str, S] = {}
        if not self._path.exists():
            return found
        octets = self._disk.read(self._path)
        whole, _, torn = octets.rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                raw = b64decode(line, validate=True)
                one: S = self._decode(self._cipher.decrypt(raw[:12], raw[12:], None))
            except (ValueError, InvalidTag, msgspec.MsgspecError) as error:
                raise LedgerError(f"{self._path}, line {number} cannot be read", "a subscription of this home",
                                  "restore the file with the keys, or remove it: consumers then subscribe again"
                                  ) from error
            self._lines += 1
            if one.gone:
                found.pop(one.id, None)
            else:
                found[one.id] = one
        if torn or self.is_long(len(found)):
            self.rewrite(found)
        return found

    def append(self, changed: Sequence[S], durable: bool = True) -> None:
        """Put lines behind the others; durable: before this returns."""
        if not self._path.exists():
            self._disk.make_dir(self._path.parent)
            replace_file(self._disk, self._path, b"")
            self._path.chmod(0o600)
        lines = b"".join(self._line(one) for one in changed)
        with self._path.open("ab", buffering=0) as file:
            file.write(lines)
            if durable:
                os.fdatasync(file.fileno())
        self._lines += len(changed)

    def rewrite(self, kept: Mapping[str, S]) -> None:
        """Nothing but what there is."""
        replace_file(self._disk, self._path, b"".join(self._line(one) for one in kept.values()))
        self._path.chmod(0o600)
        self._lines = len(kept)

    def _line(self, one: S) -> bytes:
        nonce = secrets.token_bytes(12)
        return b64encode(nonce + self._cipher.encrypt(nonce, _encode(one), None)) + b"\n"
