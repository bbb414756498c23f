"""The commit log of a stream: one JSON object a commit, each naming the sha256 of the one before.

`_log/<stream>/<version, 20 digits>.json`, from version 1. The entry is the commit: files that no entry names do
not exist. The signature is the entry's last field and covers the bytes before it, closed by a brace.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipelines.ledger.store import Store, is_aside
from schemas.errors import LedgerError

FORMAT = 1
LOG_FOLDER = "_log"
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)  # what damaged JSON raises: msgspec lets the second through
_SIGNATURE = b',"signature":{'

Positions = Mapping[str, tuple[int, int]]


class FileEntry(msgspec.Struct, frozen=True):
    """A file that a commit adds.

    table: name of its table, or, when `kind` is not "table", of what it is for (runs of the duplicate index...)
    rows: -1 when it is no table; sums: of money and quantity columns, as decimal text (they may exceed 64 bits)
    min_time_us, max_time_us: over event_time_us; absent when no row has one.
    """

    path: str
    table: str
    kind: str
    rows: int
    octets: int
    sha256: str
    min_time_us: int | None = None
    max_time_us: int | None = None
    sums: dict[str, str] = {}


class Signature(msgspec.Struct, frozen=True):
    key: str
    value: str


class Entry(msgspec.Struct, frozen=True):
    """One commit of one stream.

    previous: sha256 of the entry before, "" for the first; op: claim, append, compact, correct...
    positions: source -> [from, to); from is where the source's last commit ended, 0 at first
    removed: paths that are no longer live; their files stay until vacuum
    schemas: table -> hash of its Arrow schema; reference: versions of snapshot, kernels and the like.
    """

    format: int
    stream: str
    version: int
    previous: str
    op: str
    owner: str
    epoch: int
    writer: str
    positions: dict[str, tuple[int, int]]
    added: list[FileEntry]
    removed: list[str]
    state: dict[str, Any]
    schemas: dict[str, str]
    reference: dict[str, str]
    committed_at: str
    made_by: str
    signature: Signature | None = None


class _Format(msgspec.Struct):
    format: int


_decode_entry = msgspec.json.Decoder(Entry)
_decode_format = msgspec.json.Decoder(_Format)


def key_id(public: Ed25519PublicKey) -> str:
    """Short name of a key: the first 16 hex digits of the sha256 of its raw bytes."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def sign(body: bytes, signer: Ed25519PrivateKey | None) -> bytes:
    """`body`, a JSON object, with its signature as last field; unchanged without a key."""
    if signer is None:
        return body
    return _with_signature(body, Signature(key_id(signer.public_key()), signer.sign(body).hex()))


def _with_signature(body: bytes, signature: Signature) -> bytes:
    return body[:-1] + b',"signature":' + msgspec.json.encode(signature) + b"}"


def check_signature(payload: bytes, keys: Mapping[str, Ed25519PublicKey]) -> str | None:
    """What is wrong with the signature of `payload`, or None. keys: trusted ones by `key_id`."""
    at = payload.rfind(_SIGNATURE)
    if at < 0:
        return "is not signed"
    try:
        found = msgspec.json.decode(payload[at + len(_SIGNATURE) - 1:-1], type=Signature)
        value = bytes.fromhex(found.value)
    except (*UNREADABLE, ValueError):
        return "has a signature that cannot be read"
    if payload != _with_signature(payload[:at] + b"}", Signature(found.key, value.hex())):
        return "has a signature that was rewritten"  # one way to write it, so that no octet can change unseen
    if found.key not in keys:
        return f"is signed by the key {found.key}, which is not trusted"
    try:
        keys[found.key].verify(value, payload[:at] + b"}")
    except InvalidSignature:
        return f"does not match its signature by {found.key}: it was edited"
    return None


def trusted_keys(keys: Iterable[Ed25519PublicKey]) -> dict[str, Ed25519PublicKey]:
    return {key_id(key): key for key in keys}


def digest(payload: bytes | memoryview) -> str:
    return hashlib.sha256(payload).hexdigest()


def encode_entry(entry: Entry, signer: Ed25519PrivateKey | None) -> bytes:
    fields = msgspec.structs.asdict(entry)
    del fields["signature"]
    return sign(msgspec.json.encode(fields), signer)


def decode_entry(payload: bytes, path: str) -> Entry:
    """Raises LedgerError: torn, no entry, or of a format this release does not know."""
    try:
        entry = _decode_entry.decode(payload)
    except UNREADABLE as error:
        check_format(payload, path)  # a newer format is the likelier and the more helpful reason
        raise LedgerError(f"{path}: {error}", "a log entry", "restore it from a backup") from error
    if entry.format != FORMAT:
        check_format(payload, path)
    try:
        dt.datetime.fromisoformat(entry.committed_at)
        for file in entry.added:
            for total in file.sums.values():
                int(total)
    except ValueError as error:
        raise LedgerError(f"{path}: {error}", "a log entry", "restore it from a backup") from error
    return entry


def check_format(payload: bytes, path: str) -> None:
    """Raises LedgerError when `payload` is no JSON object with a `format` that this release reads."""
    try:
        found = _decode_format.decode(payload).format
    except UNREADABLE as error:
        raise LedgerError(f"{path}: {error}", "JSON with a format version", "restore it from a backup") from error
    if not 1 <= found <= FORMAT:
        raise LedgerError(f"{path}: ledger format {found}", f"at most {FORMAT}",
                          "it was written by a newer release; use that one")


def entry_path(stream: str, version: int) -> str:
    return f"{LOG_FOLDER}/{stream}/{version:020d}.json"


class Log:
    """The entries of one stream, oldest first, with their digests. `refresh` reads what others have added."""

    def __init__(self, store: Store, stream: str) -> None:
        self.store, self.stream = store, stream
        self.entries: list[Entry] = []
        self.digests: list[str] = []

    @property
    def version(self) -> int:
        return len(self.entries)

    @property
    def head(self) -> str:
        """Digest of the newest entry; "" when there is none."""
        return self.digests[-1] if self.digests else ""

    def refresh(self) -> "Log":
        """Read entries beyond those known, checking number and chain. Raises LedgerError."""
        fresh = entry_names(self.store, self.stream)[self.version:]
        for i, path in enumerate(fresh, self.version + 1):
            if path != entry_path(self.stream, i):
                raise LedgerError(f"{path} where entry {i} belongs", entry_path(self.stream, i),
                                  "an entry of the log is missing; restore it from a backup")
        for path, payload in zip(fresh, self.store.read_many(fresh), strict=True):
            self.append(payload, path)
        return self

    def append(self, payload: bytes, path: str) -> Entry:
        """Take an entry that lies in the store. Raises LedgerError when it does not continue the chain."""
        entry = decode_entry(payload, path)
        if entry.previous != self.head:
            raise LedgerError(f"{path} follows an entry with sha256 {entry.previous or 'none'}",
                              f"sha256 {self.head or 'none'}", "the log was edited; run `tarifa ledger verify`")
        if entry.version != self.version + 1 or entry.stream != self.stream:
            raise LedgerError(f"{path} says it is entry {entry.version} of {entry.stream}",
                              f"entry {self.version + 1} of {self.stream}", "run `tarifa ledger verify`")
        self.entries.append(entry)
        self.digests.append(digest(payload))
        return entry

    def positions(self, version: int | None = None) -> dict[str, int]:
        """Where each source's next commit must start, as of `version`."""
        at: dict[str, int] = {}
        for entry in self.entries[:version]:
            for source, (_, end) in entry.positions.items():
                at[source] = end
        return at

    def live(self, version: int | None = None) -> dict[str, FileEntry]:
        """Live files by path, in the order in which they were added, as of `version`."""
        files: dict[str, FileEntry] = {}
        for entry in self.entries[:version]:
            for path in entry.removed:
                files.pop(path, None)
            for file in entry.added:
                files[file.path] = file
        return files


def check_newest(store: Store, log: Log, public: Ed25519PublicKey) -> None:
    """The chain protects every entry but the newest, which its signature does. Raises LedgerError: it does not hold.

    Entries of a ledger that is not signed, or by another key, are left to `verify`.
    """
    ours = key_id(public)
    if any(entry.signature is not None and entry.signature.key == ours for entry in log.entries[-2:]):
        path = entry_path(log.stream, log.version)
        wrong = check_signature(store.read(path), {ours: public})
        if wrong:
            raise LedgerError(f"{path} {wrong}", "", "restore it from a backup; run `tarifa ledger verify`")


def entry_names(store: Store, stream: str) -> list[str]:
    """Names of the entries of a stream that lie in the store, in order."""
    return [path for path in store.list_names(f"{LOG_FOLDER}/{stream}") if not is_aside(path)]


def stream_names(store: Store) -> list[str]:
    """Streams that have at least one entry, sorted."""
    return [name for name in store.list_folders(LOG_FOLDER) if entry_names(store, name)]


def check_positions(recorded: Mapping[str, int], positions: Positions) -> list[str]:
    """Sources whose [from, to) does not continue what is recorded, each as a sentence."""
    wrong = []
    for source, (start, end) in positions.items():
        at = recorded.get(source, 0)
        if start != at or end < start:
            wrong.append(f"{source}: commit covers [{start}, {end}), but {at} is recorded")
    return wrong


def total_octets(files: Sequence[FileEntry]) -> int:
    return sum(each.octets for each in files)
