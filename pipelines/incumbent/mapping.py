"""The map: which column of an incumbent's file says what, in which unit, and which of its names mean which of ours."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from reference_data.yaml_file import read_yaml
from schemas.errors import ReferenceDataError

# What rows can be matched by, and how the incumbent's text is read.
OURS = {"event_id": "text", "event": "text", "msisdn": "msisdn", "event_time": "time", "account_id": "number",
        "service_id": "number", "service": "text", "quantity": "number", "charging_id": "number",
        "rating_group": "number"}


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One part of the key. time: how it is written (strptime; ISO without) and, without an offset, in which zone."""

    ours: str
    theirs: str
    format: str = ""
    time_zone: str = "UTC"
    names: dict[str, str] = {}


class Amount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of amounts, each worth `unit`: "1" whole units of currency, "0.01" cents; seconds, octets."""

    column: str
    unit: str = "1"


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of names. names: theirs -> ours; what is not listed means itself."""

    column: str
    names: dict[str, str] = {}


class Map(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """charge is gross unless `net` is set. decimals: to which they round; without, as many as they write.

    tax_percent: rates of tax that a difference is tried against where `tax` names no column.
    """

    match: list[Match]
    charge: Amount
    tax: Amount | None = None
    allowance: Amount | None = None
    zone: Named | None = None
    band: Named | None = None
    delimiter: str = ","
    decimals: int | None = None
    net: bool = False
    tax_percent: list[str] = []

    @property
    def columns(self) -> list[str]:
        """Columns of the incumbent's file that are read."""
        optional = [each.column for each in (self.tax, self.allowance, self.zone, self.band) if each is not None]
        return [*(m.theirs for m in self.match), self.charge.column, *optional]


def read_map(path: Path) -> Map:
    """Read and check a map. Raises ReferenceDataError naming file, key, what was found and expected."""
    found = read_yaml(path, Map)

    def refuse(key: str, value: object, expected: str) -> None:
        raise ReferenceDataError(f"{path.name}, {key}: {value!r}", expected, "correct that key")

    if not found.match:
        refuse("match", [], "at least one column that says which usage a row is about")
    for number, match in enumerate(found.match):
        if match.ours not in OURS:
            refuse(f"match[{number}].ours", match.ours, "one of " + ", ".join(OURS))
        try:
            ZoneInfo(match.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            refuse(f"match[{number}].time_zone", match.time_zone, "an IANA name such as Europe/Berlin")
    for key, amount in (("charge", found.charge), ("tax", found.tax), ("allowance", found.allowance)):
        if amount is not None and not _positive(amount.unit):
            refuse(f"{key}.unit", amount.unit, "a decimal above zero, such as 0.01")
    for percent in found.tax_percent:
        if not _positive(percent):
            refuse("tax_percent", percent, "a decimal above zero, such as 19")
    if found.decimals is not None and not 0 <= found.decimals <= 9:
        refuse("decimals", found.decimals, "0 to 9")
    if len(found.delimiter) != 1:
        refuse("delimiter", found.delimiter, "one character")
    return found


def _positive(text: str) -> bool:
    try:
        return Decimal(text) > 0
    except InvalidOperation:
        return False
