"""When prices may change next: units that are granted beyond it are reported apart, before and after."""

import numpy as np

from reference_data.tariffs.compile import Tariffs
from schemas.columns import ABSENT, I64
from schemas.tariff_tables import (
    SEGMENT_BAND,
    SEGMENT_START,
    TIMING_DAYS,
    TIMING_FIRST,
    TIMING_ZONE,
    VERSION_FROM,
    ZONE_AT,
    ZONE_FIRST,
    ZONE_OFFSET,
)
from schemas.timepoint import DAY_S, SECOND_US

_NEVER_US = 1 << 62


def _starts(tariffs: Tariffs, timing: int) -> I64:
    """Where a timing's segments begin. In a week that is one, a band that goes on from Sunday to Monday begins not."""
    tables = tariffs.tables
    here = slice(int(tables[TIMING_FIRST][timing]), int(tables[TIMING_FIRST][timing + 1]))
    starts, bands = tables[SEGMENT_START][here].astype(np.int64), tables[SEGMENT_BAND][here]
    return starts[bands != np.roll(bands, 1)] if tables[TIMING_DAYS][timing] < 0 else starts


class TariffChanges:
    """Instants at which a version begins, or any band of any price. A client that reports apart needlessly does no
    harm; one that does not is charged for all of it as of the beginning."""

    def __init__(self, tariffs: Tariffs) -> None:
        tables = tariffs.tables
        self._versions_us = np.unique(tables[VERSION_FROM])
        banded = np.flatnonzero(np.diff(tables[TIMING_FIRST]) > 1)
        zones = np.unique(tables[TIMING_ZONE][banded])
        self._offsets = [(tables[ZONE_AT][first:stop], tables[ZONE_OFFSET][first:stop]) for first, stop in zip(
            tables[ZONE_FIRST][zones].tolist(), tables[ZONE_FIRST][zones + 1].tolist(), strict=True)]
        # Bands of dates begin on some days only; every day is taken for one.
        starts = [_starts(tariffs, timing) for timing in banded.tolist()]
        self._starts_s = np.unique(np.concatenate(starts) % DAY_S) if starts else np.zeros(0, np.int64)
        self._from_us, self._until_us = 0, 0

    def after(self, time_us: int) -> int:
        """The first such instant after `time_us`; ABSENT where there is none."""
        if not self._from_us <= time_us < self._until_us:
            found = [int(each) for each in self._versions_us[self._versions_us > time_us][:1]]
            found += [self._band(at, offset, time_us // SECOND_US) * SECOND_US for at, offset in self._offsets]
            self._from_us, self._until_us = time_us, min(found, default=_NEVER_US)
        return self._until_us if self._until_us < _NEVER_US else ABSENT

    def after_each(self, times_us: I64) -> I64:
        """The same for times as requests have them: nearly always all of them before the same change."""
        if times_us.size and (int(times_us.min()) < self._from_us or int(times_us.max()) >= self._until_us):
            known = {int(time_us): self.after(int(time_us)) for time_us in np.unique(times_us)}
            return np.array([known[time_us] for time_us in times_us.tolist()], np.int64)
        return np.full(times_us.size, self._until_us if self._until_us < _NEVER_US else ABSENT, np.int64)

    def _band(self, at: I64, offset: I64, time_s: int) -> int:
        """The next begin of a band in one time zone, second UTC."""
        def offset_at(second: int) -> int:
            return int(offset[max(int(np.searchsorted(at, second, "right")) - 1, 0)])

        midnight = (time_s + offset_at(time_s)) // DAY_S * DAY_S
        local = np.concatenate([midnight + day * DAY_S + self._starts_s for day in (-1, 0, 1)])
        instants = [second - offset_at(second - offset_at(time_s)) for second in local.tolist()]
        return min(int(second) for second in instants if second > time_s)
