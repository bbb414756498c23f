"""Which plan and which price an event meets, and the terms under which it is priced."""

from dataclasses import dataclass

from tests.oracle.rating.amounts import amount, convert, listed
from tests.oracle.rating.scopes import CALLS, Seen, covers, directions_of, see, specificity

UNIT = {"voice": "second", "sms": "message", "mms": "message", "data": "octet", "content": "unit", "generic": "unit"}
FREE = {"rate": None}  # the price of emergency calls, and of toll-free ones that no price names
FREE_RATE = {"free": "true"}


@dataclass(frozen=True)
class Refused(Exception):  # noqa: N818
    """Why an event is set aside."""

    reason: str


@dataclass
class Choice:
    """The price an event meets."""

    version: dict
    plan: str
    source: str       # the plan whose price it is: the same, or a fallback
    rule: dict
    seen: Seen
    unit: str         # what the price counts
    plans: list       # all plans of the account that the version has, in their order

    @property
    def terms(self):
        return self.version["plans"][self.plan]

    @property
    def currency(self):
        return self.terms.get("currency", self.version["currency"])


def version_at(oracle, us):
    active = [v for v in oracle.versions if v["active_from_us"] <= us]
    return max(active, key=lambda v: v["active_from_us"]) if active else None


def plans_of(version, account, us):
    """The account's plans that the version has and that charge in its currency."""
    return [plan for plan in account.plans_at(us) if plan in version["plans"]
            and version["plans"][plan].get("currency", version["currency"]) == account.currency]


def choose(oracle, version, account, event, plans, user=None):
    """The first plan's price that covers the event. `user`: whose friends count, where not the account's own."""
    if not plans:
        raise Refused("NO_PLAN")
    for plan in plans:
        seen = see(oracle, version, plan, user or account, event)
        rule, source = price_of(oracle, version, plan, event, seen)
        if rule is not None:
            return Choice(version, plan, source, rule, seen, counted(version, rule, event), plans)
    seen = see(oracle, version, plans[0], user or account, event)
    unplaced = (seen.zone == "unknown" and event["service"] in CALLS) or seen.roaming == "unknown_network"
    raise Refused("NO_ZONE" if unplaced and sold(oracle, event) else "NO_RATE")


def price_of(oracle, version, plan, event, seen):
    """(price, plan that has it): the plan's own, else that of its fallback."""
    source = plan
    while source is not None:
        found = [(specificity(rule), rule) for rule in version["plans"][source]["prices"]
                 if covers(oracle, version, plan, rule, event, seen)]
        best = max(found, key=lambda item: item[0]) if found else None
        outgoing = event["service"] in CALLS and event["direction"] != "terminating"
        if outgoing and (seen.zone == "emergency"
                         or (seen.zone == "toll_free" and (best is None or best[0][0] < 2))):
            return FREE, source
        if best is not None:
            return best[1], source
        source = version["plans"][source].get("fallback")
    return None, plan


def rates_of(version, rule):
    if rule is FREE:
        return [FREE_RATE]
    names = list(rule["rates"].values()) if "timing" in rule else [rule["rate"]]
    return [version["rates"][name] for name in names]


def counted(version, rule, event):
    """What a price counts: the service's unit, or segments of messages."""
    return "segment" if rates_of(version, rule)[0].get("unit") == "segment" else UNIT[event["service"]]


def exchanged(choice, event):
    """The exchange rates that the plan's prices of a service need: a new one begins a new price."""
    version, plan, service, needed = choice.version, choice.plan, event["service"], set()
    while plan is not None:
        for rule in version["plans"][plan]["prices"]:
            for rate in rates_of(version, rule) if rule["service"] == service else []:
                if rate["unit"] == choice.unit and costs_something(rate):
                    needed.add(rate.get("currency", version["currency"]))
        plan = version["plans"][plan].get("fallback")
    for _, discount in named(version, choice.plan, "discounts", "discounts"):
        if names_service(discount, service) and {"amount", "cap"} & set(discount):
            needed.add(discount.get("currency", version["currency"]))
    buckets = [*version.get("buckets", {}).values(),
               *(a for terms in version["plans"].values() for a in terms.get("allowances", [])
                 if terms.get("currency", version["currency"]) == choice.currency)]
    if any(b["unit"] == choice.unit and amount(b.get("price", 0)) and names_service(b, service) for b in buckets):
        needed.add(version["currency"])
    return tuple(sorted({convert(version, 1, here, choice.currency, event["time_us"]) for here in needed}))


def names_service(scope, service):
    """Left out: every service."""
    return service in (listed(scope.get("services", scope.get("service"))) or UNIT)


def costs_something(rate):
    amounts = [rate.get(key, 0) for key in ("connect_fee", "minimum_charge", "maximum_charge")]
    amounts += [slot.get("price", slot.get("flat", 0)) for slot in rate.get("slots", [])]
    return any(amount(each) for each in amounts)


def quantity_of(event, unit):
    return event.get("segments", event["quantity"]) if unit == "segment" else event["quantity"]


def sold(oracle, event):
    """Whether any plan of any version has a price for this service and direction."""
    for rule in (r for v in oracle.versions for p in v["plans"].values() for r in p["prices"]):
        directions = directions_of(rule, event["service"])
        if rule["service"] == event["service"] and (directions == ["any"] or event["direction"] in directions):
            return True
    return event["service"] in CALLS and event["direction"] != "terminating"


def named(version, plan, key, table):
    """(name, definition) of what a plan lists under a key."""
    return [(name, version[table][name]) for name in listed(version["plans"][plan].get(key, []))]


def discounts_of(oracle, choice, event):
    """(those that lower prices in bands, the chain on a session's price), in their order."""
    if choice.rule is FREE:
        return [], []
    found = [(name, d) for name, d in named(choice.version, choice.plan, "discounts", "discounts")
             if covers(oracle, choice.version, choice.plan, d, event, choice.seen)]
    return [d for _, d in found if "timing" in d], [(name, d) for name, d in found if "timing" not in d]
