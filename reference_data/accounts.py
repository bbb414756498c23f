"""Accounts and their plans over time, as columns: accounts.parquet and plans.parquet of the operator's folder."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reference_data.operator import load_operator
from schemas.columns import ABSENT, I64
from schemas.errors import ReferenceDataError
from schemas.money import MAX_NANOS, parse_money
from schemas.timepoint import is_time_zone

PAYMENTS = ("prepaid", "postpaid")
STATES = ("pre_active", "active", "one_way", "barred", "terminated", "quarantined")
FOREVER_US = 1 << 62
PLAN_SEPARATOR = "\x1f"  # several plans that an account has at once are one name: theirs by priority, joined
MAX_PLANS = 4
# What accounts.parquet may leave null, beside the zone, which is then the operator's.
_DEFAULTS: dict[str, str | int] = {"credit_limit": "0", "opening_balance": "0", "anchor_day": 1, "state": "active"}


@dataclass(frozen=True)
class Accounts:
    """Accounts (n,), ascending by id, and plan intervals (m,), ascending by account and start.

    account_id, shared_account_id (ABSENT: shares nobody's), payment and state (index into PAYMENTS, STATES),
    currency and time_zone (index into currencies, time_zones), credit_limit_nanos, opening_nanos, anchor_day.
    plan (index into plans) from plan_from_us to before plan_to_us. All int64.
    """

    account_id: I64
    shared_account_id: I64
    payment: I64
    state: I64
    currency: I64
    time_zone: I64
    credit_limit_nanos: I64
    opening_nanos: I64
    anchor_day: I64
    plan_account: I64
    plan: I64
    plan_from_us: I64
    plan_to_us: I64
    currencies: tuple[str, ...]
    time_zones: tuple[str, ...]
    plans: tuple[str, ...]
    valid_until_us: I64 | None = None  # (n,), ABSENT for none; None: the file does not say


def load_accounts(operator_dir: Path) -> Accounts:
    """Read and check both files. Raises ReferenceDataError saying which file and account."""
    accounts = _read(operator_dir / "accounts.parquet")
    if "time_zone" in accounts.column_names and accounts["time_zone"].null_count:
        accounts = _filled(accounts, "time_zone", load_operator(operator_dir / "operator.yaml").time_zone)
    for name, value in _DEFAULTS.items():
        if name in accounts.column_names and accounts[name].null_count:
            accounts = _filled(accounts, name, value)
    return accounts_from_arrow(accounts, _read(operator_dir / "plans.parquet"))


def accounts_from_arrow(accounts: pa.Table, plans: pa.Table) -> Accounts:
    """Check both tables and take their columns; of plans the rows that are still believed (recorded_to null)."""
    needed = ["account_id", "shared_account_id", "payment", "currency", "credit_limit", "opening_balance",
              "time_zone", "anchor_day", "state"]
    _need(accounts, "accounts.parquet", needed)
    _need(plans, "plans.parquet", ["account_id", "plan", "valid_from", "valid_to", "recorded_to"])
    accounts = accounts.sort_by("account_id")
    ids = _integers(accounts, "account_id")
    if ids.size and (ids.min() < 0 or (np.diff(ids) == 0).any()):
        raise ReferenceDataError("accounts.parquet: an account_id is negative or appears twice", "distinct ids >= 0")
    currency, currencies = _names(accounts, "currency")
    zone, zones = _names(accounts, "time_zone")
    for name in zones:
        if not is_time_zone(name):
            raise ReferenceDataError(f"accounts.parquet: time zone {name!r}", "an IANA name such as Europe/Berlin")
    anchor = _integers(accounts, "anchor_day")
    if anchor.size and (anchor.min() < 1 or anchor.max() > 31):
        raise ReferenceDataError("accounts.parquet: an anchor_day outside the month", "1 to 31")
    shared = _integers(accounts, "shared_account_id")
    if not np.isin(shared[shared != ABSENT], ids).all() or (shared == ids).any():
        raise ReferenceDataError("accounts.parquet: a shared_account_id that is no other account",
                                 "an account_id of the file, or null")
    shares = shared != ABSENT
    if (currency[shares] != currency[np.searchsorted(ids, shared[shares])]).any():
        raise ReferenceDataError("accounts.parquet: an account shares one of another currency", "the same currency")
    believed = plans.filter(pc.is_null(plans["recorded_to"])).sort_by(
        [("account_id", "ascending"), ("valid_from", "ascending")])
    plan, names = _names(believed, "plan")
    start, end = _times(believed, "valid_from"), _times(believed, "valid_to")
    end = np.where(end == ABSENT, FOREVER_US, end)
    owner = _integers(believed, "account_id")
    if (end <= start).any():
        raise ReferenceDataError(f"plans.parquet: a plan of account {owner[end <= start][0]} ends before it begins",
                                 "valid_from before valid_to", "close it with recorded_to and write the right one")
    if not np.isin(owner, ids).all():
        raise ReferenceDataError("plans.parquet: a plan of an account that accounts.parquet does not have")
    if ((owner[1:] == owner[:-1]) & (start[1:] < end[:-1])).any():
        rank = _integers(believed, "priority") if "priority" in believed.column_names else np.zeros_like(owner)
        owner, plan, start, end, names = _side_by_side(owner, plan, start, end, rank, names)
    # A plan that only goes on is no change: commands hold until the next change that is known.
    goes_on = (owner[1:] == owner[:-1]) & (plan[1:] == plan[:-1]) & (start[1:] == end[:-1])
    if goes_on.any():
        first, last = np.append(True, ~goes_on), np.append(~goes_on, True)
        owner, plan, start, end = owner[first], plan[first], start[first], end[last]
    return Accounts(ids, shared, _choice(accounts, "payment", PAYMENTS), _choice(accounts, "state", STATES), currency,
                    zone, _money(accounts, "credit_limit"), _money(accounts, "opening_balance"), anchor, owner, plan,
                    start, end, currencies, zones, names,
                    _times(accounts, "valid_until") if "valid_until" in accounts.column_names else None)


def _side_by_side(owner: I64, plan: I64, start: I64, end: I64, rank: I64, names: tuple[str, ...]
                  ) -> tuple[I64, I64, I64, I64, tuple[str, ...]]:
    """Plans that accounts have at once as spans with one joined name each, in the order of priority.

    Raises ReferenceDataError: two plans at once of one priority, or more than MAX_PLANS.
    """
    found: list[tuple[int, int, int, str]] = []
    edges = np.flatnonzero(np.append(True, owner[1:] != owner[:-1])) if owner.size else owner
    for low, high in pairwise([*edges.tolist(), owner.size]):
        account = int(owner[low])
        moments = sorted({*start[low:high].tolist(), *end[low:high].tolist()})
        for begins, ends in pairwise(moments):
            held = [i for i in range(low, high) if start[i] <= begins < end[i]]
            ranks = [int(rank[i]) for i in held]
            if len(set(ranks)) < len(ranks) or len(held) > MAX_PLANS:
                raise ReferenceDataError(
                    f"plans.parquet: plans of account {account} overlap", f"one plan at a time, or up to {MAX_PLANS} "
                    "with a different `priority` each", "close one with recorded_to and write the right one")
            if held:
                joined = PLAN_SEPARATOR.join(names[plan[i]] for i in sorted(held, key=lambda i: int(rank[i])))
                if found and found[-1][0] == account and found[-1][2] == begins and found[-1][3] == joined:
                    found[-1] = (account, found[-1][1], ends, joined)
                else:
                    found.append((account, begins, ends, joined))
    joined_names = tuple(sorted({item[3] for item in found}))
    place = {name: i for i, name in enumerate(joined_names)}
    columns = np.array([(item[0], place[item[3]], item[1], item[2]) for item in found], np.int64).reshape(-1, 4)
    account_of, plan_of, from_us, to_us = (np.ascontiguousarray(columns[:, i]) for i in range(4))
    return account_of, plan_of, from_us, to_us, joined_names


def _filled(accounts: pa.Table, name: str, value: str | int) -> pa.Table:
    """What is null in a column is this, as `inventory.ACCOUNTS` has it."""
    kind = pa.int64() if isinstance(value, int) else pa.string()
    return accounts.set_column(accounts.column_names.index(name), name,
                               accounts[name].cast(kind).fill_null(pa.scalar(value, kind)))


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as problem:
        raise ReferenceDataError(f"{path.name} cannot be read: {problem}", "a Parquet file") from None


def _need(table: pa.Table, file: str, names: list[str]) -> None:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise ReferenceDataError(f"{file} lacks {', '.join(missing)}", "columns " + ", ".join(names))


def _integers(table: pa.Table, name: str) -> I64:
    values: I64 = table[name].cast(pa.int64()).fill_null(ABSENT).to_numpy()
    return np.ascontiguousarray(values)


def _times(table: pa.Table, name: str) -> I64:
    column = table[name].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return np.ascontiguousarray(column.fill_null(ABSENT).to_numpy())


def _names(table: pa.Table, name: str) -> tuple[I64, tuple[str, ...]]:
    """Index of each row's name in the sorted names."""
    column: Any = table[name].cast(pa.string()).combine_chunks().dictionary_encode()
    if column.null_count:
        raise ReferenceDataError(f"{'plans' if name == 'plan' else 'accounts'}.parquet: a row without {name}",
                                 f"{name} in every row")
    written = column.dictionary.to_pylist()
    names = sorted(written)
    place = np.array([names.index(item) for item in written], np.int64)
    return place[column.indices.to_numpy()], tuple(names)


def _choice(table: pa.Table, name: str, known: tuple[str, ...]) -> I64:
    rows, names = _names(table, name)
    unknown = [item for item in names if item not in known]
    if unknown:
        raise ReferenceDataError(f"accounts.parquet: {name} {unknown[0]!r}", "one of " + ", ".join(known))
    return np.array([known.index(item) for item in names] or [0], np.int64)[rows]


def _money(table: pa.Table, name: str) -> I64:
    """Nano-units of decimal text; each distinct text is parsed once."""
    rows, names = _names(table, name)
    try:
        nanos = [parse_money(item) for item in names]
    except ValueError as problem:
        raise ReferenceDataError(f"accounts.parquet: {name}: {problem}", "decimal text such as 10.00") from None
    if any(abs(amount) >= MAX_NANOS for amount in nanos) or (name == "credit_limit" and any(n < 0 for n in nanos)):
        raise ReferenceDataError(f"accounts.parquet: {name} out of range", "a limit >= 0, amounts below 2^61 nanos")
    return np.array(nanos or [0], np.int64)[rows]
