"""What a timeline says of a day worked by hand: order, balances, refusals, and nobody's number."""

import json
from pathlib import Path

import pytest

from pipelines.apps.cli import main
from pipelines.home import Home
from pipelines.keys import Keys
from pipelines.ledger import Ledger, Rows
from schemas.codes import Service, Unit
from schemas.columns import ABSENT, Cells
from schemas.online import CREDIT_LIMIT_REACHED, GRANT, SUCCESS, FinalAction, RequestKind
from schemas.timepoint import parse_time
from tests.integration.hand_made import ANNA, DAY, HandMade, top_up
from tests.integration.site import put_commands


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> HandMade:
    """Anna has 1.00: two calls of 0.64, a refused top-up, one of 10.00, a plan change, a third call."""
    made = HandMade(tmp_path_factory.mktemp("timeline"), keys)
    made.calls(1, "090000", [(1, "08:00"), (2, "08:10")])
    put_commands(made.input.inbox, 1, DAY + "091000", [
        {**top_up(1, "09:00"), "amount": "-1"}, top_up(2, "09:05"),
        {**top_up(4, "09:06"), "kind": "plan_change", "plan": "postpaid-family"},
        {**top_up(5, "09:07"), "kind": "state", "state": "one_way"},
        top_up(3, "09:08", account_id=2)])
    made.calls(2, "093000", [(3, "09:20")])
    made.run()
    granted(made.home)
    return made


def granted(home: Home) -> None:
    """Two answers of charging in real time, as the node writes them: one quota, one refusal."""
    cells = Cells.empty(GRANT, 2, fill=ABSENT)
    for name, values in (
            ("source", 0), ("file_id", 0), ("record_offset", 0), ("record_length", 0), ("container_index", 0),
            ("journal_position", 100), ("event_id_hi", 1), ("event_id_lo", [1, 2]), ("session_hi", 1),
            ("session_lo", 1), ("received_us", parse_time("2026-10-21T10:00:00Z")),
            ("event_time_us", [parse_time("2026-10-21T10:00:00Z"), parse_time("2026-10-21T10:05:00Z")]),
            ("kind", [int(RequestKind.INITIAL), int(RequestKind.UPDATE)]), ("number", [0, 1]),
            ("service", int(Service.DATA)), ("account_id", 1), ("unit", int(Unit.OCTET)), ("rating_group", 1),
            ("requested", [10 << 20, 0]), ("used", [ABSENT, 7 << 20]), ("granted", [10 << 20, 0]), ("released", 0),
            ("result_code", [SUCCESS, CREDIT_LIMIT_REACHED]),
            ("final_action", [int(FinalAction.NONE), int(FinalAction.TERMINATE)])):
        cells[name] = values
    stream = Ledger.open(home.ledger, Keys.open(home.keys).signing_key).stream("charging")
    stream.commit([stream.stage("grant", Rows(cells, {"source": ["gy"]}))], state=stream.state)
    stream.close()


def told(site: HandMade, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["account", "timeline", *arguments, "--home", str(site.home.root), "--input", str(site.input.root)])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_a_complaint_is_told_in_the_order_in_which_it_was_charged(site: HandMade, capsys: pytest.CaptureFixture[str]
                                                                  ) -> None:
    text = told(site, capsys, "+" + ANNA[1], "--at", "2026-10-21T09:10:00Z", "--json")
    assert ANNA[1] not in text and ANNA[1][-9:] not in text
    said = json.loads(text)
    assert (said["state"], said["plans"], said["balance"]) == ("one_way", ["postpaid-family"], "10.00")
    moments = [(m["kind"], m["what"].split(",")[0].split(" (")[0], m.get("balance_before"), m.get("balance_after"))
               for m in said["moments"]]
    third = moments[-3]
    assert moments[:-3] == [
        ("debit", "voice originating", "1.00", "0.36"), ("debit", "voice originating", "0.36", "0.00"),
        ("refusal", "top_up was refused: bad_command", None, None), ("command", "top_up", "0.00", "10.00"),
        ("command", "plan_change", None, None), ("command", "state", None, None),
        ("state", "active becomes one_way", None, None)]
    assert third[:3] == ("debit", "voice originating", "10.00")
    assert moments[-2:] == [("grant", "data initial", None, None), ("refusal", "data update", None, None)]
    assert [m["uncollected"] for m in said["moments"] if "uncollected" in m][:1] == ["0.28"]
    refusal = said["moments"][-1]["what"]
    assert refusal == ("data update, used 7.0 MiB, asked for a quota, then terminate; refused: the credit limit is "
                       "reached (4012)")
    assert any("refused: the credit limit is reached" in sentence for sentence in said["explanation"])
    assert said["explanation"][0].startswith("At 2026-10-21T09:10:00Z account 1 was one_way since 2026-10-21T09:07:00Z")


def test_the_window_bounds_what_is_told_but_not_the_balances(site: HandMade, capsys: pytest.CaptureFixture[str]
                                                             ) -> None:
    said = json.loads(told(site, capsys, "1", "--at", "2026-10-21T09:05:00Z", "--within", "1 min", "--json"))
    assert [(m["kind"], m.get("balance_before")) for m in said["moments"]] == [
        ("command", "0.00"), ("command", None)]
    assert said["state"] == "active"


def test_a_table_for_people_says_the_same(site: HandMade, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(site, capsys, "1", "--at", "2026-10-21T09:10:00Z")
    assert "refusal" in text and "balance before" in text and "10.00" in text
    assert ANNA[1] not in text


def test_a_number_that_nobody_has_is_told(site: HandMade, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["account", "timeline", "+999700005555", "--home", str(site.home.root), "--input", str(site.input.root)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "a number that nobody had" in said and "5555" not in said
