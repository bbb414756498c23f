"""Who held what when: search by token, then by time. A row of an index is one cache line of eight words."""

from numba import types

from schemas.jit import I64_IN, I64_OUT, kernel

TOKEN, VALID_FROM, VALID_TO, RECORDED_FROM, RECORDED_TO, FIRST, SECOND, THIRD = range(8)
WIDTH = 8
UNKNOWN = -1   # no row has the token
NOT_THEN = -2  # rows have it, none at that time
FOREVER = 1 << 62

I32_IN = types.Array(types.int32, 1, "C", readonly=True)
ROWS_IN = types.Array(types.int64, 2, "C", readonly=True)


@kernel(None)
def find_row_nb(token, time_us, recorded_us, directory, shift, rows):
    """Row that holds `token` at `time_us` by what was recorded at `recorded_us`; UNKNOWN or NOT_THEN.

    Where history overlaps, the latest start wins, then the latest record, then the smallest service: never
    the order of the file.
    """
    best = UNKNOWN
    slot = token >> shift
    for i in range(directory[slot], directory[slot + 1]):
        if rows[i, TOKEN] == token:
            if best == UNKNOWN:
                best = NOT_THEN
            if rows[i, VALID_FROM] <= time_us < rows[i, VALID_TO] and \
                    rows[i, RECORDED_FROM] <= recorded_us < rows[i, RECORDED_TO]:
                if best < 0 or rows[i, VALID_FROM] > rows[best, VALID_FROM]:
                    best = i
                elif rows[i, VALID_FROM] == rows[best, VALID_FROM]:
                    later = rows[i, RECORDED_FROM] - rows[best, RECORDED_FROM]
                    if later > 0 or (later == 0 and rows[i, SECOND] < rows[best, SECOND]):
                        best = i
    return best


@kernel(types.void(I64_IN, I64_IN, types.int64, I32_IN, types.int64, ROWS_IN, I64_OUT))
def find_rows_nb(tokens, time_us, recorded_us, directory, shift, rows, found):
    """`find_row_nb` for every token (ABSENT tokens are UNKNOWN)."""
    for i in range(tokens.size):
        found[i] = UNKNOWN
        if tokens[i] >= 0:
            found[i] = find_row_nb(tokens[i], time_us[i], recorded_us, directory, shift, rows)


@kernel(types.int64(ROWS_IN))
def first_double_nb(rows):
    """First row of a sorted index that shares its token, and a moment in both times, with another row; or -1."""
    for i in range(rows.shape[0]):
        j = i + 1
        while j < rows.shape[0] and rows[j, TOKEN] == rows[i, TOKEN]:
            if rows[i, VALID_FROM] < rows[j, VALID_TO] and rows[j, VALID_FROM] < rows[i, VALID_TO] and \
                    rows[i, RECORDED_FROM] < rows[j, RECORDED_TO] and rows[j, RECORDED_FROM] < rows[i, RECORDED_TO]:
                return i
            j += 1
    return -1


@kernel(types.int64(I64_IN, ROWS_IN, I64_IN, I64_IN, ROWS_IN, I64_IN, types.int64[:, ::1]))
def join_nb(token, resources, service, first, services, account_of, out):
    """Rectangles in which a resource belongs to a service and the service to an account.

    resources (n, 4) and services (m, 4): valid from, to, recorded from, to; services lie sorted by id, those of
    resource i from first[i] on with id service[i] in services[:, 4]; account_of (m, 2): account and group.
    out is (k, WIDTH) or empty to count only. Returns the number of rectangles.
    """
    count = 0
    for i in range(token.size):
        j = first[i]
        while j < services.shape[0] and services[j, 4] == service[i]:
            valid_from = max(resources[i, 0], services[j, 0])
            valid_to = min(resources[i, 1], services[j, 1])
            recorded_from = max(resources[i, 2], services[j, 2])
            recorded_to = min(resources[i, 3], services[j, 3])
            if valid_from < valid_to and recorded_from < recorded_to:
                if count < out.shape[0]:
                    out[count, TOKEN] = token[i]
                    out[count, VALID_FROM] = valid_from
                    out[count, VALID_TO] = valid_to
                    out[count, RECORDED_FROM] = recorded_from
                    out[count, RECORDED_TO] = recorded_to
                    out[count, FIRST] = services[j, 5]
                    out[count, SECOND] = service[i]
                    out[count, THIRD] = account_of[j]
                count += 1
            j += 1
    return count
