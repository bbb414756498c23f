"""The benchmark of the whole way at its smallest: it runs, and names what bounds it."""

from pathlib import Path

import pytest

from benchmarks.end_to_end import measure


def test_the_whole_way_is_measured_with_its_bound_and_a_checksum(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                                 ) -> None:
    measure("voip-csv", 300, 100, 2, 100, tmp_path)
    printed = capsys.readouterr().out
    assert "bound by two cores" in printed
    assert "checksum of postings" in printed
    assert not list(tmp_path.iterdir())
