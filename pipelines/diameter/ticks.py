"""From what the connections received to what a handler sees: rows chosen, units with them, answers by connection."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.diameter import encode
from pipelines.diameter.columns import GRANT, REPORT
from pipelines.diameter.encode import Answers, Encoded, shifted
from schemas.columns import ABSENT, U8, Cells, ColumnSet

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


def merged(parts: Sequence[tuple[Mask, Answers]], units: Cells) -> Answers:
    """Answers to all messages of a tick out of answers to those that `choose` chose: each row is in one part."""
    whole = encode.answers(len(parts[0][0]))
    grants, reports, texts = list[Cells](), list[Cells](), list[U8]()
    base = 0
    for rows, part in parts:
        messages, *rest = (shifted(cells, base) for cells in (part.messages, part.grants, part.reports))
        whole.matrix[:, rows] = messages.matrix
        place = np.flatnonzero(rows)
        for cells, found in zip(rest, (grants, reports), strict=True):
            cells["message_row"] = place[cells["message_row"]]
            found.append(cells)
        named = grants[-1]["unit_row"] != ABSENT
        if named.any():  # rows of units are those of the chosen
            grants[-1]["unit_row"][named] = np.flatnonzero(rows[units["message_row"]])[grants[-1]["unit_row"][named]]
        texts.append(part.texts)
        base += part.texts.size
    return Answers(whole, _in_order(GRANT, grants), _in_order(REPORT, reports), np.concatenate(texts))


def _in_order(columns: ColumnSet, parts: list[Cells]) -> Cells:
    cells = Cells.concat(columns, parts)
    return cells.take(np.argsort(cells["message_row"], kind="stable"))


def runs(counts: Sequence[int], encoded: Encoded) -> Iterator[tuple[int, int, memoryview]]:
    """(segment, messages, octets) of answers, which stand in the order of the segments that their requests came from.

    counts: answers to each segment."""
    octets, places, first = encoded.octets, encoded.places, 0
    for segment, number in enumerate(counts):
        if number:
            last = first + number - 1
            yield segment, number, octets[int(places[first, 0]):int(places[last, 0] + places[last, 1])]
            first = last + 1
