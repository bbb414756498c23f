"""Rows that are chosen keep their units, and every connection gets its own answers, in its order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.diameter import encode, ticks
from pipelines.diameter.encode import Answers, Texts, encode_answers, identity_avps
from pipelines.diameter.parse import parse
from schemas.columns import U8, Cells
from tests.diameter_messages import message
from tests.unit.test_diameter_errors import SOUND

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
IDENTITY = identity_avps("ocs.example.com", "example.com")


def of(services: int, hop: int) -> bytes:
    """A request with so many services, each with one used block more than the one before."""
    spec = [("Multiple-Services-Credit-Control", [
        ("Rating-Group", 100 * hop + i), *[("Used-Service-Unit", [("CC-Time", i)])] * i]) for i in range(services)]
    return message([*SOUND, *spec], hop=hop)


MADE = {(services, hop): of(services, hop) for services in range(4) for hop in range(12)}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 2)), min_size=1, max_size=12))
def test_what_is_chosen_keeps_its_units_and_goes_back_where_it_came_from(rows: list) -> None:
    rows = sorted(rows, key=lambda r: r[2])  # by connection, as a tick has them
    parts = [b"".join(MADE[s, i] for i, (s, _, c) in enumerate(rows) if c == n) for n in range(3)]
    ends = np.cumsum([len(p) for p in parts])
    buffer = np.frombuffer(b"".join(parts), np.uint8)
    parsed = parse(buffer, np.stack([ends - [len(p) for p in parts], ends], axis=1))
    before = parsed.units.matrix.copy(), parsed.messages.matrix.copy()
    mask = np.array([chosen for _, chosen, _ in rows])
    messages, units = ticks.choose(parsed.messages, parsed.units, mask)
    kept = [i for i, chosen in enumerate(mask) if chosen]
    assert messages["hop_by_hop"].tolist() == kept
    for row, i in enumerate(kept):
        first, count = int(messages["first_unit"][row]), int(messages["unit_count"][row])
        assert (units["message_row"][first:first + count] == row).all()
        expected = [100 * i + s for s in range(rows[i][0]) for _ in range(max(s, 1))]
        assert units["rating_group"][first:first + count].tolist() == expected
    assert len(units) == int(messages["unit_count"].sum())
    assert np.array_equal(parsed.units.matrix, before[0]) and np.array_equal(parsed.messages.matrix, before[1])
    sent = encode_answers(buffer, messages, units, Answers(encode.answers(len(messages))), IDENTITY)
    back: dict[int, list[int]] = {}
    for segment, count, octets in ticks.runs(np.bincount(messages["segment"], minlength=3).tolist(), sent):
        found, at = [], 0
        while at < len(octets):
            found.append(int.from_bytes(octets[at + 12:at + 16], "big"))
            at += int.from_bytes(octets[at + 1:at + 4], "big")
        assert len(found) == count and segment not in back
        back[segment] = found
    assert back == {c: [i for i in kept if rows[i][2] == c] for c in {rows[i][2] for i in kept}}


def answered(messages: Cells, units: Cells, buffer: U8) -> Answers:
    """Answers that say of what they are: texts, a service for each, and a report for each."""
    texts, given = Texts(), encode.answers(len(messages))
    first = np.flatnonzero(units["used_index"] == 0)
    grants, reports = encode.grants(len(first)), encode.reports(len(units))
    given["error_text"] = [texts.add(f"hop {hop}") for hop in messages["hop_by_hop"].tolist()]
    grants["message_row"], grants["unit_row"] = units["message_row"][first], first
    grants["rating_group"] = units["rating_group"][first]
    reports["message_row"], reports["status_text"] = units["message_row"], texts.add("low")
    reports["counter_text"] = [texts.add(f"group {group}") for group in units["rating_group"].tolist()]
    return Answers(given, grants, reports, texts.array())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_answers_of_two_handlers_are_those_of_one(rows: list) -> None:
    buffer = np.frombuffer(b"".join(MADE[s, i] for i, (s, _) in enumerate(rows)), np.uint8)
    parsed = parse(buffer)
    mask = np.array([chosen for _, chosen in rows])
    parts = [(some, answered(*ticks.choose(parsed.messages, parsed.units, some), buffer)) for some in (mask, ~mask)]
    merged = ticks.merged(parts, parsed.units)
    whole = answered(parsed.messages, parsed.units, buffer)
    sent, expected = (encode_answers(buffer, parsed.messages, parsed.units, each, IDENTITY) for each in (merged, whole))
    assert sent.buffer.tobytes() == expected.buffer.tobytes()
