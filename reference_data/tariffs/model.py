"""One version of a tariff as its author wrote it, with the lines, before it is compiled."""

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

from schemas.codes import Direction, Service, Unit
from schemas.money import Rounding
from schemas.timepoint import to_us

ANY: Final = "any"
# Zones that exist without a deck: what the number plan says of special numbers, and "no zone at all".
UNKNOWN, EMERGENCY, TOLL_FREE, PREMIUM, SHORT_CODE, TEXT = range(6)
BUILT_IN_ZONES = ("unknown", "emergency", "toll_free", "premium", "short_code", "text")
HOME, UNKNOWN_NETWORK = 0, 1
BUILT_IN_ROAMING = ("home", "unknown_network")
CYCLES = ("none", "day", "month", "week")
ON_NET: Final = "on_net"
OFF_NET: Final = "off_net"
NEVER_US: Final = 1 << 62
GRANTED: Final = "granted"  # of a bucket that has no cycle but the validity of its grant


@dataclass(frozen=True)
class Slot:
    """From this position on: `price_nanos` per `per` units, in steps of `step` units; flat: price_nanos once."""

    start: int
    price_nanos: int
    per: int
    step: int
    line: int
    flat: bool = False


@dataclass(frozen=True)
class Rate:
    """Slots are as written: the free quantity still lies before them. `currency` of amounts, None: the version's.

    straddling: "begin", "session_start" or "split". over: the counter on which positions count, None for the session.
    """

    name: str
    unit: Unit
    connect_fee_nanos: int
    minimum_nanos: int
    slots: tuple[Slot, ...]
    line: int
    free_quantity: int = 0
    minimum_quantity: int = 0
    maximum_nanos: int | None = None
    disconnect: bool = False
    straddling: str = "begin"
    over: str | None = None
    volume: bool = False
    currency: str | None = None

    @property
    def has_amounts(self) -> bool:
        return bool(self.connect_fee_nanos or self.minimum_nanos or self.maximum_nanos
                    or any(slot.price_nanos for slot in self.slots))


@dataclass(frozen=True)
class BandRule:
    """Days on which a band begins, and from when (second of the day) it lasts how long. None: any."""

    band: str
    days: tuple[int, ...]
    start: int
    length: int
    years: tuple[int, ...] | None
    months: tuple[int, ...] | None
    dates: tuple[int, ...] | None
    holidays: str | None
    line: int

    @property
    def rank(self) -> int:
        """0: on holidays; 1: in years, months or dates; 2: on weekdays. The lower one goes before."""
        if self.holidays is not None:
            return 0
        return 1 if (self.years, self.months, self.dates) != (None, None, None) else 2


@dataclass(frozen=True)
class Timing:
    """Bands that cover every second once.

    segments: (first second of the local week from Monday 00:00, band), ascending; empty for a timing that looks at
    dates, which has `rules` and, for what they leave, `otherwise`.
    """

    name: str
    segments: tuple[tuple[int, str], ...]
    line: int
    rules: tuple[BandRule, ...] = ()
    otherwise: str | None = None

    @property
    def bands(self) -> tuple[str, ...]:
        named = [band for _, band in self.segments] or [rule.band for rule in self.rules]
        return tuple(dict.fromkeys([*named, *([self.otherwise] if self.otherwise and not self.segments else [])]))


@dataclass(frozen=True)
class Scope:
    """Which usage something is for. zones: None (whatever it is), "any" (of the deck), or names.

    calling_zones, network ("on_net", "off_net"), categories: None for any. friends: only the account's friends.
    valid_from, valid_to: local time of the version unless they have an offset; to is exclusive.
    """

    services: tuple[Service, ...]
    directions: tuple[Direction, ...] | None
    zones: tuple[str, ...] | str | None
    roaming: tuple[str, ...] | str
    line: int
    calling_zones: tuple[str, ...] | None = None
    friends: bool = False
    network: str | None = None
    categories: tuple[str, ...] | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    @property
    def specificity(self) -> int:
        """Of two that cover the same usage the higher one is meant. The order of the keys is that of the page."""
        zones = 0 if self.zones is None else 1 if self.zones == ANY else 2
        narrowed = (self.calling_zones is not None, self.friends, self.network is not None,
                    self.categories is not None, self.roaming != ANY, self.directions is not None,
                    self.valid_from is not None or self.valid_to is not None)
        return zones << 7 | sum(held << 6 - place for place, held in enumerate(narrowed))

    def interval_us(self, time_zone: str) -> tuple[int, int]:
        """[from, to) in microseconds UTC; -NEVER_US and NEVER_US where it is left out."""
        return _us(self.valid_from, time_zone, -NEVER_US), _us(self.valid_to, time_zone, NEVER_US)


def _us(moment: datetime | None, time_zone: str, otherwise: int) -> int:
    if moment is None:
        return otherwise
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(time_zone)))


@dataclass(frozen=True)
class PriceRule:
    scope: Scope
    timing: str | None
    rates: dict[str, str]  # band -> rate; the band of a rule without timing is "all_day"


@dataclass(frozen=True)
class Discount:
    """percent of what is left, or amount_nanos, at most cap_nanos of a session. With timing and bands: of prices."""

    name: str
    percent: Fraction
    amount_nanos: int
    cap_nanos: int | None
    timing: str | None
    bands: tuple[str, ...] | None
    scope: Scope
    line: int
    currency: str | None = None

    @property
    def has_amounts(self) -> bool:
        return bool(self.amount_nanos or self.cap_nanos)


@dataclass(frozen=True)
class Counter:
    """What an account's usage adds up to in a cycle: quantity (of `unit`), charge (unit MONEY), or events (None)."""

    name: str
    unit: Unit | None
    cycle: str
    thresholds: tuple[int, ...]
    scope: Scope
    line: int


@dataclass(frozen=True)
class Leg:
    """A further charge of the same event, on `account`, or on that of the other network."""

    name: str
    account: int | None
    accounts: dict[str, int]
    plan: str
    scope: Scope
    line: int


@dataclass(frozen=True)
class Exchange:
    """One `source` is `rate` `target` from valid_from on."""

    source: str
    target: str
    rate: Fraction
    valid_from: datetime | None
    line: int

    def from_us(self, time_zone: str) -> int:
        return _us(self.valid_from, time_zone, -NEVER_US)


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
    currency: str | None = None  # None: the version's
    rounding_scope: str = "session"  # or report, day
    tax_percent: Fraction = Fraction(0)
    tax_exclusive: bool = False
    fallback: str | None = None
    discounts: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataClass:
    """Containers that meet every condition (None: any) are of zone `name`, and of `category` if they have none.

    snssais: (SST, SD or None for any). networks: as in `roaming`.
    """

    name: str
    rating_groups: tuple[int, ...] | None
    apns: tuple[str, ...] | None
    service_identifiers: tuple[int, ...] | None = None
    snssais: tuple[tuple[int, int | None], ...] | None = None
    rats: tuple[int, ...] | None = None
    networks: tuple[str, ...] | None = None
    category: str | None = None
    line: int = 0


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
    exchange: tuple[Exchange, ...] = ()
    own_networks: tuple[str, ...] = ()
    calendars: dict[str, frozenset[int]] = field(default_factory=dict)  # days since 1970-01-01
    discounts: dict[str, Discount] = field(default_factory=dict)
    counters: dict[str, Counter] = field(default_factory=dict)
    legs: tuple[Leg, ...] = ()

    @cached_property
    def deck_zones(self) -> dict[str, frozenset[str]]:
        """Zones of each deck."""
        return {name: frozenset(deck.values()) for name, deck in self.decks.items()}
