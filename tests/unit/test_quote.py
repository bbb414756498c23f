"""`tarifa quote`: events and accounts as people write them, priced by the code that charges, and what is refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import reference_data.tariffs
from pipelines.apps.cli import app
from pipelines.quoting import quote_files
from reference_data.tariffs.compile import load_tariffs
from schemas.errors import ReferenceDataError

EXAMPLE = Path(reference_data.tariffs.__file__).parent / "examples" / "tariffs"
TARIFFS = load_tariffs(EXAMPLE)
NOON = "2026-06-01T12:00:00"  # a Monday; local time of the tariff
CALL = {"plan": "prepaid-basic", "service": "voice", "time": NOON, "duration": 61, "called": "+4930123456"}


def ask(tmp_path, *lines, balances=None, breakdown=None, operator=None):
    events = tmp_path / "events.jsonl"
    events.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    book = None
    if balances is not None:
        book = tmp_path / "balances.json"
        book.write_text(json.dumps(balances))
    return quote_files(TARIFFS, events, book, operator, breakdown)


def test_an_event_costs_what_charging_would_post(tmp_path):
    found = ask(tmp_path, CALL)
    result = found.results[0]
    assert (result["charge"], result["connect_fee"], result["zone"], result["bands"]) == (
        "0.1517", "0.05", "national", ["peak"])
    assert [(p["from"], p["steps"]) for p in result["breakdown"]["pieces"]] == [(0, 1), (60, 1)]
    assert result["breakdown"]["session_exact"] == "91/600"
    assert result["balance"] == "-0.1517"
    assert found.totals["charge"] == {"EUR": "0.1517"}
    assert found.failed == 0


@pytest.mark.parametrize("written", [
    {"duration": "1m1s"}, {"duration": "61"}, {"duration": "61 s"}, {"duration": "0:01:01"}, {"quantity": 61},
    {"time": "2026-06-01T12:00:00+02:00"}, {"time": "2026-06-01T10:00:00Z"}, {"called": "4930123456"},
    {"called": "+49 (30) 123-456"}, {"called": 4930123456}, {"direction": "originating"}, {"kind": "usage"}])
def test_one_call_may_be_written_in_several_ways(written, tmp_path):
    event = {key: value for key, value in CALL.items() if not (key == "duration" and "quantity" in written)} | written
    assert ask(tmp_path, event).results[0]["charge"] == "0.1517"


def test_octets_may_be_written_whole_or_by_direction(tmp_path):
    base = {"plan": "prepaid-basic", "service": "data", "time": NOON, "apn": "internet"}
    found = ask(tmp_path, base | {"octets": 1 << 20}, base | {"octets": "1 MiB"}, base | {"octets": "1024KiB"},
                base | {"uplink": "24 KiB", "downlink": "1000 KiB"})
    assert [r["charge"] for r in found.results] == [found.results[0]["charge"]] * 4


def test_reports_of_a_session_pay_the_connect_fee_once(tmp_path):
    part = CALL | {"session": "s", "duration": 30}
    found = ask(tmp_path, part, part | {"duration": 20, "time": "2026-06-01T12:00:30"},
                part | {"duration": 11, "time": "2026-06-01T12:00:50"})
    assert [r["charge"] for r in found.results] == ["0.15", "0.00", "0.0017"]
    assert found.results[1]["session_quantity_before"] == 30


def test_commands_between_the_events_move_the_same_balances(tmp_path):
    call = {k: v for k, v in CALL.items() if k != "plan"} | {"account": "anna"}
    found = ask(tmp_path, call, {"kind": "top_up", "account": "anna", "time": NOON, "amount": "5", "currency": "EUR"},
                call, balances=[{"account": "anna", "plan": "prepaid-basic", "balance": "0.10"}])
    assert [r.get("uncollected") for r in found.results] == ["0.0517", None, "0.00"]
    assert [r["balance"] for r in found.results] == ["0.00", "5.00", "4.8483"]
    assert found.results[1]["status"] == "applied"
    assert found.balances == [{"account": "anna", "currency": "EUR", "balance": "4.8483", "buckets": []}]


def test_buckets_of_the_balances_file_pay_first_and_tell_what_is_left(tmp_path):
    call = {k: v for k, v in CALL.items() if k != "plan"}
    found = ask(tmp_path, call, call, balances={"accounts": [
        {"account": 7, "plan": "postpaid-family", "credit_limit": "50",
         "buckets": [{"bucket": "minutes", "remaining": "3 min"}]}]})
    assert found.results[0]["buckets"] == [{"account": 7, "bucket": "minutes", "unit": "second",
                                            "plan": "postpaid-family", "cycle_from": "2026-06-01", "used": 120,
                                            "remaining": 60}]
    assert [r["charge"] for r in found.results] == ["0.00", "0.0005"]
    assert found.results[1]["balance"] == "-0.0005"


def test_what_cannot_be_priced_says_why_and_the_rest_goes_on(tmp_path):
    found = ask(tmp_path, CALL | {"called": "+999123456"}, CALL | {"time": "2025-06-01T12:00:00"}, CALL)
    assert [r.get("reason") for r in found.results] == ["no_zone", "no_tariff", None]
    assert found.failed == 2
    assert found.totals["not_priced"] == 2


def test_emergency_calls_are_free_without_a_number_plan(tmp_path):
    assert ask(tmp_path, CALL | {"called": "112"}).results[0]["charge"] == "0.00"


def test_what_the_author_expects_is_compared(tmp_path):
    found = ask(tmp_path, CALL | {"expect": "0.151700"}, CALL | {"expect": {"zone": "mobile"}})
    assert [r["as_expected"] for r in found.results] == [True, False]
    assert found.results[1]["differences"] == ["zone: national, expected mobile"]
    assert found.failed == 1


@pytest.mark.parametrize(("line", "message"), [
    ("{", "events.jsonl:1, column 2: not JSON"), ("[1]", "events.jsonl:1: list"), ("NaN", "events.jsonl:1: NaN"),
    ('{"service": "voice", "service": "sms"}', "events.jsonl:1, field 'service': given twice"),
    (CALL | {"durration": 3}, "field 'durration': an unknown field; expected 'duration'"),
    ({k: v for k, v in CALL.items() if k != "duration"}, "field 'duration' is missing"),
    (CALL | {"duration": -1}, "field 'duration': -1; expected whole seconds"),
    (CALL | {"duration": 1.5}, "field 'duration': '1.5'; expected whole seconds"),
    (CALL | {"octets": 1}, "field 'octets': a quantity that voice does not count"),
    (CALL | {"service": "fax"}, "field 'service': 'fax'; expected one of voice"),
    (CALL | {"time": "noon"}, "field 'time': 'noon'; expected a time such as"),
    (CALL | {"time": "1066-10-14T09:00:00Z"}, "a time from 1990"),
    (CALL | {"called": "1" * 16}, "16 digits; expected at most 15"),
    (CALL | {"serving_network": "1"}, "field 'serving_network': '1'; expected MCC and MNC"),
    (CALL | {"snssai": "x"}, "field 'snssai'"), (CALL | {"snssai": "128"}, "field 'snssai'"),
    (CALL | {"snssai": {"sst": "1"}}, "field 'snssai'"), (CALL | {"rating_group": -3}, "field 'rating_group': -3"),
    (CALL | {"account": True}, "field 'account': true"), (CALL | {"friend": 1}, "field 'friend': 1; expected true"),
    ({k: v for k, v in CALL.items() if k != "plan"}, "neither a plan nor a balances file"),
    ({"kind": "voice", "time": NOON}, "field 'kind': 'voice', a service"),
    ({"kind": "top_up"}, "field 'time' is missing"), ("", "has no events"),
    ("x" * 70_000, "a line of more than 65,536 octets"), ("[" * 60_000, "nested too deeply")])
def test_a_line_that_cannot_be_read_is_refused_with_line_and_field(line, message, tmp_path):
    with pytest.raises(ReferenceDataError) as refused:
        ask(tmp_path, line)
    assert message in str(refused.value)


GOOD = {"account": 7, "plan": "prepaid-basic"}


@pytest.mark.parametrize(("balances", "message"), [
    ([], "a list of accounts"), ([3], "account 1: 3"), ([{"plan": "prepaid-basic"}], "field 'account' is missing"),
    ([GOOD | {"plan": "gold"}], "'gold', which no tariff version has"), ([GOOD, GOOD], "account 7 appears twice"),
    ([GOOD | {"balance": "ten"}], "account 1, field 'balance': 'ten'; expected decimal text"),
    ([GOOD | {"credit_limit": "-1"}], "expected zero or more"), ([GOOD | {"anchor_day": 32}], "from 1 to 31"),
    ([GOOD | {"time_zone": "Mars"}], "IANA name"), ([GOOD | {"state": "asleep"}], "expected one of pre_active"),
    ([GOOD | {"currency": "XAU"}], "a currency that no tariff version has"),
    ([GOOD | {"shared_account": 7}], "another account of the file"),
    ([GOOD | {"buckets": [{"bucket": "minutes", "remaining": 1}]}], "is no allowance of plan 'prepaid-basic'"),
    ([GOOD | {"ballance": "1"}], "expected 'balance'")])
def test_a_balances_file_that_makes_no_sense_is_refused(balances, message, tmp_path):
    with pytest.raises(ReferenceDataError) as refused:
        ask(tmp_path, CALL, balances=balances)
    assert message in str(refused.value)


def test_balances_may_be_yaml_and_amounts_pass_through_no_float(tmp_path):
    (tmp_path / "b.yaml").write_text("anna: {plan: prepaid-basic, balance: 0.10}\nbert: {plan: prepaid-basic}\n")
    (tmp_path / "e.jsonl").write_text(json.dumps(CALL | {"account": "anna"}) + "\n// a remark\n")
    found = quote_files(TARIFFS, tmp_path / "e.jsonl", tmp_path / "b.yaml", None)
    assert found.results[0]["uncollected"] == "0.0517"


def test_the_command_ends_with_0_1_or_2(tmp_path):
    def run(*lines, form="table"):
        path = tmp_path / "e.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in lines))
        return CliRunner().invoke(app, ["quote", "--tariff", str(EXAMPLE), "--events", str(path), "--format", form])
    good, failed, bad = run(CALL), run(CALL | {"called": "+999123456"}), run({"service": "voice"})
    assert (good.exit_code, failed.exit_code) == (0, 1)
    assert isinstance(bad.exception, ReferenceDataError)  # `main` tells it and ends with 2
    assert "0.1517 EUR" in good.stdout
    assert max(map(len, good.stdout.splitlines())) <= 100
    assert json.loads(run(CALL, form="json").stdout)["results"][0]["charge"] == "0.1517"


COUNTED = """
version: x
active_from: 2026-01-01T00:00:00
time_zone: Europe/Berlin
currency: EUR
decks: {main: main.csv}
rates:
  r: {unit: second, over: minutes, slots: [{price: 0.10, per: 60, step: 60},
      {from: 10 min, price: 0.05, per: 60, step: 60}]}
  text: {unit: message, slots: [{price: 0.10}]}
discounts: {ten: {percent: 10}, cent: {amount: 0.01}}
counters:
  minutes: {unit: second, cycle: month, services: [voice]}
  spent: {charge: true, cycle: month, thresholds: [0.50, 1.00]}
  texts: {events: true, cycle: day, services: [sms], thresholds: [2]}
plans:
  p: {tax: {percent: 19, prices: inclusive}, discounts: [ten, cent], counters: [minutes, spent, texts],
      prices: [{service: voice, rate: r}, {service: sms, rate: text}]}
"""


def counted(tmp_path, *lines, balances, breakdown=None):
    (tmp_path / "x.yaml").write_text(COUNTED)
    (tmp_path / "main.csv").write_text("prefix,zone\n49,national\n")
    (tmp_path / "e.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (tmp_path / "b.json").write_text(json.dumps(balances))
    return quote_files(load_tariffs(tmp_path), tmp_path / "e.jsonl", tmp_path / "b.json", None, breakdown)


def test_counters_discounts_tax_and_thresholds_are_told(tmp_path):
    call, text = ({key: value for key, value in CALL.items() if key != "plan"} | {"account": "a", "duration": 600},
                  {"account": "a", "service": "sms", "time": NOON, "called": "+4930123456"})
    found = counted(tmp_path, call, text, text, balances={"a": {"plan": "p", "balance": "5"}}).results
    # 1.00 less a tenth less a cent; a fifth of 1.19 is tax: 0.89 * 19 / 119
    assert (found[0]["charge"], found[0]["tax"]) == ("0.89", "0.1421")
    assert found[0]["discounts"] == [{"discount": "ten", "taken": "0.10"}, {"discount": "cent", "taken": "0.01"}]
    assert found[0]["counters"] == [{"counter": "minutes", "cycle_from": "2026-06-01", "value": 600},
                                    {"counter": "spent", "cycle_from": "2026-06-01", "value": "0.89"}]
    assert found[0]["notifications"] == [{"account": "a", "counter": "spent", "cycle_from": "2026-06-01",
                                          "threshold": "0.50", "value": "0.89"}]
    assert [n["threshold"] for n in found[2]["notifications"]] == ["1.00", 2]


def test_a_counter_of_the_balances_file_stands_where_it_says(tmp_path):
    call = {key: value for key, value in CALL.items() if key != "plan"} | {"account": "a", "duration": 300}
    balances = {"a": {"plan": "p", "balance": "5", "counters": [{"counter": "minutes", "value": "9 min"},
                                                                {"counter": "spent", "value": "0.80"}]}}
    for breakdown in (True, False):
        found = counted(tmp_path, call, call, balances=balances, breakdown=breakdown)
        assert found.results[0]["charge"] == "0.26"  # a minute at 0.10, four at 0.05, less a tenth, less a cent
        assert "notifications" not in found.results[0] or [
            n["threshold"] for n in found.results[0]["notifications"]] == ["1.00"]
        assert {c["counter"]: c["value"] for c in found.balances[0]["counters"]} == {
            "minutes": 1140, "spent": "1.285"}
    for wrong, message in (({"counter": "miles", "value": 1}, "counter 'miles'; expected one of"),
                           ({"counter": "spent", "value": "much"}, "field 'value'"),
                           ({"counter": "spent"}, "field 'value' is missing")):
        with pytest.raises(ReferenceDataError, match=message):
            counted(tmp_path, call, balances={"a": {"plan": "p", "counters": [wrong]}})


LIVING = """
version: x
active_from: 2026-01-01T00:00:00
time_zone: Europe/Berlin
currency: EUR
decks: {main: main.csv}
rates: {r: {unit: second, slots: [{price: 0.10, per: 60, step: 60}]}}
buckets: {gift: {unit: second, amount: 10 min, validity: 2 d, services: [voice]}}
top_ups: [{from: 10, to: 19.99, bonus: 1.00, extends_validity: 30 d}, {from: 20, bonus_percent: 10, bucket: gift}]
fees: {base: {amount: 3.00, cycle: month}, once: {amount: 1.00, cycle: none}}
plans: {p: {prices: [{service: voice, rate: r}]}, q: {fees: [base, once], prices: [{service: voice, rate: r}]}}
"""


def living(tmp_path, *lines, balances):
    (tmp_path / "x.yaml").write_text(LIVING)
    (tmp_path / "main.csv").write_text("prefix,zone\n49,national\n")
    (tmp_path / "e.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (tmp_path / "b.json").write_text(json.dumps(balances))
    return quote_files(load_tariffs(tmp_path), tmp_path / "e.jsonl", tmp_path / "b.json", None)


def command(kind, **more):
    return {"kind": kind, "account": "anna", "time": NOON, **more}


def test_every_kind_of_command_may_stand_among_the_events(tmp_path):
    found = living(
        tmp_path, command("top_up", amount="10", currency="EUR"), command("top_up", amount=20, currency="EUR"),
        command("transfer", to_account="bert", amount="2.00", currency="EUR", fee="0.10"),
        command("grant", bucket="gift"), command("friend_add", number="+4930999"),
        command("credit_limit", amount="1", currency="EUR"), command("option_add", plan="q"),
        command("share_join", shared_account="bert"), command("share_leave"),
        command("state", state="barred", valid_until="2026-12-31T00:00:00"),
        {"kind": "period_close", "time": NOON, "through": "2026-05-31"}, {"kind": "clock", "time": NOON},
        balances={"anna": {"plan": "p", "balance": "5"}, "bert": {"plan": "p", "balance": "1"}})
    assert [r["status"] for r in found.results] == ["applied"] * 12
    assert [r.get("balance") for r in found.results[:3]] == ["16.00", "38.00", "35.90"]
    assert found.results[3]["buckets"][0] | {"account": 0} == {
        "account": 0, "bucket": "gift", "unit": "second", "grant": 600, "remaining": 600}
    assert [(s["from"], s["to"], s["valid_until"]) for s in found.results[9]["states"]] == [
        ("active", "barred", "2026-12-30T23:00:00Z")]
    assert found.balances[0]["state"] == "barred"
    assert found.balances[1]["balance"] == "3.00"
    assert [b["bucket"] for b in found.balances[0]["buckets"]] == ["gift", "gift"]  # one of the top-up, one granted


def test_accounts_come_with_granted_buckets_and_validity(tmp_path):
    found = living(tmp_path, command("credit_limit", amount="1", currency="EUR"), balances={
        "anna": {"plan": "p", "valid_until": "2026-07-01T00:00:00", "buckets": [
            {"bucket": "gift", "remaining": "2 min", "from": "2026-05-01T00:00:00", "to": "2026-07-01T00:00:00"}]}})
    assert found.balances[0]["buckets"] == [{"bucket": "gift", "unit": "second", "remaining": 120,
                                             "from": "2026-04-30T22:00:00Z", "to": "2026-06-30T22:00:00Z"}]
    assert found.balances[0]["valid_until"] == "2026-06-30T22:00:00Z"


def test_fees_are_debited_when_the_clock_passes(tmp_path):
    found = living(tmp_path, {"kind": "clock", "time": "2026-06-01T00:00:01"},
                   {"kind": "clock", "time": "2026-07-02T00:00:01"}, balances={"anna": {"plan": "q", "balance": "10"}})
    assert [m["amount"] for m in found.results[1]["movements"] if m["of"] == "balance"][-1] == "-3.00"


def test_own_prices_money_buckets_and_refusals_are_told_and_explained(tmp_path):
    cheap = "allowances: [{name: cheap, unit: second, amount: 2 min, cycle: month, price: 0.02, per: 60}], "
    (tmp_path / "x.yaml").write_text(LIVING.replace("plans: {p: {", "plans: {p: {" + cheap)
                                     .replace("buckets: {", "buckets: {cash: {unit: money, amount: 1}, "))
    (tmp_path / "main.csv").write_text("prefix,zone\n49,national\n")
    usage = {"account": "anna", "service": "voice", "time": NOON, "duration": 180, "called": "+4930123456"}
    (tmp_path / "e.jsonl").write_text(json.dumps(usage))
    (tmp_path / "b.json").write_text(json.dumps({"anna": {
        "plan": "p", "balance": "5", "state": "barred", "buckets": [{"bucket": "cash", "remaining": "0.05"}]}}))
    result = quote_files(load_tariffs(tmp_path), tmp_path / "e.jsonl", tmp_path / "b.json", None).results[0]
    assert (result["charge"], result["balance"], result["refusal"]) == ("0.14", "4.91", 4010)  # 2 x 0.02 + 0.10
    assert {b["bucket"]: b["used"] for b in result["buckets"]} == {"cheap": 120, "cash": "0.05"}
    assert result["breakdown"]["agrees"]
    assert [p.get("cost") for p in result["breakdown"]["pieces"]] == ["0.04", "0.10"]


ANNA = {"anna": {"plan": "prepaid-basic", "balance": "1.00"}}


def test_what_is_expected_of_a_command_is_checked(tmp_path):
    top_up = {"kind": "top_up", "time": NOON, "amount": "2.00", "currency": "EUR"}
    found = ask(tmp_path, top_up | {"expect": {"status": "applied", "balance": "3.00"}},
                top_up | {"expect": "refused"}, balances=ANNA)
    assert [r["as_expected"] for r in found.results] == [True, False]
    assert found.results[1]["differences"] == ["status: applied, expected refused"]
    assert found.failed == 1 and found.totals["not_as_expected"] == 1


def test_a_command_is_of_the_only_account_and_in_its_currency(tmp_path):
    found = ask(tmp_path, {"kind": "top_up", "time": NOON, "amount": "2.00"}, balances=ANNA)
    assert (found.results[0]["account"], found.results[0]["status"], found.results[0]["balance"]) == (
        "anna", "applied", "3.00")
    found = ask(tmp_path, {"kind": "top_up", "time": NOON, "amount": "2.00"}, balances=ANNA | {"bert": ANNA["anna"]})
    assert found.results[0]["status"] == "refused"


@pytest.mark.parametrize(("command", "said"), [
    ({"kind": "topup"}, "kind 'topup', expected one of top_up, adjust"), ({"kind": "top_up"}, "top_up without amount"),
    ({"kind": "transfer", "amount": "1"}, "transfer without to_account"),
    ({"kind": "friend_add"}, "friend_add without number")])
def test_a_refused_command_says_what_it_lacks(command, said, tmp_path):
    found = ask(tmp_path, {"account": "anna", "time": NOON, **command}, balances=ANNA)
    assert found.results[0]["status"] == "refused"
    assert found.results[0]["explanation"].startswith(said)
