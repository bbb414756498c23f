"""Keys: made once, kept private, wrapped, destroyed with a note."""

from pathlib import Path

import pytest

from pipelines.keys import ErasedError, Keys, keys_folder, signature_holds
from schemas.errors import LedgerError


def test_keys_are_made_once_and_are_the_same_when_opened_again(tmp_path: Path) -> None:
    first, second = Keys.open(tmp_path / "keys"), Keys.open(tmp_path / "keys")
    assert (first.token_key, first.vault_key, first.archive_key) == (second.token_key, second.vault_key,
                                                                     second.archive_key)
    assert first.public_key == second.public_key
    assert Keys.open(tmp_path / "other").token_key != first.token_key


def test_keys_are_private_and_never_shown(tmp_path: Path) -> None:
    keys = Keys.open(tmp_path / "keys")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "keys").iterdir()} == {0o600}
    shown = repr(keys)
    assert all(secret not in shown for secret in (str(keys.token_key[0]), repr(keys.vault_key), keys.vault_key.hex()))


@pytest.mark.parametrize("name", ["", "vault.key"])
def test_keys_open_to_others_are_refused(tmp_path: Path, name: str) -> None:
    Keys.open(tmp_path / "keys")
    path = tmp_path / "keys" / name
    path.chmod(0o755 if path.is_dir() else 0o640)
    with pytest.raises(LedgerError, match="open to others"):
        Keys.open(tmp_path / "keys")


@pytest.mark.parametrize(("content", "message"), [
    ("tarifa-vault 1 zz\n", "damaged"), ("tarifa-vault 1 00\n", "holds 1 octets"), ("nonsense\n", "no tarifa-vault"),
    ("tarifa-vault 9 " + "00" * 32, "format version 9"), ("tarifa-token 1 " + "00" * 32, "no tarifa-vault")])
def test_a_key_file_that_is_none_is_refused_without_showing_it(tmp_path: Path, content: str, message: str) -> None:
    Keys.open(tmp_path / "keys")
    (tmp_path / "keys" / "vault.key").write_text(content)
    with pytest.raises(LedgerError, match=message) as refused:
        Keys.open(tmp_path / "keys")
    assert "00000000" not in str(refused.value)


def test_sealed_keys_are_wrapped_kept_and_destroyed(tmp_path: Path) -> None:
    keys = Keys.open(tmp_path / "keys")
    key = keys.sealed("day-1", keys.archive_key, create=True)
    assert keys.sealed("day-1", keys.archive_key) == key
    assert key.hex() not in (tmp_path / "keys" / "sealed" / "day-1.key").read_text()
    with pytest.raises(LedgerError, match="not wrapped by"):
        keys.sealed("day-1", keys.vault_key)
    with pytest.raises(LedgerError, match="missing"):
        keys.sealed("day-2", keys.archive_key)
    assert keys.destroy("day-1", {"who": "retention"})
    assert not keys.destroy("day-1", {"who": "again"})
    with pytest.raises(ErasedError, match="retention"):
        keys.sealed("day-1", keys.archive_key, create=True)
    assert keys.sealed_names() == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b'{"who": "ret'])
def test_a_key_whose_note_is_damaged_is_gone_all_the_same(tmp_path: Path, content: bytes) -> None:
    keys = Keys.open(tmp_path / "keys")
    keys.sealed("day-1", keys.archive_key, create=True)
    keys.destroy("day-1", {"who": "retention"})
    (tmp_path / "keys" / "sealed" / "day-1.gone").write_bytes(content)
    with pytest.raises(ErasedError, match=r"day-1\.gone is damaged"):
        keys.sealed("day-1", keys.archive_key)


@pytest.mark.parametrize("kind", ["token", "signing", "vault", "archive"])
def test_a_digit_of_a_key_that_changed_is_found(tmp_path: Path, kind: str) -> None:
    """With another token key every number would get another token, and nobody would be known any more."""
    Keys.open(tmp_path / "keys")
    path = tmp_path / "keys" / f"{kind}.key"
    words = path.read_text().split()
    words[2] = ("1" if words[2][0] == "0" else "0") + words[2][1:]
    path.write_text(" ".join(words))
    with pytest.raises(LedgerError, match="damaged"):
        Keys.open(tmp_path / "keys")
    path.write_text(" ".join(words[:3]))  # one that was put there by other means has no check
    Keys.open(tmp_path / "keys")


def test_signatures_hold_for_the_signed_message_only(tmp_path: Path) -> None:
    keys = Keys.open(tmp_path / "keys")
    signature = keys.sign(b"head")
    assert signature_holds(keys.public_key, signature, b"head")
    assert not signature_holds(keys.public_key, signature, b"Head")
    assert not signature_holds(keys.public_key, signature[:-1], b"head")


def test_the_keys_folder_can_lie_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys_folder(tmp_path) == tmp_path / "keys"
    monkeypatch.setenv("TARIFA_KEYS", "/elsewhere")
    assert keys_folder(tmp_path) == Path("/elsewhere")
