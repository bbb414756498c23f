"""How long answers took: a histogram that costs a few additions a tick."""

from bisect import bisect_left
from collections.abc import Sequence

BOUNDS_MS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 200.0, 500.0, 1000.0)


class Latency:
    """Counts by upper bound, the last without one; and the sum of all, in seconds."""

    def __init__(self) -> None:
        self.counts, self.sum_s = [0] * (len(BOUNDS_MS) + 1), 0.0

    def add(self, seconds: float, rows: int) -> None:
        """So many rows were answered after so long."""
        self.counts[bisect_left(BOUNDS_MS, 1000 * seconds)] += rows
        self.sum_s += seconds * rows


def percentile_ms(counts: Sequence[int], percent: float) -> float | None:
    """The bound within which so many per cent lie; None for nothing, infinite beyond the last bound."""
    total, seen = sum(counts), 0
    if not total:
        return None
    for bound, count in zip((*BOUNDS_MS, float("inf")), counts, strict=True):
        seen += count
        if seen * 100 >= percent * total:
            return bound
    return float("inf")
