"""Make a home from a backup, elsewhere or where the old one was, and prove it; and prove a backup where it lies.

Everything is written aside and looked at as a node would when it starts; then the folder gets its name. So there is a
whole home or none. Never over one that is there.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipelines.backup.key_place import restore_keys
from pipelines.backup.manifest import Manifest, chosen, ledger_of, manifests, object_path
from pipelines.backup.save import PIECE, Progress
from pipelines.durable import Disk, put_if_absent, reached
from pipelines.home import Home
from pipelines.journal import Journal
from pipelines.keys import KINDS, Keys
from pipelines.ledger import Ledger
from pipelines.ledger.backup import backup
from pipelines.ledger.store import Store, open_store
from pipelines.ledger.verify import Finding, verify
from pipelines.serve.service import ORIGIN_STATE
from pipelines.snapshots import Snapshots
from pipelines.vault import Vault
from schemas.errors import LedgerError


def restore(place: str, key_place: Path, home: Home, number: int | None = None, moved: bool = False,
            disk: Disk | None = None, progress: Progress | None = None) -> Manifest:
    """Make `home` as backup `number` has it, the newest without. Returns what it is of.

    moved: nothing was answered after the backup, so that no session was lost and Origin-State-Id stays what it is.
    Raises LedgerError: there is a home, or no such backup, or something in it does not hold.
    """
    disk = disk or Disk()
    if home.root.exists() and any(home.root.iterdir()):
        raise LedgerError(f"{home.root} is not empty", "a place without a home", "move it away first; restore never "
                          "overwrites")
    keys = _keys(key_place, disk)
    trusted = [keys.signing_key.public_key()]
    manifest, store = chosen(place, number, trusted), open_store(place)
    if _lost(manifest, keys, disk):
        raise LedgerError(f"backup {manifest.number} has numbers in its vault that were erased since",
                          "one that was made after that", "choose a later one")
    aside = home.root.parent / f".restoring-{secrets.token_hex(6)}-{home.root.name}"
    made = Home(aside, home.ledger_location)
    disk.make_dir(aside)
    _files(store, manifest, aside, disk, progress)
    reached("restore.files")
    restore_keys(key_place, made.keys, _vault_names(made, disk), disk)
    _ledger(place, manifest, made, trusted, progress)
    reached("restore.ledger")
    if not moved:
        _new_origin_state(made, disk)
    check_home(made, manifest, disk)
    reached("restore.checked")
    if home.root.exists():
        home.root.rmdir()
    disk.rename(aside, home.root)
    disk.sync_dir(home.root.parent)
    return manifest


def check_home(home: Home, manifest: Manifest, disk: Disk) -> None:
    """Open what a node opens when it starts. Raises LedgerError: something is not what the manifest says."""
    with Journal.open(home.journal, disk, at_least=manifest.charged) as journal:
        if journal.position != manifest.position:
            raise LedgerError(f"the journal ends at position {journal.position}", f"{manifest.position}")
        found = Snapshots(home.snapshots, disk).newest(manifest.charged, make=False)
        if (-1 if found is None else found.position) != manifest.snapshot:
            raise LedgerError(f"no whole snapshot at {manifest.snapshot}", "the one that the manifest names")
        for _ in journal.read(max(manifest.snapshot, 0)):
            pass
    ledger = Ledger.open(home.ledger)
    logs = ledger.logs()
    charged = logs["charging"].positions().get("journal", 0) if "charging" in logs else 0
    if charged != manifest.charged:
        raise LedgerError(f"the ledger was charged up to {charged}", f"{manifest.charged}")
    Vault(home.vault, Keys.open(home.keys, disk), disk).close()


@dataclass(frozen=True)
class Proof:
    """What was looked at in a place of backups, and what was wrong."""

    manifests: Sequence[Manifest]
    objects: int
    octets: int
    findings: Sequence[Finding]


def prove(place: str, key_place: Path | None, disk: Disk | None = None) -> Proof:
    """Read every manifest, every object and the whole ledger of a place of backups.

    key_place: with it signatures are checked, and that no key is missing; without, only that everything is there.
    """
    disk = disk or Disk()
    keys = None if key_place is None else _keys(key_place, disk)
    trusted = [] if keys is None else [keys.signing_key.public_key()]
    store, findings, whole = open_store(place), list[Finding](), list[Manifest]()
    for path, each in manifests(store, trusted):
        if isinstance(each, LedgerError):
            findings.append(Finding("manifest", path, str(each)))
        else:
            whole.append(each)
    there = {each.path: each.octets for each in store.list_all("objects")}
    named = {file.sha256: file.octets for each in whole for file in each.files}
    for sha256, octets in named.items():
        path = object_path(sha256)
        if there.get(path) != octets:
            findings.append(Finding("object", path, f"{there.get(path, 'no')} octets, and not {octets}"))
        elif store.sha256(path) != sha256:
            findings.append(Finding("object", path, "is not what its name says"))
    ledger = Ledger.open(ledger_of(place))
    findings += verify(ledger, trusted).findings
    if not findings:
        cuts = {cut.number for cut in ledger.cuts()}
        findings += [Finding("cut", str(each.cut), f"is missing; backup {each.number} names it") for each in whole
                     if each.cut not in cuts]
    if keys is not None:
        findings += [Finding("key", f"backup {each.number}", f"{len(lost)} keys of its vault are gone: it cannot be "
                             "restored") for each in whole if (lost := _lost(each, keys, disk))]
    return Proof(whole, len(named), sum(named.values()), findings)


def _lost(manifest: Manifest, keys: Keys, disk: Disk) -> list[str]:
    """Files of its vault whose key is not there."""
    names = [Path(f.path).stem for f in manifest.files if f.path.startswith("vault/") and f.path.endswith(".vault")]
    return [name for name in names if not disk.exists(keys.folder / "sealed" / f"vault-{name}.key")]


def _keys(place: Path, disk: Disk) -> Keys:
    if not all((place / f"{kind}.key").exists() for kind in KINDS):  # opening would make them
        raise LedgerError(f"no keys at {place}", "the place that `tarifa backup make --keys` was given")
    return Keys.open(place, disk)


def _files(store: Store, manifest: Manifest, target: Path, disk: Disk, progress: Progress | None) -> None:
    folders, whole = set(), target.resolve()  # which may be said from here, or by a link
    for done, file in enumerate(manifest.files, 1):
        path = target / file.path
        if whole not in path.resolve().parents:
            raise LedgerError(f"a file {file.path!r}", "one within the home")
        disk.make_dir(path.parent)
        total = hashlib.sha256()
        disk.write_new(path, _pieces(store, object_path(file.sha256), total), file.mode)
        if total.hexdigest() != file.sha256:
            raise LedgerError(f"{object_path(file.sha256)} is not what was backed up", f"sha256 {file.sha256}",
                              "run `tarifa backup verify`; choose another backup")
        if file.modified_ns:
            os.utime(path, ns=(file.modified_ns, file.modified_ns))  # the next backup knows it again
        folders.add(path.parent)
        if progress:
            progress("files", done, len(manifest.files))
    for folder in sorted(folders):
        disk.sync_dir(folder)


def _pieces(store: Store, path: str, total: "hashlib._Hash") -> Iterator[bytes]:
    if store.local_folder is None:
        content = store.read(path)
        total.update(content)
        yield content
        return
    with (store.local_folder / path).open("rb") as file:
        while piece := file.read(PIECE):
            total.update(piece)
            yield piece


def _ledger(place: str, manifest: Manifest, made: Home, trusted: Sequence[Ed25519PublicKey],
            progress: Progress | None) -> None:
    saved, target = Ledger.open(ledger_of(place)), open_store(made.ledger)
    cut = next((each for each in saved.cuts() if each.number == manifest.cut), None)
    if cut is None:
        raise LedgerError(f"no cut {manifest.cut} in {place}/ledger", "the one that the manifest names")
    if target.list_all("_log") or target.list_all("_cuts"):
        raise LedgerError(f"{made.ledger} holds a ledger", "an empty place")
    backup(saved, target, trusted, cut, None if progress is None else lambda done, whole: progress("ledger", done,
                                                                                                  whole))


def _vault_names(made: Home, disk: Disk) -> set[str]:
    path = made.vault / "manifest.json"
    if not disk.exists(path):
        return set()
    manifest = json.loads(disk.read(path))
    return {*manifest["runs"], manifest["log"]} - {""}


def _new_origin_state(made: Home, disk: Disk) -> None:
    """Another than before, and greater: clients learn that sessions may have been lost."""
    path = made.root / "serve" / ORIGIN_STATE
    if disk.exists(path):
        number = max(int(disk.read(path)) + 1, int(time.time()))
        disk.unlink(path)
        put_if_absent(disk, path, b"%d\n" % number, "serve.origin_state")
