"""The balance book: every account's money, buckets, plan and open sessions, as arrays in lines of the cache.

Balances are nothing but sums of postings: whoever changes a record writes the postings, and `opening` begins them.
"""

import mmap
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rating.kernels.layout import (
    B_CLOCK,
    B_HORIZON,
    B_LATENESS,
    B_SESSIONS,
    B_SPILLED,
    BUCKET_ID,
    F_ACCOUNT,
    F_CREDIT,
    F_PLAN,
    F_PLAN_FROM,
    F_PLAN_NEXT,
    F_SHARED,
    F_SPILL,
    F_TRAITS,
    FRIEND_WORDS,
    MONEY,
    N_FROM,
    N_NEXT,
    N_PLAN,
    NODE_WORDS,
    PROFILE_WORDS,
    RECORD_WORDS,
    S_BUCKET,
    S_NEXT,
    S_REMAINING,
    S_ROW,
    SCALARS,
    SESSION_WORDS,
    SLOTS,
    SPILL_WORDS,
    STATE,
    TRAIT_CURRENCY,
    TRAIT_PAYMENT,
    TRAIT_ZONE,
)
from rating.kernels.maintain import index_accounts_nb
from rating.kernels.sessions import rehash_nb
from reference_data.accounts import FOREVER_US, Accounts
from reference_data.tariffs.compile import Tariffs
from schemas.codes import LedgerAccount, PostingReason, Unit
from schemas.columns import ABSENT, I64, Cells
from schemas.errors import ReferenceDataError
from schemas.rated import BALANCE, POSTING
from schemas.tariff_tables import BUCKET_UNIT_SHIFT
from schemas.timepoint import DAY_S, SECOND_US, zone_offsets

NO_CLOCK_US = -(1 << 60)
OPENING_MOVEMENT = 0x4F50454E  # upper half of the movement id of an account's opening posting; the lower is the account


def aligned(rows: int, words: int) -> I64:
    """Zeroed int64 matrix on its own pages, huge ones where the system has them: records never straddle lines."""
    size = max(rows * words * 8, mmap.PAGESIZE)
    pages = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE") and size >= 1 << 21:
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.int64, rows * words).reshape(rows, words)


@dataclass
class BalanceBook:
    """State of the accounts, one row each; the layout is in `rating.kernels.layout`.

    records (n, 16), profile (n, 8), index (capacity, 2) account id to row, nodes (k, 3) older plans, spill (s, 4)
    buckets beyond the record, sessions (capacity, 10), scalars (5,), friends (capacity, 4) see `rating.friends`,
    applied: digests of command ids. plans: names; several plans at once are one, joined by PLAN_SEPARATOR.
    """

    records: I64 = field(default_factory=lambda: aligned(0, RECORD_WORDS))
    profile: I64 = field(default_factory=lambda: aligned(0, PROFILE_WORDS))
    index: I64 = field(default_factory=lambda: np.full((8, 2), -1, np.int64))
    nodes: I64 = field(default_factory=lambda: np.zeros((0, NODE_WORDS), np.int64))
    spill: I64 = field(default_factory=lambda: np.zeros((1024, SPILL_WORDS), np.int64))
    sessions: I64 = field(default_factory=lambda: np.zeros((1024, SESSION_WORDS), np.int64))
    scalars: I64 = field(default_factory=lambda: np.zeros(SCALARS, np.int64))
    friends: I64 = field(default_factory=lambda: np.full((8, FRIEND_WORDS), -1, np.int64))
    applied: set[bytes] = field(default_factory=set)
    plans: list[str] = field(default_factory=list)
    currencies: list[str] = field(default_factory=list)
    time_zones: list[str] = field(default_factory=list)
    zones: tuple[I64, I64, I64] = field(default_factory=lambda: zone_tables([]))

    @classmethod
    def create(cls, lateness_s: int = 3 * DAY_S, horizon_s: int = 35 * DAY_S) -> "BalanceBook":
        """An empty book. lateness_s: how long after its end a cycle stays open; horizon_s: how long a session."""
        book = cls()
        book.scalars[[B_CLOCK, B_LATENESS, B_HORIZON]] = (NO_CLOCK_US, lateness_s * SECOND_US, horizon_s * SECOND_US)
        return book

    def __len__(self) -> int:
        return int(self.profile.shape[0])

    @property
    def account_ids(self) -> I64:
        return self.profile[:, F_ACCOUNT]

    def rows_of(self, account_ids: I64) -> I64:
        """Row of each account id, -1 for none."""
        order = np.argsort(self.account_ids, kind="stable")
        ids = self.account_ids[order]
        at = np.minimum(np.searchsorted(ids, account_ids), max(ids.size - 1, 0))
        return np.where(ids[at] == account_ids, order[at], -1) if ids.size else np.full(account_ids.shape, -1)

    def open_accounts(self, accounts: Accounts, tariffs: Tariffs, journal_position: int) -> Cells:
        """Add the accounts that the book does not have yet; returns their OPENING postings.

        Accounts that are known keep their state: what changes them is a command. Raises ReferenceDataError: a
        currency that no tariff has, more than 4,096 currencies or 65,536 time zones.
        """
        new = np.flatnonzero(self.rows_of(accounts.account_id) < 0)
        if new.size == 0:
            return Cells.empty(POSTING)
        currency = self._intern(self.currencies, accounts.currencies)
        zone = self._intern(self.time_zones, accounts.time_zones)
        plan = self._intern(self.plans, accounts.plans)
        if len(self.currencies) > 4096 or len(self.time_zones) > 65_536:
            raise ReferenceDataError("too many currencies or time zones", "at most 4096 and 65536")
        self.zones = zone_tables(self.time_zones)
        first, count = len(self), new.size
        self.records = grown(self.records, first + count)
        self.profile = grown(self.profile, first + count)
        profile, records = self.profile[first:], self.records[first:]
        records[:, MONEY] = accounts.opening_nanos[new]
        records[:, STATE] = accounts.state[new]
        profile[:, F_ACCOUNT] = accounts.account_id[new]
        profile[:, F_CREDIT] = accounts.credit_limit_nanos[new]
        profile[:, F_TRAITS] = (accounts.anchor_day[new] | currency[accounts.currency[new]] << TRAIT_CURRENCY
                                | zone[accounts.time_zone[new]] << TRAIT_ZONE | accounts.payment[new] << TRAIT_PAYMENT)
        profile[:, [F_PLAN, F_PLAN_NEXT, F_SPILL]] = -1
        profile[:, F_PLAN_FROM] = NO_CLOCK_US
        self.reindex()
        shared = accounts.shared_account_id[new]
        profile[:, F_SHARED] = np.where(shared == ABSENT, -1, self.rows_of(shared))
        theirs = np.isin(accounts.plan_account, accounts.account_id[new])
        self._add_plans(self.rows_of(accounts.plan_account[theirs]), plan[accounts.plan[theirs]],
                        accounts.plan_from_us[theirs], accounts.plan_to_us[theirs])
        return self._opening(accounts, new, tariffs, journal_position)

    def _opening(self, accounts: Accounts, new: npt.NDArray[np.intp], tariffs: Tariffs, journal_position: int) -> Cells:
        label = np.array([currency_label(tariffs, name) for name in accounts.currencies] or [0], np.int64)
        new = new[accounts.opening_nanos[new] != 0]
        posting = Cells.empty(POSTING, 2 * new.size, fill=ABSENT)
        posting["movement_hi"] = OPENING_MOVEMENT
        posting["movement_lo"] = np.repeat(accounts.account_id[new], 2)
        posting["posting_index"] = np.tile([0, 1], new.size)
        posting["journal_position"] = journal_position
        posting["account_id"] = np.repeat(accounts.account_id[new], 2)
        posting["ledger_account"] = np.tile([LedgerAccount.BALANCE, LedgerAccount.OPENING], new.size)
        posting["unit"] = Unit.MONEY
        posting["currency"] = np.repeat(label[accounts.currency[new]], 2)
        posting["amount"] = np.stack([accounts.opening_nanos[new], -accounts.opening_nanos[new]], 1).ravel()
        posting["reason"] = PostingReason.OPENING
        return posting

    @staticmethod
    def _intern(names: list[str], more: tuple[str, ...]) -> I64:
        """Place of each of `more` in `names`, which grows as needed."""
        for name in more:
            if name not in names:
                names.append(name)
        return np.array([names.index(name) for name in more] or [0], np.int64)

    def reindex(self) -> None:
        capacity = 8
        while capacity < 2 * len(self):
            capacity *= 2
        self.index = np.full((capacity, 2), -1, np.int64)
        index_accounts_nb(np.ascontiguousarray(self.account_ids), self.index)

    def _add_plans(self, row: I64, plan: I64, start_us: I64, end_us: I64) -> None:
        """Chain the change points of accounts that have no plan yet: newest in the profile, older in `nodes`."""
        ends = np.flatnonzero((end_us < FOREVER_US)
                              & ~((np.append(row[1:], -1) == row) & (np.append(start_us[1:], -1) == end_us)))
        self.chain_plans(np.concatenate([row, row[ends]]), np.concatenate([start_us, end_us[ends]]),
                         np.concatenate([plan, np.full(ends.size, -1)]))

    def chain_plans(self, rows: I64, from_us: I64, plan: I64) -> None:
        """Change points (row, time, plan or -1) of accounts that have none yet, in any order."""
        order = np.lexsort((from_us, rows))
        if order.size == 0:
            return
        rows = rows[order]
        first = self.nodes.shape[0]
        points = np.empty((order.size, NODE_WORDS), np.int64)
        points[:, N_FROM] = from_us[order]
        points[:, N_PLAN] = plan[order]
        points[:, N_NEXT] = np.where(np.append(-1, rows[:-1]) == rows, first + np.arange(order.size) - 1, -1)
        self.nodes = np.concatenate([self.nodes, points])
        newest = np.append(rows[1:], -1) != rows
        self.profile[rows[newest], F_PLAN_FROM] = points[newest, N_FROM]
        self.profile[rows[newest], F_PLAN] = points[newest, N_PLAN]
        self.profile[rows[newest], F_PLAN_NEXT] = points[newest, N_NEXT]

    def change_plan(self, row: int, plan: str, from_us: int) -> None:
        """From `from_us` until the next change that is already known, the account has `plan`."""
        number = int(self._intern(self.plans, (plan,))[0])
        profile = self.profile[row]
        if from_us >= profile[F_PLAN_FROM]:
            if from_us > profile[F_PLAN_FROM] and profile[F_PLAN_FROM] != NO_CLOCK_US:
                older = np.array([[profile[F_PLAN_FROM], profile[F_PLAN], profile[F_PLAN_NEXT]]], np.int64)
                self.nodes = np.concatenate([self.nodes, older])
                profile[F_PLAN_NEXT] = self.nodes.shape[0] - 1
            profile[F_PLAN_FROM], profile[F_PLAN] = from_us, number
            return
        newer, at = -1, int(profile[F_PLAN_NEXT])
        while at >= 0 and self.nodes[at, N_FROM] > from_us:
            newer, at = at, int(self.nodes[at, N_NEXT])
        if at >= 0 and self.nodes[at, N_FROM] == from_us:
            self.nodes[at, N_PLAN] = number
            return
        self.nodes = np.concatenate([self.nodes, np.array([[from_us, number, at]], np.int64)])
        if newer < 0:
            profile[F_PLAN_NEXT] = self.nodes.shape[0] - 1
        else:
            self.nodes[newer, N_NEXT] = self.nodes.shape[0] - 1

    def make_room(self, events: int) -> None:
        """Sessions for that many more events, at most half full."""
        capacity = self.sessions.shape[0]
        while capacity < 2 * (int(self.scalars[B_SESSIONS]) + events):
            capacity *= 2
        if capacity != self.sessions.shape[0]:
            self._rehash(capacity, NO_CLOCK_US)

    def forget_sessions(self, heard_since_us: int) -> None:
        """Drop sessions that were last heard of before then."""
        self._rehash(self.sessions.shape[0], heard_since_us)

    def _rehash(self, capacity: int, heard_since_us: int) -> None:
        moved = np.zeros((capacity, SESSION_WORDS), np.int64)
        self.scalars[B_SESSIONS] = rehash_nb(self.sessions, moved, heard_since_us)
        self.sessions = moved

    def grow_spill(self) -> None:
        self.spill = np.concatenate([self.spill, np.zeros_like(self.spill)])

    def buckets(self) -> tuple[I64, I64, I64]:
        """(row, bucket id, remaining) of every bucket, by row and then id."""
        row, slot = np.nonzero(self.records[:, BUCKET_ID + 1:])
        spilled = self.spill[: int(self.scalars[B_SPILLED])]
        spilled = spilled[spilled[:, S_BUCKET] != 0]
        rows = np.concatenate([row.astype(np.int64), spilled[:, S_ROW]])
        ids = np.concatenate([self.records[row, BUCKET_ID + 1 + slot], spilled[:, S_BUCKET]])
        left = np.concatenate([self.records[row, 1 + slot], spilled[:, S_REMAINING]])
        order = np.lexsort((ids, rows))
        return rows[order], ids[order], left[order]

    def set_buckets(self, rows: I64, ids: I64, remaining: I64) -> None:
        """Replace all buckets; sorted by row. The first seven of an account lie in its record, the rest spill."""
        self.records[:, 1:SLOTS] = 0
        self.records[:, BUCKET_ID + 1:] = 0
        self.profile[:, F_SPILL] = -1
        first = np.searchsorted(rows, rows) if rows.size else rows
        place = np.arange(rows.size) - first
        inside = place < SLOTS - 1
        self.records[rows[inside], 1 + place[inside]] = remaining[inside]
        self.records[rows[inside], BUCKET_ID + 1 + place[inside]] = ids[inside]
        outside = np.flatnonzero(~inside)
        capacity = self.spill.shape[0]
        while capacity < outside.size:
            capacity *= 2
        self.spill = np.zeros((capacity, SPILL_WORDS), np.int64)
        for at, source in enumerate(outside.tolist()):
            row = int(rows[source])
            self.spill[at, [S_BUCKET, S_REMAINING, S_NEXT, S_ROW]] = (
                ids[source], remaining[source], self.profile[row, F_SPILL], row)
            self.profile[row, F_SPILL] = at
        self.scalars[B_SPILLED] = outside.size

    def balances(self, tariffs: Tariffs, journal_position: int) -> Cells:
        """What is left: a row of money for every account, and a row for every bucket; by account, then bucket."""
        rows, ids, left = self.buckets()
        count = len(self)
        label = np.array([currency_label(tariffs, name) for name in self.currencies] or [0], np.int64)
        cells = Cells.empty(BALANCE, count + rows.size, fill=ABSENT)
        cells["journal_position"] = journal_position
        cells["account_id"] = np.concatenate([self.account_ids, self.account_ids[rows]])
        cells["bucket_id"][count:] = ids
        cells["unit"] = np.concatenate([np.full(count, Unit.MONEY), ids >> BUCKET_UNIT_SHIFT & 7])
        cells["currency"][:count] = label[self.profile[:, F_TRAITS] >> TRAIT_CURRENCY & 0xFFF]
        cells["amount"] = np.concatenate([self.records[:, MONEY], left])
        return cells.take(np.lexsort((cells["bucket_id"], cells["account_id"])))


def currency_label(tariffs: Tariffs, name: str) -> int:
    """Index of a currency in the tariffs' labels. Raises ReferenceDataError when no version has it."""
    if name not in tariffs.labels["currency"]:
        raise ReferenceDataError(f"accounts in {name}, a currency that no tariff version has",
                                 "one of " + ", ".join(tariffs.labels["currency"]), "add a tariff in that currency")
    return tariffs.labels["currency"].index(name)


def zone_tables(names: list[str]) -> tuple[I64, I64, I64]:
    """(first, at, offset) of time zones, laid end to end."""
    parts = [zone_offsets(name) for name in names]
    first = np.cumsum([0, *(len(at) for at, _ in parts)]).astype(np.int64)
    at = np.array([value for part, _ in parts for value in part], np.int64)
    offset = np.array([value for _, part in parts for value in part], np.int64)
    for array in (first, at, offset):
        array.setflags(write=False)
    return first, at, offset


def grown(matrix: I64, rows: int) -> I64:
    larger = aligned(rows, matrix.shape[1])
    larger[: matrix.shape[0]] = matrix
    return larger
