"""A balance book as Arrow tables and back: canonical, so that equal books give equal tables.

Snapshots of earlier releases are these tables; today's are the book as it lies (`book_items.py`). Version 2 has what
accounts came to have later: granted buckets, options, friends, validity. Version 1 is read still.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rating.arrays import aligned, grown
from rating.book import NEVER_US, NO_CLOCK_US, BalanceBook, zone_tables
from rating.days import begin_days
from rating.friends import friends_to_arrow, restore_friends
from rating.holds import holds_to_arrow, restore_holds
from rating.kernels.layout import (
    B_CLOCK,
    B_GONE,
    B_HORIZON,
    B_LATENESS,
    B_SESSIONS,
    B_THROUGH,
    B_UNTIL,
    DAY_MASK,
    F_ACCOUNT,
    F_CREDIT,
    F_PLAN,
    F_PLAN_FROM,
    F_PLAN_NEXT,
    F_SHARED,
    F_SPILL,
    F_TRAITS,
    L_SINCE,
    L_VALID,
    LIFE_WORDS,
    MONEY,
    N_FROM,
    N_NEXT,
    N_PLAN,
    PROFILE_WORDS,
    RECORD_WORDS,
    SESSION_WORDS,
    STATE,
    TRAIT_CURRENCY,
    TRAIT_PAYMENT,
    TRAIT_SINCE,
    TRAIT_ZONE,
    X_HI,
    X_LO,
)
from rating.kernels.sessions import rehash_nb
from rating.online_table import OnlineSessions
from rating.reservations import Reservations
from reference_data.changes import COLUMNS as CHANGE_COLUMNS
from reference_data.changes import Changes
from schemas.columns import I64
from schemas.errors import LedgerError

VERSION = 2
READ_VERSIONS = (1, 2)
SESSION_COLUMNS = ("key_hi", "key_lo", "position", "paid_position", "numerator", "charged_nanos",
                   "minimum_numerator", "family_key", "connected", "last_time_us", "maximum_numerator", "tax_nanos",
                   "began_us", "steps", "tier_numerator", "reached_at")
_SCALARS = {"clock_us": B_CLOCK, "lateness_us": B_LATENESS, "horizon_us": B_HORIZON, "through_day": B_THROUGH,
            "until_us": B_UNTIL, "gone_us": B_GONE}
_SLICE = 1 << 14  # sessions that are copied at a time: so few that memory is used again
_METADATA = {"tarifa.book": str(VERSION)}


@dataclass(frozen=True)
class SlicedTable:
    """A table that is made slice by slice whenever somebody goes through it, so that it is never there whole."""

    schema: pa.Schema
    to_batches: Callable[[], Iterator[pa.RecordBatch]]

    def whole(self) -> pa.Table:
        """All slices at once."""
        return pa.Table.from_batches(self.to_batches(), self.schema)


def to_arrow(book: BalanceBook) -> dict[str, pa.Table]:
    """Tables `accounts`, `buckets`, `plans`, `sessions`, `commands`, `friends`, `holds`, `scalars`, and those of
    sessions in real time, `online_sessions`, `online_services`, `online_scalars`; `changes`, `reservations`.

    Accounts are in the order of opening, the rest in the order of what names it.
    """
    return {**_small_tables(book), "sessions": sessions_of(book).whole().combine_chunks()}


def _small_tables(book: BalanceBook) -> dict[str, pa.Table]:
    """All tables but the open sessions."""
    profile, records = book.profile, book.records
    traits = profile[:, F_TRAITS]
    shared = profile[:, F_SHARED]
    shared_id = np.where(shared >= 0, book.account_ids[np.maximum(shared, 0)], -1) if len(book) else shared
    accounts = pa.table({
        "account_id": profile[:, F_ACCOUNT], "money_nanos": records[:, MONEY], "state": records[:, STATE],
        "shared_account_id": shared_id, "credit_limit_nanos": profile[:, F_CREDIT], "anchor_day": traits & 0xFF,
        "currency": _named(traits >> TRAIT_CURRENCY & 0xFFF, book.currencies),
        "time_zone": _named(traits >> TRAIT_ZONE & 0xFFFF, book.time_zones),
        "payment": traits >> TRAIT_PAYMENT & 0xF, "since_us": book.life[:, L_SINCE],
        "valid_until_us": book.life[:, L_VALID], "days_since": traits >> TRAIT_SINCE & DAY_MASK})
    rows, ids, left, from_us, to_us = book.buckets()
    buckets = pa.table({"account_id": book.account_ids[rows], "bucket_id": ids, "remaining": left, "from_us": from_us,
                        "to_us": to_us})
    tables = {
        "accounts": accounts, "buckets": buckets, "plans": _plans(book),
        "commands": pa.table({"digest": pa.array(sorted(book.applied), pa.binary(16))}),
        "friends": friends_to_arrow(book), "holds": holds_to_arrow(book), "changes": changes_of(book.changes),
        "reservations": book.reservations.to_arrow(),
        **book.online.tables(),
        "scalars": pa.table({name: [int(book.scalars[i])] for name, i in _SCALARS.items()})}
    return {name: t.replace_schema_metadata(_METADATA) for name, t in tables.items()}


def from_arrow(tables: dict[str, pa.Table]) -> BalanceBook:
    """The book that `to_arrow` wrote. Raises LedgerError on a version that this release does not read."""
    for name, table in tables.items():
        found = (table.schema.metadata or {}).get(b"tarifa.book", b"none").decode()
        if found not in map(str, READ_VERSIONS):
            raise LedgerError(f"snapshot table {name} of book version {found}",
                              "version " + " or ".join(map(str, READ_VERSIONS)))
    book = BalanceBook()
    book.scalars[B_GONE] = NO_CLOCK_US  # unless it says so: snapshots of earlier releases do not
    for name, at in _SCALARS.items():
        if name in tables["scalars"].column_names:
            book.scalars[at] = tables["scalars"][name][0].as_py()
    accounts = tables["accounts"]
    count = accounts.num_rows
    book.records, book.profile = grown(aligned(0, RECORD_WORDS), count), grown(aligned(0, PROFILE_WORDS), count)
    book.life = grown(aligned(0, LIFE_WORDS), count)
    book.life[:, L_SINCE] = _column(accounts, "since_us", NO_CLOCK_US)
    book.life[:, L_VALID] = _column(accounts, "valid_until_us", NEVER_US)
    currency, book.currencies = _places(accounts, "currency")
    zone, book.time_zones = _places(accounts, "time_zone")
    book.zones = zone_tables(book.time_zones)
    book.profile[:, F_ACCOUNT] = accounts["account_id"].to_numpy()
    book.profile[:, F_CREDIT] = accounts["credit_limit_nanos"].to_numpy()
    book.profile[:, F_TRAITS] = (accounts["anchor_day"].to_numpy() | currency << TRAIT_CURRENCY | zone << TRAIT_ZONE
                                 | accounts["payment"].to_numpy() << TRAIT_PAYMENT)
    book.profile[:, [F_PLAN, F_PLAN_NEXT, F_SPILL]] = -1
    book.records[:, MONEY] = accounts["money_nanos"].to_numpy()
    book.records[:, STATE] = accounts["state"].to_numpy()
    book.reindex()
    shared = accounts["shared_account_id"].to_numpy()
    book.profile[:, F_SHARED] = np.where(shared < 0, -1, book.rows_of(shared))
    _restore_plans(book, tables["plans"])
    buckets = tables["buckets"]
    book.set_buckets(book.rows_of(_column(buckets, "account_id")), _column(buckets, "bucket_id"),
                     _column(buckets, "remaining"), _column(buckets, "from_us"), _column(buckets, "to_us"))
    if "days_since" in accounts.column_names:
        book.profile[:, F_TRAITS] |= accounts["days_since"].to_numpy() << TRAIT_SINCE
    elif book.scalars[B_CLOCK] != NO_CLOCK_US:  # an earlier release did not ask
        begin_days(book, np.arange(count), int(book.scalars[B_CLOCK]))
    if "friends" in tables:  # not in the first releases' snapshots
        restore_friends(book, tables["friends"])
    if "holds" in tables:  # not before reservations
        restore_holds(book, tables["holds"])
    if "changes" in tables:  # not before identities were changed by commands
        restore_changes(book, tables["changes"])
    if "reservations" in tables:  # not before commands reserved money
        book.reservations = Reservations.from_arrow(tables["reservations"])
    book.online = OnlineSessions.from_tables(tables)
    restore_sessions(book, tables["sessions"])
    book.applied = set(tables["commands"]["digest"].to_pylist())
    return book


def same_state(one: BalanceBook, other: BalanceBook) -> bool:
    """Whether two books hold the same, however they came to it."""
    left, right = to_arrow(one), to_arrow(other)
    return all(left[name].equals(right[name]) for name in left)


def _column(table: pa.Table, name: str, default: int = 0) -> I64:
    """A column; all `default` where an older version did not have it."""
    if name not in table.column_names:
        return np.full(table.num_rows, default, np.int64)
    return np.ascontiguousarray(table[name].to_numpy(), np.int64)


def sessions_of(book: BalanceBook) -> SlicedTable:
    """Open sessions by their key, as they are now: the book must not change until the last slice was taken."""
    schema = pa.schema([pa.field(name, pa.int64()) for name in SESSION_COLUMNS], _METADATA)
    table = book.sessions
    rows = np.flatnonzero((table[:, X_HI] != 0) | (table[:, X_LO] != 0))
    upper = table[rows, X_HI]
    order = np.argsort(upper)  # keys are hashes: two with the same upper half are rare
    if (np.diff(upper[order]) == 0).any():
        order = np.lexsort((table[rows, X_LO], upper))
    rows = rows[order]

    def slices() -> Iterator[pa.RecordBatch]:
        for start in range(0, rows.size, _SLICE):
            part = np.ascontiguousarray(table[rows[start:start + _SLICE]].T)
            yield pa.record_batch([pa.array(column) for column in part], schema=schema)

    return SlicedTable(schema, slices)


def restore_sessions(book: BalanceBook, sessions: pa.Table) -> None:
    """The sessions that `sessions_of` wrote."""
    capacity = 1024
    while 3 * capacity < 4 * sessions.num_rows:
        capacity *= 2
    book.sessions = aligned(capacity, SESSION_WORDS)
    count = 0
    for start in range(0, sessions.num_rows, _SLICE):
        part = sessions.slice(start, _SLICE)
        rows = np.stack([_column(part, name) for name in SESSION_COLUMNS], axis=1)
        count += int(rehash_nb(rows, book.sessions, NO_CLOCK_US))
    book.scalars[B_SESSIONS] = count


def changes_of(changes: Changes) -> pa.Table:
    """Points in the order of the journal; what the ledger has beside them is not needed here."""
    cells = changes.to_cells()
    return pa.table({f"identity_{name}": cells[name] for name in CHANGE_COLUMNS})


def restore_changes(book: BalanceBook, changes: pa.Table) -> None:
    """The points that `changes_of` wrote."""
    book.changes.extend({name: _column(changes, "identity_" + name) for name in CHANGE_COLUMNS})


def _named(index: I64, names: list[str]) -> pa.Array:
    return pa.array(np.array(names or [""], object)[index] if index.size else [], pa.string())


def _places(table: pa.Table, name: str) -> tuple[I64, list[str]]:
    column = table[name].combine_chunks().dictionary_encode()
    return column.indices.to_numpy().astype(np.int64), column.dictionary.to_pylist()


def _plans(book: BalanceBook) -> pa.Table:
    """Change points of every account, ascending; a plan of "" ends the one before."""
    heads = np.flatnonzero(book.profile[:, F_PLAN_FROM] > -(1 << 60)) if len(book) else np.zeros(0, np.int64)
    account, start, plan = [book.account_ids[heads]], [book.profile[heads, F_PLAN_FROM]], [book.profile[heads, F_PLAN]]
    owner, at = book.account_ids[heads], book.profile[heads, F_PLAN_NEXT]
    while (at >= 0).any():  # one round for each older change point, all accounts at once
        owner, at = owner[at >= 0], at[at >= 0]
        account.append(owner)
        start.append(book.nodes[at, N_FROM])
        plan.append(book.nodes[at, N_PLAN])
        at = book.nodes[at, N_NEXT]
    accounts, starts, plans = np.concatenate(account), np.concatenate(start), np.concatenate(plan)
    order = np.lexsort((starts, accounts))
    names = np.array([*book.plans, ""], object)  # -1 is the last
    return pa.table({"account_id": accounts[order], "from_us": starts[order],
                     "plan": pa.array(names[plans[order]] if order.size else [], pa.string())})


def _restore_plans(book: BalanceBook, plans: pa.Table) -> None:
    place, names = _places(plans, "plan")
    book.plans = [name for name in names if name]
    number = np.array([book.plans.index(name) if name else -1 for name in names] or [0], np.int64)[place]
    book.chain_plans(book.rows_of(plans["account_id"].to_numpy()), plans["from_us"].to_numpy(), number)
