"""Which usage each charged row is of, and what charging sets aside."""

import numpy as np

from rating.kernels.choices import origins_nb
from rating.kernels.layout import U_ACCOUNT, U_GROUP_ID, U_LANE
from rating.kernels.take import take_nb
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.estimate import estimate_nanos
from schemas import pages
from schemas.codes import Stage
from schemas.columns import ABSENT, I64, Cells
from schemas.rated import LEG_SUSPENSE
from schemas.usage import SUSPENSE, USAGE

_OWN = len(USAGE.columns)
_NOTHING = np.empty((4, 0), np.int64)
_NO_EVENTS, _NO_LEGS = Cells.empty(SUSPENSE), Cells.empty(LEG_SUSPENSE)


class Origins:
    """Of usage rows [start, stop): those that were charged and those set aside, piece by piece, in their order."""

    def __init__(self, usage: I64, start: int, stop: int, most: int) -> None:
        """most: rows that an event becomes, with its legs."""
        self._usage, self._start, self._stop, self._most = usage, start, stop, most
        self._whole = start  # up to here every row was charged, without legs
        self._charged, self._aside, self._counts = _NOTHING, _NOTHING, np.zeros(2, np.int64)

    def add(self, choice: I64, rows: int, charged: int, low: int, high: int) -> None:
        """The first `rows` rows, of usage [low, high), of which so many were charged."""
        if rows == charged == high - low and self._whole == low:
            self._whole = high
            return
        if self._charged is _NOTHING:
            room = self._most * (self._stop - self._start)
            self._charged, self._aside = np.empty((3, room), np.int64), np.empty((4, room), np.int64)
            before = self._counts[0] = self._whole - self._start
            self._charged[0, :before], self._charged[1:, :before] = np.arange(self._start, self._whole), 0
        origins_nb(choice, rows, self._charged, self._aside, self._counts)

    def charged(self) -> I64:
        """Usage columns of the charged rows: those of the block itself where that is what was charged."""
        if self._whole == self._stop:
            return self._usage[:, self._start:self._stop]
        return self._taken(self._charged[:, :self._counts[0]])

    def events(self, tariffs: Tariffs) -> Cells:
        """The events that were set aside, with an estimate of their value."""
        if not self._counts[1]:
            return _NO_EVENTS
        usage, reason, _ = self._of(legs=False)
        return set_aside(usage, reason, tariffs)

    def legs(self) -> Cells:
        """Legs that could not be priced, of events that were charged."""
        if not self._counts[1]:
            return _NO_LEGS
        usage, reason, leg = self._of(legs=True)
        cells = Cells.empty(LEG_SUSPENSE, reason.size, fill=ABSENT)
        if reason.size:
            cells.matrix[:_OWN] = usage
            cells["stage"], cells["reason"], cells["leg"], cells["revision"] = Stage.CHARGE, reason, leg, 0
        return cells

    def _of(self, legs: bool) -> tuple[I64, I64, I64]:
        """(usage, reason, leg) of the events, or of the legs."""
        aside = self._aside[:, :self._counts[1]]
        aside = aside[:, (aside[2] > 0) == legs]
        return self._taken(aside), aside[3], aside[2]

    def _taken(self, origin: I64) -> I64:
        """Usage of (source, account, leg, ...); a leg's row says whom it charges, and of no group or lane."""
        usage = pages.matrix((_OWN, origin.shape[1]))
        take_nb(self._usage, np.ascontiguousarray(origin[0]), usage)
        if origin[2].any():
            at = np.flatnonzero(origin[2] > 0)
            usage[U_ACCOUNT, at] = origin[1, at]
            usage[[[U_GROUP_ID], [U_LANE]], at] = ABSENT
        return usage


def set_aside(usage: I64, reason: I64, tariffs: Tariffs) -> Cells:
    """Events (columns of usage) that charging sets aside, each with its reason and an estimate of its value."""
    if not reason.size:
        return _NO_EVENTS
    cells = Cells.empty(SUSPENSE, reason.size, fill=ABSENT)
    cells.matrix[:_OWN] = usage
    cells["stage"], cells["reason"] = Stage.CHARGE, reason
    cells["estimate_nanos"] = estimate_nanos(cells["service"], cells["quantity"], tariffs)
    return cells
