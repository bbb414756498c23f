"""One plan at one instant to rows: its families, entries, rates, discounts, counters and allowance sets."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import prod

import numpy as np

from reference_data.tariffs.bounds import Family, Use, prove, raised, tax_part
from reference_data.tariffs.cells import (
    DIRECTIONS,
    FREE_BY_CLASS,
    KINDS,
    Axes,
    fallbacks,
    holds,
    plan_scopes,
    price_cells,
    scope_cells,
)
from reference_data.tariffs.epochs import conversion
from reference_data.tariffs.model import CYCLES, Allowance, Discount, Plan, PriceRule, Rate, Scope, Slot, TariffVersion
from reference_data.tariffs.rates import plain_slots
from reference_data.tariffs.rows import ALL_DAY, Rows, definition_key, self_describing, stable_key, timing_row
from reference_data.tariffs.source import refuse
from schemas.codes import Service, Unit
from schemas.columns import I64
from schemas.money import DECIMALS
from schemas.tariff_tables import (
    A_AFTER,
    A_BANDS,
    A_BLOCKING,
    A_CATALOGUE,
    A_MEMBER_CAP,
    A_MONEY,
    A_PRICE,
    A_ROLLOVER,
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
    FLAT_STEP,
    LEGS_SHIFT,
    MOST_LEGS,
    NO_CAP,
)
from schemas.units import SERVICE_UNIT, counts

MESSAGES = (Unit.MESSAGE, Unit.SEGMENT)
LATE = ("pay", "current_cycle", "suspend")
SCOPES = ("session", "report", "day")
MOST_ALLOWANCES, MOST_BUCKETS, MOST_TERMS, MAX_COUNTERS = 30, 60, 30, 16


@dataclass
class Compiling:
    """What all plans of a compilation share."""

    axes: Axes
    labels: dict[str, list[str]]
    rows: Rows = field(default_factory=Rows)
    rate_names: list[str] = field(default_factory=list)
    cells: list[I64] = field(default_factory=list)       # slices (roaming x zones), laid end to end
    kinds: list[I64] = field(default_factory=list)       # a row for each plan row
    slices: dict[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Money:
    """What amounts are multiplied by: exclusive tax, and exchange from a currency into the plan's."""

    version: TariffVersion
    plan: Plan
    at_us: int

    @property
    def currency(self) -> str:
        return self.plan.currency or self.version.currency

    @property
    def tax(self) -> Fraction:
        return raised(self.plan)

    def factor(self, currency: str, line: int) -> Fraction:
        return self.tax * conversion(self.version, currency, self.currency, self.at_us, line)


class PlanRows:
    """Compiles a plan as it is at an instant."""

    def __init__(self, shared: Compiling, version: TariffVersion, plan: Plan, at_us: int) -> None:
        self.shared, self.version, self.plan, self.at_us = shared, version, plan, at_us
        self.rows = shared.rows
        self.money = _Money(version, plan, at_us)
        self.axes = shared.axes.seen_by(plan_scopes(version, plan))
        self.rule_of, self.rules = price_cells(version, plan, self.axes, at_us)
        listed = [version.discounts[name] for name in plan.discounts]
        self.band_discounts = [d for d in listed if d.timing is not None]
        self.chain_discounts = [d for d in listed if d.timing is None]
        self.families: dict[tuple[Service, Unit], tuple[Family, Fraction, list[str]]] = {}
        self.serial = len(shared.kinds)

    def emit(self) -> int:
        """Add everything; returns the plan row's KIND."""
        bands = self._mask([d.scope for d in self.band_discounts], "discounts")
        chain = self._mask([d.scope for d in self.chain_discounts], "discounts")
        counters = self._mask([self.version.counters[n].scope for n in self.plan.counters], "counters")
        allowances, definitions, scopes = self._definitions()
        held = self._mask(scopes, "allowances", MOST_BUCKETS)
        legs = self._mask([leg.scope for leg in self.version.legs], "legs", MOST_LEGS, anywhere=True)
        units = [int(a.unit) for a, _ in allowances]
        free = self.rule_of == FREE_BY_CLASS
        bands[free] = chain[free] = counters[free] = 0
        self._number_rates(chain)
        # Cells that say the same get one entry; what is free by its class is free in the unit of its service.
        service_of = np.arange(KINDS).reshape(-1, 1, 1, 1, 1, 1, 1) // DIRECTIONS
        same = _inverse([np.where(free, FREE_BY_CLASS - service_of, self.rule_of), bands, chain, counters, held, legs])
        first = np.unique(same, return_index=True)[1]
        cell_of = np.zeros(first.size, np.int64)
        for number, at in enumerate(first.tolist()):
            rule = int(self.rule_of.flat[at])
            service = Service(int(np.unravel_index(at, self.axes.shape)[0]) // DIRECTIONS)
            entry, unit = 0, SERVICE_UNIT[service]
            if rule != -1:
                entry, unit = self._entry(service, rule, int(bands.flat[at]), int(chain.flat[at]),
                                          int(counters.flat[at]))
            bits = int(held.flat[at])
            counted = {int(unit), int(Unit.MONEY)}
            if unit in MESSAGES:  # another plan of the account, or of who shares this one's, may count the other
                counted |= {int(other) for other in MESSAGES}
            members = [i for i in range(len(allowances)) if bits >> i & 1 and units[i] in counted]
            plain = tuple(definitions[i] for i in members if not allowances[i][1])
            full = tuple(definitions[i] for i in members)
            if rule >= 0:
                self._refuse_volume(rule, [allowances[i][0] for i in members if units[i] == int(unit)])
            cell_of[number] = entry | self._set(plain, full) << 32 | (int(legs.flat[at]) << LEGS_SHIFT if entry else 0)
        return self._slices(cell_of[same])

    def _number_rates(self, chain: I64) -> None:
        """Give the rates their rows in the order of services, prices and bands: ledgers name them by these numbers."""
        for service in Service:
            block = self.rule_of[int(service) * DIRECTIONS:(int(service) + 1) * DIRECTIONS]
            chained = chain[int(service) * DIRECTIONS:(int(service) + 1) * DIRECTIONS]
            for rule in sorted(set(block.ravel().tolist()) - {-1, FREE_BY_CLASS}):
                _, price = self.rules[rule]
                for bits in sorted(set(chained[block == rule].tolist())):
                    for name in price.rates.values():
                        rate = self.version.rates[name]
                        family_row, family = self._family(service, rate.unit, bits)
                        self._rate(self._use(rate, Fraction(1)), family_row, family)
            if (block == FREE_BY_CLASS).any():
                family_row, family = self._family(service, SERVICE_UNIT[service], 0)
                self._rate(self._use(self._free(service), Fraction(1)), family_row, family)

    def _free(self, service: Service) -> Rate:
        return Rate("free", SERVICE_UNIT[service], 0, 0, (Slot(0, 0, 1, 1, self.plan.line),), self.plan.line)

    def _mask(self, scopes: list[Scope], what: str, most: int = MOST_TERMS, anywhere: bool = False) -> I64:
        """Bit p of a cell: the p-th scope holds it. anywhere: as for `scope_cells`."""
        if len(scopes) > most:
            raise refuse(self.version.file, self.plan.line, f"plan {self.plan.name!r} has {len(scopes)} {what}",
                         f"at most {most}")
        mask = np.zeros(self.axes.shape, np.int64)
        for place, scope in enumerate(scopes):
            if holds(scope, self.version, self.at_us):
                mask[scope_cells(self.version, self.plan.deck, scope, self.axes, anywhere)] |= 1 << place
        return mask

    def _slices(self, cells: I64) -> int:
        """The cells' slices, equal ones shared over all plans; returns the row of KIND."""
        shape = self.axes.shape
        size = shape[-1] * shape[-2]
        flat = np.ascontiguousarray(cells.reshape(-1, size))
        offsets = np.full(flat.shape[0], -1, np.int64)
        for i, cut in enumerate(flat):
            if not cut.any():
                continue
            content = cut.tobytes()
            if content not in self.shared.slices:
                self.shared.slices[content] = size * len(self.shared.cells)
                self.shared.cells.append(cut)
            offsets[i] = self.shared.slices[content]
        lengths = (shape[0], *self.shared.axes.lengths)
        whole = np.broadcast_to(offsets.reshape(shape[:5]), lengths)
        self.shared.kinds.append(np.ascontiguousarray(whole).ravel())
        return len(self.shared.kinds) - 1

    # Allowances

    def _definitions(self) -> tuple[list[tuple[Allowance, bool]], list[int], list[Scope]]:
        """Allowances of the plan and buckets of the catalogue (True) in the order of use, their rows and scopes."""
        if len(self.plan.allowances) > MOST_ALLOWANCES:
            raise refuse(self.version.file, self.plan.line, f"plan {self.plan.name!r} has "
                         f"{len(self.plan.allowances)} allowances", f"at most {MOST_ALLOWANCES}")
        found = [(a, False) for a in self.plan.allowances] + [(b, True) for b in self.version.buckets.values()]
        found.sort(key=lambda pair: pair[0].priority)  # stable: then in the order of the file
        return found, [self._definition(*pair) for pair in found], [a.scope for a, _ in found]

    def _definition(self, allowance: Allowance, catalogue: bool) -> int:
        owner = "" if catalogue else self.plan.name
        return self.rows.once(("definition", self.version.name, owner, allowance.name),
                              lambda: self._add_definition(owner, allowance))

    def _add_definition(self, owner: str, allowance: Allowance) -> int:
        key = definition_key(owner, allowance)
        self.rows.seen["name", owner, allowance.name, int(allowance.unit), allowance.cycle] = key
        if owner and allowance.unit == Unit.MONEY and self.money.currency != self.version.currency:
            raise refuse(self.version.file, allowance.line, f"a bucket of {self.version.currency} in plan "
                         f"{owner!r}, which charges {self.money.currency}", "money of the version's currency",
                         "charge the plan in it, or grant another kind of bucket")
        price = own_price(allowance)
        timing, bits = -1, -1
        if allowance.timing is not None:
            timing, places = timing_row(self.rows, self.version, (allowance.timing,), self.shared.labels["band"])
            bits = sum(1 << p for p, (band,) in enumerate(places) if band in (allowance.bands or ()))
        form = (A_ROLLOVER * (allowance.rollover_cap > 0) | A_AFTER * allowance.rollover_after
                | A_PRICE * (price is not None) | A_BLOCKING * allowance.blocking | A_BANDS * (timing >= 0)
                | A_MEMBER_CAP * (allowance.member_cap is not None) | A_MONEY * (allowance.unit == Unit.MONEY)
                | A_CATALOGUE * (not owner))
        self.rows.add(
            DEFINITION_KEY=key, DEFINITION_AMOUNT=allowance.amount, DEFINITION_STEP=allowance.step,
            DEFINITION_FORM=form, DEFINITION_PRICE=price.numerator if price is not None else 0,
            DEFINITION_PER=price.denominator if price is not None else 1,
            DEFINITION_ROLLOVER=allowance.rollover_cap or -1,
            DEFINITION_MEMBER_CAP=-1 if allowance.member_cap is None else allowance.member_cap,
            DEFINITION_TIMING=timing, DEFINITION_BANDS=bits,
            DEFINITION_VALIDITY=-1 if allowance.validity_s is None else allowance.validity_s)
        return self.rows.size("DEFINITION_KEY") - 1

    def _set(self, plain: tuple[int, ...], full: tuple[int, ...]) -> int:
        def make() -> int:
            self.rows.list_row("FULL_FIRST", "FULL_DEFINITION", full)
            row = self.rows.list_row("SET_FIRST", "SET_DEFINITION", plain)
            if row >= 1 << 16:
                raise refuse(self.version.file, self.plan.line, "more than 65535 different sets of allowances",
                             "fewer", "give allowances the same scopes, or retire old versions")
            return row
        return self.rows.once(("set", plain, full), make)

    def _refuse_volume(self, rule: int, allowances: list[Allowance]) -> None:
        price = self.rules[rule][1]
        for name in price.rates.values():
            if self.version.rates[name].volume and allowances:
                allowance = allowances[0]
                raise refuse(self.version.file, price.scope.line, f"an allowance covers usage under volume tiers (rate "
                             f"{name!r}): {allowance.name!r} on line {allowance.line}",
                             "no such allowance, or graduated tiers")

    # Entries

    def _entry(self, service: Service, rule: int, bands: int, chain: int, counters: int) -> tuple[int, Unit]:
        """(entry + 1, unit) of a rule with these discounts and counters."""
        if rule == FREE_BY_CLASS:
            names, timing = {ALL_DAY: self._free(service)}, ""
        else:
            _, price = self.rules[rule]
            names = {band: self.version.rates[name] for band, name in price.rates.items()}
            timing = price.timing or ""
            self._check_over(price, counters)
        unit = next(iter(names.values())).unit
        chosen = [d for place, d in enumerate(self.band_discounts) if bands >> place & 1]
        timing_at, places = timing_row(self.rows, self.version, (timing, *(str(d.timing) for d in chosen)),
                                       self.shared.labels["band"])
        family_row, family = self._family(service, unit, chain)
        rates = []
        for band, *others in places:
            share = Fraction(1)
            for discount, other in zip(chosen, others, strict=True):
                if other in (discount.bands or ()):
                    share *= 1 - discount.percent / 100
            rates.append(self._rate(self._use(names[band], share), family_row, family))
        kept = self._kept(counters, unit)
        self.rows.add(ENTRY_FAMILY=family_row, ENTRY_TIMING=timing_at)
        self.rows.list_row("ENTRY_COUNTER_FIRST", "ENTRY_COUNTER", kept)
        return self.rows.list_row("ENTRY_RATE_FIRST", "ENTRY_RATE", rates) + 1, unit

    def _kept(self, counters: int, unit: Unit) -> list[int]:
        """Rows of the counters that count usage of a unit."""
        names = [name for place, name in enumerate(self.plan.counters) if counters >> place & 1
                 and self.version.counters[name].unit in (None, Unit.MONEY, unit)]
        if len(names) > MAX_COUNTERS:
            raise refuse(self.version.file, self.plan.line, f"usage of plan {self.plan.name!r} counts on {len(names)} "
                         "counters", f"at most {MAX_COUNTERS}", "narrow their scopes")
        return [self._counter(name) for name in names]

    def _check_over(self, price: PriceRule, counters: int) -> None:
        for name in price.rates.values():
            over = self.version.rates[name].over
            if over is not None and (over not in self.plan.counters
                                     or not counters >> self.plan.counters.index(over) & 1):
                raise refuse(self.version.file, price.scope.line, f"counter {over!r} does not count all usage of rate "
                             f"{name!r} in plan {self.plan.name!r}", "a counter whose scope holds the price's",
                             "widen the counter, or narrow the price")

    def _use(self, rate: Rate, share: Fraction) -> Use:
        # What costs nothing needs no exchange.
        currency = rate.currency or self.version.currency if rate.has_amounts else self.money.currency
        money = self.money.factor(currency, rate.line)
        return Use(rate, money, money * share)

    def _family(self, service: Service, unit: Unit, chain: int) -> tuple[int, Family]:
        if (service, unit) not in self.families:
            self.families[service, unit] = self._arithmetic(service, unit)
        family, own, factors = self.families[service, unit]
        taken = [d for place, d in enumerate(self.chain_discounts) if chain >> place & 1]
        row = self.rows.once(("family", self.serial, service, unit, chain),
                             lambda: self._add_family(service, unit, family, own, taken, factors))
        return row, family

    def _arithmetic(self, service: Service, unit: Unit) -> tuple[Family, Fraction, list[str]]:
        """What all chains of discounts of a service share: arithmetic, factor of buckets' own prices, all factors."""
        discounts = [d for d in self.chain_discounts if service in d.scope.services]
        uses = self._all_uses(service, unit)
        amounts = [self._amount(d, nanos) for d in discounts for nanos in (d.amount_nanos, d.cap_nanos or 0)]
        own = own_prices(self.version, self.plan, service, unit)
        factor = self.money.factor(self.version.currency, self.plan.line) if own else Fraction(1)
        tiered = [use.rate for use in uses if use.rate.volume]
        if tiered and tax_part(self.plan) and self.plan.decimals == DECIMALS:  # -1 nano of tax would read as none
            raise refuse(self.version.file, tiered[0].line, f"volume tiers (rate {tiered[0].name!r}) in plan "
                         f"{self.plan.name!r}, which rounds tax to {DECIMALS} decimals", f"at most {DECIMALS - 1} "
                         "decimals, since tax can fall", "change `rounding` of the plan")
        family = prove(self.version, self.plan, unit, uses, [(price * factor, step) for price, step in own], amounts,
                       prod((d.percent / 100).denominator for d in discounts))
        money = {use.money for use in uses} | ({factor} if own else set())
        money |= {self.money.factor(d.currency or self.version.currency, d.line) for d in discounts if d.has_amounts}
        return family, factor, sorted({str(each) for each in money} - {"1"})

    def _all_uses(self, service: Service, unit: Unit) -> list[Use]:
        """Every rate that the plan could use for a service, in whatever epoch and band."""
        shares = {Fraction(1)}
        for discount in self.band_discounts:
            if service in discount.scope.services:
                shares |= {share * (1 - discount.percent / 100) for share in shares}
        return [self._use(self.version.rates[name], share)
                for owner in (self.plan, *fallbacks(self.version, self.plan)) for rule in owner.prices
                if service in rule.scope.services for name in dict.fromkeys(rule.rates.values())
                if self.version.rates[name].unit == unit for share in sorted(shares)]

    def _amount(self, discount: Discount, nanos: int) -> Fraction:
        if nanos == 0:
            return Fraction(0)
        return nanos * self.money.factor(discount.currency or self.version.currency, discount.line)

    def _add_family(self, service: Service, unit: Unit, family: Family, own: Fraction, taken: list[Discount],
                    factors: list[str]) -> int:
        plan = self.plan
        extra = [*(f"{d.name} {d.percent} {d.amount_nanos} {d.cap_nanos}" for d in taken), *factors,
                 *(["segment"] if unit == Unit.SEGMENT else []),
                 *([plan.rounding_scope] if plan.rounding_scope != "session" else [])]
        tax = tax_part(plan)
        self.rows.add(
            FAMILY_KEY=stable_key(self.version.name, plan.name, service.name, str(family), plan.rounding.name, *extra),
            FAMILY_SERVICE=int(service), FAMILY_UNIT=int(unit), FAMILY_MULTIPLE=family.multiple,
            FAMILY_DENOMINATOR=family.denominator,
            FAMILY_QUANTUM=family.quantum_nanos, FAMILY_RULE=int(plan.rounding), FAMILY_BOUND=family.bound,
            FAMILY_DEBT=int(plan.debt), FAMILY_SCOPE=SCOPES.index(plan.rounding_scope),
            FAMILY_TAX_NUMERATOR=tax.numerator, FAMILY_TAX_DENOMINATOR=tax.denominator,
            FAMILY_OWN_NUMERATOR=own.numerator, FAMILY_OWN_DENOMINATOR=own.denominator,
            FAMILY_LATE=LATE.index(plan.late_usage), FAMILY_DISCOUNT_FIRST=self.rows.size("DISCOUNT_CAP"))
        for discount in taken:
            share = discount.percent / 100
            cap = NO_CAP if discount.cap_nanos is None else min(
                family.numerator(self._amount(discount, discount.cap_nanos)), NO_CAP)
            self.rows.add(DISCOUNT_NUMERATOR=share.numerator, DISCOUNT_DENOMINATOR=share.denominator,
                          DISCOUNT_AMOUNT=min(family.numerator(self._amount(discount, discount.amount_nanos)), NO_CAP),
                          DISCOUNT_CAP=cap)
        return self.rows.size("FAMILY_KEY") - 1

    def _rate(self, use: Use, family_row: int, family: Family) -> int:
        rate = use.rate
        return self.rows.once(("rate", family_row, rate.name, use.money, use.price),
                              lambda: self._add_rate(use, family))

    def _add_rate(self, use: Use, family: Family) -> int:
        rate, rows = use.rate, self.rows
        over = -1 if rate.over is None else self._counter(rate.over)
        rows.add(RATE_CONNECT=family.numerator(rate.connect_fee_nanos * use.price),
                 RATE_MINIMUM=family.numerator(rate.minimum_nanos * use.money), RATE_FORM=rate_form(rate),
                 RATE_MAXIMUM=-1 if rate.maximum_nanos is None else min(
                     family.numerator(rate.maximum_nanos * use.money), NO_CAP - 1),
                 RATE_MINIMUM_QUANTITY=rate.minimum_quantity, RATE_COUNTER=over,
                 RATE_SLOT_FIRST=rows.size("SLOT_FROM"))
        self.shared.rate_names.append(rate.name)
        for slot in plain_slots(rate):
            price = slot.price_nanos * use.price
            split = rate.straddling == "split"
            rows.add(SLOT_FROM=slot.start, SLOT_FLAT=int(slot.flat),
                     SLOT_STEP=FLAT_STEP if slot.flat else slot.step,
                     SLOT_PRICE=family.numerator(price if slot.flat else price * slot.step / slot.per),
                     SLOT_UNIT_PRICE=family.numerator(price / slot.per) if split else 0)
        return rows.size("RATE_CONNECT") - 1

    def _counter(self, name: str) -> int:
        return self.rows.once(("counter", self.version.name, name), lambda: self._add_counter(name))

    def _add_counter(self, name: str) -> int:
        counter = self.version.counters[name]
        unit = Unit.UNIT if counter.unit is None else counter.unit
        kind = COUNTS_EVENTS if counter.unit is None else COUNTS_CHARGE if unit == Unit.MONEY else COUNTS_QUANTITY
        self.rows.add(COUNTER_KEY=self_describing(stable_key("counter", name, str(kind), bits=40), int(unit),
                                                  CYCLES.index(counter.cycle)),
                      COUNTER_KIND=kind, COUNTER_NAME=self.shared.labels["counter"].index(name))
        return self.rows.list_row("COUNTER_THRESHOLD_FIRST", "THRESHOLD", counter.thresholds)


def rate_form(rate: Rate) -> int:
    """Bits F_* of a rate."""
    return (F_SESSION_START * (rate.straddling == "session_start") | F_SPLIT * (rate.straddling == "split")
            | F_VOLUME * rate.volume | F_FLAT * any(slot.flat for slot in rate.slots) | F_DISCONNECT * rate.disconnect
            | F_MAXIMUM * (rate.maximum_nanos is not None) | F_MINIMUM_QUANTITY * (rate.minimum_quantity > 0)
            | F_OVER * (rate.over is not None))


def own_price(allowance: Allowance) -> Fraction | None:
    """Nanos of one unit that an allowance covers, in the version's currency and without exclusive tax."""
    return None if allowance.price_nanos is None else Fraction(allowance.price_nanos, allowance.per)


def own_prices(version: TariffVersion, plan: Plan, service: Service, unit: Unit) -> list[tuple[Fraction, int]]:
    """And steps of every allowance and bucket that could cover what a plan prices, a shared account's too."""
    currency = plan.currency or version.currency
    owned = [a for other in version.plans.values() if (other.currency or version.currency) == currency
             for a in other.allowances]
    found = [(own_price(a), a.step) for a in [*owned, *version.buckets.values()]
             if a.unit == unit and service in a.scope.services and counts(service, unit)]
    return [(price, step) for price, step in found if price]


def _inverse(parts: list[I64]) -> I64:
    """The same number for cells in which all parts agree."""
    same = np.zeros(parts[0].shape, np.int64)
    for part in parts:
        values, places = np.unique(part, return_inverse=True)
        combined = same * values.size + places.reshape(part.shape)
        _, same = np.unique(combined, return_inverse=True)
        same = same.reshape(part.shape)
    return same
