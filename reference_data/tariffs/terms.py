"""What surrounds prices: discounts, counters, charge legs, exchange rates, tax, data classes, calendars."""

import re
from datetime import date
from fractions import Fraction
from pathlib import Path

from reference_data.tariffs.deck import csv_lines
from reference_data.tariffs.model import CYCLES, Counter, DataClass, Discount, Exchange, Leg
from reference_data.tariffs.scopes import SCOPE_KEYS, read_moment, read_names, read_scope, read_services
from reference_data.tariffs.source import Node, beside, refuse
from schemas.codes import Unit
from schemas.money import DECIMALS

_COUNTED = {unit.name.lower(): unit for unit in Unit if unit != Unit.MONEY}
_EPOCH = date(1970, 1, 1)
_MOST = 1 << 60


def percentage(node: Node, most: int) -> Fraction:
    """Percent of decimal text, not negative."""
    percent = Fraction(node.money(), 10**DECIMALS)
    if percent > most:
        raise node.refuse(f"{node.text()} percent", f"at most {most}")
    return percent


def read_discount(name: str, node: Node) -> Discount:
    """A share or an amount off, of sessions; with `timing` and `bands` a share off the prices of those bands."""
    fields = node.fields((), ("percent", "amount", "cap", "timing", "bands", "service", "services", "currency",
                              *SCOPE_KEYS))
    if ("percent" in fields) == ("amount" in fields):
        raise node.refuse(f"discount {name!r} has either a `percent` or an `amount`", "one of the two")
    if ("timing" in fields) != ("bands" in fields):
        raise node.refuse("`timing` and `bands` go together", "both or none")
    if "timing" in fields and ("amount" in fields or "cap" in fields):
        raise node.refuse(f"discount {name!r} of bands has a cap or is an amount", "percent only: it lowers prices")
    if "amount" in fields and "cap" in fields:
        raise fields["cap"].refuse("a cap on an amount", "the smaller of the two as the amount")
    bands = read_names(fields.get("bands"))
    return Discount(
        name, percentage(fields["percent"], 100) if "percent" in fields else Fraction(0),
        fields["amount"].money() if "amount" in fields else 0, fields["cap"].money() if "cap" in fields else None,
        fields["timing"].text() if "timing" in fields else None, (bands,) if isinstance(bands, str) else bands,
        read_scope(node, fields, read_services(fields, Unit.MONEY)), node.line,
        fields["currency"].currency() if "currency" in fields else None)


def read_counter(name: str, node: Node) -> Counter:
    """What usage adds up to per account and cycle."""
    fields = node.fields(("cycle",), ("unit", "charge", "events", "thresholds", "service", "services", *SCOPE_KEYS))
    if sum(key in fields for key in ("unit", "charge", "events")) != 1:
        raise node.refuse(f"counter {name!r} counts nothing, or several things",
                          "one of unit: ..., charge: true, events: true")
    for key in ("charge", "events"):
        if key in fields:
            fields[key].choice(("true",))
    cycle = fields["cycle"].choice(CYCLES[1:])
    unit = Unit.MONEY if "charge" in fields else _COUNTED[fields["unit"].choice(tuple(_COUNTED))] \
        if "unit" in fields else None
    thresholds = []
    for item in fields["thresholds"].items() if "thresholds" in fields else ():
        value = item.money() if unit == Unit.MONEY else item.quantity(Unit.UNIT if unit is None else unit, least=1)
        if not 0 < value <= _MOST or value in thresholds:
            raise item.refuse(f"threshold {item.text()}", "distinct values above zero")
        thresholds.append(value)
    services = read_services(fields, Unit.MONEY if unit is None else unit)
    return Counter(name, unit, cycle, tuple(sorted(thresholds)), read_scope(node, fields, services), node.line)


def read_leg(node: Node) -> Leg:
    """A further charge of the same event on another account."""
    fields = node.fields(("leg", "plan"), ("account", "accounts", "service", "services", *SCOPE_KEYS))
    if ("account" in fields) == ("accounts" in fields):
        raise node.refuse("a leg has either `account` or `accounts` by network", "one of the two")
    most = (1 << 62) - 1
    return Leg(fields["leg"].text(), fields["account"].integer(0, most) if "account" in fields else None,
               {network: item.integer(0, most) for network, item in fields["accounts"].entries()}
               if "accounts" in fields else {}, fields["plan"].text(),
               read_scope(node, fields, read_services(fields, Unit.MONEY)), node.line)


def read_exchange(node: Node) -> Exchange:
    """One `from` is `rate` `to`."""
    fields = node.fields(("from", "to", "rate"), ("valid_from",))
    source, target = fields["from"].currency(), fields["to"].currency()
    if source == target:
        raise node.refuse(f"a rate from {source} to itself", "two currencies")
    rate = Fraction(fields["rate"].money(), 10**DECIMALS)
    if rate == 0:
        raise fields["rate"].refuse("a rate of zero", "a decimal above zero")
    return Exchange(source, target, rate, read_moment(fields["valid_from"]) if "valid_from" in fields else None,
                    node.line)


def read_tax(node: Node) -> tuple[Fraction, bool]:
    """(percent, whether prices are without it)."""
    fields = node.fields(("percent", "prices"), ())
    return percentage(fields["percent"], 1000), fields["prices"].choice(("inclusive", "exclusive")) == "exclusive"


def read_data_class(node: Node) -> DataClass:
    """Conditions that a container must all meet."""
    fields = node.fields(("class",), ("rating_groups", "service_identifiers", "apns", "snssais", "rats", "networks",
                                      "category"))

    def numbers(key: str, most: int) -> tuple[int, ...] | None:
        return tuple(n.integer(0, most) for n in fields[key].items()) if key in fields else None

    apns, slices = fields.get("apns"), fields.get("snssais")
    return DataClass(
        fields["class"].text(), numbers("rating_groups", (1 << 32) - 1),
        tuple(a.text().lower() for a in apns.items()) if apns else None,
        numbers("service_identifiers", (1 << 32) - 1),
        tuple(_slice(item) for item in slices.items()) if slices else None, numbers("rats", 255),
        read_networks(fields["networks"]) if "networks" in fields else None,
        fields["category"].text() if "category" in fields else None, node.line)


def _slice(node: Node) -> tuple[int, int | None]:
    match = re.fullmatch(r"([0-9a-fA-F]{1,2})(?:-([0-9a-fA-F]{6}))?", node.text())
    if not match:
        raise node.refuse(f"slice {node.text()!r}", 'SST or SST-SD in hexadecimal, such as "1" or "1-00abcd"')
    return int(match[1], 16), int(match[2], 16) if match[2] else None


def read_networks(node: Node) -> tuple[str, ...]:
    """Serving networks."""
    for item in node.items():
        if not re.fullmatch(r"\*|\d{3}|\d{5,6}", item.text()):
            raise item.refuse(f"network {item.text()!r}", 'MCC, MCC and MNC (5 or 6 digits), or "*"')
    return tuple(item.text() for item in node.items())


def read_calendar(node: Node, folder: Path) -> frozenset[int]:
    """Days since 1970-01-01 of a list of dates, or of CSV files with the header `date`."""
    days: set[int] = set()
    for item in node.items():
        if item.text().endswith(".csv"):
            days |= _calendar_file(item, folder)
        else:
            days.add(_day(item.text(), item.file, item.line))
    if not days:
        raise node.refuse("a calendar without dates", "at least one date")
    return frozenset(days)


def _calendar_file(node: Node, folder: Path) -> set[int]:
    name = node.text()
    lines = list(csv_lines(beside(node, folder, "calendar"), name, "date"))
    if not lines or [cell.strip() for cell in lines[0]] != ["date"]:
        raise refuse(name, 1, f"header {','.join(lines[0]) if lines else ''!r}", "date", "correct the first line")
    return {_day(line[0].strip(), name, number) for number, line in enumerate(lines[1:], 2) if line}


def _day(text: str, file: str, line: int) -> int:
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        raise refuse(file, line, f"{text!r}", "a date such as 2026-12-25") from None
