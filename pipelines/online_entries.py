"""Requests of many ticks at once, from the journal to columns: a replay has thousands of entries, and nearly all of
them name what was named before. Whatever is unusual, or damaged, `decode_requests` looks at."""

import struct
from collections.abc import Sequence
from functools import cache

import numpy as np

from pipelines.online_entry import FORMAT, MOST_ROWS, decode_requests
from pipelines.serve.kernels.online_read import COLUMNS, read_many_nb
from schemas.columns import I64, U8
from schemas.errors import LedgerError
from schemas.online import REQUEST

_HEADER = struct.Struct("<BBHIq")
_MOST_NAMES = 1 << 16  # of one entry


def rows_of(content: bytes) -> int:
    """Requests of one entry. Raises LedgerError: it cannot be read."""
    if len(content) < _HEADER.size or content[0] != FORMAT:
        decode_requests(content, {})
    rows: int = _HEADER.unpack_from(content)[3]
    if rows > MOST_ROWS:
        decode_requests(content, {})
    return rows


def decode_many(contents: Sequence[bytes], labels: dict[str, list[str]]) -> tuple[I64, I64, I64]:
    """(requests, first, received_us) of entries that have some: matrices of REQUEST columns one behind the other, flat;
    the first row of each, and where the last ends; when each came. Extends `labels` as `decode_requests` does.

    Raises LedgerError as that does.
    """
    heads = [_HEADER.unpack_from(each) for each in contents]
    first = np.cumsum([0, *(head[3] for head in heads)])
    begins = np.cumsum([0, *map(len, contents)])
    requests = np.empty(COLUMNS * int(first[-1]), np.int64)
    octets = np.frombuffer(b"".join(contents), np.uint8)
    own, described = np.empty(_MOST_NAMES, np.int64), np.empty((COLUMNS, 4), np.int64)
    names, ends = _names()
    place = 0
    while True:
        place = read_many_nb(octets, begins, first, place, names, ends, *_known(labels), own, described, requests)
        if place == len(contents):
            return requests, first, np.array([head[4] for head in heads], np.int64)
        rows = slice(COLUMNS * int(first[place]), COLUMNS * int(first[place + 1]))
        _, cells = decode_requests(contents[place], labels)
        if len(cells) != heads[place][3]:
            raise LedgerError("requests in the journal cannot be read", remedy="restore the journal")
        requests[rows] = cells.matrix.reshape(-1)
        place += 1


@cache
def _names() -> tuple[U8, I64]:
    written = [each.name.encode() for each in REQUEST.columns]
    return np.frombuffer(b"".join(written), np.uint8), np.cumsum([len(each) for each in written])


def _known(labels: dict[str, list[str]]) -> tuple[U8, I64, I64]:
    """Names behind the label columns: their octets, where each begins and the last ends, and which are a column's."""
    known, written = np.full((COLUMNS, 2), -1, np.int64), list[bytes]()
    for place, column in enumerate(REQUEST.columns):
        if column.kind == "label":
            names = labels.get(column.name, [])
            known[place] = len(written), len(written) + len(names)
            written += [name.encode() for name in names]
    return np.frombuffer(b"".join(written) or b"\0", np.uint8), np.cumsum([0, *map(len, written)]), known
