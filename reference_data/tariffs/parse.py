"""A version's YAML to the model. What a file alone can get wrong is refused here; `check` sees the whole."""

import re
from itertools import pairwise
from pathlib import Path

from reference_data.tariffs.deck import read_deck
from reference_data.tariffs.granting import read_allowance, read_bucket, read_fee, read_states, read_top_up
from reference_data.tariffs.model import DataClass, Plan, PriceRule, Rate, Slot, TariffVersion
from reference_data.tariffs.scopes import SCOPE_KEYS, SERVICES, read_scope
from reference_data.tariffs.source import Node, read_yaml
from reference_data.tariffs.timings import read_timing
from schemas.codes import Unit
from schemas.money import DECIMALS, Rounding
from schemas.timepoint import is_time_zone, parse_time

ALL_DAY = "all_day"
LATE_USAGE = ("pay", "current_cycle", "suspend")
_UNITS = {unit.name.lower(): unit for unit in Unit if unit != Unit.MONEY}
MAX_PER = 1 << 44  # units; keeps `price * step` far from where Python and the kernel would differ


def read_version(path: Path) -> TariffVersion:
    """One version from its file and the decks that it names. Raises ReferenceDataError with file and line."""
    name = path.name
    root = read_yaml(path, name)
    fields = root.fields(("version", "active_from", "time_zone", "currency", "decks", "rates", "plans"),
                         ("roaming", "data_classes", "timings", "buckets", "top_ups", "fees", "states"))
    if fields["version"].text() != path.stem:
        raise fields["version"].refuse(f"version {fields['version'].text()!r}", f"the file's name, {path.stem!r}",
                                       "rename the file or the version")
    zone = fields["time_zone"].text()
    if not is_time_zone(zone):
        raise fields["time_zone"].refuse(f"time zone {zone!r}", "an IANA name such as Europe/Berlin")
    currency = fields["currency"].text()
    if not re.fullmatch("[A-Z]{3}", currency):
        raise fields["currency"].refuse(f"currency {currency!r}", "three letters of ISO 4217")
    try:
        active_from_us = parse_time(fields["active_from"].text(), zone)
    except (ValueError, OverflowError):
        raise fields["active_from"].refuse(f"{fields['active_from'].text()!r}",
                                           "a time such as 2026-01-01T00:00:00") from None
    empty = Node(name, root.line, {})
    return TariffVersion(
        file=name, name=path.stem, active_from_us=active_from_us, time_zone=zone, currency=currency,
        decks={deck: _deck(node, path.parent) for deck, node in fields["decks"].entries()},
        roaming={key: _networks(node) for key, node in fields.get("roaming", empty).entries()},
        data_classes=tuple(_data_class(n) for n in fields.get("data_classes", Node(name, 1, [])).items()),
        timings={key: read_timing(key, node) for key, node in fields.get("timings", empty).entries()},
        rates={key: _rate(key, node) for key, node in fields["rates"].entries()},
        plans={key: _plan(key, node) for key, node in fields["plans"].entries()},
        buckets={key: read_bucket(key, node) for key, node in fields.get("buckets", empty).entries()},
        top_ups=tuple(read_top_up(n) for n in fields.get("top_ups", Node(name, 1, [])).items()),
        fees={key: read_fee(key, node, currency) for key, node in fields.get("fees", empty).entries()},
        states=read_states(fields.get("states")),
    )


def _deck(node: Node, folder: Path) -> dict[str, str]:
    paths = []
    for item in node.items():
        path = folder / item.text()
        if not path.is_file():
            raise item.refuse(f"no deck {item.text()!r}", "a CSV file beside the tariff", "correct the path")
        paths.append((path, item.text()))
    return read_deck(paths)


def _networks(node: Node) -> tuple[str, ...]:
    for item in node.items():
        if not re.fullmatch(r"\*|\d{3}|\d{5,6}", item.text()):
            raise item.refuse(f"network {item.text()!r}", 'MCC, MCC and MNC (5 or 6 digits), or "*"')
    return tuple(item.text() for item in node.items())


def _data_class(node: Node) -> DataClass:
    fields = node.fields(("class",), ("rating_groups", "apns"))
    groups = fields.get("rating_groups")
    apns = fields.get("apns")
    return DataClass(fields["class"].text(),
                     tuple(g.integer(0, (1 << 32) - 1) for g in groups.items()) if groups else None,
                     tuple(a.text().lower() for a in apns.items()) if apns else None)


def _rate(name: str, node: Node) -> Rate:
    fields = node.fields(("unit",), ("connect_fee", "minimum_charge", "slots", "free"))
    unit = _UNITS[fields["unit"].choice(tuple(_UNITS))]
    if "free" in fields:
        fields["free"].choice(("true",))
        if len(fields) > 2:
            raise node.refuse(f"rate {name!r} is free and has a price", "one of the two", "remove free or the price")
        return Rate(name, unit, 0, 0, (Slot(0, 0, 1, 1, node.line),), node.line)
    if "slots" not in fields:
        raise node.refuse(f"rate {name!r} has no slots", "slots: [...] or free: true", "add one of them")
    slots = tuple(_slot(item, unit) for item in fields["slots"].items())
    if not slots or slots[0].start != 0:
        raise node.refuse(f"the first slot of rate {name!r} does not begin at 0", "from: 0", "add what is missing")
    for before, after in pairwise(slots):
        if after.start <= before.start:
            raise node.refuse(f"slots of rate {name!r} overlap: {after.start} (line {after.line}) follows "
                              f"{before.start}", "ascending `from`", "order the slots")
    return Rate(name, unit, fields["connect_fee"].money() if "connect_fee" in fields else 0,
                fields["minimum_charge"].money() if "minimum_charge" in fields else 0, slots, node.line)


def _slot(node: Node, unit: Unit) -> Slot:
    fields = node.fields(("price",), ("from", "per", "step"))
    parts = {key: fields[key].quantity(unit, least=1) if key in fields else 1 for key in ("per", "step")}
    for key, value in parts.items():
        if value > MAX_PER:
            raise fields[key].refuse(f"{key} of {value}", f"at most {MAX_PER}")
    return Slot(fields["from"].quantity(unit) if "from" in fields else 0, fields["price"].money(),
                parts["per"], parts["step"], node.line)


def _plan(name: str, node: Node) -> Plan:
    fields = node.fields(("prices",), ("deck", "uncollected", "late_usage", "rounding", "allowances", "fees"))
    rule, decimals = Rounding.HALF_UP, 4
    if "rounding" in fields:
        rounding = fields["rounding"].fields(("rule", "decimals"), ("scope",))
        rule = Rounding[rounding["rule"].choice(tuple(r.name.lower() for r in Rounding)).upper()]
        decimals = rounding["decimals"].integer(0, DECIMALS)
        if "scope" in rounding and rounding["scope"].text() != "session":
            raise rounding["scope"].refuse(f"rounding scope {rounding['scope'].text()!r}", "session",
                                           "report and day are not supported yet")
    debt = "uncollected" in fields and fields["uncollected"].choice(("loss", "debt")) == "debt"
    allowances = tuple(read_allowance(n) for n in fields["allowances"].items()) if "allowances" in fields else ()
    names = [a.name for a in allowances]
    if len(set(names)) != len(names):
        raise node.refuse(f"an allowance of plan {name!r} is named twice", "each name once")
    return Plan(name, fields["deck"].text() if "deck" in fields else "main", debt, rule, decimals, allowances,
                tuple(_price(n) for n in fields["prices"].items()), node.line,
                tuple(n.text() for n in fields["fees"].items()) if "fees" in fields else (),
                fields["late_usage"].choice(LATE_USAGE) if "late_usage" in fields else "pay")


def _price(node: Node) -> PriceRule:
    fields = node.fields(("service",), (*SCOPE_KEYS, "rate", "rates", "timing"))
    service = SERVICES[fields["service"].choice(tuple(SERVICES))]
    if ("rate" in fields) == ("rates" in fields) or ("rates" in fields) != ("timing" in fields):
        raise node.refuse("a price needs either `rate`, or `timing` with `rates` for its bands", "one of the two")
    rates = {ALL_DAY: fields["rate"].text()} if "rate" in fields else {
        band: rate.text() for band, rate in fields["rates"].entries()}
    timing = fields["timing"].text() if "timing" in fields else None
    return PriceRule(read_scope(node, fields, (service,)), timing, rates)


