"""What prices have beyond slots, to tables: limits of rates, chains of discounts, counters with thresholds."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from reference_data.tariffs.bounds import Family, raised, step_price, tax_part
from reference_data.tariffs.cells import Axes, scope_mask
from reference_data.tariffs.model import CYCLES, Counter, Discount, Plan, PriceRule, Rate, TariffVersion
from reference_data.tariffs.rates import plain_slots
from reference_data.tariffs.rows import Rows, stable_key
from reference_data.tariffs.source import refuse
from schemas.codes import Service, Unit
from schemas.columns import I64
from schemas.errors import ReferenceDataError
from schemas.tariff_tables import (
    BUCKET_CYCLE_SHIFT,
    BUCKET_UNIT_SHIFT,
    COUNTS_CHARGE,
    COUNTS_EVENTS,
    COUNTS_QUANTITY,
    F_DISCONNECT,
    F_FLAT,
    F_MAXIMUM,
    F_MINIMUM_QUANTITY,
    F_OVER,
    F_SESSION_START,
    F_SPLIT,
    F_VOLUME,
    NO_CAP,
)

SCOPES = ("session", "report", "day")
LATE = ("pay", "current_cycle", "suspend")
MAX_COUNTERS = 16
_STRADDLING = {"begin": 0, "session_start": F_SESSION_START, "split": F_SPLIT}
T = TypeVar("T")


def add_family(rows: Rows, version: TariffVersion, plan: Plan, service: Service, unit: Unit, family: Family,
               chain: Sequence[Discount]) -> int:
    """Row of a plan, a service and a chain of discounts."""
    factor, tax = raised(plan), tax_part(plan)
    names = [version.name, plan.name, service.name, str(family), plan.rounding.name]
    if plan.rounding_scope != SCOPES[0]:
        names.append(plan.rounding_scope)
    names += [f"{d.name} {d.percent} {d.amount_nanos} {d.cap_nanos}" for d in chain]
    rows.add(FAMILY_KEY=stable_key(*names), FAMILY_SERVICE=int(service), FAMILY_UNIT=int(unit),
             FAMILY_DENOMINATOR=family.denominator, FAMILY_QUANTUM=family.quantum_nanos,
             FAMILY_RULE=int(plan.rounding), FAMILY_BOUND=family.bound, FAMILY_DEBT=int(plan.debt),
             FAMILY_SCOPE=SCOPES.index(plan.rounding_scope), FAMILY_TAX_NUMERATOR=tax.numerator,
             FAMILY_TAX_DENOMINATOR=tax.denominator, FAMILY_LATE=LATE.index(plan.late_usage),
             FAMILY_DISCOUNT_FIRST=rows.size("DISCOUNT_CAP"))
    for d in chain:
        share = d.percent / 100
        rows.add(DISCOUNT_NUMERATOR=share.numerator, DISCOUNT_DENOMINATOR=share.denominator,
                 DISCOUNT_AMOUNT=family.numerator(d.amount_nanos * factor),
                 DISCOUNT_CAP=NO_CAP if d.cap_nanos is None else family.numerator(d.cap_nanos * factor))
    return rows.size("FAMILY_KEY") - 1


def add_rate(rows: Rows, plan: Plan, rate: Rate, counter: int, family: Family, rate_names: list[str]) -> int:
    """Row of a rate, its amounts gross and over the family's denominator. counter: row on which it counts, or -1."""
    factor = raised(plan)
    form = _STRADDLING[rate.straddling] | (F_VOLUME if rate.volume else 0) | (F_DISCONNECT if rate.disconnect else 0)
    form |= (F_FLAT if any(s.flat for s in rate.slots) else 0) | (F_OVER if counter >= 0 else 0)
    form |= (F_MAXIMUM if rate.maximum_nanos is not None else 0) | (F_MINIMUM_QUANTITY if rate.minimum_quantity else 0)
    rows.add(RATE_CONNECT=family.numerator(rate.connect_fee_nanos * factor),
             RATE_MINIMUM=family.numerator(rate.minimum_nanos * factor), RATE_FORM=form, RATE_COUNTER=counter,
             RATE_MAXIMUM=-1 if rate.maximum_nanos is None else family.numerator(rate.maximum_nanos * factor),
             RATE_MINIMUM_QUANTITY=rate.minimum_quantity, RATE_SLOT_FIRST=rows.size("SLOT_FROM"))
    rate_names.append(rate.name)
    for slot in plain_slots(rate):
        rows.add(SLOT_FROM=slot.start, SLOT_STEP=slot.step, SLOT_FLAT=int(slot.flat),
                 SLOT_PRICE=family.numerator(step_price(slot) * factor),
                 SLOT_UNIT_PRICE=family.numerator(slot.price_nanos * factor / slot.per) if form & F_SPLIT else 0)
    return rows.size("RATE_CONNECT") - 1


class Terms:
    """Discounts and counters of a plan: which cells they cover, and rows for the combinations that occur."""

    def __init__(self, rows: Rows, version: TariffVersion, plan: Plan, axes: Axes, counter_labels: list[str]) -> None:
        self._rows, self._version, self._plan, self._labels = rows, version, plan, counter_labels
        self._discounts = [d for d in self._named(plan.discounts, version.discounts, "discount") if d.timing is None]
        self._counters = self._named(plan.counters, version.counters, "counter")
        self._discounted = scope_mask(version, plan, [d.scope for d in self._discounts], axes)
        self._counted = scope_mask(version, plan, [c.scope for c in self._counters], axes)

    def _named(self, names: Sequence[str], known: Mapping[str, T], kind: str) -> list[T]:
        for name in names:
            if name not in known:
                raise self._refuse(self._plan.line, f"plan {self._plan.name!r} lists {kind} {name!r}",
                                   "one of " + ", ".join(known))
        return [known[name] for name in names]

    def combined(self, service: Service, unit: Unit) -> tuple[I64, I64]:
        """(bits of discounts, bits of counters) for every cell of a service whose usage is counted in `unit`."""
        block = slice(service * 3, service * 3 + 3)
        fitting = sum(1 << bit for bit, c in enumerate(self._counters) if c.unit in (None, Unit.MONEY, unit))
        return self._discounted[block], self._counted[block] & fitting

    def chain(self, bits: int) -> list[Discount]:
        """The discounts of a combination, in their order."""
        return [d for bit, d in enumerate(self._discounts) if bits >> bit & 1]

    def counters(self, bits: int) -> list[int]:
        """Rows of the counters of a combination."""
        chosen = [self._counter(c) for bit, c in enumerate(self._counters) if bits >> bit & 1]
        if len(chosen) > MAX_COUNTERS:
            raise self._refuse(self._plan.line, f"usage of plan {self._plan.name!r} counts on {len(chosen)} counters",
                               f"at most {MAX_COUNTERS}")
        return chosen

    def _counter(self, counter: Counter) -> int:
        place = ("counter", self._version.name, counter.name)
        if place not in self._rows.seen:
            kind = (COUNTS_EVENTS if counter.unit is None else
                    COUNTS_CHARGE if counter.unit == Unit.MONEY else COUNTS_QUANTITY)
            unit = Unit.UNIT if counter.unit is None else counter.unit
            self._rows.seen[place] = self._rows.size("COUNTER_KEY")
            self._rows.add(
                COUNTER_KEY=stable_key("counter", counter.name, str(kind), bits=40) << BUCKET_UNIT_SHIFT + 3
                | int(unit) << BUCKET_UNIT_SHIFT | CYCLES.index(counter.cycle) << BUCKET_CYCLE_SHIFT,
                COUNTER_NAME=self._labels.index(counter.name), COUNTER_KIND=kind,
                COUNTER_THRESHOLD_FIRST=self._rows.size("THRESHOLD"))
            for threshold in counter.thresholds:
                self._rows.add(THRESHOLD=threshold)
        return self._rows.seen[place]

    def over(self, rule: PriceRule, rates: Sequence[Rate], bits: int, allowed: bool) -> int:
        """Row of the counter on which a price counts, -1 for the session. allowed: some allowance covers its usage.

        Raises ReferenceDataError on rates that do not go together.
        """
        line, first = rule.scope.line, rates[0]
        same: dict[str, Callable[[Rate], object]] = {
            "straddling": lambda r: r.straddling, "over": lambda r: r.over, "tiers": lambda r: r.volume}
        for key, of in same.items():
            if len({of(rate) for rate in rates}) > 1:
                raise self._refuse(line, f"rates of one price differ in `{key}`", "the same in all bands")
        if first.volume and len(rates) > 1:
            raise self._refuse(line, f"volume tiers (rate {first.name!r}) in bands", "one rate at all times")
        if first.volume and allowed:
            raise self._refuse(line, f"an allowance covers usage under volume tiers (rate {first.name!r})",
                               "no such allowance, or graduated tiers")
        if first.volume and first.disconnect:
            raise self._refuse(line, f"volume tiers that disconnect (rate {first.name!r}): their price can fall",
                               "at_maximum: free")
        if first.over is None:
            return -1
        for bit, counter in enumerate(self._counters):
            if counter.name == first.over:
                if counter.unit in (None, Unit.MONEY) or not bits >> bit & 1:
                    raise self._refuse(line, f"counter {counter.name!r} does not count all usage of rate "
                                       f"{first.name!r}", "usage within the counter's scope, in its unit")
                return self._counter(counter)
        raise self._refuse(line, f"plan {self._plan.name!r} does not keep counter {first.over!r}",
                           "its name under the plan's `counters`")

    def _refuse(self, line: int, found: str, expected: str) -> ReferenceDataError:
        return refuse(self._version.file, line, found, expected)
