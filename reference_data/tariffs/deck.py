"""Decks: which prefix lies in which zone. CSV files with the header `prefix,zone`, up to some 100,000 lines."""

import csv
from collections.abc import Iterator
from pathlib import Path

from reference_data.tariffs.source import refuse
from schemas.digits import MAX_DIGITS

_LONGEST_ZONE = 100
MAX_DECK, MAX_OCTETS = 1_000_000, 64 << 20


def read_deck(paths: list[tuple[Path, str]]) -> dict[str, str]:
    """prefix -> zone of the files together; each is (path, name in messages). Raises ReferenceDataError."""
    zones: dict[str, str] = {}
    places: dict[str, tuple[str, int]] = {}
    for path, name in paths:
        for number, line in enumerate(csv_lines(path, name, "prefix,zone"), 1):
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
            if zone == "any" or not zone.isprintable() or len(zone) > _LONGEST_ZONE:
                raise refuse(name, number, f"zone {zone[:_LONGEST_ZONE]!r}", "a printable name, not `any`",
                             "give the zone another name")
            if prefix in zones:
                first = places[prefix]
                raise refuse(name, number, f"prefix {prefix} is listed twice", "one row for each prefix",
                             f"the first is {first[0]}:{first[1]} ({zones[prefix]}); remove one")
            zones[prefix], places[prefix] = zone, (name, number)
            if len(zones) > MAX_DECK:
                raise refuse(name, number, f"more than {MAX_DECK:,} prefixes", f"at most {MAX_DECK:,}",
                             "split the deck")
    if not zones:
        raise refuse(paths[0][1], 1, "the deck is empty", "at least one prefix")
    return zones


def csv_lines(path: Path, name: str, expected: str) -> Iterator[list[str]]:
    """Lines as cells. expected: of each, for messages. Raises ReferenceDataError."""
    reader = None
    try:
        if path.stat().st_size > MAX_OCTETS:
            raise refuse(name, 1, f"{path.stat().st_size:,} octets", f"at most {MAX_OCTETS:,}", "split the file")
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.reader(text.splitlines(), strict=True)
        yield from reader
    except UnicodeDecodeError as problem:
        line_number = problem.object.count(b"\n", 0, problem.start) + 1
        raise refuse(name, line_number, f"octet {problem.object[problem.start]:#04x}, which is no UTF-8",
                     "a UTF-8 CSV file", "save the file as UTF-8") from None
    except csv.Error as problem:
        raise refuse(name, reader.line_num if reader else 1, f"{problem}", expected,
                     "correct the line: is there a quote that is not closed?") from None
    except OSError as problem:
        raise refuse(name, 1, f"it cannot be read: {problem.strerror}", "a UTF-8 CSV file") from None
