"""Under which tariffs a piece of the past is charged: as it was, and over that every correction since.

A layer says: usage of these times and accounts, charged before this journal position, has these tariffs. The newest
layer that covers an event counts; without one it is what charged it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from reference_data.tariffs.compile import Tariffs
from schemas.columns import ABSENT, I64

LONG_AGO_US, FAR_AHEAD_US = -(1 << 61), 1 << 61


@dataclass(frozen=True)
class Layer:
    """Tariffs for usage in [from_us, to_us) of `accounts` (ascending; None: all) charged before `position`."""

    position: int
    tariffs: Tariffs
    from_us: int = LONG_AGO_US
    to_us: int = FAR_AHEAD_US
    accounts: I64 | None = None

    def covers(self, account_id: I64, time_us: I64) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = (time_us >= self.from_us) & (time_us < self.to_us)
        if self.accounts is not None:
            found &= np.isin(account_id, self.accounts)
        return found


class Layers:
    """as_charged: from hash of reference data to its tariffs. layers: corrections, oldest first."""

    def __init__(self, as_charged: Callable[[str], Tariffs], layers: Sequence[Layer] = ()) -> None:
        self._as_charged, self._layers = as_charged, tuple(layers)
        self._bases: dict[str, Tariffs] = {}

    def tariffs_of(self, reference: str) -> Tariffs:
        if reference not in self._bases:
            self._bases[reference] = self._as_charged(reference)
        return self._bases[reference]

    def at(self, reference: str, position: int, time_us: int | None, account_id: int = ABSENT) -> Tariffs:
        """Tariffs for a command. A clock, which is everybody's, has those of whatever accounts.

        time_us: None for what has no time, which only a layer of all times covers.
        """
        for layer in reversed(self._layers):
            if layer.position > position and self._covers(layer, time_us, account_id):
                return layer.tariffs
        return self.tariffs_of(reference)

    @staticmethod
    def _covers(layer: Layer, time_us: int | None, account_id: int) -> bool:
        if time_us is None:
            return (layer.from_us, layer.to_us, layer.accounts) == (LONG_AGO_US, FAR_AHEAD_US, None)
        if account_id == ABSENT:
            return layer.from_us <= time_us < layer.to_us
        return bool(layer.covers(np.array([account_id]), np.array([time_us]))[0])

    def runs(self, reference: str, position: int, account_id: I64, time_us: I64) -> list[tuple[int, int, Tariffs]]:
        """(start, stop, tariffs) of rows that follow each other under the same tariffs."""
        if not account_id.size:
            return []
        layer_of = np.full(account_id.size, -1, np.int64)
        for number, layer in enumerate(self._layers):
            if layer.position > position:
                layer_of[layer.covers(account_id, time_us)] = number
        edges = [0, *(np.flatnonzero(np.diff(layer_of)) + 1).tolist(), account_id.size]
        return [(start, stop, self._layers[layer_of[start]].tariffs if layer_of[start] >= 0
                 else self.tariffs_of(reference)) for start, stop in pairwise(edges)]
