"""Tables while they grow: rows that are numbered as they first appear, and lists of them laid end to end."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from reference_data.tariffs.model import CYCLES, GRANTED, Allowance, TariffVersion, Timing
from reference_data.tariffs.timings import Profile, day_profiles
from schemas.columns import I64
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT, BUCKET_UNIT_SHIFT, FIRST_DAY, LAST_DAY, NAMES
from schemas.timepoint import DAY_S, zone_offsets

ALL_DAY = "all_day"
# Every *_FIRST vector and the vector whose rows it divides.
OWNED = (("PLMN_FIRST", "PLMN_CODE"), ("CLASS_FIRST", "CLASS_ZONE"), ("TIMING_FIRST", "SEGMENT_START"),
         ("ENTRY_RATE_FIRST", "ENTRY_RATE"),
         ("ENTRY_COUNTER_FIRST", "ENTRY_COUNTER"), ("RATE_SLOT_FIRST", "SLOT_FROM"), ("ZONE_FIRST", "ZONE_AT"),
         ("FAMILY_DISCOUNT_FIRST", "DISCOUNT_NUMERATOR"), ("COUNTER_THRESHOLD_FIRST", "THRESHOLD"),
         ("SET_FIRST", "SET_DEFINITION"), ("FULL_FIRST", "FULL_DEFINITION"))


def stable_key(*parts: str, bits: int = 63) -> int:
    """The same number for the same names in every compilation."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)


def self_describing(bits40: int, unit: int, cycle: int) -> int:
    """A bucket's or counter's id before the first day of its cycle is added; see `schemas.tariff_tables`."""
    return bits40 << BUCKET_UNIT_SHIFT + 3 | unit << BUCKET_UNIT_SHIFT | cycle << BUCKET_CYCLE_SHIFT


def definition_key(plan: str, allowance: Allowance) -> int:
    """Bucket id of an allowance before the first day of its cycle is added. Buckets of the catalogue: plan ""."""
    cycle = len(CYCLES) if allowance.cycle == GRANTED else CYCLES.index(allowance.cycle)
    return self_describing(stable_key(plan, allowance.name, bits=40), int(allowance.unit), cycle)


Combined = tuple[str, ...]  # a band of each of several timings


class Rows:
    """Vectors by name, and the row that was made for a key."""

    def __init__(self) -> None:
        self.vectors: dict[str, list[int]] = {name: [] for name in NAMES}
        self.seen: dict[object, int] = {}
        self.timings: dict[object, tuple[int, list[Combined]]] = {}

    def add(self, **values: int) -> None:
        for name, value in values.items():
            self.vectors[name].append(value)

    def size(self, name: str) -> int:
        return len(self.vectors[name])

    def once(self, key: object, make: Callable[[], int]) -> int:
        """The row of `key`, made when it is first asked for."""
        if key not in self.seen:
            self.seen[key] = make()
        return self.seen[key]

    def close(self) -> None:
        """End every *_FIRST vector."""
        for first, owned in OWNED:
            self.vectors[first].append(self.size(owned))

    def list_row(self, first: str, owned: str, members: Sequence[int]) -> int:
        """A row that owns `members`."""
        self.add(**{first: self.size(owned)})
        self.vectors[owned] += members
        return self.size(first) - 1



def timing_row(rows: Rows, version: TariffVersion, names: tuple[str, ...], bands: list[str]
               ) -> tuple[int, list[Combined]]:
    """(row, bands by place) of several timings at once; "" stands for one that is always `all_day`.

    The label of a band is that of the first timing.
    """
    key = ("" if not any(names) else version.name, names)
    if key not in rows.timings:  # of every date there is: worth doing once
        rows.timings[key] = _new_timing_row(rows, version, names, bands)
    return rows.timings[key]


def _new_timing_row(rows: Rows, version: TariffVersion, names: tuple[str, ...], bands: list[str]
                    ) -> tuple[int, list[Combined]]:
    timings = [version.timings[name] if name else Timing("", ((0, ALL_DAY),), 0) for name in names]
    weekly = all(t.segments for t in timings)
    profile_of: I64 = np.empty(0, np.int64)
    if weekly:
        segments = [_merged([t.segments for t in timings])]
    else:
        parts = [_days(t, version) for t in timings]
        stacked, profile_of = np.unique(np.stack([part[0] for part in parts]), axis=1, return_inverse=True)
        segments = [_merged([parts[i][1][p] for i, p in enumerate(column)]) for column in stacked.T.tolist()]
    places = list(dict.fromkeys(combined for each in segments for _, combined in each))
    if len(names) == 1:
        places = [(band,) for band in timings[0].bands]

    rows.add(TIMING_ZONE=_time_zone(rows, version.time_zone), TIMING_FIRST=rows.size("SEGMENT_START"),
             TIMING_DAYS=-1 if weekly else rows.size("DAY_PROFILE"))
    if not weekly:
        rows.vectors["DAY_PROFILE"] += (profile_of.ravel() + rows.size("PROFILE_FIRST")).tolist()
    for each in segments:
        if not weekly:
            rows.add(PROFILE_FIRST=rows.size("SEGMENT_START"))
        for start, combined in each:
            rows.add(SEGMENT_START=start, SEGMENT_BAND=bands.index(combined[0]), SEGMENT_PLACE=places.index(combined))
    if not weekly:
        rows.add(PROFILE_FIRST=rows.size("SEGMENT_START"))  # ends the last one: other timings may follow
    return rows.size("TIMING_ZONE") - 1, places


def _days(timing: Timing, version: TariffVersion) -> tuple[I64, list[Profile]]:
    """Profiles by day, also of a timing of the week."""
    if not timing.segments:
        return day_profiles(timing, version.calendars, version.file)
    profiles: list[Profile] = []
    for day in range(7):
        low, high = day * DAY_S, (day + 1) * DAY_S
        before = [band for start, band in timing.segments if start <= low][-1]
        profiles.append(((0, before), *((start - low, band) for start, band in timing.segments if low < start < high)))
    return (np.arange(FIRST_DAY, LAST_DAY, dtype=np.int64) + 3) % 7, profiles


def _merged(parts: Iterable[Sequence[tuple[int, str]]]) -> list[tuple[int, Combined]]:
    """Segments of several timings as segments of their combination."""
    each = list(parts)
    starts = sorted({start for part in each for start, _ in part})
    found: list[tuple[int, Combined]] = []
    for start in starts:
        combined = tuple([band for at, band in part if at <= start][-1] for part in each)
        if not found or found[-1][1] != combined:
            found.append((start, combined))
    return found


def _time_zone(rows: Rows, name: str) -> int:
    def make() -> int:
        rows.add(ZONE_FIRST=rows.size("ZONE_AT"))
        for at, offset in zip(*zone_offsets(name), strict=True):
            rows.add(ZONE_AT=at, ZONE_OFFSET=offset)
        return rows.size("ZONE_FIRST") - 1
    return rows.once(("zone", name), make)
