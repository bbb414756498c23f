"""Late usage meets the cycle of its time until that is closed, by command or by itself; then what its plan says."""

from pathlib import Path

import pytest

from pipelines.apps.cli import main
from pipelines.corrections.rerate import Request, rerate
from pipelines.snapshots import Snapshots
from rating.book_items import from_items
from tests.integration.hand_made import DAY, HandMade, clock
from tests.integration.site import put_commands

ALLOWANCE = """
    allowances:
      - {name: abroad, unit: second, amount: 300, step: 60, cycle: day, services: [voice], zones: [europe]}
    late_usage: RULE
"""
MORNING = "2026-10-22T06:00:00Z"  # eight in Berlin: the day of the calls is over


def lay(folder: Path, keys: Path, rule: str, close_after: str = "") -> HandMade:
    site = HandMade(folder, keys)
    tariff = site.own_tariffs() / "2026.yaml"
    plan = "  prepaid-basic:" + ALLOWANCE.replace("RULE", rule)
    tariff.write_text(tariff.read_text().replace("  prepaid-basic:\n", plan, 1))
    if close_after:
        site.reference.operator["close_after"] = close_after
        site.reference.write(site.input.operator)
    return site


def tarifa(site: HandMade, *words: str, status: int = 0, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--home", str(site.home.root), "--input", str(site.input.root)])
    assert ended.value.code == status
    said = capsys.readouterr()
    return said.out + said.err


def late_call(site: HandMade, number: int, at: str = "08:00") -> None:
    """A call of the 21st whose file comes in on the 22nd."""
    site.calls(number, f"23590{number}", [(number, at)])
    site.run()


@pytest.mark.parametrize(("rule", "charged", "waiting"), [
    ("pay", [0, 0, 640_000_000], 0), ("current_cycle", [0, 0, 0], 0), ("suspend", [0, 0], 1)])
def test_late_usage_before_and_after_a_period_is_closed(tmp_path: Path, keys: Path, rule: str, charged: list[int],
                                                        waiting: int, capsys: pytest.CaptureFixture[str]) -> None:
    site = lay(tmp_path, keys, rule)
    late_call(site, 1)
    put_commands(site.input.inbox, 1, DAY + "235902", [clock(1, MORNING)])
    late_call(site, 2)
    words = ("period", "close", "--through", "2026-10-21", "--time", MORNING)
    assert "would be closed; nothing was committed" in tarifa(site, *words, "--dry-run", capsys=capsys)
    text = tarifa(site, *words, capsys=capsys)
    assert "expired: 180 seconds" in text and "The period through 2026-10-21 is closed." in text
    assert "was closed before; nothing changes" in tarifa(site, *words, capsys=capsys)
    late_call(site, 3)
    assert [charge for charge, _ in site.charged()] == charged
    assert [row["reason"] for row in site.rows("suspense")] == ["period_closed"] * waiting
    used = sorted(row["amount"] for row in site.rows("posting") if row["ledger_account"] == "consumed")
    assert used == [60] * (3 if rule == "current_cycle" else 2)
    again = rerate(site.input, site.home, Request(1_800_000_000_000_000, "tester", "as it was"), dry_run=True)
    assert again.proved and not again.changes


def test_what_is_not_over_cannot_be_closed(tmp_path: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = lay(tmp_path, keys, "pay")
    late_call(site, 1)
    said = site.said()
    for words, told in ((("--through", "2026-10-21", "--time", "2026-10-21T12:00Z"), "not over by 2026-10-21T12"),
                        (("--through", "2026-02-30"), "--through '2026-02-30'; expected the last day"),
                        (("--until", "soon"), "--until 'soon'; expected an instant"), ((), "neither --through nor"),
                        (("--through", "2026-10-21", "--until", "2026-10-21"), "expected one of them")):
        assert told in tarifa(site, "period", "close", *words, status=2, capsys=capsys)
    assert site.said() == said


def test_cycles_close_by_themselves_as_long_after_their_end_as_the_operator_says(tmp_path: Path, keys: Path) -> None:
    site = lay(tmp_path, keys, "pay", close_after="12 h")
    late_call(site, 1)
    put_commands(site.input.inbox, 1, DAY + "235902", [clock(1, MORNING)])
    late_call(site, 2)  # eight hours after midnight: open
    put_commands(site.input.inbox, 2, DAY + "235903", [clock(2, "2026-10-22T12:00:00Z")])
    late_call(site, 3)  # fourteen: closed
    assert [charge for charge, _ in site.charged()] == [0, 0, 640_000_000]

    site.reference.operator["close_after"] = "3 d"
    site.reference.write(site.input.operator)
    late_call(site, 4)  # closed is closed
    assert [charge for charge, _ in site.charged()][3:] == [640_000_000]
    again = rerate(site.input, site.home, Request(1_800_000_000_000_000, "tester", "as it was"), dry_run=True)
    assert again.proved and not again.changes


def test_how_long_sessions_are_remembered_is_journaled_and_replayed(tmp_path: Path, keys: Path) -> None:
    site = lay(tmp_path, keys, "pay")
    site.reference.operator["remember_sessions"] = "2 d"
    site.reference.write(site.input.operator)

    def remembered() -> int:
        found = Snapshots(site.home.snapshots).newest()
        assert found is not None
        return from_items(found.items).remembers_sessions_s

    late_call(site, 1)
    site.run()
    assert remembered() == 2 * 86_400
    site.reference.operator["remember_sessions"] = "40 d"
    site.reference.write(site.input.operator)
    site.run()
    assert remembered() == 40 * 86_400
    put_commands(site.input.inbox, 2, DAY + "235903", [clock(2, "2026-10-22T12:00:00Z")])
    sorted(site.home.snapshots.glob("*.snapshot"))[-1].unlink()
    site.run()
    assert remembered() == 40 * 86_400
    again = rerate(site.input, site.home, Request(1_800_000_000_000_000, "tester", "as it was"), dry_run=True)
    assert again.proved and not again.changes


def test_a_session_must_be_remembered_for_a_day_at_least(tmp_path: Path, keys: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    site = lay(tmp_path, keys, "pay")
    site.reference.operator["remember_sessions"] = "23 h"
    site.reference.write(site.input.operator)
    text = tarifa(site, "run", status=2, capsys=capsys)
    assert "remember_sessions: '23 h'; expected a span of time" in text


def test_close_after_that_is_no_span_is_refused(tmp_path: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = lay(tmp_path, keys, "pay", close_after="3 weeks")
    text = tarifa(site, "run", status=2, capsys=capsys)
    assert "close_after: '3 weeks'; expected a span of time" in text
