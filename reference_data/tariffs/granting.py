"""What a version says of accounts rather than prices: buckets to grant, top-ups, fees, states. Model and parsing."""

import re
from fractions import Fraction

from reference_data.accounts import STATES
from reference_data.tariffs.model import CYCLES, GRANTED, Allowance, Fee, StateRule, TopUpRule
from reference_data.tariffs.scopes import SCOPE_KEYS, SERVICES, read_names, read_scope, read_services
from reference_data.tariffs.source import Node
from schemas.codes import Direction, Service, Unit
from schemas.money import parse_money
from schemas.timepoint import DAY_S
from schemas.units import parse_quantity

_UNITS = {unit.name.lower(): unit for unit in Unit}
_SPAN = {"s": 1, "min": 60, "h": 3600, "d": DAY_S}
_LARGEST = 1 << 60
_RICH = ("step", "priority", "price", "per", "blocking", "timing", "bands", "service", "services", *SCOPE_KEYS)
_EVERY = frozenset((service, direction) for service in Service for direction in Direction)
_TERMINATING = frozenset((service, Direction.TERMINATING) for service in Service)


def read_allowance(node: Node) -> Allowance:
    """An allowance of a plan: granted once in each cycle."""
    fields = node.fields(("name", "unit", "amount", "cycle"), (*_RICH, "rollover", "member_cap"))
    unit = _UNITS[fields["unit"].choice(tuple(_UNITS))]
    cycle = fields["cycle"].choice(CYCLES)
    cap, after = 0, False
    if "rollover" in fields:
        rollover = fields["rollover"].fields(("cap",), ("order",))
        if cycle == "none":
            raise fields["rollover"].refuse("rollover without a cycle", "cycle: day, week or month")
        cap = _amount(rollover["cap"], unit)
        after = "order" in rollover and rollover["order"].choice(("before", "after")) == "after"
    member_cap = _amount(fields["member_cap"], unit) if "member_cap" in fields else None
    return _allowance(fields["name"].text(), node, fields, unit, cycle, None, cap, after, member_cap)


def read_bucket(name: str, node: Node) -> Allowance:
    """A bucket of the catalogue: granted by a command, a top-up or a fee, for `validity`."""
    fields = node.fields(("unit",), (*_RICH, "amount", "validity", "member_cap"))
    unit = _UNITS[fields["unit"].choice(tuple(_UNITS))]
    validity_s = read_span(fields["validity"]) if "validity" in fields else None
    member_cap = _amount(fields["member_cap"], unit) if "member_cap" in fields else None
    return _allowance(name, node, fields, unit, GRANTED, validity_s, 0, False, member_cap)


def _allowance(name: str, node: Node, fields: dict[str, Node], unit: Unit, cycle: str, validity_s: int | None,
               rollover_cap: int, rollover_after: bool, member_cap: int | None) -> Allowance:
    amount = _amount(fields["amount"], unit) if "amount" in fields else 0
    step = fields["step"].quantity(unit, least=1) if "step" in fields else 1
    money = unit == Unit.MONEY
    for key in ("step", "price", "per", "member_cap"):
        if money and key in fields:
            raise fields[key].refuse(f"{key} of a bucket of money", "no such key: it pays what usage costs")
    if max(amount, step, rollover_cap, member_cap or 0) > _LARGEST:
        raise node.refuse(f"allowance of {amount} in steps of {step}", "at most 2^60")
    if "per" in fields and "price" not in fields:
        raise fields["per"].refuse("`per` without a price", "price: ...")
    if ("timing" in fields) != ("bands" in fields):
        raise node.refuse("`timing` and `bands` go together", "both or none")
    bands = read_names(fields.get("bands"))
    blocking = "blocking" in fields and fields["blocking"].choice(("true", "false")) == "true"
    return Allowance(
        name, unit, amount, step, cycle, fields["priority"].integer(0, 1000) if "priority" in fields else 100,
        read_scope(node, fields, read_services(fields, unit)), node.line, validity_s, rollover_cap, rollover_after,
        fields["price"].money() if "price" in fields else None,
        fields["per"].quantity(unit, least=1) if "per" in fields else 1, blocking, member_cap,
        fields["timing"].text() if "timing" in fields else None, (bands,) if isinstance(bands, str) else bands)


def read_top_up(node: Node) -> TopUpRule:
    """A rule of `top_ups`; `from` and `to` are amounts, both inclusive."""
    fields = node.fields((), ("from", "to", "bonus", "bonus_percent", "bucket", "extends_validity"))
    if not {"bonus", "bonus_percent", "bucket", "extends_validity"} & set(fields):
        raise node.refuse("a top-up rule that does nothing", "bonus, bonus_percent, bucket or extends_validity")
    if "from" in fields and "to" in fields and fields["to"].money() < fields["from"].money():
        raise fields["to"].refuse(f"a range from {fields['from'].text()} to {fields['to'].text()}", "`from` <= `to`")
    percent = Fraction(0)
    if "bonus_percent" in fields:
        percent = Fraction(fields["bonus_percent"].money(), 10**9)
        if percent > 1000:
            raise fields["bonus_percent"].refuse(f"a bonus of {fields['bonus_percent'].text()} percent", "at most 1000")
    return TopUpRule(
        fields["from"].money() if "from" in fields else 0, fields["to"].money() if "to" in fields else None,
        fields["bonus"].money() if "bonus" in fields else 0, percent,
        fields["bucket"].text() if "bucket" in fields else None,
        read_span(fields["extends_validity"]) if "extends_validity" in fields else None, node.line)


def read_fee(name: str, node: Node, currency: str) -> Fee:
    """A one-off or recurring fee."""
    fields = node.fields(("amount", "cycle"), ("prorate", "currency"))
    amount = fields["amount"].money()
    if amount == 0 or amount > _LARGEST:
        raise fields["amount"].refuse(f"a fee of {fields['amount'].text()}", "an amount above zero")
    cycle = fields["cycle"].choice(CYCLES)
    prorate = "prorate" in fields and fields["prorate"].choice(("true", "false")) == "true"
    if prorate and cycle == "none":
        raise fields["prorate"].refuse("a share of a one-off fee", "cycle: day, week or month")
    currency = fields["currency"].currency() if "currency" in fields else currency
    return Fee(name, amount, currency, cycle, prorate, node.line)


DEFAULT_STATES = {
    "pre_active": StateRule(_EVERY, 0, None, None, 0), "active": StateRule(_EVERY, 0, None, None, 0),
    "one_way": StateRule(_TERMINATING, 4010, None, None, 0), "barred": StateRule(frozenset(), 4010, None, None, 0),
    "terminated": StateRule(frozenset(), 5030, None, None, 0),
    "quarantined": StateRule(frozenset(), 5030, None, None, 0)}


def read_states(node: Node | None) -> dict[str, StateRule]:
    """Every state, what is not written as it is by default."""
    states = dict(DEFAULT_STATES)
    for name, item in node.entries() if node else ():
        if name not in STATES:
            raise item.refuse(f"state {name!r}", "one of " + ", ".join(STATES))
        fields = item.fields((), ("permits", "refusal", "after"))
        default = DEFAULT_STATES[name]
        permits = default.permits
        if "permits" in fields:
            permits = frozenset(pair for part in fields["permits"].items() for pair in _permitted(part))
        after_s, then = None, None
        if "after" in fields:
            after = fields["after"].fields(("period", "then"), ())
            after_s, then = read_span(after["period"]), after["then"].choice(STATES)
            if then == name:
                raise after["then"].refuse(f"{name} after {name}", "another state")
        refusal = fields["refusal"].integer(1, 99_999) if "refusal" in fields else default.refusal
        if permits != _EVERY and not refusal:
            raise item.refuse(f"state {name!r} refuses and has no code", "refusal: a result code such as 4010")
        states[name] = StateRule(permits, refusal, after_s, then, item.line)
    return states


def _permitted(node: Node) -> list[tuple[Service, Direction]]:
    service, _, direction = node.text().partition(":")
    services = list(Service) if service == "any" else [SERVICES[service]] if service in SERVICES else []
    names = {d.name.lower(): d for d in Direction}
    directions = list(Direction) if not direction else [names[direction]] if direction in names else []
    if not services or not directions:
        raise node.refuse(f"{node.text()!r}", "a service, any, or service:direction such as voice:terminating")
    return [(s, d) for s in services for d in directions]


def read_span(node: Node) -> int:
    """Seconds of "30 d", "12 h"."""
    match = re.fullmatch(r"(\d{1,9}) (s|min|h|d)", node.text())
    if not match or not int(match[1]) or int(match[1]) * _SPAN[match[2]] > 36_525 * DAY_S:
        raise node.refuse(f"{node.text()!r}", 'a span of time such as "30 d" or "12 h", at most a century')
    return int(match[1]) * _SPAN[match[2]]


def parse_amount(text: str, unit: Unit) -> int:
    """Units, or nano-units of money, of a command's text. Raises ValueError."""
    return parse_money(text) if unit == Unit.MONEY else parse_quantity(text, unit)


def _amount(node: Node, unit: Unit) -> int:
    if unit != Unit.MONEY:
        return node.quantity(unit, least=1)
    nanos = node.money()
    if nanos == 0:
        raise node.refuse("nothing", "an amount above zero")
    return nanos
