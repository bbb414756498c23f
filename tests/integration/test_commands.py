"""Command files: their place in the order decides who pays; bad lines are set aside with where they stood."""

from pathlib import Path

import pytest

from pipelines.run import Run, RunOptions
from tests.integration.hand_made import CALL_NANOS, DAY, HandMade, clock, top_up, usage
from tests.integration.site import put, put_commands


@pytest.fixture
def site(tmp_path: Path, keys: Path) -> HandMade:
    return HandMade(tmp_path, keys)


def commands(site: HandMade, number: int, at: str, *lines: object) -> Path:
    return put_commands(site.input.inbox, number, DAY + at, lines)  # type: ignore[arg-type]


@pytest.mark.parametrize(("at", "uncollected"), [("085900", 0), ("090100", 280_000_000)])
def test_a_top_up_pays_for_what_comes_after_it_in_the_order(site: HandMade, at: str, uncollected: int) -> None:
    site.calls(1, "090000", [(1, "08:00"), (2, "08:10")])
    commands(site, 1, at, top_up(1, "07:00"))  # its own time is before both calls: the order decides
    site.run()
    assert site.charged() == [(CALL_NANOS, 0), (CALL_NANOS, uncollected)]
    assert site.money(1) == pytest.approx(11 - 1.28 + uncollected / 1e9)


def test_a_clock_releases_held_partials_and_expires_what_is_over(site: HandMade) -> None:
    site.reference.plans[0]["plan"] = "postpaid-family"
    site.reference.write(site.input.operator)
    put(site.input.inbox, "chf-01", f"chf-01_000001_{DAY}090000.json", (
        usage("s1", 1, "08:10", 1 << 20) + usage("s1", 2, "08:20", 1 << 20)
        + usage("s2", 1, "08:10", 1 << 20, final=True)).encode())
    commands(site, 1, "091500", clock(1, "2026-10-21T09:15:00Z"))
    site.run()
    assert [row["merged_count"] for row in site.rows("usage")] == [1]
    assert len(site.rows("held")) == 1
    assert len(site.rows("merged")) == 1

    commands(site, 2, "093000", clock(2, "2026-10-21T09:30:00Z"), top_up(1, "09:30"))
    site.run()
    assert [(row["merged_count"], row["incomplete"], row["quantity"]) for row in site.rows("usage")[1:]] == \
        [(2, True, 2 << 20)]  # its end never came
    assert site.rows("held") == []
    assert len(site.rows("rated")) == 2
    assert "expiry" not in {row["reason"] for row in site.rows("posting")}

    commands(site, 3, "235900", clock(3, "2026-11-10T00:00:00Z"))
    site.run()
    expired = [row for row in site.rows("posting") if row["reason"] == "expiry"]
    assert sum(row["amount"] for row in expired) == 0
    assert min(row["amount"] for row in expired) == -(5 << 30) + (3 << 20)


BAD = [  # (line, reason, account)
    ("no json", "bad_command", None),
    ('{"id": "b-1", "time": "2026-10-21T08:00:00Z", "kind": "dance", "account_id": 1}', "bad_command", None),
    ({**top_up(2, "08:00"), "amount": "-1"}, "bad_command", 1),
    ({**top_up(3, "08:00"), "amount": 1.5}, "bad_command", 1),
    ({**top_up(4, "08:00"), "account_id": 10**30}, "bad_command", None),
    ({**top_up(5, "08:00"), "account_id": 77}, "unknown_account", 77),
    ('{"id": "\\ud800", "time": "2026-10-21T08:00:00Z", "kind": "top_up", "account_id": 78}', "bad_command", None),
    ('{"id": "b-2", "time": "0001-01-01T00:00:00+14:00", "kind": "clock"}', "bad_command", None),
    ("[" * 5000, "bad_command", None),
    ("\x00\x7f", "bad_command", None),
]


def test_lines_that_cannot_be_carried_out_are_suspended_where_they_stood(site: HandMade) -> None:
    path = commands(site, 1, "080000", *(line for line, _, _ in BAD), "", top_up(9, "08:00"))
    site.calls(1, "090000", [(1, "08:00"), (2, "08:10")])
    site.run()
    suspended = site.rows("suspense")
    assert [(row["reason"], row["account_id"]) for row in suspended] == [(reason, who) for _, reason, who in BAD]
    content, at = path.read_bytes(), 0
    for row in suspended:
        assert (row["source"], row["record_type"], row["stage"], row["file_id"]) == ("commands", "command", "charge", 1)
        assert row["record_offset"] == at
        at += row["record_length"]
        assert content[row["record_offset"]:at].endswith(b"\n")
    assert site.money(1) == pytest.approx(11 - 1.28)
    assert len(site.rows("command")) == len(BAD) + 1


def test_a_time_without_a_zone_is_utc(site: HandMade) -> None:
    commands(site, 1, "080000", clock(1, "2026-10-21T08:00:00"))
    site.run()
    assert [row["event_time_us"].isoformat() for row in site.rows("command")] == ["2026-10-21T08:00:00+00:00"]


def test_a_command_counts_once_in_one_file_or_another_and_a_repeated_file_not_at_all(site: HandMade) -> None:
    path = commands(site, 1, "080000", top_up(1, "08:00"), top_up(1, "08:00"))
    commands(site, 2, "081000", top_up(1, "08:00", "99.00"), top_up(2, "08:10"))
    put(site.input.inbox, "commands", f"commands_000003_{DAY}082000.jsonl", path.read_bytes())
    site.run()
    assert site.money(1) == 21
    before = site.said()
    commands(site, 4, "083000", top_up(2, "08:00", "7.00"))
    site.run()
    assert site.said() == before
    states = [(row["state"], row["record_count"]) for row in site.rows("file_audit")]
    assert states == [("read", 2), ("read", 2), ("duplicate_file", 0), ("read", 1)]


def day_of_commands(site: HandMade) -> None:
    site.calls(1, "080000", [(1, "07:00"), (2, "07:10")])
    commands(site, 1, "081000", top_up(1, "08:00", "1.00"), clock(1, "2026-10-21T08:05:00Z"),
             top_up(2, "08:06", "1.00"), "no json", clock(2, "2026-10-21T08:07:00Z"), clock(3, "2026-10-21T08:08:00Z"),
             top_up(3, "08:09", "1.00"))
    site.calls(2, "082000", [(3, "08:00"), (4, "08:10")])


@pytest.mark.parametrize("batches", [1, 2, 3, 4, 5])
def test_a_run_that_stops_in_the_middle_of_a_command_file_goes_on_there(tmp_path: Path, keys: Path, batches: int
                                                                         ) -> None:
    straight, stopped = HandMade(tmp_path / "a", keys), HandMade(tmp_path / "b", keys)
    for site in (straight, stopped):
        day_of_commands(site)
    straight.run()
    assert straight.money(1) == pytest.approx(4 - 4 * 0.64 + 0.28)
    stop_after(stopped, batches, charge=batches % 2 == 0)
    stopped.run()
    assert stopped.said() == straight.said()
    assert [row["record_count"] for row in stopped.rows("file_audit")] == [2, 7, 2]


def stop_after(site: HandMade, batches: int, charge: bool) -> None:
    """A run that ends after some batches were committed by mediation; charged or not even journaled."""
    job = Run(site.input, site.home, RunOptions(workers=1))
    job._catch_up()
    files = list(job.collector.collect(job.collector.find()))
    for batch in job._reader.batches(files, job._mediator.position, job._mediator.open_file):
        _, done = job._mediator.mediate(batch)
        if charge:
            first, entries = job._node.journal(done)
            job._node.charge(first, entries, done.usage)
        batches -= 1
        if not batches:
            break
    job.close()
