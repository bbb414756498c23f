"""A balance book as it lies, for snapshots and back: its matrices word for word, the rest as tables.

Nothing is computed to write it, so that a process forked for that is done as soon as the disk is; and nothing to
read it, so that a restart waits for the disk. `snapshot.to_arrow` is for comparing books and for correcting them: it
says what a book holds, however it came to it. Words are written as `kernels.layout` has them: whoever moves one raises
VERSION and reads the one before.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from rating.book import NO_CLOCK_US, BalanceBook, zone_tables
from rating.friends import friends_to_arrow, restore_friends
from rating.holds import holds_to_arrow, restore_holds
from rating.kernels.layout import (
    B_DUE,
    B_HOLDS,
    B_SESSIONS,
    B_SPILLED,
    LIFE_WORDS,
    NODE_WORDS,
    PROFILE_WORDS,
    RECORD_WORDS,
    SPILL_WORDS,
)
from rating.online_table import OnlineSessions
from rating.reservations import Reservations
from rating.snapshot import SlicedTable, changes_of, from_arrow, restore_changes, restore_sessions, sessions_of
from schemas.errors import LedgerError

VERSION = 3
MATRICES = {"records": RECORD_WORDS, "profile": PROFILE_WORDS, "life": LIFE_WORDS, "nodes": NODE_WORDS,
            "spill": SPILL_WORDS}
_NAMES = ("plans", "currencies", "time_zones")
_BOOK = "book"  # JSON: version, words of the matrices, names and scalars
_LEAST_SPILL = 1024


def to_items(book: BalanceBook) -> dict[str, Any]:
    """Matrices, tables, and octets that say what they are. The book must not change until they are written."""
    words = {name: list(getattr(book, name).shape[1:]) for name in MATRICES}
    told = {"version": VERSION, "words": words, "scalars": book.scalars.tolist(),
            **{name: getattr(book, name) for name in _NAMES}}
    matrices = {name: getattr(book, name) for name in MATRICES} | {
        "spill": book.spill[:int(book.scalars[B_SPILLED])]}
    return {**matrices, _BOOK: json.dumps(told).encode(), "sessions": sessions_of(book), **_tables(book)}


def _tables(book: BalanceBook) -> dict[str, pa.Table | SlicedTable]:
    return {"commands": pa.table({"digest": pa.array(sorted(book.applied), pa.binary(16))}),
            "friends": friends_to_arrow(book), "holds": holds_to_arrow(book), "changes": changes_of(book.changes),
            "reservations": book.reservations.to_arrow(), **book.online.tables()}


def from_items(items: Mapping[str, Any]) -> BalanceBook:
    """The book that `to_items` wrote, or an earlier release. It owns the matrices from then on.

    Raises LedgerError on a version that this release does not read.
    """
    book = accounts_of(items)
    if _BOOK not in items:
        return book
    book.reindex()
    restore_friends(book, items["friends"])
    book.scalars[B_HOLDS] = 0
    restore_holds(book, items["holds"])
    restore_changes(book, items["changes"])
    book.reservations = Reservations.from_arrow(items["reservations"])
    book.online = OnlineSessions.from_tables(dict(items))
    book.scalars[B_SESSIONS] = 0
    restore_sessions(book, items["sessions"])
    book.applied = set(items["commands"]["digest"].to_pylist())
    book.scalars[B_DUE] = NO_CLOCK_US  # a restored book looks at all buckets once
    return book


def accounts_of(items: Mapping[str, Any]) -> BalanceBook:
    """A book with nothing but its accounts and what they have, and no index of them: for whoever looks at one."""
    if _BOOK not in items:
        return from_arrow(dict(items))
    told = json.loads(items[_BOOK])
    if told["version"] != VERSION or told["words"] != {name: [words] for name, words in MATRICES.items()}:
        raise LedgerError(f"a snapshot of book version {told['version']}", f"version {VERSION}", "use a newer release")
    book = BalanceBook()
    book.scalars[:] = told["scalars"]
    for name in _NAMES:
        setattr(book, name, told[name])
    book.zones = zone_tables(book.time_zones)
    for name in MATRICES:
        setattr(book, name, _writable(items[name]))
    book.spill = _with_room(book.spill)
    return book


def _writable(matrix: Any) -> Any:
    """A small one is a view of the file."""
    return matrix if matrix.flags.writeable else matrix.copy()


def _with_room(spill: Any) -> Any:
    capacity = _LEAST_SPILL
    while capacity < spill.shape[0]:
        capacity *= 2
    larger = np.zeros((capacity, SPILL_WORDS), np.int64)
    larger[:spill.shape[0]] = spill
    return larger
