"""Whatever the bytes: no exception, every byte in one row's range, the same rows however the call is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.text_formats import chf_json, radius, voip_csv
from mediation.formats.frame import FileFormat
from mediation.formats.registry import load_format
from schemas.codes import Reason
from schemas.columns import U8
from tests.unit.text_layouts import check_tiling

SEEDS = {"voip-csv": voip_csv(6), "chf-json": chf_json(4), "radius-accounting": radius(5),
         "cdr-stats-csv": b"81050000, abbey1, 650200000, 88, 78, 17, 47bbf17a-95f4, 1336101842\n" * 4}
FORMS: dict[str, FileFormat] = {name: load_format(name) for name in SEEDS}


def check(name: str, data: bytes, most: int) -> None:
    form = FORMS[name]
    buffer: U8 = np.frombuffer(data, np.uint8)
    frame = form.inspect(buffer)
    assert 0 <= frame.body_start <= frame.body_end <= len(data)
    together = form.decode(buffer, frame.body_start, frame.body_end, 1 << 20)
    check_tiling(together, frame.body_start, frame.body_end)
    cells = together.cells
    bad = cells["status"] != Reason.OK
    assert ((cells["status_offset"][bad] >= frame.body_start) & (cells["status_offset"][bad] <= frame.body_end)).all()
    for column in ("session_text", "apn_text"):
        there = cells[column] >= 0
        assert ((cells[column][there] >> 16) + (cells[column][there] & 65535) <= len(data)).all()
    at, row = frame.body_start, 0
    while at < frame.body_end:
        part = form.decode(buffer, at, frame.body_end, most)
        assert (part.cells.matrix == cells.matrix[:, row:row + len(part.cells)]).all()
        assert part.next_offset > at
        at, row = part.next_offset, row + len(part.cells)
    assert row == len(cells)
    if row:
        start, length = int(cells["record_offset"][0]), int(cells["record_length"][0])
        assert form.describe(buffer, start, start + length)["format"] == name


@pytest.mark.parametrize("name", sorted(SEEDS))
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_changed_files_are_accounted_for(name: str, data: st.DataObject) -> None:
    """Bits flipped, pieces cut out, doubled and put in."""
    octets = bytearray(SEEDS[name])
    for _ in range(data.draw(st.integers(1, 6))):
        if not octets:
            break
        at = data.draw(st.integers(0, len(octets) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "double", "insert", "end"]))
        length = data.draw(st.integers(1, 60))
        if kind == "flip":
            octets[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del octets[at:at + length]
        elif kind == "double":
            octets[at:at] = octets[at:at + length]
        elif kind == "insert":
            octets[at:at] = data.draw(st.binary(max_size=40))
        else:
            del octets[at:]
    check(name, bytes(octets), data.draw(st.integers(1, 5)))


@pytest.mark.parametrize("name", sorted(SEEDS))
@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=400) | st.text('{}[]":,\\\n \r0a;+-', max_size=300).map(str.encode))
def test_any_bytes_are_accounted_for(name: str, data: bytes) -> None:
    check(name, data, 2)


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_every_single_bit_flip_is_accounted_for(name: str) -> None:
    seed = SEEDS[name][:700]
    for at in range(0, len(seed), 5):
        changed = bytearray(seed)
        changed[at] ^= 1 << at % 8
        check(name, bytes(changed), 3)
