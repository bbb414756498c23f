"""The balance book: every account's money, buckets, plan and open sessions, as arrays in lines of the cache.

Balances are nothing but sums of postings: whoever changes a record writes the postings, and `opening` begins them.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rating.arrays import aligned, give_back, grown
from rating.days import begin_days
from rating.kernels.added import index_more_nb
from rating.kernels.expiry import compact_nb
from rating.kernels.holds import rehash_holds_nb
from rating.kernels.layout import (
    B_CLOCK,
    B_DUE,
    B_GONE,
    B_HOLDS,
    B_HORIZON,
    B_LATENESS,
    B_SESSIONS,
    B_SPILLED,
    B_UNTIL,
    BUCKET_ID,
    CAPPED,
    ENTRY_WORDS,
    F_ACCOUNT,
    F_CREDIT,
    F_PLAN,
    F_PLAN_FROM,
    F_PLAN_NEXT,
    F_SHARED,
    F_SPILL,
    F_TRAITS,
    FRIEND_WORDS,
    H_COUNT,
    H_ENTRY,
    HAS_GRANTED,
    HOLD_WORDS,
    L_SINCE,
    L_VALID,
    LIFE_WORDS,
    MAX_ENTRIES,
    MONEY,
    N_FROM,
    N_NEXT,
    N_PLAN,
    NODE_WORDS,
    PROFILE_WORDS,
    RECORD_WORDS,
    S_BUCKET,
    S_FROM,
    S_NEXT,
    S_REMAINING,
    S_ROW,
    S_TO,
    SCALARS,
    SESSION_WORDS,
    SLOTS,
    SPILL_WORDS,
    STATE,
    TRAIT_CURRENCY,
    TRAIT_PAYMENT,
    TRAIT_ZONE,
    X_HI,
    X_LO,
)
from rating.kernels.maintain import find_account_nb, index_accounts_nb, rows_of_nb
from rating.kernels.sessions import forget_nb, rehash_nb
from rating.online_table import OnlineSessions
from rating.reservations import Reservations
from reference_data.accounts import FOREVER_US, PLAN_SEPARATOR, STATES, Accounts
from reference_data.changes import Changes
from reference_data.tariffs.compile import Tariffs
from schemas.codes import LedgerAccount, PostingReason, Unit
from schemas.columns import ABSENT, I64, Cells
from schemas.errors import ReferenceDataError
from schemas.rated import BALANCE, POSTING
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT, BUCKET_UNIT_SHIFT, CYCLE_GRANTED
from schemas.timepoint import DAY_S, SECOND_US, zone_offsets

NO_CLOCK_US = -(1 << 60)
NEVER_US = 1 << 62
_MOVED_AT_ONCE = 1 << 18  # sessions, 32 MiB of them
_SERVICES = 2  # that a session is expected to have
SPARE_SESSIONS = 1024  # rows free beyond what is asked for: more than one event of any tariff may add
OPENING_MOVEMENT = 0x4F50454E  # upper half of the movement id of an account's opening posting; the lower is the account


@dataclass
class BalanceBook:
    """State of the accounts, one row each; the layout is in `rating.kernels.layout`.

    records (n, 16), profile (n, 8), life (n, 2), index (capacity, 2) account id to row, nodes (k, 3) older plans,
    friends (capacity, 4) see `rating.friends`, spill (s, 6) buckets beyond the record, sessions (capacity, 16),
    scalars (10,), holds (capacity, 32) what is held for sessions that go on, online: those sessions in real time,
    reservations: what commands hold, applied: digests of command ids. plans:
    names; several plans at once are one, joined by PLAN_SEPARATOR. changes: what commands changed in the inventory.
    """

    records: I64 = field(default_factory=lambda: aligned(0, RECORD_WORDS))
    profile: I64 = field(default_factory=lambda: aligned(0, PROFILE_WORDS))
    life: I64 = field(default_factory=lambda: aligned(0, LIFE_WORDS))
    index: I64 = field(default_factory=lambda: np.full((8, 2), -1, np.int64))
    nodes: I64 = field(default_factory=lambda: np.zeros((0, NODE_WORDS), np.int64))
    spill: I64 = field(default_factory=lambda: np.zeros((1024, SPILL_WORDS), np.int64))
    sessions: I64 = field(default_factory=lambda: np.zeros((1024, SESSION_WORDS), np.int64))
    scalars: I64 = field(default_factory=lambda: np.zeros(SCALARS, np.int64))
    holds: I64 = field(default_factory=lambda: aligned(8, HOLD_WORDS))
    friends: I64 = field(default_factory=lambda: np.full((8, FRIEND_WORDS), -1, np.int64))
    online: OnlineSessions = field(default_factory=OnlineSessions)
    reservations: Reservations = field(default_factory=Reservations)
    timer_due_us: int = NO_CLOCK_US     # no account's time in a state is over before; by the rules of timer_version
    timer_version: str = ""
    all_active: bool | None = None      # whether every account is active; None: not looked at since a state changed
    plan_due_us: int = NO_CLOCK_US      # no plan begins before, of those that begin after the clock
    applied: set[bytes] = field(default_factory=set)
    changes: Changes = field(default_factory=Changes)
    sharers: dict[int, int] | None = None  # how many share the row's balance; None: not looked at yet
    plans: list[str] = field(default_factory=list)
    currencies: list[str] = field(default_factory=list)
    time_zones: list[str] = field(default_factory=list)
    expected: int = 0  # services of sessions that there is always room for
    zones: tuple[I64, I64, I64] = field(default_factory=lambda: zone_tables([]))

    @classmethod
    def create(cls, lateness_s: int = 3 * DAY_S, horizon_s: int = 35 * DAY_S) -> "BalanceBook":
        """An empty book. lateness_s: how long after its end a cycle stays open; horizon_s: how long a session."""
        book = cls()
        book.scalars[[B_CLOCK, B_GONE]] = NO_CLOCK_US
        book.scalars[[B_LATENESS, B_HORIZON]] = lateness_s * SECOND_US, horizon_s * SECOND_US
        return book

    def __len__(self) -> int:
        return int(self.profile.shape[0])

    @property
    def account_ids(self) -> I64:
        return self.profile[:, F_ACCOUNT]

    def rows_of(self, account_ids: I64) -> I64:
        """Row of each account id, -1 for none."""
        rows = np.empty(len(account_ids), np.int64)
        rows_of_nb(self.index, np.ascontiguousarray(account_ids, np.int64), rows)
        return rows

    def row_of(self, account_id: int) -> int:
        """Row of an account, -1 for none."""
        row: int = find_account_nb(self.index, account_id)
        return row

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
        self.make_room(count)  # most will have a session or a counter: better now than in the midst of usage
        self.scalars[B_DUE] = self.plan_due_us = NO_CLOCK_US
        all_active = self.all_active
        self.timers_due()
        self.all_active = all_active and bool((accounts.state[new] == STATES.index("active")).all())
        self.sharers = None if (accounts.shared_account_id[new] != ABSENT).any() else self.sharers
        self.records = grown(self.records, first + count)
        self.profile = grown(self.profile, first + count)
        self.life = grown(self.life, first + count)
        self.life[first:, L_SINCE] = NO_CLOCK_US
        until_us = accounts.valid_until_us
        self.life[first:, L_VALID] = NEVER_US if until_us is None else np.where(
            until_us[new] == ABSENT, NEVER_US, until_us[new])
        profile, records = self.profile[first:], self.records[first:]
        records[:, MONEY] = accounts.opening_nanos[new]
        records[:, STATE] = accounts.state[new]
        profile[:, F_ACCOUNT] = accounts.account_id[new]
        profile[:, F_CREDIT] = accounts.credit_limit_nanos[new]
        profile[:, F_TRAITS] = (accounts.anchor_day[new] | currency[accounts.currency[new]] << TRAIT_CURRENCY
                                | zone[accounts.time_zone[new]] << TRAIT_ZONE | accounts.payment[new] << TRAIT_PAYMENT)
        profile[:, [F_PLAN, F_PLAN_NEXT, F_SPILL]] = -1
        profile[:, F_PLAN_FROM] = NO_CLOCK_US
        if 4 * (first + count) > 3 * self.index.shape[0]:
            self.reindex()
        else:
            index_more_nb(np.ascontiguousarray(profile[:, F_ACCOUNT]), first, self.index)
        shared = accounts.shared_account_id[new]
        profile[:, F_SHARED] = np.where(shared == ABSENT, -1, self.rows_of(shared))
        owner = self.rows_of(accounts.plan_account)
        theirs = owner >= first
        self._add_plans(owner[theirs], plan[accounts.plan[theirs]],
                        accounts.plan_from_us[theirs], accounts.plan_to_us[theirs])
        if self.scalars[B_CLOCK] != NO_CLOCK_US:
            begin_days(self, np.arange(first, first + count), int(self.scalars[B_CLOCK]))
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
        while 3 * capacity < 4 * len(self):
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
        self.nodes = grown(self.nodes, first + order.size)
        self.nodes[first:] = points
        newest = np.append(rows[1:], -1) != rows
        self.profile[rows[newest], F_PLAN_FROM] = points[newest, N_FROM]
        self.profile[rows[newest], F_PLAN] = points[newest, N_PLAN]
        self.profile[rows[newest], F_PLAN_NEXT] = points[newest, N_NEXT]

    def change_plan(self, row: int, plan: str, from_us: int) -> None:
        """From `from_us` until the next change that is already known, the account has `plan`."""
        number = int(self._intern(self.plans, (plan,))[0])
        self.plan_due_us = NO_CLOCK_US
        profile = self.profile[row]
        if from_us >= profile[F_PLAN_FROM]:
            if from_us > profile[F_PLAN_FROM] and profile[F_PLAN_FROM] != NO_CLOCK_US:
                profile[F_PLAN_NEXT] = self._add_node(profile[F_PLAN_FROM], profile[F_PLAN], profile[F_PLAN_NEXT])
            profile[F_PLAN_FROM], profile[F_PLAN] = from_us, number
            return
        newer, at = -1, int(profile[F_PLAN_NEXT])
        while at >= 0 and self.nodes[at, N_FROM] > from_us:
            newer, at = at, int(self.nodes[at, N_NEXT])
        if at >= 0 and self.nodes[at, N_FROM] == from_us:
            self.nodes[at, N_PLAN] = number
            return
        added = self._add_node(from_us, number, at)
        if newer < 0:
            profile[F_PLAN_NEXT] = added
        else:
            self.nodes[newer, N_NEXT] = added

    def _add_node(self, from_us: int, plan: int, older: int) -> int:
        """A further change point, in room that is there: an account's new plan costs no copy of all others'."""
        place: int = self.nodes.shape[0]
        self.nodes = grown(self.nodes, place + 1)
        self.nodes[place] = (from_us, plan, older)
        return place

    def make_room(self, events: int) -> None:
        """Sessions for that many more events, at most three quarters full."""
        capacity = self._sessions_for(events)
        if capacity != self.sessions.shape[0]:
            self._rehash(capacity)

    def _sessions_for(self, events: int) -> int:
        return _capacity(self.sessions, int(self.scalars[B_SESSIONS]) + events + SPARE_SESSIONS)

    def make_holds(self, more: int) -> None:
        """Room for that many more holds, at most three quarters full."""
        capacity = self._holds_for(more)
        if capacity != self.holds.shape[0]:
            larger = aligned(capacity, HOLD_WORDS)
            rehash_holds_nb(self.holds, larger)
            self.holds = larger

    def _holds_for(self, more: int) -> int:
        return _capacity(self.holds, int(self.scalars[B_HOLDS]) + more)

    def expect(self, sessions: int, answers: int = 0) -> None:
        """Make room for so many sessions in real time now, and for answers to be remembered one by one: making room
        stops everything else."""
        self.expected = _SERVICES * sessions
        self.make_room(_SERVICES * sessions)
        self.make_holds(_SERVICES * sessions)
        self.online.make_room(sessions, _SERVICES * sessions, answers)

    def expect_beside(self, sessions: int, answers: int = 0) -> tuple[I64, I64]:
        """As `expect`, but what is hashed stays where it is for now: among gigabytes that nobody has touched, nearly
        every row that moves has the system clear a page for it. Returns tables for `move_to`, once they are touched;
        those that there are, where they are large enough."""
        self.expected = _SERVICES * sessions
        self.online.make_room(sessions, _SERVICES * sessions, answers)
        sessions, holds = self._sessions_for(self.expected), self._holds_for(self.expected)
        return (aligned(sessions, SESSION_WORDS) if sessions > self.sessions.shape[0] else self.sessions,
                aligned(holds, HOLD_WORDS) if holds > self.holds.shape[0] else self.holds)

    def move_to(self, sessions: I64, holds: I64) -> None:
        """Move what is hashed into these tables, where they still are larger."""
        if sessions.shape[0] > self.sessions.shape[0]:
            self.scalars[B_SESSIONS], self.sessions = rehash_nb(self.sessions, sessions, NO_CLOCK_US), sessions
        if holds.shape[0] > self.holds.shape[0]:
            rehash_holds_nb(self.holds, holds)
            self.holds = holds

    def tables(self) -> tuple[I64, ...]:
        """What is large: where requests find accounts, sessions and what is held."""
        return (self.sessions, self.holds, self.online.sessions, self.online.services, self.online.given, self.records,
                self.profile, self.index)

    def held(self) -> tuple[I64, I64, I64]:
        """(row, bucket id or -1 for money, amount) of what is held, ascending, each once."""
        holds = self.holds[(self.holds[:, X_HI] != 0) | (self.holds[:, X_LO] != 0)]
        entries = holds[:, H_ENTRY:].reshape(-1, ENTRY_WORDS)
        entries = entries[(np.arange(MAX_ENTRIES) < holds[:, H_COUNT, np.newaxis]).ravel()]
        keys, place = np.unique(np.stack([entries[:, 0] & (CAPPED - 1), entries[:, 1]], axis=1), axis=0,
                                return_inverse=True)
        amount = np.zeros(keys.shape[0], np.int64)
        np.add.at(amount, place, entries[:, 2])
        return keys[:, 0], keys[:, 1], amount

    def forget_sessions(self, heard_since_us: int) -> None:
        """Drop sessions that were last heard of before then; the table shrinks when few are left."""
        self.scalars[B_SESSIONS] = forget_nb(self.sessions, heard_since_us)
        capacity = self.sessions.shape[0]
        while capacity > 1024 and capacity >= 8 * max(int(self.scalars[B_SESSIONS]), self.expected):
            capacity //= 2
        if capacity != self.sessions.shape[0]:
            self._rehash(capacity)

    def _rehash(self, capacity: int) -> None:
        """Move the sessions into a table of another size. Pages that were moved are given back on the way."""
        moved, count = aligned(capacity, SESSION_WORDS), 0
        for start in range(0, self.sessions.shape[0], _MOVED_AT_ONCE):
            part = self.sessions[start:start + _MOVED_AT_ONCE]
            count += rehash_nb(part, moved, NO_CLOCK_US)
            give_back(part)
        self.scalars[B_SESSIONS] = count
        self.sessions = moved

    def compact_spill(self) -> None:
        """Let go of spilled buckets that were emptied."""
        compact_nb(self.records, self.profile, self.spill, self.scalars)

    def grow_spill(self) -> None:
        self.spill = np.concatenate([self.spill, np.zeros_like(self.spill)])

    def buckets(self) -> tuple[I64, I64, I64, I64, I64]:
        """(row, bucket id, remaining, from, to) of every bucket, by row and then id; from and to of granted ones."""
        row, slot = np.nonzero(self.records[:, BUCKET_ID + 1:])
        spilled = self.spill[: int(self.scalars[B_SPILLED])]
        spilled = spilled[spilled[:, S_BUCKET] != 0]
        nothing = np.zeros(row.size, np.int64)
        rows = np.concatenate([row.astype(np.int64), spilled[:, S_ROW]])
        ids = np.concatenate([self.records[row, BUCKET_ID + 1 + slot], spilled[:, S_BUCKET]])
        left = np.concatenate([self.records[row, 1 + slot], spilled[:, S_REMAINING]])
        from_us = np.concatenate([nothing, spilled[:, S_FROM]])
        to_us = np.concatenate([nothing, spilled[:, S_TO]])
        order = np.lexsort((ids, rows))
        return rows[order], ids[order], left[order], from_us[order], to_us[order]

    def buckets_of(self, row: int) -> list[tuple[int, int, int, int]]:
        """(bucket id, remaining, from, to) of one account's buckets; from and to of granted ones, else 0."""
        record = self.records[row]
        found = [(int(record[BUCKET_ID + slot]), int(record[slot]), 0, 0) for slot in range(1, SLOTS)
                 if record[BUCKET_ID + slot]]
        at = int(self.profile[row, F_SPILL])
        while at >= 0:
            if self.spill[at, S_BUCKET]:
                bucket, left, from_us, to_us = (int(self.spill[at, word]) for word in
                                                (S_BUCKET, S_REMAINING, S_FROM, S_TO))
                found.append((bucket, left, from_us, to_us))
            at = int(self.spill[at, S_NEXT])
        return found

    def set_buckets(self, rows: I64, ids: I64, remaining: I64, from_us: I64 | None = None,
                    to_us: I64 | None = None) -> None:
        """Replace all buckets. The first seven of an account lie in its record; granted ones and the rest spill.

        from_us, to_us: validity of granted ones; left out when there are none.
        """
        granted = (ids >> BUCKET_CYCLE_SHIFT & 7) == CYCLE_GRANTED
        order = np.lexsort((ids, granted, rows))
        rows, ids, remaining, granted = rows[order], ids[order], remaining[order], granted[order]
        self.records[:, 1:SLOTS] = 0
        self.records[:, BUCKET_ID + 1:] = 0
        self.profile[:, F_SPILL] = -1
        self.profile[:, F_TRAITS] &= ~HAS_GRANTED
        self.profile[rows[granted], F_TRAITS] |= HAS_GRANTED
        place = np.arange(rows.size) - (np.searchsorted(rows, rows) if rows.size else 0)
        inside = (place < SLOTS - 1) & ~granted
        self.records[rows[inside], 1 + place[inside]] = remaining[inside]
        self.records[rows[inside], BUCKET_ID + 1 + place[inside]] = ids[inside]
        outside = np.flatnonzero(~inside)
        capacity = 1024
        while capacity < outside.size:
            capacity *= 2
        self.spill = np.zeros((capacity, SPILL_WORDS), np.int64)
        spilled, owner = self.spill[: outside.size], rows[outside]
        spilled[:, S_BUCKET] = ids[outside]
        spilled[:, S_REMAINING] = remaining[outside]
        spilled[:, S_ROW] = owner
        spilled[:, S_FROM] = 0 if from_us is None else from_us[order][outside]
        spilled[:, S_TO] = 0 if to_us is None else to_us[order][outside]
        at = np.arange(outside.size)
        spilled[:, S_NEXT] = np.where(np.append(-1, owner[:-1]) == owner, at - 1, -1)
        self.profile[owner, F_SPILL] = at  # of several writes to one row the last stands
        self.scalars[B_SPILLED] = outside.size
        self.scalars[B_DUE] = NO_CLOCK_US

    def money(self, row: int) -> int:
        """An account's main balance, nanos."""
        return int(self.records[row, MONEY])

    def shared_by(self, row: int) -> int:
        """How many accounts share this one's balance."""
        if self.sharers is None:
            shared = self.profile[:, F_SHARED]
            heads, counts = np.unique(shared[shared >= 0], return_counts=True)
            self.sharers = dict(zip(heads.tolist(), counts.tolist(), strict=True))
        return self.sharers.get(row, 0)

    def share(self, row: int, other: int) -> None:
        """From now on an account shares another's balance; -1: nobody's."""
        before = int(self.profile[row, F_SHARED])
        for head, change in ((before, -1), (other, 1)):
            if head >= 0 and self.sharers is not None:
                self.sharers[head] = self.sharers.get(head, 0) + change
        self.profile[row, F_SHARED] = other

    def timers_due(self) -> None:
        """A state or validity has changed: the next clock looks at all accounts."""
        self.timer_due_us = NO_CLOCK_US
        self.all_active = None

    def only_active(self) -> bool:
        """Whether every account is in the state active."""
        if self.all_active is None:
            self.all_active = bool((self.records[:, STATE] == STATES.index("active")).all())
        return self.all_active

    def close_after(self, seconds: int) -> None:
        """From now on a cycle closes by itself so long after its end; what is closed already stays closed."""
        self.scalars[B_UNTIL] = max(self.scalars[B_UNTIL], self.scalars[B_CLOCK] - self.scalars[B_LATENESS])
        self.scalars[B_LATENESS] = seconds * SECOND_US
        self.scalars[B_DUE] = NO_CLOCK_US

    def remember_sessions(self, seconds: int) -> None:
        """From now on sessions are remembered for so long after their last report; what is forgotten stays so."""
        self.scalars[B_GONE] = max(self.scalars[B_GONE], self.scalars[B_CLOCK] - self.scalars[B_HORIZON])
        self.scalars[B_HORIZON] = seconds * SECOND_US

    @property
    def remembers_sessions_s(self) -> int:
        """How long after its last report a session is remembered."""
        return int(self.scalars[B_HORIZON]) // SECOND_US

    @property
    def closes_after_s(self) -> int:
        """How long after its end a cycle closes by itself."""
        return int(self.scalars[B_LATENESS]) // SECOND_US

    def granted_ids(self, row: int) -> set[int]:
        """Bucket ids of an account's granted buckets."""
        found, at = set(), int(self.profile[row, F_SPILL])
        while at >= 0:
            if int(self.spill[at, S_BUCKET]) >> BUCKET_CYCLE_SHIFT & 7 == CYCLE_GRANTED:
                found.add(int(self.spill[at, S_BUCKET]))
            at = int(self.spill[at, S_NEXT])
        return found

    def plan_points(self, row: int) -> list[tuple[int, list[str]]]:
        """Change points of an account's plans, ascending: from when it has which plans, by priority; none: []."""
        points = [(int(self.profile[row, F_PLAN_FROM]), int(self.profile[row, F_PLAN]))]
        at = int(self.profile[row, F_PLAN_NEXT])
        while at >= 0:
            points.append((int(self.nodes[at, N_FROM]), int(self.nodes[at, N_PLAN])))
            at = int(self.nodes[at, N_NEXT])
        return [(start, self.plans[plan].split(PLAN_SEPARATOR) if plan >= 0 else []) for start, plan in points[::-1]]

    def plans_at(self, row: int, time_us: int) -> list[str]:
        """Plans that an account has at an instant, by priority."""
        held: list[str] = []
        for start, plans in self.plan_points(row):
            if start <= time_us:
                held = plans
        return held

    def plans_between(self, row: int, from_us: int, to_us: int) -> list[tuple[int, int, list[str]]]:
        """(from, to, plans) within a span, ascending."""
        points = self.plan_points(row)
        ends = [start for start, _ in points[1:]] + [NEVER_US]
        return [(max(start, from_us), min(end, to_us), plans) for (start, plans), end in zip(points, ends, strict=True)
                if start < to_us and end > from_us]

    def set_plans(self, row: int, from_us: int, to_us: int, plans: list[str]) -> None:
        """The plans that an account has in a span within which nothing changes; before and after stay as they are."""
        after = self.plans_at(row, to_us) if to_us < NEVER_US else []
        if to_us < NEVER_US and all(start != to_us for start, _ in self.plan_points(row)):
            self.change_plan(row, PLAN_SEPARATOR.join(after), to_us)
        self.change_plan(row, PLAN_SEPARATOR.join(plans), from_us)

    def balances(self, tariffs: Tariffs, journal_position: int) -> Cells:
        """What is left, held or not: a row of money for every account, and a row for every bucket; by both."""
        rows, ids, left, _, _ = self.buckets()
        money, count = self.records[:, MONEY].copy(), len(self)
        held_rows, held_ids, amounts = self.held()
        np.add.at(money, held_rows[held_ids < 0], amounts[held_ids < 0])
        of_units = held_ids >= 0
        rows, ids, left = (np.concatenate(pair) for pair in (
            (rows, held_rows[of_units]), (ids, held_ids[of_units]), (left, amounts[of_units])))
        # A bucket that has expired is there once more: what is held of it will expire when it is given back.
        keys, place = np.unique(np.stack([rows, ids], axis=1), axis=0, return_inverse=True)
        whole = np.zeros(keys.shape[0], np.int64)
        np.add.at(whole, place.ravel(), left)
        rows, ids, left = keys[:, 0], keys[:, 1], whole
        label = np.array([currency_label(tariffs, name) for name in self.currencies] or [0], np.int64)
        cells = Cells.empty(BALANCE, count + rows.size, fill=ABSENT)
        cells["journal_position"] = journal_position
        cells["account_id"] = np.concatenate([self.account_ids, self.account_ids[rows]])
        cells["bucket_id"][count:] = ids
        cells["unit"] = np.concatenate([np.full(count, Unit.MONEY), ids >> BUCKET_UNIT_SHIFT & 7])
        currency = label[self.profile[:, F_TRAITS] >> TRAIT_CURRENCY & 0xFFF]
        cells["currency"][:count] = currency
        cells["currency"][count:] = np.where(cells["unit"][count:] == Unit.MONEY, currency[rows], ABSENT)
        cells["amount"] = np.concatenate([money, left])
        return cells.take(np.lexsort((cells["bucket_id"], cells["account_id"])))


def currency_label(tariffs: Tariffs, name: str) -> int:
    """Index of a currency in the tariffs' labels. Raises ReferenceDataError when no version has it."""
    if name not in tariffs.labels["currency"]:
        raise ReferenceDataError(f"accounts in {name}, a currency that no tariff version has",
                                 "one of " + ", ".join(tariffs.labels["currency"]), "add a tariff in that currency")
    return tariffs.labels["currency"].index(name)


def _capacity(table: I64, rows: int) -> int:
    """Rows of the table, twice as many until so many fill at most three quarters of it."""
    capacity = int(table.shape[0])
    while 3 * capacity < 4 * rows:
        capacity *= 2
    return capacity


def zone_tables(names: list[str]) -> tuple[I64, I64, I64]:
    """(first, at, offset) of time zones, laid end to end."""
    parts = [zone_offsets(name) for name in names]
    first = np.cumsum([0, *(len(at) for at, _ in parts)]).astype(np.int64)
    at = np.array([value for part, _ in parts for value in part], np.int64)
    offset = np.array([value for _, part in parts for value in part], np.int64)
    for array in (first, at, offset):
        array.setflags(write=False)
    return first, at, offset
