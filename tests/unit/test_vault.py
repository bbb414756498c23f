"""The vault: remembers once, tells only those who say who and why, forgets for good."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from pipelines.keys import Keys
from pipelines.vault import Vault, reveal_table
from pipelines.vault.entries import Entries
from pipelines.vault.reveal import reveal_columns
from schemas.codes import Identity
from schemas.digits import pack
from schemas.errors import LedgerError, StaleWriterError

NUMBERS = ["491511234567", "491511234568", "4930901820", "112"]


def vault_in(folder: Path, **options: object) -> Vault:
    return Vault(folder / "vault", Keys.open(folder / "keys"), **options)  # type: ignore[arg-type]


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def remember_numbers(vault: Vault) -> np.ndarray:
    token = np.arange(1000, 1000 + len(NUMBERS), dtype=np.int64)
    remembered = vault.remember(token, Identity.MSISDN, column(*(pack(n) for n in NUMBERS)))
    assert (remembered.added, len(remembered.collisions)) == (len(NUMBERS), 0)
    return token


def test_values_of_each_kind_are_shown_as_people_write_them(tmp_path: Path) -> None:
    with vault_in(tmp_path) as vault:
        vault.remember(column(1, 2, 3, 4, 5), column(0, 1, 3, 3, 4),
                       column(pack("491511"), pack("00101"), 0x0A000001, 77, 88),
                       [None, None, None, "2001:db8::1", "sip:änne@example.org"])
        table = reveal_table(vault, column(5, 4, 3, 2, 1, 1), "ana", "complaint 7", 1)
        assert table.to_pylist() == [
            {"token": 1, "identity": "msisdn", "value": "491511"}, {"token": 2, "identity": "imsi", "value": "00101"},
            {"token": 3, "identity": "ip_address", "value": "10.0.0.1"},
            {"token": 4, "identity": "ip_address", "value": "2001:db8::1"},
            {"token": 5, "identity": "text", "value": "sip:änne@example.org"}]


def test_remembering_again_adds_nothing_also_after_a_restart(tmp_path: Path) -> None:
    for rows in (3, 1 << 18):
        with vault_in(tmp_path / str(rows), seal_rows=rows) as vault:
            token = remember_numbers(vault)
        with vault_in(tmp_path / str(rows), seal_rows=rows) as vault:
            assert vault.remember(token, 0, column(*(pack(n) for n in NUMBERS))).added == 0
            assert len(vault) == len(NUMBERS)


@pytest.mark.parametrize("seal_rows", [2, 100])
@pytest.mark.parametrize("restart", [False, True])
def test_another_value_behind_a_known_token_is_a_collision(tmp_path: Path, seal_rows: int, restart: bool) -> None:
    vault = vault_in(tmp_path, seal_rows=seal_rows)
    vault.remember(column(1, 2, 3), 0, column(10, 20, 30), [None, None, "three"])
    if restart:
        vault.close()
        vault = vault_in(tmp_path, seal_rows=seal_rows)
    found = vault.remember(column(2, 1, 3, 4, 4, -1, 3), column(0, 1, 0, 0, 0, 0, 0), column(21, 10, 30, 40, 41, 5, 30),
                           [None, None, "three", None, None, None, "drei"])
    assert found.added == 1
    assert found.collisions.tolist() == [0, 1, 4, 6]  # other value; other kind; inside the batch; other text
    assert reveal_table(vault, column(1, 2, 4), "a", "b", 1).column("value").to_pylist() == ["9", "03", "17"]
    vault.close()


def test_the_first_of_two_values_in_one_batch_stays(tmp_path: Path) -> None:
    with vault_in(tmp_path) as vault:
        found = vault.remember(column(9, 9, 9), 0, column(pack("2"), pack("1"), pack("2")))
        assert (found.added, found.collisions.tolist()) == (1, [1])
        assert reveal_table(vault, column(9), "a", "b", 1).column("value").to_pylist() == ["2"]


def test_looking_is_recorded_and_the_record_cannot_be_changed(tmp_path: Path) -> None:
    with vault_in(tmp_path) as vault:
        token = remember_numbers(vault)
        reveal_table(vault, token[:3], "ana", "complaint 7", 123)
        reveal_table(vault, token[:1], "ben", "court order", 456)
        first, second = vault.audit.entries()
        assert (first.sequence, first.action, first.who, first.why, first.time_us, first.count) == (
            1, "reveal", "ana", "complaint 7", 123, 3)
        assert second.who == "ben"
        assert vault.audit.head()[0] == 2
        path = tmp_path / "vault" / "audit.log"
        content = path.read_bytes()
        assert all(n.encode() not in content for n in NUMBERS[:3])
        for changed in (content.replace(b"ana", b"eva"), content[content.index(b"\n") + 1:],
                        content.replace(b'"count": 3', b'"count": 2'), content.replace(b"\n", b"\n\n", 1),
                        content.replace(b'"signature": "', b'"signature": "g'),
                        content.replace(b'"signature": "', b'"signature": "\xff')):
            path.write_bytes(changed)
            with pytest.raises(LedgerError, match=r"line \d does not hold"):
                vault.audit.entries()
        path.write_bytes(content[:-20])  # torn while being written, so never answered
        assert len(vault.audit.entries()) == 1
        reveal_table(vault, token[:1], "cem", "complaint 8", 789)
        assert [e.who for e in vault.audit.entries()] == ["ana", "cem"]


def test_a_look_without_name_or_reason_shows_nothing(tmp_path: Path) -> None:
    with vault_in(tmp_path) as vault:
        token = remember_numbers(vault)
        for who, why in (("", "reason"), ("ana", " ")):
            with pytest.raises(LedgerError, match="must be said"):
                vault.lookup(token, who, why, 1)
        assert vault.audit.entries() == []


@pytest.mark.parametrize("seal_rows", [2, 100])
def test_erased_values_are_gone_and_named_as_erased(tmp_path: Path, seal_rows: int) -> None:
    with vault_in(tmp_path, seal_rows=seal_rows) as vault:
        token = remember_numbers(vault)
        old = {p.name: p.read_bytes() for p in (tmp_path / "vault").glob("*.vault")}
        assert vault.erase(np.append(token[:2], 5), "ana", "erasure request 3", 10) == 2
        assert len(vault) == 2
        shown = reveal_table(vault, np.append(token, 77), "ben", "check", 11).to_pylist()
        assert [r["identity"] for r in shown] == ["unknown", "erased", "erased", "msisdn", "msisdn"]
        assert [r["value"] for r in shown[3:]] == NUMBERS[2:]
        assert vault.audit.entries()[0].tokens == (5, 1000, 1001)
        # Not even a copy of the old files can be read: their keys are gone.
        for name, content in old.items():
            assert not (tmp_path / "vault" / name).exists()
            (tmp_path / "vault" / name).write_bytes(content)
        assert {n[6:] for n in Keys.open(tmp_path / "keys").sealed_names()}.isdisjoint(n[:-6] for n in old)
        # A new holder of the number is remembered.
        assert vault.remember(token[:1], 0, column(pack(NUMBERS[0]))).added == 1
    with vault_in(tmp_path) as vault:
        assert len(vault) == 3


def test_one_writer_many_readers(tmp_path: Path) -> None:
    with vault_in(tmp_path, seal_rows=3) as vault:
        token = remember_numbers(vault)
        vault.remember(column(1), 0, column(pack("31")))
        with pytest.raises(StaleWriterError):
            vault_in(tmp_path)
        with vault_in(tmp_path, write=False) as reader:
            shown = reveal_table(reader, np.append(token[:1], 1), "ana", "complaint", 1)
            assert shown.column("value").to_pylist() == ["31", NUMBERS[0]]
            with pytest.raises(LedgerError, match="open for reading"):
                reader.remember(column(99), 0, column(99))


@pytest.mark.parametrize("seal_rows", [2, 100])
def test_values_lie_encrypted_and_any_flipped_bit_is_noticed(tmp_path: Path, seal_rows: int) -> None:
    with vault_in(tmp_path, seal_rows=seal_rows) as vault:
        vault.remember(column(1, 2), 0, column(pack(NUMBERS[0]), pack(NUMBERS[1])), ["sip:anna@example.org", None])
        if seal_rows == 100:
            vault.remember(column(3), 0, column(3))  # so that the first frame is not the last
    (path,) = (tmp_path / "vault").glob("*.vault")
    content = path.read_bytes()
    assert b"anna" not in content
    assert pack(NUMBERS[1]).to_bytes(8, "little") not in content
    first_frame = 12 + int.from_bytes(content[4:8], "little") if seal_rows == 100 else len(content)
    for octet in range(first_frame):
        damaged = bytearray(content)
        damaged[octet] ^= 1 << octet % 8
        path.write_bytes(damaged)
        with pytest.raises(LedgerError, match=r"damaged|version|too short"), vault_in(tmp_path) as vault:
            reveal_table(vault, column(1, 2), "a", "b", 1)


def test_a_damaged_or_newer_manifest_is_refused(tmp_path: Path) -> None:
    with vault_in(tmp_path) as vault:
        remember_numbers(vault)
    path = tmp_path / "vault" / "manifest.json"
    content = path.read_text()
    for damaged in (content.replace('"next": 2', '"next": 3'), content[:-5], "[]"):
        path.write_text(damaged)
        with pytest.raises(LedgerError, match="damaged"):
            vault_in(tmp_path)


def test_many_small_runs_become_one(tmp_path: Path) -> None:
    with vault_in(tmp_path, seal_rows=10) as vault:
        for n in range(40):
            vault.remember(np.arange(n * 10, n * 10 + 10), 0, np.arange(n * 10, n * 10 + 10))
        assert len(vault) == 400
        runs = json.loads((tmp_path / "vault" / "manifest.json").read_text())["runs"]
        assert len(runs) < 16
        found = vault.lookup(np.arange(400), "a", "b", 1)
        np.testing.assert_array_equal(found.token, found.value)


def test_results_of_a_query_get_the_values_beside_their_tokens(tmp_path: Path) -> None:
    with vault_in(tmp_path) as vault:
        token = remember_numbers(vault)
        result = pa.table({"msisdn_token": [int(token[0]), None, int(token[1])], "other_token": [int(token[2]), 5, 5],
                           "charge": ["1.00", "2.00", "3.00"]})
        shown = reveal_columns(vault, result, "ana", "complaint", 1)
        assert shown.column_names == ["msisdn_token", "msisdn", "other_token", "other", "charge"]
        assert shown.column("msisdn").to_pylist() == [NUMBERS[0], None, NUMBERS[1]]
        assert shown.column("other").to_pylist() == [NUMBERS[2], None, None]
        assert vault.audit.entries()[-1].count == 4
        revealed = reveal_table(vault, token, "ana", "complaint", 2)
        with duckdb.connect() as connection:
            connection.register("revealed", revealed)
            assert connection.sql("select value from revealed where token = 1003").fetchall() == [("112",)]


def test_entries_survive_packing() -> None:
    entries = Entries.of(column(1, 2, 3), column(0, 4, 0), column(5, 6, 7), [None, "text", ""])
    again = Entries.unpack(entries.pack())
    assert [again.text_of(i) for i in range(3)] == [b"", b"text", b""]
    np.testing.assert_array_equal(again.value, entries.value)
    assert len(Entries.unpack(Entries.concat([]).pack())) == 0
