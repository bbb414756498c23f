"""A look over the rate decks for rows that stand alone: a country priced as no other of its continent is.

A deck cannot say of itself that a row is wrong. But one dial code in a zone that none of its continent's other codes
is in, and that costs several times theirs, is what a slip of the pen looks like. Findings, not refusals.
"""

import csv
from collections import Counter
from importlib.resources import files
from pathlib import Path

from reference_data.tariffs.compile import load_tariffs


def audit_decks(operator: Path) -> list[str]:
    """One line for every row that stands alone, with version, deck, prefix, its zone and that of its neighbours."""
    with files("reference_data").joinpath("dial_codes.csv").open(encoding="utf-8") as lines:
        countries = list(csv.DictReader(lines))
    notes = []
    for version in load_tariffs(operator / "tariffs").versions:
        for name, deck in version.decks.items():
            by_continent: dict[str, list[str]] = {}
            for row in countries:
                if row["dial_code"] in deck:
                    by_continent.setdefault(row["continent"], []).append(row["dial_code"])
            for continent, codes in sorted(by_continent.items()):
                zones = {code: deck[code] for code in codes}
                usual = Counter(zones[code] for code in codes)
                notes += [f"tariff {version.name}, deck {name}: prefix {code} is the only one of {continent} in zone "
                          f"{zones[code]}; {usual.most_common(1)[0][1]} of {len(codes)} are in "
                          f"{usual.most_common(1)[0][0]}"
                          for code in codes if usual[zones[code]] == 1 and len(codes) > 4]
    return notes
