"""The reference snapshot: everything that was true, in immutable arrays, under one content hash."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
    since, no part of the hash. beside: what the hash takes in beside the tariffs, before them and after.
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
    beside: tuple[tuple[bytes, ...], tuple[bytes, ...]] = ((), ())

    def with_tariffs(self, tariffs: Tariffs) -> "Snapshot":
        """All of it but the tariffs: what `load_snapshot` gives of the same folder with those in it."""
        return replace(self, tariffs=tariffs, deck_prefixes=_deck_prefixes(tariffs),
                       content_hash=self.hash_with(tariffs.content_hash))

    def hash_with(self, tariffs_hash: str) -> str:
        """The content hash that it has with tariffs of that hash."""
        before, after = self.beside
        digest = hashlib.sha256()
        for part in (*before, tariffs_hash.encode(), *after):
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()


def load_snapshot(operator_dir: Path, token_key: tuple[int, int],
                  inventory_of: Callable[[Path, tuple[int, int]], Inventory] = load_inventory) -> Snapshot:
    """Read the operator's folder. `token_key` is the SipHash key (k0, k1) of tokens; it is no part of the hash.

    inventory_of: for who has it compiled already.

    Raises ReferenceDataError, naming file and key, when anything cannot be used.
    """
    operator = load_operator(operator_dir / "operator.yaml")
    streams = load_streams(operator_dir / "streams.yaml")
    number_plan = load_number_plan(operator_dir / "number_plan.yaml")
    if number_plan.file.country_code != operator.country_code:
        raise ReferenceDataError(f"number_plan.yaml, country_code: {number_plan.file.country_code!r}",
                                 f"that of operator.yaml, {operator.country_code!r}", "correct one of the two")
    inventory = inventory_of(operator_dir, token_key)
    friends = load_friends(operator_dir, token_key, inventory.accounts.account_id)
    tariffs = load_tariffs(operator_dir / "tariffs")
    beside = ((msgspec.json.encode(operator, order="deterministic"),
               msgspec.json.encode(streams, order="deterministic"), number_plan.canonical,
               repr(inventory.content).encode()), (friends_content(operator_dir),) if friends.num_rows else ())
    known = Snapshot(operator, streams, number_plan, inventory, tariffs, _deck_prefixes(tariffs), "", friends,
                     beside=beside)
    return replace(known, content_hash=known.hash_with(tariffs.content_hash))


def _deck_prefixes(tariffs: Tariffs) -> PrefixTrie:
    prefixes = sorted({prefix for version in tariffs.versions for deck in version.decks.values() for prefix in deck})
    return PrefixTrie.build(prefixes, [0] * len(prefixes))
