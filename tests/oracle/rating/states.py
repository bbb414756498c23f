"""States of an account: what they permit, what refuses, when they end."""

from tests.oracle.rating.amounts import SECOND_US, listed, units

DEFAULT = {
    "pre_active": {}, "active": {}, "one_way": {"permits": ["any:terminating"], "refusal": "4010"},
    "barred": {"permits": [], "refusal": "4010"}, "terminated": {"permits": [], "refusal": "5030"},
    "quarantined": {"permits": [], "refusal": "5030"},
}


def terms_of(version, state):
    return DEFAULT[state] | version.get("states", {}).get(state, {})


def refusal_of(version, account, event, seen):
    """The refusal code of usage that the account's state does not permit, or 0."""
    terms = terms_of(version, account.state)
    if "permits" not in terms or seen.zone == "emergency":
        return 0
    service, direction = event["service"], event["direction"]
    permitted = listed(terms["permits"])
    if {"any", service, f"any:{direction}", f"{service}:{direction}"} & set(permitted):
        return 0
    return int(terms["refusal"])


def first_use(account, event):
    """The first usage makes an account active."""
    if account.state == "pre_active":
        account.state, account.state_since = "active", event["time_us"]


RESTING = ("pre_active", "terminated", "quarantined")


def enter(account, state, us):
    """Into a state; an account's days end with those in which it collects nothing, and begin behind them."""
    before, account.state, account.state_since = account.state, state, us
    if state in RESTING:
        account.since = None
    elif before in RESTING:
        account.begins(us)


def move_states(version, account, us):
    """The clock moves an account on, as often as time allows. A state of which no beginning is known begins now."""
    if account.state_since is None and version is not None and any(
            "after" in terms for terms in version.get("states", {}).values()):
        account.state_since = us
    while version is not None:
        after = terms_of(version, account.state).get("after")
        if not after:
            return
        begins = account.valid_to if account.state == "active" else account.state_since
        if begins is None or begins + units(after["period"]) * SECOND_US > us:
            return
        enter(account, after["then"], begins + units(after["period"]) * SECOND_US)
