"""Customers, accounts, services and the resources that identify them, as of event time and as of record time.

Resources, services and accounts are joined once at loading: a lookup meets one directory word and, mostly, one
cache line that already names account, service and group.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reference_data import tables
from reference_data.kernels.intervals import (
    FIRST,
    FOREVER,
    SECOND,
    THIRD,
    TOKEN,
    VALID_FROM,
    WIDTH,
    find_rows_nb,
    first_double_nb,
    join_nb,
)
from reference_data.kernels.texts import BAD_VALUE, tokens_nb
from reference_data.tables import INTERVAL
from schemas.codes import Identity
from schemas.columns import I64
from schemas.errors import ReferenceDataError

NOW = FOREVER - 1  # as recorded today: what the newest rows say
KINDS = {"msisdn": int(Identity.MSISDN), "imsi": int(Identity.IMSI), "ip_address": int(Identity.IP_ADDRESS)}
FILES = ("accounts", "plans", "services", "resources", "ported")  # Parquet files of the operator's folder
ACCOUNTS = {"account_id": "int", "customer_id": "int", "group_id": "int", "shared_account_id": "int?",
            "payment": "text", "currency": "text", "credit_limit": "text?", "opening_balance": "text?",
            "time_zone": "text?", "anchor_day": "int?", "state": "text?"}
SERVICES = {"service_id": "int", "account_id": "int", "kind": "text?", **INTERVAL}
RESOURCES = {"kind": "text", "value": "text", "service_id": "int", **INTERVAL}
PLANS = {"account_id": "int", "plan": "text", **INTERVAL}
PORTED = {"number": "text", "network": "text", **INTERVAL}
PAYMENT = {"prepaid": 0, "postpaid": 1}


@dataclass(frozen=True)
class IntervalIndex:
    """rows (n, 8) int64 sorted by token (see `kernels.intervals`); directory[token >> shift] is where to look."""

    rows: npt.NDArray[np.int64]
    directory: npt.NDArray[np.int32]
    shift: int

    @classmethod
    def build(cls, rows: npt.NDArray[np.int64]) -> "IntervalIndex":
        bits = max(1, min(26, int(rows.shape[0]).bit_length()))
        rows = np.ascontiguousarray(rows[np.lexsort((rows[:, VALID_FROM], rows[:, TOKEN]))]) \
            if rows.shape[0] < 1 << 16 else rows[np.argsort(rows[:, TOKEN], kind="stable")]
        shift = 63 - bits
        counts = np.bincount(rows[:, TOKEN] >> shift, minlength=1 << bits)
        directory = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        for array in (rows, directory):
            array.setflags(write=False)
        return cls(rows, directory, shift)

    def find(self, tokens: I64, time_us: I64, recorded_us: int = NOW) -> I64:
        """Row per token, UNKNOWN (-1) or NOT_THEN (-2)."""
        found = np.empty(tokens.size, np.int64)
        find_rows_nb(np.ascontiguousarray(tokens), np.ascontiguousarray(time_us), recorded_us, self.directory,
                     self.shift, self.rows, found)
        return found


@dataclass(frozen=True)
class AccountIds:
    """What is looked up of accounts, (n,) each, sorted by account_id."""

    account_id: I64
    group_id: I64


@dataclass(frozen=True)
class Accounts:
    """Columns of accounts.parquet, (n,) each, sorted by account_id. Money in nano-units."""

    account_id: I64
    customer_id: I64
    group_id: I64
    shared_account_id: I64   # ABSENT: shares nobody's
    payment: I64             # PAYMENT
    currency: I64            # row of currencies
    credit_limit_nanos: I64
    opening_balance_nanos: I64
    time_zone: I64           # row of time_zones, ABSENT: the operator's
    anchor_day: I64          # day of month on which cycles begin, 1 where not given
    state: I64               # row of states, ABSENT: active
    currencies: tuple[str, ...]
    time_zones: tuple[str, ...]
    states: tuple[str, ...]


@dataclass(frozen=True)
class Plans:
    """Columns of plans.parquet, (n,) each, sorted by account, start and time of recording."""

    account_id: I64
    plan: I64                # row of names
    valid_from_us: I64
    valid_to_us: I64         # FOREVER: open
    recorded_from_us: I64
    recorded_to_us: I64
    names: tuple[str, ...]


@dataclass(frozen=True)
class Inventory:
    """holders: identity token to (account_id, service_id, group_id); ported: MSISDN token to a row of networks.

    The other columns of accounts and plans were checked, and are not kept: the book has what charging needs of them.
    """

    accounts: AccountIds
    holders: IntervalIndex
    ported: IntervalIndex
    networks: tuple[str, ...]
    content: tuple[tuple[str, int], ...]  # file name and hash of its rows
    service_ids: I64          # of services.parquet, ascending

    def has_service(self, service_id: int) -> bool:
        """Whether services.parquet has it."""
        return bool(_rows_of(self.service_ids, np.array([service_id], np.int64))[0] >= 0)

    def account_rows(self, account_id: I64) -> I64:
        """Row of `accounts` for each id; -1 where there is none."""
        return _rows_of(self.accounts.account_id, account_id)


def load_inventory(folder: Path, token_key: tuple[int, int]) -> Inventory:
    """Read accounts, services, resources, plans and ported numbers. Raises ReferenceDataError."""
    content: list[tuple[str, int]] = []

    def read(name: str, declared: tables.Declared) -> tuple[pa.Table, Path]:
        path = folder / f"{name}.parquet"
        table = tables.read_table(path, declared)
        content.append((name, tables.table_hash(table)))
        return table, path

    accounts = check_accounts(*read("accounts", ACCOUNTS))
    known = AccountIds(accounts.account_id, accounts.group_id)
    check_plans(*read("plans", PLANS), accounts)
    services = _services(*read("services", SERVICES), accounts)
    holders = _holders(*read("resources", RESOURCES), services, token_key)
    ported, networks = _ported(*read("ported", PORTED), token_key)
    return Inventory(known, holders, ported, networks, tuple(content), _frozen(services.rows[:, 4]))


def _rows_of(sorted_ids: I64, ids: I64) -> I64:
    if sorted_ids.size == 0:
        return np.full(ids.size, -1, np.int64)
    place = np.minimum(np.searchsorted(sorted_ids, ids), sorted_ids.size - 1)
    return np.where(sorted_ids[place] == ids, place, -1)


def _frozen(array: I64) -> I64:
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array


def check_accounts(table: pa.Table, path: Path) -> Accounts:
    """Columns of accounts.parquet. Raises ReferenceDataError."""
    order = np.argsort(tables.integers(table, "account_id"), kind="stable")
    ids = tables.integers(table, "account_id")[order]
    if (ids[1:] == ids[:-1]).any() or (ids[:1] < 0).any():
        raise ReferenceDataError(f"{path.name}: an account_id is negative or appears twice",
                                 "each account once, ids >= 0", "remove the extra rows")
    anchor = tables.integers(table, "anchor_day", 1)
    if ((anchor < 1) | (anchor > 31)).any():
        raise ReferenceDataError(f"{path.name}, anchor_day: {anchor[(anchor < 1) | (anchor > 31)][0]}", "1 to 31",
                                 "correct the rows")
    currency, currencies = tables.named(table, "currency")
    time_zone, time_zones = tables.named(table, "time_zone")
    state, states = tables.named(table, "state")
    columns = [ids, *(c[order] for c in (
        tables.integers(table, "customer_id"), tables.integers(table, "group_id"),
        tables.integers(table, "shared_account_id", -1), tables.codes(table, "payment", path, PAYMENT), currency,
        tables.nanos(table, "credit_limit", path), tables.nanos(table, "opening_balance", path), time_zone, anchor,
        state))]
    shared = columns[3]
    if (_rows_of(ids, shared[shared >= 0]) < 0).any():
        raise ReferenceDataError(f"{path.name}, shared_account_id: an account that is not in the file",
                                 "an account_id of the file", "add the account or clear the share")
    (account, customer, group, share, payment, money, limit, opening, zone, day, condition) = map(_frozen, columns)
    return Accounts(account, customer, group, share, payment, money, limit, opening, zone, day, condition, currencies,
                    time_zones, states)


def check_plans(table: pa.Table, path: Path, accounts: Accounts) -> Plans:
    """Columns of plans.parquet. Raises ReferenceDataError."""
    account = tables.integers(table, "account_id")
    _check_known(path, "account_id", _rows_of(accounts.account_id, account), account, "accounts.parquet")
    sides = tables.interval_columns(table, path)
    plan, names = tables.named(table, "plan")
    order = np.lexsort((plan, sides[:, 2], sides[:, 0], account))
    valid_from, valid_to, recorded_from, recorded_to = (_frozen(side[order]) for side in sides.T)
    return Plans(_frozen(account[order]), _frozen(plan[order]), valid_from, valid_to, recorded_from, recorded_to, names)


@dataclass(frozen=True)
class _Services:
    rows: npt.NDArray[np.int64]  # (m, 6): interval, service_id, account_id; sorted by service_id
    group: I64


def _services(table: pa.Table, path: Path, accounts: Accounts) -> _Services:
    account = tables.integers(table, "account_id")
    account_row = _rows_of(accounts.account_id, account)
    _check_known(path, "account_id", account_row, account, "accounts.parquet")
    service = tables.integers(table, "service_id")
    rows = np.column_stack([tables.interval_columns(table, path), service, account])
    order = np.argsort(service, kind="stable")
    return _Services(np.ascontiguousarray(rows[order]), _frozen(accounts.group_id[account_row][order]))


def _holders(table: pa.Table, path: Path, services: _Services, token_key: tuple[int, int]) -> IntervalIndex:
    kind = tables.codes(table, "kind", path, KINDS)
    tokens = _tokens(table, path, "value", kind, token_key)
    service = tables.integers(table, "service_id")
    ids = services.rows[:, 4].copy()
    first = np.searchsorted(ids, service)
    known = ids[np.minimum(first, max(ids.size - 1, 0))] == service if ids.size else np.zeros(service.size, bool)
    _check_known(path, "service_id", np.where(known, 0, -1), service, "services.parquet")
    sides = tables.interval_columns(table, path)
    arguments = (tokens, sides, service, first, services.rows, services.group)
    count = join_nb(*arguments, np.empty((0, WIDTH), np.int64))
    joined = np.empty((count, WIDTH), np.int64)
    join_nb(*arguments, joined)
    # A resource that no service held for a moment is still known: an empty interval keeps its token.
    held = np.isin(tokens, joined[:, TOKEN]) if count < tokens.size else np.ones(tokens.size, bool)
    known_only = np.zeros((int((~held).sum()), WIDTH), np.int64)
    known_only[:, TOKEN] = tokens[~held]
    index = IntervalIndex.build(np.concatenate([joined, known_only]))
    double = first_double_nb(index.rows)
    if double >= 0:
        row = index.rows[double]
        raise ReferenceDataError(f"{path.name}: a resource of service {row[SECOND]} (account {row[FIRST]}, group "
                                 f"{row[THIRD]}) is held by another service at the same time", "one holder at a time",
                                 "end the earlier interval")
    return index


def _ported(table: pa.Table, path: Path, token_key: tuple[int, int]) -> tuple[IntervalIndex, tuple[str, ...]]:
    network, networks = tables.named(table, "network")
    kind = np.full(table.num_rows, KINDS["msisdn"], np.int64)
    rows = np.zeros((table.num_rows, WIDTH), np.int64)
    rows[:, TOKEN] = _tokens(table, path, "number", kind, token_key)
    rows[:, VALID_FROM:VALID_FROM + 4] = tables.interval_columns(table, path)
    rows[:, FIRST] = network
    rows[:, SECOND] = network
    return IntervalIndex.build(rows), networks


def _tokens(table: pa.Table, path: Path, name: str, kind: I64, token_key: tuple[int, int]) -> I64:
    tokens = np.empty(table.num_rows, np.int64)
    tokens_nb(*tables.texts(table, name), kind, np.uint64(token_key[0]), np.uint64(token_key[1]), tokens)
    bad = tokens == BAD_VALUE
    if bad.any():  # the row, not the value: it may be somebody's number
        raise ReferenceDataError(f"{path.name}, {name}: {int(bad.sum())} values that are no number or address, the "
                                 f"first in row {int(bad.argmax())}", "1 to 15 digits, or an IP address",
                                 "correct the rows")
    return tokens


def tokens_of(values: pa.Array, kind: Identity, token_key: tuple[int, int]) -> I64:
    """Tokens of numbers or addresses as text, (n,). Raises ReferenceDataError: a value that is neither."""
    table = pa.table({"value": values.cast(pa.large_string())})
    return _tokens(table, Path("values"), "value", np.full(len(values), int(kind), np.int64), token_key)


def _check_known(path: Path, name: str, rows: I64, ids: I64, other: str) -> None:
    missing = rows < 0
    if missing.any():
        raise ReferenceDataError(f"{path.name}, {name}: {int(missing.sum())} rows name one that {other} does not "
                                 f"have, the first {int(ids[missing.argmax()])}", f"ids of {other}",
                                 "add it or remove the rows")
