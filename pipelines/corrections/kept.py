"""Reference data that the past was charged under, kept: tariffs by content, and the accounts of each opening.

A rerating must price what it does not correct as it was priced. So each run keeps the tariff folder that it charges
under (`reference/tariffs-<hash>.json` in the home, and `reference/<snapshot hash>` that names it), and the commit that
opens accounts carries the rows of accounts.parquet and plans.parquet that it opened.
"""

import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.durable import Disk, put_if_absent
from pipelines.home import Home
from reference_data.accounts import Accounts, accounts_from_arrow
from reference_data.snapshot import Snapshot
from reference_data.tariffs.compile import Tariffs, load_tariffs
from schemas.columns import I64
from schemas.errors import LedgerError, ReferenceDataError

OPENED = "opened_accounts"
_ANY_OCTETS = "surrogateescape"
_REMEDY = "restore it from a backup of the home, or give the tariffs with --as-charged DIR"
_OPENED_FILES = ("accounts.parquet", "plans.parquet")


def keep_reference(home: Home, tariffs_dir: Path, reference: Snapshot, disk: Disk | None = None) -> None:
    """Keep the tariffs behind a snapshot's hash; durable when this returns. Does nothing when they are kept."""
    disk = disk or Disk()
    name = home.reference / reference.content_hash
    if disk.exists(name):
        return
    keep_tariffs(home, tariffs_dir, reference.tariffs, disk)
    put_if_absent(disk, name, reference.tariffs.content_hash.encode(), "reference.keep")


def keep_tariffs(home: Home, tariffs_dir: Path, tariffs: Tariffs, disk: Disk | None = None) -> None:
    """Keep one folder of tariffs by its content hash."""
    disk = disk or Disk()
    if not disk.exists(_tariffs_path(home, tariffs.content_hash)):
        keep_texts(home, read_texts(tariffs_dir), tariffs.content_hash, disk)


def read_texts(tariffs_dir: Path) -> dict[str, str]:
    """Every file of a folder by its name. Whatever else lies in it is kept with it, octets that are no text too."""
    return {str(file.relative_to(tariffs_dir)): file.read_bytes().decode("utf-8", _ANY_OCTETS)
            for file in sorted(tariffs_dir.rglob("*")) if file.is_file()}


def keep_texts(home: Home, texts: Mapping[str, str], tariffs_hash: str, disk: Disk) -> None:
    """Keep a folder that was read, by the content hash of the tariffs that it makes."""
    disk.make_dir(home.reference)
    if not disk.exists(_tariffs_path(home, tariffs_hash)):
        put_if_absent(disk, _tariffs_path(home, tariffs_hash), json.dumps(texts).encode(), "reference.keep")


def tariffs_of_texts(texts: Mapping[str, str]) -> Tariffs:
    """The tariffs of a folder that was read. Raises what `load_tariffs` does."""
    with tempfile.TemporaryDirectory() as folder:
        for relative, text in texts.items():
            target = Path(folder) / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode("utf-8", _ANY_OCTETS))
        return load_tariffs(Path(folder))


def tariffs_of_snapshot(home: Home, snapshot_hash: str) -> Tariffs:
    """The tariffs of a snapshot. Raises LedgerError: they were not kept."""
    name = home.reference / snapshot_hash
    if not name.exists():
        raise LedgerError(f"the tariffs of reference data {snapshot_hash[:12]} are not kept in {home.reference.name}/",
                          "a home whose runs kept them", "give them with --as-charged DIR")
    try:
        return kept_tariffs(home, name.read_text("ascii"))
    except UnicodeDecodeError:
        raise LedgerError(f"{name} is damaged", "the hash of tariffs", _REMEDY) from None


def kept_tariffs(home: Home, tariffs_hash: str) -> Tariffs:
    """Tariffs by their content hash. Raises LedgerError: they were not kept, or are damaged."""
    path = _tariffs_path(home, tariffs_hash)
    if not path.exists():
        raise LedgerError(f"tariffs {tariffs_hash[:12]} are not kept", f"the file {path.name} in {path.parent}")
    try:
        tariffs = tariffs_of_texts(json.loads(path.read_bytes()))
    except (ValueError, AttributeError, OSError, ReferenceDataError) as error:  # no JSON, no object, no file names
        raise LedgerError(f"{path} is damaged: {error}", "tariffs that were kept", _REMEDY) from error
    if tariffs.content_hash != tariffs_hash:
        raise LedgerError(f"{path} is damaged: tariffs {tariffs.content_hash[:12]}", tariffs_hash[:12], _REMEDY)
    return tariffs


def kept_names(home: Home) -> list[tuple[str, int, list[str]]]:
    """(hash, since when in microseconds UTC, names of the files of versions) of all that are kept, newest first."""
    found = []
    for path in home.reference.glob("tariffs-*.json"):
        try:
            names = sorted(Path(name).stem for name in json.loads(path.read_bytes()) if name.endswith(".yaml"))
        except ValueError:
            names = ["damaged"]
        found.append((path.name[len("tariffs-"):-len(".json")], path.stat().st_mtime_ns // 1000, names))
    return sorted(found, key=lambda each: -each[1])


class Opened(NamedTuple):
    """What was opened: rows of accounts.parquet and plans.parquet, and friends by token."""

    accounts: pa.Table
    plans: pa.Table
    friends: pa.Table | None = None


def opened_rows(operator: Path, ids: I64, friends: pa.Table | None = None) -> bytes:
    """Rows of accounts.parquet, plans.parquet and, where there are any, of friends, of the accounts `ids`: one Arrow
    stream after the other."""
    sink = io.BytesIO()
    of_friends = [] if friends is None or not friends.num_rows else [friends]
    for table in [*(pq.read_table(operator / name) for name in _OPENED_FILES), *of_friends]:
        table = table.filter(pc.is_in(table["account_id"], pa.array(ids)))
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table)
    return sink.getvalue()


def read_opened(payload: bytes) -> Opened:
    """What `opened_rows` wrote."""
    source = pa.BufferReader(payload)
    parts = []
    while source.tell() < len(payload):
        parts.append(pa.ipc.open_stream(source).read_all())
    return Opened(*parts)


def opened_from_folder(operator: Path) -> Opened:
    """For ledgers that did not keep what was opened: the operator's files as they are now."""
    return Opened(*(pq.read_table(operator / name) for name in _OPENED_FILES))


def accounts_among(accounts: pa.Table, plans: pa.Table, ids: I64 | None) -> Accounts:
    """Accounts of `ids` only, None for all. Whom they share with must be among them."""
    if ids is not None:
        wanted = pa.array(ids)
        accounts = accounts.filter(pc.is_in(accounts["account_id"].cast(pa.int64()), wanted))
        plans = plans.filter(pc.is_in(plans["account_id"].cast(pa.int64()), wanted))
    return accounts_from_arrow(accounts, plans)


def _tariffs_path(home: Home, tariffs_hash: str) -> Path:
    return home.reference / f"tariffs-{tariffs_hash}.json"
