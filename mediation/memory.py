"""What mediation carries from batch to batch.

The lexicon is convenience: lost at a restart, it fills again. The rest is ledger state: a restart restores it from the
newest commit, and goes on as if nothing had happened.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mediation.duplicates import DuplicateIndex
from mediation.matching import OnlineMemory
from mediation.partials import NEVER_US, PartialBook, PartialDelta
from mediation.sequences import SequenceBook
from mediation.tokens import TokenTable, WordTable
from reference_data.snapshot import Snapshot
from reference_data.streams import Stream
from schemas.columns import I64, Cells
from schemas.errors import LedgerError
from schemas.usage import HELD, OPEN_SESSION

LABELS = ("source", "apn", "other_network", "stream", "category")
ONLINE_SOURCES = ("gy", "nchf")  # first of all sources: state that outlives a process holds their numbers


@dataclass
class Lexicon:
    """labels: column name to names, shared with whoever turns cells into Arrow; they only ever grow."""

    labels: dict[str, list[str]] = field(default_factory=dict)
    tokens: TokenTable = field(default_factory=TokenTable)
    apns: WordTable = field(init=False)
    categories: WordTable = field(init=False)
    _numbered: dict[tuple[str, tuple[str, ...]], I64] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in LABELS:
            self.labels.setdefault(name, [])
        for source in ONLINE_SOURCES:
            self.label("source", source)
        self.apns = WordTable(self.labels["apn"])
        self.categories = WordTable(self.labels["category"])

    def numbered(self, column: str, names: tuple[str, ...]) -> I64:
        """Labels of a list of names that is asked for again and again."""
        found = self._numbered.get((column, names))
        if found is None:
            found = self._numbered[column, names] = np.array([self.label(column, name) for name in names], np.int64)
        return found

    def label(self, column: str, name: str) -> int:
        """Label of a name, new or known."""
        names = self.labels[column]
        try:
            return names.index(name)
        except ValueError:
            names.append(name)
            return len(names) - 1


@dataclass
class MediationMemory:
    """duplicates: keys of all records within the horizon. watermarks: per stream, the latest key time taken, UTC
    microseconds; it only rises, with records in collection order or by a clock command. books: partials per stream.
    records: record sequence numbers per node. online: what was charged online."""

    duplicates: DuplicateIndex
    lexicon: Lexicon = field(default_factory=Lexicon)
    watermarks: dict[str, int] = field(default_factory=dict)
    books: dict[str, PartialBook] = field(default_factory=dict)
    records: SequenceBook = field(default_factory=SequenceBook)
    online: OnlineMemory = field(default_factory=OnlineMemory)

    def book(self, stream: Stream, time_zone: str) -> PartialBook:
        """The partials of a stream."""
        if stream.name not in self.books:
            self.books[stream.name] = PartialBook(stream, time_zone, self.lexicon.label("stream", stream.name))
            self.books[stream.name].begin()
        return self.books[stream.name]

    def state(self) -> dict[str, Any]:
        """The small part of the state, for the commit's JSON; what partials changed comes with `Mediated`."""
        state = {"watermarks": dict(sorted(self.watermarks.items())), "records": self.records.state(),
                 "partials": {name: book.watermark_us for name, book in sorted(self.books.items())}}
        if self.online.position or len(self.online):
            state["online"] = self.online.state()
        return state

    def partials(self) -> PartialDelta:
        """All that is held and watched: replaces every delta so far."""
        return join_deltas(self.books[name].full() for name in sorted(self.books))

    def restore(self, state: Mapping[str, Any], deltas: Iterable[PartialDelta], snapshot: Snapshot,
                awaiting: Iterable[Cells] = ()) -> None:
        """Become what a memory was when it wrote `state`, given the deltas up to then, oldest first, in the labels of
        this lexicon; awaiting: those of `online`. Only for a fresh memory. Raises LedgerError."""
        if "online" in state:
            self.online.restore(state["online"], awaiting)
        self.watermarks = {name: int(mark) for name, mark in state["watermarks"].items()}
        self.records = SequenceBook(state["records"])
        kept = list(deltas)
        sources = [snapshot.streams.match(name) for name in self.lexicon.labels["source"]]
        stream_of = np.array([self.lexicon.label("stream", s.name) if s else -1 for s in sources] or [-1], np.int64)
        for name, mark in state["partials"].items():
            if name not in {stream.name for stream in snapshot.streams.streams}:
                raise LedgerError(f"partials of stream {name!r} are open", "the stream in streams.yaml",
                                  "bring it back until its sessions are closed")
            book = self.book(snapshot.streams.named(name), snapshot.operator.time_zone)
            label = self.lexicon.label("stream", name)
            book.restore((PartialDelta(d.held.where(stream_of[d.held["source"]] == label),
                                       d.sessions.where(d.sessions["stream"] == label)) for d in kept), int(mark))


def join_deltas(deltas: Iterable[PartialDelta]) -> PartialDelta:
    """Deltas of several streams as one."""
    parts = list(deltas)
    return PartialDelta(Cells.concat(HELD, [d.held for d in parts]),
                        Cells.concat(OPEN_SESSION, [d.sessions for d in parts]))


__all__ = ["LABELS", "NEVER_US", "ONLINE_SOURCES", "Lexicon", "MediationMemory", "join_deltas"]
