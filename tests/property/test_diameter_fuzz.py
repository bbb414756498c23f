"""Damaged messages: never an exception, nothing read or written outside, every octet accounted for."""

import os
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.diameter import encode
from pipelines.diameter.encode import Answers, encode_answers, identity_avps
from pipelines.diameter.kernels.encode import encode_answers_nb
from pipelines.diameter.parse import Limits, Parsed, parse
from tests.diameter_messages import REQUEST, Spec, end, limit, message
from tests.property.test_ber_fuzz import damage

IDENTITY = identity_avps("ocs.example.com", "example.com")
GUARD = 64
SMALL = Limits(message_octets=4096, avps=100, units=16)


def real_messages(count: int = 40, said: tuple[Spec, ...] = ()) -> list[bytes]:
    """Messages with everything in them, the same each time. said: what all of them say, in place of what they would."""
    names = {name for name, _ in said}
    made: list[bytes] = []

    @settings(max_examples=count, database=None, deadline=None, derandomize=True,
              suppress_health_check=list(HealthCheck))
    @given(REQUEST)
    def collect(spec: list) -> None:
        made.append(message([*(each for each in spec if each[0] not in names), *said]))

    collect()
    return made


def material_of() -> list[bytes]:
    """Messages of both applications."""
    return [*real_messages(), limit("s;1", 0, "calls", "volume"), limit("s;1", 1), end("s;1")]


@pytest.fixture(scope="module")
def material() -> list[bytes]:
    return material_of()


def guarded(octets: bytes, guard: int, limits: Limits) -> Parsed:
    """Parse octets that stand between guards."""
    buffer = np.concatenate([np.full(GUARD, guard, np.uint8), np.frombuffer(octets, np.uint8),
                             np.full(GUARD, guard, np.uint8)])
    return parse(buffer, np.array([[GUARD, GUARD + len(octets)]]), limits)


def check(octets: bytes, limits: Limits = SMALL) -> int:
    """Parse, hold what must hold, answer everything. Returns messages."""
    found = guarded(octets, 0, limits)
    other = guarded(octets, 255, limits)
    assert np.array_equal(found.messages.matrix, other.messages.matrix), "what stands outside was read"
    assert np.array_equal(found.units.matrix, other.units.matrix), "what stands outside was read"
    messages, units, at = found.messages, found.units, GUARD
    for m in range(len(messages)):
        assert messages["offset"][m] == at
        if messages["result_code"][m] not in (5011, 5015):
            at += int(messages["length"][m])
    assert found.taken[0] == at
    rest = GUARD + len(octets) - at
    if not found.closed[0] and rest >= 4:
        assert rest < int.from_bytes(octets[at - GUARD + 1:at - GUARD + 4], "big") <= limits.message_octets
    assert int(messages["unit_count"].sum()) == len(units)
    for cells in (messages, units):
        for name in cells.columns.names:
            if name.endswith("_text") or name == "failed_avp":
                reference = cells[name][cells[name] != -1]
                assert ((reference >> 16) >= GUARD).all()
                assert ((reference >> 16) + (reference & 0xFFFF) <= GUARD + len(octets)).all()
    answer(octets, found)
    return len(messages)


def answer(octets: bytes, found: Parsed) -> None:
    """Answer all with their own errors, into rooms of every size, between canaries."""
    buffer = np.concatenate([np.zeros(GUARD, np.uint8), np.frombuffer(octets, np.uint8)])
    given = encode.answers(len(found.messages))
    wrong = found.messages["result_code"]
    given["result_code"] = np.where(wrong == 0, 2001, wrong)
    first = np.flatnonzero(found.units["used_index"] == 0)
    grants = encode.grants(len(first))
    grants["message_row"], grants["unit_row"] = found.units["message_row"][first], first
    whole = Answers(given, grants)
    sent = encode_answers(buffer, found.messages, found.units, whole, IDENTITY, 1)
    assert int(sent.places[:, 1].sum()) == sent.buffer.size
    for begin, length in sent.places.tolist():
        assert length % 4 == 0
        assert int.from_bytes(sent.buffer[begin + 1:begin + 4].tobytes(), "big") == length
        tiles(sent.buffer[begin + 20:begin + length].tobytes())
    room = np.full(sent.buffer.size // 2 + 2 * GUARD, 0xAB, np.uint8)
    places = np.empty_like(sent.places)
    needed = encode_answers_nb(buffer, found.messages.matrix, found.units.matrix, given.matrix, grants.matrix,
                               encode.reports(0).matrix, encode.NO_TEXTS, IDENTITY, 1, room[GUARD:-GUARD], places)
    assert needed == sent.buffer.size
    assert (room[:GUARD] == 0xAB).all() and (room[-GUARD:] == 0xAB).all()


def tiles(octets: bytes) -> None:
    """AVPs follow each other to the end. What is shown in a Failed-AVP is the peer's and not looked into."""
    at = 0
    while at < len(octets):
        size = int.from_bytes(octets[at + 5:at + 8], "big")
        assert size >= 8
        at += size + 3 & ~3
    assert at == len(octets)


def test_damaged_messages_tile_and_never_raise(material: list[bytes]) -> None:
    rng = random.Random(5)
    for _ in range(400):
        check(damage(b"".join(rng.sample(material, 3)), rng))


@pytest.mark.slow
def test_many_damaged_messages_tile_and_never_raise(material: list[bytes]) -> None:
    rng = random.Random(int(os.environ.get("TARIFA_SEED", "6")))
    for _ in range(int(os.environ.get("TARIFA_FUZZ", "50000"))):
        check(damage(b"".join(rng.sample(material, 3)), rng))


def test_each_octet_flipped_and_each_cut_of_a_message(material: list[bytes]) -> None:
    whole = max(material, key=len)[:]
    for at in range(0, len(whole), 3):
        check(whole[:at])
        check(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1:] + whole[:50])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_octets(octets: bytes) -> None:
    check(octets)
    check(b"\x01" + (20 + len(octets) // 4 * 4).to_bytes(3, "big") + b"\xc0\0\1\x10\0\0\0\4" + bytes(8) + octets)


@pytest.mark.parametrize("pattern", [
    b"\0\0\1\xc8\x40\0\0\x08", b"\0\0\1\xc8\x40\0\xff\xf8", b"\0\0\1\xb5\x40\0\0\x08",
    b"\0\0\3\x69\xc0\0\0\x0c\0\0\x28\xaf",
    b"\0\0\1\xbb\x40\0\0\x08", b"\0\0\1\x1c\x40\0\0\x08", b"\0\0\0\0\0\0\0\0", b"\xff" * 8])
def test_hostile_repetition_is_bounded(pattern: bytes) -> None:
    body = (pattern * 8200)[:65_500 // 4 * 4]
    octets = b"\x01" + (20 + len(body)).to_bytes(3, "big") + b"\xc0\0\1\x10\0\0\0\4" + bytes(8) + body
    assert check(octets, Limits()) == 1


@pytest.mark.slow
def test_millions_of_messages_with_flipped_octets(material: list[bytes]) -> None:
    """Each message a connection of its own; what is read of it lies in it, and its answer tiles."""
    total, block = int(os.environ.get("TARIFA_FUZZ_MESSAGES", "1000000")), 20_000
    draw = np.random.default_rng(int(os.environ.get("TARIFA_SEED", "7")))
    lengths = np.array([len(m) for m in material])
    done = refused = closed = 0
    while done < total:
        which = draw.integers(0, len(material), block)
        ends = np.cumsum(lengths[which])
        segments = np.stack([ends - lengths[which], ends], axis=1)
        octets = np.frombuffer(b"".join([material[i] for i in which.tolist()]), np.uint8).copy()
        for _ in range(3):  # within the header, among the AVPs, anywhere in one of them
            at = segments[:, 0] + draw.integers(0, 1 << 30, block) % lengths[which]
            octets[at] = np.where(draw.random(block) < 0.7, octets[at] ^ (1 << draw.integers(0, 8, block)),
                                  draw.choice(np.array([0, 1, 255, 12, 8], np.uint8), block))
        found = parse(octets, segments, SMALL)
        messages = found.messages
        assert ((found.taken == segments[:, 0]) | (found.taken <= segments[:, 1])).all()
        start, stop = messages["offset"], messages["offset"] + messages["length"]
        assert (start >= segments[messages["segment"], 0]).all() and (stop <= segments[messages["segment"], 1]).all()
        for cells, low, high in ((messages, start, stop), (found.units, start[found.units["message_row"]],
                                                          stop[found.units["message_row"]])):
            for name in cells.columns.names:
                if name.endswith("_text") or name == "failed_avp":
                    reference = cells[name]
                    there = reference != -1
                    assert (reference[there] >> 16 >= low[there]).all()
                    assert ((reference >> 16) + (reference & 0xFFFF) <= high)[there].all()
        given = encode.answers(len(messages))
        given["result_code"] = np.where(messages["result_code"] == 0, 2001, messages["result_code"])
        first = np.flatnonzero(found.units["used_index"] == 0)
        grants = encode.grants(len(first))
        grants["message_row"], grants["unit_row"] = found.units["message_row"][first], first
        sent = encode_answers(octets, messages, found.units, Answers(given, grants), IDENTITY, 1)
        assert int(sent.places[:, 1].sum()) == sent.buffer.size and not (sent.places % 4).any()
        done, closed = done + block, closed + int((found.closed != 0).sum())
        refused += int((messages["result_code"] != 0).sum())
    assert 0 < closed < refused < total
    print(f"{done} messages, {refused} refused, {closed} closed their connection")
