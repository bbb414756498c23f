"""Reading what people write for a quote: one field at a time, refused with line, field, found and expected."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from schemas.codes import Unit
from schemas.errors import ReferenceDataError
from schemas.money import MAX_NANOS, parse_money
from schemas.timepoint import parse_time
from schemas.units import parse_quantity

MOST = (1 << 62) - 1
EARLIEST_US, LATEST_US = parse_time("1990-01-02"), parse_time("2099-12-31")  # what the time zones' tables cover
_SPAN = re.compile(r"(?:(\d+)\s*d)?\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s)?", re.ASCII)
_SHOWN = 60  # characters of a wrong value that a message repeats


class Fields:
    """One JSON object and where it stands. `used` are the keys that were asked for: what is left is a mistake."""

    __slots__ = ("place", "values")

    def __init__(self, place: str, values: Mapping[str, object]) -> None:
        self.place, self.values = place, values

    def has(self, name: str) -> bool:
        """Whether the field is given; null is as good as left out."""
        return self.values.get(name) is not None

    def only(self, known: frozenset[str] | tuple[str, ...], meant: Mapping[str, str] = MappingProxyType({})) -> None:
        """Refuse a key that is not known, with what it is `meant` to be or the nearest one that is known."""
        for name in self.values:
            if name not in known:
                near = [meant[name.lower()]] if name.lower() in meant else get_close_matches(name, known, 1, 0.75)
                raise self.refuse(name, "an unknown field", f"{near[0]!r}" if near else
                                  "one of " + ", ".join(sorted(known)), "correct the spelling or leave it out")

    def refuse(self, name: str, found: str, expected: str, remedy: str = "") -> ReferenceDataError:
        return ReferenceDataError(f"{self.place}, field {name!r}: {found}", expected, remedy)

    def missing(self, name: str, expected: str) -> ReferenceDataError:
        return ReferenceDataError(f"{self.place}: field {name!r} is missing", expected, "add it")

    def wrong(self, name: str, expected: str) -> ReferenceDataError:
        """The field's value is not what was expected."""
        return self.refuse(name, shown(self.values[name]), expected)

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or not value or len(value) > 256:
            raise self.wrong(name, "text of 1 to 256 characters")
        return value

    def choice(self, name: str, known: Mapping[str, int], default: int) -> int:
        value = self.values.get(name)
        if value is None:
            return default
        found = known.get(value.lower()) if isinstance(value, str) else None
        if found is None:
            raise self.wrong(name, "one of " + ", ".join(known))
        return found

    def whole(self, name: str, least: int = 0, most: int = MOST, default: int = -1) -> int:
        """A whole number, also as text."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, str) and re.fullmatch("-?[0-9]{1,19}", value, re.ASCII):
            value = int(value)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def money(self, name: str, default: int = 0) -> int:
        """Nanos of decimal text, or of a whole number. A number with a point was through a float already: refused."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, str) or type(value) is int:
            try:
                nanos = parse_money(str(value))
            except ValueError:
                nanos = MAX_NANOS
            if abs(nanos) < MAX_NANOS:
                return nanos
        raise self.wrong(name, 'decimal text such as "10.00", at most 9 decimals')

    def moment(self, name: str, time_zone: str) -> int:
        """Microseconds UTC of ISO text with an offset, or local time of `time_zone`."""
        value = self.values[name]
        try:
            if not isinstance(value, str):
                raise ValueError
            time_us = parse_time(value, time_zone)
        except (ValueError, OverflowError):
            raise self.wrong(name, "a time such as 2026-03-01T12:00:00, or with an offset: 2026-03-01T12:00:00+01:00"
                             ) from None
        if not EARLIEST_US <= time_us <= LATEST_US:
            raise self.wrong(name, "a time from 1990 to 2099")
        return time_us

    def seconds(self, name: str) -> int:
        """Whole seconds: 90, "90", "90 s", "1h2m3s", "1:02:03"."""
        value = self.values[name]
        if isinstance(value, str):
            text = value.strip()
            clock = re.fullmatch(r"(?:(\d+):)?(\d{1,2}):(\d{2})", text, re.ASCII)
            span = _SPAN.fullmatch(text)
            if text.isascii() and text.isdigit() and len(text) < 19:
                value = int(text)
            elif clock and len(text) < 19:
                value = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + int(clock[3])
            elif span and any(span.groups()) and len(text) < 40:
                days, hours, minutes, seconds = (int(part or 0) for part in span.groups())
                value = days * 86_400 + hours * 3600 + minutes * 60 + seconds
        if type(value) is not int or not 0 <= value <= MOST:
            raise self.wrong(name, 'whole seconds such as 90, or "1h2m3s"')
        return value

    def octets(self, name: str) -> int:
        """Whole octets: 1048576, "1 MiB", "1MiB"."""
        value = self.values[name]
        if isinstance(value, str):
            parts = re.fullmatch(r"(\d{1,19})\s*([A-Za-z]*)", value.strip(), re.ASCII)
            try:
                value = parse_quantity(f"{parts[1]} {parts[2]}".strip(), Unit.OCTET) if parts else value
            except ValueError:
                raise self.wrong(name, 'whole octets such as 1048576, or "1 MiB" '
                                 "(B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)") from None
        if type(value) is not int or not 0 <= value <= MOST:
            raise self.wrong(name, 'whole octets such as 1048576, or "1 MiB"')
        return value


def shown(value: object) -> str:
    """A wrong value as a message repeats it."""
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
