"""`tarifa tariff compile|diff|show`: a compiled file is its tariff, changes are told in money, prices can be read."""

import shutil
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import reference_data.tariffs
from pipelines.apps.cli import app
from reference_data.tariffs.compile import load_tariffs
from reference_data.tariffs.diff import compare
from reference_data.tariffs.store import dump, hash_of, load
from reference_data.tariffs.words import fraction_words, quantity_words
from schemas.codes import Unit
from schemas.errors import ReferenceDataError
from tests.unit.test_tariff_refusals import GOOD, write

EXAMPLE = Path(reference_data.tariffs.__file__).parent / "examples" / "tariffs"
TARIFFS = load_tariffs(EXAMPLE)


def run(*arguments):
    return CliRunner().invoke(app, ["tariff", *map(str, arguments)])


def test_a_compiled_file_is_the_tariff_it_was_made_from(tmp_path):
    assert hash_of(TARIFFS) == TARIFFS.content_hash
    assert dump(TARIFFS) == dump(load_tariffs(EXAMPLE))
    found = run("compile", EXAMPLE, "--out", tmp_path / "out")
    assert found.exit_code == 0
    path = next((tmp_path / "out").glob("tariff-*.npz"))
    assert TARIFFS.content_hash in found.stdout
    assert path.stat().st_mode & 0o222 == 0
    loaded = load(path)
    assert loaded.content_hash == TARIFFS.content_hash
    assert loaded.versions == TARIFFS.versions
    assert all((a == b).all() and not a.flags.writeable for a, b in zip(loaded.tables, TARIFFS.tables, strict=True))
    assert run("compile", EXAMPLE, "--out", tmp_path / "out").exit_code == 0  # it is there already


def test_a_compiled_file_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "t.npz"
    with zipfile.ZipFile(path, "w") as changed:
        whole = tmp_path / "whole.npz"
        whole.write_bytes(dump(TARIFFS))
        with zipfile.ZipFile(whole) as archive:
            for name in archive.namelist():
                part = bytearray(archive.read(name))
                if name == "SLOT_PRICE.npy":
                    part[-8] ^= 1
                changed.writestr(name, bytes(part))
    with pytest.raises(ReferenceDataError, match="was changed"):
        load(path)


def test_a_file_that_is_no_compiled_tariff_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("prefix,zone")
    np.savez(tmp_path / "other.npz", about=np.zeros(3, np.uint8))
    for name in ("text.npz", "other.npz", "none.npz"):
        with pytest.raises(ReferenceDataError, match="is no compiled tariff"):
            load(tmp_path / name)


CHANGES = {
    "price": ("{unit: second, slots: [{price: 0.10, per: 60", "{unit: second, slots: [{price: 0.12, per: 60",
              ["plan basic: voice to near: 0.10/min -> 0.12/min",
               "plan basic: voice to any zone, calm: 0.10/min -> 0.12/min",
               "plan basic: voice to any zone, peak: 0.10/min -> 0.12/min"]),
    "fee": ("cheap: {unit: second,", "cheap: {unit: second, connect_fee: 0.05,",
            ["plan basic: voice to near: connect fee none -> 0.05",
             "plan basic: voice to any zone, calm: connect fee none -> 0.05",
             "plan basic: voice to any zone, peak: connect fee none -> 0.05"]),
    "step": ("slots: [{price: 0.09}]", "slots: [{price: 0.09, step: 2}]",
             ["plan basic: sms: 0.09/message -> 0.09/message in steps of 2 messages"]),
    "no longer priced": ("      - {service: sms, rate: text}\n", "",
                         ["plan basic: sms: no longer priced, was 0.09/message"]),
    "a price of its own": ("      - {service: sms, rate: text}\n", "      - {service: sms, rate: text}\n"
                           "      - {service: sms, zones: [far], rate: text}\n",
                           ["plan basic: sms to far: new price, 0.09/message"]),
    "allowance": ("amount: 100,", "amount: 2 min,", ["plan basic: allowance minutes: amount 100 s -> 2 min"]),
    "rounding": ("decimals: 4", "decimals: 2", ["plan basic: decimals 4 -> 2"]),
    "plan": ("  basic:", "  simple:", ["plan basic: no longer offered", "plan simple: new, 3 prices"]),
    "zone": ("Europe/Berlin", "Europe/Paris", ["the version: time zone: Europe/Berlin -> Europe/Paris"]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_told_in_words_and_money(case, tmp_path):
    old, new, expected = CHANGES[case]
    assert old in GOOD
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write(tmp_path / "a", GOOD)
    write(tmp_path / "b", GOOD.replace(old, new, 1))
    left, right = (load_tariffs(tmp_path / side).versions[0] for side in "ab")
    assert sorted(map(str, compare(left, right))) == sorted(expected)
    assert compare(left, left) == compare(right, right) == []
    found = run("diff", tmp_path / "a", tmp_path / "b")
    assert found.exit_code == 1
    assert all(line in found.stdout for line in expected)
    assert run("diff", tmp_path / "a", tmp_path / "a").exit_code == 0


def test_prefixes_that_move_are_told_and_counted(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write(tmp_path / "a", GOOD)
    write(tmp_path / "b", GOOD, "prefix,zone\n49,far\n33,far\n1,near\n" + "".join(f"44{n},near\n" for n in range(7)))
    found = run("diff", tmp_path / "a", tmp_path / "b").stdout
    assert "deck main: 1 prefix changes zone: 49 near -> far" in found
    assert "deck main: 8 prefixes added: 1 near, 440 near, 441 near, 442 near, 443 near and 3 more" in found


def test_versions_of_one_folder_are_compared_by_name(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "t")
    text = (EXAMPLE / "2026.yaml").read_text()
    (tmp_path / "t" / "2027.yaml").write_text(text.replace('"2026"', '"2027"').replace("2026-01-01", "2027-01-01")
                                              .replace("price: 0.09", "price: 0.08"))
    assert "sms home or roaming: 0.09/message -> 0.08/message" in run("diff", tmp_path / "t").stdout
    assert "0.08/message -> 0.09/message" in run("diff", tmp_path / "t", "--from", "2027", "--to", "2026").stdout
    assert isinstance(run("diff", tmp_path / "t", "--from", "2030").exception, ReferenceDataError)
    assert isinstance(run("diff", EXAMPLE).exception, ReferenceDataError)


def test_prices_can_be_read_by_plan_and_by_number():
    whole = run("show", EXAMPLE).stdout
    assert "voice to national, mobile" in whole
    assert "0.10/min in steps of 1 min, from 1 min: 0.10/min, connect fee 0.05" in " ".join(whole.split())
    assert "allowance minutes: unit second, amount 100 min" in whole
    number = run("show", EXAMPLE, "--number", "+4915112345678", "--at", "2026-06-01T21:00:00").stdout
    assert [line.split()[:5] for line in number.splitlines() if "prepaid-basic" in line] == [
        ["prepaid-basic", "voice", "mobile", "4915", "off_peak"],
        ["prepaid-basic", "sms", "mobile", "4915", "0.09/message"]]
    assert "0.03 EUR for a minute" in number
    assert "covered by minutes" in number
    assert isinstance(run("show", EXAMPLE, "--plan", "gold").exception, ReferenceDataError)
    assert isinstance(run("show", EXAMPLE, "--at", "1999-01-01").exception, ReferenceDataError)


@pytest.mark.parametrize(("quantity", "unit", "words"), [
    (90, Unit.SECOND, "90 s"), (120, Unit.SECOND, "2 min"), (86_400, Unit.SECOND, "1 d"), (0, Unit.SECOND, "0 s"),
    (1 << 20, Unit.OCTET, "1 MiB"), (10**6, Unit.OCTET, "1 MB"), (1001, Unit.OCTET, "1,001 B"),
    (1, Unit.MESSAGE, "1 message"), (2, Unit.UNIT, "2 units"), (1_500_000_000, Unit.MONEY, "1.50")])
def test_quantities_are_written_with_their_unit(quantity, unit, words):
    assert quantity_words(quantity, unit) == words


def test_a_fraction_is_a_decimal_where_it_can_be():
    assert [fraction_words(Fraction(f)) for f in ("1/4", "20", "-1/8", "1/3")] == ["0.25", "20", "-0.125", "1/3"]
