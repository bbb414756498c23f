"""An account as the oracle keeps it: money, credit, plans over time, buckets, counters, state."""

from dataclasses import dataclass, field
from fractions import Fraction

from tests.oracle.rating.amounts import local_day


@dataclass
class Account:
    account_id: int
    money: Fraction
    credit: Fraction
    plans: list  # (from us, plan or None), ascending
    zone: str = "UTC"
    anchor: int = 1
    shared: int | None = None
    currency: str = "EUR"
    more_plans: list = field(default_factory=list)      # (priority, plan, from us, to us or None), beside `plans`
    priority: int = 0                                   # of `plans`
    friends: frozenset = frozenset()                    # numbers of the other party
    state: str = "active"
    state_since: int | None = None                      # not known of accounts that were opened in their state
    valid_to: int | None = None                         # end of its validity, us
    buckets: dict = field(default_factory=dict)         # see buckets.py: key -> left
    member_use: dict = field(default_factory=dict)      # (bucket key, member's id) -> taken
    counters: dict = field(default_factory=dict)        # (name, first day of cycle) -> value
    highest: dict = field(default_factory=dict)         # the same -> highest value so far
    points: list = field(default_factory=list)          # (from us, plans in their order), ascending
    since: object = None                                # the local day on which its days began, see buckets.py
    settled: set = field(default_factory=set)           # (plan, name, unit, cycle, first day): the one before closed

    def __post_init__(self):
        edges = {us for us, _ in self.plans} | {us for _, _, start, end in self.more_plans for us in (start, end)}
        for us in sorted(edge for edge in edges if edge is not None):
            held = self.known_at(us)
            if held != (self.points[-1][1] if self.points else []):
                self.points.append((us, held))

    def known_at(self, us):
        """Plans at an instant by what was known when the account was opened."""
        known = [plan for start, plan in self.plans if start <= us]
        found = [(self.priority, 0, known[-1])] if known and known[-1] is not None else []
        found += [(priority, 1 + place, plan) for place, (priority, plan, start, end) in enumerate(self.more_plans)
                  if start <= us and (end is None or us < end)]
        return [plan for _, _, plan in sorted(found)]

    def begins(self, us):
        """Its days began then, unless they had before."""
        day = local_day(us, self.zone)
        self.since = day if self.since is None else min(day, self.since)

    def plans_at(self, us):
        """Names of the plans it has at an instant, in the order in which they are asked."""
        return next((held for start, held in reversed(self.points) if start <= us), [])
