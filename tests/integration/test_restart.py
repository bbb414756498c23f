"""Restart: whatever was lost of what can be made again, the same; whatever cannot be made again is named."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.run import RunOptions, run
from pipelines.snapshots import Snapshots
from schemas.errors import LedgerError
from tests.integration.hand_made import DAY, HandMade, call, clock, top_up, usage
from tests.integration.site import Site, in_order, put, put_commands
from tests.small_operator import account, times

TAIL = ("081000", "090000")


def first_half(site: HandMade) -> None:
    site.calls(1, "080000", [(1, "07:00"), (2, "07:10")])
    put(site.input.inbox, "chf-01", f"chf-01_000001_{DAY}080500.json",
        (usage("s1", 1, "07:10", 1 << 20) + usage("s2", 1, "07:20", 1 << 20, final=True)).encode())
    put_commands(site.input.inbox, 1, f"{DAY}081000", [top_up(1, "08:00"), clock(1, "2026-10-21T08:05:00Z")])


def second_half(site: HandMade) -> None:
    site.calls(2, "090000", [(2, "07:10"), (3, "08:00")])
    put(site.input.inbox, "chf-01", f"chf-01_000002_{DAY}090500.json",
        usage("s1", 2, "08:30", 1 << 20, final=True).encode())
    put_commands(site.input.inbox, 2, f"{DAY}091000", [top_up(2, "09:00"), clock(2, "2026-10-21T09:05:00Z")])


@pytest.fixture
def pair(tmp_path: Path, keys: Path) -> tuple[HandMade, HandMade]:
    """Two sites after the first half; the first has had an undisturbed second half as well."""
    straight, other = HandMade(tmp_path / "straight", keys), HandMade(tmp_path / "other", keys)
    for site in (straight, other):
        first_half(site)
        site.run()
    second_half(straight)
    straight.run()
    return straight, other


def snapshots(site: Site) -> list[Path]:
    return sorted(site.home.snapshots.glob("*.snapshot"))


def test_snapshots_deleted_replay_from_the_journal_says_the_same(pair: tuple[HandMade, HandMade]) -> None:
    straight, other = pair
    for path in snapshots(other):
        path.unlink()
    second_half(other)
    other.run()
    assert other.said() == straight.said()
    assert other.money(1) == straight.money(1)


def test_a_damaged_newest_snapshot_costs_a_replay_from_the_one_before(pair: tuple[HandMade, HandMade]) -> None:
    straight, other = pair
    second_half(other)
    other.run()
    before, newest = snapshots(other)[-2:]
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    newest.write_bytes(damaged)
    found = Snapshots(other.home.snapshots).newest()
    assert found is not None
    assert (f"{found.position:020d}", len(found.passed_over)) == (before.stem, 1)
    assert other.run().rated == 0
    assert other.said() == straight.said()


def test_the_journal_gone_is_said_and_nothing_is_charged_again(pair: tuple[HandMade, HandMade]) -> None:
    _, other = pair
    said = other.said()
    aside = other.home.journal.rename(other.home.root / "aside")
    second_half(other)
    with pytest.raises(LedgerError, match="journal"):
        other.run()
    shutil.rmtree(other.home.journal)
    aside.rename(other.home.journal)
    assert other.said(tables=["rated", "posting", "balance"]) == {
        name: said[name] for name in ("rated", "posting", "balance")}
    other.run()
    assert other.said() == pair[0].said()


def test_a_lost_ledger_is_not_mistaken_for_a_new_one(pair: tuple[HandMade, HandMade]) -> None:
    _, other = pair
    shutil.rmtree(other.home.ledger)
    with pytest.raises(LedgerError, match=r"journal names commit \d+ of mediation.*the ledger that goes with"):
        other.run()


def test_a_new_account_opens_and_pays(pair: tuple[HandMade, HandMade]) -> None:
    _, other = pair
    calling = "999700000003"
    reference = other.reference
    reference.accounts.append(account(3, opening_balance="5.00", time_zone="Europe/Berlin"))
    reference.services.append({"service_id": 13, "account_id": 3, "kind": "mobile", **times()})
    reference.resources.append({"kind": "msisdn", "value": calling, "service_id": 13, **times()})
    reference.plans.append({"account_id": 3, "plan": "prepaid-basic", **times()})
    before = other.money(1)
    reference.write(other.input.operator)
    other.calls(2, "090000", [], lines=call(9, "08:30", served=calling))
    assert other.run().rated == 1
    assert other.money(3) == pytest.approx(5 - 0.64)
    assert other.money(1) == before
    assert len({hash_ for stream in ("mediation", "charging") for hash_ in references(other, stream)}) == 2
    assert other.run().rated == 0
    openings = [row for row in other.rows("posting") if row["reason"] == "opening" and row["amount"] > 0]
    assert sorted(row["account_id"] for row in openings) == [1, 2, 3]


def test_a_new_tariff_version_prices_what_happens_from_then_on(pair: tuple[HandMade, HandMade]) -> None:
    _, other = pair
    folder = other.own_tariffs()
    other.run()
    text = (folder / "2026.yaml").read_text().replace('version: "2026"', 'version: "2026-b"')
    text = text.replace("active_from: 2026-01-01T00:00:00", "active_from: 2026-10-21T10:30:00").replace("0.49", "0.99")
    (folder / "2026-b.yaml").write_text(text)
    other.calls(2, "110000", [(5, "08:29"), (6, "08:30")])  # 10:30 in Berlin
    assert other.run().rated == 2
    rows = other.rows("rated")[-2:]
    assert [(row["tariff_version"], row["charge_nanos"]) for row in rows] == [
        ("2026", 640_000_000), ("2026-b", 1_140_000_000)]
    assert len(set(references(other, "charging"))) == 2


def references(site: Site, stream: str) -> list[str]:
    """Reference data that the commits of a stream name, in order."""
    return [entry.reference["snapshot"] for entry in site.ledger.logs()[stream].entries if entry.reference]


def test_replay_under_other_reference_data_than_was_used_is_refused(pair: tuple[HandMade, HandMade]) -> None:
    straight, other = pair
    other.reference.accounts[0]["credit_limit"] = "7"
    folder = other.reference.write(other.input.operator)
    shelf = [(path, path.read_bytes()) for path in snapshots(other)]
    for path, _ in shelf:
        path.unlink()
    second_half(other)
    with pytest.raises(LedgerError, match="run once with the reference data as it was"):
        other.run()
    other.reference.accounts[0]["credit_limit"] = "0"
    other.reference.write(folder)
    other.run()
    assert other.said() == straight.said()


def test_replay_charges_the_past_by_the_tariffs_that_charged_it(tmp_path: Path, keys: Path) -> None:
    straight, other = HandMade(tmp_path / "straight", keys), HandMade(tmp_path / "other", keys)
    for site in (straight, other):
        first_half(site)
        site.run()
        path = site.own_tariffs() / "2026.yaml"
        path.write_text(path.read_text().replace("0.49", "0.99").replace("price: 0.02,", "price: 0.05,"))
        second_half(site)
    for snapshot in snapshots(other):
        snapshot.unlink()
    straight.run()
    other.run()
    assert other.said() == straight.said() and len(set(references(other, "charging"))) == 2
    for snapshot in snapshots(other):
        snapshot.unlink()
    shutil.rmtree(other.home.reference)
    with pytest.raises(LedgerError, match="run once with the reference data as it was"):
        other.run()


def test_reopened_after_every_file_it_goes_on(day: Path, keys: Path, tmp_path: Path) -> None:
    files = [path for path in in_order(day / "inbox") if path.parent.name in ("voip-01", "chf-01", "commands")]
    straight = Site(day, tmp_path / "straight", keys, own_inbox=True)
    straight.deliver(files)
    straight.run()
    stopped = Site(day, tmp_path / "stopped", keys, own_inbox=True)
    for path in files:
        stopped.deliver([path])
        stopped.run(batch_records=50)
        stopped.run()
    assert stopped.said() == straight.said()
    assert stopped.said(tables=["file_audit", "collected", "command"]) == \
        straight.said(tables=["file_audit", "collected", "command"])
    assert len(pq.read_table(stopped.input.operator / "accounts.parquet")) > 10


def test_a_run_with_nothing_new_adds_nothing(pair: tuple[HandMade, HandMade]) -> None:
    straight, _ = pair
    said, versions = straight.said(), [len(log.entries) for log in straight.ledger.logs().values()]
    summary = run(straight.input, straight.home, RunOptions(workers=2))
    assert (summary.files, summary.records, summary.rated) == (0, 0, 0)
    assert straight.said() == said
    grown = [len(log.entries) - before for log, before in zip(straight.ledger.logs().values(), versions, strict=True)]
    assert max(grown) <= 2  # the claim, and state written as a whole
