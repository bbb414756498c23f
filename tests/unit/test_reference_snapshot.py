"""The operator's folder: what is read, what is refused and how, and one hash for one content."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mediation.kernels.tokens import addresses_nb
from reference_data.inventory import ACCOUNTS, PLANS, check_accounts, check_plans
from reference_data.kernels.texts import tokens_nb
from reference_data.streams import FileName
from reference_data.tables import read_table
from schemas.codes import Identity
from schemas.columns import ABSENT
from schemas.errors import ReferenceDataError
from tests.small_operator import NOON, SECOND, STREAMS, TOKEN_KEY, Reference, Text, account, times


def refusal(reference: Reference, folder: Path) -> str:
    with pytest.raises(ReferenceDataError) as caught:
        reference.load(folder)
    return str(caught.value)


@pytest.mark.parametrize(("part", "change", "words"), [
    ("operator", {"lanes": "many"}, "operator.yaml, lanes: expected `int`, got `str`"),
    ("operator", {"lanes": 0}, "operator.yaml, lanes: 0; expected 1 to 4096"),
    ("operator", {"home_plmn": "1"}, "home_plmn"), ("operator", {"country_code": "+49"}, "country_code"),
    ("operator", {"currency": "euro"}, "ISO 4217"), ("operator", {"time_zone": "Mars/Base"}, "IANA"),
    ("operator", {"colour": "red"}, "colour"),
    ("number_plan", {"country_code": "49"}, "that of operator.yaml, '999'"),
    ("number_plan", {"networks": [{"prefix": "34"}]}, "networks"),
])
def test_a_wrong_key_is_named_with_its_file(tmp_path: Path, part: str, change: dict[str, Any], words: str) -> None:
    reference = Reference()
    getattr(reference, part).update(change)
    assert words in refusal(reference, tmp_path)


@pytest.mark.parametrize(("change", "words"), [
    ({"role": "judge"}, "role"), ({"filter": ["everything"]}, "zero_usage"), ({"sources": ""}, "folder name"),
    ({"file_name": "("}, "regular expression"), ({"file_name": "(?P<node>.*)"}, "'sequence' and 'time'"),
    ({"merge": {"timeout_s": 0}}, "at least a second"), ({"merge": {"policy": "never"}}, "policy"),
    ({"clock_tolerance_s": -1}, "zero or more"), ({"limits": {"octets": 0}}, "positive"),
    ({"limits": {"octets": 1 << 60}}, "2^53"), ({"charge_node": {"record_types": ["cscf"]}}, "ims_s_cscf"),
    ({"name": "data"}, "each stream once"),
])
def test_a_stream_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    reference = Reference()
    reference.streams[0].update(change)
    assert words in refusal(reference, tmp_path)


@pytest.mark.parametrize(("part", "rows", "words"), [
    ("accounts", [account(1), account(1)], "appears twice"), ("accounts", [account(1, anchor_day=32)], "anchor_day"),
    ("accounts", [account(1, payment="barter"), account(2)], "prepaid, postpaid"),
    ("accounts", [account(1, opening_balance="ten"), account(2)], "opening_balance"),
    ("accounts", [account(1, opening_balance="99999999999"), account(2)], "9.2 billion"),
    ("accounts", [account(1, shared_account_id=9), account(2)], "shared_account_id"),
    ("services", [{"service_id": 11, "account_id": 9, "kind": "m", **times()}], "accounts.parquet does not have"),
    ("resources", [{"kind": "msisdn", "value": "1", "service_id": 99, **times()}], "services.parquet does not have"),
    ("resources", [{"kind": "shoe", "value": "1", "service_id": 11, **times()}], "msisdn, imsi, ip_address"),
    ("resources", [{"kind": "msisdn", "value": "12a", "service_id": 11, **times()}], "no number or address"),
    ("resources", [{"kind": "ip_address", "value": "1.2.3", "service_id": 11, **times()}], "no number or address"),
    ("resources", [{"kind": "msisdn", "value": "1", "service_id": 11, **times(NOON, NOON - 1)}], "valid_to is before"),
    ("resources", [{"kind": "msisdn", "value": "1", "service_id": n, **times()} for n in (11, 12)], "one holder"),
    ("plans", [{"account_id": 9, "plan": "basic", **times()}], "accounts.parquet does not have"),
])
def test_rows_that_contradict_each_other_are_refused(tmp_path: Path, part: str, rows: list[Any], words: str) -> None:
    assert words in refusal(Reference(**{part: rows}), tmp_path)


def test_no_refusal_shows_a_number(tmp_path: Path) -> None:
    rows = [{"kind": "msisdn", "value": "99970000000x", "service_id": 11, **times()}]
    assert "9997" not in refusal(Reference(resources=rows), tmp_path)


def test_a_missing_file_column_or_zone_is_named(tmp_path: Path) -> None:
    folder = Reference().write(tmp_path)
    table = pq.read_table(folder / "plans.parquet")
    from reference_data.snapshot import load_snapshot
    for broken, words in ((table.drop_columns("plan"), "no column plan"),
                          (table.set_column(2, "valid_from", table["valid_from"].cast(pa.timestamp("us"))), "a zone"),
                          (table.set_column(1, "plan", pa.nulls(2, pa.string())), "2 nulls")):
        pq.write_table(broken, folder / "plans.parquet")
        with pytest.raises(ReferenceDataError, match=words):
            load_snapshot(folder, TOKEN_KEY)
    (folder / "plans.parquet").unlink()
    with pytest.raises(ReferenceDataError, match=r"plans\.parquet is not in"):
        load_snapshot(folder, TOKEN_KEY)
    (folder / "operator.yaml").write_text("a: [")
    with pytest.raises(ReferenceDataError, match="no YAML"):
        load_snapshot(folder, TOKEN_KEY)


def test_the_hash_ignores_the_order_of_rows_and_sees_every_cell(tmp_path: Path) -> None:
    def hashed(name: str, **changes: Any) -> str:
        folder = tmp_path / name
        folder.mkdir()
        return Reference(**changes).load(folder).content_hash

    usual, base = Reference(), hashed("base")
    first, second, third, fourth = usual.resources
    assert hashed("rows", resources=usual.resources[::-1], accounts=usual.accounts[::-1],
                  plans=usual.plans[::-1]) == base
    plan = usual.number_plan | {"emergency": ["110", "112"], "networks": usual.number_plan["networks"][::-1]}
    assert hashed("lists", number_plan=plan) == base
    others = [hashed("money", accounts=[account(1, opening_balance="10.01"), account(2)]),
              hashed("null", accounts=[account(1, state=None), account(2)]),
              hashed("swapped", resources=[first | {"value": third["value"]}, second, third | {"value": first["value"]},
                                           fourth]),
              hashed("stream", streams=[*STREAMS[:-1], STREAMS[-1] | {"clock_tolerance_s": 7}])]
    assert len({base, *others}) == 5


def test_the_arrays_of_a_snapshot_cannot_be_written(tmp_path: Path) -> None:
    snapshot = Reference().load(tmp_path)
    for array in (snapshot.inventory.holders.rows, snapshot.inventory.accounts.group_id, snapshot.number_plan.rules):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_accounts_carry_their_money_exactly(tmp_path: Path) -> None:
    accounts = [account(2, opening_balance="0.000000001", credit_limit=None), account(1, opening_balance="-12.5")]
    inventory = Reference(accounts=accounts).load(tmp_path).inventory
    assert inventory.accounts.account_id.tolist() == [1, 2]
    path = tmp_path / "accounts.parquet"
    checked = check_accounts(read_table(path, ACCOUNTS), path)
    assert checked.opening_balance_nanos.tolist() == [-12_500_000_000, 1]
    assert checked.credit_limit_nanos.tolist() == [0, 0]
    assert inventory.account_rows(np.array([2, 3])).tolist() == [1, -1]


def test_a_files_name_tells_sequence_and_time(tmp_path: Path) -> None:
    reference = Reference()
    reference.streams[0]["file_name"] = r"msc-\d+_(?P<sequence>\d{6})_(?P<time>\d{14})\.ber"
    stream = reference.load(tmp_path).streams.match("msc-07")
    assert stream is not None and stream.name == "voice"
    assert stream.read_name("msc-07_000012_20261021120000.ber") == FileName(12, NOON)
    assert stream.read_name("msc-07_000012_20261341120000.ber") == FileName()
    assert stream.read_name("other") == FileName()


@pytest.mark.parametrize(("one", "other"), [
    ("10.1.2.3", bytes([10, 1, 2, 3])), ("2001:db8::1", bytes.fromhex("20010db8000000000000000000000001")),
    ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"), ("::", bytes(16)), ("::1", "0:0:0:0:0:0:0:1"), ("fe80::", "FE80:0::0"),
    ("1:2:3:4:5:6:7:8", bytes.fromhex("00010002000300040005000600070008")), ("1::8", "1:0:0:0:0:0:0:8"),
])
def test_an_address_has_one_value_however_it_is_written(one: str | bytes, other: str | bytes) -> None:
    text = Text()
    raw = np.array([text.at(one), text.at(other), text.at("10.1.2.256"), text.at("1:2"), text.at("1::2::3")], np.int64)
    value, reference = np.empty(5, np.int64), np.empty(5, np.int64)
    addresses_nb(text.buffer, raw, np.ones(5, np.int64), value, reference)
    assert value[0] == value[1] >= 0
    assert value[2:].tolist() == [-1, -1, -1]
    if isinstance(one, str):  # the inventory reads it the same way
        token = np.empty(2, np.int64)
        octets = np.frombuffer(one.encode() * 2, np.uint8)
        tokens_nb(octets, np.array([0, len(one), 2 * len(one)]), np.full(2, int(Identity.IP_ADDRESS)), np.uint64(1),
                  np.uint64(2), token)
        assert token[0] == token[1] != ABSENT


def test_times_are_read_in_utc_microseconds(tmp_path: Path) -> None:
    reference = Reference(plans=[{"account_id": 1, "plan": "basic", **times(NOON, NOON + SECOND)}])
    reference.load(tmp_path)
    files = {name: (read_table(tmp_path / f"{name}.parquet", declared), tmp_path / f"{name}.parquet")
             for name, declared in (("accounts", ACCOUNTS), ("plans", PLANS))}
    plans = check_plans(*files["plans"], check_accounts(*files["accounts"]))
    assert (plans.valid_from_us.tolist(), plans.valid_to_us.tolist()) == ([NOON], [NOON + SECOND])
