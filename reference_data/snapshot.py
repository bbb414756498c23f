"""The reference snapshot: everything that was true, in immutable arrays, under one content hash."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa

from reference_data.changes import Changes
from reference_data.friends import friends_content, load_friends
from reference_data.inventory import Inventory, load_inventory
from reference_data.number_plan import NumberPlan, load_number_plan
from reference_data.operator import Operator, load_operator
from reference_data.prefix_trie import PrefixTrie
from reference_data.streams import Streams, load_streams
from reference_data.tariffs.compile import Tariffs, load_tariffs
from schemas.errors import ReferenceDataError


@dataclass(frozen=True)
class Snapshot:
    """What a batch is mediated and charged under. `content_hash` names it in journal and ledger.

    deck_prefixes: every prefix that any tariff's deck distinguishes; a usage event keeps that much of a number.
    friends: see `reference_data.friends`; None where nobody asked. changes: what commands changed in the inventory
    since, no part of the hash.
    """

    operator: Operator
    streams: Streams
    number_plan: NumberPlan
    inventory: Inventory
    tariffs: Tariffs
    deck_prefixes: PrefixTrie
    content_hash: str
    friends: pa.Table | None = None
    changes: Changes = field(default_factory=Changes)


def load_snapshot(operator_dir: Path, token_key: tuple[int, int]) -> Snapshot:
    """Read the operator's folder. `token_key` is the SipHash key (k0, k1) of tokens; it is no part of the hash.

    Raises ReferenceDataError, naming file and key, when anything cannot be used.
    """
    operator = load_operator(operator_dir / "operator.yaml")
    streams = load_streams(operator_dir / "streams.yaml")
    number_plan = load_number_plan(operator_dir / "number_plan.yaml")
    if number_plan.file.country_code != operator.country_code:
        raise ReferenceDataError(f"number_plan.yaml, country_code: {number_plan.file.country_code!r}",
                                 f"that of operator.yaml, {operator.country_code!r}", "correct one of the two")
    inventory = load_inventory(operator_dir, token_key)
    friends = load_friends(operator_dir, token_key, inventory.accounts.account_id)
    tariffs = load_tariffs(operator_dir / "tariffs")
    prefixes = sorted({prefix for version in tariffs.versions for deck in version.decks.values() for prefix in deck})
    digest = hashlib.sha256()
    for part in (msgspec.json.encode(operator, order="deterministic"),
                 msgspec.json.encode(streams, order="deterministic"), number_plan.canonical,
                 repr(inventory.content).encode(), tariffs.content_hash.encode(),
                 *([friends_content(operator_dir)] if friends.num_rows else [])):
        digest.update(len(part).to_bytes(8, "little") + part)
    return Snapshot(operator, streams, number_plan, inventory, tariffs,
                    PrefixTrie.build(prefixes, [0] * len(prefixes)), digest.hexdigest(), friends)
