"""Events and charge legs that charging sets aside."""

import numpy as np

from rating.kernels.layout import C_LEG, C_REASON
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.estimate import estimate_nanos
from schemas.codes import Reason, Stage
from schemas.columns import ABSENT, I64, Cells
from schemas.rated import LEG_SUSPENSE
from schemas.usage import SUSPENSE, USAGE

_OWN = len(USAGE.columns)


class Aside:
    """What was set aside, piece by piece, in the order of the events."""

    def __init__(self) -> None:
        self._usage, self._choice = [np.empty((_OWN, 0), np.int64)], [np.empty((2, 0), np.int64)]

    def add(self, usage: I64, choice: I64, rows: int) -> None:
        """Those of the first `rows` rows that have a reason; a leg whose event was not charged has none."""
        at = np.flatnonzero(choice[C_REASON, :rows] > Reason.OK)
        self._usage.append(np.take(usage, at, axis=1))
        self._choice.append(np.stack([choice[C_REASON, at], choice[C_LEG, at]]))

    def events(self, tariffs: Tariffs) -> Cells:
        """The events, with an estimate of their value."""
        usage, reason, _ = self._of(legs=False)
        cells = Cells.empty(SUSPENSE, reason.size, fill=ABSENT)
        if reason.size:
            cells.matrix[:_OWN] = usage
            cells["stage"], cells["reason"] = Stage.CHARGE, reason
            cells["estimate_nanos"] = estimate_nanos(cells["service"], cells["quantity"], tariffs)
        return cells

    def legs(self) -> Cells:
        """Legs that could not be priced, of events that were charged."""
        usage, reason, leg = self._of(legs=True)
        cells = Cells.empty(LEG_SUSPENSE, reason.size, fill=ABSENT)
        cells.matrix[:_OWN] = usage
        cells["stage"], cells["reason"], cells["leg"], cells["revision"] = Stage.CHARGE, reason, leg, 0
        return cells

    def _of(self, legs: bool) -> tuple[I64, I64, I64]:
        """(usage, reason, leg) of the events, or of the legs."""
        usage, choice = np.concatenate(self._usage, axis=1), np.concatenate(self._choice, axis=1)
        at = np.flatnonzero((choice[1] > 0) == legs)
        return np.take(usage, at, axis=1), choice[0, at], choice[1, at]
