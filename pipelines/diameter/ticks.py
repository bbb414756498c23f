"""From what the connections received to what a handler sees: rows chosen, units with them, answers by connection."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pipelines.diameter.encode import Encoded
from schemas.columns import I64, Cells

Mask = npt.NDArray[np.bool_]


def choose(messages: Cells, units: Cells, rows: Mask) -> tuple[Cells, Cells]:
    """Those messages with their units; themselves when all are chosen."""
    if rows.all():
        return messages, units
    some = messages.where(rows)
    owners = units["message_row"]
    kept = units.where(rows[owners]) if len(units) else units
    if len(units):
        place = np.cumsum(rows) - 1
        if kept is units:  # all units are of chosen messages: a copy, since rows change
            kept = units.take(np.arange(len(units)))
        kept["message_row"] = place[kept["message_row"]]
    counts = some["unit_count"]
    some["first_unit"] = np.cumsum(counts) - counts
    return some, kept


def runs(segments: I64, encoded: Encoded) -> Iterator[tuple[int, int, memoryview]]:
    """(segment, messages, octets) of answers that stand side by side and go to the same connection."""
    if not len(segments):
        return
    edges = [0, *(np.flatnonzero(np.diff(segments)) + 1).tolist(), len(segments)]
    octets = encoded.octets
    for first, stop in pairwise(edges):
        begin = int(encoded.places[first, 0])
        end = int(encoded.places[stop - 1].sum())
        yield int(segments[first]), stop - first, octets[begin:end]
