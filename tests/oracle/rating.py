"""Rating as docs/tariffs.md says it, one step at a time, in fractions. Shares no code with the product.

A tariff is the plain structure of its YAML file, with text or whole numbers as scalars. Money is a Fraction of a unit
of currency until it is rounded.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal, localcontext
from fractions import Fraction
from zoneinfo import ZoneInfo

ROUNDINGS = {"up": ROUND_UP, "down": ROUND_DOWN, "half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN}
SPECIAL = {"emergency": "emergency", "toll_free": "toll_free", "short_code": "short_code", "premium": "premium",
           "text": "text", "none": "unknown"}
CALLS = ("voice", "sms", "mms")
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


SUFFIX = {"MB": 10**6, "MiB": 2**20, "KiB": 2**10}


def units(text):
    """A quantity with or without its unit."""
    number, _, suffix = str(text).partition(" ")
    return int(number) * SUFFIX.get(suffix, 1)


def instant(us):
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def round_money(amount, rule, decimals):
    """A fraction to a Decimal of so many decimals."""
    with localcontext() as context:
        context.prec = 200
        scaled = amount * 10**decimals
        whole, rest = divmod(scaled.numerator, scaled.denominator)
        # Tenths, and a hundredth when anything is left beyond them, decide every rule.
        tenth, beyond = divmod(rest * 10, scaled.denominator)
        text = Decimal(whole) + Decimal(tenth) / 10 + (Decimal("0.01") if beyond else 0)
        return Fraction(int(text.quantize(Decimal(1), rounding=ROUNDINGS[rule])), 10**decimals)


@dataclass
class Account:
    account_id: int
    money: Fraction
    credit: Fraction
    plans: list  # (from us, plan or None), ascending
    zone: str = "UTC"
    anchor: int = 1
    shared: int | None = None
    buckets: dict = field(default_factory=dict)  # (plan, allowance, unit, cycle, first day) -> left


@dataclass
class Oracle:
    versions: list                       # dicts with version, active_from_us, ...
    decks: dict                          # (version, deck) -> {prefix: zone}
    accounts: dict
    lateness_us: int
    horizon_us: int
    sessions: dict = field(default_factory=dict)
    clock_us: int | None = None

    def cycle(self, account, allowance, us):
        """(first day, instant of its end) of the allowance's cycle that holds an instant."""
        zone = ZoneInfo(account.zone)
        day = instant(us).astimezone(zone).date()
        if allowance["cycle"] == "none":
            return None, None
        if allowance["cycle"] == "day":
            first, after = day, day + timedelta(days=1)
        else:
            starts = []
            for back in range(-2, 3):
                month = day.year * 12 + day.month - 1 + back
                last = date(month // 12 + (month % 12 == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)
                starts.append(last.replace(day=min(account.anchor, last.day)))
            first = max(start for start in starts if start <= day)
            after = min(start for start in starts if start > day)
        return first, datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC)

    def version_at(self, us):
        active = [v for v in self.versions if v["active_from_us"] <= us]
        return max(active, key=lambda v: v["active_from_us"]) if active else None

    @staticmethod
    def plan_at(account, us):
        known = [plan for start, plan in account.plans if start <= us]
        return known[-1] if known else None

    def zone_of(self, version, plan, event):
        if event["service"] == "data":
            for item in version.get("data_classes", []):
                if event.get("rating_group", -1) not in item.get("rating_groups", [event.get("rating_group", -1)]):
                    continue
                if event.get("apn", "").lower() not in item.get("apns", [event.get("apn", "").lower()]):
                    continue
                return item["class"]
            return "unknown"
        if event.get("other_class", "ordinary") != "ordinary":
            return SPECIAL[event["other_class"]]
        deck = self.decks[version["version"], version["plans"][plan].get("deck", "main")]
        number = event.get("number", "")
        for length in range(len(number), 0, -1):
            if number[:length] in deck:
                return deck[number[:length]]
        return "unknown"

    @staticmethod
    def roaming_of(version, event):
        if not event.get("plmn"):
            return "home"
        zones = {network: zone for zone, networks in version.get("roaming", {}).items() for network in networks}
        for pattern in (event["plmn"], event["plmn"][:3], "*"):
            if pattern in zones:
                return zones[pattern]
        return "unknown_network"

    def covers(self, version, plan, scope, services, event, zone, roaming):
        if event["service"] not in services:
            return False
        directions = scope.get("direction")
        if directions is None:
            directions = ["originating", "forwarded"] if event["service"] in CALLS else "any"
        directions = [directions] if isinstance(directions, str) else directions
        if directions != ["any"] and event["direction"] not in directions:
            return False
        if event["service"] == "data":
            sold = {item["class"] for item in version.get("data_classes", [])}
        else:
            sold = set(self.decks[version["version"], version["plans"][plan].get("deck", "main")].values())
        zones = scope.get("zones")
        if zones is not None and (zone not in sold if zones == "any" else zone not in zones):
            return False
        wanted = scope.get("roaming", ["home"])
        return wanted == "any" or roaming in wanted

    def rule_for(self, version, plan, event, zone, roaming):
        """The price rule, None, or "free"."""
        found = []
        for rule in version["plans"][plan]["prices"]:
            if self.covers(version, plan, rule, [rule["service"]], event, zone, roaming):
                zones = rule.get("zones")
                rank = (0 if zones is None else 1 if zones == "any" else 2, rule.get("roaming") != "any",
                        "direction" in rule)
                found.append((rank, rule))
        best = max(found, key=lambda item: item[0]) if found else None
        outgoing = event["service"] in CALLS and event["direction"] != "terminating"
        if outgoing and (zone == "emergency" or (zone == "toll_free" and (best is None or best[0][0] < 2))):
            return "free"
        return best[1] if best else None

    def sold(self, event):
        """Whether any plan of any version has a price for this service and direction."""
        calls = event["service"] in CALLS
        for rule in (r for v in self.versions for p in v["plans"].values() for r in p["prices"]):
            directions = rule.get("direction", ["originating", "forwarded"] if calls else "any")
            if rule["service"] == event["service"] and (directions == "any" or event["direction"] in directions):
                return True
        return calls and event["direction"] != "terminating"

    @staticmethod
    def band_at(version, timing, us):
        local = instant(us).astimezone(ZoneInfo(version["time_zone"]))
        second = local.hour * 3600 + local.minute * 60 + local.second
        for band in version["timings"][timing]:
            if band.get("otherwise"):
                continue
            def seconds(text):
                return int(text[:2]) * 3600 + int(text[3:5]) * 60
            start, end = seconds(band.get("from", "00:00")), seconds(band.get("to", "24:00"))
            for day in band.get("days", DAYS):
                today = DAYS[local.weekday()] == day
                yesterday = DAYS[(local.weekday() - 1) % 7] == day
                if start < end and today and start <= second < end:
                    return band["band"]
                if start > end and ((today and second >= start) or (yesterday and second < end)):
                    return band["band"]
        return next(band["band"] for band in version["timings"][timing] if band.get("otherwise"))

    def charge(self, event):
        """What one event costs and who pays; changes the accounts."""
        us, quantity = event["time_us"], event["quantity"]
        account = self.accounts.get(event["account_id"])
        if account is None:
            return {"reason": "UNKNOWN_ACCOUNT"}
        version = self.version_at(us)
        if version is None:
            return {"reason": "NO_TARIFF"}
        plan = self.plan_at(account, us)
        if plan is None or plan not in version["plans"]:
            return {"reason": "NO_PLAN"}
        terms = version["plans"][plan]
        zone, roaming = self.zone_of(version, plan, event), self.roaming_of(version, event)
        rule = self.rule_for(version, plan, event, zone, roaming)
        if rule is None:
            unplaced = (zone == "unknown" and event["service"] in CALLS) or roaming == "unknown_network"
            priced = self.sold(event)
            return {"reason": "NO_ZONE" if unplaced and priced else "NO_RATE"}

        state = {"position": 0, "paid": 0, "connected": False, "terms": None, "cost": Fraction(0),
                 "charged": Fraction(0), "minimum": Fraction(0), "time": us}
        key = event.get("session")
        if key is not None and key in self.sessions and us - self.sessions[key]["time"] <= self.horizon_us:
            state = self.sessions[key]
        if state["terms"] != (version["version"], plan, event["service"]):
            state |= {"terms": (version["version"], plan, event["service"]), "cost": Fraction(0),
                      "charged": Fraction(0), "minimum": Fraction(0)}
        before, total = state["position"], state["position"] + quantity

        pots = []
        for owner in (account, self.accounts.get(account.shared)):
            owner_plan = self.plan_at(owner, us) if owner else None
            if owner_plan is None or owner_plan not in version["plans"]:
                continue
            allowances = version["plans"][owner_plan].get("allowances", [])
            for allowance in sorted(allowances, key=lambda a: a.get("priority", 100)):
                if not self.covers(version, owner_plan, allowance, allowance["services"], event,
                                   zone, roaming):
                    continue
                first, end = self.cycle(owner, allowance, us)
                closed = None if self.clock_us is None else instant(self.clock_us - self.lateness_us)
                if end is not None and closed is not None and end <= closed:
                    continue
                pot = (owner_plan, allowance["name"], allowance["unit"], allowance["cycle"], first)
                owner.buckets.setdefault(pot, int(allowance["amount"]))
                pots.append((owner, pot, int(allowance.get("step", 1))))

        covered, connect = 0, Fraction(0)
        while state["paid"] < total:
            at = state["paid"]
            if rule == "free":
                rate = {"slots": [{"price": "0"}]}
            elif "timing" in rule:
                moment = us + (at - before) * 1_000_000 if event["service"] == "voice" else us
                rate = version["rates"][rule["rates"][self.band_at(version, rule["timing"], moment)]]
            else:
                rate = version["rates"][rule["rate"]]
            slots = [{"price": "0"}] if rate.get("free") else rate["slots"]
            slot = [s for s in slots if units(s.get("from", 0)) <= at][-1]
            price = Fraction(slot["price"]) / units(slot.get("per", 1))
            if price > 0:
                pot = next((p for p in pots if p[0].buckets[p[1]] > 0), None)
                if pot:
                    owner, name, step = pot
                    taken = min(step, owner.buckets[name])
                    owner.buckets[name] -= taken
                    covered += taken
                    state["paid"] += taken
                    continue
            step = units(slot.get("step", 1))
            state["cost"] += price * step
            state["paid"] += step
            state["minimum"] = max(state["minimum"], Fraction(rate.get("minimum_charge", 0)))
            if not state["connected"]:
                state["connected"] = True
                connect = Fraction(rate.get("connect_fee", 0))
                state["cost"] += connect
        rounding = terms.get("rounding", {"rule": "half_up", "decimals": 4})
        price = round_money(max(state["cost"], state["minimum"]), rounding["rule"], int(rounding["decimals"]))
        due = price - state["charged"]
        state |= {"charged": price, "position": total, "time": max(us, state["time"])}
        if key is not None:
            self.sessions[key] = state

        left = due
        for payer in (account, self.accounts.get(account.shared)):
            if payer is not None:
                paid = min(max(payer.money + payer.credit, Fraction(0)), left)
                payer.money -= paid
                left -= paid
        return {"charge": due, "uncollected": left, "allowance": covered, "connect": connect, "zone": zone,
                "roaming": roaming}

    def clock(self, us):
        """Expire what is over; forget sessions beyond the horizon."""
        self.clock_us = max(us, self.clock_us or us)
        closed = instant(self.clock_us - self.lateness_us)
        for account in self.accounts.values():
            for pot in list(account.buckets):
                cycle, first = pot[3], pot[4]
                if first is not None:
                    noon = datetime(first.year, first.month, first.day, 12, tzinfo=ZoneInfo(account.zone))
                    end = self.cycle(account, {"cycle": cycle}, round(noon.timestamp()) * 1_000_000)[1]
                    if end <= closed:
                        del account.buckets[pot]
        for key in [k for k, s in self.sessions.items() if s["time"] < self.clock_us - self.horizon_us]:
            del self.sessions[key]
