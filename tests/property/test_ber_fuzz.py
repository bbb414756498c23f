"""Damaged files: never an exception, never unbounded, and every octet belongs to exactly one range."""

import random
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import ber_records as records

LAYOUTS = sorted(records.FAMILIES)


def real_records(layout: str, seed: int, count: int) -> list[bytes]:
    """Records of a family, the same for the same seed."""
    kind, strategy, _ = records.FAMILIES[layout]
    made: list[bytes] = []

    @settings(max_examples=count, database=None, deadline=None, derandomize=True,
              suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(item: tuple) -> None:
        made.append(records.encode(kind, *item))

    collect()
    random.Random(seed).shuffle(made)
    return made[:count]


@pytest.fixture(scope="module")
def material() -> dict[str, list[bytes]]:
    return {layout: real_records(layout, 1, 40) for layout in LAYOUTS}


def read_all(layout: str, octets: bytes, chunk: int = 1000) -> int:
    """Decode a whole file; check the tiling of header and body. Returns its rows."""
    fmt = records.loaded(layout)
    buffer = records.array(octets)
    frame = fmt.inspect(buffer)
    assert 0 <= frame.body_start <= frame.body_end == len(octets)
    at, rows = frame.body_start, 0
    while at < frame.body_end:
        part = fmt.decode(buffer, at, frame.body_end, chunk)
        records.check_tiling(part.cells, at, part.next_offset)
        assert 0 < part.record_count <= chunk
        rows += len(part.cells)
        for i in range(0, len(part.cells), 7):
            start = int(part.cells["record_offset"][i])
            fmt.describe(buffer, start, start + int(part.cells["record_length"][i]))
        at = part.next_offset
    return rows


def damage(octets: bytes, rng: random.Random) -> bytes:
    """One to four wounds: flipped bits, a cut, a splice, a hole, a run of one octet."""
    data = bytearray(octets)
    for _ in range(rng.randint(1, 4)):
        if not data:
            break
        at = rng.randrange(len(data))
        length = rng.randint(1, 40)
        wound = rng.randrange(6)
        if wound == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif wound == 1:
            del data[rng.randrange(len(data)):]
        elif wound == 2:
            other = rng.randrange(len(data))
            data[at:at] = data[other:other + length]
        elif wound == 3:
            del data[at:at + length]
        elif wound == 4:
            data[at:at + length] = bytes([rng.choice((0, 0x80, 0xFF, 0xA0, 0x30))]) * length
        else:
            data[at:at + length] = rng.randbytes(length)
    return bytes(data)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("in_file", [True, False])
def test_damaged_real_records_tile_and_never_raise(layout: str, in_file: bool, material: dict) -> None:
    rng = random.Random(f"{layout} {in_file}")
    whole = material[layout]
    for _ in range(150):
        some = rng.sample(whole, 6)
        octets = records.file_of(some) if in_file else b"".join(some)
        read_all(layout, damage(octets, rng), rng.choice((1, 3, 1000)))


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_damaged_records_tile_and_never_raise(layout: str, material: dict) -> None:
    rng = random.Random(layout)
    for _ in range(20_000):
        some = rng.sample(material[layout], 4)
        read_all(layout, damage(records.file_of(some) if rng.random() < 0.5 else b"".join(some), rng))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(LAYOUTS), st.integers(1, 50))
def test_random_octets_tile_and_never_raise(octets: bytes, layout: str, chunk: int) -> None:
    read_all(layout, octets, chunk)
    read_all(layout, records.file_header(octets, 3) + octets, chunk)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wherever_a_file_is_cut_the_whole_records_before_are_read(layout: str, material: dict) -> None:
    some = material[layout][:3]
    octets = records.file_of(some)
    fmt = records.loaded(layout)
    ends, at = [], 54
    for item in some:
        at += len(records.framed(item))
        ends.append(at)
    for cut in range(54, len(octets)):
        part = fmt.decode(records.array(octets[:cut]), 54, cut, 10)
        if cut > 54:
            records.check_tiling(part.cells, 54, cut)
        whole = sum(end <= cut for end in ends)
        starts = {int(o) for o, s in zip(part.cells["record_offset"], part.cells["status"], strict=True) if s == 0}
        assert len(starts) == whole
        read_all(layout, octets[:cut])


@pytest.mark.parametrize("pattern", [b"\xa0\x80\x80\x01\x00", b"\xbf\x4f\x80\x80\x01\x55", b"\xa0\x80", b"\xa0",
                                     b"\xbf\x4f\x84\x7f\xff\xff\xff", b"\0", b"\xff", b"\x30\x80",
                                     b"\xbf\x4f\x05\x80\x01\x55\x30\x80"])
def test_hostile_repetition_takes_linear_time(pattern: bytes) -> None:
    octets = pattern * (100_000 // len(pattern))
    read_all("ts32298-gprs", b"\xa0\x03\x80\x01\x07")  # kernels are compiled
    for layout in ("ts32298-gprs", "ts32298-cs"):
        begin = time.perf_counter()
        read_all(layout, octets, 100_000)
        assert time.perf_counter() - begin < 20


def test_memory_does_not_grow_with_the_number_asked_for() -> None:
    fmt = records.loaded("ts32298-gprs")
    part = fmt.decode(np.zeros(0, np.uint8), 0, 0, 1 << 50)
    assert (len(part.cells), part.next_offset, part.record_count) == (0, 0, 0)
    assert fmt.inspect(np.zeros(0, np.uint8)).body_end == 0
