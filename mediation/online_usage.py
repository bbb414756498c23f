"""The index of what was charged online: rows of the ledger's `grant` table, found by what CDRs know of the same usage.

Rows lie in runs (`online_runs.py`); a batch's own are pending until its commit has named their file, as with keys of
records (`duplicates.py`). Which runs rows lie in says nothing: what is found is sorted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mediation.duplicates import NewRun
from mediation.kernels import online as kernel
from mediation.online_runs import OnlineRun, merge_runs, ordered, write_run
from schemas.codes import Service
from schemas.columns import ABSENT, I64, Cells
from schemas.errors import InvariantError
from schemas.online import SUCCESS, EventAction, RequestKind

FAN_IN = 8  # runs of like size that are merged into one
SMALLEST_TIER = 12  # bits: runs below 4,096 rows count as one size
BUCKET_US = 300_000_000  # messages are found by stretches of time; twice the longest window (MOST_WINDOW_S)
_MESSAGES = (int(Service.SMS), int(Service.MMS))
# A row beside the kinds of `kernel`, for which it is nothing: where the usage of a session that has begun is found. It
# stands under the session's own key. QUANTITY: the key of its rows; RATING_GROUP: which sort of key that is.
_BEGUN = -2
_SESSION = [kernel.SESSION_HI, kernel.SESSION_LO]
_OF_BEGUN = [kernel.GATEWAY, kernel.SERVICE_ID, kernel.MSISDN, kernel.IMSI, kernel.DIRECTION]
HI_SEED, LO_SEED = np.uint64(0x9AE16A3B2F90404F), np.uint64(0xC3A5C85C97CB3127)  # of keys of texts, everywhere


@dataclass(frozen=True)
class OnlineMerge:
    """Runs to be replaced by one."""

    inputs: tuple[str, ...]


class OnlineIndex:
    """All online usage within the horizon."""

    def __init__(self, folder: Path, names: Iterable[str] = (), *, fan_in: int = FAN_IN) -> None:
        """Open the runs `names` in `folder`. Raises LedgerError when one is missing or damaged."""
        self._folder, self._fan_in = folder, fan_in
        self._runs: tuple[OnlineRun, ...] = tuple(OnlineRun.open(folder, name) for name in names)
        self._unsettled: frozenset[str] = frozenset()
        self._pending: list[I64] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs)) + sum(map(len, self._pending))

    @property
    def names(self) -> tuple[str, ...]:
        """Files of its runs."""
        return tuple(run.name for run in self._runs)

    def add(self, rows: I64) -> None:
        """Rows count at once; `take_run` gives them to be committed."""
        if len(rows):
            self._pending.append(ordered(rows))
        if len(self._pending) > self._fan_in:
            self._pending = [ordered(np.concatenate(self._pending))]

    def find(self, keys: I64, room: int) -> tuple[I64, I64, I64, int]:
        """Rows of some sorted, different keys: first and stop place (keys,) of each, rows (found + room, WIDTH), and
        how many were found."""
        parts = [*(run.rows for run in self._runs), *self._pending]
        stretches = []
        total = np.zeros(keys.size, np.int64)
        for rows in parts:
            first, stop = np.empty(keys.size, np.int64), np.empty(keys.size, np.int64)
            kernel.stretches_nb(rows, keys, first, stop)
            stretches.append((first, stop))
            total += stop - first
        stop = np.cumsum(total)
        first, found = stop - total, int(stop[-1]) if keys.size else 0
        out = np.empty((found + room, kernel.WIDTH), np.int64)
        at = first.copy()
        for rows, (here, there) in zip(parts, stretches, strict=True):
            kernel.copy_nb(rows, here, there, at, out)
        return first, stop, out, found

    def closings(self, closed: I64) -> I64:
        """What says of sessions that they were closed, under the keys by which their usage is found.

        closed: rows that say so under the sessions' own keys, which is all that is known of who fell silent.
        """
        keys = np.unique(closed[:, kernel.KEY])
        first, stop, rows, _ = self.find(keys, 0)
        made = []
        for row, at in zip(closed, np.searchsorted(keys, closed[:, kernel.KEY]).tolist(), strict=True):
            here = rows[first[at]:stop[at]]
            begun = here[(here[:, kernel.KIND] == _BEGUN) & (here[:, _SESSION] == row[_SESSION]).all(axis=1)]
            each = np.repeat(row[np.newaxis], len(begun), axis=0)
            each[:, _OF_BEGUN] = begun[:, _OF_BEGUN]
            each[:, kernel.KEY], each[:, kernel.BY] = begun[:, kernel.QUANTITY], begun[:, kernel.RATING_GROUP]
            made.append(each)
        return np.concatenate(made) if made else np.empty((0, kernel.WIDTH), np.int64)

    def take_run(self, version: int) -> NewRun | None:
        """What was added since the last one, as a run to be named in commit `version`; None when nothing was."""
        if not self._pending:
            return None
        rows = ordered(np.concatenate(self._pending))
        words, name = write_run(rows), f"online-{version:020d}.run"
        if name in self.names:
            raise InvariantError(f"a run named {name} exists")
        self._runs = (*self._runs, OnlineRun(name, words))
        self._unsettled |= {name}
        self._pending = []
        return NewRun(name, words.view(np.uint8).data, len(rows))

    def settle(self, name: str, path: str | None = None) -> None:
        """The run is durable and committed: map its file and let go of the memory."""
        opened = OnlineRun.open(self._folder, path or name)
        self._runs = tuple(opened if run.name == name else run for run in self._runs)
        self._unsettled -= {name}

    def without(self, file_id: I64, record_offset: I64) -> list[tuple[str, memoryview | None]]:
        """Runs with shares that these records have taken, and what each is without them; None when nothing is left.

        For a backout: reads every run; changes nothing, as `DuplicateIndex.without`.
        """
        gone = np.unique(np.stack([file_id, record_offset], axis=1), axis=0)
        found: list[tuple[str, memoryview | None]] = []
        for run in self._runs:
            mine = np.flatnonzero(np.isin(run.rows[:, kernel.FILE], gone[:, 0]))
            places = run.rows[mine][:, [kernel.FILE, kernel.OFFSET]]
            mine = mine[(places[:, None] == gone[None]).all(axis=2).any(axis=1)] if mine.size else mine
            if mine.size:
                kept = np.delete(run.rows, mine, axis=0)
                found.append((run.name, write_run(kept).view(np.uint8).data if len(kept) else None))
        return found

    def plan_merge(self, oldest_us: int) -> OnlineMerge | None:
        """The next merge that is due: runs that have expired, or as many of like size as are merged at once."""
        settled = [run for run in self._runs if run.name not in self._unsettled]
        expired = tuple(run.name for run in settled if run.latest_us < oldest_us)
        if expired:
            return OnlineMerge(expired)
        tiers: dict[int, list[OnlineRun]] = {}
        for run in settled:
            tier = max(0, len(run).bit_length() - SMALLEST_TIER) // max(1, self._fan_in.bit_length() - 1)
            tiers.setdefault(tier, []).append(run)
        for _, members in sorted(tiers.items()):
            if len(members) >= self._fan_in:
                return OnlineMerge(tuple(run.name for run in members[:self._fan_in]))
        return None

    def merge(self, plan: OnlineMerge, oldest_us: int) -> Iterator[memoryview]:
        """Octets of the file that replaces `plan.inputs`, front to back, in bounded memory."""
        return merge_runs([run for run in self._runs if run.name in plan.inputs], oldest_us)

    def swap(self, plan: OnlineMerge, path: str) -> None:
        """The merge is durable and committed."""
        opened = OnlineRun.open(self._folder, path)
        gone = frozenset(plan.inputs)
        self._runs = (*(run for run in self._runs if run.name not in gone), opened)


def rows_of_grants(grants: Cells) -> I64:
    """Rows of the index for rows of the ledger's `grant` table: what each reports, or that it asked, and what closes.

    A row is found by its charging id; of IMS by the ICID; a message by party and time; those without charging id and
    gateway also by the text of the session key, which is how our own CHF-CDRs name the session.
    """
    kind, used = grants["kind"], grants["used"]
    event = kind == RequestKind.EVENT
    debited = event & (grants["action"] == EventAction.DIRECT_DEBITING) & (grants["result_code"] == SUCCESS)
    quantity = np.where(debited & (used == ABSENT), grants["granted"], used)
    reports = quantity != ABSENT
    time = np.where(grants["event_time_us"] == ABSENT, grants["received_us"], grants["event_time_us"])
    since = np.where(reports & (grants["used_since_us"] != ABSENT), np.minimum(grants["used_since_us"], time), time)
    rows = np.full((len(grants), kernel.WIDTH), ABSENT, np.int64)
    for word, column in ((kernel.SESSION_HI, "session_hi"), (kernel.SESSION_LO, "session_lo"),
                         (kernel.RATING_GROUP, "rating_group"), (kernel.SERVICE_IDENTIFIER, "service_identifier"),
                         (kernel.GATEWAY, "gateway_address"), (kernel.SERVICE_ID, "service_id"),
                         (kernel.MSISDN, "msisdn_token"), (kernel.IMSI, "imsi_token"),
                         (kernel.EVENT_HI, "event_id_hi"), (kernel.EVENT_LO, "event_id_lo")):
        rows[:, word] = grants[column]
    rows[:, kernel.SINCE], rows[:, kernel.UNTIL] = since, time
    rows[:, kernel.KIND] = np.where(reports, kernel.REPORT, kernel.WORD)
    rows[:, kernel.QUANTITY] = np.where(reports, quantity, 0)
    # Enquiries and refunds are no usage; of who was refused and used nothing, nothing will be reported.
    wanted = np.where(event, debited, reports | (grants["result_code"] == SUCCESS) | (kind == RequestKind.TERMINATION))
    rows, kept = rows[wanted], grants.where(wanted)
    closes = (kept["kind"] == RequestKind.TERMINATION) | (kept["kind"] == RequestKind.EVENT) | (kept["released"] == 1)
    ends = rows[closes].copy()
    ends[:, kernel.KIND], ends[:, kernel.QUANTITY] = kernel.CLOSED, 0
    ends[:, kernel.SINCE] = ends[:, kernel.UNTIL]
    ends[:, [kernel.RATING_GROUP, kernel.SERVICE_IDENTIFIER]] = ABSENT
    begins = (kept["kind"] == RequestKind.INITIAL) & (kept["result_code"] == SUCCESS)
    return np.concatenate([*_keyed(rows, kept), *_keyed(ends, kept.where(closes)),
                           _begun(rows[begins], kept.where(begins))])


def closed_by_supervision(grants: Cells) -> I64:
    """Of sessions that nobody reported: rows that say so under the sessions' own keys."""
    rows = rows_of_grants(grants.where((grants["released"] == 1) & (grants["charging_id"] == ABSENT)
                                       & (grants["icid_hi"] == ABSENT) & (grants["icid_lo"] == ABSENT)))
    closed: I64 = rows[rows[:, kernel.KIND] == kernel.CLOSED]
    return closed


def _begun(rows: I64, grants: Cells) -> I64:
    """Where the usage of sessions is found that have begun."""
    icid = (grants["icid_hi"] != ABSENT) | (grants["icid_lo"] != ABSENT)
    found = (icid | (grants["charging_id"] != ABSENT)) & ~np.isin(grants["service"], _MESSAGES)
    part = rows.copy()
    part[:, kernel.KIND], part[:, kernel.BY] = _BEGUN, kernel.BY_REFERENCE
    part[:, kernel.KEY] = reference_keys(*session_text_keys(grants["session_hi"], grants["session_lo"]))
    part[:, kernel.QUANTITY] = np.where(icid, reference_keys(grants["icid_hi"], grants["icid_lo"]),
                                        charging_keys(grants["charging_id"]))
    part[:, kernel.RATING_GROUP] = np.where(icid, kernel.BY_REFERENCE, kernel.BY_CHARGING_ID)
    part[:, kernel.SERVICE_IDENTIFIER] = ABSENT
    part[:, kernel.DIRECTION] = np.where(icid, grants["direction"], ABSENT)
    part = part[found]
    once: I64 = part[np.sort(np.unique(part[:, _SESSION], axis=0, return_index=True)[1])]  # for all of its services
    return once


def _keyed(rows: I64, grants: Cells) -> list[I64]:
    """Copies of rows under each key by which they are found."""
    message = np.isin(grants["service"], _MESSAGES)
    icid = (grants["icid_hi"] != ABSENT) | (grants["icid_lo"] != ABSENT)
    bearer = (grants["charging_id"] != ABSENT) & ~message & ~icid
    mine = message & (rows[:, kernel.SERVICE_ID] != ABSENT)
    party = party_keys(grants["service_id"], grants["direction"], rows[:, kernel.UNTIL] // BUCKET_US)
    text = reference_keys(*session_text_keys(grants["session_hi"], grants["session_lo"]))
    found = []
    for chosen, by, keys in (
            (bearer, kernel.BY_CHARGING_ID, charging_keys(grants["charging_id"])),
            (icid, kernel.BY_REFERENCE, reference_keys(grants["icid_hi"], grants["icid_lo"])),
            (mine, kernel.BY_PARTY, party),
            (~bearer | (grants["gateway_address"] == ABSENT), kernel.BY_REFERENCE, text)):
        part = rows[chosen].copy()
        part[:, kernel.KEY], part[:, kernel.BY] = keys[chosen], by
        if by == kernel.BY_REFERENCE and chosen is icid:  # the legs of a call share it
            part[:, kernel.DIRECTION] = grants["direction"][chosen]
        found.append(part)
    return found


def session_text(session_hi: int, session_lo: int) -> str:
    """How our CHF-CDRs name a session."""
    return f"{session_hi & (1 << 64) - 1:016x}{session_lo & (1 << 64) - 1:016x}"


def session_text_keys(session_hi: I64, session_lo: I64) -> tuple[I64, I64]:
    """128-bit keys of `session_text` of each."""
    both = np.stack([session_hi, session_lo], axis=1).astype(">i8").view(np.uint8).reshape(-1, 16)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.ascontiguousarray(np.stack([digits[both >> 4], digits[both & 15]], axis=2).reshape(-1))
    places = np.arange(len(both), dtype=np.int64) * 32 << 16 | 32
    hi, lo = np.empty(len(both), np.int64), np.empty(len(both), np.int64)
    kernel.text_keys_nb(text, places, HI_SEED, LO_SEED, hi, lo)
    return hi, lo


def charging_keys(charging_id: I64) -> I64:
    """Keys by charging identifier."""
    return _mixed(charging_id, np.zeros_like(charging_id), np.zeros_like(charging_id), kernel.BY_CHARGING_ID)


def party_keys(service_id: I64, direction: I64, bucket: I64) -> I64:
    """Keys by who, which way, and when about."""
    return _mixed(service_id, direction, bucket, kernel.BY_PARTY)


def reference_keys(hi: I64, lo: I64) -> I64:
    """Keys by a reference that both sides have."""
    keys = np.empty(hi.size, np.int64)
    kernel.reference_keys_nb(np.ascontiguousarray(hi), np.ascontiguousarray(lo), keys)
    return keys


def _mixed(first: I64, second: I64, third: I64, by: int) -> I64:
    keys = np.empty(first.size, np.int64)
    kernel.mixed_keys_nb(*(np.ascontiguousarray(part) for part in (first, second, third)), by, keys)
    return keys


