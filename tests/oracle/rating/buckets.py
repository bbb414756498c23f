"""Allowances and buckets: what is granted when, what may be used in which order, what rolls over and expires.

A bucket's key is (plan, name, unit, cycle, first day, kind): kind "grant" or "rolled" for an allowance of a plan; for
one that a command granted the plan is None, the cycle "granted" and the first day (from us, to us or
None, a number that tells grants of one validity apart).
"""

from dataclasses import dataclass
from datetime import timedelta

from tests.oracle.rating.accounts import Account
from tests.oracle.rating.amounts import amount, listed, true, units
from tests.oracle.rating.cycles import cycle, cycle_from, noon_us
from tests.oracle.rating.scopes import covers
from tests.oracle.rating.selecting import Refused, plans_of, version_at
from tests.oracle.rating.timings import band_at

FOREVER = 10**30


def size(definition, key="amount"):
    """So much of a bucket: money, or units."""
    return amount(definition[key]) if definition["unit"] == "money" else units(definition[key])


@dataclass
class Pot:
    """A bucket that an event may use."""

    owner: Account
    user: Account
    key: tuple
    definition: dict
    version: dict

    def in_band(self, us):
        return "bands" not in self.definition or band_at(
            self.version, self.definition["timing"], us) in listed(self.definition["bands"])

    def available(self):
        left = self.owner.buckets[self.key]
        if "member_cap" in self.definition and self.user is not self.owner:
            used = sum(taken for (key, member), taken in self.owner.member_use.items()
                       if member == self.user.account_id and key[:5] == self.key[:5])
            left = min(left, size(self.definition, "member_cap") - used)
        return left

    def take(self, wanted=None):
        """Units: a step of the definition. Money: what is wanted. At most what is there."""
        taken = min(units(self.definition.get("step", 1)) if wanted is None else wanted, self.available())
        self.owner.buckets[self.key] -= taken
        if self.user is not self.owner:
            member = (self.key, self.user.account_id)
            self.owner.member_use[member] = self.owner.member_use.get(member, 0) + taken
        return taken


def pots_for(oracle, choice, account, event, plans):
    """Groups of buckets, one for each definition, in the order of use; makes the grants that are due."""
    us, wanted = event["time_us"], []
    for owner in (account, oracle.accounts.get(account.shared)):
        if owner is None:
            continue
        for place, plan in enumerate(plans if owner is account else plans_of(choice.version, owner, us)):
            definitions = [(int(a.get("priority", 100)), 0, n, plan, a)
                           for n, a in enumerate(choice.version["plans"][plan].get("allowances", []))]
            if place == 0:
                definitions += [(int(b.get("priority", 100)), 1, n, None, b | {"name": name})
                                for n, (name, b) in enumerate(choice.version.get("buckets", {}).items())]
            for _, _, _, home, definition in sorted(definitions, key=lambda d: d[:3]):
                if definition["unit"] in (choice.unit, "money") and covers(
                        oracle, choice.version, plan, definition, event, choice.seen):
                    met = us if home is None else meeting_us(oracle, choice, owner, definition["cycle"], us)
                    wanted.append((owner, home, definition, met))
    groups, days = [], {owner.account_id: owner.since for owner, *_ in wanted}
    for owner, home, definition, met in wanted:  # not before it is known that no cycle sets the event aside
        if home is None:
            keys = granted(oracle, owner, definition, us)
        else:
            keys = allowed(oracle, owner, home, definition, met, days[owner.account_id])
        groups.append([Pot(owner, account, key, definition, choice.version) for key in keys])
    return groups


def meeting_us(oracle, choice, owner, kind, us):
    """The instant whose cycle usage meets, or None when its cycle is closed and the plan says `pay`."""
    end = cycle(kind, owner, us)[1]
    if end is None or end > oracle.closed_us(owner.zone):
        return us
    policy = choice.terms.get("late_usage", "pay")
    if policy == "suspend":
        raise Refused("PERIOD_CLOSED")
    if policy != "current_cycle":
        return None
    closed = oracle.closed_us(owner.zone)
    return closed if oracle.clock_us is None else max(closed, oracle.clock_us)


def allowed(oracle, owner, plan, definition, met, since):
    """Keys of an allowance's buckets in the order of use; grants what was not granted yet in this cycle.

    since: when the owner's days had begun before this event.
    """
    kind = definition["cycle"]
    if met is None:
        return []
    first = cycle(kind, owner, met)[0]
    base = (plan, definition["name"], definition["unit"], kind)
    key, rolled = (*base, first, "grant"), (*base, first, "rolled")
    rollover = definition.get("rollover")
    if key not in owner.buckets:
        owner.buckets[key] = size(definition)
        if rollover and first is not None:
            before = cycle_before(kind, owner, first)
            if (*base, before, "grant") in owner.buckets:
                roll(owner, (*base, before, "grant"), rolled, definition)
            elif since is not None and since < first and key[:5] not in owner.settled:
                make_up(oracle, owner, base, before, first, definition)
        if owner.state not in ("terminated", "quarantined"):
            owner.begins(met)
    keys = [rolled, key] if rollover and rollover.get("order", "before") == "before" else [key, rolled]
    return [k for k in keys if k in owner.buckets]


def cycle_before(kind, owner, first):
    return cycle(kind, owner, noon_us(first - timedelta(days=1), owner.zone))[0]


def make_up(oracle, owner, base, before, first, definition):
    """A cycle that nothing has met, granted and not used: its rest goes into the cycle that begins on `first`."""
    begins = cycle_from(base[3], owner, before)
    last, now = (listed_at(oracle, owner, base, us) for us in (begins - 1, begins))
    if last is None or now is None or "rollover" not in now or owner.state in ("terminated", "quarantined"):
        return
    cap = now["rollover"].get("cap")
    if size(last) == 0 or (cap is not None and size(now | {"amount": cap}) == 0):
        return
    owner.buckets[*base, before, "grant"] = size(last)
    earlier = cycle_before(base[3], owner, before)
    roll(owner, (*base, earlier, "grant"), (*base, before, "rolled"), definition)
    roll(owner, (*base, before, "grant"), (*base, first, "rolled"), now)


def listed_at(oracle, owner, base, us):
    """An allowance as the version in force says it, of a plan that the account has then and that charges it."""
    version = version_at(oracle, us)
    if version is None or base[0] not in plans_of(version, owner, us):
        return None
    return next((a for a in version["plans"][base[0]].get("allowances", [])
                 if (a["name"], a["unit"], a["cycle"]) == base[1:]), None)


def roll(owner, source, target, definition):
    """Move what rolls over from one cycle's grant to the next cycle's."""
    cap = definition["rollover"].get("cap")
    left = owner.buckets.get(source, 0)
    moved = left if cap is None else min(left, size(definition | {"amount": cap}))
    if moved > 0:
        owner.buckets[source] -= moved
        owner.buckets[target] = owner.buckets.get(target, 0) + moved


def granted(oracle, owner, definition, us):
    """Keys of the granted buckets of a definition that are valid at an instant, the earliest expiry first."""
    found = [key for key in owner.buckets if key[0] is None and key[1] == definition["name"]
             and key[4][0] <= us and (key[4][1] is None or us < key[4][1])
             and (key[4][1] is None or key[4][1] > oracle.closed_us(owner.zone))]
    return sorted(found, key=lambda key: (FOREVER if key[4][1] is None else key[4][1], key[4][0]))


def expire(oracle):
    """What is left of cycles and buckets that are closed goes; what rolls over moves first."""
    for account in oracle.accounts.values():
        closed = oracle.closed_us(account.zone)
        for key in sorted(account.buckets, key=str):
            plan, name, _, kind, first, what = key
            if first is None:
                continue
            end = first[1] if kind == "granted" else cycle_from(kind, account, first)
            if end is None or end > closed:
                continue
            if what == "grant" and kind != "granted":
                carry(oracle, account, key, end, plan, name)
                following = cycle(kind, account, end)[0]
                account.settled.add((*key[:4], following))
            del account.buckets[key]
            for used in [u for u in account.member_use if u[0] == key]:
                del account.member_use[used]


def carry(oracle, account, key, end, plan, name):
    """The rollover of a cycle that closes before the next one was met."""
    version = version_at(oracle, end)
    if version is None or plan not in version["plans"] or plan not in account.plans_at(end):
        return
    for definition in version["plans"][plan].get("allowances", []):
        if (definition["name"], definition["unit"], definition["cycle"]) == (name, *key[2:4]) and definition.get(
                "rollover"):
            first, after = cycle(key[3], account, end)
            if after > oracle.closed_us(account.zone) and (*key[:4], first, "grant") not in account.buckets:
                roll(account, key, (*key[:4], first, "rolled"), definition)


def is_blocking(pot):
    return true(pot.definition.get("blocking"))
