"""The cache of compiled kernels must not survive an edit anywhere below a kernel."""

from pathlib import Path

import pytest

from schemas import jit


def test_an_edit_of_a_file_two_imports_away_changes_the_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("rating", "schemas"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
    (tmp_path / "rating/top.py").write_text("from rating.middle import step_nb\n")
    (tmp_path / "rating/middle.py").write_text("from schemas import (\n    codes,\n)\nstep_nb = codes.VALUE\n")
    (tmp_path / "schemas/codes.py").write_text("VALUE = 1\n")
    monkeypatch.setattr(jit, "HOUSE", tmp_path)

    def fresh() -> str:
        jit.source_hash.cache_clear()
        jit._imports.cache_clear()
        return jit.source_hash(tmp_path / "rating/top.py")

    before = fresh()
    assert fresh() == before
    (tmp_path / "schemas/codes.py").write_text("VALUE = 2\n")
    after = fresh()
    jit.source_hash.cache_clear()
    jit._imports.cache_clear()
    assert after != before
