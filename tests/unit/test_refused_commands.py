"""Command files may hold anything: a line that cannot be carried out is set aside, and nothing stops for it."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.charging.groups import read_fields
from pipelines.charging.node import OPENING
from pipelines.collect import CollectedFile
from pipelines.commands import read_commands, to_journal
from pipelines.home import Home, Input
from pipelines.ledger import Ledger
from pipelines.run import run
from pipelines.sample.generate import generate
from schemas.codes import Reason

CLOCK = {"id": "c", "time": "2026-10-21T00:00:00Z", "kind": "clock"}
BAD = [
    b"garbage", b"{}", b"[]", b'"x"', b"5", b"null", b"\xff\xfe", b"[" * 5000 + b"]" * 5000, b"{" * 70_000,
    *(json.dumps(CLOCK | change).encode() for change in (
        {"kind": "fly"}, {"kind": OPENING, "reference": "x"}, {"kind": ["clock"]}, {"id": 5}, {"id": ""},
        {"id": "\ud800"}, {"time": "nope"}, {"time": 5}, {"time": "9999-12-31T23:59:59Z"},
        {"time": "0001-01-01T00:00:00+14:00"}, {"account_id": "7"}, {"account_id": True}, {"account_id": 10**30},
        {"account_id": -7})),
]


def lines(*content: bytes) -> np.ndarray:
    return np.frombuffer(b"\n".join(content) + b"\n", np.uint8)


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_a_bad_line_is_refused_and_the_journal_gets_a_command_that_does_nothing(line: bytes) -> None:
    good = json.dumps(CLOCK).encode()
    refused, kept = read_commands(lines(line, good))
    assert (refused.reason, refused.kind, kept.reason) == (Reason.BAD_COMMAND, "unreadable", Reason.OK)
    assert list(json.loads(refused.payload)) == ["id"] and kept.payload == good
    assert refused.length == len(line) + 1 and kept.offset == refused.length


@pytest.mark.parametrize("line", [*BAD, json.dumps(CLOCK).encode()], ids=range(len(BAD) + 1))
def test_a_restart_journals_the_same_octets(line: bytes) -> None:
    file = CollectedFile(7, "commands", "x.jsonl", bytes(16), 0)
    first, again = (to_journal(file, read_commands(lines(*content))[-1:], (0, 0)) for content in ((line,), (b"", line)))
    assert json.loads(again[0]) == json.loads(first[0]) | {"line": ["commands", 7, 1, len(line) + 1]}


def test_a_time_without_an_offset_is_utc_wherever_the_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    command = read_commands(lines(json.dumps(CLOCK | {"time": "2026-10-21T00:00:00"}).encode()))[0]
    assert command.time_us == read_commands(lines(json.dumps(CLOCK).encode()))[0].time_us


def test_a_run_sets_every_bad_line_aside_under_its_own_source(tmp_path: Path) -> None:
    generate(tmp_path, 20, dt.date(2026, 10, 21), 1, 1, False, False, lambda *_: None, ["voip-csv"], 1.0, None)
    folder = tmp_path / "inbox" / "commands"
    folder.mkdir(exist_ok=True)
    unknown = json.dumps(CLOCK | {"kind": "top_up", "account_id": 4, "amount": "1.00", "currency": "EUR"}).encode()
    (folder / "commands_999999_20261021235959.jsonl").write_bytes(b"\n".join([*BAD, unknown]) + b"\n")
    home = Home(tmp_path / "home")
    for _ in range(2):  # the second one recovers from the journal
        run(Input(tmp_path), home)
    ledger = Ledger.open(home.ledger)
    rows = ledger.table("suspense").select(["source", "record_type", "reason"]).to_pylist()
    rows = [row for row in rows if row["record_type"] == "command"]
    assert {row["source"] for row in rows} == {"commands"}
    assert sorted(row["reason"] for row in rows) == ["bad_command"] * len(BAD) + ["unknown_account"]


@pytest.mark.parametrize("content", [b"garbage", b"[]", b"[" * 100_000])
def test_what_cannot_be_read_in_a_journal_is_no_command(content: bytes) -> None:
    assert read_fields(content) == {}
