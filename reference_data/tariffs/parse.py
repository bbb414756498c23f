"""A version's YAML to the model. What a file alone can get wrong is refused here; `check` sees the whole."""

from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

from reference_data.tariffs.deck import read_deck
from reference_data.tariffs.granting import read_allowance, read_bucket, read_fee, read_states, read_top_up
from reference_data.tariffs.model import Plan, PriceRule, TariffVersion
from reference_data.tariffs.rates import read_rate
from reference_data.tariffs.rows import ALL_DAY
from reference_data.tariffs.scopes import SCOPE_KEYS, SERVICES, read_moment, read_scope
from reference_data.tariffs.source import Node, beside, read_yaml
from reference_data.tariffs.terms import (
    read_calendar,
    read_counter,
    read_data_class,
    read_discount,
    read_exchange,
    read_leg,
    read_networks,
    read_tax,
)
from reference_data.tariffs.timings import read_timing
from schemas.money import DECIMALS, Rounding
from schemas.timepoint import is_skipped, is_time_zone, to_us

LATE_USAGE = ("pay", "current_cycle", "suspend")
ROUNDING_SCOPES = ("session", "report", "day")
_OPTIONAL = ("exchange", "roaming", "own_networks", "data_classes", "calendars", "timings", "discounts", "counters",
             "buckets", "top_ups", "fees", "states", "legs")


def read_version(path: Path) -> TariffVersion:
    """One version from its file and the decks that it names. Raises ReferenceDataError with file and line."""
    name = path.name
    root = read_yaml(path, name)
    fields = root.fields(("version", "active_from", "time_zone", "currency", "decks", "rates", "plans"),
                         _OPTIONAL)
    if fields["version"].text() != path.stem:
        raise fields["version"].refuse(f"version {fields['version'].text()!r}", f"the file's name, {path.stem!r}",
                                       "rename the file or the version")
    zone = fields["time_zone"].text()
    if not is_time_zone(zone):
        raise fields["time_zone"].refuse(f"time zone {zone!r}", "an IANA name such as Europe/Berlin")
    currency = fields["currency"].currency()
    begins = read_moment(fields["active_from"])
    if is_skipped(begins, zone):
        raise fields["active_from"].refuse(f"{fields['active_from'].text()}, when the clocks of {zone} spring forward",
                                           "a local time that there is", "name an hour later, or an offset")
    active_from_us = to_us(begins if begins.tzinfo else begins.replace(tzinfo=ZoneInfo(zone)))
    for key in ("plans", "decks"):
        if not dict(fields[key].entries()):
            raise fields[key].refuse(f"no {key}", "at least one", "add it")
    empty, none = Node(name, root.line, {}), Node(name, root.line, [])
    return TariffVersion(
        file=name, name=path.stem, active_from_us=active_from_us, time_zone=zone, currency=currency,
        decks={deck: _deck(node, path.parent) for deck, node in fields["decks"].entries()},
        roaming={key: read_networks(node) for key, node in fields.get("roaming", empty).entries()},
        data_classes=tuple(read_data_class(n) for n in fields.get("data_classes", none).items()),
        timings={key: read_timing(key, node) for key, node in fields.get("timings", empty).entries()},
        rates={key: read_rate(key, node) for key, node in fields["rates"].entries()},
        plans={key: _plan(key, node) for key, node in fields["plans"].entries()},
        buckets={key: read_bucket(key, node) for key, node in fields.get("buckets", empty).entries()},
        top_ups=tuple(read_top_up(n) for n in fields.get("top_ups", none).items()),
        fees={key: read_fee(key, node, currency) for key, node in fields.get("fees", empty).entries()},
        states=read_states(fields.get("states")),
        exchange=tuple(read_exchange(n) for n in fields.get("exchange", none).items()),
        own_networks=tuple(n.text() for n in fields.get("own_networks", none).items()),
        calendars={key: read_calendar(node, path.parent) for key, node in fields.get("calendars", empty).entries()},
        discounts={key: read_discount(key, node) for key, node in fields.get("discounts", empty).entries()},
        counters={key: read_counter(key, node) for key, node in fields.get("counters", empty).entries()},
        legs=tuple(read_leg(n) for n in fields.get("legs", none).items()),
    )


def _deck(node: Node, folder: Path) -> dict[str, str]:
    if not node.items():
        raise node.refuse(f"deck {node.key!r} has no files", "a CSV file, or a list of them")
    return read_deck([(beside(item, folder, "deck"), item.text()) for item in node.items()])


def _plan(name: str, node: Node) -> Plan:
    fields = node.fields(("prices",), ("deck", "currency", "uncollected", "late_usage", "rounding", "tax", "fallback",
                                       "allowances", "discounts", "counters", "fees"))
    rule, decimals, scope = Rounding.HALF_UP, 4, "session"
    if "rounding" in fields:
        rounding = fields["rounding"].fields(("rule", "decimals"), ("scope",))
        rule = Rounding[rounding["rule"].choice(tuple(r.name.lower() for r in Rounding)).upper()]
        decimals = rounding["decimals"].integer(0, DECIMALS)
        scope = rounding["scope"].choice(ROUNDING_SCOPES) if "scope" in rounding else scope
    debt = "uncollected" in fields and fields["uncollected"].choice(("loss", "debt")) == "debt"
    allowances = tuple(read_allowance(n) for n in fields["allowances"].items()) if "allowances" in fields else ()
    names = [a.name for a in allowances]
    if len(set(names)) != len(names):
        raise node.refuse(f"an allowance of plan {name!r} is named twice", "each name once")
    tax_percent, tax_exclusive = read_tax(fields["tax"]) if "tax" in fields else (Fraction(0), False)
    return Plan(
        name, fields["deck"].text() if "deck" in fields else "main", debt, rule, decimals, allowances,
        tuple(_price(n) for n in fields["prices"].items()), node.line, _listed(fields.get("fees")),
        fields["late_usage"].choice(LATE_USAGE) if "late_usage" in fields else "pay",
        fields["currency"].currency() if "currency" in fields else None, scope, tax_percent, tax_exclusive,
        fields["fallback"].text() if "fallback" in fields else None, _listed(fields.get("discounts")),
        _listed(fields.get("counters")))


def _listed(node: Node | None) -> tuple[str, ...]:
    """Names, each once."""
    names: list[str] = []
    for item in node.items() if node else ():
        if item.text() in names:
            raise item.refuse(f"{item.text()!r} is listed twice", "each name once")
        names.append(item.text())
    return tuple(names)


def _price(node: Node) -> PriceRule:
    fields = node.fields(("service",), (*SCOPE_KEYS, "rate", "rates", "timing"))
    service = SERVICES[fields["service"].choice(tuple(SERVICES))]
    if ("rate" in fields) == ("rates" in fields) or ("rates" in fields) != ("timing" in fields):
        raise node.refuse("a price needs either `rate`, or `timing` with `rates` for its bands", "one of the two")
    rates = {ALL_DAY: fields["rate"].text()} if "rate" in fields else {
        band: rate.text() for band, rate in fields["rates"].entries()}
    timing = fields["timing"].text() if "timing" in fields else None
    return PriceRule(read_scope(node, fields, (service,)), timing, rates)
