"""Records of the duplicate oracle as the batches that the index takes."""

from collections.abc import Callable, Sequence

import numpy as np

from schemas.columns import I64, U8, Cells
from schemas.hashing import absorb_hi_nb, absorb_lo_nb
from schemas.usage import KEY
from tests.oracle.duplicates import Record

Hash = Callable[[Record], tuple[int, int]]


def identity_hash(record: Record) -> tuple[int, int]:
    """128 bits over the full key."""
    hi, lo = np.uint64(1), np.uint64(2)
    for value in (*record.key, record.key_time_us):
        hi, lo = absorb_hi_nb(hi, value), absorb_lo_nb(lo, value)
    return int(hi), int(lo)


def forged_hash(record: Record) -> tuple[int, int]:
    """Two values for all keys: what an adversary could make of any 128 bits."""
    return 0x8000000000000001, 7 + record.key[1] % 2


def batch(records: Sequence[Record], hash_of: Hash = identity_hash) -> tuple[Cells, I64, I64, I64, U8]:
    """KEY cells, file_id, record_offset, oldest_us, recycled."""
    cells = Cells.empty(KEY, len(records))
    for row, record in enumerate(records):
        hi, lo = hash_of(record)
        values = (*record.key, record.key_time_us, hi, lo, record.content)
        cells.matrix[:, row] = np.array([v % 2**64 for v in values], np.uint64).view(np.int64)
    return (cells, np.array([r.file_id for r in records], np.int64),
            np.array([r.record_offset for r in records], np.int64), np.array([r.oldest_us for r in records], np.int64),
            np.array([r.recycled for r in records], np.uint8))
