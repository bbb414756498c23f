"""Money that a command reserved: until when, and what became of it.

The money itself is in the table of holds, under the reservation's id, where what sessions hold is. What is over is
remembered for a while, so that whoever asks is told how it ended.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from heapq import heapify, heappop, heappush

import pyarrow as pa

from schemas.timepoint import DAY_S, SECOND_US

Key = tuple[int, int]
REMEMBER_US = 35 * DAY_S * SECOND_US  # how long one that is over is remembered
MOST_US = 35 * DAY_S * SECOND_US      # how long one may last
_WORD = 1 << 64
_COLUMNS = ("account_id", "amount_nanos", "until_us", "state", "used_nanos", "ended_us")


class ReservationState(IntEnum):
    """What became of it. The values are written: never renumber."""

    OPEN = 0
    USED = 1
    RELEASED = 2
    EXPIRED = 3


@dataclass(frozen=True)
class Reservation:
    """An account's; used_nanos: what was debited in the end, the rest having been given back."""

    account_id: int
    amount_nanos: int
    until_us: int
    state: ReservationState = ReservationState.OPEN
    used_nanos: int = 0
    ended_us: int = 0


@dataclass
class Reservations:
    """By id.

    due: a heap of when each is to be looked at next, when it is over and then when it is forgotten. open_of: the open
    ones of each account, since all that are remembered are too many to go through for one.
    """

    by_key: dict[Key, Reservation] = field(default_factory=dict)
    due: list[tuple[int, Key]] = field(default_factory=list)
    open_of: dict[int, tuple[Key, ...]] = field(default_factory=dict)

    def add(self, key: Key, reservation: Reservation) -> None:
        """A new one, or one that has ended."""
        self._enter(key, reservation)
        heappush(self.due, (_next_look(reservation), key))

    def end(self, key: Key, state: ReservationState, ended_us: int, used_nanos: int = 0) -> None:
        """It is over."""
        self.add(key, replace(self.by_key[key], state=state, ended_us=ended_us, used_nanos=used_nanos))

    def over(self, now_us: int) -> Iterator[tuple[Key, Reservation]]:
        """Open ones that have lasted until `now_us`, the first that were over first; forgets what is old."""
        while self.due and self.due[0][0] <= now_us:
            at_us, key = heappop(self.due)
            found = self.by_key.get(key)
            if found is None:
                continue
            if found.state != ReservationState.OPEN:
                if found.ended_us + REMEMBER_US == at_us:
                    del self.by_key[key]
            elif found.until_us == at_us:
                yield key, found

    def of(self, account_id: int) -> list[tuple[Key, Reservation]]:
        """Open ones of an account."""
        return [(key, self.by_key[key]) for key in self.open_of.get(account_id, ())]

    def _enter(self, key: Key, reservation: Reservation) -> None:
        self.by_key[key] = reservation
        others = tuple(other for other in self.open_of.pop(reservation.account_id, ()) if other != key)
        mine = (*others, key) if reservation.state == ReservationState.OPEN else others
        if mine:
            self.open_of[reservation.account_id] = mine

    def to_arrow(self) -> pa.Table:
        """A row for each, by id."""
        rows = sorted(self.by_key.items())
        columns = {"key_hi": [key[0] for key, _ in rows], "key_lo": [key[1] for key, _ in rows],
                   **{name: [int(getattr(each, name)) for _, each in rows] for name in _COLUMNS}}
        return pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "Reservations":
        """What `to_arrow` wrote."""
        made = cls()
        for row in table.to_pylist():
            made._enter((row["key_hi"], row["key_lo"]), Reservation(
                row["account_id"], row["amount_nanos"], row["until_us"], ReservationState(row["state"]),
                row["used_nanos"], row["ended_us"]))
        made.due = [(_next_look(each), key) for key, each in made.by_key.items()]
        heapify(made.due)
        return made


def _next_look(reservation: Reservation) -> int:
    """When it is over, or forgotten."""
    return reservation.until_us if reservation.state == ReservationState.OPEN else reservation.ended_us + REMEMBER_US


def name_of(key: Key) -> str:
    """A reservation's id as people are told it: 32 hex digits, those of its movement in the ledger."""
    return "{:016x}{:016x}".format(*(word % _WORD for word in key))


def key_of(name: str) -> Key | None:
    """The reservation of that id; None where it is none."""
    if len(name) != 32 or not name.isascii() or not all(c in "0123456789abcdef" for c in name):
        return None
    words = int(name[:16], 16), int(name[16:], 16)
    return tuple(word - _WORD if word >= _WORD // 2 else word for word in words)  # type: ignore[return-value]
