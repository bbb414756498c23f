"""Whom people call: number ranges with their shares, and the zones that decks put them into."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import reference_data
from pipelines.sample.kernels.draw import SHARE
from pipelines.sample.population import COUNTRY_CODE, FIXED, MOBILE
from pipelines.sample.rows import ABROAD, AS_DIALLED, NATIONAL, ON_NET
from schemas.columns import I64
from schemas.digits import pack

DIAL_CODES = Path(reference_data.__file__).parent / "dial_codes.csv"

HOME_NETWORK = "Tarifa Mobile"
NETWORKS = {COUNTRY_CODE + "75": "Levante", COUNTRY_CODE + "76": "Levante", COUNTRY_CODE + "77": "Poniente",
            COUNTRY_CODE + "78": "Poniente", COUNTRY_CODE + "79": "Estrecho"}
FIXED_NETWORK = "Faro Fixed"
FIXED_AREAS = tuple(f"{COUNTRY_CODE}{area}" for area in (22, 23, 24, 31, 32, 41, 42, 51))
EMERGENCY = ("112", "110")
TOLL_FREE, PREMIUM = "800", "900"   # national prefixes
SHORT_CODES = ("1414", "1500", "11888")
# Neighbours and places of work: where most calls abroad go. Their share of all calls abroad, in 100.
FAVOURITES = {"34": 18, "33": 12, "49": 12, "44": 11, "351": 9, "212": 9, "1": 6, "39": 4, "52": 3, "86": 2}
# Mobile ranges that zones price apart from their country.
ABROAD_MOBILE = {"346": "europe_mobile", "347": "europe_mobile", "336": "europe_mobile", "337": "europe_mobile",
                 "4915": "europe_mobile", "4916": "europe_mobile", "4917": "europe_mobile", "447": "europe_mobile",
                 "3519": "europe_mobile", "2126": "africa_mobile"}
ZONE_OF_CONTINENT = {"EU": "europe", "AF": "africa", "NA": "americas", "SA": "americas", "AS": "asia", "OC": "oceania"}
SATELLITE = ("870", "881")


@dataclass(frozen=True)
class DialCode:
    """A dial code of the world."""

    code: str
    country: str
    continent: str


def dial_codes() -> list[DialCode]:
    """Dial codes, ascending. Derived from datasets/country-codes (ODC-PDDL)."""
    with DIAL_CODES.open(encoding="utf-8", newline="") as lines:
        return [DialCode(r["dial_code"], r["country"], r["continent"]) for r in csv.DictReader(lines)]


def _table(entries: list[tuple[float, str, int, int]]) -> I64:
    """Shares (any scale), prefixes, digits that follow, styles -> T_ matrix with cumulative shares up to SHARE."""
    total = sum(share for share, *_ in entries)
    table = np.zeros((4, len(entries)), np.int64)
    before = 0.0
    for column, (share, prefix, digits, style) in enumerate(entries):
        before += share
        table[:, column] = round(SHARE * before / total), pack(prefix) if prefix else 0, digits, style
    table[0, -1] = SHARE
    return table


def _national() -> list[tuple[float, str, int, int]]:
    entries = [(38.0, MOBILE, 0, ON_NET)]
    entries += [(6.0, prefix, 7, NATIONAL) for prefix in NETWORKS]
    return entries + [(1.2, area, 7, NATIONAL) for area in FIXED_AREAS]


def voice_targets() -> I64:
    """Whom subscribers call."""
    abroad = [d for d in dial_codes() if d.code not in FAVOURITES]
    entries = _national()
    entries += [(9.0 * share / 100, code, 9 if len(code) < 3 else 8, ABROAD) for code, share in FAVOURITES.items()]
    entries += [(9.0 * 14 / 100 / len(abroad), d.code, 7, ABROAD) for d in abroad]
    entries += [(2.0, COUNTRY_CODE + TOLL_FREE, 6, NATIONAL), (0.7, COUNTRY_CODE + PREMIUM, 6, NATIONAL)]
    entries += [(0.5, code, 0, AS_DIALLED) for code in SHORT_CODES]
    return _table(entries + [(0.25, code, 0, AS_DIALLED) for code in EMERGENCY])


def message_targets() -> I64:
    """Whom subscribers write to: no emergency, little abroad."""
    entries = _national() + [(0.5, code, 8, ABROAD) for code in FAVOURITES]
    return _table([*entries, (1.0, SHORT_CODES[0], 0, AS_DIALLED)])


def callers() -> I64:
    """Who calls subscribers."""
    return _table(_national() + [(0.4, code, 9 if len(code) < 3 else 8, ABROAD) for code in FAVOURITES])


def deck() -> dict[str, str]:
    """prefix -> zone, the whole world and the home country."""
    zones = {d.code: ZONE_OF_CONTINENT[d.continent] for d in dial_codes()}
    zones.update(ABROAD_MOBILE)
    zones.update(dict.fromkeys(SATELLITE, "satellite"))
    zones[COUNTRY_CODE] = "national"
    zones[FIXED[:4]] = "national"
    zones[MOBILE[:4]] = "mobile"
    zones[COUNTRY_CODE + TOLL_FREE] = "toll_free"
    zones[COUNTRY_CODE + PREMIUM] = "premium"
    zones.update(dict.fromkeys(EMERGENCY, "emergency"))
    zones.update(dict.fromkeys(SHORT_CODES, "short_code"))
    return dict(sorted(zones.items()))
