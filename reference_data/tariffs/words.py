"""A tariff in words: quantities, prices and scopes as a price list would say them. For `show`, `diff` and messages."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from fractions import Fraction

from reference_data.tariffs.model import ANY, Rate, Scope, Slot
from schemas.codes import Direction, Unit
from schemas.money import format_money
from schemas.timepoint import format_time

_SECONDS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_OCTETS = (("TiB", 1 << 40), ("TB", 10**12), ("GiB", 1 << 30), ("GB", 10**9), ("MiB", 1 << 20), ("MB", 10**6),
           ("KiB", 1 << 10), ("kB", 1000))
_OUTGOING = {Direction.ORIGINATING, Direction.FORWARDED}
# Fields that count the unit of the thing that they are of.
_COUNTED = ("amount", "step", "rollover_cap", "member_cap", "thresholds", "free_quantity", "minimum_quantity", "per")
_UNSAID = ("line", "file", "name")


def quantity_words(quantity: int, unit: Unit | None) -> str:
    """90 seconds as "90 s", 120 as "2 min", 1048576 octets as "1 MiB", money as decimal text."""
    if unit == Unit.MONEY:
        return format_money(quantity)
    if unit == Unit.SECOND:
        name, size = next((n, s) for n, s in _SECONDS if quantity % s == 0)
        return f"{quantity // size} {name}" if quantity else "0 s"
    if unit == Unit.OCTET:
        for name, size in _OCTETS:
            if quantity and quantity % size == 0:
                return f"{quantity // size} {name}"
        return f"{quantity:,} B"
    return f"{quantity:,} {unit.name.lower()}{'' if quantity == 1 else 's'}" if unit is not None else f"{quantity:,}"


def price_words(slot: Slot, unit: Unit) -> str:
    """0.10/min, 0.02/MiB, 0.09/message, 5.00 flat, free."""
    if slot.price_nanos == 0:
        return "free"
    if slot.flat:
        return f"{format_money(slot.price_nanos)} flat"
    per = quantity_words(slot.per, unit)
    return f"{format_money(slot.price_nanos)}/{per.removeprefix('1 ')}"


def step_words(slot: Slot, unit: Unit) -> str:
    """How it is counted: "each begun minute", or nothing where every unit counts."""
    if slot.flat or slot.price_nanos == 0 or slot.step == 1:
        return ""
    return f" in steps of {quantity_words(slot.step, unit)}"


def rate_words(rate: Rate) -> str:
    """The whole rate: slots, then fees and limits."""
    parts = []
    for slot in rate.slots:
        words = price_words(slot, rate.unit) + step_words(slot, rate.unit)
        parts.append(words if slot.start == 0 else f"from {quantity_words(slot.start, rate.unit)}: {words}")
    return ", ".join([*parts, *(f"{key} {value}" for key, value in rate_terms(rate).items())])


def rate_terms(rate: Rate) -> dict[str, str]:
    """What a rate says beside its slots."""
    nothing = format_money(0)
    return {key: value for key, value in facts(rate).items()
            if key not in ("slots", "unit") and not (key in ("connect fee", "minimum") and value == nothing)}


def scope_words(scope: Scope, services: bool = True) -> str:
    """Which usage: "voice to europe, world, roaming in eu"."""
    words = [", ".join(s.name.lower() for s in scope.services)] if services else []
    if scope.directions is not None and set(scope.directions) != _OUTGOING:
        words.append("any direction" if set(scope.directions) == set(Direction) else
                     " or ".join(d.name.lower() for d in scope.directions))
    if scope.zones is not None:
        words.append("to any zone" if scope.zones == ANY else "to " + ", ".join(scope.zones))
    if scope.calling_zones is not None:
        words.append("from " + ", ".join(scope.calling_zones))
    if scope.friends:
        words.append("friends")
    if scope.network is not None:
        words.append(scope.network.replace("_", "-"))
    if scope.categories is not None:
        words.append("category " + ", ".join(scope.categories))
    if scope.roaming == ANY:
        words.append("home or roaming")
    elif tuple(scope.roaming) != ("home",):
        words.append("roaming in " + ", ".join(scope.roaming))
    for word, moment in (("from", scope.valid_from), ("before", scope.valid_to)):
        if moment is not None:
            words.append(f"{word} {moment.isoformat(' ')}")
    return " ".join(words) or "anything"


def facts(thing: object) -> dict[str, str]:
    """What a part of a tariff says, field by field; fields that say nothing new are left out."""
    assert is_dataclass(thing) and not isinstance(thing, type)
    unit = getattr(thing, "unit", None)
    said = {}
    for each in fields(thing):
        value = getattr(thing, each.name)
        if each.name in _UNSAID or value is None or value == () or (each.default is not MISSING
                                                                     and value == each.default):
            continue
        name = each.name.removesuffix("_nanos").removesuffix("_us").removesuffix("_s").replace("_", " ")
        said[name] = _value(each.name, value, unit)
    return said


def _value(name: str, value: object, unit: Unit | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, Scope):
        return scope_words(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, Fraction):
        return fraction_words(value)
    if isinstance(value, int):
        if name.endswith("_nanos"):
            return format_money(value)
        if name.endswith("_us"):
            return format_time(value)
        if name.endswith("_s"):
            return quantity_words(value, Unit.SECOND)
        return quantity_words(value, unit) if name in _COUNTED else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_value(name, item, unit)}" for key, item in value.items())
    if isinstance(value, tuple | frozenset):
        items = [_value(name, item, unit) for item in value]
        return ", ".join(sorted(items) if isinstance(value, frozenset) else items)
    if is_dataclass(value):
        return "{" + ", ".join(f"{key} {text}" for key, text in facts(value).items()) + "}"
    return str(value)


def fraction_words(value: Fraction) -> str:
    """A decimal where it is one."""
    for places in range(10):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = str(abs(int(scaled))).rjust(places + 1, "0")
            whole = digits if places == 0 else f"{digits[:-places]}.{digits[-places:]}"
            return ("-" if value < 0 else "") + whole
    return str(value)
