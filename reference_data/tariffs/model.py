"""One version of a tariff as its author wrote it, with the lines, before it is compiled."""

from dataclasses import dataclass
from typing import Final

from schemas.codes import Direction, Service, Unit
from schemas.money import Rounding

ANY: Final = "any"
# Zones that exist without a deck: what the number plan says of special numbers, and "no zone at all".
UNKNOWN, EMERGENCY, TOLL_FREE, PREMIUM, SHORT_CODE, TEXT = range(6)
BUILT_IN_ZONES = ("unknown", "emergency", "toll_free", "premium", "short_code", "text")
HOME, UNKNOWN_NETWORK = 0, 1
BUILT_IN_ROAMING = ("home", "unknown_network")
CYCLES = ("none", "day", "month")


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
    name: str
    unit: Unit
    amount: int
    step: int
    cycle: str
    priority: int
    scope: Scope


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
