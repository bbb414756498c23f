"""Rates: slots and what belongs to a session's price. Forms that no kernel needs to know become plain slots here."""

from dataclasses import replace
from itertools import pairwise

from reference_data.tariffs.model import Rate, Slot
from reference_data.tariffs.source import Node
from schemas.codes import Unit

_UNITS = {unit.name.lower(): unit for unit in Unit if unit != Unit.MONEY}
STRADDLING = ("begin", "session_start", "split")
MAX_PER = 1 << 44  # units; keeps `price * step` far from where Python and the kernel would differ
MAX_FROM = 1 << 60
_OPTIONAL = ("connect_fee", "minimum_charge", "slots", "free", "free_quantity", "minimum_quantity", "maximum_charge",
             "at_maximum", "straddling", "over", "tiers", "currency")


def read_rate(name: str, node: Node) -> Rate:
    """Raises ReferenceDataError on slots that overlap, and on keys that do not go together."""
    fields = node.fields(("unit",), _OPTIONAL)
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
    rate = Rate(
        name, unit, fields["connect_fee"].money() if "connect_fee" in fields else 0,
        fields["minimum_charge"].money() if "minimum_charge" in fields else 0, slots, node.line,
        fields["free_quantity"].quantity(unit) if "free_quantity" in fields else 0,
        fields["minimum_quantity"].quantity(unit) if "minimum_quantity" in fields else 0,
        fields["maximum_charge"].money() if "maximum_charge" in fields else None,
        "at_maximum" in fields and fields["at_maximum"].choice(("free", "disconnect")) == "disconnect",
        fields["straddling"].choice(STRADDLING) if "straddling" in fields else "begin",
        _over(fields), "tiers" in fields and fields["tiers"].choice(("graduated", "volume")) == "volume",
        fields["currency"].currency() if "currency" in fields else None)
    _check(rate, fields)
    return rate


def _over(fields: dict[str, Node]) -> str | None:
    over = fields["over"].text() if "over" in fields else "session"
    return None if over == "session" else over


def _check(rate: Rate, fields: dict[str, Node]) -> None:
    if max(rate.free_quantity, rate.minimum_quantity) > MAX_FROM:
        raise fields["unit"].refuse(f"rate {rate.name!r} begins beyond any session", f"at most {MAX_FROM} units")
    if "at_maximum" in fields and rate.maximum_nanos is None:
        raise fields["at_maximum"].refuse("at_maximum without a maximum", "maximum_charge: ...",
                                          "add it, or remove at_maximum")
    if rate.maximum_nanos is not None and rate.maximum_nanos < rate.minimum_nanos:
        raise fields["maximum_charge"].refuse(f"the maximum of rate {rate.name!r} lies below its minimum",
                                              "at least the minimum_charge")
    if rate.over is not None:
        for key in ("minimum_charge", "minimum_quantity"):
            if key in fields:
                raise fields[key].refuse(f"{key} of a rate over a counter", "no such key: the price belongs to the "
                                         "cycle, not to a session", f"remove {key} or over")
    if rate.straddling == "split":
        for slot in rate.slots:
            if slot.flat:
                raise fields["straddling"].refuse(f"a flat slot (line {slot.line}) cannot be split",
                                                  "straddling: begin or session_start")
    if rate.volume:
        if "free_quantity" in fields:
            raise fields["free_quantity"].refuse("a free quantity with volume tiers", "a first slot that costs nothing")
        if rate.straddling != "begin" and "straddling" in fields:
            raise fields["straddling"].refuse("straddling with volume tiers", "no such key: one slot prices everything")
        first = rate.slots[0]
        for slot in rate.slots:
            if slot.flat or (slot.per, slot.step) != (first.per, first.step):
                raise fields["tiers"].refuse(f"volume tiers of rate {rate.name!r} differ in more than their price "
                                             f"(line {slot.line})", "the same per and step in every slot, none flat")


def _slot(node: Node, unit: Unit) -> Slot:
    fields = node.fields((), ("from", "price", "per", "step", "flat"))
    if ("flat" in fields) == ("price" in fields):
        raise node.refuse("a slot has either a `price` or a `flat` amount", "one of the two")
    start = fields["from"].quantity(unit) if "from" in fields else 0
    if start > MAX_FROM:
        raise fields["from"].refuse(f"a slot from {start}", f"at most {MAX_FROM}")
    if "flat" in fields:
        for key in ("per", "step"):
            if key in fields:
                raise fields[key].refuse(f"{key} of a flat slot", "no such key: it costs its amount once")
        return Slot(start, fields["flat"].money(), 1, 1, node.line, True)
    parts = {key: fields[key].quantity(unit, least=1) if key in fields else 1 for key in ("per", "step")}
    for key, value in parts.items():
        if value > MAX_PER:
            raise fields[key].refuse(f"{key} of {value}", f"at most {MAX_PER}")
    return Slot(start, fields["price"].money(), parts["per"], parts["step"], node.line)


def plain_slots(rate: Rate) -> tuple[Slot, ...]:
    """The slots with the free quantity before them."""
    if rate.free_quantity == 0:
        return rate.slots
    free = Slot(0, 0, 1, 1, rate.line)
    return (free, *(replace(slot, start=slot.start + rate.free_quantity) for slot in rate.slots))
