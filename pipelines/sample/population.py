"""Who lives in the sample operator: subscribers as columns, with the day's swaps, ports and terminations.

Every value is a function of the subscriber's index and the seed. Mobile numbers are 999 70 and seven digits, fixed
numbers of the VoIP switch 999 21 and seven digits, IMSI 001 01 and ten digits. Ten million subscribers fill such a
block of numbers: those behind them have further ones, 999 71 and 999 25 and so on. Country code 999 is nobody's.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from pipelines.sample.kernels.draw import draw_nb
from pipelines.sample.limits import MAX_SUBSCRIBERS, MIN_SUBSCRIBERS
from pipelines.sample.rows import (
    NEVER,
    S_FROM_S,
    S_HOTSPOT_IP,
    S_IMEI,
    S_IMSI,
    S_IMSI_AFTER,
    S_MSISDN,
    S_REGION,
    S_SWAP_S,
    S_TECH,
    S_TO_S,
    SUBSCRIBER_COLUMNS,
)
from schemas.columns import I64
from schemas.digits import pack

COUNTRY_CODE = "999"
MOBILE, FIXED = COUNTRY_CODE + "70", COUNTRY_CODE + "21"
BLOCK = 10_000_000  # numbers of seven digits
# Blocks of numbers; what was ported in came from one of its own, since it keeps its last seven digits.
MOBILE_BLOCKS = (MOBILE, *(COUNTRY_CODE + str(block) for block in (71, 72, 73)))
FIXED_BLOCKS = (FIXED, *(COUNTRY_CODE + str(block) for block in (25, 26, 27)))
CAME_FROM = tuple(COUNTRY_CODE + str(block) for block in (75, 76, 77, 78))
TIME_ZONE = "Europe/Madrid"
REGIONS = 1 << 20
NOBODY, SWAPPED = 10**9, 5 * 10**9  # from these on, indices of IMSIs that nobody has, and of the second one of a swap


@dataclass(frozen=True)
class Period:
    """Local days from `first`: [start_s, end_s) in UTC, and the zone's offset before and after its change, if any."""

    first: date
    days: int
    start_s: int
    end_s: int
    zone: I64  # instant of the change (NEVER without one), offset before, offset after, seconds

    @property
    def hours(self) -> int:
        return (self.end_s - self.start_s + 3599) // 3600

    def local(self, at_s: int) -> datetime:
        return datetime.fromtimestamp(at_s, ZoneInfo(TIME_ZONE))


def period(first: date, days: int) -> Period:
    """The period of `days` local days. At most one change of the clock may fall into it (180 days)."""
    zone = ZoneInfo(TIME_ZONE)
    start = int(datetime.combine(first, time(), zone).timestamp())
    end = int(datetime.combine(first + timedelta(days=days), time(), zone).timestamp())

    def offset(at_s: int) -> int:
        shift = datetime.fromtimestamp(at_s, zone).utcoffset()
        return int(shift.total_seconds()) if shift is not None else 0

    change = NEVER
    if offset(start) != offset(end):
        low, high = start, end  # the change lies in (low, high]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(start) else (low, middle)
        change = high
    return Period(first, days, start, end, np.array([change, offset(start), offset(end)], np.int64))


def next_change_of_clock(after: date) -> date:
    """The first day on or after `after` whose night has 23 or 25 hours."""
    day = after
    while period(day, 1).end_s - period(day, 1).start_s == 86400:
        day += timedelta(days=1)
    return day


def blocks(of: tuple[str, ...], subscribers: int) -> tuple[str, ...]:
    """Those blocks of numbers that so many subscribers need."""
    return of[:-(-subscribers // BLOCK)]


def _packed(prefix: str | I64, values: I64, digits: int) -> I64:
    """Packed digits of `prefix`, one or one for each, and `values` written with `digits` digits; vectors."""
    packed = np.full(len(values), pack(prefix), np.int64) if isinstance(prefix, str) else prefix
    for place in range(digits - 1, -1, -1):
        packed = packed << 4 | values // 10**place % 10 + 1
    return packed


def _block(of: tuple[str, ...], index: I64) -> I64:
    """Packed digits of the block that each subscriber's number is of."""
    return np.array([pack(prefix) for prefix in of], np.int64)[index // BLOCK]


@dataclass(frozen=True)
class Population:
    """Mobile subscribers, and the lines of the VoIP switch (`voip`, with the owner's index in `voip_owner`)."""

    mobile: I64       # [S_..., subscriber]
    voip: I64
    voip_owner: I64
    family_head: I64  # index of who holds the shared balance; own index for a single
    ported_out: I64   # indices of subscribers whose number left, S_TO_S says when
    ported_in: I64    # indices whose number came from elsewhere, S_FROM_S says when
    terminated: I64
    swapped: I64

    def __len__(self) -> int:
        return int(self.mobile.shape[1])


def _draws(seed: int, salt: int, count: int) -> I64:
    return np.fromiter((draw_nb(seed, i, salt) for i in range(count)), np.int64, count)


Index = TypeVar("Index", int, I64)


def imsi_digits(index: Index) -> Index:
    """Last ten digits of an IMSI, of an index below 7 * 10^9: no two have the same, as 10^10 and the factor are
    coprime."""
    return (index * 1234567891 + 17) % 10**10


def populate(subscribers: int, when: Period, seed: int) -> Population:
    """All subscribers. Of a thousand, two swap their SIM, two leave with their number, two come, two end."""
    if not MIN_SUBSCRIBERS <= subscribers <= MAX_SUBSCRIBERS:
        raise ValueError(f"{subscribers} subscribers; from {MIN_SUBSCRIBERS} to {MAX_SUBSCRIBERS} are possible")
    index = np.arange(subscribers, dtype=np.int64)
    mobile = np.zeros((SUBSCRIBER_COLUMNS, subscribers), np.int64)
    number = (index % BLOCK * 7654321 + 1234567) % BLOCK
    mobile[S_MSISDN] = _packed(_block(MOBILE_BLOCKS, index), number, 7)
    mobile[S_IMSI] = _packed("00101", imsi_digits(index), 10)
    mobile[S_IMSI_AFTER] = mobile[S_IMSI]
    mobile[S_IMEI] = _packed("35", (index * 876543219871 + 98765) % 10**13, 13)
    # Members of a family live together, so that one region's nodes see a whole charging group.
    place = index % 10
    in_family = (index // 10 % 3 == 1) & (place < 8)
    family_head = np.where(in_family, index - place % 4, index)
    mobile[S_REGION] = (family_head * 2654435761 >> 8) % REGIONS
    mobile[S_TECH] = np.array([0, 0, 1, 1, 0, 2, 3, 1, 2, 0], np.int64)[(index * 7 + index // 10) % 10]
    mobile[S_HOTSPOT_IP] = np.where(index % 50 == 11, (100 << 24) + (64 << 16) + index // 50 + 1, 0)
    mobile[S_SWAP_S], mobile[S_FROM_S], mobile[S_TO_S] = NEVER, 0, NEVER

    span = when.end_s - when.start_s
    some = max(1, subscribers // 500)
    # One in twenty uses much (index % 20 == 0): such subscribers make sure that the day's changes are seen in traffic.
    chosen = [np.unique((_draws(seed, 100 + k, some) % max(1, subscribers // 20)) * 20 + k * 4) % subscribers
              for k in range(4)]
    swapped, ported_out, ported_in, terminated = chosen
    moments = [when.start_s + span // 4 + _draws(seed, 200 + k, subscribers // 500 + 1)[: len(c)] % (span // 2)
               for k, c in enumerate(chosen)]
    mobile[S_SWAP_S, swapped] = moments[0]
    mobile[S_IMSI_AFTER, swapped] = _packed("00101", imsi_digits(swapped + SWAPPED), 10)
    mobile[S_TO_S, ported_out] = moments[1]
    mobile[S_FROM_S, ported_in] = moments[2]
    mobile[S_MSISDN, ported_in] = _packed(_block(CAME_FROM, ported_in), number[ported_in], 7)
    mobile[S_TO_S, terminated] = moments[3]

    owners = np.flatnonzero(index % 8 == 3)
    voip = np.ascontiguousarray(mobile[:, owners])
    voip[S_MSISDN] = _packed(_block(FIXED_BLOCKS, owners), (owners % BLOCK * 3456789 + 7654321) % BLOCK, 7)
    voip[S_IMSI] = voip[S_IMSI_AFTER] = -1
    voip[S_FROM_S], voip[S_TO_S], voip[S_TECH] = 0, NEVER, 0
    return Population(mobile, voip, owners, family_head, ported_out, ported_in, terminated, swapped)
