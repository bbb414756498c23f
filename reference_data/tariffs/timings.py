"""Timings: bands of the local week, or of dates, checked to cover each second once."""

import re

import numpy as np

from reference_data.tariffs.model import BandRule, Timing
from reference_data.tariffs.source import Node, refuse
from schemas.columns import I64
from schemas.tariff_tables import FIRST_DAY, LAST_DAY
from schemas.timepoint import DAY_S, WEEK_S

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_KEYS = ("days", "from", "to", "years", "months", "dates", "holidays", "otherwise")
_MOST_RULES = 62
Profile = tuple[tuple[int, str], ...]  # (second of the day, band), ascending from 0


def read_timing(name: str, node: Node) -> Timing:
    """Raises ReferenceDataError on bands of the week that overlap or leave a gap."""
    rules: list[BandRule] = []
    otherwise: str | None = None
    for item in node.items():
        fields = item.fields(("band",), _KEYS)
        band = fields["band"].text()
        if "otherwise" in fields:
            if otherwise is not None or len(fields) > 2:
                raise item.refuse("a second or narrowed `otherwise`", "one band with only `otherwise: true`")
            fields["otherwise"].choice(("true",))
            otherwise = band
        else:
            rules.append(_rule(band, item, fields))
    if any(rule.rank < 2 for rule in rules):
        if len(rules) > _MOST_RULES:
            raise node.refuse(f"timing {name!r} has {len(rules)} bands", f"at most {_MOST_RULES}")
        return Timing(name, (), node.line, tuple(rules), otherwise)
    return Timing(name, _week(name, node, rules, otherwise), node.line)


def _rule(band: str, item: Node, fields: dict[str, Node]) -> BandRule:
    start = _second(fields["from"]) if "from" in fields else 0
    end = _second(fields["to"]) if "to" in fields else DAY_S
    if start in (end, DAY_S):
        raise item.refuse(f"band {band!r} from {start} s to {end} s of the day", "a span of time",
                          "leave out from and to for whole days")
    if {"months", "dates"} <= set(fields):
        months, dates = _numbers(fields["months"], 1, 12, MONTHS), _numbers(fields["dates"], 1, 31)
        if min(dates) > max(_LENGTHS[month - 1] for month in months):
            raise fields["dates"].refuse(f"day {min(dates)}, which none of the months has", "a day that there is")
    return BandRule(
        band, tuple(_days(fields["days"])) if "days" in fields else tuple(range(7)), start,
        end - start if end > start else end + DAY_S - start,
        _numbers(fields["years"], 1990, 2099) if "years" in fields else None,
        _numbers(fields["months"], 1, 12, MONTHS) if "months" in fields else None,
        _numbers(fields["dates"], 1, 31) if "dates" in fields else None,
        fields["holidays"].text() if "holidays" in fields else None, item.line)


def _week(name: str, node: Node, rules: list[BandRule], otherwise: str | None) -> tuple[tuple[int, str], ...]:
    taken: list[tuple[int, int, str, int]] = []
    for rule in rules:
        for day in rule.days:
            first = day * DAY_S + rule.start
            for low, high in ((first, min(first + rule.length, WEEK_S)), (0, first + rule.length - WEEK_S)):
                if high > low:
                    taken.append((low, high, rule.band, rule.line))
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
    return tuple(s for i, s in enumerate(segments) if i == 0 or segments[i - 1][1] != s[1])


def day_profiles(timing: Timing, calendars: dict[str, frozenset[int]], file: str) -> tuple[I64, list[Profile]]:
    """(profile of each local day from FIRST_DAY to LAST_DAY, profiles), for a timing that looks at dates.

    A night belongs to the day on which it begins, so a day's profile follows from the bands of that day and of the
    day before. Raises ReferenceDataError on gaps, and on bands of one rank that overlap.
    """
    days = np.arange(FIRST_DAY - 1, LAST_DAY, dtype=np.int64)
    dates = days.astype("datetime64[D]")
    year = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    month = dates.astype("datetime64[M]").astype(np.int64) % 12 + 1
    date_of_month = (dates - dates.astype("datetime64[M]")).astype(np.int64) + 1
    held = np.zeros(days.size, np.int64)
    for place, rule in enumerate(timing.rules):
        holds = np.isin((days + 3) % 7, rule.days)  # 1970-01-01 was a Thursday
        for values, allowed in ((year, rule.years), (month, rule.months), (date_of_month, rule.dates)):
            if allowed is not None:
                holds &= np.isin(values, allowed)
        if rule.holidays is not None:
            if rule.holidays not in calendars:
                raise refuse(file, rule.line, f"calendar {rule.holidays!r} is not declared",
                             "one of " + (", ".join(calendars) or "none"), "declare it under `calendars`")
            holds &= np.isin(days, list(calendars[rule.holidays]))
        held |= holds.astype(np.int64) << place
    pairs, profile_of = np.unique(np.stack([held[:-1], held[1:]]), axis=1, return_inverse=True)
    first_of = {int(p): int(i) for i, p in reversed(list(enumerate(profile_of.ravel())))}
    found: dict[Profile, int] = {}
    places = [found.setdefault(_profile(timing, int(before), int(today), str(dates[first_of[pair] + 1]), file),
                               len(found)) for pair, (before, today) in enumerate(pairs.T.tolist())]
    return np.array(places, np.int64)[profile_of.ravel()], list(found)


def _profile(timing: Timing, before: int, today: int, day: str, file: str) -> Profile:
    """What holds on a day, given the bands (bits) that begin on the day before and on it."""
    spans = []
    for place, rule in enumerate(timing.rules):
        for bits, shift in ((before, DAY_S), (today, 0)):
            low, high = max(rule.start - shift, 0), min(rule.start + rule.length - shift, DAY_S)
            if bits >> place & 1 and high > low:
                spans.append((rule.rank, low, high, rule))
    edges = sorted({0, *(low for _, low, _, _ in spans), *(high for _, _, high, _ in spans if high < DAY_S)})
    segments: list[tuple[int, str]] = []
    for edge in edges:
        here = [(rank, rule) for rank, low, high, rule in spans if low <= edge < high]
        best = [rule for rank, rule in here if rank == min(r for r, _ in here)]
        if len(best) > 1:
            raise refuse(file, best[1].line, f"timing {timing.name!r}: band {best[1].band!r} overlaps "
                         f"{best[0].band!r} (line {best[0].line}) on {day} at {_clock(edge)}",
                         "one band of each rank at a time", "move one of the bands")
        if not best and timing.otherwise is None:
            raise refuse(file, timing.line, f"timing {timing.name!r} leaves a gap on {day} at {_clock(edge)}",
                         "bands that cover every day", "add a band with otherwise: true")
        band = best[0].band if best else str(timing.otherwise)
        if not segments or segments[-1][1] != band:
            segments.append((edge, band))
    return tuple(segments)


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


def _numbers(node: Node, least: int, most: int, names: tuple[str, ...] = ()) -> tuple[int, ...]:
    """Numbers or spans of them, such as 2026-2028, or their names."""
    found: list[int] = []
    for item in node.items():
        for part in item.text().replace(" ", "").split(","):
            first, _, last = part.partition("-")
            ends = [names.index(text) + 1 if text in names else int(text) if text.isdigit() else -1
                    for text in (first, last or first)]
            if not all(least <= end <= most for end in ends) or (ends[1] < ends[0] and not names):
                raise item.refuse(f"{part!r}", f"numbers from {least} to {most}" + (" or " + ", ".join(names)
                                                                                   if names else ""))
            found += range(ends[0], ends[1] + 1) if ends[1] >= ends[0] else [*range(ends[0], most + 1),
                                                                               *range(least, ends[1] + 1)]
    return tuple(dict.fromkeys(found))


def _clock(second: int) -> str:
    return f"{second // 3600:02d}:{second // 60 % 60:02d}"


def _spell(second: int) -> str:
    day, rest = divmod(second, DAY_S)
    return f"{DAYS[day % 7]} {rest // 3600:02d}:{rest // 60 % 60:02d}"
