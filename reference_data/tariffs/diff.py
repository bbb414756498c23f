"""What changes between two versions of a tariff, in words and money: what a product manager signs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reference_data.tariffs.model import ANY, Plan, PriceRule, Rate, TariffVersion
from reference_data.tariffs.words import facts, price_words, quantity_words, rate_terms, rate_words, scope_words

SHOWN_PREFIXES = 5
_Key = tuple[str, str, str]  # scope without its zones, zone, band


@dataclass(frozen=True)
class Change:
    """where: what it is about, such as "plan basic"; what: the change in words."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def compare(before: TariffVersion, after: TariffVersion) -> list[Change]:
    """Every change from one version to the other, the money first; none when they say the same."""
    changes: list[Change] = []
    for name in dict.fromkeys([*before.plans, *after.plans]):
        where = f"plan {name}"
        if name not in after.plans:
            changes.append(Change(where, "no longer offered"))
        elif name not in before.plans:
            changes.append(Change(where, f"new, {len(after.plans[name].prices)} prices"))
        else:
            changes += [Change(where, what) for what in _plan(before, after, before.plans[name], after.plans[name])]
    for kind, left, right in (
            ("bucket", before.buckets, after.buckets), ("discount", before.discounts, after.discounts),
            ("counter", before.counters, after.counters), ("fee", before.fees, after.fees),
            ("state", before.states, after.states), ("timing", before.timings, after.timings),
            ("top-up", _numbered(before.top_ups), _numbered(after.top_ups)),
            ("leg", {leg.name: leg for leg in before.legs}, {leg.name: leg for leg in after.legs}),
            ("exchange", {f"{e.source} to {e.target} from {e.valid_from or 'ever'}": e for e in before.exchange},
             {f"{e.source} to {e.target} from {e.valid_from or 'ever'}": e for e in after.exchange}),
            ("data class", _numbered(before.data_classes), _numbered(after.data_classes))):
        changes += _things(kind, left, right)
    for name in dict.fromkeys([*before.decks, *after.decks]):
        changes += [Change(f"deck {name}", what)
                    for what in _deck(before.decks.get(name, {}), after.decks.get(name, {}))]
    for name in dict.fromkeys([*before.roaming, *after.roaming]):
        changes += _set("roaming zone " + name, "networks", set(before.roaming.get(name, ())),
                        set(after.roaming.get(name, ())))
    for name in dict.fromkeys([*before.calendars, *after.calendars]):
        if before.calendars.get(name) != after.calendars.get(name):
            changes.append(Change(f"calendar {name}", f"{len(before.calendars.get(name, ()))} days -> "
                                                      f"{len(after.calendars.get(name, ()))} days, not the same"))
    changes += _set("own networks", "networks", set(before.own_networks), set(after.own_networks))
    changes += [Change("the version", f"{word}: {left} -> {right}") for word, left, right in (
        ("time zone", before.time_zone, after.time_zone), ("currency", before.currency, after.currency))
        if left != right]
    return changes


def _plan(before: TariffVersion, after: TariffVersion, old: Plan, new: Plan) -> list[str]:
    left, right = _prices(before, old), _prices(after, new)
    found: dict[tuple[str, str, str], list[str]] = {}
    for key in dict.fromkeys([*left, *right]):
        scope, zone, band = key
        change = _rate_change(left.get(key), right.get(key))
        if change:
            found.setdefault((scope, band, change), []).append(zone)
    lines = []
    for (scope, band, change), zones in found.items():
        named = [zone for zone in zones if zone]
        what = scope + (" to " + ", ".join(named) if named else "") + (f", {band}" if band != "all_day" else "")
        lines.append(f"{what}: {change}")
    lines += [str(change) for change in _things("allowance", {a.name: a for a in old.allowances},
                                                {a.name: a for a in new.allowances})]
    lines += _facts_change(_terms(old), _terms(new))
    return lines


def _terms(plan: Plan) -> dict[str, str]:
    return {key: value for key, value in facts(plan).items() if key not in ("allowances", "prices")}


def _prices(version: TariffVersion, plan: Plan) -> dict[_Key, Rate]:
    """The rate of each zone and band that a plan names."""
    found: dict[_Key, Rate] = {}
    for rule in plan.prices:
        for zone in _zones(rule):
            for band, rate in rule.rates.items():
                if rate in version.rates:
                    found[_scope(rule), zone, band] = version.rates[rate]
    return found


def _zones(rule: PriceRule) -> tuple[str, ...]:
    zones = rule.scope.zones
    return ("",) if zones is None else ("any zone",) if zones == ANY else tuple(zones)


def _scope(rule: PriceRule) -> str:
    scope = rule.scope
    return scope_words(type(scope)(**{**scope.__dict__, "zones": None}))


def _rate_change(old: Rate | None, new: Rate | None) -> str:
    """In money where only prices moved: 0.10/min -> 0.12/min."""
    if old is None or new is None:
        return f"new price, {rate_words(new)}" if new is not None else \
            f"no longer priced, was {rate_words(old)}" if old is not None else ""
    parts = []
    same_shape = [(s.start, s.step, s.flat) for s in old.slots] == [(s.start, s.step, s.flat) for s in new.slots]
    if same_shape and old.unit == new.unit:
        for left, right in zip(old.slots, new.slots, strict=True):
            if (left.price_nanos, left.per) != (right.price_nanos, right.per):
                start = f"from {quantity_words(left.start, old.unit)} " if left.start else ""
                parts.append(f"{start}{price_words(left, old.unit)} -> {price_words(right, new.unit)}")
    elif [rate_words(old)] != [rate_words(new)]:
        return f"{rate_words(old)} -> {rate_words(new)}"
    return ", ".join([*parts, *_facts_change(rate_terms(old), rate_terms(new))])


def _facts_change(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [f"{key} {old.get(key, 'none')} -> {new.get(key, 'none')}" for key in dict.fromkeys([*old, *new])
            if old.get(key) != new.get(key)]


def _things(kind: str, old: Mapping[str, object], new: Mapping[str, object]) -> list[Change]:
    changes = []
    for name in dict.fromkeys([*old, *new]):
        where = f"{kind} {name}"
        if name not in new:
            changes.append(Change(where, "gone"))
        elif name not in old:
            changes.append(Change(where, "new: " + ", ".join(f"{k} {v}" for k, v in facts(new[name]).items())))
        else:
            parts = _facts_change(facts(old[name]), facts(new[name]))
            changes += [Change(where, ", ".join(parts))] if parts else []
    return changes


def _numbered(things: tuple[object, ...]) -> dict[str, object]:
    return {str(number): thing for number, thing in enumerate(things, 1)}


def _set(where: str, what: str, old: set[str], new: set[str]) -> list[Change]:
    said: list[tuple[str, set[str]]] = [("added", new - old), ("removed", old - new)]
    return [Change(where, f"{what} {word}: " + ", ".join(sorted(names))) for word, names in said if names]


def _deck(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    lists: tuple[tuple[str, list[str], Callable[[str], str]], ...] = (
        ("changes zone", sorted(p for p in old.keys() & new.keys() if old[p] != new[p]),
         lambda p: f"{p} {old[p]} -> {new[p]}"),
        ("added", sorted(new.keys() - old.keys()), lambda p: f"{p} {new[p]}"),
        ("removed", sorted(old.keys() - new.keys()), lambda p: f"{p} {old[p]}"))
    lines = []
    for word, prefixes, say in lists:
        if prefixes:
            more = f" and {len(prefixes) - SHOWN_PREFIXES:,} more" if len(prefixes) > SHOWN_PREFIXES else ""
            lines.append(f"{len(prefixes):,} prefix{'es' if len(prefixes) > 1 else ''} {word}: "
                         + ", ".join(say(p) for p in prefixes[:SHOWN_PREFIXES]) + more)
    return lines
