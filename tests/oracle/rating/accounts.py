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

    def plans_at(self, us):
        """Names of the plans it has at an instant, in the order in which they are asked."""
        known = [plan for start, plan in self.plans if start <= us]
        found = [(self.priority, 0, known[-1])] if known and known[-1] is not None else []
        found += [(priority, 1 + place, plan) for place, (priority, plan, start, end) in enumerate(self.more_plans)
                  if start <= us and (end is None or us < end)]
        return [plan for _, _, plan in sorted(found)]
