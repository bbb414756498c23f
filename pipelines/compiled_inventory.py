"""The inventory of an operator's folder as it was compiled last, so that a restart of millions computes nothing.

`compiled/` of a home holds it as arrays in the file format of snapshots, under a hash of all it was made of: the
Parquet files octet for octet, the key of tokens, the sources of what compiles it. Anything else there, or damaged, is
as if it was not there, and is replaced. It holds tokens and no numbers. No backup takes it along. It is mapped, and
checked through the same map: a node and a run beside it have it in memory once.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import reference_data.inventory
from pipelines.durable import Disk
from pipelines.home import Home
from pipelines.snapshots import Snapshots
from reference_data.accounts import load_accounts
from reference_data.inventory import FILES, AccountIds, IntervalIndex, Inventory, load_inventory
from schemas.errors import LedgerError
from schemas.jit import source_hash

WORTH_ROWS = 200_000  # of identities: fewer are compiled faster than the disk has written them
_AT_ONCE = 1 << 20


def compiled_inventory(home: Home, operator: Path, token_key: tuple[int, int], disk: Disk | None = None) -> Inventory:
    """As `load_inventory`, which it is where the home has none that was made of the same. Keeps what it made.

    Raises ReferenceDataError.
    """
    kept, key = Snapshots(home.compiled, disk), _key(operator, token_key)
    if key:
        with contextlib.suppress(LedgerError, OSError):  # of a newer release
            found = kept.newest(own=False)
            if found is not None and found.names.get("key") == key:
                return _restored(found.items)
    inventory = load_inventory(operator, token_key)
    load_accounts(operator)  # refused now, not when some are to be opened: that may be never
    if key and inventory.holders.rows.shape[0] >= WORTH_ROWS:
        with contextlib.suppress(OSError):  # a full disk, or another process that keeps the same now
            kept.write(0, _items(inventory), {"key": key})
    return inventory


def _key(operator: Path, token_key: tuple[int, int]) -> str:
    """Hash of all that an inventory is made of; "" where a file cannot be read."""
    digest = hashlib.sha256(source_hash(Path(reference_data.inventory.__file__).resolve()).encode())
    digest.update(b"%d,%d" % token_key)
    for name in FILES:
        try:
            with (operator / f"{name}.parquet").open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError:
            return ""
    return digest.hexdigest()


def _items(inventory: Inventory) -> dict[str, object]:
    facts = {"networks": inventory.networks, "holders": inventory.holders.shift, "ported": inventory.ported.shift,
             "content": [[name, str(value)] for name, value in inventory.content]}
    return {"account_id": inventory.accounts.account_id, "group_id": inventory.accounts.group_id,
            "service_ids": inventory.service_ids, "facts": json.dumps(facts).encode(),
            "holders": inventory.holders.rows, "holders_directory": inventory.holders.directory,
            "ported": inventory.ported.rows, "ported_directory": inventory.ported.directory}


def _restored(items: Mapping[str, Any]) -> Inventory:
    """What `_items` gave: arrays that nobody can write."""
    facts = json.loads(items["facts"])
    arrays = {name: np.asarray(array) for name, array in items.items() if name != "facts"}
    for array in arrays.values():
        array.setflags(write=False)
    holders, ported = (IntervalIndex(arrays[name], arrays[f"{name}_directory"], facts[name])
                       for name in ("holders", "ported"))
    return Inventory(AccountIds(arrays["account_id"], arrays["group_id"]), holders, ported, tuple(facts["networks"]),
                     tuple((name, int(value)) for name, value in facts["content"]), arrays["service_ids"])
