"""Decks: which prefix lies in which zone. CSV files with the header `prefix,zone`, up to some 100,000 lines."""

import csv
from pathlib import Path

from reference_data.tariffs.source import refuse
from schemas.digits import MAX_DIGITS

MAX_DECK = 1_000_000


def read_deck(paths: list[tuple[Path, str]]) -> dict[str, str]:
    """prefix -> zone of the files together; each is (path, name in messages). Raises ReferenceDataError."""
    zones: dict[str, str] = {}
    places: dict[str, tuple[str, int]] = {}
    for path, name in paths:
        try:
            lines = csv.reader(path.read_text(encoding="utf-8-sig").splitlines())
        except (OSError, UnicodeDecodeError) as problem:
            raise refuse(name, 1, f"the deck cannot be read: {problem}", "a UTF-8 CSV file") from None
        for number, line in enumerate(lines, 1):
            if number == 1:
                if [cell.strip() for cell in line] != ["prefix", "zone"]:
                    raise refuse(name, 1, f"header {','.join(line)!r}", "prefix,zone", "correct the first line")
                continue
            if not line:
                continue
            if len(line) != 2 or not line[1].strip():
                raise refuse(name, number, f"{','.join(line)!r}", "a prefix and a zone", "write 49151,mobile")
            prefix, zone = line[0].strip(), line[1].strip()
            if not (prefix.isascii() and prefix.isdigit() and len(prefix) <= MAX_DIGITS):
                raise refuse(name, number, f"prefix {prefix!r}", f"1 to {MAX_DIGITS} digits of E.164, without +",
                             "correct the prefix")
            if prefix in zones:
                first = places[prefix]
                raise refuse(name, number, f"prefix {prefix} is listed twice", "one row for each prefix",
                             f"the first is {first[0]}:{first[1]} ({zones[prefix]}); remove one")
            zones[prefix], places[prefix] = zone, (name, number)
    if not zones:
        raise refuse(paths[0][1], 1, "the deck is empty", "at least one prefix")
    if len(zones) > MAX_DECK:
        raise refuse(paths[0][1], 1, f"{len(zones)} prefixes", f"at most {MAX_DECK}")
    return zones
