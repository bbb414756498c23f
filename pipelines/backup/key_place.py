"""A second place for the keys of a home: apart from its backups, and one for all of them.

A backup without keys says nothing to whoever finds it; and a key that was destroyed to forget somebody must not live on
in every backup. So keys are copied to a place of their own, which each backup brings up to date: new ones are added,
destroyed ones are destroyed there too. Keys that were only replaced stay, since older backups need them; but not beyond
an erasure in the vault: what was erased stood in the files before it as well.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from pipelines.durable import Disk, put_if_absent
from schemas.errors import LedgerError

SEALED = "sealed"
_VAULT = "vault-"


def copy_keys(keys: Path, place: Path, disk: Disk) -> None:
    """Bring `place` up to date with the keys of a home. Raises LedgerError: it has keys of another."""
    _make_private(place, disk)
    _make_private(place / SEALED, disk)
    names = list(_names(keys, disk))
    if any(_is_of_vault(name) and name.endswith(".gone") and not disk.exists(place / name) for name in names):
        for name in _names(place, disk):
            if _is_of_vault(name) and name.endswith(".key") and name not in names:
                disk.unlink(place / name)
    for name in names:  # notes of what is gone come last: who is killed before does it again
        if name.endswith(".gone"):
            disk.unlink(place / name.replace(".gone", ".key"))
        _put(keys / name, place / name, disk)
    disk.sync_dir(place / SEALED)


def restore_keys(place: Path, keys: Path, of_vault: Collection[str], disk: Disk) -> None:
    """Copy keys into a home that has none. of_vault: names of the files that its vault has; keys of others stay."""
    _make_private(keys, disk)
    _make_private(keys / SEALED, disk)
    for name in _names(place, disk):
        stem = Path(name).stem
        if not stem.startswith(_VAULT) or stem.removeprefix(_VAULT) in of_vault:
            _put(place / name, keys / name, disk)


def _names(folder: Path, disk: Disk) -> Iterator[str]:
    for name in disk.list_dir(folder):
        if name.endswith(".key") and not name.startswith("."):
            yield name
    sealed = [name for name in disk.list_dir(folder / SEALED) if not name.startswith(".")]
    for kind in (".key", ".gone"):
        for name in sealed:
            if name.endswith(kind):
                yield f"{SEALED}/{name}"


def _is_of_vault(name: str) -> bool:
    return Path(name).name.startswith(_VAULT)


def _put(source: Path, target: Path, disk: Disk) -> None:
    try:
        content = disk.read(source)
    except FileNotFoundError:
        return  # replaced since it was listed
    if target.suffix == ".key" and disk.exists(target.with_suffix(".gone")):
        return
    if not put_if_absent(disk, target, content, "backup.key", 0o600) and disk.read(target) != content:
        raise LedgerError(f"{target} is another key than the home's", "an empty place, or one for backups of this home",
                          "choose another place for the keys")


def _make_private(folder: Path, disk: Disk) -> None:
    if not disk.exists(folder):
        disk.make_dir(folder.parent)
        folder.mkdir(0o700, exist_ok=True)
        disk.sync_dir(folder.parent)
    if folder.stat().st_mode & 0o077:
        raise LedgerError(f"{folder} is open to others", "its owner alone", f"chmod go-rwx {folder}")
