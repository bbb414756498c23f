"""What follows when the fields of a row are read: derived columns, then the check for required ones."""

from numba import types

from mediation.formats.conversions import (
    D_ADD_MS,
    D_CHOOSE,
    D_COPY,
    D_MAP,
    D_PRESENT,
    D_REMAINDER,
    D_SECONDS_BETWEEN,
)
from mediation.kernels.text_rows import RECORD_OFFSET
from schemas.codes import Reason
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, CELLS_OUT, kernel

# Columns of the derivation table. BY: the choosing column; sources lie from SOURCES on, -2 for none, and the pairs
# (value, cell) of a map from PAIRS on.
DERIVE_TARGET, DERIVE_CODE, DERIVE_BY, SOURCE_COUNT, PAIR_COUNT, SOURCES = range(6)
MOST_SOURCES, MOST_PAIRS = 6, 16
PAIRS = SOURCES + MOST_SOURCES
DERIVE_WIDTH = PAIRS + 2 * MOST_PAIRS
NO_SOURCE = -2

# Columns of the kind table: bounds of the fields by level, of the derivations, and the required columns.
KIND_FIELDS, KIND_FIELDS_END, _, _, DERIVE_FROM, DERIVE_END, REQUIRED_COUNT, KIND_REQUIRED = range(8)
MOST_REQUIRED = 16
KIND_WIDTH = KIND_REQUIRED + MOST_REQUIRED

_OK, _MISSING, _BAD_TIME = int(Reason.OK), int(Reason.MISSING_FIELD), int(Reason.BAD_TIME)
_NEGATIVE = int(Reason.NEGATIVE_QUANTITY)
_US = 1_000_000


@kernel(types.UniTuple(types.int64, 2)(CELLS_IN, CELLS_IN, types.int64, CELLS_OUT, types.int64))
def finish_row_nb(derive, kinds, kind, rows, row):
    """Derive the columns that no field has set, then demand the required ones; the reason (0: OK) and where."""
    for d in range(kinds[kind, DERIVE_FROM], kinds[kind, DERIVE_END]):
        target, code = derive[d, DERIVE_TARGET], derive[d, DERIVE_CODE]
        if code == D_ADD_MS:
            added = rows[row, derive[d, SOURCES]]
            if added > 0 and rows[row, target] != ABSENT:
                rows[row, target] += added * 1000
            continue
        if code == D_MAP:
            key = rows[row, derive[d, SOURCES]]
            for i in range(derive[d, PAIR_COUNT]):
                if derive[d, PAIRS + 2 * i] == key:
                    rows[row, target] = derive[d, PAIRS + 2 * i + 1]
            continue
        if rows[row, target] != ABSENT:
            continue
        first = rows[row, derive[d, SOURCES]] if derive[d, SOURCES] >= 0 else ABSENT
        second = rows[row, derive[d, SOURCES + 1]] if derive[d, SOURCES + 1] >= 0 else ABSENT
        if code == D_SECONDS_BETWEEN:
            if first == ABSENT:
                rows[row, target] = 0
            elif second != ABSENT:
                if second < first:
                    return _BAD_TIME, rows[row, RECORD_OFFSET]
                rows[row, target] = -((first - second) // _US)
        elif code == D_PRESENT:
            rows[row, target] = 1 if first != ABSENT else 0
        elif code == D_REMAINDER:
            if first != ABSENT:
                rest = first - max(second, 0)
                if rest < 0:
                    return _NEGATIVE, rows[row, RECORD_OFFSET]
                rows[row, target] = rest
        elif code == D_COPY:
            for i in range(derive[d, SOURCE_COUNT]):
                if derive[d, SOURCES + i] >= 0 and rows[row, derive[d, SOURCES + i]] != ABSENT:
                    rows[row, target] = rows[row, derive[d, SOURCES + i]]
                    break
        elif code == D_CHOOSE:
            choice = max(rows[row, derive[d, DERIVE_BY]], 0)
            if choice < derive[d, SOURCE_COUNT] and derive[d, SOURCES + choice] >= 0:
                rows[row, target] = rows[row, derive[d, SOURCES + choice]]
    for i in range(kinds[kind, REQUIRED_COUNT]):
        if rows[row, kinds[kind, KIND_REQUIRED + i]] == ABSENT:
            return _MISSING, rows[row, RECORD_OFFSET]
    return _OK, ABSENT
