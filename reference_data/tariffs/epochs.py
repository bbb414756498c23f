"""Epochs: spans of a version within which no validity and no exchange rate changes. Kernels know of neither."""

from fractions import Fraction

from reference_data.tariffs.cells import all_scopes, fallbacks, holds, plan_scopes
from reference_data.tariffs.model import NEVER_US, Exchange, Plan, TariffVersion
from reference_data.tariffs.source import refuse
from schemas.timepoint import format_time

MOST_EPOCHS = 10_000


def epochs_of(version: TariffVersion, until_us: int) -> list[int]:
    """Instants at which the version's epochs begin, ascending; it is in force until until_us."""
    edges = {version.active_from_us}
    for scope in all_scopes(version):
        edges |= set(scope.interval_us(version.time_zone))
    edges |= {item.from_us(version.time_zone) for item in version.exchange}
    found = sorted(edge for edge in edges if version.active_from_us <= edge < min(until_us, NEVER_US))
    if len(found) > MOST_EPOCHS:
        raise refuse(version.file, 1, f"{len(found)} changes of validity and exchange rates", f"at most {MOST_EPOCHS}",
                     "begin a new version")
    return found


def signature(version: TariffVersion, plan: Plan, at_us: int) -> tuple[object, ...]:
    """What a plan's compilation depends on: equal at two instants, equal rows."""
    currency = plan.currency or version.currency
    named = {rate.currency for owner in (plan, *fallbacks(version, plan)) for rule in owner.prices
             for name in rule.rates.values() if (rate := version.rates.get(name)) is not None}
    named |= {version.discounts[name].currency for name in plan.discounts if name in version.discounts}
    rates = tuple(find_rate(version, name, currency, at_us)
                  for name in sorted({name or version.currency for name in (*named, None)}))
    return tuple(holds(scope, version, at_us) for scope in plan_scopes(version, plan)), rates


def find_rate(version: TariffVersion, source: str, target: str, at_us: int) -> Fraction | None:
    """Units of `target` for one of `source`: the newest rate, the pair itself before its inverse; None: none."""
    if source == target:
        return Fraction(1)
    direct, inverse = (_newest(version, *pair, at_us) for pair in ((source, target), (target, source)))
    if direct is not None:
        return direct.rate
    return 1 / inverse.rate if inverse is not None else None


def _newest(version: TariffVersion, source: str, target: str, at_us: int) -> Exchange | None:
    known = [(item.from_us(version.time_zone), item) for item in version.exchange
             if (item.source, item.target) == (source, target) and item.from_us(version.time_zone) <= at_us]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def conversion(version: TariffVersion, source: str, target: str, at_us: int, line: int) -> Fraction:
    """As `find_rate`. Raises ReferenceDataError when there is none."""
    rate = find_rate(version, source, target, at_us)
    if rate is None:
        raise refuse(version.file, line, f"no exchange rate from {source} to {target} at {format_time(at_us)}",
                     f"exchange: {{from: {source}, to: {target}, rate: ...}}", "add it, or change the currency")
    return rate
