"""Since when an account's cycles count: those without usage are made up for from there on (docs/tariffs.md).

The day lies in the account's traits: charging has them at hand when it makes a grant, and begins the days itself there.
"""

from typing import TYPE_CHECKING

import numpy as np

from rating.kernels.layout import DAY_MASK, F_TRAITS, STATE, TRAIT_SINCE, TRAIT_ZONE
from reference_data.accounts import STATES
from schemas.columns import I64
from schemas.timepoint import DAY_S, SECOND_US, local_offset_s

if TYPE_CHECKING:
    from rating.book import BalanceBook

RESTING = [STATES.index(name) for name in ("pre_active", "terminated", "quarantined")]


def begin_days(book: "BalanceBook", rows: I64, time_us: int) -> None:
    """The days of accounts begin with that of an instant, in their zones, unless they had begun earlier.

    Those of accounts that rest do not.
    """
    rows = rows[~np.isin(book.records[rows, STATE], RESTING)]
    day = np.array([(time_us // SECOND_US + local_offset_s(zone, time_us)) // DAY_S for zone in book.time_zones] or [0],
                   np.int64)
    _lower(book, rows, day[book.profile[rows, F_TRAITS] >> TRAIT_ZONE & 0xFFFF])


def begin_with(book: "BalanceBook", row: int, day: int) -> None:
    """An account's days begin with this one: the first of a cycle whose bucket it brought along."""
    if int(book.records[row, STATE]) not in RESTING:
        _lower(book, np.array([row], np.int64), np.array([day], np.int64))


def enter_state(book: "BalanceBook", row: int, before: int, after: int, time_us: int) -> None:
    """An account came into a state: its days end where it rests from then on, and begin where it did before."""
    if after in RESTING:
        book.profile[row, F_TRAITS] &= ~(DAY_MASK << TRAIT_SINCE)
    elif before in RESTING:
        begin_days(book, np.array([row], np.int64), time_us)


def _lower(book: "BalanceBook", rows: I64, day: I64) -> None:
    traits = book.profile[rows, F_TRAITS]
    since = traits >> TRAIT_SINCE & DAY_MASK
    since = np.where(since == 0, day, np.minimum(since, day))
    book.profile[rows, F_TRAITS] = traits & ~(DAY_MASK << TRAIT_SINCE) | since << TRAIT_SINCE
