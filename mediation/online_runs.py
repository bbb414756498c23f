"""Runs of the index of online usage: immutable files of rows sorted by key, mapped and never read whole.

Layout, 64-bit little-endian words: the rows, sorted by key and time, then a trailer (magic, version, rows, words a row,
latest time, zeros to 8 words). The sha256 of the whole file is in the ledger's commit that names it.
"""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mediation.kernels.online import (
    EVENT_HI,
    EVENT_LO,
    KEY,
    KIND,
    QUANTITY,
    REPORT,
    SINCE,
    UNTIL,
    WIDTH,
    stretches_nb,
)
from schemas.columns import I64
from schemas.errors import LedgerError

VERSION = 1
MAGIC = int.from_bytes(b"TARIFAO\0", "little")
TRAILER_WORDS = 8
MERGE_ROWS = 1 << 18  # rows that a merge holds at a time, unless one key has more
_REMEDY = "restore the file from a backup that `tarifa ledger verify` accepts"
_SAME = [word for word in range(WIDTH) if word not in (SINCE, UNTIL, EVENT_HI, EVENT_LO, QUANTITY)]


class OnlineRun:
    """One run, in memory or mapped. rows (n, WIDTH), read-only."""

    def __init__(self, name: str, words: I64) -> None:
        end = [int(word) for word in words[-TRAILER_WORDS:]]
        if len(end) < TRAILER_WORDS or end[0] != MAGIC:
            raise LedgerError(f"{name} is not a whole run of online usage", "its magic word", _REMEDY)
        if end[1] != VERSION:
            raise LedgerError(f"run of online usage {name} has format version {end[1]}", f"version {VERSION}",
                              "read it with the release that wrote it")
        if end[3] != WIDTH or end[2] * WIDTH + TRAILER_WORDS != words.size:
            raise LedgerError(f"run of online usage {name} has {words.size} words", f"{end[2]} rows of {WIDTH}",
                              _REMEDY)
        self.name = name
        self.rows: I64 = words[:-TRAILER_WORDS].reshape(-1, WIDTH)
        self.latest_us = end[4]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def open(cls, folder: Path, name: str) -> "OnlineRun":
        """Map a run file. Raises LedgerError when it is missing, cut short or of another version."""
        try:
            with (folder / name).open("rb") as file:
                if (folder / name).stat().st_size % 8:
                    raise LedgerError(f"run of online usage {name} is cut short", "whole words", _REMEDY)
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise LedgerError(f"run of online usage {name} cannot be opened: {error}", "the file that the ledger names",
                              _REMEDY) from error
        mapped.madvise(mmap.MADV_RANDOM)
        return cls(name, np.frombuffer(mapped, np.int64))


def ordered(rows: I64) -> I64:
    """Rows by key, time and event: an order that says nothing of when they came."""
    order = np.lexsort([rows[:, word] for word in (EVENT_LO, EVENT_HI, KIND, UNTIL, SINCE, KEY)])
    return np.ascontiguousarray(rows[order])


def trailer(count: int, latest_us: int) -> I64:
    """The words that end a run."""
    return np.array([MAGIC, VERSION, count, WIDTH, latest_us, 0, 0, 0], np.int64)


def write_run(rows: I64) -> I64:
    """A whole run in memory, of rows in their order."""
    latest = int(rows[:, UNTIL].max()) if len(rows) else 0
    return np.concatenate([rows.reshape(-1), trailer(len(rows), latest)])


def joined(rows: I64) -> I64:
    """Reports that continue each other without a gap as one: their quantities added, the first one's event.

    What covers a container, and from which event on, is the same before and after: a stretch of reports begins with its
    first. rows: in their order.
    """
    joining = np.flatnonzero(rows[:, KIND] == REPORT)
    if joining.size < 2:
        return rows
    # By what they must share, then by time; equal ones behind each other.
    part = rows[joining]
    order = np.lexsort([part[:, EVENT_LO], part[:, EVENT_HI], part[:, UNTIL], part[:, SINCE],
                        *(part[:, word] for word in reversed(_SAME))])
    part = part[order]
    # A report of nothing is of no length: how far it reaches back is found out when it is asked.
    goes_on = (part[1:, _SAME] == part[:-1, _SAME]).all(axis=1) & (part[1:, SINCE] == part[:-1, UNTIL]) \
        & (part[1:, UNTIL] > part[1:, SINCE]) & (part[:-1, UNTIL] > part[:-1, SINCE])
    starts = np.flatnonzero(np.concatenate([[True], ~goes_on]))
    kept = part[starts]
    kept[:, QUANTITY] = np.add.reduceat(part[:, QUANTITY], starts)
    kept[:, UNTIL] = part[np.concatenate([starts[1:] - 1, [len(part) - 1]]), UNTIL]
    return ordered(np.concatenate([np.delete(rows, joining, axis=0), kept]))


def merge_runs(runs: Sequence[OnlineRun], oldest_us: int) -> Iterator[memoryview]:
    """Several runs as the chunks of a new file, front to back, in bounded memory. Rows that ended before oldest_us are
    left out; reports that continue each other become one."""
    count, latest = 0, 0
    for rows in _merged(runs, oldest_us):
        if len(rows):
            count, latest = count + len(rows), max(latest, int(rows[:, UNTIL].max()))
            yield rows.view(np.uint8).data
    yield trailer(count, latest).view(np.uint8).data


def _merged(runs: Sequence[OnlineRun], oldest_us: int) -> Iterator[I64]:
    """Some keys at a time: those up to the least key that lies a share of the room ahead in any run."""
    share = max(1, MERGE_ROWS // max(1, len(runs)))
    at = [0] * len(runs)
    while any(place < len(run) for place, run in zip(at, runs, strict=True)):
        limit = np.array([min(int(run.rows[min(place + share, len(run)) - 1, KEY])
                              for place, run in zip(at, runs, strict=True) if place < len(run))], np.int64)
        first, stop = np.empty(1, np.int64), np.empty(1, np.int64)
        parts = []
        for number, run in enumerate(runs):
            rest = run.rows[at[number]:]
            stretches_nb(rest, limit, first, stop)
            parts.append(rest[:int(stop[0])])
            at[number] += int(stop[0])
        rows = np.concatenate(parts)
        yield joined(ordered(rows[rows[:, UNTIL] >= oldest_us]))
