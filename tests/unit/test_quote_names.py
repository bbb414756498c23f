"""What a newcomer writes into a quote: accounts and sessions by any name, fields by other systems' names."""

import json
from pathlib import Path

import pytest

import reference_data.tariffs
from pipelines.quoting import quote_files
from reference_data.tariffs.compile import load_tariffs
from schemas.errors import ReferenceDataError

TARIFFS = load_tariffs(Path(reference_data.tariffs.__file__).parent / "examples" / "tariffs")
NOON = "2026-06-01T12:00:00"
CALL = {"service": "voice", "time": NOON, "duration": 60, "called": "+4930123456"}  # 0.05 + 0.10
ACCOUNT = {"plan": "prepaid-basic", "balance": "1.00"}


def ask(tmp_path, *lines, balances=None):
    (tmp_path / "e.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    if balances is not None:
        (tmp_path / "b.json").write_text(json.dumps(balances))
    return quote_files(TARIFFS, tmp_path / "e.jsonl", tmp_path / "b.json" if balances is not None else None, None)


@pytest.mark.parametrize("balances", [{"7": ACCOUNT}, [{"account": 7, **ACCOUNT}], [{"account_id": "7", **ACCOUNT}]])
@pytest.mark.parametrize("name", [7, "7"])
def test_an_account_is_its_number_also_where_that_is_text(balances, name, tmp_path):
    """The keys of a JSON object are text whatever they stand for."""
    found = ask(tmp_path, {**CALL, "account": name}, {"kind": "top_up", "time": NOON, "amount": 1, "account": name},
                balances=balances)
    assert [(r["status"], r["account"], r["balance"]) for r in found.results] == [
        ("rated", name, "0.85"), ("applied", name, "1.85")]


def test_numbers_with_leading_zeros_are_names(tmp_path):
    found = ask(tmp_path, {**CALL, "account": "007"}, balances={"007": ACCOUNT, "7": {**ACCOUNT, "balance": "5"}})
    assert found.results[0]["balance"] == "0.85"


def test_one_account_twice_by_two_spellings_is_refused(tmp_path):
    with pytest.raises(ReferenceDataError, match="appears twice"):
        ask(tmp_path, CALL, balances=[{"account": 7, **ACCOUNT}, {"account": "7", **ACCOUNT}])


def test_a_name_of_a_session_is_of_one_account_and_one_service(tmp_path):
    part = {**CALL, "session": "s"}
    found = ask(tmp_path, {**part, "account": "a"}, {**part, "account": "b"},
                {"service": "sms", "time": NOON, "called": "+4930123456", "session": "s", "account": "a"},
                {**part, "account": "a", "time": "2026-06-01T12:01:00"}, balances={"a": ACCOUNT, "b": ACCOUNT})
    assert [r["charge"] for r in found.results] == ["0.15", "0.15", "0.09", "0.10"]


def test_sessions_of_plans_without_accounts_are_apart_too(tmp_path):
    found = ask(tmp_path, *({**CALL, "session": "s", "plan": plan, "called": "+33123456"} for plan in (
        "prepaid-basic", "postpaid-family")))
    assert [r["charge"] for r in found.results] == ["0.64", "0.64"]  # 0.15 + 0.49


@pytest.mark.parametrize(("written", "meant"), [
    ("b_number", "called"), ("destination", "called"), ("start_time", "time"), ("seconds", "duration"),
    ("bytes", "octets"), ("MSISDN", "account"), ("plmn", "serving_network"), ("session_id", "session")])
def test_other_systems_names_are_told_as_ours(written, meant, tmp_path):
    with pytest.raises(ReferenceDataError, match=rf"field '{written}': an unknown field; expected '{meant}'"):
        ask(tmp_path, {**CALL, "plan": "prepaid-basic", written: 5})


def test_octets_beside_their_two_sides_are_said_to_be_too_much(tmp_path):
    with pytest.raises(ReferenceDataError, match="field 'octets': a second quantity beside 'uplink'"):
        ask(tmp_path, {"plan": "prepaid-basic", "service": "data", "time": NOON, "octets": 1, "uplink": 1})


@pytest.mark.parametrize(("command", "said"), [
    ({"kind": "top_up", "amount": "-5"}, "amount '-5', expected more than zero"),
    ({"kind": "top_up", "amount": "0.0000000001"}, "amount '0.0000000001', expected decimal text"),
    ({"kind": "top_up", "amount": 5, "currency": "USD"}, "currency 'USD', expected the account's, EUR"),
    ({"kind": "grant", "bucket": "gift"}, "bucket 'gift', expected one of none"),
    ({"kind": "plan_change", "plan": "gold"}, "plan 'gold', expected one of postpaid-family, prepaid-basic"),
    ({"kind": "state", "state": "dead"}, "state 'dead', expected one of active, barred")])
def test_a_refused_command_says_which_field_is_wrong(command, said, tmp_path):
    result = ask(tmp_path, {"account": "a", "time": NOON, **command}, balances={"a": ACCOUNT}).results[0]
    assert (result["status"], result["reason"]) == ("refused", "bad_command")
    assert result["explanation"].startswith(said)


def test_a_fee_of_a_transfer_may_be_a_whole_number(tmp_path):
    rich = {**ACCOUNT, "balance": "9"}
    found = ask(tmp_path, {"kind": "transfer", "account": "a", "to_account": "b", "time": NOON, "amount": 5, "fee": 1},
                balances={"a": rich, "b": rich})
    assert (found.results[0]["status"], found.results[0]["balance"]) == ("applied", "3.00")
