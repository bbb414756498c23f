"""Online sessions to records: what each used since its last record, closed when the session is, or when it is long.

A function of the order of the ledger's rows alone: where an export stopped and went on changes no record.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from mediation.online_usage import session_text
from pipelines.cdrs.chf_record import (
    ABNORMAL_RELEASE,
    CHF,
    IMSI,
    MAX_CHANGES,
    NORMAL_RELEASE,
    PGW_C_SMF,
    SMF,
    SMSF,
    TIME_LIMIT,
    ChfRecord,
    Used,
)
from schemas.codes import Service
from schemas.columns import ABSENT
from schemas.online import SUCCESS, UNKNOWN_SESSION_ID, EventAction, RequestKind

Row = dict[str, Any]  # cells of GRANT by name, `source` as its name
MOST_CONTAINERS = 100  # of one record
_SECOND_US = 1_000_000


@dataclass
class OpenSession:
    """A session that goes on: rows since its last record, and how many it has already. opened_us: of the next one."""

    opened_us: int
    rows: list[Row] = field(default_factory=list)
    partials: int = 0


@dataclass
class Sessions:
    """Open sessions, and the numbers of records. partial_s: a session that is longer gets a partial record."""

    node: str
    partial_s: int
    local_sequence: int = 0
    open: dict[tuple[int, int], OpenSession] = field(default_factory=dict)

    def take(self, rows: Iterable[Row], subscriber: Callable[[Row], tuple[int, str] | None]
             ) -> list[tuple[ChfRecord, int]]:
        """Rows in commit order; returns the records that they close, with when they were closed."""
        found = []
        for (hi, lo, _, _), message in groupby(rows, lambda row: (row["session_hi"], row["session_lo"], row["number"],
                                                                  row["journal_position"])):
            record = self._message((hi, lo), list(message), subscriber)
            if record is not None:
                found.append((record, record.closed_us))
        return found

    def _message(self, key: tuple[int, int], message: Sequence[Row],
                 subscriber: Callable[[Row], tuple[int, str] | None]) -> ChfRecord | None:
        at, kind = time_of(message[0]), message[0]["kind"]
        late = message[0]["result_code"] == UNKNOWN_SESSION_ID and key not in self.open
        session = self.open.setdefault(key, OpenSession(at))
        session.rows += [row for row in message if quantity_of(row) > 0]
        released = any(row["released"] == 1 for row in message)
        over = kind in (RequestKind.TERMINATION, RequestKind.EVENT) or released or late
        refused = kind == RequestKind.INITIAL and all(row["result_code"] != SUCCESS for row in message)
        cause = ABNORMAL_RELEASE if released or late else NORMAL_RELEASE if over else \
            MAX_CHANGES if len(session.rows) >= MOST_CONTAINERS else TIME_LIMIT
        if over or refused:
            del self.open[key]
        elif cause == TIME_LIMIT and at - session.opened_us < self.partial_s * _SECOND_US:
            return None
        if not session.rows:
            return None
        if late:  # its session's record may begin in the same second: the number tells them apart
            session.partials = int(message[0]["number"]) + 1
        record = self._record(key, session, at, cause, over, subscriber)
        if not over:
            self.open[key] = OpenSession(at, [], session.partials + 1)
        return record

    def _record(self, key: tuple[int, int], session: OpenSession, at: int, cause: int, last: bool,
                subscriber: Callable[[Row], tuple[int, str] | None]) -> ChfRecord:
        first = session.rows[0]
        self.local_sequence += 1
        service = Service(first["service"]) if first["service"] != ABSENT else Service.GENERIC
        functionality = SMSF if service in (Service.SMS, Service.MMS) else CHF if service != Service.DATA else \
            SMF if first["source"].startswith("nchf") else PGW_C_SMF
        used = [Used(row["rating_group"], row["service_identifier"],
                     time_of(row) if row["used_since_us"] == ABSENT else min(row["used_since_us"], time_of(row)),
                     time_of(row), quantity_of(row)) for row in session.rows]
        only = last and not session.partials
        return ChfRecord(self.node, session_text(*key), service, min([session.opened_us, *(u.since_us for u in used)]),
                         at, cause, 0 if only else session.partials + 1, self.local_sequence, used, functionality,
                         first["charging_id"], first["gateway_address"], subscriber(first))


def time_of(row: Row) -> int:
    """When the network says that it was, else when it came."""
    return int(row["received_us"] if row["event_time_us"] == ABSENT else row["event_time_us"])


def quantity_of(row: Row) -> int:
    """Units that were used and charged."""
    if row["kind"] == RequestKind.EVENT and row["used"] == ABSENT:
        debited = row["action"] == EventAction.DIRECT_DEBITING and row["result_code"] == SUCCESS
        return max(int(row["granted"]), 0) if debited else 0
    return max(int(row["used"]), 0)


def known_subscriber(numbers: dict[int, str]) -> Callable[[Row], tuple[int, str] | None]:
    """Looks up the IMSI behind a row's token; none where the vault has it not."""
    def find(row: Row) -> tuple[int, str] | None:
        digits = numbers.get(row["imsi_token"])
        return None if digits is None else (IMSI, digits)

    return find
