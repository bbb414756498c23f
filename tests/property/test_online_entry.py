"""Requests in the journal: what goes in comes out, whatever the numbers of labels; what is broken is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.online_entry import decode_requests, encode_requests
from schemas.columns import ABSENT, Cells
from schemas.errors import LedgerError
from schemas.online import REQUEST

NAMES = [c.name for c in REQUEST.columns]
LABELS = {c.name: [f"{c.name} {i}" for i in range(7)] for c in REQUEST.columns if c.kind == "label"}
VALUES = st.one_of(st.integers(-1, 3), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(1 << 40, (1 << 40) + 200),
                   st.integers(-40_000, 40_000))


@st.composite
def requests(draw: st.DrawFn) -> Cells:
    rows = draw(st.integers(0, 9))
    cells = Cells.empty(REQUEST, rows, fill=ABSENT)
    for name in draw(st.sets(st.sampled_from(NAMES))):
        each = st.integers(-1, 6) if name in LABELS else VALUES
        same = draw(st.booleans())
        cells[name] = draw(each) if same else draw(st.lists(each, min_size=rows, max_size=rows))
    return cells


@settings(max_examples=60, deadline=None)
@given(requests(), st.integers(0, 1 << 60))
def test_requests_come_back_from_the_journal_as_they_were(cells: Cells, received_us: int) -> None:
    content = encode_requests(cells, received_us, LABELS)
    other = {name: list(reversed(names)) for name, names in LABELS.items()}
    found_us, found = decode_requests(content, other)
    assert found_us == received_us and len(found) == len(cells)
    for name in NAMES:
        if name in LABELS and len(cells):
            assert [other[name][i] if i >= 0 else None for i in found[name]] == \
                [LABELS[name][i] if i >= 0 else None for i in cells[name]]
        else:
            assert (found[name] == cells[name]).all(), name


@settings(max_examples=60, deadline=None)
@given(requests(), st.integers(0, 400), st.integers(0, 255))
def test_what_is_damaged_is_refused_or_read_and_never_worse(cells: Cells, place: int, octet: int) -> None:
    content = bytearray(encode_requests(cells, 1, LABELS))
    content[place % len(content)] = octet
    for broken in (bytes(content), bytes(content[:place % len(content)])):
        try:
            decode_requests(broken, {})
        except LedgerError:
            continue


def test_what_says_little_takes_little() -> None:
    cells = Cells.empty(REQUEST, 1000, fill=ABSENT)
    cells["requested"], cells["number"], cells["source"] = 0, np.arange(1000) % 200, 3
    content = encode_requests(cells, 1, LABELS)
    assert len(content) < 1000 + 100
    with pytest.raises(LedgerError, match="format 9"):
        decode_requests(b"\x09" + content[1:], {})
