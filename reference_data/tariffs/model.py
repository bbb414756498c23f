"""One version of a tariff as its author wrote it, with the lines, before it is compiled."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from schemas.codes import Direction, Service, Unit
from schemas.money import Rounding

ANY: Final = "any"
# Zones that exist without a deck: what the number plan says of special numbers, and "no zone at all".
UNKNOWN, EMERGENCY, TOLL_FREE, PREMIUM, SHORT_CODE, TEXT = range(6)
BUILT_IN_ZONES = ("unknown", "emergency", "toll_free", "premium", "short_code", "text")
HOME, UNKNOWN_NETWORK = 0, 1
BUILT_IN_ROAMING = ("home", "unknown_network")
CYCLES = ("none", "day", "month", "week")
GRANTED: Final = "granted"  # of a bucket that has no cycle but the validity of its grant


@dataclass(frozen=True)
class Slot:
    """From this position of the session on: `price_nanos` per `per` units, in steps of `step` units."""

    start: int
    price_nanos: int
    per: int
    step: int
    line: int


@dataclass(frozen=True)
class Rate:
    name: str
    unit: Unit
    connect_fee_nanos: int
    minimum_nanos: int
    slots: tuple[Slot, ...]
    line: int


@dataclass(frozen=True)
class Timing:
    """Bands that cover the week once: (first second of the local week from Monday 00:00, band), ascending."""

    name: str
    segments: tuple[tuple[int, str], ...]
    line: int

    @property
    def bands(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(band for _, band in self.segments))


@dataclass(frozen=True)
class Scope:
    """Which usage a price or an allowance is for. zones: None (whatever it is), "any" (of the deck), or names."""

    services: tuple[Service, ...]
    directions: tuple[Direction, ...] | None
    zones: tuple[str, ...] | str | None
    roaming: tuple[str, ...] | str
    line: int

    @property
    def specificity(self) -> int:
        """Of two that cover the same usage the higher one is meant: zones before roaming before direction."""
        zones = 0 if self.zones is None else 1 if self.zones == ANY else 2
        return zones * 4 + (self.roaming != ANY) * 2 + (self.directions is not None)


@dataclass(frozen=True)
class PriceRule:
    scope: Scope
    timing: str | None
    rates: dict[str, str]  # band -> rate; the band of a rule without timing is "all_day"


@dataclass(frozen=True)
class Allowance:
    """An allowance of a plan, or (cycle GRANTED) a bucket of the catalogue.

    amount, step, rollover_cap, member_cap in `unit` (nano-units for money); amount 0: each grant says it. price_nanos
    per `per` units is what covered units cost, None for nothing. timing, bands: only units used in those bands.
    """

    name: str
    unit: Unit
    amount: int
    step: int
    cycle: str
    priority: int
    scope: Scope
    line: int = 0
    validity_s: int | None = None
    rollover_cap: int = 0
    rollover_after: bool = False
    price_nanos: int | None = None
    per: int = 1
    blocking: bool = False
    member_cap: int | None = None
    timing: str | None = None
    bands: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TopUpRule:
    """For top-ups of least to most (None: any) nano-units: a bonus, a bucket, validity of at least extends_s."""

    least_nanos: int
    most_nanos: int | None
    bonus_nanos: int
    bonus_percent: Fraction
    bucket: str | None
    extends_s: int | None
    line: int


@dataclass(frozen=True)
class Fee:
    """cycle "none": once, when the plan begins. prorate: a cycle begun in the middle owes its share of days."""

    name: str
    amount_nanos: int
    currency: str
    cycle: str
    prorate: bool
    line: int


@dataclass(frozen=True)
class StateRule:
    """What an account may do in a state, the code of refusal else, and what it becomes after a period."""

    permits: frozenset[tuple[Service, Direction]]
    refusal: int
    after_s: int | None
    then: str | None
    line: int


@dataclass(frozen=True)
class Plan:
    name: str
    deck: str
    debt: bool
    rounding: Rounding
    decimals: int
    allowances: tuple[Allowance, ...]
    prices: tuple[PriceRule, ...]
    line: int
    fees: tuple[str, ...] = ()
    late_usage: str = "pay"  # or current_cycle, suspend: what usage of a closed cycle meets


@dataclass(frozen=True)
class DataClass:
    """Containers of these rating groups and APNs (None: all) are of zone `name`."""

    name: str
    rating_groups: tuple[int, ...] | None
    apns: tuple[str, ...] | None


@dataclass(frozen=True)
class TariffVersion:
    file: str
    name: str
    active_from_us: int
    time_zone: str
    currency: str
    decks: dict[str, dict[str, str]]           # deck -> prefix -> zone
    roaming: dict[str, tuple[str, ...]]        # roaming zone -> networks
    data_classes: tuple[DataClass, ...]
    timings: dict[str, Timing]
    rates: dict[str, Rate]
    plans: dict[str, Plan]
    buckets: dict[str, Allowance] = field(default_factory=dict)
    top_ups: tuple[TopUpRule, ...] = ()
    fees: dict[str, Fee] = field(default_factory=dict)
    states: dict[str, StateRule] = field(default_factory=dict)  # every state
