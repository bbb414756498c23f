"""What the machine allows: random lines of state, and octets streamed from and to memory, on one thread or several."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rating.book import BalanceBook
from rating.kernels.probe import probe_nb
from schemas.columns import I64

_STREAM_WORDS = 1 << 23  # 64 MiB, beyond any second level cache
TURNS = 3


def together(jobs: Sequence[Callable[[], object]], threads: int) -> float:
    """Seconds that the jobs take: one after the other, or each on a thread of its own."""
    started = time.perf_counter()
    if threads == 1:
        for job in jobs:
            job()
    else:
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(job) for job in jobs]:
                done.result()
    return time.perf_counter() - started


def probe_ns(books: Sequence[BalanceBook], rows: Sequence[I64], threads: int) -> float:
    """Nanoseconds an event, for one random record and one random profile read and written back. Best of three."""
    jobs = [lambda book=book, row=row: probe_nb(row, book.records, book.profile, 0)
            for book, row in zip(books, rows, strict=True)]
    return min(together(jobs, threads) for _ in range(TURNS)) / sum(row.size for row in rows) * 1e9


def stream_octets_per_ns(threads: int) -> float:
    """Octets read and written a nanosecond when large arrays are copied, all threads together. Best of three."""
    arrays = [(np.ones(_STREAM_WORDS, np.int64), np.ones(_STREAM_WORDS, np.int64)) for _ in range(2)]
    jobs = [lambda pair=pair: [np.copyto(*pair) for _ in range(4)] for pair in arrays]
    octets = len(jobs) * 4 * 2 * 8 * _STREAM_WORDS
    return octets / min(together(jobs, threads) for _ in range(TURNS)) / 1e9
