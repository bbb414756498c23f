"""Requests of many entries of the journal, from their octets to columns: see `pipelines.online_entry`."""

import numpy as np
from numba import types

from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, kernel
from schemas.online import REQUEST

COLUMNS = len(REQUEST.columns)
FORMAT = 1
HEADER = 16


@kernel(None, error_model="numpy", forceinline=True)
def number_nb(content, at, octets):
    """A value, little endian, unsigned where it is narrower than eight octets."""
    value = np.int64(0)
    for octet in range(octets):
        value |= np.int64(content[at + octet]) << (8 * octet)
    return value


@kernel(None, error_model="numpy", forceinline=True)
def same_nb(content, at, octets, names, begin, end):
    """Whether a name is one of those that are known."""
    if octets != end - begin:
        return False
    for octet in range(octets):
        if content[at + octet] != names[begin + octet]:
            return False
    return True


@kernel(None, error_model="numpy")
def column_nb(content, at, octets, names, ends, after):
    """Which column a name is, -1 for none; nearly always one behind the one before."""
    for step in range(COLUMNS):
        column = (after + 1 + step) % COLUMNS
        if same_nb(content, at, octets, names, ends[column - 1] if column else 0, ends[column]):
            return column
    return -1


@kernel(None, error_model="numpy")
def entry_nb(content, begin, end, names, ends, labels, label_ends, known, own, described, out):
    """Read one entry into `out` (columns, rows), all ABSENT before; False where Python is to look at it."""
    columns, rows = number_nb(content, begin + 2, 2), out.shape[1]
    at, column, told = begin + HEADER, -1, 0
    if columns > COLUMNS or content[begin] != FORMAT:
        return False
    for n in range(columns):
        if at >= end:
            return False
        octets = np.int64(content[at])
        if at + 1 + octets + 9 > end:
            return False
        column = column_nb(content, at + 1, octets, names, ends, column)
        if column < 0:
            return False
        at += 1 + octets
        width, low = np.int64(content[at]), number_nb(content, at + 1, 8)
        if width != 0 and width != 1 and width != 2 and width != 4 and width != 8:
            return False
        at += 9
        described[n, 0], described[n, 1], described[n, 2], described[n, 3] = column, width, low, told
        first, stop = known[column, 0], known[column, 1]
        if first >= 0:  # its values are names
            if at + 2 > end:
                return False
            count = number_nb(content, at, 2)
            at += 2
            if told + count + 2 > own.size:
                return False
            own[told] = count
            for k in range(count):
                if at + 2 > end:
                    return False
                octets = number_nb(content, at, 2)
                at += 2
                if at + octets > end:
                    return False
                found = np.int64(-1)
                for label in range(first, stop):
                    if same_nb(content, at, octets, labels, label_ends[label], label_ends[label + 1]):
                        found = label - first
                        break
                if found < 0:
                    return False
                own[told + 1 + k] = found
                at += octets
            told += 1 + count
    for n in range(columns):
        column, width, low, names_at = described[n, 0], described[n, 1], described[n, 2], described[n, 3]
        base = low if width != 8 else np.int64(0)
        if at + width * rows > end:
            return False
        for row in range(rows):
            out[column, row] = base + number_nb(content, at, width)
            at += width
        if known[column, 0] >= 0:
            for row in range(rows):
                place = out[column, row]
                if place < ABSENT or place >= own[names_at]:
                    return False
                out[column, row] = ABSENT if place == ABSENT else own[names_at + 1 + place]
    return at == end


@kernel(types.int64(U8_IN, I64_IN, I64_IN, types.int64, U8_IN, I64_IN, U8_IN, I64_IN, CELLS_IN, I64_OUT, CELLS_OUT,
                    I64_OUT), error_model="numpy")
def read_many_nb(content, begins, first, start, names, ends, labels, label_ends, known, own, described, out):
    """Read entries from the start-th on, one behind the other in `content` from `begins` on, into `out`: of each a
    matrix of its columns, rows [first[n], first[n + 1]) of all. Returns the first that Python is to look at, else how
    many.

    names: of the columns, up to `ends` each; labels: names that are known, label n from label_ends[n] on; known
    (COLUMNS, 2): which of them are a column's, -1: its values are no names. own, described (COLUMNS, 4): scratch.
    """
    for n in range(start, begins.size - 1):
        rows = first[n + 1] - first[n]
        here = out[COLUMNS * first[n]:COLUMNS * first[n + 1]]
        here[:] = ABSENT
        if not entry_nb(content, begins[n], begins[n + 1], names, ends, labels, label_ends, known, own, described,
                        here.reshape((COLUMNS, rows))):
            return n
    return begins.size - 1
