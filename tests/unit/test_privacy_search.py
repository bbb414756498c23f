"""The search for personal numbers finds them in every encoding, and nothing else."""

import random
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.digits import pack
from tests.support.privacy import Searcher, find_personal

NUMBERS = [f"9992100{n:05d}" for n in range(4000)] + [f"001010000{n:06d}" for n in range(4000)]
ODD, EVEN = "001010000000017", "999210000017"


@pytest.fixture(scope="module")
def searcher() -> Searcher:
    return Searcher(NUMBERS)


@pytest.mark.parametrize(("written", "encoding"), [
    (b"+999210000017,", "ASCII"),
    (bytes.fromhex("992901000071"), "TBCD"),
    (bytes.fromhex("999210000017"), "BCD"),
    (bytes.fromhex("00010100000010f7"), "TBCD"),
    (int(EVEN).to_bytes(8, "little"), "int64, little endian"),
    (int(EVEN).to_bytes(8, "big"), "int64, big endian"),
    (pack(ODD).to_bytes(8, "little"), "packed, little endian"),
    (pack(EVEN).to_bytes(8, "big"), "packed, big endian"),
])
def test_a_number_is_found_wherever_it_lies(searcher: Searcher, written: bytes, encoding: str) -> None:
    noise = random.Random(1).randbytes(1000)
    for content in (written, noise + written, written + noise, noise + written + noise):
        assert encoding in {e for _, e, _ in searcher.in_octets(content)}
    piece = 1 << 18
    for start in range(piece - 20, piece + 3):
        assert list(searcher.in_octets(bytes(start) + written + bytes(30)))


def test_columns_of_parquet_files_and_file_names_are_looked_at(tmp_path: Path, searcher: Searcher) -> None:
    def columns(**cells: object) -> set[str]:
        pq.write_table(pa.table(cells), tmp_path / "t.parquet", compression="zstd", write_statistics=False)
        return {f.place for f in find_personal(tmp_path, searcher)}

    filler = list(range(5000))
    assert columns(a=filler, b=["x"] * 5000) == set()
    assert "column a" in columns(a=[*filler[1:], int(EVEN)])
    assert "column a" in columns(a=[*filler[1:], pack(EVEN)])
    assert "column b" in columns(b=[*(str(n) for n in filler), f"tel:+{EVEN}"])
    assert "column c" in columns(c=pa.array(["x", None, EVEN]).dictionary_encode())
    assert columns(a=[pack(EVEN[:-3])], b=[EVEN[:-3]]) == set()  # a prefix without its last digits is nobody
    (tmp_path / f"cdr-{EVEN}.txt").write_bytes(b"")
    assert [f.place for f in find_personal(tmp_path, searcher)] == ["name"]


def test_vault_and_keys_are_left_out_and_findings_do_not_show_the_number(tmp_path: Path, searcher: Searcher) -> None:
    for folder in ("vault", "keys", "ledger"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text(EVEN)
    (finding,) = find_personal(tmp_path, searcher)
    assert finding.path == Path("ledger/file")
    assert EVEN not in str(finding)


def test_noise_is_not_taken_for_numbers_and_is_passed_quickly(searcher: Searcher) -> None:
    noise = np.random.default_rng(5).integers(0, 256, 20_000_000, dtype=np.uint8).tobytes()
    started = time.process_time()
    assert list(searcher.in_octets(noise)) == []
    assert time.process_time() - started < 10
