"""Units of usage: which service counts what, and quantities written with their unit."""

import re

from schemas.codes import Service, Unit

SERVICE_UNIT = {Service.VOICE: Unit.SECOND, Service.SMS: Unit.MESSAGE, Service.MMS: Unit.MESSAGE,
                Service.DATA: Unit.OCTET, Service.CONTENT: Unit.UNIT, Service.GENERIC: Unit.UNIT}

_SUFFIX = {
    Unit.SECOND: {"s": 1, "min": 60, "h": 3600, "d": 86_400},
    Unit.OCTET: {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
                 "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40},
    Unit.MESSAGE: {},
    Unit.UNIT: {},
    Unit.SEGMENT: {},
    Unit.MONEY: {},
}


def counts(service: Service, unit: Unit) -> bool:
    """Whether usage of a service can be counted in a unit: messages also in their segments."""
    return SERVICE_UNIT[service] == unit or (unit == Unit.SEGMENT and SERVICE_UNIT[service] == Unit.MESSAGE)


def parse_quantity(text: str, unit: Unit) -> int:
    """Whole units of "60", "60 s", "10MiB". Raises ValueError on fractions, signs and suffixes of other units."""
    parts = re.fullmatch(r"([0-9]{1,30})\s*([A-Za-z]*)", text)
    if parts is None:
        raise ValueError(f"{text!r} is no whole quantity")
    digits, suffix = parts.groups()
    if not suffix:
        return int(digits)
    factors = _SUFFIX.get(unit, {})
    if suffix not in factors:
        known = ", ".join(factors) or "none"
        raise ValueError(f"{suffix!r} is no unit of {unit.name.lower()}s (known: {known})")
    return int(digits) * factors[suffix]
