"""Defects put into the network's files on purpose, each with an entry for the answer key.

Record defects change, repeat, hold back or drop single rows before they are encoded; octet defects damage encoded
records; file defects lose, repeat, delay or cut whole files. Which rows and files is drawn from hashes, at least one
of each kind per element that can have it, and about one in ten thousand records of each kind beyond that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipelines.sample.kernels.draw import draw_nb
from pipelines.sample.population import NOBODY, imsi_digits
from pipelines.sample.rows import (
    C_ANSWER_S,
    C_DURATION_S,
    C_EXTRA,
    C_KIND,
    C_OTHER,
    D_DOWN,
    D_LAST,
    D_OPEN_S,
    D_PARTIAL,
    D_SWITCH_S,
    D_TOTAL_DOWN,
    E_CLOSE_S,
    E_IMSI,
    E_MSISDN,
    E_SEQUENCE,
    E_SESSION,
    E_START_S,
    MO,
    S_IMSI,
    S_MSISDN,
    S_TO_S,
)
from schemas.columns import I64
from schemas.digits import pack

HOUR_S = 3600
ONE_IN = 10_000       # records per further defect of a kind
MOST_AN_HOUR = 20     # of a kind, in an element
SKEW_S = 2 * 86_400   # beyond any file's clock tolerance
LATE_S = 3 * HOUR_S   # how much later a held partial comes: within the time-outs of the streams

# Kinds and what a correct run makes of them: (class of outcome, reasons of suspense that count as found).
EXPECTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "repeated_record": ("duplicate", ()),
    "key_conflict": ("suspended", ("key_conflict",)),
    "lost_partial": ("sequence_gap", ()),
    "late_partial": ("accepted", ()),
    # Where the key has no sequence of the node in it, what overlaps also contradicts.
    "overlapping_partial": ("suspended", ("overlapping_partial", "key_conflict")),
    "unknown_subscriber": ("suspended", ("unknown_subscriber",)),
    "stale_port": ("suspended", ("not_subscribed_then",)),
    "clock_skew": ("suspended", ("time_ahead",)),
    "corrupted_record": ("suspended", ("unframed_bytes", "truncated_record", "malformed_record", "unknown_record_type",
                                       "missing_field", "bad_value")),
    "truncated_record": ("suspended", ("unframed_bytes", "truncated_record", "malformed_record", "missing_field",
                                       "unknown_record_type", "bad_value")),
    "missing_file": ("file_gap", ()),
    "repeated_file": ("duplicate_file", ()),
    "late_batch": ("accepted", ()),
    "header_lies": ("header_lies", ()),
    "wrong_tariff_row": ("tariff", ()),
}
_CHARGED = ("msc", "smsc", "scscf", "pgw", "chf", "nchf", "voip")  # elements whose records are charged, not filtered
_PARTIALS = ("pgw", "chf", "nchf")
_MERGED = ("chf",)  # partials are merged until the final one


@dataclass
class Entry:
    """One defect. `file` is the number of the file among the element's, -1 while unknown or when there is none."""

    kind: str
    source: str
    file: int = -1
    record_offset: int = -1
    record_length: int = -1
    records: int = 1
    sequence: int = -1      # local sequence number, or a file's number
    session: int = -1
    seconds: int = 0
    octets: int = 0
    note: str = ""
    row: int = -1           # while the hour is written: the row it stands for


@dataclass
class Held:
    """Rows that are filed later than they closed."""

    release_s: int
    row: I64
    entry: Entry


@dataclass
class Mischief:
    """Defects of one element. `stem` decides what can happen to its records."""

    source: str
    stem: str
    data: bool
    seed: int
    start_s: int
    end_s: int
    left: I64               # [S_..., n]: subscribers whose number has left, S_TO_S says when
    entries: list[Entry] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = int(draw_nb(self.seed, sum(ord(c) << 3 * i for i, c in enumerate(self.source)), 900))

    def disturb(self, rows: I64, hour_s: int, stop_s: int) -> tuple[I64, I64, list[Entry]]:
        """Rows of an hour with defects, when each is filed (seconds, ascending), and the entries that name a row."""
        filed = rows[E_CLOSE_S].copy()
        order: list[tuple[int, int]] = []  # rows to insert behind: (behind, index into extra)
        extra: list[tuple[I64, Entry]] = []
        marks: list[tuple[int, Entry]] = []
        dropped: list[int] = []
        touched: set[int] = set()

        def take(kind: str, wanted: npt.NDArray[np.bool_]) -> list[int]:
            found = [row for row in self._choose(kind, wanted, hour_s) if row not in touched]
            touched.update(found)
            return found

        def add(kind: str, row: int, changed: I64) -> None:
            order.append((row, len(extra)))
            extra.append((changed, self._entry(kind, changed)))

        every = np.ones(rows.shape[1], bool)
        for row in take("repeated_record", every):
            add("repeated_record", row, rows[:, row].copy())
        for row in take("key_conflict", self._with_use(rows)):
            add("key_conflict", row, self._other_content(rows[:, row].copy()))
        if self.stem in _CHARGED:
            for kind, change in (("unknown_subscriber", self._unknown), ("stale_port", self._left)):
                # A merged session is known by its first partial: what a later one says of the subscriber is not asked.
                first = rows[D_PARTIAL] == 0 if self.stem in _MERGED else every
                for row in take(kind, self._with_use(rows) & self._served(rows) & first):
                    if kind != "stale_port" or (self.left[S_TO_S] < rows[E_START_S, row]).any():
                        change(rows, row)
                        marks.append((row, self._entry(kind, rows[:, row])))
            for row in take("clock_skew", self._with_use(rows) & self._served(rows)):
                for column in self._clocks():
                    rows[column, row] += np.where(rows[column, row] >= 0, SKEW_S, 0)
                marks.append((row, self._entry("clock_skew", rows[:, row])))
        if self.stem in _PARTIALS:
            for row in take("overlapping_partial", (filed - rows[D_OPEN_S] > 60) & (rows[D_LAST] == 0)
                            & (rows[D_SWITCH_S] < 0) & self._with_use(rows)):
                changed = rows[:, row].copy()
                changed[[E_START_S, D_OPEN_S]] += 7
                add("overlapping_partial", row, changed)
            open_ones = (rows[D_LAST] == 0) & (rows[D_PARTIAL] > 0)
            # A node that does not number its records leaves no gap that could be found before its sessions time out.
            for row in take("lost_partial", open_ones & (self.stem != "nchf")):
                dropped.append(row)
                self.entries.append(self._entry("lost_partial", rows[:, row]))
            if stop_s + LATE_S < self.end_s:
                for row in take("late_partial", open_ones):
                    dropped.append(row)
                    self.held.append(Held(int(filed[row]) + LATE_S, rows[:, row].copy(),
                                          self._entry("late_partial", rows[:, row])))
        marks += [(row, self._entry("corrupted_record", rows[:, row])) for row in take("corrupted_record", every)]
        return self._assemble(rows, filed, order, extra, marks, dropped, stop_s)

    def _assemble(self, rows: I64, filed: I64, order: list[tuple[int, int]], extra: list[tuple[I64, Entry]],
                  marks: list[tuple[int, Entry]], dropped: list[int], stop_s: int) -> tuple[I64, I64, list[Entry]]:
        due = [h for h in self.held if h.release_s < stop_s]
        self.held = [h for h in self.held if h.release_s >= stop_s]
        count = rows.shape[1]
        matrix = np.concatenate([rows, *(e[0][:, None] for e in extra), *(h.row[:, None] for h in due)], axis=1)
        at = np.concatenate([filed, [filed[row] for row, _ in order], [h.release_s for h in due]]).astype(np.int64)
        entries = [*marks, *((count + i, e[1]) for i, e in enumerate(extra)),
                   *((count + len(extra) + i, h.entry) for i, h in enumerate(due))]
        keep = np.ones(matrix.shape[1], bool)
        keep[dropped] = False
        place = np.argsort(at, kind="stable")
        place = place[keep[place]]
        new_place = np.empty(matrix.shape[1], np.int64)
        new_place[place] = np.arange(len(place))
        for row, entry in entries:
            entry.row = int(new_place[row])
        found = [entry for _, entry in entries]
        self.entries += found
        return np.ascontiguousarray(matrix[:, place]), np.ascontiguousarray(at[place]), found

    def _choose(self, kind: str, wanted: npt.NDArray[np.bool_], hour_s: int) -> list[int]:
        """Rows of an hour that get this defect."""
        rows = np.flatnonzero(wanted)
        if len(rows) == 0:
            return []
        salt = list(EXPECTED).index(kind)
        first_s = self.start_s + (self.end_s - self.start_s) * (20 + int(draw_nb(self.key, salt, 1)) % 50) // 100
        number = min(MOST_AN_HOUR, int(draw_nb(self.key, hour_s, salt) % ONE_IN + len(rows)) // ONE_IN)
        if number == 0 and hour_s >= first_s and not self.seen.get(kind):
            number = 1
        self.seen[kind] = self.seen.get(kind, 0) + number
        return sorted({int(rows[draw_nb(self.key, hour_s + i, 100 + salt) % len(rows)]) for i in range(number)})

    def _entry(self, kind: str, row: I64) -> Entry:
        seconds = 0 if self.data else int(row[C_DURATION_S])
        octets = int(row[D_DOWN]) if self.data else 0
        return Entry(kind, self.source, sequence=int(row[E_SEQUENCE]), session=int(row[E_SESSION]), seconds=seconds,
                     octets=octets)

    def _with_use(self, rows: I64) -> npt.NDArray[np.bool_]:
        """Rows that used something worth charging; every message is."""
        if self.stem == "smsc":
            return np.ones(rows.shape[1], bool)
        used: npt.NDArray[np.bool_] = rows[D_DOWN] > 1000 if self.data else rows[C_DURATION_S] > 0
        return used

    def _served(self, rows: I64) -> npt.NDArray[np.bool_]:
        """Rows that are charged to one of ours: no terminating legs, no visitors."""
        ours: npt.NDArray[np.bool_] = rows[E_MSISDN] > 0
        if not self.data:
            ours &= rows[C_KIND] == MO
            if self.stem == "scscf":
                ours &= rows[C_EXTRA] == 0
        return ours

    def _clocks(self) -> tuple[int, ...]:
        return (E_START_S, E_CLOSE_S, D_OPEN_S, D_SWITCH_S) if self.data else (E_START_S, E_CLOSE_S, C_ANSWER_S)

    def _other_content(self, row: I64) -> I64:
        if self.data:
            row[[D_DOWN, D_TOTAL_DOWN]] += 1_000_000
        elif self.stem == "smsc":
            row[C_OTHER] = row[C_OTHER] & ~15 | (row[C_OTHER] & 15) % 10 + 1
        else:
            row[C_DURATION_S] += 60
            row[E_CLOSE_S] += 60
        return row

    def _unknown(self, rows: I64, row: int) -> None:
        """Numbers of our ranges that no service ever had."""
        nobody = int(draw_nb(self.key, int(rows[E_SESSION, row]), 0)) % 10**7
        if rows[E_IMSI, row] > 0:
            rows[E_IMSI, row] = pack("00101" + f"{imsi_digits(NOBODY + nobody):010d}")
        rows[E_MSISDN, row] = pack(("99974" if rows[E_IMSI, row] > 0 else "99929") + f"{nobody:07d}")

    def _left(self, rows: I64, row: int) -> None:
        """Identities of a subscriber whose number has left."""
        gone = np.flatnonzero(self.left[S_TO_S] < rows[E_START_S, row])
        who = int(gone[int(rows[E_SESSION, row]) % len(gone)])
        if rows[E_IMSI, row] > 0:
            rows[E_IMSI, row] = self.left[S_IMSI, who]
        rows[E_MSISDN, row] = self.left[S_MSISDN, who]


Damage = Callable[[npt.NDArray[np.uint8]], None]


def damage_ber(record: npt.NDArray[np.uint8]) -> None:
    """Behind its frame of five octets: the length of the first field runs far beyond the record."""
    position = 6
    if record[5] & 31 == 31:  # a long tag
        while record[position] & 0x80:
            position += 1
        position += 1
    first = position + 1 + (int(record[position]) & 0x7F if record[position] & 0x80 else 0)
    record[first + 1:first + 6] = (0x84, 0x7F, 0xFF, 0xFF, 0xF0)


def damage_line(record: npt.NDArray[np.uint8]) -> None:
    """Separators become something else."""
    record[:-1][(record[:-1] == ord(",")) | (record[:-1] == ord("{"))] = ord("#")


def damage_packet(record: npt.NDArray[np.uint8]) -> None:
    """The first attribute says that it has no length."""
    record[21] = 0


DAMAGE: dict[str, Damage] = {"voip": damage_line, "nchf": damage_line, "wifi": damage_packet}


HEADLESS = ("nchf", "wifi")  # their files announce no counts, so that none can lie
FILE_KINDS = ("truncated_record", "missing_file", "repeated_file", "late_batch", "header_lies")


def plan_files(key: int, ordinal: int, windows: int) -> dict[int, str]:
    """Number of a file among the element's -> what happens to it.

    A short series of files has one such file, longer ones one in twelve; elements take the kinds in turn. Nothing
    happens to the first and the last two files of a period.
    """
    kinds: dict[int, str] = {}
    usable = list(range(1, windows - 2))
    for number in range(min(max(1, windows // 12), len(usable))):
        kinds[usable.pop(int(draw_nb(key, number, 700)) % len(usable))] = FILE_KINDS[(ordinal + number) % 5]
    return kinds
