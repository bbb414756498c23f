"""Where BER records begin and end: TS 32.297 record headers, bare records, and the way back after damage.

The ranges that `frame_nb` returns tile what it is given: every call consumes at least one byte, bytes that are no
record end at the next place that is one, and fillers (runs of 00 or FF) belong to what stands before them.
"""

import numpy as np
from numba import types

from mediation.kernels.ber_tables import (
    EX_CHILD,
    EX_CLASS,
    EX_NODE,
    EX_NUMBER,
    MAX_STEPS,
    MAX_STEPS_RESYNC,
    ND_RECORD,
    RC_NEXT,
    RC_TYPE,
    SLOT_BASE,
    SLOT_ROOM,
)
from mediation.kernels.octets import at_nb, cell_nb
from schemas.codes import Reason
from schemas.jit import CELLS_IN, U8_IN, kernel

OK = int(Reason.OK)
UNFRAMED_BYTES, TRUNCATED_RECORD = int(Reason.UNFRAMED_BYTES), int(Reason.TRUNCATED_RECORD)
MALFORMED_RECORD, UNKNOWN_RECORD_TYPE = int(Reason.MALFORMED_RECORD), int(Reason.UNKNOWN_RECORD_TYPE)

_SIGNATURE = (U8_IN, types.int64, types.int64, types.int64, types.int32[:, ::1], CELLS_IN, CELLS_IN, CELLS_IN)
INDEFINITE = -2
CONTEXT = 2


@kernel(None, forceinline=True)
def tlv_nb(buffer, pos, end):
    """Header of the element at `pos`: (class, tag number, constructed, first octet of the content, its length).

    The length is INDEFINITE (-2), or -1 when the header itself is cut off or absurd. It may reach beyond `end`.
    """
    if pos >= end:
        return 0, 0, False, pos, -1
    first = at_nb(buffer, pos)
    number = first & 31
    pos += 1
    if number == 31:
        number = 0
        more = True
        while more:
            if pos >= end or number > 0xFFFFFF:
                return 0, 0, False, pos, -1
            octet = at_nb(buffer, pos)
            number = number << 7 | octet & 127
            more = octet >= 128
            pos += 1
    if pos >= end:
        return 0, 0, False, pos, -1
    length = at_nb(buffer, pos)
    pos += 1
    if length == 0x80:
        return first >> 6, number, first & 32 != 0, pos, INDEFINITE
    if length > 0x80:
        octets = length & 127
        if octets > 8 or pos + octets > end:
            return 0, 0, False, pos, -1
        length = 0
        for i in range(pos, pos + octets):
            if length >= 1 << 40:
                return 0, 0, False, pos, -1
            length = length << 8 | at_nb(buffer, i)
        pos += octets
    return first >> 6, number, first & 32 != 0, pos, length


@kernel(None)
def skip_indefinite_nb(buffer, pos, end, steps):
    """First octet behind the end-of-contents that closes the element whose content begins at `pos`; -1 for none
    within `end` or within `steps` elements."""
    depth = 1
    for _ in range(steps):
        if pos + 2 > end:
            return -1
        if at_nb(buffer, pos) == 0 and at_nb(buffer, pos + 1) == 0:
            pos += 2
            depth -= 1
            if depth == 0:
                return pos
            continue
        _, _, constructed, pos, length = tlv_nb(buffer, pos, end)
        if length == INDEFINITE:
            if not constructed:
                return -1
            depth += 1
        elif length < 0 or length > end - pos:
            return -1
        else:
            pos += length
    return -1


@kernel(None, forceinline=True)
def child_nb(child, extra, node, cls, number):
    """The node below `node` for a tag, 0 for none."""
    if cls == CONTEXT:
        if number < SLOT_ROOM[CONTEXT]:
            return np.int64(cell_nb(child, node, number))
    elif number < SLOT_ROOM[cls]:
        return np.int64(cell_nb(child, node, SLOT_BASE[cls] + number))
    for i in range(extra.shape[0]):
        if extra[i, EX_NODE] == node and extra[i, EX_CLASS] == cls and extra[i, EX_NUMBER] == number:
            return extra[i, EX_CHILD]
    return 0


@kernel(None)
def extent_nb(buffer, pos, end, steps):
    """Octet behind the element at `pos`, -1 when its header or its indefinite content makes no sense, -2 when it
    reaches beyond `end`."""
    _, _, constructed, content, length = tlv_nb(buffer, pos, end)
    if length == INDEFINITE:
        if not constructed:
            return -1
        return skip_indefinite_nb(buffer, content, end, steps)
    if length < 0:
        return -1
    if length > end - content:
        return -2
    return content + length


@kernel(None)
def record_kind_nb(buffer, pos, end, child, extra, nodes, records, strict):
    """Which record kind the element at `pos` is, -1 for none.

    The record type in its first field, [0], decides between kinds of one tag; `strict` demands it.
    """
    cls, number, constructed, content, length = tlv_nb(buffer, pos, end)
    if length == -1 or not constructed:
        return -1
    node = child_nb(child, extra, 0, cls, number)
    if node == 0:
        return -1
    kind = nodes[node, ND_RECORD]
    if not strict and records[kind, RC_NEXT] < 0:
        return kind
    written = -1
    if content + 3 <= end and at_nb(buffer, content) == 0x80:
        if at_nb(buffer, content + 1) == 1:
            written = at_nb(buffer, content + 2)
        elif at_nb(buffer, content + 1) == 2 and content + 4 <= end:
            written = at_nb(buffer, content + 2) << 8 | at_nb(buffer, content + 3)
    while kind >= 0:
        if records[kind, RC_TYPE] == written or records[kind, RC_TYPE] < 0:
            return kind
        kind = records[kind, RC_NEXT]
    return -1


@kernel(None)
def children_tile_nb(buffer, pos):
    """Whether the definite element at `pos`, known to lie in the buffer, is tiled by its children."""
    _, _, constructed, content, length = tlv_nb(buffer, pos, buffer.size)
    if length < 0 or not constructed:
        return False
    end = content + length
    while content < end:
        content = extent_nb(buffer, content, end, MAX_STEPS_RESYNC)
        if content < 0:
            return False
    return True


@kernel(None)
def header_length_nb(buffer, pos, end):
    """Octets of the TS 32.297 record header at `pos`: 4, or 5 when its release has an extension; 0 if cut off."""
    if pos + 5 > end:
        return 0
    return 5 if at_nb(buffer, pos + 2) >> 5 == 7 else 4


@kernel(None)
def may_begin_nb(buffer, pos, end, framed):
    """Whether a record may begin at `pos`: a cheap look, to trust the length that led here."""
    if pos == end:
        return True
    if not framed:
        return at_nb(buffer, pos) & 0xE0 == 0xA0
    head = header_length_nb(buffer, pos, end)
    if head == 0 or pos + head + 2 > end:
        return False
    coding = at_nb(buffer, pos + 3) >> 5
    length = at_nb(buffer, pos) << 8 | at_nb(buffer, pos + 1)
    return 1 <= coding <= 4 and length > 1 and at_nb(buffer, pos + head) & 0xE0 == 0xA0


@kernel(None)
def after_filler_nb(buffer, pos, end, framed):
    """Behind a run of filler octets (00 or FF), if there is one."""
    if pos >= end or (at_nb(buffer, pos) != 0 and at_nb(buffer, pos) != 0xFF) or may_begin_nb(buffer, pos, end, framed):
        return pos
    octet = at_nb(buffer, pos)
    after = pos
    while after < end and at_nb(buffer, after) == octet:
        after += 1
    if framed and octet == 0:  # the length of a short record begins with the same octet
        for back in (1, 2):
            if after - back > pos and may_begin_nb(buffer, after - back, end, framed):
                return after - back
    if after == end or may_begin_nb(buffer, after, end, framed):
        return after
    return pos


@kernel(None)
def resync_nb(buffer, pos, until, end, framed, child, extra, nodes, records):
    """The next place in [pos, until) where a record begins beyond doubt that ends within `end`; `until` for none."""
    while pos < until:
        begin = pos
        if framed:
            begin += 5 if pos + 5 <= end and at_nb(buffer, pos + 2) >> 5 == 7 else 4
        if begin < end and at_nb(buffer, begin) & 0x20 != 0:
            kind = record_kind_nb(buffer, begin, end, child, extra, nodes, records, True)
            if kind >= 0:
                limit = end
                if framed:
                    limit = begin + (at_nb(buffer, pos) << 8 | at_nb(buffer, pos + 1))
                if limit <= end:
                    stop = extent_nb(buffer, begin, limit, MAX_STEPS_RESYNC)
                    if stop > 0 and (not framed or stop == limit):
                        return pos
        pos += 1
    return until


@kernel(None, forceinline=True)
def frame_nb(buffer, pos, end, framed, child, extra, nodes, records):
    """The record at `pos`: (first octet, octet behind its content, where the next begins, record kind, reason,
    octet where it went wrong)."""
    begin, limit = pos, end
    if framed:
        head = header_length_nb(buffer, pos, end)
        begin = pos + head
        limit = begin + (at_nb(buffer, pos) << 8 | at_nb(buffer, pos + 1)) if head > 0 else end + 1
        if limit <= end and limit > begin:
            stop = extent_nb(buffer, begin, limit, MAX_STEPS)
            if stop == limit or (stop > 0 and may_begin_nb(buffer, limit, end, framed)):
                kind = record_kind_nb(buffer, begin, limit, child, extra, nodes, records, False)
                after = after_filler_nb(buffer, limit, end, framed)
                return begin, stop, after, kind, OK if kind >= 0 else UNKNOWN_RECORD_TYPE, begin
            if limit < end and may_begin_nb(buffer, limit, end, framed):  # the frame is sound, what it holds is not
                after = after_filler_nb(buffer, limit, end, framed)
                return begin, limit, after, -1, TRUNCATED_RECORD if stop == -2 else MALFORMED_RECORD, begin
        if head == 0:
            begin = end
    if begin < end:
        stop = extent_nb(buffer, begin, end, MAX_STEPS)
        kind = record_kind_nb(buffer, begin, end, child, extra, nodes, records, False)
        if stop > begin:
            after = after_filler_nb(buffer, stop, end, framed)
            sound = after > stop or may_begin_nb(buffer, stop, end, framed)
            if kind >= 0 and (sound or (not framed and children_tile_nb(buffer, begin))):
                return begin, stop, after, kind, OK, begin
            if kind < 0 and sound and not framed and at_nb(buffer, begin) & 0xE0 == 0xA0:
                return begin, stop, after, -1, UNKNOWN_RECORD_TYPE, begin
        elif kind >= 0:
            after = resync_nb(buffer, pos + 1, end, end, framed, child, extra, nodes, records)
            return begin, after, after, kind, TRUNCATED_RECORD if stop == -2 else MALFORMED_RECORD, begin
    after = resync_nb(buffer, pos + 1, end, end, framed, child, extra, nodes, records)
    return pos, after, after, -1, UNFRAMED_BYTES, pos


@kernel([_SIGNATURE])
def count_records_nb(buffer, start, end, framed, child, extra, nodes, records):
    """(records, ranges that are none) between `start` and `end`: what the file's header is checked against."""
    found, faults = 0, 0
    while start < end:
        _, _, start, _, reason, _ = frame_nb(buffer, start, end, framed, child, extra, nodes, records)
        if reason == UNFRAMED_BYTES:
            faults += 1
        else:
            found += 1
    return found, faults


@kernel([_SIGNATURE])
def first_record_nb(buffer, start, until, framed, child, extra, nodes, records):
    """The first place in [start, until) where a record begins, or `until`."""
    return resync_nb(buffer, start, until, buffer.size, framed, child, extra, nodes, records)
