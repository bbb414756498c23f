"""Whole rating worlds from one source of randomness: tariffs, decks, accounts that share, events, commands.

Every choice is a `random.Random`'s, so that a seed is a world; `FEATURES` says what can be left out. Instants are
awkward ones: nights of daylight saving, ends of months, changes of version.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from schemas.timepoint import format_time, parse_time
from tests.oracle.rating import Account, Oracle

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
ACTIVE = parse_time("2026-03-01T00:00:00+00:00")
SECOND_VERSION = parse_time("2026-03-28T22:30:00+00:00")
INSTANTS = [parse_time(t) for t in (
    "2026-03-28T22:59:30+00:00", "2026-03-29T00:58:00+00:00", "2026-10-24T23:57:00+00:00",
    "2026-10-25T00:59:00+00:00", "2026-04-30T21:59:00+00:00", "2027-02-28T22:58:00+00:00", "2026-06-01T05:59:00+00:00")]
LATENESS_S, HORIZON_S = 3 * 86_400, 5 * 86_400
ZONES = ["near", "far", "off"]
FEATURES = frozenset((
    "minimum_quantity", "maximum", "flat", "free_quantity", "straddling", "dates", "friends", "network", "category",
    "calling", "valid", "segment", "services", "classes", "report", "day", "counters", "over", "volume", "discounts",
    "happy", "tax", "exchange", "fallback", "plans", "money_buckets", "own_price", "blocking", "member_cap", "bands",
    "rollover", "week", "granted", "late", "commands", "fees", "states", "legs"))
TIMINGS = {
    "hours": [{"band": "peak", "days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "20:00"},
              {"band": "calm", "otherwise": "true"}],
    "nights": [{"band": "night", "from": "22:00", "to": "06:00"}, {"band": "day", "otherwise": "true"}],
    "dst": [{"band": "peak", "from": "02:00", "to": "02:30"}, {"band": "calm", "from": "02:30", "to": "03:00"},
            {"band": "night", "days": ["sat", "sun"], "from": "00:00", "to": "02:00"},
            {"band": "day", "otherwise": "true"}],
}
DATED = {
    "feasts": [{"band": "feast", "holidays": "feasts"}, {"band": "night", "from": "22:00", "to": "06:00"},
               {"band": "day", "otherwise": "true"}],
    "season": [{"band": "late", "months": ["sep-feb"], "from": "23:00", "to": "03:00"},
               {"band": "spring", "months": ["3", "apr"], "dates": ["28-31"], "years": ["2026-2027"]},
               {"band": "sunday", "days": "sun"}, {"band": "rest", "otherwise": "true"}],
}
CALENDARS = {"feasts": ["2026-03-29", "2026-05-01", "2026-10-25", "2026-12-25"]}
UNIT = {"voice": "second", "sms": "message", "data": "octet"}
MORE = {"mms": "message", "content": "unit", "generic": "unit"}


@dataclass
class World:
    versions: list
    decks: dict
    rows: list                     # accounts
    steps: list                    # events, and commands (which have a "kind")
    features: frozenset = FEATURES

    @property
    def events(self):
        return [step for step in self.steps if "kind" not in step]


@dataclass
class Maker:
    """Draws one version of a tariff."""

    r: object
    on: frozenset
    name: str
    rate_table: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)     # service -> lists of rates that may stand in one price

    def has(self, feature, one_in=2):
        return feature in self.on and self.r.randrange(one_in) == 0

    def money(self):
        return self.r.choice([f"{self.r.randrange(301) / 100:.2f}", "0.0001", "0.00333", "1.999999999", "0", "0.6"])

    def cents(self):
        return f"{self.r.randrange(51) / 100:.2f}"

    def rate(self, unit, straddling="begin", over=None, tiers=None):
        r = self.r
        if r.randrange(10) == 0 and not over and not tiers and straddling == "begin":
            return {"unit": unit, "free": "true"}
        starts = [0, *sorted(r.sample([1, 10, 30, 60, 61, 300], r.randrange(3)))]
        octets = unit == "octet"  # real prices: by the octet at cents would reach 2^62 within a session
        per, step = r.choice(["1 MiB", "1 MB"] if octets else ["1", "60", "7"]), None
        slots = []
        for start in starts:
            if not tiers or step is None:
                step = r.choice(["1000", "4 KiB", "777"] if octets else ["1", "6", "60", "7"])
            slot = {"from": str(start * (1000 if octets else 1))}
            if "flat" in self.on and not tiers and straddling != "split" and r.randrange(4) == 0:
                slot["flat"] = self.cents()
            else:
                slot |= {"price": self.cents() if octets else self.money(), "per": per, "step": step}
                per = per if tiers else r.choice(["1 MiB", "1 MB"] if octets else ["1", "60", "7"])
            slots.append(slot)
        rate = {"unit": unit, "slots": slots}
        if r.randrange(2):
            rate["connect_fee"] = self.money()
        if not over and r.randrange(4) == 0:
            rate["minimum_charge"] = self.cents()
        if not over and self.has("minimum_quantity", 4):
            rate["minimum_quantity"] = str(r.choice([1, 7, 30, 90]) * (1000 if octets else 1))
        if self.has("maximum", 4):
            rate["maximum_charge"] = r.choice(["0.5", "3", "1.23", "12.5"])
            rate["at_maximum"] = "free" if tiers else r.choice(["free", "disconnect"])
        if not tiers and self.has("free_quantity", 4):
            rate["free_quantity"] = str(r.choice([1, 5, 30, 61]) * (1000 if octets else 1))
        if straddling != "begin":
            rate["straddling"] = straddling
        if over:
            rate["over"] = over
        if tiers:
            rate["tiers"] = tiers
        if self.has("exchange", 5):
            rate["currency"] = "USD"
        return rate

    def make_rates(self, units):
        for service, unit in units.items():
            kinds = [{}]
            if self.has("straddling"):
                kinds.append({"straddling": self.r.choice(["split", "session_start"])})
            if self.has("over"):
                kinds.append({"over": f"all_{service}"})
            if service in ("content", "generic") and self.has("volume"):
                kinds.append({"tiers": "volume"})
                if self.has("over"):
                    kinds.append({"tiers": "volume", "over": f"all_{service}"})
            self.groups[service] = []
            for number, kind in enumerate(kinds):
                names = [f"{service}{number}{letter}" for letter in "abc"[: 1 if "tiers" in kind
                                                                          else self.r.randint(1, 3)]]
                self.rate_table |= {name: self.rate(unit, **kind) for name in names}
                self.groups[service].append(names)

    def price(self, service, timings, **scope):
        rule, names = {"service": service, **scope}, self.r.choice(self.groups[service])
        volume = "tiers" in self.rate_table[names[0]]
        if service != "sms" and not volume and self.r.randrange(2):
            timing = self.r.choice(sorted(timings))
            bands = {band["band"] for band in timings[timing]}
            return rule | {"timing": timing, "rates": {band: self.r.choice(names) for band in sorted(bands)}}
        return rule | {"rate": self.r.choice(names)}

    def prices(self, units, timings, whole=True):
        found, wide = [], {"zones": "any"}

        def add(service, **scope):
            found.append(self.price(service, timings, **scope))

        if whole or self.r.randrange(2):
            add("voice", zones=["near"])
            add("voice", **wide)
        if self.r.randrange(2):
            add("voice", **wide, roaming="any")
            add("voice", direction="terminating")
            add("voice", zones=["premium"], roaming="any")
        if whole or self.r.randrange(2):
            add("sms", roaming="any")
        for service in ("voice", "sms"):
            if self.has("friends"):
                add(service, **wide, friends="true")
            if self.has("network"):
                add(service, **wide, network=self.r.choice(["on_net", "off_net"]))
            if self.has("category"):
                add(service, **wide, categories=self.r.choice([["gold"], ["gold", "plain"]]), roaming="any")
            if self.has("calling"):
                add(service, zones=["near"], calling_zones=[self.r.choice(ZONES)])
            if self.has("valid"):
                add(service, **({"zones": ["near"]} if service == "voice" else {}), valid=self.validity(), **(
                    {} if service == "voice" else {"roaming": "any"}))
        if whole or self.r.randrange(2):
            add("data", zones=["web"])
        if self.r.randrange(2):
            add("data", roaming=["eu"])
            add("data", zones=["web", "video"], roaming="any")
        if self.has("category"):
            add("data", zones=["web"], categories="gold")
        for service in sorted(set(units) - set(UNIT)):
            add(service, roaming="any", direction="any")
        return found

    def validity(self):
        instant = self.r.choice(INSTANTS)
        return self.r.choice([{"from": format_time(instant)}, {"to": format_time(instant)},
                              {"from": format_time(instant), "to": format_time(instant + 90_000_000)}])

    def scope(self, service):
        """More keys that narrow what is no price."""
        r, scope = self.r, {}
        if r.randrange(3) == 0:
            scope["roaming"] = r.choice(["any", ["home", "eu"]])
        if self.has("friends", 6):
            scope["friends"] = "true"
        if self.has("network", 6):
            scope["network"] = r.choice(["on_net", "off_net"])
        if self.has("category", 6):
            scope["categories"] = ["gold"]
        if self.has("calling", 6):
            scope["calling_zones"] = ["near", "off"]
        if self.has("valid", 6):
            scope["valid"] = self.validity()
        if service == "voice" and r.randrange(4) == 0:
            scope["direction"] = "any"
        return scope

    def bands(self, timings):
        timing = self.r.choice(sorted(timings))
        bands = sorted({band["band"] for band in timings[timing]})
        return {"timing": timing, "bands": self.r.sample(bands, self.r.randint(1, len(bands) - 1))}

    def bucket(self, number, service, unit, timings):
        """What allowances and granted buckets share."""
        r = self.r
        scope = {"zones": [["near"], "any", None][number % 3]} if service == "voice" else {"zones": None}
        size = r.randint(1, 400) * (1000 if service == "data" else 1)
        found = {"unit": unit, "amount": str(size), "services": [service], "priority": str(r.randrange(4)),
                 "step": r.choice(["1000", "512"] if service == "data" else ["1", "60", "7"]), **self.scope(service),
                 **{k: v for k, v in scope.items() if v is not None}}
        if self.has("money_buckets", 4):
            found |= {"unit": "money", "amount": r.choice(["0.5", "2", "0.0333", "7.25"])}
            del found["step"]
        elif self.has("own_price", 4):
            found |= {"price": r.choice(["0.01", "0.5"]), "per": "1 MB" if service == "data" else r.choice(["1", "60"])}
        if self.has("blocking", 6):
            found["blocking"] = "true"
        if self.has("member_cap", 4) and found["unit"] != "money":
            found["member_cap"] = str(max(1, size // r.randint(1, 5)))
        if self.has("bands", 4):
            found |= self.bands(timings)
        return found

    def allowances(self, units, timings):
        found = []
        for number in range(self.r.choice([0, 1, 2, 3, 5, 10])):
            service = self.r.choice(sorted(set(units) - {"content", "generic"}))
            cycles = ["none", "day", "month", *(["week"] if "week" in self.on else [])]
            allowance = {"name": f"a{number}", "cycle": self.r.choice(cycles),
                         **self.bucket(number, service, units[service], timings)}
            if allowance["cycle"] != "none" and self.has("rollover", 2):
                allowance["rollover"] = {"cap": "1" if allowance["unit"] == "money" else str(self.r.choice(
                    [3, 50, 10**6])), "order": self.r.choice(["before", "after"])}
            found.append(allowance)
        return found

    def plan(self, units, timings, fallback, version, whole=True, **more):
        r = self.r
        plan = {"deck": "main", "uncollected": r.choice(["debt", "loss"]), **more,
                "prices": self.prices(units, timings, whole), "allowances": self.allowances(units, timings),
                "rounding": {"rule": r.choice(["up", "down", "half_up", "half_even"]), "decimals": str(r.randrange(6)),
                             "scope": r.choice(["session", *sorted({"report", "day"} & self.on)])}}
        if fallback:
            plan["fallback"] = fallback
        if self.has("tax"):
            plan["tax"] = {"percent": r.choice(["19", "7.7", "20", "0"]),
                           "prices": r.choice(["inclusive", "exclusive"])}
        if version["discounts"]:
            plan["discounts"] = [d for d in version["discounts"] if r.randrange(2)]
        if version["counters"]:
            plan["counters"] = [c for c in version["counters"] if c.startswith("all_") or r.randrange(2)]
        if version["fees"]:
            plan["fees"] = [f for f in version["fees"] if r.randrange(2)]
        if "late" in self.on:
            plan["late_usage"] = r.choice(["pay", "current_cycle", "suspend"])
        return plan

    def discounts(self, timings):
        found = {}
        if self.has("happy"):
            for name in ("happy", "happier")[: self.r.randint(1, 2)]:
                found[name] = {"percent": self.r.choice(["50", "10", "100"]), "services": ["voice", "data"],
                               **self.bands(timings), **self.scope("sms")}
        if "discounts" in self.on:
            for number in range(self.r.randrange(4)):
                service = self.r.choice(["voice", "sms", "data"])
                found[f"d{number}"] = self.r.choice([
                    {"percent": self.r.choice(["10", "33.5", "100"])}, {"percent": "50", "cap": "0.25"},
                    {"amount": "0.10"}]) | {"service": service} | self.scope(service)
                if self.has("exchange", 5):
                    found[f"d{number}"]["currency"] = "USD"
        return found

    def counters(self, units):
        cycles = ["day", "month", *(["week"] if "week" in self.on else [])]
        found = {}
        if "over" in self.on:
            for service, unit in units.items():
                found[f"all_{service}"] = {"unit": unit, "services": [service], "cycle": self.r.choice(cycles),
                                           "roaming": "any", "direction": "any"}
        if "counters" in self.on:
            for number in range(self.r.randrange(4)):
                service = self.r.choice(["voice", "sms", "data"])
                kind, marks = self.r.choice([({"unit": units[service], "services": [service]}, ["5", "100", "300000"]),
                                             ({"charge": "true"}, ["0.5", "3", "10.01"]),
                                             ({"events": "true"}, ["1", "2", "5"])])
                found[f"c{number}"] = kind | {"cycle": self.r.choice(cycles), "thresholds": marks} | self.scope(service)
        return found


def make_version(r, on, name, start):
    """One version, in the order in which its file is written."""
    make = Maker(r, on, name)
    units = dict(UNIT) | (MORE if "services" in on else {})
    if make.has("segment"):
        units |= {"sms": "segment"}
    timings = dict(TIMINGS) | (DATED if make.has("dates") else {})
    make.make_rates(units)
    version = {"version": name, "active_from_us": start, "time_zone": r.choice(["Europe/Berlin", "UTC"]),
               "currency": "EUR", "roaming": {"eu": ["208", "20404"], "rest": ["310"]},
               "data_classes": data_classes(make), "timings": timings, "rates": make.rate_table}
    if "exchange" in on:
        version["exchange"] = [{"from": "USD", "to": "EUR", "rate": "0.8", "valid_from": "2026-01-01T00:00:00"},
                               {"from": "USD", "to": "EUR", "rate": "1.25", "valid_from": format_time(INSTANTS[0])}]
    if "network" in on:
        version["own_networks"] = ["ours", "theirs-too"]
    if "dates" in on:
        version["calendars"] = CALENDARS
    version["discounts"], version["counters"] = make.discounts(timings), make.counters(units)
    version["fees"] = {}
    if "fees" in on:
        line = {"currency": "USD"} if make.has("exchange", 3) else {}
        version["fees"] = {"line": {"amount": "9.99", "cycle": r.choice(["month", "day"]), "prorate": "true"} | line,
                           "once": {"amount": "5", "cycle": "none"}, "rent": {"amount": "0.50", "cycle": "month"}}
    if "granted" in on:
        services = r.choice([["voice"], ["voice", "data"], ["voice", "sms", "voice"]])
        version["buckets"] = {f"b{n}": make.bucket(n, s, units[s], timings) | r.choice([{}, {"validity": "2 d"}])
                              for n, s in enumerate(services)}
    if "commands" in on:
        version["top_ups"] = [{"from": "1", "to": "2", "bonus": "0.5"}, {"from": "5", "bonus_percent": "3.3",
                                                                         "extends_validity": "30 d"}]
    if "states" in on:
        version["states"] = {"active": {"after": {"period": "10 d", "then": "one_way"}},
                             "one_way": {"after": {"period": "20 d", "then": "barred"}},
                             "barred": {"permits": ["sms", "voice:terminating"], "refusal": "4012"}}
    version["plans"] = {}
    for plan, fallback in (("basic", None), ("family", "basic"), ("extra", None), ("carrier", None)):
        fallback = fallback if make.has("fallback") else None
        if plan in ("basic", "family") or (plan == "extra" and "plans" in on) or "legs" in on:
            version["plans"][plan] = make.plan(units, timings, fallback, version, plan == "basic" or not fallback)
    if "exchange" in on:  # what charges in a currency that is not the version's
        dollar = version["plans"]["dollar"] = make.plan(units, timings, None, version, currency="USD")
        dollar["allowances"] = [a for a in dollar["allowances"] if a["unit"] != "money"]
    if "legs" in on:
        version["legs"] = [{"leg": "interconnect", "accounts": {"theirs": "7", "other": "8"}, "plan": "carrier",
                            "services": ["voice", "sms"]},
                           {"leg": "reseller", "account": "7", "plan": "carrier", "zones": ["near", "web"]},
                           {"leg": "parent", "account": "1", "plan": "basic", "roaming": "any", "direction": "any",
                            **({"friends": "true"} if make.has("friends") else {}),
                            **({"network": "off_net"} if make.has("network") else {})},
                           {"leg": "gone", "accounts": {"ours": "9", "theirs": "8"}, "plan": "carrier"}]
    return {k: v for k, v in version.items() if v != {}}


def data_classes(make):
    found = [{"class": "video", "rating_groups": [7]}, {"class": "ims", "apns": ["ims"]}, {"class": "web"}]
    if make.has("classes"):
        found[:0] = [{"class": "video", "snssais": ["1-00abcd", "2"], "rats": [6, 51]},
                     {"class": "ims", "service_identifiers": [3], "networks": ["208"]}]
    if make.has("category"):
        found[-1]["category"] = "gold"
    return found


def make_accounts(r, on):
    """Five accounts: two alone, a family of two and who pays for them. Account 5 has no plan in between."""
    rows = []
    for number in range(1, 6):
        plans = [(ACTIVE, r.choice(["basic", "family"]))]
        if r.randrange(2):
            plans.append((SECOND_VERSION, "family" if plans[0][1] == "basic" else "basic"))
        if number == 5:
            plans += [(INSTANTS[4], None), (INSTANTS[5], "basic")]
        dollar = "exchange" in on and number == 1 and r.randrange(2)
        if dollar:
            plans = [(ACTIVE, "dollar")]
        row = {"account_id": number, "currency": "USD" if dollar else "EUR",
               "opening": r.choice(["0", "0.5", "2.75", "3", "100"]), "credit": r.choice(["0", "1.50"]), "plans": plans,
               "zone": r.choice(["Europe/Berlin", "America/New_York"]),
               "anchor": r.choice([1, 15, 29, 30, 31]), "shared": 4 if number in (2, 3) else None}
        if "plans" in on and r.randrange(2):
            row |= {"priority": 10, "more_plans": [(r.choice([5, 20]), "extra", ACTIVE, r.choice([None, INSTANTS[3]]))]}
        if "friends" in on:
            row["friends"] = r.sample(range(900, 904), r.randrange(3))
        if "states" in on:
            row |= {"state": r.choice(["active", "active", "pre_active", "one_way", "barred"]),
                    "valid_to": r.choice([None, INSTANTS[0], INSTANTS[2]])}
        rows.append(row)
    if "legs" in on:
        rows += [{"account_id": n, "opening": "0", "credit": c, "plans": [(ACTIVE, "carrier")], "zone": "UTC",
                  "anchor": 1, "shared": s} for n, c, s in ((7, "1000", r.choice([None, 4])), (8, "0", None))]
    return rows


def legs_apart(world):
    """The same world, every leg on an account of its own."""
    for version in world.versions:
        version["legs"] = [{k: v for k, v in leg.items() if k != "accounts"} | {"account": str(20 + number)}
                           for number, leg in enumerate(version.get("legs", []))]
    world.rows += [{"account_id": 20 + n, "opening": "0.3", "credit": "0", "plans": [(ACTIVE, None)], "zone": "UTC",
                    "anchor": 1, "shared": None} for n in range(4 if "legs" in world.features else 0)]
    return world


def make_event(r, on, number, small):
    services = ["voice", "voice", "sms", "data", *(MORE if "services" in on else [])]
    service = r.choice(services)
    limit = {"sms": 3, "mms": 3, "voice": 45 if small else 700, "data": 30_000 if small else 700_000,
             "content": 90, "generic": 90}[service]
    accounts = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, *([7] if "legs" in on else [])]
    event = {"id": number, "service": service, "account_id": r.choice(accounts),
             "direction": r.choice(["originating", "originating", "terminating", "forwarded"]),
             "time_us": r.choice(INSTANTS) + r.randint(-200, 400) * 1_000_000 + r.choice([0, 0, 1, 999_999])
             + (r.choice([0, 0, 0, 1, 2, 3, 10, 40, 70]) * DAY_US if on & {"late", "rollover", "fees"} else 0),
             "quantity": r.randint(0, limit), "plmn": r.choice([None, None, "20801", "20404", "20405", "31026"])}
    if service == "data":
        event |= {"rating_group": r.choice([1, 7]), "apn": r.choice(["ims", "Internet"])}
        if "classes" in on:
            event |= {"service_identifier": r.choice([3, 4]), "rat": r.choice([1, 6, 51]),
                      "snssai": r.choice([None, "1-00abcd", "1-00abce", "2-000001"])}
    else:
        numbers = ["4915112345", "49123456", "122222", "3311", "7", "81234", "112"]
        event |= {"number": r.choice(numbers),
                  "other_class": r.choice(["ordinary"] * 5 + ["emergency", "toll_free", "premium"])}
    if "friends" in on:
        event["other_token"] = r.choice([None, 900, 901, 902, 903])
    if on & {"network", "legs"}:
        event["other_network"] = r.choice([None, "ours", "theirs", "other", "third"])
    if "category" in on:
        event["category"] = r.choice([None, "gold", "plain", "else"])
    if "calling" in on:
        event["calling"] = r.choice(["", "4915112345", "3311", "999"])
    if "segment" in on and service in ("sms", "mms"):
        event["segments"] = event["quantity"] * r.randint(1, 3)
    if r.randrange(2):
        of_service = 0 if r.randrange(9) == 0 else 1 + services.index(service)  # seldom one that several services share
        event["session"] = of_service * 100 + r.randint(0, 1) * 10 + event["account_id"]
    return event


def make_command(r, on, number):
    time_us = r.choice(INSTANTS) + r.randrange(90) * HOUR_US
    command = {"id": f"c{number}", "time": format_time(time_us), "account_id": r.randint(1, 5)}
    euro = {"currency": r.choice(["EUR"] * 5 + ["USD"]) if "exchange" in on else "EUR"}
    kinds = [{"kind": "clock"}]
    if "commands" in on:
        kinds += [{"kind": "top_up", "amount": r.choice(["1", "1.99", "2", "7", "0.01"]), **euro},
                  {"kind": "adjust", "amount": r.choice(["-1", "2.5", "-1000"]), **euro},
                  {"kind": "transfer", "amount": "0.75", "to_account_id": r.randint(1, 5), **euro},
                  {"kind": "credit_limit", "amount": r.choice(["0", "5"]), **euro},
                  {"kind": "plan_change", "plan": r.choice(["basic", "family", *(
                      ["dollar"] if "exchange" in on else [])])}]
    if "granted" in on:
        kinds += [{"kind": "grant", "bucket": r.choice(["b0", "b1", "b9"])},
                  {"kind": "grant", "bucket": "b0", "amount": "7", "from": format_time(time_us - DAY_US),
                   "to": format_time(time_us + r.randint(1, 90) * HOUR_US)}]
    if "late" in on:
        until = format_time(time_us - r.randrange(40) * DAY_US)
        kinds += [{"kind": "period_close", "until": until}, {"kind": "period_close", "through": until[:10]}]
    if "states" in on:
        kinds.append({"kind": "state", "state": r.choice(["active", "barred", "terminated", "pre_active"])})
    return command | r.choice(kinds)


def make_world(r, features=FEATURES, count=25, small=False):
    """A world of about `count` steps. r: a random.Random. small: events that take the oracle little time."""
    # Half of them, to meet plain worlds too; now and then all.
    on = frozenset(f for f in sorted(features) if r.randrange(2)) if r.randrange(8) else frozenset(features)
    versions = [make_version(r, on, name, start) for name, start in (("v1", ACTIVE), ("v2", SECOND_VERSION))]
    decks = {}
    for version in versions:
        prefixes = r.sample(["4", "49", "491", "4915", "1", "12", "33", "491511"], r.randint(2, 8))
        decks[version["version"], "main"] = {p: r.choice(ZONES) for p in sorted(prefixes)} | {
            "7": "near", "55": "far", "66": "off"}
    steps, clocks = [], 3 if on & {"late", "rollover", "granted", "fees", "states"} else 1
    for number in range(1, count + 1):
        command = (r.randrange(8) == 0) if on & {"commands", "granted", "late", "states"} else False
        steps.append(make_command(r, on, number) if command else make_event(r, on, number, small))
    for number in range(clocks):
        tick = {"id": f"t{number}", "kind": "clock", "time": format_time(r.choice(INSTANTS) + r.randrange(9) * DAY_US)}
        steps.insert(r.randint(0, len(steps)), tick)
    return World(versions, decks, make_accounts(r, on), steps, on)


def make_session(r, world):
    """(one report, the same in several) at a time in which neither version, plan nor cycle changes."""
    whole = {"account_id": 6, "quantity": 0}
    while whole["account_id"] == 6 or whole["quantity"] == 0:
        whole = make_event(r, world.features, 1, False) | {"direction": "originating", "session": 1}
    service = whole["service"]
    # From a quarter past the hour no cycle, version, validity or clock change comes within a thousand seconds.
    hours = [i // HOUR_US * HOUR_US for i in INSTANTS]
    start = r.choice([hour for hour in hours if hour > SECOND_VERSION]) + HOUR_US // 4
    whole |= {"time_us": start + r.randrange(900) * 1_000_000}
    marks = sorted({0, whole["quantity"], *(r.randrange(whole["quantity"]) for _ in range(r.randrange(6)))})
    rate = whole.get("segments", 0) // whole["quantity"]
    parts = [whole | {"id": 1 + n, "quantity": after - before, "time_us": whole["time_us"]
                      + (before * 1_000_000 if service == "voice" else 0)}
             | ({"segments": rate * (after - before)} if rate else {})
             for n, (before, after) in enumerate(pairwise(marks))]
    return whole, parts


def oracle_of(versions, decks, rows, lateness_us=LATENESS_S * 10**6, horizon_us=HORIZON_S * 10**6):
    accounts = {row["account_id"]: Account(
        row["account_id"], Fraction(row["opening"]), Fraction(row["credit"]), list(row["plans"]), row["zone"],
        row["anchor"], row["shared"], row.get("currency", "EUR"), more_plans=row.get("more_plans", []),
        priority=row.get("priority", 0),
        friends=frozenset(row.get("friends", ())), state=row.get("state", "active"), valid_to=row.get("valid_to"))
        for row in rows}
    return Oracle(versions, decks, accounts, lateness_us, horizon_us)


def run_oracle(world, oracle=None):
    """What each step comes to: an event's result, or a command's reason."""
    oracle = oracle or oracle_of(world.versions, world.decks, world.rows)
    return oracle, [oracle.command(step) if "kind" in step else oracle.charge(step) for step in world.steps]
