"""Snapshots: what was written comes back, the newest whole one wins."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import snapshots as module
from pipelines.gently import GentleDisk
from pipelines.snapshots import Snapshots
from schemas.errors import LedgerError

RECORD = np.dtype([("remaining", "<i8"), ("expiry", "<i4", (2,))])


def items() -> dict[str, object]:
    return {"cells": np.arange(12, dtype=np.int64).reshape(3, 4), "flags": np.array([1, 0, 1], np.uint8),
            "none": np.empty((0, 3)), "records": np.array([(1, (2, 3)), (4, (5, 6))], RECORD), "raw": b"octets",
            "table": pa.table({"token": [1, 2, None], "plan": ["a", "b", "a"]})}


def test_arrays_tables_and_bytes_come_back_as_they_were(tmp_path: Path) -> None:
    Snapshots(tmp_path).write(42, items(), {"reference": "abc"})
    found = Snapshots(tmp_path).newest()
    assert found is not None
    assert (found.position, found.names, found.passed_over) == (42, {"reference": "abc"}, ())
    assert found.items.keys() == items().keys()
    for name, item in items().items():
        if isinstance(item, np.ndarray):
            assert found.items[name].dtype == item.dtype
            np.testing.assert_array_equal(found.items[name], item)
        else:
            assert found.items[name] == item


def test_the_newest_whole_one_wins_whatever_bit_is_flipped(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    snapshots.write(1, {"a": np.arange(5)})
    path = snapshots.write(2, items(), {"reference": "abc"})
    content = path.read_bytes()
    used = [n for n in range(len(content)) if n < 512 or n % 7 == 0]
    for octet in used:
        damaged = bytearray(content)
        damaged[octet] ^= 1 << octet % 8
        path.write_bytes(damaged)
        try:
            found = snapshots.newest()
        except LedgerError as error:  # the version itself was hit
            assert "format version" in str(error)
            continue
        assert found is not None
        # Padding between items carries nothing.
        assert (found.position == 1 and len(found.passed_over) == 1) or _same(found.items)
    path.write_bytes(content[:len(content) // 2])
    found = snapshots.newest()
    assert found is not None
    assert found.position == 1


def _same(found: object) -> bool:
    return all(np.array_equal(found[n], i) if isinstance(i, np.ndarray) else found[n] == i for n, i in items().items())


def test_none_none_left_and_none_below(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "none")
    assert snapshots.newest() is None
    assert snapshots.retain() == 0
    snapshots.write(10, {})
    assert snapshots.newest(at_most=9) is None
    found = snapshots.newest(at_most=10)
    assert found is not None and found.position == 10


def test_retaining_counts_whole_ones_only(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    for position in (1, 2, 3, 4):
        path = snapshots.write(position, {"a": np.array([position])})
    path.write_bytes(path.read_bytes()[:-1])  # 4 has lost part of its padding only
    (tmp_path / f"{3:020d}.snapshot").write_bytes(b"damaged")
    assert snapshots.retain(2) == 2
    assert snapshots.positions() == [2, 3, 4]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = Snapshots(tmp_path).write(1, {})
    content = bytearray(path.read_bytes())
    content[8] = 3
    content[28:32] = zlib.crc32(content[32:64 * 4][:content[12]], zlib.crc32(content[:28])).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="format version 3"):
        Snapshots(tmp_path).newest()


def test_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="array of objects"):
        Snapshots(tmp_path).write(1, {"a": np.array([object()])})
    assert Snapshots(tmp_path).newest() is None


def test_pieces_are_summed_apart_and_a_file_of_before_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 100)
    monkeypatch.setattr(module, "_OWN", 64)
    held = items() | {"large": np.arange(300, dtype=np.int64).reshape(-1, 3), "narrow": np.arange(99, dtype=np.int32)}
    path = Snapshots(tmp_path, GentleDisk()).write(1, held)
    found = Snapshots(tmp_path).newest()
    assert found is not None and all(np.array_equal(found.items[n], held[n]) for n in ("large", "narrow"))
    assert found.items["table"] == held["table"]
    content = bytearray(path.read_bytes())
    place = content.index(np.arange(150, 160).tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert Snapshots(tmp_path).newest() is None
    _write_as_before(path, 1, {"large": np.arange(300).reshape(-1, 3)})
    found = Snapshots(tmp_path).newest()
    assert found is not None and found.items["large"].tolist() == np.arange(300).reshape(-1, 3).tolist()


def _write_as_before(path: Path, position: int, arrays: dict[str, np.ndarray]) -> None:
    """Version 1: one sum for each item."""
    (name, array), = arrays.items()
    told = [{"name": name, "kind": "array", "type": "<i8", "shape": list(array.shape), "offset": 0,
             "octets": array.nbytes, "crc32": zlib.crc32(array.tobytes())}]
    text = json.dumps({"names": {}, "items": told}).encode()
    text += b" " * (-(32 + len(text)) % 64)
    head = struct.pack("<8sIIQI", b"TARIFASN", 1, len(text), position, 0)
    path.write_bytes(head + zlib.crc32(text, zlib.crc32(head)).to_bytes(4, "little") + text + array.tobytes())


def test_what_was_seen_to_be_whole_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = Snapshots(tmp_path)
    for position in (1, 2, 3):
        snapshots.write(position, {"a": np.arange(5)})
    read = list[bool]()
    whole = module.check
    monkeypatch.setattr(module, "check", lambda path, position, sums=True: (read.append(sums), whole(path, position)))
    assert snapshots.retain(2) == 2 and read == [False, False]
    assert Snapshots(tmp_path).retain(2) == 2 and read == [False, False, True, True]
