"""Which reference data is in force: the operator's folder, with the tariffs that were activated last.

A start and a run take the folder as it is. But where its tariffs were rolled back, those that they were rolled back to
stay in force until the folder has others: a restart must not bring back what somebody has taken out of force.
`reference/activated.json` in the home says so. It is written before the node switches: killed in between, the next
start has what was to come into force.
"""

from functools import partial
from pathlib import Path

import msgspec

from pipelines.compiled_inventory import compiled_inventory
from pipelines.corrections.kept import kept_tariffs
from pipelines.durable import Disk, replace_file
from pipelines.home import Home
from reference_data.snapshot import Snapshot, load_snapshot
from schemas.errors import LedgerError, ReferenceDataError

_FILE = "activated.json"


class Activated(msgspec.Struct):
    """Content hashes of tariffs. folder: what the operator's folder had then, "" where that was none; before: what
    `tariffs` took the place of."""

    folder: str
    tariffs: str
    before: str


def read_activated(home: Home) -> Activated | None:
    """What was activated last, None where nothing was. Raises LedgerError: damaged."""
    path = home.reference / _FILE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Activated)
    except (msgspec.DecodeError, OSError) as error:
        raise LedgerError(f"{path} is damaged: {error}", "hashes of tariffs",
                          "remove it: the tariffs of the operator's folder are in force then") from None


def write_activated(home: Home, activated: Activated, disk: Disk) -> None:
    """Durable when this returns."""
    replace_file(disk, home.reference / _FILE, msgspec.json.encode(activated))


def reference_in_force(home: Home, operator: Path, token_key: tuple[int, int]) -> Snapshot:
    """What a start or a run works with. Raises ReferenceDataError, and LedgerError: what is in force was not kept."""
    snapshot = load_snapshot(operator, token_key, partial(compiled_inventory, home))
    activated = read_activated(home)
    if activated is None or activated.folder != snapshot.tariffs.content_hash or \
            activated.tariffs == snapshot.tariffs.content_hash:
        return snapshot
    return snapshot.with_tariffs(kept_tariffs(home, activated.tariffs))


class References:
    """The reference data of one home as it is now and as it was: what has other tariffs is put together from those that
    the home keeps. The rest of the folder is not kept, and must be what it was."""

    def __init__(self, home: Home, given: Snapshot) -> None:
        self._home, self._given = home, given
        self._known = given

    def know(self, snapshot: Snapshot) -> None:
        """`under` is going to be asked for this one."""
        self._known = snapshot

    def under(self, content_hash: str, what: str) -> Snapshot:
        """The reference data of that hash. what: was done under it, for the error.

        Raises LedgerError: its tariffs are not kept, or more than the tariffs has changed since.
        """
        for each in (self._given, self._known):
            if each.content_hash == content_hash:
                return each
        name = self._home.reference / content_hash
        tariffs_hash = name.read_text("ascii", "replace") if content_hash and name.is_file() else ""
        if not tariffs_hash or self._given.hash_with(tariffs_hash) != content_hash:
            raise LedgerError(f"{what} reference data {content_hash[:12]}", f"that, not "
                              f"{self._given.content_hash[:12]}, which differs in more than its tariffs",
                              "run once with the reference data as it was, then with the new one")
        try:
            self._known = self._given.with_tariffs(kept_tariffs(self._home, tariffs_hash))
        except ReferenceDataError as error:
            raise LedgerError(str(error)) from error
        return self._known
