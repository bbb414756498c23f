"""Copy a home to another place, as of one journal position, while it is served or not.

In numbered steps: 1 what the API and the front ends remember, since it must not be ahead of the journal; 2 the point
(`point.py`), whose files are pinned; 3 the ledger as of its cut, which is proved; 4 vault and keys, which are ahead of
the journal by nature; 5 everything else; 6 the manifest, which is the backup. Killed before 6 there is none, and what
was copied serves the next. The node is asked nothing and waits for nothing.
"""

import datetime as dt
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.backup.key_place import copy_keys
from pipelines.backup.manifest import (
    BACKUPS,
    FORMAT,
    OBJECTS,
    Kept,
    Manifest,
    encode,
    ledger_of,
    manifest_path,
    object_path,
    whole_manifests,
)
from pipelines.backup.pinned import FOLDER, Pins
from pipelines.backup.point import Point, find_point
from pipelines.durable import ASIDE, Disk, Payload, reached
from pipelines.home import Home
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.backup import backup
from pipelines.ledger.store import Store, open_store
from pipelines.lock import take_lock
from schemas.errors import LedgerError

WORK = "backup"  # folder of a home in which it works
PIECE = 1 << 20
SYNC_OCTETS = 8 << 20
TRIES = 8
_LIVE = ("journal/", "api/", "serve/", "vault/log-", "vault/audit")  # what may change without another size or time
MADE_BY = "tarifa backup 1"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Saved:
    """files, octets: written now; kept: files that the place had already; ledger: octets of its files."""

    manifest: Manifest
    files: int
    octets: int
    kept: int
    ledger_octets: int


@dataclass(frozen=True)
class _Source:
    """A file of the home: its name there, where it can be read, and how much of it, None for all."""

    name: str
    path: Path
    octets: int | None = None


class GentleDisk(Disk):
    """Syncs as it goes, so that a large file does not come to the disk at once, before those who answer."""

    def __init__(self) -> None:
        self._unsynced = 0

    def _write_all(self, handle: int, payload: Payload) -> int:
        view, done = memoryview(payload).cast("B"), 0
        while done < len(view):
            written = super()._write_all(handle, view[done:done + SYNC_OCTETS])
            done, self._unsynced = done + written, self._unsynced + written
            if self._unsynced >= SYNC_OCTETS:
                os.fdatasync(handle)
                self._unsynced = 0
        return done


def save(home: Home, place: str, key_place: Path, disk: Disk | None = None, keep: int | None = None,
         progress: Progress | None = None) -> Saved:
    """Back a home up into `place`, a folder or an object store's URL, which may hold earlier backups of it.

    keep: how many backups there are to be at most; older ones go. Raises LedgerError: another backup is under way, the
    places are of another home, or something does not verify.
    """
    disk = disk or GentleDisk()
    _check_apart(home, place, key_place)
    keys = Keys.open(home.keys, disk)
    store = open_store(place, disk=disk)
    disk.make_dir(home.root / WORK)
    lock = take_lock(home.root / WORK, "a backup of")
    try:
        _clear(home, disk)
        with Pins(disk, home.journal, home.snapshots, home.vault, home.corrections) as pins:
            remembered = list(_remembered(home, disk))
            reached("backup.remembered")
            ledger = Ledger.open(home.ledger, keys.signing_key, disk=disk)
            point = find_point(home, ledger, keys.signing_key, pins, disk)
            reached("backup.point")
            copied = backup(ledger, ledger_of(place, disk), [keys.signing_key.public_key()], point.cut,
                            None if progress is None else lambda done, whole: progress("ledger", done, whole))
            reached("backup.ledger")
            copy_keys(home.keys, key_place, disk)
            vault = _vault(home, pins, key_place, disk)
            reached("backup.keys")
            rest = [*_folder(home, "archive"), *_folder(home, "reference"), *_folder(home, "corrections")]
            sources = [*remembered, *_point_files(point), *vault, *rest]
            return _keep(store, keys, point, sources, copied.octets, keep, progress)
    finally:
        _clear(home, disk)
        os.close(lock)


def _check_apart(home: Home, place: str, key_place: Path) -> None:
    keys, root = key_place.resolve(), home.root.resolve()
    folders = [root] if "://" in place else [root, Path(place).resolve()]
    if any(keys == each or each in keys.parents or keys in each.parents for each in folders):
        raise LedgerError(f"{key_place} for the keys", "a folder apart from the home and its backups",
                          "whoever gets hold of a backup must not have the keys with it")
    if any(each == root or root in each.parents or each in root.parents for each in folders[1:]):
        raise LedgerError(f"{place} for a backup of {home.root}", "a folder apart from the home")
    if not home.keys.is_dir():
        raise LedgerError(f"no home at {home.root}", "--home DIR of an earlier `tarifa run`")


# what there is to copy

def _remembered(home: Home, disk: Disk) -> Iterator[_Source]:
    """Copies of what the API answered, by SQLite's own backup, since it is written to; of its tokens; and of what the
    front ends left for a restart. Copies, since these must be as they were before the journal is read."""
    database, work = home.root / "api" / "requests.db", home.root / WORK
    if database.exists():
        source, target = sqlite3.connect(database, timeout=30), sqlite3.connect(work / "requests.db")
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        (work / "requests.db").chmod(0o600)
        yield _Source("api/requests.db", work / "requests.db")
    folder = home.root / "serve"
    names = [f"serve/{name}" for name in disk.list_dir(folder) if (folder / name).is_file() and name != "lock"
             and not name.startswith(".")]
    for name in ["api/tokens.json", *names]:
        if disk.exists(home.root / name):
            copy = work / Path(name).name
            disk.write_new(copy, (disk.read(home.root / name),), (home.root / name).stat().st_mode & 0o777)
            yield _Source(name, copy)


def _clear(home: Home, disk: Disk) -> None:
    """Remove the copies, and what a backup that was killed left of its own."""
    for name in disk.list_dir(home.root / WORK):
        if name != "lock":
            disk.unlink(home.root / WORK / name)


def _point_files(point: Point) -> Iterator[_Source]:
    for path, octets in point.journal:
        yield _Source(f"journal/{path.name}", path, octets)
    if point.snapshot[0] is not None:
        yield _Source(f"snapshots/{point.snapshot[0].name}", point.snapshot[0])


def _vault(home: Home, pins: Pins, key_place: Path, disk: Disk) -> list[_Source]:
    """The files that its manifest names, with their keys: both are replaced now and then, the manifest says when."""
    path = home.vault / "manifest.json"
    audit = [_Source("vault/audit.log", home.vault / "audit.log")] if disk.exists(home.vault / "audit.log") else []
    for _ in range(TRIES):
        if not disk.exists(path):
            return audit
        written = disk.read(path)
        manifest = json.loads(written)
        pinned = {name: pins.pin(home.vault / f"{name}.vault") for name in (*manifest["runs"], manifest["log"]) if name}
        copy_keys(home.keys, key_place, disk)
        if disk.read(path) == written:
            copy = home.root / WORK / "vault.json"
            disk.write_new(copy, (written,), path.stat().st_mode & 0o777)
            return [_Source("vault/manifest.json", copy), *audit,
                    *(_Source(f"vault/{name}.vault", pin) for name, pin in pinned.items() if pin is not None)]
    raise LedgerError(f"{path} changed while it was looked at, {TRIES} times", "", "try again")


def _folder(home: Home, name: str) -> Iterator[_Source]:
    """Files that nobody changes once they are there."""
    for path in sorted((home.root / name).rglob("*")):
        if path.is_file() and not path.name.startswith(ASIDE) and FOLDER not in path.parts and path.name != "lock":
            yield _Source(path.relative_to(home.root).as_posix(), path)


# how it is copied

def _keep(store: Store, keys: Keys, point: Point, sources: Sequence[_Source], ledger_octets: int, keep: int | None,
          progress: Progress | None) -> Saved:
    """Steps 5 and 6. An object counts once a manifest names it: what is not named may be torn."""
    before = whole_manifests(store, [keys.signing_key.public_key()])
    named = {file.sha256 for each in before for file in each.files}
    same = {(file.path, file.octets, file.modified_ns): file.sha256 for each in before for file in each.files}
    there = {each.path for each in store.list_all(OBJECTS)}
    files, written, octets = [], 0, 0
    for done, source in enumerate(sources, 1):
        status = source.path.stat()
        size = status.st_size if source.octets is None else source.octets
        stamp = 0 if source.name.startswith(_LIVE) else status.st_mtime_ns
        sha256 = same.get((source.name, size, stamp)) if stamp else None
        sha256 = sha256 or _digest(source.path, size)
        if sha256 not in named:
            path = object_path(sha256)
            if path in there:
                store.delete(path)
            total = hashlib.sha256()
            store.write(path, _pieces(source.path, size, total))
            if total.hexdigest() != sha256:
                raise LedgerError(f"{source.path} changed while it was copied", "", "try again")
            named.add(sha256)
            written, octets = written + 1, octets + size
        files.append(Kept(source.name, sha256, size, status.st_mode & 0o777, stamp))
        if progress:
            progress("files", done, len(sources))
    store.settle()
    reached("backup.files")
    manifest = Manifest(FORMAT, max((each.number for each in before), default=0) + 1,
                        dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), MADE_BY, point.position, point.charged,
                        point.snapshot[1], point.cut.number, point.reference, files)
    if not store.put_new(manifest_path(manifest.number), encode(manifest, keys.signing_key), "backup.manifest"):
        raise LedgerError(f"backup {manifest.number} was made by somebody else meanwhile", "", "try again")
    if keep is not None:
        _prune(store, [*before, manifest], keep)
    return Saved(manifest, written, octets, len(files) - written, ledger_octets)


def _prune(store: Store, there: Sequence[Manifest], keep: int) -> None:
    """Remove the oldest backups, and objects that none names: manifests first, so that none lacks what it names."""
    for each in there[:-keep]:
        store.delete(manifest_path(each.number))
    store.confirm(BACKUPS)
    named = {object_path(file.sha256) for each in there[-keep:] for file in each.files}
    for found in store.list_all(OBJECTS):
        if found.path not in named:
            store.delete(found.path)


def _digest(path: Path, octets: int) -> str:
    total = hashlib.sha256()
    for _ in _pieces(path, octets, total):
        pass
    return total.hexdigest()


def _pieces(path: Path, octets: int, total: "hashlib._Hash") -> Iterator[bytes]:
    """The first `octets` of a file, added to a digest."""
    with path.open("rb") as file:
        left = octets
        while left and (piece := file.read(min(left, PIECE))):
            total.update(piece)
            left -= len(piece)
            yield piece
    if left:
        raise LedgerError(f"{path} has become shorter", "", "try again")
