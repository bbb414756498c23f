"""The cache of compiled kernels must not survive an edit anywhere below a kernel."""

import os
from pathlib import Path

import numpy as np
import pytest
from numba import types

from schemas import jit


@jit.kernel(types.int64(types.int64, jit.I64_OUT))
def asked_by_a_kernel_nb(value, out):  # type: ignore[no-untyped-def]
    out[0] = value
    return 3 * value


@jit.kernel(types.int64(types.uint64, jit.I64_OUT))
def caller_nb(value, out):  # type: ignore[no-untyped-def]
    return asked_by_a_kernel_nb(value, out)


def test_a_kernel_is_compiled_when_it_is_first_called_for_its_signature_alone() -> None:
    @jit.kernel(types.int64(types.int64, jit.I64_OUT))  # made here: nobody has compiled it before
    def put_nb(value, out):  # type: ignore[no-untyped-def]
        out[0] = value
        return 2 * value

    out = np.zeros(1, np.int64)
    assert not put_nb.signatures
    with pytest.raises(TypeError):
        put_nb(5, np.zeros(1))
    assert put_nb(np.int32(5), out) == 10
    assert out.tolist() == [5]
    assert len(put_nb.signatures) == 1
    with pytest.raises(TypeError):
        put_nb(5, np.zeros((1, 1), np.int64))


def test_what_a_kernel_calls_keeps_its_own_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARIFA_CACHE", str(tmp_path))  # a caller that is kept already asks for nobody
    out = np.zeros(1, np.int64)
    assert caller_nb(7, out) == 21
    assert [signature[0] for signature in asked_by_a_kernel_nb.signatures] == [types.int64]


def test_all_kernels_can_be_compiled_at_once() -> None:
    @jit.kernel([types.int64(types.int64)])
    def later_nb(value):  # type: ignore[no-untyped-def]
        return value + 1

    jit.compile_all()
    assert len(later_nb.signatures) == 1
    assert later_nb(1) == 2


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


def test_nothing_is_kept_of_a_source_that_was_written_since_the_process_began(tmp_path: Path,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "HOUSE", tmp_path)
    source = tmp_path / "kernels.py"
    source.touch()
    assert jit._edited(source)
    os.utime(source, ns=(jit._BEGAN_NS - 1, jit._BEGAN_NS - 1))
    assert not jit._edited(source)
