"""What commands changed in who holds which identity: a small table beside the inventory, asked before it.

The inventory is made of the operator's files and never changed. A command adds a few points here, in constant time
whatever the number of subscribers; from its instant on they decide, and the files before. What was changed by a
command stays with commands: later files say nothing of it any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from reference_data.inventory import NOW, Inventory
from reference_data.kernels.changes import (
    FROM,
    GROUP,
    HELD,
    KEY,
    OVERLAY,
    PART,
    POINT_WORDS,
    RECORDED,
    SERVICE,
    UNTIL,
    WHO,
    holders_nb,
    link_points_nb,
    point_at_nb,
)
from reference_data.kernels.intervals import FIRST, SECOND, THIRD, UNKNOWN
from schemas.codes import Identity
from schemas.columns import ABSENT, I64, Cells
from schemas.identity_change import IDENTITY_CHANGE

_OF_TOKEN = -1
OF_SERVICE = (Identity.MSISDN, Identity.IMSI, Identity.IP_ADDRESS)
_COLUMNS = {KEY: "key", PART: "part", FROM: "valid_from_us", RECORDED: "recorded_us", WHO: "holder",
            SERVICE: "service_id", GROUP: "group_id", UNTIL: "until_us"}
COLUMNS = tuple(_COLUMNS.values())


@dataclass(frozen=True)
class Holder:
    """Who holds an identity."""

    account_id: int
    service_id: int
    group_id: int


@dataclass
class Changes:
    """points (capacity, 9), the first `count` of them in the order of the journal; slots: see `kernels.changes`."""

    points: I64 = field(default_factory=lambda: np.full((8, POINT_WORDS), -1, np.int64))
    slots: I64 = field(default_factory=lambda: np.full((8, 3), -1, np.int64))
    count: int = 0
    _keys: int = 0

    def __len__(self) -> int:
        return self.count

    def give(self, token: int, holder: Holder, from_us: int, recorded_us: int) -> None:
        """From an instant on an identity belongs to a service."""
        self._add([token, _OF_TOKEN, from_us, recorded_us, holder.account_id, holder.service_id, holder.group_id, HELD])

    def take(self, token: int, from_us: int, recorded_us: int, until_us: int, service_id: int = ABSENT) -> None:
        """From an instant on nobody holds an identity; before `until_us` nobody is to get it either.

        service_id: who had it.
        """
        self._add([token, _OF_TOKEN, from_us, recorded_us, ABSENT, service_id, ABSENT, until_us])

    def only(self, service_id: int, identity: Identity, token: int, from_us: int, recorded_us: int) -> None:
        """From an instant on a service has this token of a kind and no other, or none (ABSENT)."""
        self._add([service_id, int(identity), from_us, recorded_us, token, service_id, ABSENT, HELD])

    def holder(self, inventory: Inventory | None, token: int, identity: Identity, time_us: int, recorded_us: int = NOW
               ) -> Holder | None:
        """Who holds an identity at a time; None: nobody, or nobody ever did."""
        found = self.find(inventory, np.array([token], np.int64), identity, np.array([time_us], np.int64), recorded_us)
        row = int(found[0])
        if row <= OVERLAY:
            point = self.points[OVERLAY - row]
            return Holder(int(point[WHO]), int(point[SERVICE]), int(point[GROUP]))
        if row < 0 or inventory is None:
            return None
        base = inventory.holders.rows[row]
        return Holder(int(base[FIRST]), int(base[SECOND]), int(base[THIRD]))

    def find(self, inventory: Inventory | None, tokens: I64, identity: Identity, time_us: I64, recorded_us: int = NOW
             ) -> I64:
        """For each token a row of the inventory's holders, OVERLAY - row of `points`, UNKNOWN (-1) or NOT_THEN (-2)."""
        found = np.empty(tokens.size, np.int64)
        directory, shift, rows = _NO_FILES if inventory is None else (
            inventory.holders.directory, inventory.holders.shift, inventory.holders.rows)
        holders_nb(tokens, np.full(tokens.size, int(identity), np.int64), time_us, recorded_us, directory, shift, rows,
                   self.slots, self.points, found)
        return found

    def free_at(self, token: int, time_us: int) -> int:
        """When an identity that a command took from somebody may be given again, as of a time; 0: at once."""
        row = point_at_nb(token, _OF_TOKEN, time_us, NOW, self.slots, self.points)
        return max(int(self.points[row, UNTIL]), 0) if row >= 0 else 0

    def has_only(self, service_id: int, identity: Identity, time_us: int) -> bool:
        """Whether a command said which token of a kind a service has at a time."""
        return bool(point_at_nb(service_id, int(identity), time_us, NOW, self.slots, self.points) >= 0)

    def has_service(self, service_id: int) -> bool:
        """Whether a command made this service, or changed it."""
        return any(int(point_at_nb(service_id, int(identity), 0, 0, self.slots, self.points)) != UNKNOWN
                   for identity in OF_SERVICE)

    def newest_service(self) -> int:
        """The largest service that a command named, -1 for none."""
        return int(self.points[:self.count, SERVICE].max(initial=-1))

    def copy(self) -> "Changes":
        """The same points, which nobody changes with these."""
        return Changes(self.points.copy(), self.slots.copy(), self.count, self._keys)

    def to_cells(self, first: int = 0) -> Cells:
        """Points from `first` on as IDENTITY_CHANGE rows; what a command is about is left for who knows it."""
        cells = Cells.empty(IDENTITY_CHANGE, self.count - first, fill=ABSENT)
        for word, name in _COLUMNS.items():
            cells[name] = self.points[first:self.count, word]
        return cells

    def extend(self, columns: Mapping[str, I64] | Cells) -> None:
        """Add points as `to_cells` wrote them, in their order."""
        rows = np.full((columns[COLUMNS[0]].size, POINT_WORDS), -1, np.int64)
        for word, name in _COLUMNS.items():
            rows[:, word] = columns[name]
        self._append(rows)

    def _add(self, words: list[int]) -> None:
        self._append(np.array([[*words, -1]], np.int64))

    def _append(self, rows: I64) -> None:
        need = self.count + rows.shape[0]
        if need > self.points.shape[0]:
            larger = np.full((max(need, 2 * self.points.shape[0]), POINT_WORDS), -1, np.int64)
            larger[:self.count] = self.points[:self.count]
            self.points = larger
        self.points[self.count:need] = rows
        first, self.count = self.count, need
        if 2 * (self._keys + rows.shape[0]) > self.slots.shape[0]:
            capacity = self.slots.shape[0]
            while capacity < 4 * (self._keys + rows.shape[0]):
                capacity *= 2
            self.slots, self._keys, first = np.full((capacity, 3), -1, np.int64), 0, 0
        self._keys += int(link_points_nb(first, need, self.slots, self.points))


_NO_FILES = (np.zeros(3, np.int32), 62, np.zeros((0, 8), np.int64))
