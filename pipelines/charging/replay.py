"""Groups of the journal folded into the book again, many ticks in one go.

What a node did in ticks of a millisecond is charged again in blocks of thousands of requests, tick after tick within a
kernel (`rating.online_many`). Commands, clocks and blocks are folded one by one, in their places between.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipelines.charging.folded import Folded
from pipelines.journal import Entry, Online
from pipelines.online_entries import decode_many, rows_of
from rating.online_many import Ticks
from schemas.columns import Cells

if TYPE_CHECKING:
    from pipelines.charging.node import ChargingNode

ROWS = 4096  # requests that are charged in one go


class Replay:
    """Folds groups in order, and has what they came to if it is to be kept. Nothing is in the book for sure before
    `finish`."""

    def __init__(self, node: "ChargingNode", keep: bool) -> None:
        self._node, self._keep = node, keep
        self._contents, self._positions, self._waiting = list[bytes](), list[int](), 0
        self._folded = Folded()

    @property
    def rows(self) -> int:
        """Rows that are kept so far."""
        return self._folded.rows

    def add(self, first: int, entries: Sequence[Entry], usage: Callable[[], Cells]) -> None:
        """A further group; usage: what its block names."""
        last = entries[-1]
        if not isinstance(last, Online):
            self._fold(first, entries, usage())
            return
        if len(entries) > 1:
            self._fold(first, entries[:-1], usage())
        if rows := rows_of(last.content):
            self._contents.append(last.content)
            self._positions.append(first + len(entries) - 1)
            self._waiting += rows
            if self._waiting >= ROWS:
                self.finish()

    def _fold(self, first: int, entries: Sequence[Entry], usage: Cells) -> None:
        self.finish()
        self._take(self._node.fold(first, entries, usage))

    def finish(self) -> None:
        """Charge what waits."""
        if not self._contents:
            return
        requests, first, received_us = decode_many(self._contents, self._node.labels)
        ticks = Ticks(requests, first, np.array(self._positions, np.int64), received_us)
        self._contents, self._positions, self._waiting = [], [], 0
        for served in self._node.desk.serve_many(ticks, self._keep):
            folded = Folded()
            folded.add(served.charged)
            folded.add_grants(served.grants)
            self._take(self._node.renumbered(folded))

    def _take(self, folded: Folded) -> None:
        if self._keep:
            self._folded.add_all(folded)

    def taken(self) -> Folded:
        """What was kept so far; another one is begun."""
        self.finish()
        folded, self._folded = self._folded, Folded()
        return folded
