"""Timings: bands of the local week, checked to cover each second once."""

import re

from reference_data.tariffs.model import Timing
from reference_data.tariffs.source import Node
from schemas.timepoint import DAY_S, WEEK_S

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def read_timing(name: str, node: Node) -> Timing:
    """Raises ReferenceDataError on bands that overlap or leave a gap."""
    taken: list[tuple[int, int, str, int]] = []
    otherwise: str | None = None
    for item in node.items():
        fields = item.fields(("band",), ("days", "from", "to", "otherwise"))
        band = fields["band"].text()
        if "otherwise" in fields:
            if otherwise is not None or len(fields) > 2:
                raise item.refuse("a second or narrowed `otherwise`", "one band with only `otherwise: true`")
            fields["otherwise"].choice(("true",))
            otherwise = band
            continue
        start = _second(fields["from"]) if "from" in fields else 0
        end = _second(fields["to"]) if "to" in fields else DAY_S
        if start in (end, DAY_S):
            raise item.refuse(f"band {band!r} from {start} s to {end} s of the day", "a span of time",
                              "leave out from and to for whole days")
        length = end - start if end > start else end + DAY_S - start
        for day in _days(fields["days"]) if "days" in fields else range(7):
            first = day * DAY_S + start
            for low, high in ((first, min(first + length, WEEK_S)), (0, first + length - WEEK_S)):
                if high > low:
                    taken.append((low, high, band, item.line))
    taken.sort()
    segments: list[tuple[int, str]] = []
    reached = 0
    for low, high, band, line in [*taken, (WEEK_S, WEEK_S, "", node.line)]:
        if low < reached:
            raise node.refuse(f"timing {name!r}: band {band!r} (line {line}) overlaps another at {_spell(low)}",
                              "each time of the week once", "move one of the bands")
        if low > reached:
            if otherwise is None:
                raise node.refuse(f"timing {name!r} leaves a gap from {_spell(reached)} to {_spell(low)}",
                                  "bands that cover the whole week", "add a band with otherwise: true")
            segments.append((reached, otherwise))
        if high > low:
            segments.append((low, band))
        reached = high
    merged = [s for i, s in enumerate(segments) if i == 0 or segments[i - 1][1] != s[1]]
    return Timing(name, tuple(merged), node.line)


def _second(node: Node) -> int:
    match = re.fullmatch(r"(\d\d):(\d\d)(?::(\d\d))?", node.text())
    if not match:
        raise node.refuse(f"{node.text()!r}", 'a time of day such as "08:00"')
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    second = hours * 3600 + minutes * 60 + seconds
    if minutes > 59 or seconds > 59 or second > DAY_S:
        raise node.refuse(f"{node.text()!r}", "a time of day from 00:00 to 24:00")
    return second


def _days(node: Node) -> list[int]:
    days: list[int] = []
    for item in node.items():
        for part in item.text().replace(" ", "").split(","):
            first, _, last = part.partition("-")
            last = last or first
            if first not in DAYS or last not in DAYS:
                raise item.refuse(f"days {part!r}", "mon, tue, wed, thu, fri, sat, sun, or a span such as mon-fri")
            low, high = DAYS.index(first), DAYS.index(last)
            days += [d % 7 for d in range(low, high + 1 if high >= low else high + 8)]
    if len(set(days)) != len(days):
        raise node.refuse("a day is named twice", "each day once")
    return days


def _spell(second: int) -> str:
    day, rest = divmod(second, DAY_S)
    return f"{DAYS[day % 7]} {rest // 3600:02d}:{rest // 60 % 60:02d}"
