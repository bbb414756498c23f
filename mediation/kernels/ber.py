"""Bytes of BER records to DECODED cells: one interpreter, driven by the tables of a layout."""

import numpy as np
from numba import types

from mediation.formats.conversions import (
    C_PRESENT,
    C_SUBSCRIBER,
    D_ADD_MS,
    D_CHOOSE,
    D_COPY,
    D_MAP,
    D_PRESENT,
    D_REMAINDER,
    D_SECONDS_BETWEEN,
)
from mediation.kernels.ber_frame import INDEFINITE, child_nb, frame_nb, skip_indefinite_nb, tlv_nb
from mediation.kernels.ber_tables import (
    C_AGAIN,
    DV_BY,
    DV_CODE,
    DV_COLUMN,
    DV_PAIR,
    DV_PAIR_END,
    DV_SOURCE,
    DV_SOURCE_END,
    DV_TYPE,
    LS_COLUMNS,
    LS_COLUMNS_END,
    LS_PREVIOUS,
    LS_PRIORITY,
    MAX_CONTAINERS,
    MAX_STEPS,
    ND_AROUND,
    ND_KIDS,
    ND_LIST,
    ND_OP,
    NO_RANK,
    OP_CODE,
    OP_COLUMN,
    OP_NEXT,
    OP_NO_TEXT,
    OP_RANK,
    OP_SCOPE,
    OP_TYPE,
    PLAN_CONTAINER,
    PLAN_WHOLE,
    RC_DERIVE,
    RC_DERIVE_END,
    RC_REQUIRED,
    RC_REQUIRED_END,
    RC_ROOT,
    RC_ROW_DERIVE,
    RC_ROW_DERIVE_END,
)
from mediation.kernels.ber_values import INTERNATIONAL, TEXT, convert_nb, digits_nb
from mediation.kernels.octets import at_nb, cell_nb, put_nb
from schemas.codes import Reason
from schemas.decoded import DECODED
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, U8_IN, kernel

ABSENT = -1
OK = int(Reason.OK)
MALFORMED_RECORD, MISSING_FIELD = int(Reason.MALFORMED_RECORD), int(Reason.MISSING_FIELD)
BAD_VALUE, TOO_MANY_CONTAINERS = int(Reason.BAD_VALUE), int(Reason.TOO_MANY_CONTAINERS)
BAD_TIME, NEGATIVE_QUANTITY = int(Reason.BAD_TIME), int(Reason.NEGATIVE_QUANTITY)

STATUS, STATUS_OFFSET = DECODED.index("status"), DECODED.index("status_offset")
RECORD_OFFSET, RECORD_LENGTH = DECODED.index("record_offset"), DECODED.index("record_length")
CONTAINER_INDEX, CONTAINER_COUNT = DECODED.index("container_index"), DECODED.index("container_count")
START = DECODED.index("start_time_us")
IMSI, NUMBER, NUMBER_TYPE = (DECODED.index(name) for name in ("served_imsi", "served_number", "served_number_type"))
IMSI_PREFIX, MSISDN_PREFIX = int.from_bytes(b"imsi-", "big"), int.from_bytes(b"msisdn-", "big")
FIRST = CONTAINER_COUNT + 1  # the columns before are the decoder's own
COLUMNS = len(DECODED.columns)


@kernel(None, forceinline=True)
def store_nb(work, ranks, row, scope, column, type_column, rank, no_text, value, kind):
    """Keep a value unless an earlier source of the column has given one."""
    if value != ABSENT and rank < cell_nb(ranks, scope, column) and not (no_text == 1 and kind == TEXT):
        put_nb(work, row, column, value)
        put_nb(ranks, scope, column, rank)
        if type_column >= 0:
            put_nb(work, row, type_column, kind)


@kernel(None)
def begins_nb(buffer, start, length, prefix, octets):
    """Whether the text begins with the characters of `prefix`, a big-endian number of that many octets."""
    if length <= octets:
        return False
    value = 0
    for i in range(start, start + octets):
        value = value << 8 | at_nb(buffer, i)
    return value == prefix


@kernel(None)
def subscriber_nb(buffer, start, length, work, ranks, row, ops, at):
    """'imsi-' and 'msisdn-' name their column themselves, before any other source; the rest is the operation's own."""
    skip, column, type_column, rank = 0, ops[at, OP_COLUMN], ops[at, OP_TYPE], ops[at, OP_RANK]
    if begins_nb(buffer, start, length, IMSI_PREFIX, 5):
        skip, column, type_column, rank = 5, IMSI, -1, -1
    elif begins_nb(buffer, start, length, MSISDN_PREFIX, 7):
        skip, column, type_column, rank = 7, NUMBER, NUMBER_TYPE, -1
    value, kind, reason = digits_nb(buffer, start + skip, length - skip)
    if skip == 7 and kind != TEXT:
        kind = INTERNATIONAL  # as TS 29.571 has it
    if reason == OK:
        store_nb(work, ranks, row, ops[at, OP_SCOPE], column, type_column, rank,
                 1 if skip == 5 else ops[at, OP_NO_TEXT], value, kind)
    return reason


@kernel(None)
def operate_nb(buffer, start, length, constructed, first, ops, work, ranks, container):
    """All operations of one field. OK, or why its value cannot be read."""
    value, kind, reason = ABSENT, 0, OK
    while first >= 0:
        code, scope = cell_nb(ops, first, OP_CODE), cell_nb(ops, first, OP_SCOPE)
        row = container + 2 if scope == 2 else scope
        if constructed and code != C_PRESENT:
            return BAD_VALUE
        if code == C_SUBSCRIBER:
            reason = subscriber_nb(buffer, start, length, work, ranks, row, ops, first)
            value = ABSENT
        elif code != C_AGAIN:
            value, kind, reason = convert_nb(code, buffer, start, length)
        if reason != OK:
            return reason
        store_nb(work, ranks, row, scope, cell_nb(ops, first, OP_COLUMN), cell_nb(ops, first, OP_TYPE),
                 cell_nb(ops, first, OP_RANK), cell_nb(ops, first, OP_NO_TEXT), value, kind)
        first = cell_nb(ops, first, OP_NEXT)
    return OK


@kernel(None, forceinline=True)
def clear_nb(work, ranks, row, scope):
    for column in range(work.shape[1]):
        work[row, column] = ABSENT
        ranks[scope, column] = NO_RANK


@kernel(None, forceinline=True)
def walk_nb(buffer, begin, end, root, child, extra, nodes, ops, lists, list_columns, work, ranks, stack):
    """Read the record [begin, end) into `work`. Returns (reason, where, containers)."""
    clear_nb(work, ranks, 0, 0)
    _, _, _, pos, length = tlv_nb(buffer, begin, end)
    if length > end - pos:
        return MALFORMED_RECORD, begin, 0
    depth, containers, active, around_first = 0, 0, -1, 0
    node, limit, indefinite = root, end if length == INDEFINITE else pos + length, length == INDEFINITE
    while True:
        closing = pos >= limit
        if indefinite:
            closing = pos + 2 <= limit and at_nb(buffer, pos) == 0 and at_nb(buffer, pos + 1) == 0
            if pos >= limit:
                return MALFORMED_RECORD, pos, containers
        if closing:
            if indefinite:
                pos += 2
            elif pos > limit:
                return MALFORMED_RECORD, pos, containers
            kind = cell_nb(nodes, node, ND_LIST)
            if kind >= 0:
                previous = cell_nb(lists, kind, LS_PREVIOUS)
                if previous >= 0 and work[containers + 2, START] == ABSENT and containers > around_first:
                    work[containers + 2, START] = work[containers + 1, previous]
                containers += 1
            kind = cell_nb(nodes, node, ND_AROUND)
            if kind >= 0:
                for i in range(cell_nb(lists, kind, LS_COLUMNS), cell_nb(lists, kind, LS_COLUMNS_END)):
                    column = list_columns[i]
                    for c in range(around_first + 2, containers + 2):
                        if work[c, column] == ABSENT:
                            work[c, column] = work[1, column]
                around_first = containers
            if depth == 0:
                return OK, pos, containers
            depth -= 1
            node, limit, indefinite = stack[depth, 0], stack[depth, 1], stack[depth, 2] == 1
            continue
        field = pos
        cls, number, constructed, pos, length = tlv_nb(buffer, pos, limit)
        if length == -1 or length > limit - pos or (length == INDEFINITE and not constructed):
            return MALFORMED_RECORD, field, containers
        below = child_nb(child, extra, node, cls, number)
        enter = below > 0 and constructed and cell_nb(nodes, below, ND_KIDS) == 1
        if below > 0:
            kind = cell_nb(nodes, below, ND_LIST)
            if kind >= 0:
                if active >= 0 and active != kind and containers > 0:
                    if cell_nb(lists, kind, LS_PRIORITY) < cell_nb(lists, active, LS_PRIORITY):
                        containers, around_first = 0, 0
                    else:
                        enter = False
                if enter:
                    if containers == MAX_CONTAINERS:
                        return TOO_MANY_CONTAINERS, field, containers
                    active = kind
                    clear_nb(work, ranks, containers + 2, 2)
            if cell_nb(nodes, below, ND_AROUND) >= 0:
                clear_nb(work, ranks, 1, 1)
                around_first = containers
            first = cell_nb(nodes, below, ND_OP)
            if first >= 0 and (not enter or cell_nb(ops, first, OP_CODE) == C_PRESENT):
                reason = operate_nb(buffer, pos, length, constructed, first, ops, work, ranks, containers)
                if reason != OK:
                    return reason, field, containers
        if enter:
            stack[depth, 0], stack[depth, 1], stack[depth, 2] = node, limit, 1 if indefinite else 0
            depth += 1
            node, indefinite = below, length == INDEFINITE
            if not indefinite:
                limit = pos + length
        elif length == INDEFINITE:
            pos = skip_indefinite_nb(buffer, pos, limit, MAX_STEPS)
            if pos < 0:
                return MALFORMED_RECORD, field, containers
        else:
            pos += length


@kernel(None)
def derive_nb(work, row, first, stop, derive, sources, pairs):
    """Columns of one row from its other columns."""
    for i in range(first, stop):
        code, column = derive[i, DV_CODE], derive[i, DV_COLUMN]
        source, source_end = derive[i, DV_SOURCE], derive[i, DV_SOURCE_END]
        given = work[row, sources[source, 0]] if source < source_end and sources[source, 0] >= 0 else ABSENT
        if code == D_MAP:
            for p in range(derive[i, DV_PAIR], derive[i, DV_PAIR_END]):
                if pairs[p, 0] == given:
                    work[row, column] = pairs[p, 1]
        elif code == D_ADD_MS:
            if given != ABSENT and work[row, column] != ABSENT:
                work[row, column] += given * 1000
        elif work[row, column] == ABSENT:
            if code == D_PRESENT:
                work[row, column] = 1 if given != ABSENT else 0
            elif code == D_SECONDS_BETWEEN:
                until = work[row, sources[source + 1, 0]]
                if given == ABSENT:
                    work[row, column] = 0
                elif until != ABSENT:
                    if until < given:
                        return BAD_TIME
                    work[row, column] = (until - given + 999_999) // 1_000_000
            elif code == D_REMAINDER:
                part = work[row, sources[source + 1, 0]]
                if given != ABSENT:
                    rest = given - (part if part != ABSENT else 0)
                    if rest < 0:
                        return NEGATIVE_QUANTITY
                    work[row, column] = rest
            elif code == D_COPY or code == D_CHOOSE:
                at = source
                if code == D_CHOOSE:
                    by = work[row, derive[i, DV_BY]]
                    at += by if by > 0 else 0
                while at < source_end:
                    if sources[at, 0] >= 0:
                        value, kind = work[row, sources[at, 0]], ABSENT
                        if sources[at, 1] >= 0:
                            kind = work[row, sources[at, 1]]
                        if value != ABSENT and (kind != TEXT or derive[i, DV_TYPE] >= 0):
                            work[row, column] = value
                            if derive[i, DV_TYPE] >= 0:
                                work[row, derive[i, DV_TYPE]] = kind
                            break
                    if code == D_CHOOSE:
                        break
                    at += 1
    return OK


@kernel(None, forceinline=True)
def finish_nb(work, containers, kind, records, plan, required, derive, sources, pairs):
    """Derivations and required fields of a record that was read. Returns (reason, rows are complete)."""
    reason = derive_nb(work, 0, records[kind, RC_DERIVE], records[kind, RC_DERIVE_END], derive, sources, pairs)
    first, stop = records[kind, RC_ROW_DERIVE], records[kind, RC_ROW_DERIVE_END]
    if first < stop:
        if containers == 0:
            reason = max(reason, derive_nb(work, 0, first, stop, derive, sources, pairs))
        for c in range(2, containers + 2):
            for column in range(work.shape[1]):
                if work[c, column] == ABSENT and plan[kind, column] & PLAN_WHOLE == 0:
                    work[c, column] = work[0, column]
            reason = max(reason, derive_nb(work, c, first, stop, derive, sources, pairs))
    if reason != OK:
        return reason
    for i in range(records[kind, RC_REQUIRED], records[kind, RC_REQUIRED_END]):
        column = required[i]
        if plan[kind, column] & PLAN_CONTAINER == 0 or containers == 0:
            if work[0, column] == ABSENT:
                return MISSING_FIELD
        elif work[0, column] == ABSENT or plan[kind, column] & PLAN_WHOLE != 0:
            for c in range(2, containers + 2):
                if work[c, column] == ABSENT:
                    return MISSING_FIELD
    return OK


@kernel(None, forceinline=True)
def write_rows_nb(work, containers, kind, plan, defaults, rows, row):
    """A record's rows: what the container says, otherwise the record, otherwise the layout's constant."""
    if containers > 0:
        for c in range(containers):
            at, source = np.uint64(row + c), np.uint64(c + 2)
            for column in range(FIRST, COLUMNS):
                base, value = work[0, column], work[source, column]
                if plan[kind, column] & PLAN_WHOLE != 0:
                    base = ABSENT
                if base == ABSENT:
                    base = defaults[kind, column]
                rows[at, column] = value if value != ABSENT else base
    else:
        at = np.uint64(row)
        for column in range(FIRST, COLUMNS):
            value = work[0, column]
            rows[at, column] = value if value != ABSENT else defaults[kind, column]
    count = max(containers, 1)
    for c in range(count):
        at = np.uint64(row + c)
        rows[at, STATUS], rows[at, STATUS_OFFSET] = OK, ABSENT
        rows[at, CONTAINER_INDEX], rows[at, CONTAINER_COUNT] = c, count
    return count


@kernel(None)
def write_bad_row_nb(work, kind, readable, reason, where, defaults, rows, row):
    """One row for a record that cannot be read; what it said about itself, as far as its structure is sound."""
    for column in range(FIRST, COLUMNS):
        value = ABSENT
        if kind >= 0:
            value = defaults[kind, column]
            if readable and work[0, column] != ABSENT:
                value = work[0, column]
        rows[row, column] = value
    rows[row, STATUS], rows[row, STATUS_OFFSET] = reason, where
    rows[row, CONTAINER_INDEX], rows[row, CONTAINER_COUNT] = 0, 1


_SIGNATURE = types.void(
    U8_IN, types.int64, types.int64, types.int64, types.int64, types.int32[:, ::1], CELLS_IN, CELLS_IN, CELLS_IN,
    CELLS_IN, CELLS_IN, I64_IN, CELLS_IN, CELLS_IN, I64_IN, CELLS_IN, CELLS_IN, CELLS_IN, CELLS_OUT, CELLS_OUT,
    CELLS_OUT, CELLS_OUT, I64_OUT)


@kernel([_SIGNATURE])
def decode_nb(buffer, start, end, framed, max_records, child, extra, nodes, ops, lists, records, list_columns, plan,
              defaults, required, derive, sources, pairs, work, ranks, stack, rows, done):
    """Decode records from `start` until `end`, `max_records`, or until `rows` has no room for another record.

    rows: DECODED cells, but (row, column): a row is a few lines of the cache, where a column for itself would be a page
    for every cell. done: octet of the next record, rows written, records read.
    """
    pos, row, count = start, 0, 0
    while pos < end and count < max_records and row + MAX_CONTAINERS <= rows.shape[0]:
        begin, stop, after, kind, reason, where = frame_nb(buffer, pos, end, framed, child, extra, nodes, records)
        readable, containers = False, 0
        if reason == OK:
            reason, where, containers = walk_nb(buffer, begin, stop, records[kind, RC_ROOT], child, extra, nodes, ops,
                                                lists, list_columns, work, ranks, stack)
            readable = reason != MALFORMED_RECORD
        if reason == OK:
            where = begin
            reason = finish_nb(work, containers, kind, records, plan, required, derive, sources, pairs)
        if reason == OK:
            written = write_rows_nb(work, containers, kind, plan, defaults, rows, row)
        else:
            write_bad_row_nb(work, kind, readable, reason, where, defaults, rows, row)
            written = 1
        for r in range(row, row + written):
            put_nb(rows, r, RECORD_OFFSET, pos)
            put_nb(rows, r, RECORD_LENGTH, after - pos)
        row += written
        count += 1
        pos = after
    done[0], done[1], done[2] = pos, row, count
