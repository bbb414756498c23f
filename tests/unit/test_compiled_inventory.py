"""The inventory that a home keeps compiled: what the files make, as long as they are the same files, whole."""

from pathlib import Path

import numpy as np
import pytest

from pipelines import compiled_inventory as module
from pipelines.compiled_inventory import compiled_inventory
from pipelines.home import Home
from reference_data.inventory import Inventory, load_inventory
from reference_data.snapshot import load_snapshot
from schemas.errors import ReferenceDataError
from tests.small_operator import NOON, TOKEN_KEY, Reference, account, times


def same(one: Inventory, other: Inventory) -> bool:
    arrays = [(i.accounts.account_id, i.accounts.group_id, i.holders.rows, i.holders.directory, i.ported.rows,
               i.ported.directory, i.service_ids) for i in (one, other)]
    facts = [(i.holders.shift, i.ported.shift, i.networks, i.content) for i in (one, other)]
    return facts[0] == facts[1] and all(np.array_equal(a, b) and a.dtype == b.dtype
                                        for a, b in zip(*arrays, strict=True))


def folder_of(place: Path, reference: Reference) -> Path:
    place.mkdir()
    for each in reference.accounts:
        each["time_zone"] = "Europe/Berlin"
    return reference.write(place)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders whose files were read."""
    found: list[Path] = []

    def load(folder: Path, key: tuple[int, int]) -> Inventory:
        found.append(folder)
        return load_inventory(folder, key)

    monkeypatch.setattr(module, "load_inventory", load)
    monkeypatch.setattr(module, "WORTH_ROWS", 1)
    return found


def test_files_are_read_once_and_again_when_they_or_the_key_are_others(tmp_path: Path, loads: list[Path]) -> None:
    home, reference = Home(tmp_path / "home"), Reference()
    folder = folder_of(tmp_path / "operator", reference)
    first = compiled_inventory(home, folder, TOKEN_KEY)
    again = compiled_inventory(home, folder, TOKEN_KEY)
    assert len(loads) == 1 and same(first, again) and same(again, load_inventory(folder, TOKEN_KEY))
    with pytest.raises(ValueError, match="read-only"):
        again.holders.rows[0] = 1
    other = compiled_inventory(home, folder, (5, 6))
    assert len(loads) == 2 and not same(first, other)
    reference.accounts.append(account(77, time_zone="Europe/Berlin"))
    reference.write(folder)
    assert 77 in compiled_inventory(home, folder, (5, 6)).accounts.account_id and len(loads) == 3
    compiled_inventory(home, folder, (5, 6))
    assert len(loads) == 3
    assert load_snapshot(folder, (5, 6)).content_hash == load_snapshot(
        folder, (5, 6), lambda place, key: compiled_inventory(home, place, key)).content_hash


def test_a_damaged_one_is_as_if_there_was_none(tmp_path: Path, loads: list[Path]) -> None:
    home, folder = Home(tmp_path / "home"), folder_of(tmp_path / "operator", Reference())
    first = compiled_inventory(home, folder, TOKEN_KEY)
    (path,) = home.compiled.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert same(compiled_inventory(home, folder, TOKEN_KEY), first) and len(loads) == 2
    assert same(compiled_inventory(home, folder, TOKEN_KEY), first) and len(loads) == 2


def test_what_is_small_is_not_kept_and_what_is_wrong_is_refused(
        tmp_path: Path, loads: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    home, folder = Home(tmp_path / "home"), folder_of(tmp_path / "operator", Reference())
    monkeypatch.setattr(module, "WORTH_ROWS", 1_000_000)
    compiled_inventory(home, folder, TOKEN_KEY)
    assert not home.compiled.exists()
    overlapping = [{"account_id": 1, "plan": plan, **times(NOON, None)} for plan in ("basic", "other")]
    with pytest.raises(ReferenceDataError, match="overlap"):
        compiled_inventory(home, folder_of(tmp_path / "wrong", Reference(plans=overlapping)), TOKEN_KEY)
