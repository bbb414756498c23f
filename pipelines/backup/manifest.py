"""What a backup is: one signed manifest that names everything in it. No manifest, no backup.

    backups/<number, 8 digits>.json    the manifests
    objects/<2>/<sha256>               files of the home by content: what did not change is there once
    ledger/                            a ledger, as `tarifa ledger backup` writes it; manifests name a cut of it
"""

from collections.abc import Iterable, Iterator

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipelines.durable import Disk
from pipelines.ledger.log import UNREADABLE, Signature, check_signature, sign, trusted_keys
from pipelines.ledger.store import LocalStore, Store, is_aside, open_store
from schemas.errors import LedgerError

FORMAT = 1
BACKUPS, OBJECTS = "backups", "objects"


class Kept(msgspec.Struct, frozen=True):
    """A file: its path in the home, its content, who may read it. modified_ns: by it an unchanged one is known."""

    path: str
    sha256: str
    octets: int
    mode: int
    modified_ns: int


class Manifest(msgspec.Struct, frozen=True):
    """position: everything that was journaled before it is in the backup, and nothing else. charged: up to where the
    ledger has it; snapshot: of the book, -1 where there is none, and the journal from there on. cut: of the ledger;
    reference: hash of the operator's folder that it was charged with last."""

    format: int
    number: int
    made_at: str
    made_by: str
    position: int
    charged: int
    snapshot: int
    cut: int
    reference: str
    files: list[Kept]
    signature: Signature | None = None

    @property
    def octets(self) -> int:
        """Of its files; the ledger's are not counted."""
        return sum(file.octets for file in self.files)


def manifest_path(number: int) -> str:
    """Where a manifest lies in a place of backups."""
    return f"{BACKUPS}/{number:08d}.json"


def object_path(sha256: str) -> str:
    """Where the file of this content lies in a place of backups."""
    return f"{OBJECTS}/{sha256[:2]}/{sha256}"


def ledger_of(place: str, disk: Disk | None = None) -> Store:
    """The ledger within a place of backups."""
    return open_store(f"{place.rstrip('/')}/ledger", disk=disk)


def encode(manifest: Manifest, signer: Ed25519PrivateKey) -> bytes:
    """As it is written, signed."""
    fields = msgspec.structs.asdict(manifest)
    del fields["signature"]
    return sign(msgspec.json.encode(fields), signer)


def manifests(store: Store, keys: Iterable[Ed25519PublicKey]) -> Iterator[tuple[str, Manifest | LedgerError]]:
    """All manifests of a place by their paths, oldest first; what is wrong with one in its stead.

    keys: who may have signed them; without any, signatures are not looked at.
    """
    trusted = trusted_keys(keys)
    for path in store.list_names(BACKUPS):
        if is_aside(path):
            continue
        payload = store.read(path)
        try:
            found = msgspec.json.decode(payload, type=Manifest)
        except UNREADABLE as error:
            yield path, LedgerError(f"{path} is no manifest: {error}")
            continue
        wrong = check_signature(payload, trusted) if trusted else None
        if found.format != FORMAT:
            yield path, LedgerError(f"{path} has format {found.format}", f"{FORMAT}", "use a newer release")
        elif wrong or path != manifest_path(found.number):
            yield path, LedgerError(f"{path} {wrong or 'has another number'}", "a manifest that `tarifa backup` wrote")
        else:
            yield path, found


def whole_manifests(store: Store, keys: Iterable[Ed25519PublicKey] = ()) -> list[Manifest]:
    """Backups of a place, oldest first. Raises LedgerError: a manifest that does not hold."""
    found = []
    for _, each in manifests(store, keys):
        if isinstance(each, LedgerError):
            raise each
        found.append(each)
    return found


def chosen(place: str, number: int | None, keys: Iterable[Ed25519PublicKey]) -> Manifest:
    """The backup of that number, the newest without. Raises LedgerError: there is none."""
    store = open_store(place)
    there = whole_manifests(store, keys) if not isinstance(store, LocalStore) or store.folder.is_dir() else []
    found = [each for each in there if number in (None, each.number)]
    if not found:
        raise LedgerError(f"no backup{'' if number is None else f' {number}'} in {place}",
                          "a place that `tarifa backup make` wrote to")
    return found[-1]
