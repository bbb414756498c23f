"""Requests of one tick as octets, for the journal: columns that say something, each as narrow as its values allow.

    header   format u8, 0 u8, columns u16, rows u32, received (microseconds UTC) i64
    column   name: octets u8, UTF-8; octets of a value u8 (0: all rows say the same); least value i64
    label    after columns whose values are names (such as sources): names u16, each octets u16, UTF-8
    values   column by column: value less the least value, unsigned, little endian; 8 octets: the value itself

Columns that are ABSENT in every row are left out. Names travel with the entry, since the numbers of labels are a
process's own; so do names of columns, since releases add some. What it costs grows with columns, not with rows.
"""

import struct
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from pipelines.serve.kernels.online_entry import named_nb, pack_nb, spans_nb
from schemas.columns import ABSENT, I64, U8, Cells, Labels
from schemas.errors import LedgerError
from schemas.online import REQUEST

FORMAT = 1
MOST_ROWS = 1 << 20
_HEADER, _LEAST = struct.Struct("<BBHIq"), struct.Struct("<Bq")
_WIDTHS = ((1 << 8, 1), (1 << 16, 2), (1 << 32, 4))
_TYPES = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<i8"}


def encode_requests(requests: Cells, received_us: int, labels: Labels) -> bytes:
    """REQUEST cells as octets. labels: names behind the label columns."""
    rows = len(requests)
    if not rows:
        return _HEADER.pack(FORMAT, 0, 0, 0, received_us)
    matrix, places = np.ascontiguousarray(requests.matrix), _places()
    count, heads, first = _label_columns(matrix, places, labels)
    room = np.empty(places.heads + 8 * rows * places.numbers.size, np.uint8)
    made = np.empty(3, np.int64)
    pack_nb(matrix, places.numbers, places.names, places.ends, room[:places.heads], room[places.heads:], made)
    columns, described, filled = made.tolist()
    return b"".join((_HEADER.pack(FORMAT, 0, count + columns, rows, received_us), heads, room[:described].tobytes(),
                     first, room[places.heads:places.heads + filled].tobytes()))


def _label_columns(matrix: I64, places: "_Places", labels: Labels) -> tuple[int, bytes, bytes]:
    """(columns, heads, values) of the columns whose values are names."""
    lows, highs = np.empty(places.labels.size, np.int64), np.empty(places.labels.size, np.int64)
    spans_nb(matrix, places.labels, lows, highs)
    heads, values = list[bytes](), list[bytes]()
    for place, low, high, (label, head) in zip(places.labels.tolist(), lows.tolist(), highs.tolist(),
                                               places.label_names, strict=True):
        if low == high != ABSENT:
            heads += (head, _LEAST.pack(0, 0), _written((labels[label][low],)))
        elif low != high:
            own, used = np.empty((2, matrix.shape[1]), np.int64)
            count = named_nb(matrix[place], low, np.zeros(high - low + 1, np.int64), used, own)
            least = ABSENT if low == ABSENT else 0
            width = next(octets for beyond, octets in _WIDTHS if count - 1 - least < beyond)
            heads += (head, _LEAST.pack(width, least), _written(tuple(labels[label][i] for i in used[:count].tolist())))
            values.append((own - least).astype(_TYPES[width]).tobytes())
    return len(heads) // 3, b"".join(heads), b"".join(values)


def decode_requests(content: bytes, labels: dict[str, list[str]]) -> tuple[int, Cells]:
    """(received_us, REQUEST cells) of what `encode_requests` wrote. Extends `labels` as needed.

    Raises LedgerError: another format, a column that this release does not know, or octets that do not fit.
    """
    try:
        return _decode(content, labels)
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise LedgerError(f"requests in the journal cannot be read: {error}",
                          remedy="use the release that wrote them, or a newer one") from error


def _decode(content: bytes, labels: dict[str, list[str]]) -> tuple[int, Cells]:
    form, _, columns, rows, received_us = _HEADER.unpack_from(content)
    if form != FORMAT:
        raise ValueError(f"format {form}; {FORMAT} expected")
    if rows > MOST_ROWS:
        raise ValueError(f"{rows} rows; {MOST_ROWS} at most")
    requests, at, described = Cells.empty(REQUEST, rows, fill=ABSENT), _HEADER.size, []
    for _ in range(columns):
        name, at = _text(content, at, "<B")
        width, low = _LEAST.unpack_from(content, at)
        at += _LEAST.size
        place = REQUEST.index(name)
        known = None
        if REQUEST.columns[place].kind == "label":
            known, at = _labels(content, at, labels.setdefault(name, []))
        described.append((place, width, low, known))
    for place, width, low, known in described:
        column = requests.matrix[place]
        if width == 0:
            column[:] = low
        else:
            found = np.frombuffer(content, _TYPES[width], rows, at)
            column[:] = found if width == 8 else found.astype(np.int64) + low
            at += width * rows
        if known is not None:
            column[:] = known[column]
    if at != len(content):
        raise ValueError(f"{len(content)} octets, {at} expected")
    return received_us, requests


@dataclass(frozen=True)
class _Places:
    """Columns of REQUEST. numbers, labels: where those are whose values are numbers, and names. names: how names of
    `numbers` are written, one behind the other, up to `ends` each; heads: octets of all their heads. label_names: name
    of each of `labels`, and how that is written."""

    numbers: I64
    labels: I64
    names: U8
    ends: I64
    heads: int
    label_names: tuple[tuple[str, bytes], ...]


@cache
def _places() -> _Places:
    written = [bytes([len(c.name)]) + c.name.encode() for c in REQUEST.columns]
    is_label = np.array([c.kind == "label" for c in REQUEST.columns])
    numbers, labels = np.flatnonzero(~is_label), np.flatnonzero(is_label)
    own = [written[i] for i in numbers.tolist()]
    return _Places(numbers, labels, np.frombuffer(b"".join(own), np.uint8), np.cumsum([len(each) for each in own]),
                   sum(len(each) + _LEAST.size for each in own),
                   tuple((REQUEST.columns[i].name, written[i]) for i in labels.tolist()))


@lru_cache(1024)  # ticks name the same few again and again
def _written(names: tuple[str, ...]) -> bytes:
    encoded = [name.encode() for name in names]
    return struct.pack("<H", len(encoded)) + b"".join(struct.pack("<H", len(name)) + name for name in encoded)


def _labels(content: bytes, at: int, names: list[str]) -> tuple[I64, int]:
    """What each place of a column's own list is among `names`, ABSENT for -1, which comes last."""
    (count,) = struct.unpack_from("<H", content, at)
    at += 2
    found = []
    for _ in range(count):
        name, at = _text(content, at, "<H")
        if name not in names:
            names.append(name)
        found.append(names.index(name))
    return np.array([*found, ABSENT], np.int64), at


def _text(content: bytes, at: int, length: str) -> tuple[str, int]:
    (octets,) = struct.unpack_from(length, content, at)
    at += struct.calcsize(length)
    if at + octets > len(content):
        raise ValueError("a name leaves the entry")
    return content[at:at + octets].decode(), at + octets
