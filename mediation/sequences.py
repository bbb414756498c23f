"""Sequence numbers that never came: record numbers of a node, numbers of a source's files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mediation.kernels.sequences import GAP, irregular_nb
from schemas.columns import ABSENT, I64


@dataclass(frozen=True, order=True)
class Gap:
    """Numbers `first` to `last` of `node` have not come; both as the node counts, within its modulo."""

    node: str
    first: int
    last: int


class SequenceBook:
    """What has come of every node's sequence: the highest number, and the gaps below it. Late numbers close gaps."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._high: dict[str, int] = {}
        self._gaps: dict[str, list[tuple[int, int]]] = {}
        self._modulo: dict[str, int] = {}
        for node, (high, modulo, gaps) in (state or {}).items():
            self._high[node], self._modulo[node] = int(high), int(modulo)
            self._gaps[node] = [(int(a), int(b)) for a, b in gaps]

    def see(self, node: str, sequence: I64, modulo: int = 0) -> None:
        """Numbers of `node` in the order in which they came; ABSENT ones say nothing. modulo: where it wraps, or 0."""
        high = np.array([self._high.get(node, ABSENT)], np.int64)
        found = np.empty((sequence.size, 3), np.int64)
        count = irregular_nb(np.ascontiguousarray(sequence), modulo, high, found)
        if high[0] == ABSENT:
            return
        self._high[node], self._modulo[node] = int(high[0]), modulo
        for kind, first, last in found[:count].tolist():
            gaps = self._gaps.setdefault(node, [])
            if kind == GAP:
                gaps.append((first, last))
            else:
                self._gaps[node] = [part for gap in gaps for part in _without(gap, first, last)]

    def gaps(self) -> list[Gap]:
        """All gaps that are open, by node, in order of their numbers' first expectation."""
        return [Gap(node, self._wrapped(node, first), self._wrapped(node, last))
                for node in sorted(self._gaps) for first, last in self._gaps[node]]

    def state(self) -> dict[str, Any]:
        """For the commit; `SequenceBook(state)` goes on from it."""
        return {node: [high, self._modulo[node], [list(gap) for gap in self._gaps.get(node, [])]]
                for node, high in sorted(self._high.items())}

    def _wrapped(self, node: str, number: int) -> int:
        return number % self._modulo[node] if self._modulo[node] else number


def _without(gap: tuple[int, int], first: int, last: int) -> list[tuple[int, int]]:
    """What remains of a gap when first to last have come."""
    if last < gap[0] or first > gap[1]:
        return [gap]
    return [part for part in ((gap[0], first - 1), (last + 1, gap[1])) if part[0] <= part[1]]
