"""AVPs by name and code: `avps.csv`, one line each.

Source of names, codes, types and flags: RFC 6733 (base), RFC 7155 (NAS), RFC 8506 (credit control), TS 32.299 7.2
(charging), TS 29.061 16.4.7 (3GPP RADIUS attributes), TS 29.219 5.3 (Sy), as transcribed by the grammars of SigScale
OCS (Apache-2.0) and the dictionary of python-diameter (MIT), which agree; where names differ the standard's was taken.
Flags: V has a vendor, M is sent with the mandatory bit.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

IETF, TGPP = 0, 10415
CREDIT_CONTROL, SY, RELAY = 4, 16777302, 0xFFFFFFFF
VENDORS = (0, 10415, 13019, 5535)  # IETF, 3GPP, ETSI, 3GPP2: vendors whose AVPs are in the table


@dataclass(frozen=True)
class Avp:
    """One line of the table."""

    vendor: int
    code: int
    name: str
    type: str
    flags: str

    @property
    def octets(self) -> int:
        """Exact length of the payload; 0 where it varies."""
        return _WIDTHS.get(self.type, 0)


_WIDTHS = {"Integer32": 4, "Unsigned32": 4, "Enumerated": 4, "Time": 4, "Float32": 4,
           "Integer64": 8, "Unsigned64": 8, "Float64": 8}


@cache
def table() -> dict[tuple[int, int], Avp]:
    """All AVPs by vendor and code."""
    with Path(__file__).with_name("avps.csv").open(encoding="utf-8", newline="") as file:
        rows = [Avp(int(r["vendor"]), int(r["code"]), r["name"], r["type"], r["flags"]) for r in csv.DictReader(file)]
    return {(r.vendor, r.code): r for r in rows}


@cache
def _names() -> dict[str, Avp]:
    """3GPP's own before another's of the same name."""
    order = {IETF: 1, TGPP: 2}
    return {a.name: a for a in sorted(table().values(), key=lambda a: order.get(a.vendor, 0))}


def named(name: str, vendor: int | None = None) -> Avp:
    """The AVP of a name. Raises KeyError."""
    if vendor is None:
        return _names()[name]
    return next(a for a in table().values() if a.name == name and a.vendor == vendor)


def name_of(vendor: int, code: int) -> str:
    """Its name, or vendor:code."""
    found = table().get((vendor, code))
    return found.name if found else f"{vendor}:{code}"
