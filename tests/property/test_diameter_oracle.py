"""The parser says what python-diameter says, message by message, whatever stands beside it in the buffer."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipelines.diameter.parse import parse
from schemas.hashing import bytes_hash_nb
from tests.diameter_messages import REQUEST, message
from tests.diameter_peers import cells_row, text
from tests.oracle import diameter as oracle

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking through python-diameter takes minutes
KEYS = {"session_hi", "session_lo", "icid_hi", "icid_lo", "segment", "offset", "avp_count", "first_unit", "unit_count",
        "result_code", "group_text", "message_row", "requested_money_digits", "requested_money_exponent",
        "used_money_digits", "used_money_exponent", "requested", "used"}


def told(cells: object, row: int, buffer: np.ndarray) -> dict:
    """A row of the parser with texts as octets, without what the oracle does not tell."""
    found = cells_row(cells, row)  # type: ignore[arg-type]
    return {n: text(buffer, v) if n.endswith("_text") else v for n, v in found.items() if n not in KEYS}


def money(unit: object, row: int, prefix: str) -> tuple[int, int, int]:
    """Mask and money of a block."""
    return tuple(int(unit[f"{prefix}{n}"][row]) for n in ("", "_money_digits", "_money_exponent"))  # type: ignore


@settings(max_examples=40, deadline=None, phases=QUICK)
@given(st.lists(REQUEST, min_size=1, max_size=4), st.integers(0, 30))
def test_requests_mean_what_python_diameter_says(specs: list, tail: int) -> None:
    made = [message(spec, hop=i, end=(1 << 32) - 1 - i) for i, spec in enumerate(specs)]
    octets = b"".join(made) + made[0][:min(tail, len(made[0]) - 1)]
    buffer = np.frombuffer(octets, np.uint8)
    parsed = parse(buffer)
    messages, units = parsed.messages, parsed.units
    assert messages["result_code"].tolist() == [0] * len(made)
    assert parsed.taken.tolist() == [sum(map(len, made))] and not parsed.closed.any()
    row = 0
    for m, one in enumerate(made):
        expected, blocks = oracle.request(one)
        assert told(messages, m, buffer) == expected
        assert (int(messages["first_unit"][m]), int(messages["unit_count"][m])) == (row, len(blocks))
        for block in blocks:
            wanted = {n: v for n, v in block.items() if n not in KEYS}
            assert told(units, row, buffer) == wanted
            assert int(units["message_row"][row]) == m
            for prefix in ("requested", "used"):
                assert money(units, row, prefix) == (block.get(prefix, 0), block.get(f"{prefix}_money_digits", 0),
                                                     block.get(f"{prefix}_money_exponent", 0))
            row += 1
    assert row == len(units)
    sessions = [text(buffer, v) for v in messages["session_text"]]
    for seed, half in ((0x9AE16A3B2F90404F, "session_hi"), (0xC3A5C85C97CB3127, "session_lo")):
        for one, key in zip(sessions, messages[half].tolist(), strict=True):
            expected = int(bytes_hash_nb(np.frombuffer(one, np.uint8), 0, len(one), np.uint64(seed)))
            assert key & (1 << 64) - 1 == expected
    keys = list(zip(messages["session_hi"].tolist(), messages["session_lo"].tolist(), strict=True))
    assert len(set(sessions)) == len(set(keys)) == len(set(zip(sessions, keys, strict=True)))


@settings(max_examples=15, deadline=None, phases=QUICK)
@given(st.lists(REQUEST, min_size=1, max_size=5), st.data())
def test_wherever_octets_are_cut_into_segments_the_rows_are_the_same(specs: list, data: st.DataObject) -> None:
    octets = b"".join(message(spec, hop=i) for i, spec in enumerate(specs))
    whole = parse(np.frombuffer(octets, np.uint8))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
    found, rest = [], b""
    for start, stop in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        rest += octets[start:stop]
        # Another connection's half message stands before it.
        buffer = np.frombuffer(octets[:30] + rest, np.uint8)
        part = parse(buffer, np.array([[0, 30], [30, len(buffer)]]))
        assert part.taken[0] == 0
        found += [(told(part.messages, m, buffer), int(part.messages["unit_count"][m]))
                  for m in range(len(part.messages))]
        rest = rest[int(part.taken[1]) - 30:]
    buffer = np.frombuffer(octets, np.uint8)
    assert rest == b""
    assert found == [(told(whole.messages, m, buffer), int(whole.messages["unit_count"][m])) for m in range(len(specs))]
