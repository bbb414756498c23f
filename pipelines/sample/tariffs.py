"""What the sample operator sells: two prepaid plans, two postpaid ones, and a family plan; prices by zone and band."""

import csv
from datetime import datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from pipelines.sample.destinations import deck
from pipelines.sample.population import TIME_ZONE, Period

CURRENCY = "EUR"
PREPAID, POSTPAID = ("prepaid-basic", "prepaid-plus"), ("postpaid-smart", "postpaid-business")
FAMILY = "postpaid-family"
WRONG_PREFIX, WRONG_ZONE = "33", "satellite"  # the wrong row of the newest deck: France at the price of satellites
LOCAL = ["national", "mobile"]
ZONES_ABROAD = ["europe", "europe_mobile", "americas", "africa", "africa_mobile", "asia", "oceania", "satellite"]
PER_MINUTE = {"europe": "0.19", "europe_mobile": "0.33", "americas": "0.09", "africa": "0.45", "africa_mobile": "0.59",
              "asia": "0.29", "oceania": "0.35", "satellite": "4.99"}


def versions(when: Period) -> list[tuple[str, datetime]]:
    """Versions in force during the period: one, and a second from the middle midnight when there are several days."""
    year = when.first.year
    found = [(f"{year}-a", datetime(year - 1, 1, 1))]
    if when.days > 1:
        found.append((f"{year}-b", datetime.combine(when.first + timedelta(days=when.days // 2), time())))
    return found


def write_tariffs(folder: Path, when: Period, wrong_row: bool) -> None:
    """tariffs/<version>.yaml and decks/*.csv."""
    decks = folder / "decks"
    decks.mkdir(parents=True)
    named = versions(when)
    for number, (version, active_from) in enumerate(named):
        zones = deck()
        if wrong_row and number == len(named) - 1:
            zones[WRONG_PREFIX] = WRONG_ZONE
        with (decks / f"world-{version}.csv").open("w", encoding="utf-8", newline="") as lines:
            writer = csv.writer(lines, lineterminator="\n")
            writer.writerows([("prefix", "zone"), *sorted(zones.items())])
        content = _content(version, active_from, Decimal("1") if number == 0 else Decimal("1.10"))
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
        (folder / f"{version}.yaml").write_text(text, encoding="utf-8")


def wrong_row_interval(when: Period) -> tuple[int, int]:
    """Seconds UTC during which the version with the wrong row is in force within the period."""
    _, active_from = versions(when)[-1]
    return max(when.start_s, int(active_from.replace(tzinfo=ZoneInfo(TIME_ZONE)).timestamp())), when.end_s


def _content(version: str, active_from: datetime, factor: Decimal) -> dict[str, Any]:
    def minute(price: str, step: int = 1, connect: str = "") -> dict[str, Any]:
        rate: dict[str, Any] = {"unit": "second"}
        if connect:
            rate["connect_fee"] = connect
        scaled = str((Decimal(price) * factor).quantize(Decimal("0.0001")))
        if step == 60:
            rate["slots"] = [{"price": scaled, "per": 60, "step": 60}]
        else:
            rate["slots"] = [{"from": 0, "price": scaled, "per": 60, "step": 60},
                             {"from": 60, "price": scaled, "per": 60, "step": step}]
        return rate

    rates: dict[str, Any] = {
        "free_seconds": {"unit": "second", "free": True}, "free_octets": {"unit": "octet", "free": True},
        "local_peak": minute("0.12", connect="0.05"), "local_off_peak": minute("0.04"),
        "plus_local": minute("0.06"), "roaming_call": minute("0.25", 60, "0.10"), "roaming_received": minute("0.05"),
        "premium": minute("1.99", 60), "short": minute("0.15"),
        "sms": {"unit": "message", "slots": [{"price": "0.09"}]},
        "sms_abroad": {"unit": "message", "slots": [{"price": "0.19"}]},
        "megabytes": {"unit": "octet", "slots": [{"price": "0.01", "per": "1 MiB", "step": "10 KiB"}]},
        "streaming": {"unit": "octet", "slots": [{"price": "0.004", "per": "1 MiB", "step": "100 KiB"}]},
        "roaming_megabytes": {"unit": "octet", "slots": [{"price": "0.08", "per": "1 MiB", "step": "100 KiB"}]},
        **{f"abroad_{zone}": minute(price, 60, "0.15") for zone, price in PER_MINUTE.items()},
        **{f"business_{zone}": minute(str(Decimal(price) / 2)) for zone, price in PER_MINUTE.items()},
    }
    abroad = [{"service": "voice", "zones": [zone], "rate": f"abroad_{zone}"} for zone in ZONES_ABROAD]
    business = [{"service": "voice", "zones": [zone], "rate": f"business_{zone}"} for zone in ZONES_ABROAD]
    free_calls = [{"service": "voice", "zones": ["toll_free"], "roaming": "any", "rate": "free_seconds"},
                  {"service": "voice", "zones": ["premium"], "roaming": "any", "rate": "premium"},
                  {"service": "voice", "zones": ["short_code"], "roaming": "any", "rate": "short"}]
    # First match wins, so that what is special stands before what is general.
    rest = [{"service": "voice", "zones": "any", "roaming": "any", "rate": "roaming_call"},
            {"service": "voice", "direction": "terminating", "rate": "free_seconds"},
            {"service": "voice", "direction": "terminating", "roaming": "any", "rate": "roaming_received"},
            {"service": "sms", "zones": ZONES_ABROAD, "rate": "sms_abroad"},
            {"service": "sms", "roaming": "any", "rate": "sms"},
            {"service": "data", "zones": ["ims"], "roaming": "any", "rate": "free_octets"},
            {"service": "data", "zones": ["streaming"], "rate": "streaming"},
            {"service": "data", "rate": "megabytes"},
            {"service": "data", "roaming": "any", "rate": "roaming_megabytes"}]
    banded = [{"service": "voice", "zones": LOCAL, "timing": "working_hours",
               "rates": {"peak": "local_peak", "off_peak": "local_off_peak"}}]
    plus = [{"service": "voice", "zones": LOCAL, "rate": "plus_local"}]

    def plan(uncollected: str, prices: list[dict[str, Any]], allowances: list[dict[str, Any]]) -> dict[str, Any]:
        entry: dict[str, Any] = {"deck": "world", "uncollected": uncollected,
                                 "rounding": {"rule": "half_up", "decimals": 4, "scope": "session"}}
        if allowances:
            entry["allowances"] = allowances
        return {**entry, "prices": free_calls + prices + rest}

    def minutes(amount: int) -> dict[str, Any]:
        return {"name": "minutes", "unit": "second", "amount": f"{amount} min", "step": 60, "cycle": "month",
                "priority": 1, "services": ["voice"], "zones": LOCAL}

    def messages(amount: int) -> dict[str, Any]:
        return {"name": "messages", "unit": "message", "amount": amount, "cycle": "month", "services": ["sms"]}

    def volume(name: str, amount: str, priority: int, zones: list[str]) -> dict[str, Any]:
        return {"name": name, "unit": "octet", "amount": amount, "step": "1 KiB", "cycle": "month",
                "priority": priority, "services": ["data"], "zones": zones, "roaming": ["home", "eu"]}

    return {
        "version": version, "active_from": active_from.strftime("%Y-%m-%dT%H:%M:%S"), "time_zone": TIME_ZONE,
        "currency": CURRENCY, "decks": {"world": f"decks/world-{version}.csv"},
        "roaming": {"eu": ["208", "222", "262", "268"], "world": ["*"]},
        "data_classes": [{"class": "ims", "apns": ["ims"]}, {"class": "streaming", "rating_groups": [20]},
                         {"class": "internet"}],
        "timings": {"working_hours": [{"band": "peak", "days": "mon-fri", "from": "08:00", "to": "20:00"},
                                      {"band": "off_peak", "otherwise": True}]},
        "rates": rates,
        "plans": {
            PREPAID[0]: plan("loss", banded + abroad, []),
            PREPAID[1]: plan("loss", plus + abroad, [volume("starter", "50 MiB", 1, ["internet", "streaming"])]),
            POSTPAID[0]: plan("debt", banded + abroad,
                              [minutes(120), messages(50), volume("volume", "2 GiB", 1, ["internet", "streaming"])]),
            POSTPAID[1]: plan("debt", plus + business,
                              [minutes(600), messages(200), volume("video", "1 GiB", 1, ["streaming"]),
                               volume("volume", "10 GiB", 2, ["internet", "streaming"])]),
            FAMILY: plan("debt", plus + abroad,
                         [minutes(300), messages(300), volume("volume", "8 GiB", 1, ["internet", "streaming"])]),
        },
    }
