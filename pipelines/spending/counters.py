"""Policy counters: the counters of the tariff, each with a status by the thresholds that its value has reached."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rating.book import NEVER_US, BalanceBook
from rating.counters import CounterKind, counter_kinds, cycle_day, cycle_end_us, read_counters
from reference_data.tariffs.compile import Tariffs

BELOW = "below"  # no threshold reached; then "threshold-1" for the lowest, and so on


@dataclass(frozen=True)
class Status:
    """Of one counter. ends_us: when its cycle is over and it begins anew, None where it never does."""

    name: str
    ends_us: int | None


class PolicyCounters:
    """Statuses of accounts. Built for one tariff."""

    def __init__(self, tariffs: Tariffs) -> None:
        self.tariffs = tariffs
        self._kinds = counter_kinds(tariffs)
        self._thresholds = {name: counter.thresholds for version in tariffs.versions
                            for name, counter in version.counters.items()}
        self.names = tuple(sorted(name for name in self._kinds if self._thresholds.get(name)))

    def statuses(self, book: BalanceBook, account_id: int, names: Sequence[str], now_us: int) -> dict[str, Status]:
        """Of those counters that there are; none for an account that there is not."""
        row = int(book.rows_of(np.array([account_id], np.int64))[0]) if len(book) else -1
        if row < 0:
            return {}
        kinds = [self._kinds[name] for name in names if name in self._kinds]
        values = {name: value for (name, _), value in read_counters(book, row, kinds, now_us).items()}
        return {kind.name: self._status(book, row, kind, values.get(kind.name, 0), now_us) for kind in kinds}

    def _status(self, book: BalanceBook, row: int, kind: CounterKind, value: int, now_us: int) -> Status:
        reached = bisect_right(self._thresholds[kind.name], value)
        if not reached:
            return Status(BELOW, None)
        ends_us = cycle_end_us(book, row, kind.cycle, cycle_day(book, row, kind.cycle, now_us)) if kind.cycle else \
            NEVER_US
        return Status(f"threshold-{reached}", None if ends_us >= NEVER_US else ends_us)
