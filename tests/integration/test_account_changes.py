"""Accounts that commands make and change between the usage of one run: in force from there on, whatever the cut."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.commands import tokenised
from pipelines.corrections.rerate import Request, rerate
from pipelines.keys import Keys
from pipelines.run import Run, RunOptions
from pipelines.vault import Vault
from reference_data.inventory import tokens_of
from schemas.codes import Identity
from tests.integration.hand_made import ANNA, BEN, DAY, HandMade, call, top_up
from tests.integration.site import put_commands
from tests.support.privacy import find_personal

NEW, CARLA, SIM = "999700000077", "999700000088", "001010000000088"


@pytest.fixture
def site(tmp_path: Path, keys: Path) -> HandMade:
    return HandMade(tmp_path, keys)


def command(number: int, kind: str, at: str, account_id: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": f"a-{number}", "time": f"2026-10-21T{at}:00Z", "kind": kind, "account_id": account_id, **more}


def calls(site: HandMade, number: int, at: str, *made: tuple[int, str, str]) -> None:
    """A file of calls: number, time of day, who."""
    lines = "".join(call(each, time, served) for each, time, served in made)
    site.calls(number, at, (), lines=lines)


def day(site: HandMade) -> None:
    """Anna changes her number at 08:30; Carla comes at 09:00, gets money, and a call of hers at 09:10."""
    calls(site, 1, "080500", (1, "08:00", ANNA[1]), (2, "08:01", NEW))
    put_commands(site.input.inbox, 1, DAY + "083000", [
        command(1, "number_change", "08:30", msisdn=ANNA[1], new_msisdn=NEW),
        command(2, "account_create", "09:00", 7, currency="EUR", plan="prepaid-basic", time_zone="Europe/Berlin"),
        command(3, "service_add", "09:00", 7, service_id=70, new_msisdn=CARLA, new_imsi=SIM),
        top_up(4, "09:00", "5.00", 7)])
    calls(site, 2, "091500", (3, "08:20", ANNA[1]), (4, "08:40", ANNA[1]), (5, "08:40", NEW), (6, "09:10", CARLA))


def outcome(site: HandMade) -> tuple[list[tuple[int, int]], list[str]]:
    rated = [(row["account_id"], row["service_id"]) for row in site.rows("rated", ["account_id", "service_id"])]
    return rated, [row["reason"] for row in site.rows("suspense")]


def test_changes_hold_for_what_comes_behind_them_in_the_order(site: HandMade) -> None:
    day(site)
    site.run()
    assert outcome(site) == ([(1, 11), (1, 11), (1, 11), (7, 70)], ["unknown_subscriber", "not_subscribed_then"])
    assert site.money(7) == pytest.approx(5 - 0.64)


@pytest.mark.parametrize(("records", "workers"), [(1, 1), (2, 2), (1, 3)])
def test_the_cut_and_the_number_of_workers_change_nothing(tmp_path: Path, keys: Path, records: int, workers: int
                                                          ) -> None:
    whole, cut = HandMade(tmp_path / "a", keys), HandMade(tmp_path / "b", keys)
    for site in (whole, cut):
        day(site)
    whole.run()
    cut.run(records, workers)
    assert cut.said() == whole.said()
    assert outcome(cut) == outcome(whole)


def test_a_later_run_a_restart_without_snapshot_and_recycling_see_the_changes(site: HandMade) -> None:
    day(site)
    site.run()
    calls(site, 3, "093000", (7, "09:20", NEW), (8, "09:20", CARLA))
    for path in site.home.snapshots.iterdir():
        path.unlink()
    site.run()
    assert outcome(site)[0][-2:] == [(1, 11), (7, 70)]
    logs = site.ledger.logs()["mediation"].entries
    used = [int(entry.reference.get("changes", 0)) for entry in logs if entry.op == "append"]
    assert used == sorted(used) and used[0] == 0 and used[-1] > 0


def test_a_change_that_is_dated_back_holds_for_usage_that_comes_later(site: HandMade) -> None:
    put_commands(site.input.inbox, 1, DAY + "083000", [
        command(1, "number_change", "08:30", msisdn=ANNA[1], new_msisdn=NEW, **{"from": "2026-10-21T07:00:00Z"})])
    calls(site, 1, "091500", (1, "06:59", ANNA[1]), (2, "07:00", NEW), (3, "07:00", ANNA[1]))
    site.run()
    assert outcome(site) == ([(1, 11), (1, 11)], ["not_subscribed_then"])


REFUSED = [
    command(1, "number_change", "08:30", msisdn=BEN[1], new_msisdn=NEW),             # of another account
    command(2, "number_change", "08:30", msisdn=ANNA[1], new_msisdn=BEN[1]),         # somebody has it
    command(3, "number_change", "08:30", msisdn="none", new_msisdn=NEW),
    command(4, "number_change", "08:30", msisdn=ANNA[1]),
    command(5, "sim_swap", "08:30", msisdn=NEW, new_imsi=SIM),                       # nobody has that number
    command(6, "sim_swap", "08:30", msisdn=ANNA[1], new_imsi=BEN[2]),
    command(7, "sim_swap", "08:30", msisdn=ANNA[1], imsi=ANNA[2], new_imsi=SIM),     # which of them?
    command(8, "service_add", "08:30", service_id=12, new_msisdn=NEW),               # Ben's service
    command(9, "service_add", "08:30", service_id=70),
    command(10, "service_add", "08:30", 99, service_id=70, new_msisdn=NEW),
    command(11, "account_create", "08:30", 1, currency="EUR", plan="prepaid-basic", time_zone="UTC"),
    command(12, "account_create", "08:30", 9, currency="XXX", plan="prepaid-basic", time_zone="UTC"),
    command(13, "account_create", "08:30", 9, currency="EUR", plan="none", time_zone="UTC"),
    command(14, "account_create", "08:30", 9, currency="EUR", plan="prepaid-basic", time_zone="Mars"),
    command(15, "port_out", "08:30", msisdn=ANNA[1], quarantine_days=-1),
    command(16, "service_end", "08:30"),
]


def test_what_cannot_be_is_refused_and_changes_nothing(site: HandMade) -> None:
    put_commands(site.input.inbox, 1, DAY + "083000", REFUSED)
    calls(site, 1, "091500", (1, "08:00", ANNA[1]), (2, "08:40", ANNA[1]), (3, "08:40", BEN[1]), (4, "08:40", NEW))
    site.run()
    rated, reasons = outcome(site)
    assert rated == [(1, 11), (1, 11), (2, 12)]
    assert len(reasons) == len(REFUSED) + 1
    assert site.rows("identity_change") == []


def test_each_refusal_says_what_was_found_and_expected_without_a_number(site: HandMade) -> None:
    job = Run(site.input, site.home, RunOptions(workers=1))
    try:
        job.rehearse(commit=True)
        key = Keys.open(site.home.keys).token_key
        for each in REFUSED:
            told = job.try_command(tokenised(each, key)[0]).refusal
            assert "; expected " in told or "taken" in told, (each, told)
            assert not any(number in told for number in (NEW, SIM, ANNA[1], ANNA[2], BEN[1], BEN[2]))
    finally:
        job.close()


def test_numbers_that_were_given_up_are_in_quarantine_and_may_be_ported_in(site: HandMade) -> None:
    put_commands(site.input.inbox, 1, DAY + "083000", [
        command(1, "port_out", "08:00", msisdn=ANNA[1], quarantine_days=1),
        command(2, "number_change", "08:10", 2, msisdn=BEN[1], new_msisdn=ANNA[1]),      # too early
        command(3, "port_in", "08:20", 2, msisdn=BEN[1], new_msisdn=ANNA[1]),
        command(4, "service_end", "08:25", 2, msisdn=ANNA[1], quarantine_days=0),
        command(5, "port_in", "08:26", 1, imsi=ANNA[2], new_msisdn=ANNA[1])])
    calls(site, 1, "091500", (1, "07:59", ANNA[1]), (2, "08:05", ANNA[1]), (3, "08:21", ANNA[1]), (4, "08:25", BEN[1]),
          (5, "08:27", ANNA[1]))
    site.run()
    assert outcome(site) == ([(1, 11), (2, 12), (1, 11)], ["bad_command", "not_subscribed_then", "not_subscribed_then"])


def test_a_new_sim_ends_the_old_one(site: HandMade) -> None:
    key = Keys.open(site.home.keys).token_key
    put_commands(site.input.inbox, 1, DAY + "083000", [command(1, "sim_swap", "08:30", msisdn=ANNA[1], new_imsi=SIM)])
    site.run()
    job = Run(site.input, site.home, RunOptions(workers=1))
    try:
        book = job.rehearse(commit=True)
        old, new = tokens_of(pa.array([ANNA[2], SIM]), Identity.IMSI, key).tolist()
        at = 1_792_571_400_000_000  # 08:30
        for token, then, since in ((old, 11, None), (new, None, 11)):
            for time_us, service in ((at - 1, then), (at, since)):
                holder = book.changes.holder(job.reference.inventory, token, Identity.IMSI, time_us)
                assert (None if holder is None else holder.service_id) == service
    finally:
        job.close()


def test_numbers_of_commands_are_in_the_vault_and_nowhere_else(site: HandMade) -> None:
    day(site)
    site.run(consume=True)
    assert find_personal(site.home.root, [NEW, CARLA, SIM, ANNA[1]]) == []
    keys = Keys.open(site.home.keys)
    tokens = tokens_of(pa.array([SIM]), Identity.IMSI, keys.token_key)
    found = Vault(site.home.vault, keys, write=False).lookup(tokens, "test", "test", 0)
    assert [found.shown(row) for row in range(len(found))] == [SIM]


def test_a_rerating_replays_accounts_that_commands_created(site: HandMade) -> None:
    tariff = site.own_tariffs() / "2026.yaml"
    day(site)
    site.run()
    charged = site.money(7)
    tariff.write_text(tariff.read_text().replace("price: 0.49, per: 60", "price: 0.59, per: 60"))
    done = rerate(site.input, site.home, Request(1_800_000_000_000_000, "tester", "a price"))
    assert done.proved and done.changes
    assert site.money(7) == pytest.approx(charged - 0.10)
    calls(site, 3, "100000", (7, "09:20", NEW), (8, "09:20", CARLA))  # the corrected book knows the changes still
    put_commands(site.input.inbox, 2, DAY + "100100",
                 [command(9, "number_change", "09:30", 7, msisdn=CARLA, new_msisdn=ANNA[1], quarantine_days=0),
                  command(10, "port_in", "09:31", 7, msisdn=CARLA, new_msisdn=ANNA[1])])
    site.run()
    assert outcome(site)[0][-2:] == [(1, 11), (7, 70)]
    assert outcome(site)[1].count("bad_command") == 1  # the number was in quarantine; ported in it may be
