"""Strategies for whole rating worlds: tariffs, decks, accounts that share, events around awkward instants."""

from fractions import Fraction

from hypothesis import strategies as st

from schemas.timepoint import parse_time
from tests.oracle.rating import Account, Oracle

HOUR_US = 3_600_000_000
ACTIVE = parse_time("2026-03-01T00:00:00+00:00")
SECOND_VERSION = parse_time("2026-03-28T22:30:00+00:00")
INSTANTS = [parse_time(t) for t in (
    "2026-03-28T22:59:30+00:00", "2026-03-29T00:58:00+00:00", "2026-10-24T23:57:00+00:00",
    "2026-10-25T00:59:00+00:00", "2026-04-30T21:59:00+00:00", "2027-02-28T22:58:00+00:00", "2026-06-01T05:59:00+00:00")]
ZONES = ["near", "far", "off"]
TIMINGS = {
    "hours": [{"band": "peak", "days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "20:00"},
              {"band": "calm", "otherwise": "true"}],
    "nights": [{"band": "night", "from": "22:00", "to": "06:00"}, {"band": "day", "otherwise": "true"}],
    "dst": [{"band": "peak", "from": "02:00", "to": "02:30"}, {"band": "calm", "from": "02:30", "to": "03:00"},
            {"band": "night", "days": ["sat", "sun"], "from": "00:00", "to": "02:00"},
            {"band": "day", "otherwise": "true"}],
}
UNIT = {"voice": "second", "sms": "message", "data": "octet"}
money = st.integers(0, 300).map(lambda n: f"{n / 100:.2f}") | st.sampled_from(["0.0001", "0.00333", "1.999999999"])

cents = st.integers(0, 50).map(lambda n: f"{n / 100:.2f}")


@st.composite
def rates(draw, unit):
    if draw(st.integers(0, 9)) == 0:
        return {"unit": unit, "free": "true"}
    starts = [0, *sorted(draw(st.sets(st.sampled_from([1, 10, 30, 60, 61, 300]), max_size=2)))]
    if unit == "octet":  # real prices: by the octet at cents would reach 2^62 within a session
        slots = [{"from": str(start * 1000), "price": draw(cents), "per": draw(st.sampled_from(["1 MiB", "1 MB"])),
                  "step": draw(st.sampled_from(["1000", "4 KiB", "777"]))} for start in starts]
    else:
        slots = [{"from": str(start), "price": draw(money), "per": draw(st.sampled_from(["1", "60", "7"])),
                  "step": draw(st.sampled_from(["1", "6", "60", "7"]))} for start in starts]
    rate = {"unit": unit, "slots": slots}
    if draw(st.booleans()):
        rate["connect_fee"] = draw(money)
    if draw(st.integers(0, 3)) == 0:
        rate["minimum_charge"] = draw(money)
    return rate


@st.composite
def plans(draw, service_rates):
    prices = []

    def price(service, **scope):
        rule = {"service": service, **scope}
        names = service_rates[service]
        if service != "sms" and draw(st.booleans()):
            timing = draw(st.sampled_from(sorted(TIMINGS)))
            bands = {band["band"] for band in TIMINGS[timing]}
            rule |= {"timing": timing, "rates": {band: draw(st.sampled_from(names)) for band in sorted(bands)}}
        else:
            rule["rate"] = draw(st.sampled_from(names))
        prices.append(rule)

    price("voice", zones=["near"])
    price("voice", zones="any")
    if draw(st.booleans()):
        price("voice", zones="any", roaming="any")
        price("voice", direction="terminating")
        price("voice", zones=["premium"], roaming="any")
    price("sms", roaming="any")
    price("data", zones=["web"])
    if draw(st.booleans()):
        price("data", roaming=["eu"])
        price("data", zones=["web", "video"], roaming="any")
    allowances = []
    for number, service in enumerate(draw(st.lists(st.sampled_from(sorted(UNIT)), max_size=10))):
        scope = {"zones": [["near"], "any", None][number % 3]} if service == "voice" else {"zones": None}
        amount = draw(st.integers(1, 400)) * (1000 if service == "data" else 1)
        allowance = {"name": f"a{number}", "unit": UNIT[service], "amount": str(amount),
                     "cycle": draw(st.sampled_from(["none", "day", "month"])), "services": [service],
                     "priority": draw(st.integers(0, 3)),
                     "step": draw(st.sampled_from(["1000", "512"] if service == "data" else ["1", "60", "7"]))}
        allowances.append(allowance | {k: v for k, v in scope.items() if v is not None})
    return {"deck": "main", "uncollected": draw(st.sampled_from(["debt", "loss"])), "prices": prices,
            "allowances": allowances,
            "rounding": {"rule": draw(st.sampled_from(["up", "down", "half_up", "half_even"])),
                         "decimals": str(draw(st.integers(0, 5))), "scope": "session"}}


@st.composite
def tariffs(draw):
    """(versions, decks) as the oracle takes them and `write_tariffs` writes them."""
    versions, decks = [], {}
    for name, start in (("v1", ACTIVE), ("v2", SECOND_VERSION)):
        rate_table, by_service = {}, {}
        for service, unit in UNIT.items():
            by_service[service] = [f"{service}{i}" for i in range(draw(st.integers(1, 3)))]
            rate_table |= {rate: draw(rates(unit)) for rate in by_service[service]}
        versions.append({
            "version": name, "active_from_us": start, "time_zone": draw(st.sampled_from(["Europe/Berlin", "UTC"])),
            "currency": "EUR", "roaming": {"eu": ["208", "20404"], "rest": ["310"]},
            "data_classes": [{"class": "video", "rating_groups": [7]}, {"class": "ims", "apns": ["ims"]},
                             {"class": "web"}],
            "timings": TIMINGS, "rates": rate_table,
            "plans": {plan: draw(plans(by_service)) for plan in ("basic", "family")}})
        decks[name, "main"] = {p: draw(st.sampled_from(ZONES)) for p in draw(
            st.sets(st.sampled_from(["4", "49", "491", "4915", "1", "12", "33", "491511"]), min_size=2))} | {
                "7": "near"}
    return versions, decks


@st.composite
def account_rows(draw):
    """Five accounts: two alone, a family of two and who pays for them. Account 5 has no plan in between."""
    rows = []
    for number in range(1, 6):
        plans_over_time = [(ACTIVE, draw(st.sampled_from(["basic", "family"])))]
        if draw(st.booleans()):
            plans_over_time.append((SECOND_VERSION, draw(st.sampled_from(["basic", "family"]))))
        if number == 5:
            plans_over_time += [(INSTANTS[4], None), (INSTANTS[5], "basic")]
        rows.append({"account_id": number, "opening": draw(money), "credit": draw(st.sampled_from(["0", "1.50"])),
                     "plans": plans_over_time, "zone": draw(st.sampled_from(["Europe/Berlin", "America/New_York"])),
                     "anchor": draw(st.sampled_from([1, 15, 29, 30, 31])), "shared": 4 if number in (2, 3) else None})
    return rows


@st.composite
def events(draw, count=25):
    found = []
    for number in range(draw(st.integers(1, count))):
        service = draw(st.sampled_from(["voice", "voice", "sms", "data"]))
        event = {"id": number + 1, "service": service, "account_id": draw(st.integers(1, 6)),
                 "direction": draw(st.sampled_from(["originating", "originating", "terminating", "forwarded"])),
                 "time_us": draw(st.sampled_from(INSTANTS)) + draw(st.integers(-200, 400)) * 1_000_000
                 + draw(st.sampled_from([0, 0, 1, 999_999])),
                 "quantity": draw(st.integers(0, {"sms": 3, "voice": 700, "data": 700_000}[service])),
                 "plmn": draw(st.sampled_from([None, None, "20801", "20404", "20405", "31026"]))}
        if service == "data":
            event |= {"rating_group": draw(st.sampled_from([1, 7])), "apn": draw(st.sampled_from(["ims", "Internet"]))}
        else:
            numbers = ["4915112345", "49123456", "122222", "3311", "7", "81234", "112"]
            event |= {"number": draw(st.sampled_from(numbers)),
                      "other_class": draw(st.sampled_from(["ordinary"] * 5 + ["emergency", "toll_free", "premium"]))}
        if draw(st.booleans()):
            event["session"] = draw(st.integers(0, 3)) * 10 + event["account_id"]
        found.append(event)
    return found


def oracle_of(versions, decks, rows, lateness_us, horizon_us):
    accounts = {r["account_id"]: Account(r["account_id"], Fraction(r["opening"]), Fraction(r["credit"]), r["plans"],
                                         r["zone"], r["anchor"], r["shared"]) for r in rows}
    return Oracle(versions, decks, accounts, lateness_us, horizon_us)
