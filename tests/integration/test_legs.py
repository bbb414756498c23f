"""Charge legs from files to ledger: Anna's calls abroad are charged to her, to the network there and to a reseller."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.apps.cli import app
from pipelines.controls import run_controls
from pipelines.corrections.backout import Delivery, backout
from pipelines.corrections.rerate import Request, rerate
from pipelines.corrections.whatif import whatif
from pipelines.durable import crash_points
from pipelines.ledger.sql import open_duckdb
from pipelines.recycle import recycle, summary, write_off
from pipelines.report import conservation_table, money_table
from pipelines.suspense import Choice, actions_at, groups, row_at
from schemas.errors import LedgerError
from schemas.usage import ORIGIN
from tests.integration.hand_made import ANNA, DAY, HEADER, HandMade, reference
from tests.integration.site import put
from tests.integration.test_rerate import MADE_US, ask
from tests.small_operator import account, times

FRANCE, SPAIN, RESELLER = 901, 902, 900
LEGS: list[dict[str, Any]] = [
    {"leg": "interconnect", "accounts": {"france": FRANCE, "spain": SPAIN}, "plan": "carrier", "services": ["voice"]},
    {"leg": "reseller", "account": RESELLER, "plan": "wholesale", "services": ["voice"]}]
NOT_COMPARED = "revision, journal_position, rate_row, session_numerator_before"


class Carried(HandMade):
    """With legs in its newest tariff. The account of the Spanish network is nobody's."""

    def __init__(self, folder: Path, keys: Path, price: str = "0.03", spain: int = SPAIN) -> None:
        super().__init__(folder, keys)
        self.reference = reference()
        self.reference.number_plan["networks"] = [{"prefix": "33", "network": "france"},
                                                  {"prefix": "34", "network": "spain"}]
        self.reference.accounts += [account(number, time_zone="Europe/Berlin", payment="postpaid", credit_limit="1000",
                                            opening_balance="0") for number in (FRANCE, RESELLER)]
        self.reference.plans += [{"account_id": number, "plan": plan, **times()} for number, plan in (
            (FRANCE, "carrier"), (RESELLER, "wholesale"))]
        self.price(self.own_tariffs(), price, spain)
        self.reference.write(self.input.operator)

    @staticmethod
    def price(folder: Path, price: str, spain: int = SPAIN) -> None:
        """Give every version the legs, with a price of the carrier's minute."""
        for path in folder.glob("*.yaml"):
            version = yaml.safe_load(path.read_text())
            version["rates"] |= {"termination": {"unit": "second", "slots": [{"price": price, "per": 60, "step": 1}]},
                                 "buying": {"unit": "second", "connect_fee": "0.01", "slots": [
                                     {"price": "0.30", "per": 60, "step": 60}]}}
            version["plans"] |= {
                "carrier": {"rounding": {"rule": "half_up", "decimals": 6},
                            "prices": [{"service": "voice", "rate": "termination"}]},
                "wholesale": {"prices": [{"service": "voice", "rate": "buying"}]}}
            version["legs"] = [LEGS[0] | {"accounts": {"france": FRANCE, "spain": spain}}, LEGS[1]]
            path.write_text(yaml.safe_dump(version, sort_keys=False))

    def calls_to(self, sequence: int, at: str, calls: list[tuple[int, str, str]]) -> Path:
        """A file of calls of 90 s: number of the call, time of day, number called."""
        lines = "".join(f"c{n}@voip,voip-01,{n},originating,+{ANNA[1]},+{ANNA[1]},+{called},2026-10-21T{time}:00Z,"
                        f"2026-10-21T{time}:00Z,2026-10-21T{time}:59Z,90,16\n" for n, time, called in calls)
        return put(self.input.inbox, "voip-01", f"voip-01_{sequence:06d}_{DAY}{at}.csv", (HEADER + lines).encode())

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return ask(self, query)

    def holds(self) -> None:
        with open_duckdb(self.ledger) as connection:
            assert [o.control.name for o in run_controls(connection) if o.red] == []
        assert set(self.said()) >= {"rated", "posting"}  # it verifies

    def legs(self) -> list[tuple[Any, ...]]:
        return self.ask("SELECT leg, account_id, plan, sum(quantity)::BIGINT, sum(charge_nanos)::BIGINT FROM rated "
                        "GROUP BY ALL ORDER BY ALL")

    def now(self) -> tuple[list[tuple[Any, ...]], ...]:
        """What holds: charges, balances, legs that are set aside."""
        return (self.ask(f"SELECT * EXCLUDE ({NOT_COMPARED}) FROM rated_current ORDER BY event_id, leg"),
                self.ask("SELECT account_id, bucket_id, unit, amount FROM balance ORDER BY ALL"),
                self.ask("SELECT event_id, leg, account_id, reason FROM leg_suspense_open ORDER BY ALL"))


def deliver(site: Carried) -> None:
    site.calls_to(1, "120000", [(1, "09:00", "33123456789"), (2, "09:05", "34612345678"), (3, "09:10", "33123456789")])
    site.calls_to(2, "130000", [(4, "10:00", "33987654321"), (5, "10:05", "44123456789")])


@pytest.fixture
def site(tmp_path: Path, keys: Path) -> Carried:
    found = Carried(tmp_path, keys)
    deliver(found)
    assert found.run().rated == 5
    return found


def test_a_day_is_charged_to_all_parties_and_every_law_holds(site: Carried) -> None:
    site.holds()
    # Three calls of 90 s to France: 1.5 x 0.03 each. Five for the reseller: 0.01 and two minutes of 0.30.
    assert site.legs()[1:] == [(1, FRANCE, "carrier", 270, 135_000_000), (2, RESELLER, "wholesale", 450, 3_050_000_000)]
    assert site.legs()[0][:2] == (0, 1) and site.legs()[0][3] == 450
    assert site.ask("SELECT leg, account_id, reason FROM leg_suspense_open") == [(1, SPAIN, "unknown_account")]
    assert (site.money(FRANCE), site.money(RESELLER)) == (-0.135, -3.05)
    assert site.ask("SELECT leg, account_id, sum(amount)::BIGINT FROM posting WHERE ledger_account = 'balance' AND "
                    "leg IS NOT NULL GROUP BY ALL ORDER BY ALL") == [
        (1, FRANCE, -135_000_000), (2, RESELLER, -3_050_000_000)]


def test_legs_are_no_containers_of_the_tables_and_a_stage_of_their_own_in_suspense(site: Carried) -> None:
    with open_duckdb(site.ledger) as connection:
        rows, money = conservation_table(connection), money_table(connection)
    assert list(rows.columns[[c.header for c in rows.columns].index("rated")].cells)[-1] == "5"
    cells = {column.header: list(column.cells)[-1] for column in money.columns}
    assert (cells["seconds"], cells["to others"]) == ("450", "3.18")  # 0.135 and 3.05, to even cents
    assert Decimal(cells["charged"]) == Decimal(sum(row["charge_nanos"] for row in site.rows("rated")
                                                    if row["leg"] == 0)).scaleb(-9).quantize(Decimal("0.01"))
    assert site.ask("SELECT count(*) FROM suspense") == [(0,)]
    assert [(g.stage, g.reason, g.rows, g.estimated_rows) for g in groups(site.ledger, Choice())] == [
        ("leg", "unknown_account", 1, 0)]


def test_the_same_whatever_the_batches_and_the_threads(site: Carried, tmp_path: Path, keys: Path) -> None:
    for name, options in (("small", {"batch_records": 1}), ("two", {"workers": 2}), ("both", {"batch_records": 2,
                                                                                              "workers": 2})):
        other = Carried(tmp_path / name, keys)
        deliver(other)
        other.run(**options)
        tables = ("rated", "posting", "balance", "leg_suspense")
        assert other.said(tables=tables) == site.said(tables=tables), name


def test_explain_shows_every_leg_with_its_own_postings(site: Carried) -> None:
    event, = [row[0] for row in site.ask("SELECT event_id FROM rated WHERE account_id = 901 LIMIT 1")]
    asked = ["explain", event, "--home", str(site.home.root), "--input", str(site.input.root)]
    shown = CliRunner().invoke(app, [*asked, "--json"])
    assert shown.exit_code == 0, shown.output
    legs = json.loads(shown.output)
    assert [(e["rated"]["leg"], e["pricing"].get("charge leg"), e["pricing"]["recomputed"]) for e in legs] == [
        (0, None, "the same charge"), (1, "1: interconnect", "the same charge"), (2, "2: reseller", "the same charge")]
    assert [{p["account_id"] for p in e["postings"]} for e in legs] == [{1}, {FRANCE}, {RESELLER}]
    aside, = site.ask("SELECT event_id FROM leg_suspense_open")
    shown = CliRunner().invoke(app, ["explain", aside[0], *asked[2:]])
    assert "charge leg 1 (interconnect) is set aside" in " ".join(shown.output.split())


def test_legs_are_rerated_and_what_one_lacked_is_mended(site: Carried, tmp_path: Path, keys: Path) -> None:
    """Another price, and calls to Spain are charged to the French network: as if it had always been so."""
    right = Carried(tmp_path / "right", keys, price="0.045", spain=FRANCE)
    deliver(right)
    right.run()
    assert site.now() != right.now()
    site.price(site.input.operator / "tariffs", "0.045", FRANCE)
    found = whatif(site.input, site.home, site.input.operator / "tariffs")
    assert found.events == 5
    done = rerate(site.input, site.home, Request(MADE_US, "tester", "the carrier's new price"))
    assert done.proved and (done.sums.reversed_rows, done.sums.replaced_rows) == (3, 4)
    site.holds()
    assert site.now() == right.now() and site.now()[2] == []
    assert site.ask("SELECT leg, revision FROM leg_suspense ORDER BY ALL") == [(1, 0), (1, 1)]
    assert rerate(site.input, site.home, Request(MADE_US, "tester", "again")).changes is False
    # And back: what cannot be charged any more is set aside again.
    site.price(site.input.operator / "tariffs", "0.03")
    rerate(site.input, site.home, Request(MADE_US, "tester", "as it was"))
    site.holds()
    assert site.now()[2] == [row for row in site.now()[2] if row[1:] == (1, SPAIN, "unknown_account")] != []
    assert site.ask("SELECT leg, revision FROM leg_suspense ORDER BY ALL") == [(1, 0), (1, 1), (1, 2)]


def test_without_legs_in_the_new_tariff_their_charges_are_taken_back(site: Carried) -> None:
    for path in (site.input.operator / "tariffs").glob("*.yaml"):
        version = yaml.safe_load(path.read_text())
        del version["legs"]
        path.write_text(yaml.safe_dump(version, sort_keys=False))
    retail = site.now()[0]
    rerate(site.input, site.home, Request(MADE_US, "tester", "no legs after all"))
    site.run()
    site.holds()
    assert [leg[-1] for leg in site.legs()[1:]] == [0, 0]
    assert (site.money(FRANCE), site.money(RESELLER)) == (0, 0)
    assert len(site.now()[0]) == 5 and len(retail) == 13 and site.now()[2] == []


def test_a_delivery_that_is_backed_out_leaves_no_leg_behind(site: Carried, tmp_path: Path, keys: Path) -> None:
    less = Carried(tmp_path / "less", keys)
    less.calls_to(2, "130000", [(4, "10:00", "33987654321"), (5, "10:05", "44123456789")])
    less.run()
    backout(site.input, site.home, Delivery(files=["1"]), MADE_US, "tester", "not ours")
    site.run()
    site.holds()
    origin = len(ORIGIN)
    assert [row[origin:] for row in site.now()[0]] == [row[origin:] for row in less.now()[0]]
    assert site.now()[1:] == less.now()[1:]


SUSPENSE = ("rated", "posting", "balance", "leg_suspense")


def open_spain(site: Carried) -> None:
    """The account of the Spanish network, opened after the calls to it."""
    site.reference.accounts.append(account(SPAIN, time_zone="Europe/Berlin", payment="postpaid", credit_limit="1000",
                                           opening_balance="0"))
    site.reference.plans.append({"account_id": SPAIN, "plan": "carrier", **times()})
    site.reference.write(site.input.operator)


def test_legs_of_an_account_that_was_opened_later_are_recycled(site: Carried) -> None:
    """One of several: it stays while nothing is mended, is tried, charged once, and every law holds."""
    before = site.said(tables=SUSPENSE)
    stays = recycle(site.input, site.home, Choice(reason="unknown_account"), "tester", "let us see")
    assert summary(stays) == [("leg", "unknown_account", "suspended", "leg: unknown_account", 1, 0)]
    assert site.said(tables=SUSPENSE) == before
    open_spain(site)
    assert rerate(site.input, site.home, Request(MADE_US, "tester", "not by this way")).changes is False
    tried = recycle(site.input, site.home, Choice(stage="leg"), "", "", dry_run=True)
    assert summary(tried) == [("leg", "unknown_account", "rated", "", 1, 45_000_000)]
    assert len(site.ask("SELECT * FROM leg_suspense_open")) == 1 and site.money(SPAIN) == 0
    assert recycle(site.input, site.home, Choice(stage="leg"), "tester", "opened on Monday") == tried
    site.holds()
    assert site.money(SPAIN) == -0.045 and site.ask("SELECT * FROM leg_suspense_open") == []
    assert site.ask("SELECT leg, revision, action, who, why FROM leg_suspense ORDER BY revision") == [
        (1, 0, None, None, None), (1, 1, "recycled", "tester", "opened on Monday")]
    event, = site.ask("SELECT event_id FROM leg_suspense WHERE revision = 0")[0]
    assert site.ask("SELECT leg, revision, charge_nanos FROM rated_current WHERE event_id = $1 ORDER BY leg".replace(
        "$1", f"'{event}'"))[1] == (1, 0, 45_000_000)
    assert [row["open"] for row in row_at(site.ledger, event)] == [False]
    assert [(a["action"], a["stage"]) for a in actions_at(site.ledger, event)] == [("recycled", "leg 1")]
    assert recycle(site.input, site.home, Choice(stage="leg"), "tester", "again") == []
    site.calls_to(3, "140000", [(6, "11:00", "34612345678")])   # and life goes on
    site.run()
    site.holds()
    assert site.money(SPAIN) == -0.09


def test_recycled_legs_are_a_part_of_the_past_that_rerate_replays(site: Carried, tmp_path: Path, keys: Path) -> None:
    open_spain(site)
    recycle(site.input, site.home, Choice(stage="leg"), "tester", "opened on Monday")
    site.calls_to(3, "140000", [(6, "11:00", "34612345678")])
    site.run()
    now = site.now()
    same = rerate(site.input, site.home, Request(MADE_US, "tester", "nothing changes"))
    assert same.proved and same.changes is False
    site.price(site.input.operator / "tariffs", "0.045")
    assert rerate(site.input, site.home, Request(MADE_US, "tester", "the carrier's new price")).proved
    site.holds()
    assert site.money(SPAIN) == -0.135 and site.now()[2] == now[2] == []
    site.price(site.input.operator / "tariffs", "0.045", FRANCE)
    assert rerate(site.input, site.home, Request(MADE_US, "tester", "another carrier")).proved
    site.holds()
    assert (site.money(SPAIN), site.now()[2]) == (0, [])
    backout(site.input, site.home, Delivery(files=["1"]), MADE_US, "tester", "not ours")
    site.holds()


def test_what_is_recycled_is_the_same_after_a_kill(site: Carried, tmp_path: Path, keys: Path) -> None:
    other = Carried(tmp_path / "other", keys)
    deliver(other)
    other.run()
    for each in (site, other):
        open_spain(each)
    recycle(other.input, other.home, Choice(stage="leg"), "tester", "opened")

    class KilledError(Exception):
        pass

    folds = iter(range(3))

    def die(reached: str) -> None:
        if reached == "charge.folded" and next(folds) == 1:     # the first opened the account
            raise KilledError

    with crash_points(die), pytest.raises(KilledError):
        recycle(site.input, site.home, Choice(stage="leg"), "tester", "opened")
    assert len(site.ask("SELECT * FROM leg_suspense_open")) == 1
    site.run()
    site.holds()
    assert site.said(tables=SUSPENSE) == other.said(tables=SUSPENSE)
    # And from the snapshot before, with the journal's tail.
    sorted(site.home.snapshots.glob("*.snapshot"))[-1].unlink()
    for each in (site, other):
        each.calls_to(3, "140000", [(6, "11:00", "34612345678")])
        each.run()
    site.holds()
    assert site.said(tables=SUSPENSE) == other.said(tables=SUSPENSE)


def test_legs_that_are_written_off_stay_so(site: Carried) -> None:
    rated = site.now()[0]
    with pytest.raises(LedgerError, match="who does this"):
        write_off(site.input, site.home, Choice(stage="leg"), "tester", "")
    assert write_off(site.input, site.home, Choice(stage="leg"), "tester", "never ours", dry_run=True) == 1
    assert write_off(site.input, site.home, Choice(stage="leg"), "tester", "never ours") == 1
    site.holds()
    assert site.now()[0] == rated and site.now()[2] == [] and groups(site.ledger, Choice()) == []
    assert site.ask("SELECT action, who, why FROM leg_suspense WHERE revision = 1") == [
        ("written_off", "tester", "never ours")]
    assert write_off(site.input, site.home, Choice(stage="leg"), "tester", "never ours") == 0
    assert rerate(site.input, site.home, Request(MADE_US, "tester", "nothing new")).changes is False
    site.price(site.input.operator / "tariffs", "0.045")
    rerate(site.input, site.home, Request(MADE_US, "tester", "another price"))
    site.holds()
    assert site.now()[2] == []
    site.price(site.input.operator / "tariffs", "0.03", FRANCE)     # but what can be charged is
    rerate(site.input, site.home, Request(MADE_US, "tester", "the French carry it"))
    site.holds()
    assert len(site.now()[0]) == len(rated) + 1


def test_the_commands_list_show_and_recycle_legs(site: Carried) -> None:
    def told(*arguments: str) -> str:
        shown = CliRunner().invoke(app, ["suspense", *arguments, "--home", str(site.home.root), "--input",
                                         str(site.input.root)])
        assert shown.exit_code == 0, shown.output
        return " ".join(shown.output.split())
    assert "leg unknown_account voip-01 1" in told("list")
    row, = json.loads(told("list", "--rows", "5", "--json"))
    assert (row["stage"], row["reason"]) == ("leg 1", "unknown_account")
    assert "unknown_account at stage leg 1; container" in told("show", row["event_id"])
    open_spain(site)
    assert "1 of 1 rows would be taken back in" in told("recycle", "--reason", "unknown_account", "--dry-run")
    assert "1 of 1 rows were taken back in" in told("recycle", "--reason", "unknown_account")
    assert "Nothing is in suspense." in told("list")
