"""Which rule prices which usage: rules spread over the cells (kind, roaming zone, zone) of a plan.

The most specific rule wins (zones before roaming before direction); two that are equally specific and meet in a
cell overlap, and are refused.
"""

from dataclasses import dataclass

import numpy as np

from reference_data.tariffs.model import (
    ANY,
    BUILT_IN_ROAMING,
    BUILT_IN_ZONES,
    EMERGENCY,
    TOLL_FREE,
    Plan,
    PriceRule,
    Scope,
    TariffVersion,
)
from reference_data.tariffs.parse import ALL_DAY
from reference_data.tariffs.source import refuse
from schemas.codes import Direction, Service
from schemas.columns import I64
from schemas.units import SERVICE_UNIT, counts

DIRECTIONS = len(Direction)
KINDS = len(Service) * DIRECTIONS
_CALLS = (Service.VOICE, Service.SMS, Service.MMS)
_OUTGOING = (Direction.ORIGINATING, Direction.FORWARDED)
FREE_BY_CLASS = -2  # emergency and toll-free numbers, which no rule needs to name


@dataclass(frozen=True)
class Axes:
    """Names along the axes, shared by all versions."""

    zones: dict[str, int]
    roaming: dict[str, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        return KINDS, len(self.roaming), len(self.zones)


def axes_of(versions: list[TariffVersion]) -> Axes:
    zones = {z for v in versions for deck in v.decks.values() for z in deck.values()}
    zones |= {c.name for v in versions for c in v.data_classes}
    roaming = {r for v in versions for r in v.roaming}
    return Axes({n: i for i, n in enumerate([*BUILT_IN_ZONES, *sorted(zones - set(BUILT_IN_ZONES))])},
                {n: i for i, n in enumerate([*BUILT_IN_ROAMING, *sorted(roaming - set(BUILT_IN_ROAMING))])})


def price_cells(version: TariffVersion, plan: Plan, axes: Axes) -> I64:
    """Index of the rule in plan.prices for every cell; -1 where none applies, FREE_BY_CLASS for special numbers."""
    rule_of = np.full(axes.shape, -1, np.int64)
    rank_of = np.full(axes.shape, -1, np.int64)
    for number, rule in enumerate(plan.prices):
        _check_rule(version, plan, rule)
        cells = _cells(version, plan, rule.scope, axes)
        rank = rule.scope.specificity
        clash = rank_of[cells] == rank
        if clash.any():
            other = plan.prices[int(rule_of[cells][clash].ravel()[0])]
            raise refuse(version.file, rule.scope.line, f"plan {plan.name!r}: this price and the one on line "
                         f"{other.scope.line} overlap", "one price for each usage",
                         "narrow one of them by zones, roaming or direction")
        better = rank_of[cells] < rank
        rule_of[cells] = np.where(better, number, rule_of[cells])
        rank_of[cells] = np.where(better, rank, rank_of[cells])
    for service in _CALLS:
        for direction in _OUTGOING:
            kind = service * DIRECTIONS + direction
            rule_of[kind, :, EMERGENCY] = FREE_BY_CLASS
            free = rank_of[kind, :, TOLL_FREE] < 2 << 6  # below that no rule has named the zone
            rule_of[kind, free, TOLL_FREE] = FREE_BY_CLASS
    return rule_of


def allowance_cells(version: TariffVersion, plan: Plan, axes: Axes) -> list[tuple[int, tuple[I64, ...]]]:
    """(index of the allowance, its cells), in the order in which allowances are used."""
    order = sorted(range(len(plan.allowances)), key=lambda i: (plan.allowances[i].priority, i))
    return [(i, _cells(version, plan, plan.allowances[i].scope, axes)) for i in order]


def scope_mask(version: TariffVersion, plan: Plan, scopes: list[Scope], axes: Axes) -> I64:
    """Bit n of every cell that scope n covers."""
    mask = np.zeros(axes.shape, np.int64)
    for number, scope in enumerate(scopes):
        mask[_cells(version, plan, scope, axes)] |= 1 << number
    return mask


def _cells(version: TariffVersion, plan: Plan, scope: Scope, axes: Axes) -> tuple[I64, ...]:
    deck = set(version.decks[plan.deck].values())
    classes = {c.name for c in version.data_classes}
    zones: set[int] = set()
    for service in scope.services:
        known = classes if service == Service.DATA else deck | set(BUILT_IN_ZONES)
        if scope.zones is None:
            zones |= set(range(len(axes.zones)))
        elif scope.zones == ANY:
            zones |= {axes.zones[name] for name in (classes if service == Service.DATA else deck)}
        else:
            others = classes | deck | set(BUILT_IN_ZONES) if len(scope.services) > 1 else known
            for name in scope.zones:
                if name not in known:
                    if name in others:
                        continue  # a zone of another of the services
                    kind = "data class" if service == Service.DATA else f"zone of deck {plan.deck!r}"
                    raise refuse(version.file, scope.line, f"zone {name!r} is no {kind}",
                                 "one of " + ", ".join(sorted(known)[:12]), "correct the name or add it to the deck")
                zones.add(axes.zones[name])
    if scope.roaming == ANY:
        roaming = list(range(len(axes.roaming)))
    else:
        for name in scope.roaming:
            if name != "home" and name not in version.roaming:
                raise refuse(version.file, scope.line, f"roaming zone {name!r} is not declared",
                             "home, any, " + ", ".join(version.roaming), "declare it under `roaming`")
        roaming = [axes.roaming[name] for name in scope.roaming]
    kinds = [service * DIRECTIONS + direction for service in scope.services
             for direction in (scope.directions or (_OUTGOING if service in _CALLS else tuple(Direction)))]
    index: tuple[I64, ...] = np.ix_(np.array(kinds, np.int64), np.array(roaming, np.int64),
                                    np.array(sorted(zones), np.int64))
    return index


def _check_rule(version: TariffVersion, plan: Plan, rule: PriceRule) -> None:
    line = rule.scope.line
    if rule.scope.zones is not None and rule.scope.zones != ANY and "emergency" in rule.scope.zones:
        raise refuse(version.file, line, f"plan {plan.name!r} prices emergency calls", "no price: they are always free",
                     "remove `emergency`")
    if rule.timing is not None and rule.timing not in version.timings:
        raise refuse(version.file, line, f"timing {rule.timing!r} is not declared",
                     "one of " + ", ".join(version.timings), "declare it under `timings`")
    bands = version.timings[rule.timing].bands if rule.timing else (ALL_DAY,)
    if set(bands) != set(rule.rates):
        raise refuse(version.file, line, f"rates for bands {', '.join(rule.rates)}",
                     f"a rate for each of {', '.join(bands)}", "name every band of the timing once")
    service = rule.scope.services[0]
    for name in rule.rates.values():
        if name not in version.rates:
            raise refuse(version.file, line, f"rate {name!r} is not declared", "one of " +
                         ", ".join(list(version.rates)[:12]), "declare it under `rates`")
        if not counts(service, version.rates[name].unit):
            raise refuse(version.file, line, f"rate {name!r} counts {version.rates[name].unit.name.lower()}s",
                         f"{SERVICE_UNIT[service].name.lower()}s, as {service.name.lower()} does")
