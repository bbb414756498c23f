"""Requests in the journal: what goes in comes out, whatever the numbers of labels; what is broken is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.online_entries import decode_many, rows_of
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
@given(st.lists(requests(), max_size=6), st.booleans())
def test_entries_read_together_are_what_they_are_one_by_one(blocks: list[Cells], known: bool) -> None:
    contents = [encode_requests(cells, 5 + at, LABELS) for at, cells in enumerate(blocks)]
    mine: dict[str, list[str]] = {name: list(reversed(names)) for name, names in LABELS.items()} if known else {}
    same = {name: list(names) for name, names in mine.items()}
    one_by_one = [decode_requests(content, mine) for content in contents]
    flat, first, received_us = decode_many(contents, same)
    assert received_us.tolist() == [at for at, _ in one_by_one]
    assert [rows_of(content) for content in contents] == np.diff(first).tolist()
    assert flat.tolist() == [value for _, cells in one_by_one for value in cells.matrix.reshape(-1).tolist()]
    assert mine == same


@settings(max_examples=60, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3), st.data())
def test_a_damaged_entry_among_others_is_refused_or_read_as_alone(blocks: list[Cells], data: st.DataObject) -> None:
    contents = [encode_requests(cells, 1, LABELS) for cells in blocks]
    which = data.draw(st.integers(0, len(contents) - 1))
    content = bytearray(contents[which])
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    contents[which] = bytes(content) if data.draw(st.booleans()) else bytes(content[:data.draw(st.integers(0, 40))])
    try:
        alone = [decode_requests(each, {})[1].matrix.reshape(-1).tolist() for each in contents]
    except LedgerError:
        alone = None
    try:
        for each in contents:
            rows_of(each)
        together = decode_many(contents, {name: list(names) for name, names in LABELS.items()})[0].tolist()
    except LedgerError:
        together = None
    assert (alone is None) == (together is None)
    if alone is not None and together is not None:
        assert len(together) == sum(map(len, alone))


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
