"""Charge legs: further charges of an event, each on its own account by its own plan.

They are rows that are folded behind their event, in the order of the tariff's list: what a batch holds or where it is
cut changes nothing, and an account may have usage of its own and be charged by legs too. Versions without legs cost
nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rating.gathered import apart
from rating.kernels.layout import C_ASK, C_LEG, C_REASON, CHARGE, CHARGED_BEFORE, CHOICE, MAX_PLANS, NOT_CHARGED
from rating.kernels.legs import cover_nb, interleave_nb
from reference_data.tariffs.compile import Tariffs
from schemas.columns import ABSENT, I64

# (what prices legs: see `select_nb`, how many, their choice to fill)
Select = Callable[[I64, int, I64], None]


class Legs:
    """The legs of all versions, against the names of a batch. plans: names that the book has before theirs."""

    def __init__(self, tariffs: Tariffs, labels: Mapping[str, Sequence[str]] | None, plans: int) -> None:
        networks = list((labels or {}).get("other_network", ()))
        terms: list[list[tuple[int, I64]]] = [[] for _ in tariffs.labels["tariff_version"]]
        for version in tariffs.versions:
            for leg in version.legs:
                # By the network's label; the last is that of events without one.
                accounts = np.full(len(networks) + 1, ABSENT if leg.account is None else leg.account, np.int64)
                for place, name in enumerate(networks):
                    accounts[place] = leg.accounts.get(name, accounts[place])
                terms[tariffs.labels["tariff_version"].index(version.name)].append(
                    (plans + tariffs.labels["plan"].index(leg.plan), accounts))
        # Of a version's label, rows [first[label], first[label + 1]) of plan and accounts.
        self.most = max(map(len, terms), default=0)
        self._first = np.cumsum([0, *map(len, terms)])
        self._plan = np.array([plan for term in terms for plan, _ in term], np.int64)
        self._accounts = np.array([accounts for term in terms for _, accounts in term], np.int64).reshape(
            self._plan.size, len(networks) + 1)
        self._room, self._terms, self._priced, self._merged = 0, apart(2, 0), apart(CHOICE, 0), apart(CHOICE, 0)

    def __bool__(self) -> bool:
        return self.most > 0

    def add(self, usage: I64, rows: int, chosen: I64, select: Select) -> tuple[I64, int]:
        """The first `rows` rows that were chosen, with the rows of their legs behind each, and how many that are.

        They hold until the next call.
        """
        if rows > self._room:
            self._room = rows
            self._terms, self._priced = apart(2, self.most * rows), apart(CHOICE, self.most * rows)
            self._merged = apart(CHOICE, (self.most + 1) * rows)
            self._priced[C_ASK] = CHARGE
        legs = cover_nb(usage, chosen, rows, self._first, self._plan, self._accounts, self._terms, self._priced)
        if not legs:
            return chosen, rows
        select(self._terms, legs, self._priced)
        return self._merged, interleave_nb(chosen, rows, self._priced, legs, self._merged)


def keep_legs(choice: I64, wanted: I64) -> None:
    """Of a block whose events were charged before: only these legs. wanted: bit n of an event for its leg n."""
    leg = choice[C_LEG]
    event = np.cumsum(leg == 0) - 1
    choice[C_REASON] = np.where(leg == 0, CHARGED_BEFORE, np.where(wanted[event] >> leg & 1 == 1, choice[C_REASON],
                                                                  NOT_CHARGED))


def plans_of_legs(tariffs: Tariffs) -> I64:
    """Further rows of `select_nb`'s plan_of: each plan of the tariff alone."""
    rows = np.full((len(tariffs.labels["plan"]), MAX_PLANS), -1, np.int64)
    rows[:, 0] = np.arange(rows.shape[0])
    return rows


def leg_name(tariffs: Tariffs, time_us: int, leg: int) -> str:
    """What the tariff in force at an instant calls a leg; "" where it has no such leg."""
    version = tariffs.version_at(time_us)
    return version.legs[leg - 1].name if version is not None and leg <= len(version.legs) else ""
