"""Which usage a price, an allowance, a discount, a counter or a leg is for."""

from dataclasses import dataclass

from tests.oracle.rating.amounts import listed, local_time, true

SPECIAL = {"emergency": "emergency", "toll_free": "toll_free", "short_code": "short_code", "premium": "premium",
           "text": "text", "none": "unknown"}
CALLS = ("voice", "sms", "mms")


@dataclass(frozen=True)
class Seen:
    """What the deck and the tables of a version make of an event."""

    zone: str
    calling_zone: str
    roaming: str
    on_net: bool
    friend: bool
    category: str | None


def see(oracle, version, plan, account, event):
    """What an event is to a plan."""
    number, category = None, event.get("category")
    if event["service"] == "data":
        zone, given = data_class(version, event)
        category = category or given
    elif event.get("other_class", "ordinary") != "ordinary":
        zone = SPECIAL[event["other_class"]]
    else:
        number = event.get("number", "")
        zone = zone_by_deck(oracle, version, plan, number)
    return Seen(zone, zone_by_deck(oracle, version, plan, event.get("calling", "")), roaming_of(version, event),
                event.get("other_network") is not None
                and event["other_network"] in listed(version.get("own_networks", [])),
                event.get("other_token") in account.friends, category)


def deck_of(oracle, version, plan):
    return oracle.decks[version["version"], version["plans"][plan].get("deck", "main")]


def zone_by_deck(oracle, version, plan, number):
    """The longest prefix wins."""
    deck = deck_of(oracle, version, plan)
    for length in range(len(number), 0, -1):
        if number[:length] in deck:
            return deck[number[:length]]
    return "unknown"


def data_class(version, event):
    """(class, category) of the first entry whose conditions all hold."""
    for item in version.get("data_classes", []):
        held = {
            "rating_groups": lambda values: str(event.get("rating_group", -1)) in values,
            "service_identifiers": lambda values: str(event.get("service_identifier", -1)) in values,
            "apns": lambda values: event.get("apn", "").lower() in [v.lower() for v in values],
            "snssais": lambda values: any(slice_matches(v, event.get("snssai")) for v in values),
            "rats": lambda values: str(event.get("rat", -1)) in values,
            "networks": lambda values: bool(event.get("plmn")) and any(
                v in (event["plmn"], event["plmn"][:3], "*") for v in values),
        }
        if all(test(listed(item[name])) for name, test in held.items() if name in item):
            return item["class"], item.get("category")
    return "unknown", None


def slice_matches(pattern, snssai):
    """`SST` stands for every slice of that type, `SST-SD` for one."""
    if snssai is None:
        return False
    return snssai.lower() == pattern.lower() or ("-" not in pattern and snssai.partition("-")[0] == pattern)


def roaming_of(version, event):
    if not event.get("plmn"):
        return "home"
    zones = {network: zone for zone, networks in version.get("roaming", {}).items() for network in networks}
    for pattern in (event["plmn"], event["plmn"][:3], "*"):
        if pattern in zones:
            return zones[pattern]
    return "unknown_network"


def valid_at(version, scope, us):
    valid = scope.get("valid", {})
    return (("from" not in valid or local_time(valid["from"], version["time_zone"]) <= us)
            and ("to" not in valid or us < local_time(valid["to"], version["time_zone"])))


def directions_of(scope, service):
    found = listed(scope.get("direction"))
    if found is None:
        return ["originating", "forwarded"] if service in CALLS else ["any"]
    return found


def covers(oracle, version, plan, scope, event, seen):
    """Whether an event lies in a scope of a plan. `any` is every zone of the plan's deck."""
    services = listed(scope.get("services", scope.get("service")))
    if services is not None and event["service"] not in services:
        return False
    directions = directions_of(scope, event["service"])
    if directions != ["any"] and event["direction"] not in directions:
        return False
    if event["service"] == "data":
        sold = {item["class"] for item in version.get("data_classes", [])}
    else:
        sold = set(deck_of(oracle, version, plan).values())
    zones = listed(scope.get("zones"))
    if zones is not None and (seen.zone not in sold if zones == ["any"] else seen.zone not in zones):
        return False
    calling = listed(scope.get("calling_zones"))
    if calling is not None and calling != ["any"] and seen.calling_zone not in calling:
        return False
    if true(scope.get("friends")) and not seen.friend:
        return False
    if "network" in scope and (scope["network"] == "on_net") != seen.on_net:
        return False
    categories = listed(scope.get("categories"))
    if categories not in (None, ["any"]) and seen.category not in categories:
        return False
    wanted = listed(scope.get("roaming", ["home"]))
    if wanted != ["any"] and seen.roaming not in wanted:
        return False
    return valid_at(version, scope, event["time_us"])


def specificity(scope):
    """Of two scopes that cover the same usage the greater one is meant."""
    zones = listed(scope.get("zones"))
    return (0 if zones is None else 1 if zones == ["any"] else 2,
            listed(scope.get("calling_zones")) not in (None, ["any"]), true(scope.get("friends")), "network" in scope,
            listed(scope.get("categories")) not in (None, ["any"]), listed(scope.get("roaming")) != ["any"],
            "direction" in scope, "valid" in scope)
