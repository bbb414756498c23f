"""Cuts: a published vector of stream versions. Bill runs, controls and as-of reading pin one.

`_cuts/<number, 20 digits>.json`, put if absent, chained and signed as log entries are.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.ledger.log import FORMAT, UNREADABLE, Log, check_format, digest, sign
from pipelines.ledger.store import Store, is_aside
from schemas.errors import LedgerError

CUT_FOLDER = "_cuts"


class StreamVersion(msgspec.Struct, frozen=True):
    version: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


class Cut(msgspec.Struct, frozen=True):
    """number: from 1; streams: name -> version and digest of its newest entry; label: what it was made for."""

    format: int
    number: int
    previous: str
    label: str
    streams: dict[str, StreamVersion]
    made_at: str

    def version(self, stream: str) -> int:
        """Version of `stream` in this cut; 0 when it had no entry yet."""
        return self.streams[stream].version if stream in self.streams else 0


def cut_path(number: int) -> str:
    return f"{CUT_FOLDER}/{number:020d}.json"


def read_cuts(store: Store) -> list[tuple[Cut, bytes]]:
    """All cuts and their bytes, oldest first. Raises LedgerError: gap, broken chain, unknown format."""
    paths = [each.path for each in store.list_all(CUT_FOLDER) if not is_aside(each.path)]
    cuts: list[tuple[Cut, bytes]] = []
    previous = ""
    for number, (path, payload) in enumerate(zip(paths, store.read_many(paths), strict=True), 1):
        check_format(payload, path)
        try:
            cut = msgspec.json.decode(payload, type=Cut)
        except UNREADABLE as error:
            raise LedgerError(f"{path}: {error}", "a cut") from error
        if path != cut_path(number) or cut.number != number or cut.previous != previous:
            raise LedgerError(f"{path} does not continue the chain of cuts", f"cut {number} after {previous or 'none'}",
                              "run `tarifa ledger verify`")
        cuts.append((cut, payload))
        previous = digest(payload)
    return cuts


def publish_cut(store: Store, logs: Mapping[str, Log], label: str, signer: Ed25519PrivateKey | None) -> Cut:
    """Pin the newest versions of `logs`, as far as they have been read."""
    streams = {name: StreamVersion(log.version, log.head) for name, log in sorted(logs.items()) if log.version}
    while True:
        cuts = read_cuts(store)
        cut = Cut(FORMAT, len(cuts) + 1, digest(cuts[-1][1]) if cuts else "", label, streams,
                  dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
        if store.put_new(cut_path(cut.number), sign(msgspec.json.encode(cut), signer), "ledger.cut"):
            return cut
