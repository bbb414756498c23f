"""The table of `tarifa quote`: what a reader needs to follow a price by eye, at no more than 100 columns."""

import json

from typer.testing import CliRunner

from pipelines.apps.cli import app

TARIFF = """
version: x
active_from: 2026-01-01T00:00:00
time_zone: Europe/Berlin
currency: EUR
decks: {main: main.csv}
rates: {r: {unit: second, connect_fee: 0.05, minimum_charge: 0.20, maximum_charge: 0.30,
  slots: [{price: 0.10, per: 60, step: 60}]}}
plans: {p: {allowances: [{name: a, unit: second, amount: 60, cycle: month, zones: [europe], rollover: {cap: 10}}],
  prices: [{service: voice, rate: r}]}}
"""


def table(tmp_path, *events, balances):
    for name, text in {"x.yaml": TARIFF, "main.csv": "prefix,zone\n49,national\n33,europe\n"}.items():
        (tmp_path / "t").mkdir(exist_ok=True)
        (tmp_path / "t" / name).write_text(text)
    (tmp_path / "e.jsonl").write_text("\n".join(json.dumps(
        {"service": "voice", "time": "2026-06-01T12:00:00", "called": "+4930123456", **event}) for event in events))
    (tmp_path / "b.json").write_text(json.dumps(balances))
    told = CliRunner().invoke(app, ["quote", "--tariff", str(tmp_path / "t"), "--events", str(tmp_path / "e.jsonl"),
                                    "--balances", str(tmp_path / "b.json")])
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert max(len(line) for line in lines) <= 100
    return lines


def test_limits_and_earlier_reports_are_told(tmp_path):
    lines = table(tmp_path, {"duration": 1, "session": "s"}, {"duration": 300, "session": "s"},
                  balances={"only": {"plan": "p", "balance": "9"}})
    assert "account" not in lines[0]
    assert "      minimum charge: 0.20 instead of 0.15" in lines
    assert "      maximum charge: 0.30" in lines
    assert "      0.30 so far, 0.20 of it before" in lines


def test_several_accounts_have_a_column_and_payers_a_line(tmp_path):
    lines = table(tmp_path, {"account": "kid", "duration": 60}, {"account": "mum", "duration": 60}, balances={
        "kid": {"plan": "p", "balance": "0.05", "shared_account": "mum"}, "mum": {"plan": "p", "balance": "9"}})
    assert lines[0].split()[:3] == ["line", "event", "account"]
    assert [line.split()[2] for line in lines if line[0] in "12" and "line-" in line] == ["kid", "mum"]
    assert "      account mum paid too: 8.85 left" in lines


def test_buckets_of_one_name_say_their_cycles(tmp_path):
    lines = table(tmp_path, {"called": "+33123", "duration": 1}, {"called": "+33123", "duration": 15,
                  "time": "2026-07-01T12:00:00"}, balances={"x": {"plan": "p", "balance": "9"}})
    assert "      bucket a: carried over to 2026-07-01, 10 used, 0 seconds left" in lines
    assert "      bucket a: cycle of 2026-07-01, 5 used, 55 seconds left" in lines
