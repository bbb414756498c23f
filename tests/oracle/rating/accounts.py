"""An account as the oracle keeps it: money, credit, plans over time, buckets, counters, state."""

from dataclasses import dataclass, field
from fractions import Fraction


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
    spans: list = field(default_factory=list)           # (from us, names of plans), ascending; see `points`

    def points(self):
        """Instants at which its plans change, each with those it has from then on, in the order they are asked."""
        if not self.spans:
            instants = {us for us, _ in self.plans} | {us for _, _, *ends in self.more_plans for us in ends if us}
            self.spans = [(us, self.listed_at(us)) for us in sorted(instants)]
        return self.spans

    def listed_at(self, us):
        """What it was given, before any command."""
        known = [plan for start, plan in self.plans if start <= us]
        found = [(self.priority, 0, known[-1])] if known and known[-1] is not None else []
        found += [(priority, 1 + place, plan) for place, (priority, plan, start, end) in enumerate(self.more_plans)
                  if start <= us and (end is None or us < end)]
        return [plan for _, _, plan in sorted(found)]

    def plans_at(self, us):
        """Names of the plans it has at an instant, in the order in which they are asked."""
        known = [plans for start, plans in self.points() if start <= us]
        return known[-1] if known else []

    def change_plan(self, us, plan):
        """From an instant until the next change that is known it has this plan alone."""
        self.spans = sorted([span for span in self.points() if span[0] != us] + [(us, [plan])])
