"""Scopes: which usage something is for. The same keys for prices, allowances, buckets, discounts, counters, legs."""

from reference_data.tariffs.model import ANY, Scope
from reference_data.tariffs.source import Node
from schemas.codes import Direction, Service, Unit
from schemas.units import SERVICE_UNIT

SCOPE_KEYS = ("direction", "zones", "roaming")  # beside `service` or `services`
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
    return Scope(services, directions, read_names(fields.get("zones")),
                 read_names(fields.get("roaming")) or ("home",), node.line)


def read_services(fields: dict[str, Node], unit: Unit) -> tuple[Service, ...]:
    """`service` or `services`, all counting `unit` (any, for money); left out: every service of the unit."""
    money = unit == Unit.MONEY
    if "services" not in fields and "service" not in fields:
        return tuple(s for s in Service if money or SERVICE_UNIT[s] == unit)
    found = []
    for key in ("service", "services"):
        for item in fields[key].items() if key in fields else ():
            service = SERVICES[item.choice(tuple(SERVICES))]
            if not money and SERVICE_UNIT[service] != unit:
                raise item.refuse(f"{service.name.lower()} counts {SERVICE_UNIT[service].name.lower()}s",
                                  f"a service that counts {unit.name.lower()}s")
            found.append(service)
    return tuple(found)


def read_names(node: Node | None) -> tuple[str, ...] | str | None:
    """Names, "any", or None where the key is left out."""
    if node is None:
        return None
    names = tuple(item.text() for item in node.items())
    return ANY if names == (ANY,) else names
