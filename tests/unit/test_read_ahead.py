"""What a start has the disk read before anybody needs it."""

import os
from pathlib import Path

import pytest

from pipelines.read_ahead import read_ahead


def test_the_newest_snapshot_and_the_inventory_are_asked_for_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                                   ) -> None:
    sizes = {"snapshots/00000000000000000007.snapshot": 10, "snapshots/00000000000000000009.snapshot": (16 << 20) + 5,
             "snapshots/.aside-00000000000000000011.snapshot": 3, "compiled/00000000000000000000.snapshot": 20}
    for name, size in sizes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda handle, start, _octets, _advice: asked.append(
        (os.fstat(handle).st_size, start)))
    read_ahead(tmp_path).join()
    assert asked == [(20, 0), ((16 << 20) + 5, 0), ((16 << 20) + 5, 16 << 20)]


def test_a_home_that_has_nothing_yet_is_no_matter(tmp_path: Path) -> None:
    read_ahead(tmp_path / "none").join()
