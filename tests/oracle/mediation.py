"""Mediation, slow and obvious: strings, dictionaries and lists. Shares no code with the product.

Takes the rows of `tests.small_operator` (packed digits are unpacked here by hand) and gives, in order, what becomes of
every container. One record at a time, as the laws say; nothing here knows of batches.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

ABSENT = -1
SECOND = 1_000_000
INTERNATIONAL, NATIONAL, NETWORK_SPECIFIC, SHORT_CODE = 1, 2, 3, 4
FINAL = {0, 3, 4, 5}


def digits(packed: int) -> str:
    text = ""
    while packed > 0:
        text = "0123456789*#abc"[packed % 16 - 1] + text
        packed //= 16
    return text


def e164(number: str, kind: int, plan: dict[str, Any]) -> tuple[str, str]:
    """(number, class): class as in NumberClass, or "bad"."""
    if not number:
        return "", "none"
    if number in plan["emergency"]:
        return number, "emergency"
    short = plan["short_code_digits"]
    if not number.isdigit() or kind == SHORT_CODE or (kind == NETWORK_SPECIFIC and len(number) <= short["max"]):
        return number, "bad" if kind in (INTERNATIONAL, NATIONAL) else "short_code"
    country, away, home = plan["country_code"], plan["international_prefix"], plan["national_prefix"]
    if kind != NATIONAL and number.startswith(away) and len(number) > len(away):
        full, known = number[len(away):], False
    elif kind == INTERNATIONAL:
        full, known = number, False
    elif home and number.startswith(home) and len(number) > len(home):
        full, known = country + number[len(home):], True
    elif short["min"] <= len(number) <= short["max"]:
        return number, "short_code"
    elif kind == NATIONAL or plan.get("plain") == "national":
        full, known = country + number, True
    else:
        full, known = number, False
    if not plan["number_digits"]["min"] <= len(full) <= plan["number_digits"]["max"] or (not known and full[0] == "0"):
        return number, "bad"
    for key, name in (("toll_free", "toll_free"), ("premium", "premium")):
        if any(full.startswith(country + p) for p in plan[key]):
            return full, name
    return full, "ordinary"


def at_time(rows: list[dict[str, Any]], time: int) -> list[dict[str, Any]]:
    """Rows of the inventory that hold at a time, by what is known now."""
    return [r for r in rows if r["valid_from"] <= time and (r["valid_to"] is None or time < r["valid_to"])
            and r["recorded_to"] is None]


def holder(reference: Any, imsi: str, msisdn: str, time: int) -> tuple[str, int]:
    """("ok", account) or the reason why there is none."""
    for kind, value in (("imsi", imsi), ("msisdn", msisdn)):
        ever = [r for r in reference.resources if r["kind"] == kind and r["value"] == value]
        if value and ever:
            for resource in at_time(ever, time):
                mine = [s for s in reference.services if s["service_id"] == resource["service_id"]]
                for service in at_time(mine, time):
                    return "ok", service["account_id"]
            return "not_subscribed_then", ABSENT
    return "unknown_subscriber", ABSENT


def network(reference: Any, number: str, kind: str, time: int) -> str | None:
    if kind not in ("ordinary", "toll_free", "premium"):
        return None
    for row in at_time([p for p in reference.ported if p["number"] == number], time):
        return str(row["network"])
    fitting = [n for n in reference.number_plan["networks"] if number.startswith(n["prefix"])]
    return max(fitting, key=lambda n: len(n["prefix"]))["network"] if fitting else None


@dataclass
class Session:
    numbers: set[int] = field(default_factory=set)
    final: int | None = None
    released: bool = False
    deadline: int = 0
    arrival: int = 0
    held: dict[tuple[int, ...], dict[str, Any]] = field(default_factory=dict)

    def missing(self) -> bool:
        return any(n not in self.numbers for n in range(1, max(self.numbers, default=0)))

    def complete(self) -> bool:
        return self.final is not None and not self.missing()


@dataclass
class Partials:
    """Sessions of one stream. policy: of streams.yaml's merge."""

    merges: bool
    timeout_s: int
    cycle: str = "none"
    zone: str = "Europe/Berlin"
    sessions: dict[Any, Session] = field(default_factory=dict)
    clock: int | None = None
    arrivals: int = 0

    def take(self, record: list[dict[str, Any]], time: int, out: list[tuple[str, dict[str, Any]]]) -> None:
        """One record's events (session, sequence, cause, quantity, ...), appended to `out` with their fate."""
        self.advance(time, out)
        head = record[0]
        key, number, final = head["session"], head["sequence"], head["cause"] in FINAL
        session = self.sessions.get(key)
        if session is None:
            if number == ABSENT and (final or not self.merges):
                out.extend(("usage", e) for e in record if not e.get("silent"))
                return
            session = self.sessions[key] = Session()
        if number != ABSENT and number in session.numbers:
            out.extend(("overlap", e) for e in record if not e.get("silent"))
            return
        if number != ABSENT:
            session.numbers.add(number)
        self.arrivals += 1
        session.arrival, session.deadline = self.arrivals, self.clock + self.timeout_s * SECOND
        if final:
            session.final = number
        for event in record:
            if event.get("silent"):
                continue
            if not self.merges or session.released:
                out.append(("usage", event))
                continue
            group = (event["rating_group"], event["service_identifier"], event["plmn"])
            kept = session.held.get(group)
            if kept is None:
                session.held[group] = dict(event)
            else:
                out.append(("merged", event))
                kept["quantity"] += event["quantity"]
                kept["count"] += 1
                kept["end"] = max(kept["end"], event["end"])
                kept["start"] = min(kept["start"], event["start"])
                kept["sequence"] = max(kept["sequence"], event["sequence"])
        if self.merges and not session.released and session.complete():
            self.release(session, False, out)
            session.released = True

    def release(self, session: Session, incomplete: bool, out: list[tuple[str, dict[str, Any]]]) -> None:
        out.extend(("usage", session.held[group] | {"incomplete": incomplete}) for group in sorted(session.held))
        session.held.clear()

    def advance(self, time: int, out: list[tuple[str, dict[str, Any]]]) -> None:
        if self.clock is None:
            self.clock = time
        while True:
            waiting = sorted(self.sessions.items(), key=lambda item: item[1].arrival)
            due = [(key, s) for key, s in waiting if s.deadline <= time]
            midnight = self.midnight(self.clock)
            if midnight is not None and midnight <= time and (not due or midnight < due[0][1].deadline):
                self.clock = midnight
                for _, session in waiting:
                    self.release(session, session.missing(), out)
                continue
            if not due:
                break
            key, session = due[0]
            self.clock = max(self.clock, session.deadline)
            if self.merges and not session.released:
                self.release(session, not session.complete(), out)
                session.released = True
                self.arrivals += 1
                session.arrival, session.deadline = self.arrivals, self.clock + self.timeout_s * SECOND
            else:
                del self.sessions[key]
        self.clock = max(self.clock, time)

    def midnight(self, after: int) -> int | None:
        """The next end of a day; months are tested by hand."""
        if self.cycle != "day" or not self.merges:
            return None
        for step in range(1, 50):
            moment = datetime.fromtimestamp(after // SECOND + 3600 * step, ZoneInfo(self.zone))
            end = int(moment.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) * SECOND
            if end > after:
                return end
        raise AssertionError("a day ends within two days")
