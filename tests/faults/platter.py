"""What a disk still holds when the power fails: synced bytes under synced names, and of the rest whatever luck left.

A SIGKILL leaves the page cache, so it proves little about a power cut. The platter keeps, outside the folder under
test, a copy of every file's bytes as of its last sync and of every folder's names as of its last sync. `lose_power`
then rebuilds the folder from it: strictly (nothing unsynced survives), or with a random part of the unsynced names
and of the bytes behind the last sync, torn anywhere, sectors missing. It lives in files, since the writer is killed.
"""

import json
import os
import random
import shutil
import stat
import threading
from pathlib import Path

SECTOR = 512


class Platter:
    """The durable image of everything below `root`, kept in `store`."""

    def __init__(self, root: Path, store: Path) -> None:
        self.root, self._store = root, store
        self._lock = threading.Lock()
        for part in ("names", "bytes", "pinned"):
            (store / part).mkdir(parents=True, exist_ok=True)
        self._adopt(root)

    # told by the disk under test

    def file_synced(self, path: Path) -> None:
        """The bytes of `path` are durable now, whatever its name is."""
        with self._lock:
            status = path.stat()
            self._pin(path, status.st_ino)
            shutil.copyfile(path, self._store / "bytes" / str(status.st_ino))

    def range_synced(self, path: Path, start: int, stop: int) -> None:
        """Of a growing file only [start, stop) has changed since it was last synced; it ends at its present length."""
        with self._lock:
            status = path.stat()
            self._pin(path, status.st_ino)
            copy = os.open(self._store / "bytes" / str(status.st_ino), os.O_RDWR | os.O_CREAT, 0o600)
            with path.open("rb") as file:
                os.pwrite(copy, os.pread(file.fileno(), stop - start, start), start)
            os.ftruncate(copy, status.st_size)
            os.close(copy)

    def names_synced(self, folder: Path) -> None:
        """The names in `folder` are durable now."""
        if folder != self.root and self.root not in folder.parents:
            return
        with self._lock:
            names = _names(folder)
            for name, (inode, mode) in names.items():
                if not stat.S_ISDIR(mode):
                    self._pin(folder / name, inode)
            place = self._names_file(folder)
            aside = place.with_suffix(".aside")
            aside.write_text(json.dumps(names))
            aside.replace(place)

    # told by the test

    def lose_power(self, seed: int | None = None) -> None:
        """Rebuild the folder as it is found when the power is back. `seed` None: nothing unsynced has survived."""
        luck = None if seed is None else random.Random(seed)
        rebuilt = self._store / "rebuilt"
        rebuilt.mkdir()
        if self.root.exists():
            self._rebuild(self.root, rebuilt, luck)
            mode = stat.S_IMODE(self.root.stat().st_mode)
            shutil.rmtree(self.root)
            rebuilt.replace(self.root)
            self.root.chmod(mode)
        for part in ("names", "bytes", "pinned"):
            shutil.rmtree(self._store / part)
            (self._store / part).mkdir()
        self._adopt(self.root)

    def _rebuild(self, live: Path, target: Path, luck: random.Random | None) -> None:
        place = self._names_file(live)
        synced: dict[str, tuple[int, int]] = json.loads(place.read_text()) if place.exists() else {}
        unsynced = _names(live) if live.exists() else {}
        for name in sorted({*synced, *unsynced}):
            now, then = unsynced.get(name), synced.get(name)
            if then is not None:
                then = (then[0], then[1])
            chosen = now if luck is not None and now != then and luck.random() < 0.5 else then
            if chosen is None:
                continue
            inode, mode = chosen
            if stat.S_ISDIR(mode):
                (target / name).mkdir()
                self._rebuild(live / name, target / name, luck)
            else:
                (target / name).write_bytes(self._surviving(inode, luck))
            (target / name).chmod(stat.S_IMODE(mode))

    def _surviving(self, inode: int, luck: random.Random | None) -> bytes:
        """Synced bytes of a file; with luck also part of what was written since."""
        copy = self._store / "bytes" / str(inode)
        synced = copy.read_bytes() if copy.exists() else b""
        pinned = self._store / "pinned" / str(inode)
        if luck is None or not pinned.exists():
            return synced
        written = pinned.read_bytes()
        if written == synced or luck.random() < 0.3:
            return synced
        length = luck.randint(min(len(synced), len(written)), max(len(synced), len(written)))
        torn = bytearray(written[:length].ljust(length, b"\0"))
        for start in range(0, length, SECTOR):
            stop = min(start + SECTOR, length)
            if luck.random() < 0.3 or torn[start:stop] == synced[start:stop]:
                torn[start:stop] = synced[start:stop].ljust(stop - start, b"\0")
        # What was synced is there, unless a later write to the same place or a cut got through.
        same = next((i for i, (a, b) in enumerate(zip(synced, written, strict=False)) if a != b),
                    min(len(synced), len(written)))
        torn[:same] = synced[:same]
        return bytes(torn)

    def _adopt(self, folder: Path) -> None:
        """What is there at the start, or when power is back, is durable."""
        if not folder.exists():
            return
        self.names_synced(folder)
        for child in folder.iterdir():
            if child.is_dir():
                self._adopt(child)
            else:
                self.file_synced(child)

    def _pin(self, path: Path, inode: int) -> None:
        """Keep the inode, so that its number is not used again and its unsynced bytes can be read."""
        pinned = self._store / "pinned" / str(inode)
        if not pinned.exists():
            os.link(path, pinned)

    def _names_file(self, folder: Path) -> Path:
        relative = folder.relative_to(self.root).as_posix()
        return self._store / "names" / f"{relative.replace('/', '%') or '%'}.json"


def _names(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for entry in os.scandir(folder):
        status = entry.stat(follow_symlinks=False)
        found[entry.name] = (status.st_ino, status.st_mode)
    return found
