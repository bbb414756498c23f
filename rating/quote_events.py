"""Events of a quote: one JSON object each, read into the columns of a usage event. docs/quote.md lists the fields."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rating.quote_lines import Fields
from schemas.codes import RAT_TYPE, Direction, NumberClass, Service, Unit
from schemas.columns import ABSENT
from schemas.digits import MAX_DIGITS, pack
from schemas.timepoint import SECOND_US
from schemas.units import SERVICE_UNIT

AccountName = int | str
NumberReader = Callable[[str], tuple[int, NumberClass]]  # as written -> packed digits and class; ValueError

SERVICES = {s.name.lower(): int(s) for s in Service}
DIRECTIONS = {d.name.lower(): int(d) for d in Direction}
CLASSES = {c.name.lower(): int(c) for c in NumberClass}
_RATS = {name.lower(): number for number, name in RAT_TYPE.items()}
EVENT_FIELDS = frozenset((
    "kind", "id", "account", "account_id", "plan", "service", "direction", "time", "duration", "octets", "uplink",
    "downlink", "messages", "segments", "units", "quantity", "calling", "called", "number_class", "network", "friend",
    "category", "serving_network", "home_network", "roaming", "apn", "dnn", "rating_group", "service_identifier",
    "snssai", "rat", "session", "partial", "expect"))
# What other systems call them.
MEANT = {
    **dict.fromkeys(("destination", "b_number", "bnumber", "called_number", "called_party", "callee", "to", "dest"),
                    "called"),
    **dict.fromkeys(("source", "a_number", "anumber", "calling_number", "calling_party", "caller", "from"), "calling"),
    **dict.fromkeys(("msisdn", "subscriber", "subscriber_id", "imsi", "customer"), "account"),
    **dict.fromkeys(("start", "start_time", "timestamp", "event_time", "begin", "setup_time", "answer_time"), "time"),
    **dict.fromkeys(("seconds", "duration_s", "length", "usage_time"), "duration"),
    **dict.fromkeys(("bytes", "volume", "volume_octets", "total_octets", "total_volume"), "octets"),
    **dict.fromkeys(("bytes_up", "input_octets", "volume_uplink", "uplink_octets", "uplink_volume"), "uplink"),
    **dict.fromkeys(("bytes_down", "output_octets", "volume_downlink", "downlink_octets", "downlink_volume"),
                    "downlink"),
    **dict.fromkeys(("parts", "sms_parts", "message_parts"), "segments"),
    **dict.fromkeys(("service_units", "count", "amount", "specific_units"), "units"),
    **dict.fromkeys(("plmn", "mccmnc", "mcc_mnc", "visited_network", "vplmn", "visited_plmn", "serving_plmn"),
                    "serving_network"),
    **dict.fromkeys(("hplmn", "home_plmn"), "home_network"),
    **dict.fromkeys(("rg", "ratinggroup"), "rating_group"), **dict.fromkeys(("service_id",), "service_identifier"),
    **dict.fromkeys(("session_id", "call_id", "charging_id"), "session"),
    **dict.fromkeys(("tariff", "price_plan", "tariff_plan", "offer"), "plan"),
    **dict.fromkeys(("type", "event_type", "service_type"), "service"),
    **dict.fromkeys(("slice", "s_nssai", "nssai"), "snssai"), **dict.fromkeys(("rat_type",), "rat"),
    **dict.fromkeys(("operator", "carrier", "other_network", "terminating_network"), "network")}
EMERGENCY_ANYWHERE = ("112", "911")  # TS 22.101, clause 10.1: emergency whatever the number plan says
_MEASURES = {Unit.SECOND: ("duration",), Unit.OCTET: ("octets", "uplink", "downlink"),
             Unit.MESSAGE: ("messages", "segments"), Unit.UNIT: ("units",)}
_QUANTITIES = ("quantity", "duration", "octets", "uplink", "downlink", "messages", "segments", "units")


@dataclass(frozen=True)
class QuoteEvent:
    """One usage event as read. cells: USAGE column to value; labels hold an index into `EventReader.labels`."""

    line: int
    name: str
    account: AccountName | None
    plan: str | None
    service: Service
    other: str                 # the other party's number as E.164 digits, "" for none
    friend: bool | None        # as stated; None: whoever is on the account's list
    cells: dict[str, int]
    expect: Mapping[str, object]
    session: str = ""          # the name that the reports of one session share, "": a session of its own

    def session_key(self, account: AccountName) -> tuple[int, int]:
        """Key of the session: two accounts may use one name, and seconds are never counted behind messages."""
        named = f"{account_key(account)!r} {self.cells['service']} {self.cells['direction']} {self.session}"
        digest = hashlib.sha256(named.encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8], "little", signed=True), int.from_bytes(digest[8:16], "little", signed=True)


@dataclass
class EventReader:
    """Reads events one after the other; names that are labels are numbered as they appear.

    time_zone: of times without an offset. home: MCC * 1000 + MNC of the home networks. numbers: the number plan;
    without one, digits are E.164, with or without a plus, and anything else is the name of a sender.
    """

    time_zone: str
    home: tuple[int, ...] = ()
    numbers: NumberReader | None = None
    labels: dict[str, list[str]] = field(default_factory=lambda: {"apn": [], "other_network": [], "category": []})
    _places: dict[tuple[str, str], int] = field(default_factory=dict)

    def read(self, fields: Fields, line: int) -> QuoteEvent:
        """Raises ReferenceDataError: a field that cannot be read, or one too many."""
        fields.only(EVENT_FIELDS, MEANT)
        if not fields.has("service"):
            raise fields.missing("service", "one of " + ", ".join(SERVICES))
        if not fields.has("time"):
            raise fields.missing("time", "when the usage began, such as 2026-03-01T12:00:00")
        service = Service(fields.choice("service", SERVICES, 0))
        direction = fields.choice("direction", DIRECTIONS, int(Direction.ORIGINATING))
        time_us = fields.moment("time", self.time_zone)
        cells = {"service": int(service), "direction": direction, "event_time_us": time_us}
        self._measure(fields, service, cells)
        other = self._parties(fields, direction, cells)
        self._network(fields, cells)
        apn = fields.text("apn") or fields.text("dnn")
        if apn:  # the network identifier only: TS 23.003, clause 9.1
            cells["apn"] = self.label("apn", re.sub(r"\.mnc\d{2,3}\.mcc\d{3}\.gprs$", "", apn.lower()))
        for name in ("rating_group", "service_identifier"):
            cells[name] = fields.whole(name, most=(1 << 32) - 1)
        cells["partial_sequence"] = fields.whole("partial")
        if fields.has("rat"):
            value = fields.values["rat"]
            cells["rat_type"] = _RATS[value.lower()] if isinstance(value, str) and value.lower() in _RATS else \
                fields.whole("rat", most=255)
        for name, column in (("network", "other_network"), ("category", "category")):
            if fields.has(name):
                cells[column] = self.label(column, fields.text(name))
        if fields.has("snssai"):
            cells["snssai"] = self._slice(fields)
        return QuoteEvent(line, self._name(fields, line), account_of(fields), fields.text("plan") or None, service,
                          other, fields.flag("friend") if fields.has("friend") else None, cells, expected_of(fields),
                          fields.text("session"))

    def label(self, column: str, name: str) -> int:
        """Place of a name in the column's names; they grow as needed."""
        place = self._places.get((column, name))
        if place is None:
            names = self.labels.setdefault(column, [])
            place = self._places[column, name] = len(names)
            names.append(name)
        return place

    @staticmethod
    def _name(fields: Fields, line: int) -> str:
        value = fields.values.get("id")
        return f"line-{line}" if value is None else str(value) if type(value) is int else fields.text("id")

    @staticmethod
    def _measure(fields: Fields, service: Service, cells: dict[str, int]) -> None:
        unit = SERVICE_UNIT[service]
        for name in _QUANTITIES:
            if name != "quantity" and fields.has(name) and name not in _MEASURES[unit]:
                raise fields.refuse(name, f"a quantity that {service.name.lower()} does not count",
                                    " or ".join(repr(n) for n in _MEASURES[unit]))
        if fields.has("quantity"):
            if any(fields.has(name) for name in _MEASURES[unit]):
                raise fields.refuse("quantity", "a second quantity", f"either it or {_MEASURES[unit][0]!r}")
            quantity = (fields.seconds if unit == Unit.SECOND else fields.octets if unit == Unit.OCTET
                        else fields.whole)("quantity")
        elif unit == Unit.SECOND:
            if not fields.has("duration"):
                raise fields.missing("duration", 'seconds such as 90, or "1h2m3s"')
            quantity = fields.seconds("duration")
        elif unit == Unit.OCTET:
            sides = [name for name in ("uplink", "downlink") if fields.has(name)]
            if fields.has("octets") and sides:
                raise fields.refuse("octets", f"a second quantity beside {sides[0]!r}", "either it or the two sides")
            if not fields.has("octets") and not sides:
                raise fields.missing("octets", "octets, or uplink and downlink")
            for name in ("uplink", "downlink"):
                if fields.has(name):
                    cells[f"{name}_octets"] = fields.octets(name)
            quantity = fields.octets("octets") if fields.has("octets") else max(
                cells.get("uplink_octets", 0) + cells.get("downlink_octets", 0), 0)
        elif unit == Unit.MESSAGE:
            quantity = fields.whole("messages", default=1)
            cells["segments"] = fields.whole("segments", least=1, default=quantity)
        else:
            quantity = fields.whole("units", default=1)
        cells["quantity"], cells["unit"] = quantity, int(unit)
        if unit == Unit.SECOND:
            cells["duration_s"] = quantity
            cells["end_time_us"] = cells["event_time_us"] + min(quantity, 1 << 40) * SECOND_US

    def _parties(self, fields: Fields, direction: int, cells: dict[str, int]) -> str:
        """Other party and calling party; returns the other's digits."""
        other = "calling" if direction == Direction.TERMINATING else "called"
        packed, kind = self._number(fields, other)
        cells["other_prefix"] = packed
        cells["other_class"] = fields.choice("number_class", CLASSES, int(kind))
        caller, kind = self._number(fields, "calling")
        cells["calling_prefix"] = caller if other == "calling" or kind == NumberClass.ORDINARY else ABSENT
        return "".join(c for c in str(fields.values.get(other) or "") if c.isdigit())

    def _number(self, fields: Fields, name: str) -> tuple[int, NumberClass]:
        value = fields.values.get(name)
        if value is None:
            return ABSENT, NumberClass.NONE
        written = str(value) if type(value) is int and value >= 0 else fields.text(name)
        digits = re.sub(r"[\s().-]", "", written)
        if self.numbers is not None:
            try:
                return self.numbers(digits)
            except ValueError as problem:
                raise fields.refuse(name, repr(written), f"a number of the number plan ({problem})") from None
        if digits in EMERGENCY_ANYWHERE:
            return pack(digits), NumberClass.EMERGENCY
        plain = digits.removeprefix("+")
        if re.fullmatch(r"[0-9*#]+", plain):
            if len(plain) > MAX_DIGITS:
                raise fields.refuse(name, f"{len(plain)} digits", f"at most {MAX_DIGITS}, as E.164 has")
            return pack(plain), NumberClass.SHORT_CODE if "*" in plain or "#" in plain else NumberClass.ORDINARY
        return ABSENT, NumberClass.TEXT

    def _network(self, fields: Fields, cells: dict[str, int]) -> None:
        home = self.home
        if fields.has("home_network"):
            given = fields.values["home_network"]
            home = tuple(self._plmn(fields, "home_network", n) for n in (given if isinstance(given, list) else [given]))
        roaming = False
        if fields.has("serving_network"):
            serving = self._plmn(fields, "serving_network", fields.values["serving_network"])
            cells["serving_plmn"], roaming = serving, serving not in home
        cells["roaming"] = int(fields.flag("roaming", roaming))

    @staticmethod
    def _plmn(fields: Fields, name: str, value: object) -> int:
        text = re.sub(r"[-\s]", "", str(value)) if isinstance(value, str | int) else ""
        if not re.fullmatch(r"[0-9]{5,6}", text, re.ASCII):
            raise fields.wrong(name, 'MCC and MNC, 5 or 6 digits in quotes, such as "26201"')
        return int(text[:3]) * 1000 + int(text[3:])

    @staticmethod
    def _slice(fields: Fields) -> int:
        """SST << 32 | SD + 1 of the text SST or SST-SD, both in hexadecimal as in a tariff (TS 23.003, clause 28.4.2).

        An object is Nchf's: `sst` is a number there, `sd` hexadecimal text (TS 29.571, clause 5.4.4.2).
        """
        value = fields.values["snssai"]
        text = str(value)
        if isinstance(value, dict):
            sst = value.get("sst")
            number = isinstance(sst, int) and not isinstance(sst, bool) and sst >= 0
            text = (f"{sst:x}" if number else "") + (f"-{value['sd']}" if value.get("sd") else "")
        parts = re.fullmatch(r"([0-9a-f]{1,2})(?:-([0-9a-f]{6}))?", text.lower(), re.ASCII)
        if parts is None:
            raise fields.wrong("snssai", 'SST or SST-SD in hexadecimal, such as "1-00abcd", or {"sst": 1, '
                               '"sd": "00abcd"}')
        return int(parts[1], 16) << 32 | (int(parts[2], 16) + 1 if parts[2] else 0)


def account_key(name: AccountName) -> AccountName:
    """What makes an account: its number, also where that was written as text, as the keys of a JSON object are."""
    if isinstance(name, str) and re.fullmatch("0|[1-9][0-9]{0,18}", name, re.ASCII) and int(name) < 1 << 62:
        return int(name)
    return name


def account_of(fields: Fields, name: str = "account") -> AccountName | None:
    """The account, a number or a name; under `account_id` too."""
    given = [key for key in (name, f"{name}_id") if fields.has(key)]
    if not given:
        return None
    if len(given) == 2 and fields.values[given[0]] != fields.values[given[1]]:
        raise fields.refuse(given[0], "two different accounts", f"one of {given[0]!r} and {given[1]!r}")
    value = fields.values[given[0]]
    if type(value) is int and 0 <= value < 1 << 62:
        return value
    if isinstance(value, str) and 0 < len(value) <= 256:
        return value
    raise fields.wrong(given[0], "a number from 0 to 2^62 - 1, or a name")


def expected_of(fields: Fields, name: str = "charge") -> Mapping[str, object]:
    """What the author expects: a mapping of result fields, or the one called `name` (a charge)."""
    value = fields.values.get("expect")
    if value is None:
        return {}
    return value if isinstance(value, dict) else {name: str(value)}
