"""Where a ledger lies: a local folder, or an object store by URL. Names are relative, with "/" between parts.

Both promise the same: `write` makes a new object whose bytes survive a power cut once `settle` has returned;
`put_new` creates an object whole, durable and only if it is absent, and says who was first.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import from_url

from pipelines.durable import ASIDE, Disk, Payload, put_if_absent, reached, replace_file
from schemas.errors import LedgerError


@dataclass(frozen=True)
class StoredObject:
    """One object: its name, its size, and when it was last written (seconds of Unix time)."""

    path: str
    octets: int
    modified_s: float


class Store(Protocol):
    """What the ledger asks of a place."""

    @property
    def location(self) -> str: ...

    @property
    def local_folder(self) -> Path | None:
        """Where its objects are ordinary files, if they are."""

    def write(self, path: str, chunks: Iterable[Payload]) -> None:
        """Create an object that must not exist. Durable after `settle`."""

    def settle(self) -> None:
        """Make every name written so far durable."""

    def put_new(self, path: str, payload: Payload, crash_point: str) -> bool:
        """Create `path` whole and durable unless it exists; False when somebody was first."""

    def replace(self, path: str, payload: Payload) -> None:
        """Put `payload` in place of what `path` holds, whole and durable."""

    def read(self, path: str) -> bytes:
        """The object's bytes. Raises FileNotFoundError."""

    def read_many(self, paths: Sequence[str]) -> list[bytes]:
        """As `read`, for many small objects."""

    def sha256(self, path: str) -> str:
        """Hex digest of an object of any size, in bounded memory. Raises FileNotFoundError."""

    def list_all(self, folder: str) -> list[StoredObject]:
        """Everything below `folder`, sorted by name; what is still being written is included."""

    def list_names(self, folder: str) -> list[str]:
        """Names of the objects right below `folder`, sorted; cheaper than `list_all`."""

    def list_folders(self, folder: str) -> list[str]:
        """Last parts of the names of the folders right below `folder`, sorted."""

    def confirm(self, folder: str) -> None:
        """Make durable the names that are seen in `folder`: another writer may have died before doing so."""

    def delete(self, path: str) -> None:
        """Remove; nothing happens when it is gone already."""


class LocalStore:
    """A folder. All writing goes through `Disk`."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self.folder, self.disk = folder, disk or Disk()
        self.location = str(folder)
        self.local_folder: Path | None = folder
        self._unsettled: set[Path] = set()
        self._made: set[Path] = set()
        self._lock = threading.Lock()

    def write(self, path: str, chunks: Iterable[Payload]) -> None:
        target = self.folder / path
        self._make(target.parent)
        with self._lock:
            self._unsettled.add(target.parent)
        self.disk.write_new(target, chunks)

    def settle(self) -> None:
        with self._lock:
            folders, self._unsettled = sorted(self._unsettled), set()
        try:
            for folder in folders:
                self.disk.sync_dir(folder)
        except BaseException:
            with self._lock:
                self._unsettled.update(folders)
            raise

    def put_new(self, path: str, payload: Payload, crash_point: str) -> bool:
        target = self.folder / path
        self._make(target.parent)
        return put_if_absent(self.disk, target, payload, crash_point)

    def replace(self, path: str, payload: Payload) -> None:
        target = self.folder / path
        self._make(target.parent)
        replace_file(self.disk, target, payload)

    def read(self, path: str) -> bytes:
        return self.disk.read(self.folder / path)

    def read_many(self, paths: Sequence[str]) -> list[bytes]:
        return [self.disk.read(self.folder / path) for path in paths]

    def sha256(self, path: str) -> str:
        with (self.folder / path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def list_all(self, folder: str) -> list[StoredObject]:
        found: list[StoredObject] = []
        self._walk(self.folder / folder if folder else self.folder, found)
        return sorted(found, key=lambda each: each.path)

    def list_names(self, folder: str) -> list[str]:
        return [f"{folder}/{name}" for name in self.disk.list_dir(self.folder / folder)]

    def list_folders(self, folder: str) -> list[str]:
        return [name for name in self.disk.list_dir(self.folder / folder) if (self.folder / folder / name).is_dir()]

    def confirm(self, folder: str) -> None:
        if self.disk.exists(self.folder / folder):
            self.disk.sync_dir(self.folder / folder)

    def delete(self, path: str) -> None:
        self.disk.unlink(self.folder / path)

    def _walk(self, folder: Path, found: list[StoredObject]) -> None:
        for name in self.disk.list_dir(folder):
            path = folder / name
            if path.is_dir():
                self._walk(path, found)
                continue
            with contextlib.suppress(FileNotFoundError):  # another writer's aside name, gone since it was listed
                found.append(StoredObject(path.relative_to(self.folder).as_posix(), self.disk.octets(path),
                                          self.disk.modified_s(path)))

    def _make(self, folder: Path) -> None:
        if folder not in self._made:
            self.disk.make_dir(folder)
            self._made.add(folder)


class ObjectStore:
    """An S3-compatible store (or any other that obstore reaches) by URL. A put is whole and durable by itself."""

    def __init__(self, url: str, options: dict[str, Any] | None = None) -> None:
        self.location = url
        self.local_folder: Path | None = None
        self.backend = from_url(url, **(options or {}))

    def write(self, path: str, chunks: Iterable[Payload]) -> None:
        # Names of staged files are never used twice, so that no condition is needed here.
        obstore.put(self.backend, path, _joined(chunks))

    def settle(self) -> None:
        return

    def put_new(self, path: str, payload: Payload, crash_point: str) -> bool:
        reached(f"{crash_point}.1")
        try:
            obstore.put(self.backend, path, bytes(payload), mode="create")
        except AlreadyExistsError:
            return False
        reached(f"{crash_point}.2")
        return True

    def replace(self, path: str, payload: Payload) -> None:
        obstore.put(self.backend, path, bytes(payload))

    def read(self, path: str) -> bytes:
        return bytes(obstore.get(self.backend, path).bytes())

    def read_many(self, paths: Sequence[str]) -> list[bytes]:
        with ThreadPoolExecutor(max_workers=32) as pool:
            return list(pool.map(self.read, paths))

    def sha256(self, path: str) -> str:
        total = hashlib.sha256()
        for chunk in obstore.get(self.backend, path).stream():
            total.update(chunk)
        return total.hexdigest()

    def list_all(self, folder: str) -> list[StoredObject]:
        prefix = f"{folder}/" if folder else None
        found = [StoredObject(str(meta["path"]), int(meta["size"]), meta["last_modified"].timestamp())
                 for chunk in obstore.list(self.backend, prefix=prefix) for meta in chunk]
        return sorted(found, key=lambda each: each.path)

    def list_names(self, folder: str) -> list[str]:
        return [each.path for each in self.list_all(folder) if "/" not in each.path[len(folder) + 1:]]

    def list_folders(self, folder: str) -> list[str]:
        found = obstore.list_with_delimiter(self.backend, prefix=f"{folder}/")
        return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"])

    def confirm(self, folder: str) -> None:
        """Nothing to do: what is seen in an object store is durable."""

    def delete(self, path: str) -> None:
        try:
            obstore.delete(self.backend, path)
        except FileNotFoundError:
            return


def open_store(location: str | Path | Store, options: dict[str, Any] | None = None, disk: Disk | None = None) -> Store:
    """The store at a folder path or URL (s3://bucket/prefix, gs://, az://, memory:// in tests).

    options: obstore's store settings (endpoint, region, credentials); those in the environment are used as well.
    """
    if not isinstance(location, str | Path):
        return location
    text = str(location)
    if "://" in text and not text.startswith("file://"):
        try:
            return ObjectStore(text, options)
        except Exception as error:
            raise LedgerError(f"ledger location {text}: {error}", "a folder, or a URL such as s3://bucket/ledger") \
                from error
    return LocalStore(Path(text.removeprefix("file://")), disk)


def is_aside(path: str) -> bool:
    """Whether this is what a writer that died left of a file it was still writing."""
    return PurePosixPath(path).name.startswith(ASIDE)


def _joined(chunks: Iterable[Payload]) -> bytes:
    return b"".join(chunks)
