"""Which band of a timing holds an instant: by the clock on the wall of the tariff's zone."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from tests.oracle.rating.amounts import instant, listed, true

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def seconds(text):
    hours, minutes, *rest = (int(part) for part in str(text).split(":"))
    return hours * 3600 + minutes * 60 + (rest[0] if rest else 0)


def spans(value, number_of, size):
    """Numbers that `a`, `a-b` or a list of them name; a span may wrap around when there are `size` of them."""
    found = set()
    for text in listed(value):
        for part in text.replace(" ", "").split(","):
            first, _, last = part.partition("-")
            low, high = number_of(first), number_of(last or first)
            if size and high < low:
                high += size
            found |= {n % size if size else n for n in range(low, high + 1)}
    return found


def month_number(text):
    return MONTHS.index(text) if text in MONTHS else int(text) - 1


def on_day(version, band, day):
    """Whether a band begins on a local day."""
    if "days" in band and day.weekday() not in spans(band["days"], DAYS.index, 7):
        return False
    if "years" in band and day.year not in spans(band["years"], int, 0):
        return False
    if "months" in band and day.month - 1 not in spans(band["months"], month_number, 12):
        return False
    if "dates" in band and day.day not in spans(band["dates"], int, 0):
        return False
    return "holidays" not in band or day.isoformat() in {str(d) for d in version["calendars"][band["holidays"]]}


def rank(band):
    if "holidays" in band:
        return 0
    return 1 if {"years", "months", "dates"} & set(band) else 2


def band_at(version, timing, us):
    """Name of the band that holds an instant."""
    local = instant(us).astimezone(ZoneInfo(version["time_zone"]))
    second = local.hour * 3600 + local.minute * 60 + local.second
    today, yesterday = local.date(), local.date() - timedelta(days=1)
    bands = version["timings"][timing]
    for band in sorted((b for b in bands if not true(b.get("otherwise"))), key=rank):
        start, end = seconds(band.get("from", "00:00")), seconds(band.get("to", "24:00"))
        if start < end and start <= second < end and on_day(version, band, today):
            return band["band"]
        if start > end and ((second >= start and on_day(version, band, today))
                            or (second < end and on_day(version, band, yesterday))):
            return band["band"]
    return next(band["band"] for band in bands if true(band.get("otherwise")))
