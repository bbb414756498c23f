"""Which usage each charged row is of, and what charging sets aside."""

import numpy as np

from rating.kernels.layout import C_ACCOUNT, C_LEG, C_REASON, C_SOURCE, U_ACCOUNT, U_GROUP_ID, U_LANE
from rating.kernels.take import take_nb
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.estimate import estimate_nanos
from schemas import pages
from schemas.codes import Reason, Stage
from schemas.columns import ABSENT, I64, Cells
from schemas.rated import LEG_SUSPENSE
from schemas.usage import SUSPENSE, USAGE

_OWN = len(USAGE.columns)
_ORIGIN = [C_SOURCE, C_ACCOUNT, C_LEG]


class Origins:
    """Of usage rows [start, stop): those that were charged and those set aside, piece by piece, in their order."""

    def __init__(self, usage: I64, start: int, stop: int) -> None:
        self._usage, self._start, self._stop = usage, start, stop
        self._whole = start  # up to here every row was charged, without legs
        self._charged, self._aside = [np.empty((3, 0), np.int64)], [np.empty((4, 0), np.int64)]

    def add(self, choice: I64, rows: int, charged: int, low: int, high: int) -> None:
        """The first `rows` rows, of usage [low, high), of which so many were charged.

        Set aside is what has a reason; a leg whose event was not charged has none.
        """
        if rows == charged == high - low and self._whole == low:
            self._whole = high
            return
        if self._whole == low:
            own = np.arange(self._start, low)
            self._charged.append(np.stack([own, np.zeros_like(own), np.zeros_like(own)]))
        origin, reason = choice[_ORIGIN, :rows], choice[C_REASON, :rows]
        self._charged.append(origin if charged == rows else origin[:, reason == 0])
        at = np.flatnonzero(reason > Reason.OK)
        if at.size:
            self._aside.append(np.concatenate([origin[:, at], reason[None, at]]))

    def charged(self) -> I64:
        """Usage columns of the charged rows: those of the block itself where that is what was charged."""
        if self._whole == self._stop:
            return self._usage[:, self._start:self._stop]
        return self._taken(np.concatenate(self._charged, axis=1))

    def events(self, tariffs: Tariffs) -> Cells:
        """The events that were set aside, with an estimate of their value."""
        if len(self._aside) == 1:
            return Cells.empty(SUSPENSE)
        usage, reason, _ = self._of(legs=False)
        cells = Cells.empty(SUSPENSE, reason.size, fill=ABSENT)
        if reason.size:
            cells.matrix[:_OWN] = usage
            cells["stage"], cells["reason"] = Stage.CHARGE, reason
            cells["estimate_nanos"] = estimate_nanos(cells["service"], cells["quantity"], tariffs)
        return cells

    def legs(self) -> Cells:
        """Legs that could not be priced, of events that were charged."""
        if len(self._aside) == 1:
            return Cells.empty(LEG_SUSPENSE)
        usage, reason, leg = self._of(legs=True)
        cells = Cells.empty(LEG_SUSPENSE, reason.size, fill=ABSENT)
        if reason.size:
            cells.matrix[:_OWN] = usage
            cells["stage"], cells["reason"], cells["leg"], cells["revision"] = Stage.CHARGE, reason, leg, 0
        return cells

    def _of(self, legs: bool) -> tuple[I64, I64, I64]:
        """(usage, reason, leg) of the events, or of the legs."""
        aside = np.concatenate(self._aside, axis=1)
        aside = aside[:, (aside[2] > 0) == legs]
        return self._taken(aside), aside[3], aside[2]

    def _taken(self, origin: I64) -> I64:
        """Usage of (source, account, leg, ...); a leg's row says whom it charges, and of no group or lane."""
        usage = pages.matrix((_OWN, origin.shape[1]))
        take_nb(self._usage, np.ascontiguousarray(origin[0]), usage)
        at = np.flatnonzero(origin[2] > 0)
        usage[U_ACCOUNT, at] = origin[1, at]
        usage[[[U_GROUP_ID], [U_LANE]], at] = ABSENT
        return usage
