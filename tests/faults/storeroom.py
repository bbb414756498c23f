"""A small job over keys, archive, vault, journal and snapshots, as a run uses them, for tests that break it.

It folds twelve batches into one number. What is durable when it is stopped decides where it goes on.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.archive import Archive
from pipelines.durable import Disk
from pipelines.journal import Block, Clock, Command, Entry, Journal
from pipelines.keys import Keys
from pipelines.snapshots import Snapshots
from pipelines.vault import Vault
from schemas.errors import InvariantError

BATCHES, GROUP = 12, 3
_DAY_US = 86_400_000_000


def content_of(batch: int) -> bytes:
    """The "file" of a batch."""
    return np.random.default_rng(batch).integers(0, 9, 3000, dtype=np.uint8).tobytes()


def entries_of(batch: int) -> list[Entry]:
    return [Block(batch, hashlib.sha256(content_of(batch)).digest(), 0, batch), Command(b'{"n":%d}' % batch),
            Clock(batch * 1_000_000)]


def fold(total: int, entry: Entry) -> int:
    """Order matters."""
    return int.from_bytes(hashlib.sha256(f"{total} {entry}".encode()).digest()[:7], "big")


def tokens_of(batch: int) -> tuple[np.ndarray, np.ndarray]:
    value = np.arange(batch * 40, batch * 40 + 60, dtype=np.int64)  # a third was seen by the batch before
    return value * 7_919 + 11, value


def job(home: Path, answered: Path, disk: Disk) -> dict[str, Any]:
    """Do what is left to do, return what there is at the end. `answered`, outside of the home, holds the promise."""
    promised = int(answered.read_text()) if answered.exists() else 0
    keys = Keys.open(home / "keys", disk)
    archive, snapshots = Archive(home / "archive", keys, disk), Snapshots(home / "snapshots", disk)
    newest = snapshots.newest()
    start, total = (newest.position, int(newest.items["total"][0])) if newest else (0, 0)
    with (Vault(home / "vault", keys, disk, seal_rows=100) as vault,
          Journal.open(home / "journal", disk, max(start, promised), 800, 512) as journal):
        for _, entry in journal.read(start):
            total = fold(total, entry)
        if journal.position % GROUP:
            raise InvariantError("half a group survived")
        for batch in range(journal.position // GROUP, BATCHES):
            archive.write(batch, batch * _DAY_US // 4, content_of(batch))
            token, value = tokens_of(batch)
            vault.remember(token, 0, value, [f"text {v}" if v % 5 == 0 else None for v in value])
            journal.append(entries_of(batch))
            _promise(answered, journal.position)
            for entry in entries_of(batch):
                total = fold(total, entry)
            if batch % 3 == 2:
                snapshots.write(journal.position, {"total": np.array([total])}, {"kernel": "1"})
                journal.trim(snapshots.retain(2), journal.position)
        return _what_there_is(archive, vault, journal, total)


def _promise(answered: Path, position: int) -> None:
    aside = answered.with_suffix(".aside")
    aside.write_text(str(position))
    aside.replace(answered)


def _what_there_is(archive: Archive, vault: Vault, journal: Journal, total: int) -> dict[str, Any]:
    token = np.concatenate([tokens_of(b)[0] for b in range(BATCHES)])
    found = vault.lookup(token, "test", "comparison", 0)
    shown = [[int(found.token[i]), found.shown(i)] for i in range(len(found))]
    return {"total": total, "position": journal.position, "tokens": len(vault),
            "vault": hashlib.sha256(json.dumps(shown).encode()).hexdigest(),
            "archive": hashlib.sha256(b"".join(archive.read_all(b) for b in range(BATCHES))).hexdigest()}


def leftovers(home: Path) -> list[str]:
    """Files in vault and journal that nothing names."""
    named = json.loads((home / "vault" / "manifest.json").read_text())
    known = {f"{n}.vault" for n in [*named["runs"], named["log"]]}
    return sorted(p.name for p in (home / "vault").glob("*.vault") if p.name not in known)
