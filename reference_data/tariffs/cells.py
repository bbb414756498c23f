"""Which rule is for which usage: scopes spread over the cells of a plan.

A cell is (service and direction, friend, on-net, category, calling zone, roaming zone, zone). The most specific rule
wins; two that are equally specific and meet in a cell overlap, and are refused. A plan whose scopes do not look at a
dimension has one place in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reference_data.tariffs.model import (
    ANY,
    BUILT_IN_ROAMING,
    BUILT_IN_ZONES,
    EMERGENCY,
    ON_NET,
    TOLL_FREE,
    Plan,
    PriceRule,
    Scope,
    TariffVersion,
)
from reference_data.tariffs.source import refuse
from schemas.codes import Direction, Service
from schemas.columns import I64
from schemas.timepoint import format_time

DIRECTIONS = len(Direction)
KINDS = len(Service) * DIRECTIONS
_CALLS = (Service.VOICE, Service.SMS, Service.MMS)
_OUTGOING = (Direction.ORIGINATING, Direction.FORWARDED)
FREE_BY_CLASS = -2  # emergency and toll-free numbers, which no rule needs to name
_NAMED_ZONE = 2 << 7  # the least specificity of a rule that names zones
Cells = tuple[I64, ...]


@dataclass(frozen=True)
class Axes:
    """Names along the axes, shared by all versions; friends, networks: 2 where some scope looks at them, else 1."""

    zones: dict[str, int]
    roaming: dict[str, int]
    friends: int = 1
    networks: int = 1
    categories: tuple[str, ...] = ()  # at place 1 on; 0 is any other
    calling: tuple[str, ...] = ()

    @property
    def lengths(self) -> tuple[int, int, int, int]:
        return self.friends, self.networks, 1 + len(self.categories), 1 + len(self.calling)

    @property
    def kinds(self) -> int:
        return KINDS * int(np.prod(self.lengths))

    def seen_by(self, scopes: list[Scope]) -> "Axes":
        """The same, with one place in every dimension that none of the scopes looks at."""
        return Axes(self.zones, self.roaming, self.friends if any(s.friends for s in scopes) else 1,
                    self.networks if any(s.network for s in scopes) else 1,
                    self.categories if any(s.categories is not None for s in scopes) else (),
                    self.calling if any(s.calling_zones is not None for s in scopes) else ())

    @property
    def shape(self) -> tuple[int, ...]:
        return (KINDS, *self.lengths, len(self.roaming), len(self.zones))


def axes_of(versions: list[TariffVersion]) -> Axes:
    zones = {z for v in versions for deck in v.decks.values() for z in deck.values()}
    zones |= {c.name for v in versions for c in v.data_classes}
    roaming = {r for v in versions for r in v.roaming}
    scopes = [scope for version in versions for scope in all_scopes(version)]
    categories = {name for scope in scopes for name in scope.categories or ()}
    calling = {name for scope in scopes for name in scope.calling_zones or ()}
    return Axes({n: i for i, n in enumerate([*BUILT_IN_ZONES, *sorted(zones - set(BUILT_IN_ZONES))])},
                {n: i for i, n in enumerate([*BUILT_IN_ROAMING, *sorted(roaming - set(BUILT_IN_ROAMING))])},
                2 if any(s.friends for s in scopes) else 1, 2 if any(s.network for s in scopes) else 1,
                tuple(sorted(categories)), tuple(sorted(calling)))


def all_scopes(version: TariffVersion) -> Iterator[Scope]:
    """Every scope of a version."""
    for plan in version.plans.values():
        yield from plan_scopes(version, plan)
    yield from (leg.scope for leg in version.legs)


def plan_scopes(version: TariffVersion, plan: Plan) -> list[Scope]:
    """Every scope that decides what a usage of the plan costs or counts, or whom else it is charged to."""
    chain = [plan, *fallbacks(version, plan)]
    return [*(rule.scope for each in chain for rule in each.prices), *(a.scope for a in plan.allowances),
            *(version.discounts[name].scope for name in plan.discounts),
            *(version.counters[name].scope for name in plan.counters), *(b.scope for b in version.buckets.values()),
            *(leg.scope for leg in version.legs)]


def fallbacks(version: TariffVersion, plan: Plan) -> list[Plan]:
    """The plans that a plan falls back to, in order. Raises ReferenceDataError on one that is missing, or a circle."""
    chain = [plan]
    while chain[-1].fallback is not None:
        name = chain[-1].fallback
        line = chain[-1].line
        if name not in version.plans:
            raise refuse(version.file, line, f"plan {chain[-1].name!r} falls back to {name!r}, which is no plan",
                         "one of " + ", ".join(version.plans), "correct the name")
        if version.plans[name] in chain:
            circle = " -> ".join([*(p.name for p in chain), name])
            raise refuse(version.file, line, f"plans fall back in a circle: {circle}", "an end", "remove one fallback")
        if version.plans[name].deck != plan.deck:
            raise refuse(version.file, line, f"plan {plan.name!r} uses deck {plan.deck!r}, its fallback {name!r} deck "
                         f"{version.plans[name].deck!r}", "the same deck, so that a zone means the same in both")
        chain.append(version.plans[name])
    return chain[1:]


def price_cells(version: TariffVersion, plan: Plan, axes: Axes, at_us: int
                ) -> tuple[I64, list[tuple[Plan, PriceRule]]]:
    """(index of the rule for every cell, rules and whose they are), as they hold at an instant; -1: none applies.

    FREE_BY_CLASS stands for special numbers. Where no price of the plan applies, those of its fallback do.
    """
    rules: list[tuple[Plan, PriceRule]] = []
    rule_of = np.full(axes.shape, -1, np.int64)
    for each in (plan, *fallbacks(version, plan)):
        chosen = _own_cells(version, each, axes, at_us)
        missing = (rule_of == -1) & (chosen != -1)
        rule_of[missing] = np.where(chosen == FREE_BY_CLASS, FREE_BY_CLASS, chosen + len(rules))[missing]
        rules += [(each, rule) for rule in each.prices]
    return rule_of, rules


def priced_kinds(versions: list[TariffVersion]) -> I64:
    """1 for every service and direction that some plan of some version prices, in whatever epoch."""
    priced = np.zeros(KINDS, np.int64)
    for rule in (rule for version in versions for plan in version.plans.values() for rule in plan.prices):
        priced[_kinds(rule.scope)] = 1
    priced[[service * DIRECTIONS + direction for service in _CALLS for direction in _OUTGOING]] = 1
    return priced


def _kinds(scope: Scope) -> list[int]:
    return [service * DIRECTIONS + direction for service in scope.services
            for direction in (scope.directions or (_OUTGOING if service in _CALLS else tuple(Direction)))]


def _own_cells(version: TariffVersion, plan: Plan, axes: Axes, at_us: int) -> I64:
    rule_of = np.full(axes.shape, -1, np.int64)
    rank_of = np.full(axes.shape, -1, np.int64)
    for number, rule in enumerate(plan.prices):
        if not holds(rule.scope, version, at_us):
            continue
        cells = scope_cells(version, plan.deck, rule.scope, axes)
        rank = rule.scope.specificity
        here = rank_of[cells]
        clash = here == rank
        if clash.any():
            other = plan.prices[int(rule_of[cells][clash].ravel()[0])]
            when = f" from {format_time(at_us)} on" if _dated(rule.scope) or _dated(other.scope) else ""
            raise refuse(version.file, rule.scope.line, f"plan {plan.name!r}: this price and the one on line "
                         f"{other.scope.line} overlap{when}", "one price for each usage",
                         "narrow one of them by zones, roaming or direction")
        better = here < rank
        rule_of[cells] = np.where(better, number, rule_of[cells])
        rank_of[cells] = np.where(better, rank, here)
    for service in _CALLS:
        for direction in _OUTGOING:
            kind = service * DIRECTIONS + direction
            rule_of[kind, ..., EMERGENCY] = FREE_BY_CLASS
            free = rank_of[kind, ..., TOLL_FREE] < _NAMED_ZONE
            rule_of[kind, ..., TOLL_FREE][free] = FREE_BY_CLASS
    return rule_of


def _dated(scope: Scope) -> bool:
    return scope.valid_from is not None or scope.valid_to is not None


def holds(scope: Scope, version: TariffVersion, at_us: int) -> bool:
    """Whether a scope is valid at an instant."""
    if not _dated(scope):
        return True
    start, end = scope.interval_us(version.time_zone)
    return start <= at_us < end


def scope_cells(version: TariffVersion, deck_name: str, scope: Scope, axes: Axes, anywhere: bool = False) -> Cells:
    """Index of the cells that a scope covers, for `array[cells]`; zones are those of a deck.

    anywhere: it is no one plan's, so that a zone of any deck may be named.
    """
    deck = version.deck_zones[deck_name]
    kinds = _kinds(scope)
    friends = [1] if scope.friends else list(range(axes.friends))
    networks = list(range(axes.networks)) if scope.network is None else [int(scope.network == ON_NET)]
    categories = list(range(1 + len(axes.categories))) if scope.categories is None else \
        [1 + axes.categories.index(name) for name in scope.categories]
    calling = list(range(1 + len(axes.calling)))
    if scope.calling_zones is not None:
        for name in scope.calling_zones:
            if name not in deck and not _known_anywhere(version, name):
                raise refuse(version.file, scope.line, f"calling zone {name!r} is no zone of deck {deck_name!r}",
                             "one of " + ", ".join(sorted(deck)[:12]), "correct the name or add it to the deck")
        calling = [1 + axes.calling.index(name) for name in scope.calling_zones]
    return np.ix_(*(np.array(places, np.int64) for places in (
        kinds, friends, networks, categories, calling, _roaming(version, scope, axes),
        sorted(_zones(version, deck_name, deck, scope, axes, anywhere)))))


def _zones(version: TariffVersion, deck_name: str, deck: frozenset[str], scope: Scope, axes: Axes, anywhere: bool
           ) -> set[int]:
    classes = {c.name for c in version.data_classes}
    zones: set[int] = set()
    for service in scope.services:
        known = classes if service == Service.DATA else deck | set(BUILT_IN_ZONES)
        if scope.zones is None:
            zones |= set(range(len(axes.zones)))
        elif scope.zones == ANY:
            zones |= {axes.zones[name] for name in (classes if service == Service.DATA else deck)}
        else:
            for name in scope.zones:
                if name in known:
                    zones.add(axes.zones[name])
                elif (len(scope.services) == 1 and not anywhere) or not _known_anywhere(version, name):
                    kind = "data class" if service == Service.DATA else f"zone of deck {deck_name!r}"
                    raise refuse(version.file, scope.line, f"zone {name!r} is no {kind}",
                                 "one of " + ", ".join(sorted(known)[:12]), "correct the name or add it to the deck")
    return zones


def _known_anywhere(version: TariffVersion, name: str) -> bool:
    return name in BUILT_IN_ZONES or any(c.name == name for c in version.data_classes) or any(
        name in zones for zones in version.deck_zones.values())


def _roaming(version: TariffVersion, scope: Scope, axes: Axes) -> list[int]:
    if scope.roaming == ANY:
        return list(range(len(axes.roaming)))
    for name in scope.roaming:
        if name != "home" and name not in version.roaming:
            raise refuse(version.file, scope.line, f"roaming zone {name!r} is not declared",
                         "home, any, " + ", ".join(version.roaming), "declare it under `roaming`")
    return [axes.roaming[name] for name in scope.roaming]
