"""Tariffs that a run keeps: given back whole, whatever else lies in their folder, or not at all."""

import shutil
from pathlib import Path

import pytest

from pipelines.corrections.kept import keep_tariffs, kept_tariffs, tariffs_of_snapshot
from pipelines.home import Home
from reference_data.tariffs.compile import Tariffs, load_tariffs
from schemas.errors import LedgerError
from tests.small_operator import TARIFF


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Home, Tariffs, Path]:
    folder = tmp_path / "tariffs"
    shutil.copytree(TARIFF, folder)
    (folder / ".2026.yaml.swp").write_bytes(b"\x00\xff\xfe no text")
    tariffs, home = load_tariffs(folder), Home(tmp_path / "home")
    keep_tariffs(home, folder, tariffs)
    return home, tariffs, home.reference / f"tariffs-{tariffs.content_hash}.json"


def test_tariffs_come_back_as_they_were_whatever_lies_beside_them(kept: tuple[Home, Tariffs, Path]) -> None:
    home, tariffs, _ = kept
    assert kept_tariffs(home, tariffs.content_hash).content_hash == tariffs.content_hash


@pytest.mark.parametrize("change", [lambda b: b[:-9], lambda b: b"[]", lambda b: b"", lambda b: b"\xff" + b,
                                    lambda b: b.replace(b"0.49", b"0.48"), lambda b: b.replace(b'"2026.yaml"', b'"/"'),
                                    lambda b: b.replace(b'"2026.yaml"', b'"2026\\u0000"')])
def test_a_kept_file_that_was_changed_is_refused(kept: tuple[Home, Tariffs, Path], change) -> None:  # type: ignore[no-untyped-def]
    home, tariffs, path = kept
    before = path.read_bytes()
    assert change(before) != before
    path.write_bytes(change(before))
    with pytest.raises(LedgerError, match=r"tariffs-.* is damaged.*--as-charged"):
        kept_tariffs(home, tariffs.content_hash)


def test_a_name_of_a_snapshot_that_says_nothing_is_refused(kept: tuple[Home, Tariffs, Path]) -> None:
    home, tariffs, _ = kept
    (home.reference / "5a").write_bytes(tariffs.content_hash.encode())
    assert tariffs_of_snapshot(home, "5a").content_hash == tariffs.content_hash
    for content in (b"\xff", b"0" * 64):
        (home.reference / "5a").write_bytes(content)
        with pytest.raises(LedgerError, match=r"damaged|not kept"):
            tariffs_of_snapshot(home, "5a")
