"""The keys of one home: made on first use, kept to their owner, never logged.

    keys/                 0700
      signing.key         Ed25519, signs the heads of the ledger's logs
      token.key           SipHash-2-4, turns numbers into tokens
      vault.key           wraps the keys of the vault's files, keys its comparison hashes
      archive.key         wraps the keys of the archive's days
      sealed/NAME.key     a key wrapped (RFC 3394) by one of the two above
      sealed/NAME.gone    that key was destroyed: when, by whom, why

Destroying a sealed key is how people and days are forgotten: what it encrypted can no longer be read, wherever a
copy may lie. The main keys are in no backup of the ledger; they need one of their own. TARIFA_KEYS names another
folder than HOME/keys, such as one on a removable or memory-backed volume.
"""

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pipelines.durable import Disk, put_if_absent, reached
from schemas.errors import LedgerError

VERSION = 1
_LENGTHS = {"signing": 32, "token": 16, "vault": 32, "archive": 32}
KINDS = tuple(_LENGTHS)
_ENVIRONMENT = "TARIFA_KEYS"


class ErasedError(LedgerError):
    """What was asked for was encrypted with a key that has been destroyed on purpose."""


def keys_folder(home: Path) -> Path:
    """Where the keys of `home` lie."""
    given = os.environ.get(_ENVIRONMENT)
    return Path(given) if given else home / "keys"


@dataclass(frozen=True)
class Keys:
    """The opened keys. Printing shows none of them."""

    folder: Path
    token_key: tuple[int, int] = field(repr=False)  # SipHash key, two 64-bit words, little endian
    vault_key: bytes = field(repr=False)
    archive_key: bytes = field(repr=False)
    signing_key: Ed25519PrivateKey = field(repr=False)
    _disk: Disk = field(repr=False)

    @classmethod
    def open(cls, folder: Path, disk: Disk | None = None) -> "Keys":
        """Read the keys in `folder`, making those that are missing.

        Raises LedgerError: folder or file open to others, or a file that is not one of ours.
        """
        disk = disk or Disk()
        disk.make_dir(folder.parent)
        if not folder.exists():
            folder.mkdir(0o700, exist_ok=True)
            disk.sync_dir(folder.parent)
        _check_private(folder)
        raw = {kind: _main_key(folder, kind, disk) for kind in _LENGTHS}
        token_key = (int.from_bytes(raw["token"][:8], "little"), int.from_bytes(raw["token"][8:], "little"))
        signing = Ed25519PrivateKey.from_private_bytes(raw["signing"])
        return cls(folder, token_key, raw["vault"], raw["archive"], signing, disk)

    @property
    def public_key(self) -> bytes:
        """32 octets; whoever verifies a head needs only this."""
        return self.signing_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature, 64 octets."""
        return self.signing_key.sign(message)

    def sealed(self, name: str, wrapping: bytes, create: bool = False) -> bytes:
        """The 32-octet key called `name`, wrapped by `wrapping`; made when `create` and it never was.

        Raises ErasedError: it was destroyed. LedgerError: it is missing, or another key wrapped it.
        """
        folder = self.folder / "sealed"
        gone, path = folder / f"{name}.gone", folder / f"{name}.key"
        if self._disk.exists(gone):
            self._disk.unlink(path)  # a kill may have come between the note and the deed
            raise ErasedError(f"key {name} was destroyed: {self.destroyed(name)}")
        if create and not self._disk.exists(path):
            _make_private(folder, self._disk)
            wrapped = aes_key_wrap(wrapping, secrets.token_bytes(32))
            put_if_absent(self._disk, path, f"tarifa-sealed {VERSION} {wrapped.hex()}\n".encode(), "keys.seal", 0o600)
        if not self._disk.exists(path):
            raise LedgerError(f"key {name} is missing from {folder}", remedy="restore the keys folder from its backup")
        try:
            return aes_key_unwrap(wrapping, _parse(path, self._disk.read(path), "tarifa-sealed"))
        except (InvalidUnwrap, ValueError) as error:
            raise LedgerError(f"{path} was not wrapped by this home's key", remedy="restore keys and home together"
                              ) from error

    def destroy(self, name: str, note: Mapping[str, object]) -> bool:
        """Destroy a sealed key for ever, leaving `note`. Returns whether it was there.

        1 the note, durable: from here on the key counts as gone; 2 the key.
        """
        folder = self.folder / "sealed"
        if not self._disk.exists(folder / f"{name}.key"):
            return False
        put_if_absent(self._disk, folder / f"{name}.gone", json.dumps(note, sort_keys=True).encode() + b"\n",
                      "keys.destroy", 0o600)
        reached("keys.destroy.noted")
        self._disk.unlink(folder / f"{name}.key")
        self._disk.sync_dir(folder)
        return True

    def discard(self, name: str) -> None:
        """Remove a sealed key that nothing was forgotten with: what it encrypted has been written elsewhere."""
        path = self.folder / "sealed" / f"{name}.key"
        if self._disk.exists(path):
            self._disk.unlink(path)
            self._disk.sync_dir(path.parent)

    def destroyed(self, name: str) -> dict[str, object] | None:
        """The note that was left when `name` was destroyed; that it cannot be read any more does not undo the deed."""
        path = self.folder / "sealed" / f"{name}.gone"
        if not self._disk.exists(path):
            return None
        try:
            note = json.loads(self._disk.read(path))
        except (ValueError, RecursionError):
            note = None
        return note if isinstance(note, dict) else {"note": f"{path.name} is damaged"}

    def sealed_names(self) -> list[str]:
        """Names of the sealed keys that still exist."""
        names = set(self._disk.list_dir(self.folder / "sealed"))
        return sorted(n[:-4] for n in names if n.endswith(".key") and not n.startswith(".")
                      and f"{n[:-4]}.gone" not in names)


def signature_holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` over `message` was made with the private half of `public_key`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _main_key(folder: Path, kind: str, disk: Disk) -> bytes:
    path = folder / f"{kind}.key"
    if not disk.exists(path):
        made = secrets.token_bytes(_LENGTHS[kind])
        text = f"tarifa-{kind} {VERSION} {made.hex()} {_check(made)}\n"
        put_if_absent(disk, path, text.encode(), "keys.make", 0o600)
    _check_private(path)
    key = _parse(path, disk.read(path), f"tarifa-{kind}")
    if len(key) != _LENGTHS[kind]:
        raise LedgerError(f"{path} holds {len(key)} octets", f"{_LENGTHS[kind]}")
    return key


def _parse(path: Path, content: bytes, kind: str) -> bytes:
    # The content is never part of an error: it is a key.
    words = content.decode("ascii", "replace").split()
    if len(words) not in (3, 4) or words[0] != kind:
        raise LedgerError(f"{path} is no {kind} file", remedy="restore the keys folder from its backup")
    if words[1] != str(VERSION):
        raise LedgerError(f"{path} has format version {words[1]}", f"{VERSION}", "use a newer release")
    try:
        key = bytes.fromhex(words[2])
    except ValueError:
        key = b""
    if not key or words[3:] not in ([], [_check(key)]):
        raise LedgerError(f"{path} is damaged", remedy="restore the keys folder from its backup")
    return key


def _check(key: bytes) -> str:
    """Shows a damaged key file, since with another key every number would silently get another token. Files of wrapped
    keys have none: unwrapping checks them. Those without one were written by other means."""
    return hashlib.sha256(b"tarifa key check 1" + key).hexdigest()[:8]


def _make_private(folder: Path, disk: Disk) -> None:
    if not disk.exists(folder):
        folder.mkdir(0o700, exist_ok=True)
        disk.sync_dir(folder.parent)


def _check_private(path: Path) -> None:
    status = path.stat()
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise LedgerError(f"{path} is open to others (mode {stat.S_IMODE(status.st_mode):04o})", "its owner alone",
                          f"chmod go-rwx {path}")
    if status.st_uid != os.geteuid():
        raise LedgerError(f"{path} belongs to user {status.st_uid}", f"user {os.geteuid()}", "run as its owner")
