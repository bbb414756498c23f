"""Usage events to accounts, by the inventory and what commands changed in it, as of event time."""

import numpy as np

from mediation.kernels.resolve import resolve_nb
from reference_data.inventory import NOW
from reference_data.snapshot import Snapshot
from schemas.columns import I64, Cells


def resolve(usage: Cells, snapshot: Snapshot, recorded_us: int = NOW) -> I64:
    """Fill account_id, service_id, group_id and lane of `usage` in place.

    Returns `Reason` (n,): OK, UNKNOWN_SUBSCRIBER (no service ever held any of its identities) or
    NOT_SUBSCRIBED_THEN (one is known, but nobody held it at event time).
    recorded_us: what the inventory knew at that time; by default, what it knows now.
    """
    reason = np.empty(len(usage), np.int64)
    holders, changes = snapshot.inventory.holders, snapshot.changes
    resolve_nb(usage.matrix, recorded_us, holders.directory, holders.shift, holders.rows, changes.slots,
               changes.points, snapshot.operator.lanes, reason)
    return reason
