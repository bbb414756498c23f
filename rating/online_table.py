"""Online sessions, open and remembered: their arrays, which grow, and as Arrow tables and back."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from rating.arrays import aligned, grown
from rating.kernels.online_layout import (
    FREE,
    GIVEN_WORDS,
    N_GIVEN,
    N_OPEN,
    N_SECOND,
    N_SERVICE_FREE,
    N_SERVICE_TOP,
    N_SERVICES,
    N_SESSION_FREE,
    N_SESSION_TOP,
    N_SESSIONS,
    O_FIRST,
    O_HI,
    O_LO,
    O_STATE,
    O_UNITS,
    ONLINE_SCALARS,
    ONLINE_WORDS,
    OPEN,
    R_GIVEN,
    SERVICE_WORDS,
    V_NEXT,
    WHEEL,
)
from rating.kernels.online_table import index_online_nb, refill_wheel_nb, relink_given_nb
from schemas.columns import I64
from schemas.timepoint import SECOND_US

_ROOM = 4  # times what is needed, of pages that nobody has touched: moving all sessions stops everything meanwhile
SESSION_COLUMNS = ("key_hi", "key_lo", "number", "seen", "state", "heard_us", "code", "due_s", "time_us", "account_id",
                   "service_id", "group_id", "lane", "msisdn_token", "imsi_token", "service", "unit", "source")
_SESSION_WORDS = (0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
SERVICE_COLUMNS = ("rating_group", "service_identifier", "number", "since_us", "wanted", "code", "granted", "due_nanos",
                   "final_action", "validity_s", "threshold", "holding_s", "change_us")
_SERVICE_WORDS = (0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
GIVEN_COLUMNS = ("key_hi", "key_lo", "number", "rating_group", "service_identifier", "place", "given_us", "codes",
                 "granted", "due_nanos", "final_action", "validity_s", "threshold", "holding_s", "change_us")
_GIVEN_WORDS = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)


def _scalars() -> I64:
    scalars = np.zeros(ONLINE_SCALARS, np.int64)
    scalars[[N_SESSION_FREE, N_SERVICE_FREE]] = -1
    return scalars


@dataclass
class OnlineSessions:
    """sessions (n, 24) and services (m, 16): arenas, see `rating.kernels.online_layout`; index (capacity,) of rows,
    -1 for an empty place; wheel (WHEEL,) first row of each second; given (k, 16) the last k answers, a ring; counts
    (ONLINE_SCALARS,)."""

    sessions: I64 = field(default_factory=lambda: aligned(1024, ONLINE_WORDS))
    services: I64 = field(default_factory=lambda: aligned(1024, SERVICE_WORDS))
    index: I64 = field(default_factory=lambda: np.full(2048, -1, np.int64))
    wheel: I64 = field(default_factory=lambda: np.full(WHEEL, -1, np.int64))
    given: I64 = field(default_factory=lambda: aligned(64, GIVEN_WORDS))
    counts: I64 = field(default_factory=_scalars)

    def __len__(self) -> int:
        """Sessions that are open or remembered."""
        return int(self.counts[N_SESSIONS])

    @property
    def open(self) -> int:
        """Sessions that go on."""
        return int(self.counts[N_OPEN])

    @property
    def turned_us(self) -> int:
        """Time up to which silence was looked for."""
        return int(self.counts[N_SECOND]) * SECOND_US

    def units_of(self, rows: I64) -> int:
        """Services of so many sessions."""
        return int(self.sessions[rows, O_UNITS].sum())

    @property
    def answers(self) -> int:
        """Answers that are remembered one by one."""
        return min(int(self.counts[N_GIVEN]), len(self.given))

    @property
    def answers_since_us(self) -> int:
        """When the oldest of these was given; 0 without any."""
        if not self.answers:
            return 0
        return int(self.given[(int(self.counts[N_GIVEN]) - self.answers + 1) % self.given.shape[0], R_GIVEN])

    def make_room(self, requests: int, services: int | None = None, answers: int = 0) -> None:
        """Room for so many more sessions and services (as many unless given), whose index is at most half full, and for
        just so many answers, 0 for as many as there are."""
        if answers and answers != self.given.shape[0]:
            self._keep_answers(answers)
        sessions = int(self.counts[N_SESSION_TOP]) + requests
        services = int(self.counts[N_SERVICE_TOP]) + (requests if services is None else services)
        if sessions > self.sessions.shape[0]:
            self.sessions = grown(self.sessions, sessions, _ROOM * sessions)
        if services > self.services.shape[0]:
            self.services = grown(self.services, services, _ROOM * services)
        capacity = self.index.size
        while capacity < 2 * (len(self) + requests):
            capacity *= 2
        if capacity != self.index.size:
            self.index = np.full(capacity, -1, np.int64)
            index_online_nb(self.sessions, int(self.counts[N_SESSION_TOP]), self.index)

    def _keep_answers(self, most: int) -> None:
        """Another ring, with the last ones of this. Which is which is told by how many were given before them."""
        kept = np.arange(int(self.counts[N_GIVEN]) - min(self.answers, most), int(self.counts[N_GIVEN])) + 1
        ring = aligned(most, GIVEN_WORDS)
        ring[kept % most] = self.given[kept % self.given.shape[0]]
        self.given = ring

    def tables(self) -> dict[str, pa.Table]:
        """`online_sessions` by key, `online_services` in the same order, those of a session as they are chained;
        `online_answers` in the order in which they were given."""
        used = self.sessions[:self.counts[N_SESSION_TOP]]
        rows = np.flatnonzero(used[:, O_STATE] != FREE)
        rows = rows[np.lexsort((used[rows, O_LO], used[rows, O_HI]))]
        chosen = used[rows]
        columns = {name: chosen[:, word] for name, word in zip(SESSION_COLUMNS, _SESSION_WORDS, strict=True)}
        owner, at, place = np.arange(rows.size), chosen[:, O_FIRST], 0
        owners, ats, places = [], [], []
        while (at >= 0).any():  # a round for each further service of a session, all sessions at once
            owner, at = owner[at >= 0], at[at >= 0]
            owners.append(owner)
            ats.append(at)
            places.append(np.full(at.size, place))
            at, place = self.services[at, V_NEXT], place + 1
        none = np.zeros(0, np.int64)
        every, owned = np.concatenate([none, *ats]), np.concatenate([none, *owners])
        order = np.lexsort((np.concatenate([none, *places]), owned))
        services = self.services[every[order]]
        given = np.arange(int(self.counts[N_GIVEN]) - self.answers, int(self.counts[N_GIVEN])) + 1
        answers = self.given[given % self.given.shape[0]]
        return {"online_sessions": pa.table({**columns, "services": chosen[:, O_UNITS]}),
                "online_services": pa.table({name: services[:, word] for name, word in
                                             zip(SERVICE_COLUMNS, _SERVICE_WORDS, strict=True)}),
                "online_answers": pa.table({name: answers[:, word] for name, word in
                                            zip(GIVEN_COLUMNS, _GIVEN_WORDS, strict=True)}),
                "online_scalars": pa.table({"second": [int(self.counts[N_SECOND])]})}

    @classmethod
    def from_tables(cls, tables: dict[str, pa.Table]) -> "OnlineSessions":
        """What `tables` wrote; empty where there is nothing of it."""
        online = cls()
        if "online_sessions" not in tables:
            return online
        sessions, services = tables["online_sessions"], tables["online_services"]
        count, many = sessions.num_rows, services.num_rows
        online.sessions, online.services = grown(online.sessions, count), grown(online.services, many)
        for name, word in zip(SESSION_COLUMNS, _SESSION_WORDS, strict=True):
            online.sessions[:count, word] = sessions[name].to_numpy()
        for name, word in zip(SERVICE_COLUMNS, _SERVICE_WORDS, strict=True):
            online.services[:many, word] = services[name].to_numpy()
        units = sessions["services"].to_numpy()
        ends = np.cumsum(units)
        online.sessions[:count, O_UNITS] = units
        online.sessions[:count, O_FIRST] = np.where(units > 0, ends - units, -1)
        online.services[:many, V_NEXT] = np.arange(1, many + 1)
        online.services[ends[units > 0] - 1, V_NEXT] = -1
        state = online.sessions[:count, O_STATE]
        online.counts[[N_SESSION_TOP, N_SESSIONS, N_SERVICE_TOP, N_SERVICES]] = count, count, many, many
        online.counts[N_OPEN] = int((state == OPEN).sum())
        online.counts[N_SECOND] = tables["online_scalars"]["second"][0].as_py()
        online.make_room(0)
        if count:
            online.index.fill(-1)
            index_online_nb(online.sessions, count, online.index)
            refill_wheel_nb(online.sessions, count, online.counts, online.wheel)
        if "online_answers" in tables:  # snapshots of earlier releases have none
            online._take_answers(tables["online_answers"])
        return online

    def _take_answers(self, answers: pa.Table) -> None:
        """Answers as `tables` has them, of sessions that are in the index."""
        count = answers.num_rows
        self.given = aligned(max(count, 64), GIVEN_WORDS)
        nth = np.arange(1, count + 1) % self.given.shape[0]
        for name, word in zip(GIVEN_COLUMNS, _GIVEN_WORDS, strict=True):
            self.given[nth, word] = answers[name].to_numpy()
        self.counts[N_GIVEN] = count
        relink_given_nb(self.index, self.sessions, self.given, count)
