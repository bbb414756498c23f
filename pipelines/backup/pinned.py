"""Files that a home removes when it has done with them, kept for the time of a backup by a further name.

The names lie in a folder `.backup` beside the files, where nobody else looks. What a backup that was killed has left of
them the next one removes: until then it costs room and nothing else.
"""

from collections.abc import Callable
from pathlib import Path

from pipelines.durable import Disk

FOLDER = ".backup"


class Pins:
    """Further names of files; `clear` gives all of them up."""

    def __init__(self, disk: Disk, *folders: Path) -> None:
        """folders: where an earlier one may have left some."""
        self._disk, self._folders = disk, {folder / FOLDER for folder in folders}
        self.clear()

    def pin(self, path: Path) -> Path | None:
        """Another name for a file, by which it can be read whatever becomes of the first. None: it has gone."""
        folder = path.parent / FOLDER
        self._folders.add(folder)
        other = folder / path.name
        try:
            self._disk.make_dir(folder)
            self._disk.link_new(path, other)
        except FileNotFoundError:
            return None
        except FileExistsError:
            pass  # pinned before
        return other

    def pin_newest(self, folder: Path, wanted: Callable[[str], bool]) -> Path:
        """Pin files of a folder from the last name to the first, as long as they are there: they are removed from the
        first on, so that what is pinned has no gap. Returns the folder with their names."""
        self._folders.add(folder / FOLDER)
        for name in sorted(filter(wanted, self._disk.list_dir(folder)), reverse=True):
            if self.pin(folder / name) is None:
                break
        return folder / FOLDER

    def clear(self) -> None:
        """Give up all names."""
        for folder in self._folders:
            if folder.is_dir():
                for name in self._disk.list_dir(folder):
                    self._disk.unlink(folder / name)
                folder.rmdir()

    def __enter__(self) -> "Pins":
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
