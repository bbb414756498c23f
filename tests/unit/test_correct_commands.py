"""`tarifa rerate`, `backout`, `whatif` and `compare` as an operator types them, over one call of 1.62."""

import re
import shutil
from pathlib import Path

import duckdb
import pytest

from tests.tiny_network import ANNA, Network, call
from tests.unit.test_operations import Capture, tarifa


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Network:
    network = Network(tmp_path_factory.mktemp("corrected"))
    network.deliver([call(1, seconds=130)])
    network.run()
    return network


@pytest.fixture
def own(ran: Network, tmp_path: Path) -> Network:
    shutil.copytree(ran.root, tmp_path / "net")
    copy = Network.__new__(Network)
    copy.root, copy.reference = tmp_path / "net", ran.reference
    return copy


def balance(network: Network) -> int:
    return int(network.ask("SELECT amount FROM balance WHERE account_id = 1 AND unit = 'money'")[0][0])


def test_a_deck_is_mended_and_the_past_follows(own: Network, capsys: Capture) -> None:
    before = balance(own)
    text = tarifa(capsys, "rerate", "--dry-run", *own.arguments)
    assert "Nothing differs" in text
    own.edit("tariffs/2026.yaml", "price: 0.49", "price: 0.29")  # three minutes begun: 0.60 less
    day = ("--from", "2026-10-21", "--to", "2026-10-22")
    assert "Nothing differs: no usage" in tarifa(capsys, "rerate", "--to", "2026-10-21", "--dry-run", *own.arguments)
    assert "no such account" in tarifa(capsys, "rerate", "--accounts", "999", "--dry-run", *own.arguments)
    nowhere = str(own.root / "nowhere" / "home")
    assert f"no home at {nowhere}" in tarifa(capsys, "rerate", "--dry-run", "--home", nowhere, status=2)
    text = tarifa(capsys, "rerate", *day, "--dry-run", *own.arguments)
    assert "Nothing was committed" in text and "-0.60" in text and balance(own) == before
    assert "--why" in tarifa(capsys, "rerate", *day, *own.arguments, status=2)
    text = tarifa(capsys, "rerate", *day, "--why", "price of September", *own.arguments)
    assert "Committed" in text and "-0.60" in text
    assert balance(own) == before + 600_000_000
    assert own.ask("SELECT revision, charge_nanos FROM rated ORDER BY 1") == [
        (0, 1_620_000_000), (1, -1_620_000_000), (2, 1_020_000_000)]
    assert own.ask("SELECT charge_nanos FROM rated_current") == [(1_020_000_000,)]
    assert own.ask("SELECT sum(amount) FROM posting WHERE reason = 'rerate'") == [(0,)]
    own.check_laws()
    for wrong, told in ((("--from", "soon"), "2026-10-21"), (("--accounts", "anna"), "numbers"),
                        (("--from", "2026-10-22", "--to", "2026-10-21"), "not before")):
        assert told in tarifa(capsys, "rerate", *wrong, "--dry-run", *own.arguments, status=2)


def test_a_file_is_backed_out_by_name(own: Network, capsys: Capture) -> None:
    before = balance(own)
    [name] = [path.name for path in (own.root / "inbox" / "voip-01").iterdir()]
    assert "Nothing was committed" in tarifa(capsys, "backout", "--file", name, "--dry-run", *own.arguments)
    text = tarifa(capsys, "backout", "--file", name, "--why", "test traffic", *own.arguments)
    assert "-1.62" in text and balance(own) == before + 1_620_000_000
    assert own.ask("SELECT count(*) FROM rated_current") == [(0,)]
    own.check_laws()


def test_what_if_compares_by_plan_and_writes_files(own: Network, tmp_path: Path, capsys: Capture) -> None:
    shutil.copytree(own.root / "operator" / "tariffs", tmp_path / "dear")
    text = (tmp_path / "dear" / "2026.yaml").read_text()
    (tmp_path / "dear" / "2026.yaml").write_text(text.replace("price: 0.49", "price: 0.99"))
    before = own.ask("SELECT count(*) FROM ledger_entries")
    said = tarifa(capsys, "whatif", "--tariff", str(tmp_path / "dear"), "--out", str(tmp_path / "out"), *own.arguments)
    assert re.search(r"prepaid-basic\s+1\.62\s+3\.12\s+1\.50\s+\+92\.5", said), said
    assert own.ask("SELECT count(*) FROM ledger_entries") == before
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT side, zone, charge_nanos FROM '{tmp_path}/out/revenue.parquet' ORDER BY 1"
                                  ).fetchall() == [("actual", "europe", 1_620_000_000),
                                                   ("whatif", "europe", 3_120_000_000)]


def test_an_incumbents_file_is_compared(own: Network, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "bills.csv").write_text(f"A;EUR\n+{ANNA.lstrip('+')};1.93\n")
    (tmp_path / "map.yaml").write_text('match: [{ours: msisdn, theirs: A}]\ndelimiter: ";"\ncharge: {column: EUR}\n'
                                       'tax_percent: ["19"]\n')
    said = tarifa(capsys, "compare", "--incumbent", str(tmp_path / "bills.csv"), "--map", str(tmp_path / "map.yaml"),
                  *own.arguments)
    assert "tax" in said and "0.31" in said and ANNA.lstrip("+") not in said
