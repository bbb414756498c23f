"""A run of the duplicate index: an immutable file of keys sorted by (day, key hash), mapped and never read whole.

Layout, 64-bit little-endian words, written front to back:

    header     8 words: magic, version, zeros
    block...   up to `BLOCK_ROWS` keys of one day: filter lines, key_hi, key_lo, content, then the origin (file_id,
               record_offset) and the full key (key_0..key_4, key_time_us), packed to the bits that they span
    directory  24 words a block: day, first and last key_hi, where, how many, checks, base and bits of packed columns
    trailer    16 words: magic, version, blocks, rows, directory's place, zeros, sha256 of directory and trailer so far

A probe reads one filter line; key_hi and key_lo only when the filter says perhaps; the full key and the origin only
on a 128-bit match. Opening reads directory and trailer; the first probe copies the filter lines (2 octets a key) to
memory, the rest is mapped and let go. The sha256 of the whole file is in the ledger's commit that
names it; each block has its own sums, checked whenever a merge reads it.
"""

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mediation.kernels.duplicates import (
    D_DAY,
    D_FIRST,
    D_LAST,
    D_LINES,
    D_ROWS,
    D_START,
    DAY_US,
    DIRECTORY_COLUMNS,
    LINE_WORDS,
    RUN_COLUMNS,
    S_DAY,
    S_FILTER,
    S_FIRST,
    S_LAST,
    S_LINES,
    STEPS,
    decode_block_nb,
    encode_block_nb,
    measure_block_nb,
    merge_rows_nb,
    probe_run_nb,
)
from schemas.columns import I64, U8
from schemas.errors import LedgerError

U64 = npt.NDArray[np.uint64]

VERSION = 1
MAGIC = int.from_bytes(b"TARIFAK\0", "little")
HEADER_WORDS, TRAILER_WORDS = 8, 16
# A block (some 180 KB) spans few pages, so that looking up one key maps little.
BLOCK_ROWS = 4_096
MOST_LOOKED_UP = 1_024  # look-ups in a run after which the pages they mapped are let go: some 200 MB at most
READ_AHEAD = 16  # blocks that a merge fetches ahead, and lets go of together
_REMEDY = "restore the file from a backup that `tarifa ledger verify` accepts"


class Run:
    """One run, in memory or mapped. `name` as the ledger names it."""

    def __init__(self, name: str, words: U64, mapped: mmap.mmap | None = None) -> None:
        self.name, self.words, self._mapped = name, words, mapped
        self.directory = _read_directory(name, words)
        self.rows = int(self.directory[:, D_ROWS].sum())
        self.days = tuple(int(d) for d in np.unique(self.directory[:, D_DAY]))
        self.last_probe = 0
        self._filters: U64 | None = None
        self._steps = _steps(self.directory)
        self._looked_up = 0

    @classmethod
    def open(cls, folder: Path, name: str) -> "Run":
        """Map a run file. Raises LedgerError when it is missing, cut short, damaged or of another version."""
        path = folder / name
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                if size < (HEADER_WORDS + TRAILER_WORDS) * 8 or size % 8:
                    raise LedgerError(f"duplicate run {name} has {size} octets", "a whole run file", _REMEDY)
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise LedgerError(f"duplicate run {name} cannot be opened: {error.strerror}",
                              "the file that the ledger names", _REMEDY) from error
        mapped.madvise(mmap.MADV_RANDOM)
        return cls(name, np.frombuffer(mapped, np.uint64), mapped)

    def probe(self, matrix: I64, order: I64, hi: U64, lo: U64, day: I64, bits: U64, state: U8, found: I64) -> None:
        """`probe_run_nb` on this run."""
        if self._filters is None:
            self._filters = self._read_filters()
        self._looked_up += probe_run_nb(self.words, self._filters, self._steps, self.directory, matrix, order,
                                        hi, lo, day, bits[0], bits[1], state, found)
        if self._looked_up > MOST_LOOKED_UP:
            self._let_go()

    def _read_filters(self) -> U64:
        """Copy the filter lines, letting pages go on the way: the system maps what lies around each as well."""
        filters = np.empty(int(self._steps[S_LINES].sum()) * LINE_WORDS, np.uint64)
        starts, sizes = self.directory[:, D_START].tolist(), (self._steps[S_LINES] * LINE_WORDS).tolist()
        for block, at in enumerate(self._steps[S_FILTER].tolist()):
            filters[at:at + sizes[block]] = self.words[starts[block]:starts[block] + sizes[block]]
            if block % MOST_LOOKED_UP == MOST_LOOKED_UP - 1:
                self._let_go()
        self._let_go()
        return filters

    @property
    def filter_octets(self) -> int:
        """Memory that the filters take now."""
        return 0 if self._filters is None else self._filters.nbytes

    def forget_filters(self) -> None:
        """Give the memory of the filters back; the next probe reads them again."""
        self._filters = None

    def _let_go(self) -> None:
        """Unmap all pages that were read. They stay in the system's cache while it has room."""
        self._looked_up = 0
        if self._mapped is not None:
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def rows_of(self, day: int) -> int:
        return int(self.directory[self.directory[:, D_DAY] == day, D_ROWS].sum())

    def block_words(self, block: int) -> int:
        """Size of a block: from its start to the next block's, or to the directory."""
        last = block + 1 == len(self.directory)
        stop = int(self.words[-TRAILER_WORDS + 4]) if last else int(self.directory[block + 1, D_START])
        return stop - int(self.directory[block, D_START])

    def decode(self, block: int, out: I64) -> int:
        """Decode a block to out (RUN_COLUMNS, >= rows); returns its rows. For reading on: the next blocks are fetched
        ahead, and mapped pages are let go, some blocks at a time."""
        if block % READ_AHEAD == 0:
            self._advise(mmap.MADV_WILLNEED, block, block + 2 * READ_AHEAD)
        size = self.block_words(block)
        if not decode_block_nb(self.words, self.directory, block, size, out):
            raise LedgerError(f"duplicate run {self.name}: block {block} is damaged", "the sums in its directory",
                              _REMEDY)
        if block % READ_AHEAD == READ_AHEAD - 1 or block + 1 == len(self.directory):
            self._advise(mmap.MADV_DONTNEED, block // READ_AHEAD * READ_AHEAD, block + 1)
        return int(self.directory[block, D_ROWS])

    def _advise(self, advice: int, first: int, stop: int) -> None:
        """Tell the system about the pages of blocks first to stop - 1, as far as there are so many."""
        if self._mapped is None:
            return
        last = min(stop, len(self.directory)) - 1
        start = int(self.directory[first, D_START]) * 8
        end = (int(self.directory[last, D_START]) + self.block_words(last)) * 8
        page = start // mmap.PAGESIZE * mmap.PAGESIZE
        self._mapped.madvise(advice, page, end - page)


def _read_directory(name: str, words: U64) -> I64:
    """Directory of a run (blocks, DIRECTORY_COLUMNS), checked."""
    trailer = words[-TRAILER_WORDS:]
    for magic, version in (words[:2], trailer[:2]):
        if int(magic) != MAGIC:
            raise LedgerError(f"{name} is not a whole duplicate run", "its magic word at both ends", _REMEDY)
        if int(version) != VERSION:
            raise LedgerError(f"duplicate run {name} has format version {int(version)}", f"version {VERSION}",
                              "read it with the release that wrote it")
    blocks, rows, start = int(trailer[2]), int(trailer[3]), int(trailer[4])
    if start + blocks * DIRECTORY_COLUMNS + TRAILER_WORDS != words.size:
        raise LedgerError(f"duplicate run {name}: its directory does not fit its length", "", _REMEDY)
    if _digest(words[start:-4]).tobytes() != trailer[-4:].tobytes():
        raise LedgerError(f"duplicate run {name}: its directory is damaged", "the sha256 in its trailer", _REMEDY)
    directory: I64 = words[start:-TRAILER_WORDS].view(np.int64).reshape(blocks, DIRECTORY_COLUMNS)
    if int(directory[:, D_ROWS].sum()) != rows:
        raise LedgerError(f"duplicate run {name}: rows disagree", f"{rows}", _REMEDY)
    return directory


def _steps(directory: I64) -> I64:
    """What `probe_run_nb` walks along, (STEPS, blocks)."""
    steps = np.empty((STEPS, len(directory)), np.int64)
    for step, column in ((S_DAY, D_DAY), (S_FIRST, D_FIRST), (S_LAST, D_LAST), (S_LINES, D_LINES)):
        steps[step] = directory[:, column]
    words = directory[:, D_LINES] * LINE_WORDS
    steps[S_FILTER] = np.cumsum(words) - words
    return steps


def _digest(words: U64) -> U64:
    return np.frombuffer(hashlib.sha256(words.tobytes()).digest(), np.uint64)


def _header() -> U64:
    header = np.zeros(HEADER_WORDS, np.uint64)
    header[:2] = MAGIC, VERSION
    return header


def _end(directory: I64, rows: int, at: int) -> U64:
    """Directory and trailer of a run whose blocks end at word `at`."""
    words = np.zeros(directory.size + TRAILER_WORDS, np.uint64)
    words[:-TRAILER_WORDS] = directory.reshape(-1).view(np.uint64)
    words[-TRAILER_WORDS:-TRAILER_WORDS + 5] = MAGIC, VERSION, len(directory), rows, at
    words[-4:] = _digest(words[:-4])
    return words


def write_run(columns: I64, block_rows: int = BLOCK_ROWS) -> U64:
    """A whole run in memory. columns (RUN_COLUMNS, n), sorted by (day, key_hi, key_lo)."""
    edges = np.flatnonzero(np.diff(columns[-1] // DAY_US)) + 1
    days = pairwise((0, *edges.tolist(), columns.shape[1]))
    pieces = [(first, min(block_rows, stop - first))
              for start, stop in days for first in range(start, stop, block_rows)]
    directory = np.zeros((len(pieces), DIRECTORY_COLUMNS), np.int64)
    at = HEADER_WORDS
    for block, (first, rows) in enumerate(pieces):
        at += measure_block_nb(columns, first, rows, at, int(columns[-1, first]) // DAY_US, directory, block)
    words = np.empty(at + directory.size + TRAILER_WORDS, np.uint64)
    words[:HEADER_WORDS] = _header()
    stops = [*directory[1:, D_START].tolist(), at]
    for block, (first, _) in enumerate(pieces):
        encode_block_nb(columns, first, directory, block, words[int(directory[block, D_START]):stops[block]])
    words[at:] = _end(directory, columns.shape[1], at)
    return words


def merge_runs(runs: Sequence[Run], days: Sequence[int], block_rows: int = BLOCK_ROWS) -> Iterator[memoryview]:
    """Merge some days of several runs into the chunks of a new file, front to back, in bounded memory.

    Reads a block at a time of each run and lets go of its mapped pages. Raises LedgerError when a block is damaged.
    """
    yield _octets(_header())
    entries: list[I64] = []
    at = HEADER_WORDS
    for day in sorted(days):
        for columns in _merge_day(runs, day, block_rows):
            entry = np.zeros((1, DIRECTORY_COLUMNS), np.int64)
            rows = columns.shape[1]
            words = np.empty(measure_block_nb(columns, 0, rows, at, day, entry, 0), np.uint64)
            encode_block_nb(columns, 0, entry, 0, words)
            entries.append(entry)
            at += words.size
            yield _octets(words)
    directory = np.concatenate(entries) if entries else np.zeros((0, DIRECTORY_COLUMNS), np.int64)
    yield _octets(_end(directory, int(directory[:, D_ROWS].sum()), at))


def _merge_day(runs: Sequence[Run], day: int, block_rows: int) -> Iterator[I64]:
    """Rows of one day in order of their hash, at most block_rows at a time; valid until the next are asked for."""
    blocks = [np.flatnonzero(run.directory[:, D_DAY] == day).tolist() for run in runs]
    largest = max((int(run.directory[:, D_ROWS].max()) for run in runs), default=1)
    sources = np.empty((len(runs), RUN_COLUMNS, largest), np.int64)
    cursor, available = np.zeros(len(runs), np.int64), np.zeros(len(runs), np.int64)
    out = np.empty((RUN_COLUMNS, block_rows), np.int64)
    flat, heads, picks = sources.reshape(-1), np.empty(len(runs), np.uint64), np.empty(block_rows, np.int64)
    filled = 0
    while True:
        for s in np.flatnonzero(cursor == available).tolist():
            cursor[s], available[s] = 0, 0
            if blocks[s]:
                available[s] = runs[s].decode(blocks[s].pop(0), sources[s])
        active = np.flatnonzero(available)
        if active.size:
            filled = merge_rows_nb(flat, largest, active, cursor, available, heads, picks, out, filled, block_rows)
        if filled == block_rows or (filled and not active.size):
            yield out if filled == block_rows else np.ascontiguousarray(out[:, :filled])
            filled = 0
        if not active.size:
            return


def _octets(words: U64) -> memoryview:
    return words.view(np.uint8).data
