"""Scopes: which usage something is for. The same keys for prices, allowances, buckets, discounts, counters, legs."""

from datetime import datetime

from reference_data.tariffs.model import ANY, OFF_NET, ON_NET, Scope
from reference_data.tariffs.source import Node
from schemas.codes import Direction, Service, Unit
from schemas.timepoint import END_YEAR, FIRST_YEAR
from schemas.units import SERVICE_UNIT, counts

# Beside `service` or `services`.
SCOPE_KEYS = ("direction", "zones", "calling_zones", "friends", "network", "categories", "roaming", "valid")
SERVICES = {service.name.lower(): service for service in Service}
_DIRECTIONS = {direction.name.lower(): direction for direction in Direction}


def read_scope(node: Node, fields: dict[str, Node], services: tuple[Service, ...]) -> Scope:
    """The scope that `fields` of `node` say, for these services."""
    directions = None
    if "direction" in fields:
        given = [d.text() for d in fields["direction"].items()]
        chosen = list(_DIRECTIONS) if given == [ANY] else given
        for item, text in zip(fields["direction"].items(), chosen, strict=False):
            if text not in _DIRECTIONS:
                raise item.refuse(f"direction {text!r}", "any, " + ", ".join(_DIRECTIONS))
        directions = tuple(_DIRECTIONS[text] for text in chosen)
    calling = read_names(fields.get("calling_zones"))
    categories = read_names(fields.get("categories"))
    friends = "friends" in fields and fields["friends"].choice(("true",)) == "true"
    valid_from, valid_to = _read_valid(fields["valid"]) if "valid" in fields else (None, None)
    return Scope(services, directions, read_names(fields.get("zones")),
                 read_names(fields.get("roaming")) or ("home",), node.line,
                 None if isinstance(calling, str) else calling, friends,
                 fields["network"].choice((ON_NET, OFF_NET)) if "network" in fields else None,
                 None if isinstance(categories, str) else categories, valid_from, valid_to)


def _read_valid(node: Node) -> tuple[datetime | None, datetime | None]:
    fields = node.fields((), ("from", "to"))
    start, end = (read_moment(fields[key]) if key in fields else None for key in ("from", "to"))
    if start and end and (start.tzinfo is None) == (end.tzinfo is None) and start >= end:
        raise node.refuse(f"valid from {start.isoformat()} to {end.isoformat()}", "a span of time")
    return start, end


def read_moment(node: Node) -> datetime:
    """A time, local unless it has an offset."""
    try:
        moment = datetime.fromisoformat(node.text())
    except ValueError:
        raise node.refuse(f"{node.text()!r}", "a time such as 2026-12-01T00:00:00") from None
    if not FIRST_YEAR <= moment.year < END_YEAR:
        raise node.refuse(f"{node.text()!r}", f"a time from {FIRST_YEAR} to {END_YEAR - 1}")
    return moment


def read_services(fields: dict[str, Node], unit: Unit) -> tuple[Service, ...]:
    """`service` or `services`, all counting `unit` (any, for money); left out: every service of the unit."""
    money = unit == Unit.MONEY
    if "services" not in fields and "service" not in fields:
        return tuple(s for s in Service if money or counts(s, unit))
    found = []
    for key in ("service", "services"):
        for item in fields[key].items() if key in fields else ():
            service = SERVICES[item.choice(tuple(SERVICES))]
            if not money and not counts(service, unit):
                raise item.refuse(f"{service.name.lower()} counts {SERVICE_UNIT[service].name.lower()}s",
                                  f"a service that counts {unit.name.lower()}s")
            found.append(service)
    return tuple(found)


def read_names(node: Node | None) -> tuple[str, ...] | str | None:
    """Names, "any", or None where the key is left out."""
    if node is None:
        return None
    names = tuple(item.text() for item in node.items())
    if not names:
        raise node.refuse("an empty list", "names", f"leave `{node.key}` out where it does not matter")
    return ANY if names == (ANY,) else names
