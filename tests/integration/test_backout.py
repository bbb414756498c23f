"""Backing out: totals as of a run without the delivery, and its records are taken in when they come again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.corrections.backout import Delivery, backout
from pipelines.durable import crash_points
from pipelines.ledger.sql import open_duckdb
from schemas.errors import LedgerError
from schemas.rated import RATED
from schemas.usage import ORIGIN
from tests.integration.hand_made import DAY, HandMade, call, top_up, usage
from tests.integration.site import put, put_commands
from tests.integration.test_rerate import MADE_US, NOT_COMPARED, ask, laws_hold

BAD = f"voip-01_000002_{DAY}100000.csv"
SAID = ("tester", "a bad delivery")


def says(site: HandMade) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Balances, and what is charged now, wherever it came from: files are counted where they came, bad ones too."""
    left_out = {*NOT_COMPARED, *(column.name for column in ORIGIN)}
    columns = ", ".join(name for name in RATED.names if name not in left_out)
    return (ask(site, "SELECT account_id, bucket_id, unit, currency, amount FROM balance ORDER BY ALL"),
            ask(site, f"SELECT {columns} FROM rated_current ORDER BY ALL"))


def deliver(site: HandMade, bad: bool) -> None:
    """Two good files and, between them, a bad one: calls that were not made, one repeated, and one that nobody made."""
    site.calls(1, "090000", [(1, "08:00")])
    if bad:
        site.calls(2, "100000", [(1, "08:00"), (2, "09:00"), (3, "09:10")], lines=stranger(4))
    put_commands(site.input.inbox, 1, f"{DAY}103000", [top_up(1, "10:30", "0.50")])
    site.calls(3, "110000", [(5, "10:00"), (6, "10:10")])


def stranger(number: int) -> str:
    return call(number, "09:20", served="999700000099")


@pytest.fixture
def pair(tmp_path: Path, keys: Path) -> tuple[HandMade, HandMade]:
    """A site that had the bad delivery, and one that never did."""
    sites = HandMade(tmp_path / "bad", keys), HandMade(tmp_path / "good", keys)
    for site, bad in zip(sites, (True, False), strict=True):
        deliver(site, bad)
        site.run()
    return sites


def take_back(site: HandMade, **choice: Any) -> Any:
    return backout(site.input, site.home, Delivery(**choice), MADE_US, *SAID)


def test_a_file_that_was_backed_out_has_left_no_trace_in_totals_and_may_come_again(pair: tuple[HandMade, HandMade]
                                                                                  ) -> None:
    bad, good = pair
    assert says(bad) != says(good)
    dry = backout(bad.input, bad.home, Delivery([BAD]), MADE_US, "", "", dry_run=True)
    done = take_back(bad, files=[BAD])
    assert done.sums == dry.sums and done.sums.reversed_rows > done.sums.replaced_rows
    assert says(bad) == says(good)
    laws_hold(bad)
    assert [row["state"] for row in bad.rows("withdrawn")] == ["backed_out"] * 2
    assert [row["action"] for row in bad.rows("settled")] == ["backed_out"]
    with open_duckdb(bad.ledger) as connection:
        assert connection.execute("SELECT count(*) FROM suspense_open").fetchall() == [(0,)]

    # The same file is still in the inbox, and stays what was backed out.
    bad.run()
    assert says(bad) == says(good)
    # Its records, corrected or not, come again in another.
    for site in pair:
        site.calls(4, "120000", [(2, "09:00"), (3, "09:10")])
        site.calls(5, "130000", [(2, "09:00")])
        site.run()
    assert says(bad) == says(good)
    assert [len(site.rows("duplicate")) for site in pair] == [2, 1]
    laws_hold(bad)
    assert sorted(row["revision"] for row in bad.rows("rated") if row["file_id"] > 4) == [2, 2]


def test_the_same_content_under_another_name_is_no_repetition_any_more(pair: tuple[HandMade, HandMade]) -> None:
    bad, good = pair
    take_back(bad, files=[BAD])
    content = (bad.input.inbox / "voip-01" / BAD).read_bytes()
    for site in pair:
        put(site.input.inbox, "voip-01", f"voip-01_000004_{DAY}120000.csv", content)
        site.run()
    assert says(bad) == says(good)
    laws_hold(bad)


@pytest.mark.parametrize("choice", ["number", "batch", "time"])
def test_a_delivery_is_named_by_file_commit_or_time(pair: tuple[HandMade, HandMade], choice: str) -> None:
    bad, good = pair
    with open_duckdb(bad.ledger) as connection:
        [(number,)] = connection.execute(f"SELECT file_id FROM collected WHERE file_name = '{BAD}'").fetchall()
    if choice == "batch":
        with pytest.raises(LedgerError, match="commit of mediation"):
            take_back(bad, batch=999)
        one = HandMade(bad.home.root.parent.parent / "one", bad.home.keys)
        deliver(one, True)
        one.run(batch_records=1)
        commits = [entry.version for entry in one.ledger.logs()["mediation"].entries
                   if any(file.table == "usage" for file in entry.added)]
        take_back(one, batch=commits[-1])
        assert len(one.rows("withdrawn")) == 1
        laws_hold(one)
        return
    minute = 60_000_000
    start = 1_792_573_200_000_000  # 2026-10-21 09:00 UTC
    take_back(bad, **({"files": [str(number)]} if choice == "number" else
                      {"from_us": start, "to_us": start + 30 * minute, "source": "voip-01"}))
    assert says(bad) == says(good)
    laws_hold(bad)


@pytest.mark.parametrize("choice", [{}, {"files": ["no-such-file.csv"]}, {"from_us": 0, "to_us": 5}])
def test_a_choice_of_nothing_is_refused(pair: tuple[HandMade, HandMade], choice: dict[str, Any]) -> None:
    with pytest.raises(LedgerError, match=r"nothing says|no file|no record"):
        take_back(pair[0], **choice)


class _StoppedError(Exception):
    pass


def at(point: str) -> Callable[[str], None]:
    def stop(reached: str) -> None:
        if reached == point:
            raise _StoppedError
    return stop


def test_stopped_between_its_halves_the_next_run_finishes_it(pair: tuple[HandMade, HandMade]) -> None:
    bad, good = pair
    with pytest.raises(_StoppedError), crash_points(at("backout.staged")):
        take_back(bad, files=[BAD])
    for site in pair:
        site.calls(4, "120000", [(2, "09:00"), (3, "09:10")])
        site.run()
    assert says(bad) == says(good)
    laws_hold(bad)


def test_partials_of_a_merged_session_come_again_as_if_they_had_not_come(tmp_path: Path, keys: Path) -> None:
    name = f"chf-01_000001_{DAY}081500.json"
    bad, good = HandMade(tmp_path / "bad", keys), HandMade(tmp_path / "good", keys)
    lines = usage("s1", 1, "08:10", 1 << 20) + usage("s2", 1, "08:10", 1 << 20, final=True)
    put(bad.input.inbox, "chf-01", name, lines.encode())
    for site in (bad, good):
        site.calls(1, "090000", [(1, "08:00")])
        site.run()
    assert len(bad.rows("held")) == 1
    take_back(bad, files=[name])
    assert bad.rows("held") == []
    assert says(bad) == says(good)
    laws_hold(bad)
    again = lines + usage("s1", 2, "08:20", 1 << 20, final=True)
    for site in (bad, good):
        put(site.input.inbox, "chf-01", f"chf-01_000002_{DAY}091500.json", again.encode())
        site.run()
    assert says(bad) == says(good)
    laws_hold(bad)


def test_a_session_that_is_partly_good_is_refused_and_named(tmp_path: Path, keys: Path) -> None:
    site = HandMade(tmp_path, keys)
    names = [f"chf-01_00000{n}_{DAY}08{n}500.json" for n in (1, 2)]
    put(site.input.inbox, "chf-01", names[0], usage("s1", 1, "08:10", 1 << 20).encode())
    put(site.input.inbox, "chf-01", names[1], usage("s1", 2, "08:20", 1 << 20, final=True).encode())
    site.run()
    with pytest.raises(LedgerError, match="merged from its partials and others"):
        take_back(site, files=[names[1]])
    take_back(site, files=names)
    assert says(site)[1] == []
    laws_hold(site)
