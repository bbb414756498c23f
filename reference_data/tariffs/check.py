"""What only the whole of a version can say: names that are used and not declared, keys that do not go together."""

from collections.abc import Collection

from reference_data.tariffs.cells import fallbacks
from reference_data.tariffs.model import Allowance, Plan, PriceRule, TariffVersion
from reference_data.tariffs.source import refuse
from schemas.codes import Unit
from schemas.tariff_tables import MOST_LEGS
from schemas.timepoint import is_skipped
from schemas.units import SERVICE_UNIT, counts


def check_version(version: TariffVersion) -> None:
    """Raises ReferenceDataError on the first thing that is wrong."""
    _check_times(version)
    _check_exchange(version)
    for plan in version.plans.values():
        _check_plan(version, plan)
    for name, discount in version.discounts.items():
        _timing(version, discount.timing, discount.bands, discount.line, f"discount {name!r}")
    for bucket in version.buckets.values():
        _timing(version, bucket.timing, bucket.bands, bucket.line, f"bucket {bucket.name!r}")
    for rule in version.top_ups:
        if rule.bucket is not None:
            _declared(version, rule.line, "bucket", rule.bucket, version.buckets)
    for leg in version.legs:
        _declared(version, leg.line, "plan", leg.plan, version.plans)
    seen: dict[str, int] = {}
    for leg in version.legs:
        if leg.name in seen:
            raise refuse(version.file, leg.line, f"leg {leg.name!r} is named twice", "each name once",
                         f"the first is on line {seen[leg.name]}")
        seen[leg.name] = leg.line
    if len(version.legs) > MOST_LEGS:
        raise refuse(version.file, version.legs[MOST_LEGS].line, f"{len(version.legs)} legs", f"at most {MOST_LEGS}",
                     "put networks of one agreement under one leg's `accounts`")
    for leg in version.legs:
        if leg.account is None and not leg.accounts:
            raise refuse(version.file, leg.line, f"leg {leg.name!r} charges nobody: `accounts` is empty",
                         "an account for each network", "add them, or remove the leg")


def _check_times(version: TariffVersion) -> None:
    """Local times that there are: none within the hour that the clock jumps over."""
    plans = version.plans.values()
    scopes = [price.scope for plan in plans for price in plan.prices]
    scopes += [allowance.scope for plan in plans for allowance in plan.allowances] + [leg.scope for leg in version.legs]
    for named in (version.buckets, version.discounts, version.counters):
        scopes += [each.scope for each in named.values()]
    for scope in scopes:
        for moment in (scope.valid_from, scope.valid_to):
            if moment is not None and is_skipped(moment, version.time_zone):
                raise refuse(version.file, scope.line, f"{moment.isoformat()}, when the clocks of {version.time_zone} "
                             "spring forward", "a local time that there is", "name an hour later, or an offset")


def _check_exchange(version: TariffVersion) -> None:
    seen: dict[object, int] = {}
    for rate in version.exchange:
        key = (rate.source, rate.target, rate.valid_from)
        if key in seen:
            raise refuse(version.file, rate.line, f"a second rate from {rate.source} to {rate.target} for one time",
                         "one at a time", f"the first is on line {seen[key]}; remove one")
        seen[key] = rate.line


def _check_plan(version: TariffVersion, plan: Plan) -> None:
    if plan.deck not in version.decks:
        raise refuse(version.file, plan.line, f"plan {plan.name!r} uses deck {plan.deck!r}",
                     "one of " + ", ".join(version.decks), "declare it under `decks`")
    fallbacks(version, plan)
    for rule in plan.prices:
        _check_price(version, plan, rule)
    for kind, names, known in (("discount", plan.discounts, version.discounts),
                               ("counter", plan.counters, version.counters), ("fee", plan.fees, version.fees)):
        for name in names:
            if name not in known:
                raise refuse(version.file, plan.line, f"plan {plan.name!r} lists {kind} {name!r}, which is not there",
                             "one of " + (", ".join(list(known)[:12]) or "none"), f"declare it under `{kind}s`")
    others: str | None = None
    for name in plan.discounts:
        if version.discounts[name].timing is None:
            others = name
        elif others is not None:
            raise refuse(version.file, plan.line, f"plan {plan.name!r}: discount {name!r} lowers prices of bands and "
                         f"comes after {others!r}", "discounts of bands first", "order the names")
    for allowance in plan.allowances:
        _check_allowance(version, allowance)


def _check_allowance(version: TariffVersion, allowance: Allowance) -> None:
    _timing(version, allowance.timing, allowance.bands, allowance.line, f"allowance {allowance.name!r}")


def _timing(version: TariffVersion, timing: str | None, bands: tuple[str, ...] | None, line: int, what: str) -> None:
    if timing is None:
        return
    _declared(version, line, "timing", timing, version.timings)
    for band in bands or ():
        if band not in version.timings[timing].bands:
            raise refuse(version.file, line, f"{what}: band {band!r} is not in timing {timing!r}",
                         "one of " + ", ".join(version.timings[timing].bands), "correct the name")


def _declared(version: TariffVersion, line: int, kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise refuse(version.file, line, f"{kind} {name!r} is not declared",
                     "one of " + (", ".join(list(known)[:12]) or "none"), f"declare it under `{kind}s`")


def _check_price(version: TariffVersion, plan: Plan, rule: PriceRule) -> None:
    line = rule.scope.line
    if not isinstance(rule.scope.zones, str) and "emergency" in (rule.scope.zones or ()):
        raise refuse(version.file, line, f"plan {plan.name!r} prices emergency calls", "no price: they are always free",
                     "remove `emergency`")
    bands = ["all_day"]
    if rule.timing is not None:
        _declared(version, line, "timing", rule.timing, version.timings)
        bands = list(version.timings[rule.timing].bands)
    if set(bands) != set(rule.rates):
        raise refuse(version.file, line, f"rates for bands {', '.join(rule.rates)}",
                     f"a rate for each of {', '.join(bands)}", "name every band of the timing once")
    service = rule.scope.services[0]
    for name in rule.rates.values():
        _declared(version, line, "rate", name, version.rates)
        rate = version.rates[name]
        if not counts(service, rate.unit):
            raise refuse(version.file, line, f"rate {name!r} counts {rate.unit.name.lower()}s",
                         f"{SERVICE_UNIT[service].name.lower()}s, as {service.name.lower()} does")
        if rate.volume and rate.disconnect:
            raise refuse(version.file, rate.line, f"volume tiers that disconnect (rate {name!r}): their price can fall",
                         "at_maximum: free", "")
        if rate.over is not None:
            _check_over(version, plan, rate.line, name, rate.over, rate.unit)
    _check_bands(version, line, list(dict.fromkeys(rule.rates.values())))


def _check_over(version: TariffVersion, plan: Plan, line: int, name: str, counter: str, unit: Unit) -> None:
    _declared(version, line, "counter", counter, version.counters)
    if counter not in plan.counters:
        raise refuse(version.file, plan.line, f"plan {plan.name!r} does not keep counter {counter!r}, over which rate "
                     f"{name!r} counts", f"counters: [{counter}]", "add it to the plan's `counters`")
    if version.counters[counter].unit != unit:
        raise refuse(version.file, line, f"counter {counter!r} does not count all usage of rate {name!r}",
                     f"a counter of unit {unit.name.lower()}")


def _check_bands(version: TariffVersion, line: int, names: list[str]) -> None:
    """Rates that price one session together must agree on how."""
    rates = [version.rates[name] for name in names]
    volume = [rate.name for rate in rates if rate.volume]
    if volume and len(rates) > 1:
        raise refuse(version.file, line, f"rate {volume[0]!r} has volume tiers, and the price several bands",
                     "one rate for all bands", "volume tiers price everything at one slot")
    for what, of in (("unit", [r.unit.name for r in rates]), ("straddling", [r.straddling for r in rates]),
                     ("over", [r.over or "session" for r in rates])):
        if len(set(of)) > 1:
            raise refuse(version.file, line, f"rates of one price differ in `{what}`: {', '.join(sorted(set(of)))}",
                         "the same in every band")
