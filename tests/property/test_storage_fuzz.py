"""Whatever is done to the bytes of keys, vault, journal, snapshots, archive and duplicate runs: what comes back is
what was written, or an older whole state where the format promises one, or a LedgerError. Nothing else."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from mediation.duplicate_runs import Run
from mediation.duplicates import DuplicateIndex
from mediation.kernels.duplicates import RUN_COLUMNS
from pipelines.archive import Archive
from pipelines.journal import Block, Clock, Command, Journal
from pipelines.keys import ErasedError, Keys
from pipelines.snapshots import Snapshots
from pipelines.vault import Vault
from schemas.errors import LedgerError
from tests.oracle.duplicates import Record
from tests.oracle.duplicates_batch import batch
from tests.property.damage import Damage, damages

DAY_US = 86_400_000_000
ENTRIES = 9
Reader = Callable[[Path], Any]
TOKENS = 60


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home's rooms but for the ledger, each with several files."""
    home = tmp_path_factory.mktemp("fuzz") / "home"
    keys = Keys.open(home / "keys")
    archive = Archive(home / "archive", keys)
    for file_id in range(3):
        archive.write(file_id, file_id * DAY_US, b"%d," % file_id * 500)
    keys.destroy("day-1970-01-03-0000", {"who": "nina", "why": "retention"})
    with Vault(home / "vault", keys, seal_rows=25) as vault:
        for n in range(0, TOKENS, 10):
            token = np.arange(n, n + 10, dtype=np.int64)
            vault.remember(token, 0, token * 7, [f"text {t}" if t % 3 == 0 else None for t in token])
        vault.erase(np.array([3]), "nina", "request", 1)
        vault.remember(np.array([1000]), 0, np.array([1]), None)
        vault.lookup(np.array([1, 2]), "nina", "test", 2)
    with Journal.open(home / "journal", None, 0, 300, 128) as journal:
        for n in range(0, ENTRIES, 3):
            journal.append([Block(n, bytes(32), 0, n), Command(b'{"n":%d}' % n), Clock(n)])
    snapshots = Snapshots(home / "snapshots")
    for position in (3, 9):
        snapshots.write(position, {"a": np.arange(position), "t": pa.table({"x": [position]}), "b": b"octets"},
                        {"kernel": "1"})
    key, file_id, offset, oldest_us, _ = batch(records(1))
    index = DuplicateIndex(home / "runs")
    run = index.add(key, file_id, offset, index.probe(key, file_id, offset, oldest_us), 1)
    assert run is not None
    (home / "runs").mkdir()
    (home / "runs" / "keys.run").write_bytes(run.payload)
    yield home
    shutil.rmtree(home)


def records(file_id: int) -> list[Record]:
    return [Record((1, n, 20, 30, 40), n * DAY_US // 4, 7, file_id, n) for n in range(20)]


def told(reader: Reader, home: Path) -> Any:
    """What a reader says; "refused" for the one error it may raise."""
    try:
        return reader(home)
    except LedgerError:
        return "refused"


def read_keys(home: Path) -> Any:
    keys = Keys.open(home / "keys")
    opened = (keys.token_key, keys.vault_key, keys.archive_key, keys.public_key)
    return opened, [keys.sealed(n, keys.archive_key) for n in keys.sealed_names() if n.startswith("day-")]


def read_note(home: Path) -> Any:
    keys = Keys.open(home / "keys")
    try:
        keys.sealed("day-1970-01-03-0000", keys.archive_key)
    except ErasedError:
        return type(keys.destroyed("day-1970-01-03-0000"))
    return None


def read_vault(home: Path) -> Any:
    with Vault(home / "vault", Keys.open(home / "keys"), write=False) as vault:
        found = vault.lookup(np.append(np.arange(TOKENS), 1000), "nina", "test", 3)
        return {int(found.token[i]): found.shown(i) for i in range(len(found))}


def read_audit(home: Path) -> Any:
    with Vault(home / "vault", Keys.open(home / "keys"), write=False) as vault:
        return vault.audit.entries()


def read_journal(home: Path) -> Any:
    with Journal.open(home / "journal", at_least=ENTRIES) as journal:
        return list(journal.read(0))


def read_snapshot(home: Path) -> Any:
    found = Snapshots(home / "snapshots").newest()
    if found is None:
        return None
    return found.position, found.items["a"].tolist(), found.items["t"].to_pylist(), found.items["b"], found.names


def read_archive(home: Path) -> Any:
    archive = Archive(home / "archive", Keys.open(home / "keys"))
    return [archive.read_all(0), archive.read(1, 700, 9), archive.stat(1).octets]


def read_runs(home: Path) -> Any:
    run = Run.open(home / "runs", "keys.run")
    rows = np.zeros((RUN_COLUMNS, run.rows), np.int64)
    return [(run.decode(b, rows), rows.tolist()) for b in range(len(run.directory))]


def probed(home: Path) -> Any:
    """Filters and keys are not checked at each look: a damaged block may give another verdict, and no error."""
    index = DuplicateIndex(home / "runs", ["keys.run"])
    key, file_id, offset, oldest_us, _ = batch(records(2))
    return len(index.probe(key, file_id, offset, oldest_us).verdict)


READERS: dict[str, list[Reader]] = {
    "keys": [read_keys, read_note, read_archive, read_vault], "vault": [read_audit, read_vault],
    "journal": [read_journal], "snapshots": [read_snapshot], "archive": [read_archive], "runs": [read_runs, probed]}


@pytest.fixture(scope="module")
def whole(master: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Reader, Any]:
    """What every reader says of a home that nothing befell."""
    said = {}
    for reader in {reader for readers in READERS.values() for reader in readers}:
        home = tmp_path_factory.mktemp("whole") / "home"
        shutil.copytree(master, home)  # each its own: who asks the vault leaves a trace
        said[reader] = reader(home)
    return said


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages())
def test_damage_is_refused_or_does_not_matter(master: Path, whole: dict[Reader, Any], tmp_path: Path, damage: Damage
                                              ) -> None:
    rooms = sorted(READERS)
    room = rooms[damage.place % len(rooms)]
    home = tmp_path / "home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(master, home)
    files = sorted(path for path in (home / room).rglob("*") if path.is_file() and path.name != "lock")
    path = files[damage.place // len(rooms) % len(files)]
    path.write_bytes(damage(path.read_bytes()))
    for reader in READERS[room]:
        found, expected = told(reader, home), whole[reader]
        assert found in ("refused", expected) or older(reader, path, found, expected), \
            f"{path.relative_to(home)} {damage}: {reader.__name__} gives {found}, not {expected}"


def older(reader: Reader, path: Path, found: Any, expected: Any) -> bool:
    """What the formats promise instead: the snapshot before; the vault's log or the audit log without its tail."""
    if reader is read_snapshot:
        return bool(found[:3] == (3, [0, 1, 2], [{"x": 3}])) and path.name.endswith("9.snapshot")
    if reader is read_vault:
        return path.name.startswith("log-") and found.items() <= expected.items()
    if reader is read_audit:
        return path.name == "audit.log" and found == expected[:len(found)]
    return False
