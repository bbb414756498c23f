"""Allowances that roll over, as every version says them: what moves at the end of a cycle, and what one comes to."""

from collections.abc import Sequence

import numpy as np

from reference_data.tariffs.model import TariffVersion
from reference_data.tariffs.rows import definition_key
from schemas.columns import I64

Rolls = tuple[I64, I64, I64, I64, I64, I64]


def rolls_of(versions: Sequence[TariffVersion], plans: Sequence[str], currencies: Sequence[str]) -> Rolls:
    """Columns key (bucket id without the day), from us, plan, cap, amount, currency; ascending by key, then time.

    A row of every version for each allowance that rolls over in one: cap 0 where it does not, amount 0 and currency -1
    where there is none. plans, currencies: names that the tariff's labels index.
    """
    known = [{definition_key(plan.name, a): (a.rollover_cap, a.amount, currencies.index(plan.currency
                                                                                        or version.currency))
              for plan in version.plans.values() for a in plan.allowances} for version in versions]
    plan_of = {definition_key(plan.name, a): plans.index(plan.name) for version in versions
               for plan in version.plans.values() for a in plan.allowances if a.rollover_cap}
    rows = [(key, version.active_from_us, plan_of[key], *found.get(key, (0, 0, -1))) for key in sorted(plan_of)
            for version, found in zip(versions, known, strict=True)]
    columns = np.array(rows, np.int64).reshape(-1, 6)
    key, start, plan, cap, amount, currency = (np.ascontiguousarray(columns[:, i]) for i in range(6))
    return key, start, plan, cap, amount, currency
