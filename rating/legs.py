"""Charge legs: further charges of an event, each on its own account by its own plan.

They are rows of the block that is folded, behind the row of their event and in the order of the tariff's list: what a
batch holds or where it is cut changes nothing, and an account may have usage of its own and be charged by legs too.
Versions without legs cost nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rating.kernels.layout import (
    C_LEG,
    C_LEGS,
    C_REASON,
    C_ROW,
    C_VERSION,
    CHOICE,
    MAX_PLANS,
    U_ACCOUNT,
    U_OTHER_NETWORK,
)
from reference_data.tariffs.compile import Tariffs
from schemas.columns import ABSENT, I64
from schemas.usage import USAGE

_LANE, _GROUP = USAGE.index("lane"), USAGE.index("group_id")
# (leg rows of usage, what prices them: see `select_nb`, choice to fill)
Select = Callable[[I64, I64, I64], None]


class Legs:
    """The legs of all versions, against the names of a batch. plans: names that the book has before theirs."""

    def __init__(self, tariffs: Tariffs, labels: Mapping[str, Sequence[str]] | None, plans: int) -> None:
        networks = list((labels or {}).get("other_network", ()))
        self._terms: dict[int, list[tuple[int, int, I64]]] = {}
        for version in tariffs.versions:
            label = tariffs.labels["tariff_version"].index(version.name)
            for leg in version.legs:
                # By the network's label; the last is that of events without one.
                accounts = np.full(len(networks) + 1, ABSENT if leg.account is None else leg.account, np.int64)
                for place, name in enumerate(networks):
                    accounts[place] = leg.accounts.get(name, accounts[place])
                self._terms.setdefault(label, []).append((
                    len(self._terms.get(label, ())) + 1, plans + tariffs.labels["plan"].index(leg.plan), accounts))

    def __bool__(self) -> bool:
        return bool(self._terms)

    def add(self, usage: I64, low: int, high: int, chosen: I64, select: Select) -> tuple[I64, I64]:
        """Usage rows [low, high) and what was chosen for them, with the rows of their legs behind each."""
        legs = self._covered(usage, low, chosen)
        if not legs.shape[1]:
            return np.ascontiguousarray(usage[:, low:high]), chosen
        row, number, account, plan = legs
        further = np.take(usage, low + row, axis=1)
        further[U_ACCOUNT], further[_GROUP], further[_LANE] = account, ABSENT, ABSENT
        priced = np.empty((CHOICE, row.size), np.int64)
        select(further, np.stack([plan, chosen[C_ROW, row]]), priced)
        priced[C_LEG] = number
        count = high - low
        order = np.lexsort((np.concatenate([np.zeros(count, np.int64), number]),
                            np.concatenate([np.arange(count), row])))
        return (np.take(np.concatenate([usage[:, low:high], further], axis=1), order, axis=1),
                np.take(np.concatenate([chosen, priced], axis=1), order, axis=1))

    def _covered(self, usage: I64, low: int, chosen: I64) -> I64:
        """(row, number, account, plan) of every leg that covers an event and has an account for it, (4, n)."""
        found = [np.empty((4, 0), np.int64)]
        covered = np.flatnonzero((chosen[C_REASON] == 0) & (chosen[C_LEGS] != 0))
        for label in np.unique(chosen[C_VERSION, covered]).tolist():
            rows = covered[chosen[C_VERSION, covered] == label]
            for number, plan, accounts in self._terms.get(label, ()):
                at = rows[chosen[C_LEGS, rows] >> number - 1 & 1 == 1]
                network = usage[U_OTHER_NETWORK, low + at]
                account = accounts[np.where((network < 0) | (network >= accounts.size), accounts.size - 1, network)]
                found.append(np.stack([at, np.full_like(at, number), account, np.full_like(at, plan)])[
                    :, account != ABSENT])
        return np.concatenate(found, axis=1)


def plans_of_legs(tariffs: Tariffs) -> I64:
    """Further rows of `select_nb`'s plan_of: each plan of the tariff alone."""
    rows = np.full((len(tariffs.labels["plan"]), MAX_PLANS), -1, np.int64)
    rows[:, 0] = np.arange(rows.shape[0])
    return rows


def leg_name(tariffs: Tariffs, time_us: int, leg: int) -> str:
    """What the tariff in force at an instant calls a leg; "" where it has no such leg."""
    version = tariffs.version_at(time_us)
    return version.legs[leg - 1].name if version is not None and leg <= len(version.legs) else ""
