"""Events that were charged and are not now, and may come again: then they go on with the next revision."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.ledger import Ledger
from schemas.columns import I64, Cells
from schemas.rated import WITHDRAWN

IDS = np.dtype([("hi", np.int64), ("lo", np.int64)])
Ids = npt.NDArray[np.void]


@dataclass(frozen=True)
class Withdrawn:
    """ids ascending, each once; revision (n,): of the event when it comes again."""

    ids: Ids
    revision: I64


def withdrawn_events(ledger: Ledger) -> Withdrawn:
    """All of a ledger."""
    cells = Cells.concat(WITHDRAWN, [Cells.from_arrow(WITHDRAWN, table, {}) for table in ledger.batches("withdrawn")])
    ids = ids_of(cells)
    order = np.lexsort((cells["revision"], ids["lo"], ids["hi"]))
    ids = ids[order]
    last = np.append(ids[1:] != ids[:-1], True)[:ids.size]
    return Withdrawn(ids[last], cells["revision"][order][last])


def renumber(rated: Cells, again: Withdrawn) -> None:
    """Count the revisions of events that come again on from their last."""
    if not again.ids.size or not len(rated):
        return
    ids = ids_of(rated)
    for row in np.flatnonzero(np.isin(ids, again.ids)).tolist():
        rated["revision"][row] += again.revision[np.flatnonzero(again.ids == ids[row])[0]]


def ids_of(cells: Cells) -> Ids:
    """Event ids as one array."""
    ids = np.empty(len(cells), IDS)
    ids["hi"], ids["lo"] = cells["event_id_hi"], cells["event_id_lo"]
    return ids
