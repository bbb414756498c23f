"""Commands on accounts, worked by hand: transfers, top-up rules, fees, options, friends, families, states, periods."""


import pytest

from rating.book import NEVER_US, BalanceBook
from rating.commands import apply_command
from rating.kernels.friends import is_friend_nb
from rating.kernels.layout import F_SHARED, L_VALID, STATE
from rating.laws import check_movements
from rating.snapshot import from_arrow, same_state, to_arrow
from reference_data.accounts import STATES
from schemas.codes import LedgerAccount, PostingReason, Reason, StateCause
from schemas.money import NANOS
from schemas.timepoint import parse_time
from tests.rating_support import check_book, make_accounts, one_tariff

JANUARY = parse_time("2026-01-01T00:00:00+00:00")
TARIFF = """
version: t
active_from: 2026-01-01T00:00:00
time_zone: UTC
currency: EUR
decks: {main: d.csv}
rates: {r: {unit: second, slots: [{price: 0.60, per: 60}]}}
buckets:
  pass: {unit: octet, amount: 1 GB, validity: 30 d, services: [data]}
  gift: {unit: money, amount: 2.00, validity: 7 d}
top_ups:
  - {from: 50, bonus: 5.00, bonus_percent: 10, extends_validity: 90 d}
  - {from: 20, to: 49.99, bucket: pass, extends_validity: 30 d}
fees:
  line: {amount: 31.00, cycle: month, prorate: true}
  daily: {amount: 0.50, cycle: day}
  setup: {amount: 10.00, cycle: none}
states:
  active: {after: {period: 30 d, then: one_way}}
  one_way: {after: {period: 60 d, then: terminated}}
plans:
  plain: {prices: [{service: voice, rate: r}]}
  line: {prices: [{service: voice, rate: r}], fees: [line, setup], uncollected: debt}
  daily: {prices: [{service: voice, rate: r}], fees: [daily]}
  taxed: {prices: [{service: voice, rate: r}], fees: [line], tax: {percent: 24, prices: inclusive}}
"""


@pytest.fixture(scope="module")
def tariffs(tmp_path_factory):
    return one_tariff(tmp_path_factory.mktemp("tariffs"), TARIFF)


class World:
    """A book, and the commands sent to it."""

    def __init__(self, tariffs, *rows):
        self.tariffs, self.book, self.count, self.postings = tariffs, BalanceBook.create(), 0, []
        rows = rows or ({"account_id": 1, "opening": "10"}, {"account_id": 2, "opening": "1", "credit": "5"})
        self.postings.append(self.book.open_accounts(
            make_accounts([{"plans": [(JANUARY, "plain")], **row} for row in rows]), tariffs, 0))

    def send(self, kind, time="2026-06-01T10:00:00Z", account_id=1, **more):
        self.count += 1
        before = to_arrow(self.book)
        result = apply_command({"id": f"c{self.count}", "kind": kind, "time": time, "account_id": account_id, **more},
                               self.count, self.tariffs, self.book)
        check_movements(result.posting)
        self.postings.append(result.posting)
        if len(result.suspense):
            after = to_arrow(self.book)
            assert all(before[name].equals(after[name]) for name in before)
        self.check()
        return result

    def clock(self, time):
        return self.send("clock", time)

    def refused(self, kind, reason=Reason.BAD_COMMAND, **more):
        result = self.send(kind, **more)
        return [Reason(r) for r in result.suspense["reason"].tolist()] == [reason] and not len(result.posting)

    def money(self, account_id=1):
        return self.book.money(self.book.row_of(account_id)) / NANOS

    def check(self):
        """Balances are sums of postings; a snapshot holds all of the book."""
        check_book(self.book, self.tariffs, self.postings)


@pytest.fixture
def world(tariffs):
    return World(tariffs)


def rows(posting):
    return [(a, LedgerAccount(ledger).name, n / NANOS, PostingReason(r).name) for a, ledger, n, r in zip(
        *(posting[c].tolist() for c in ("account_id", "ledger_account", "amount", "reason")), strict=True)]


def test_a_transfer_goes_through_clearing_which_comes_back_to_zero_and_the_sender_pays_the_fee(world):
    result = world.send("transfer", to_account_id=2, amount="4.00", currency="EUR", fee="0.25")
    assert rows(result.posting) == [
        (1, "BALANCE", -4, "TRANSFER"), (1, "CLEARING", 4, "TRANSFER"), (2, "BALANCE", 4, "TRANSFER"),
        (2, "CLEARING", -4, "TRANSFER"), (1, "BALANCE", -0.25, "FEE"), (1, "FEES", 0.25, "FEE")]
    assert (world.money(1), world.money(2)) == (5.75, 5)


@pytest.mark.parametrize("bad", [
    {"to_account_id": 2, "amount": "9.80", "fee": "0.25"},      # 10.05 of 10
    {"to_account_id": 1, "amount": "1"}, {"to_account_id": 2, "amount": "-1"}, {"to_account_id": 2, "amount": "0"},
    {"to_account_id": 2, "amount": "1", "fee": "-1"}, {"to_account_id": 2, "amount": "1", "fee": "x"}])
def test_a_transfer_that_is_not_covered_or_makes_no_sense_changes_nothing(world, bad):
    assert world.refused("transfer", currency="EUR", **bad)


def test_a_transfer_to_nobody_and_one_within_the_credit_limit(world):
    assert world.refused("transfer", Reason.UNKNOWN_ACCOUNT, to_account_id=9, amount="1", currency="EUR")
    world.send("transfer", account_id=2, to_account_id=1, amount="6", currency="EUR")  # 1.00 and a limit of 5.00
    assert (world.money(1), world.money(2)) == (16, -5)


def test_the_first_rule_that_holds_the_amount_adds_its_bonus_and_extends_validity(world):
    result = world.send("top_up", amount="60", currency="EUR")
    assert rows(result.posting) == [(1, "BALANCE", 60, "TOP_UP"), (1, "TOP_UP", -60, "TOP_UP"),
                                    (1, "BALANCE", 11, "BONUS"), (1, "GRANT", -11, "BONUS")]  # 5.00 and 10 % of 60
    assert world.book.life[0, L_VALID] == parse_time("2026-08-30T10:00:00+00:00")
    assert result.account_state["cause"].tolist() == [StateCause.TOP_UP]
    world.send("top_up", amount="20", currency="EUR")  # 30 days from now would be earlier: validity stays
    assert world.book.life[0, L_VALID] == parse_time("2026-08-30T10:00:00+00:00")
    assert world.book.buckets()[2].tolist() == [10**9]
    assert len(world.send("top_up", amount="5", currency="EUR").account_state) == 0


def test_a_granted_bucket_says_its_validity_and_expires_by_the_clock(world):
    result = world.send("grant", bucket="pass", to="2026-06-10T00:00:00Z")
    assert result.posting["amount"].tolist() == [10**9, -(10**9)]
    world.send("grant", bucket="pass", amount="5 MB")  # another one of the same definition; 30 days
    assert sorted(world.book.buckets()[2].tolist()) == [5_000_000, 10**9]
    assert len(world.clock("2026-06-12T23:59:59Z").posting) == 0       # three days after its end it is closed
    expired = world.clock("2026-06-13T00:00:00Z")
    assert expired.posting["amount"].tolist() == [-(10**9), 10**9]
    assert expired.posting["bucket_id"].tolist() == [result.posting["bucket_id"][0], -1]
    assert world.clock("2026-07-10T00:00:00Z").posting["amount"].tolist() == [-5_000_000, 5_000_000]
    assert world.book.buckets()[0].size == 0


def test_a_bucket_of_money_is_posted_in_the_accounts_currency(world):
    posting = world.send("grant", bucket="gift").posting
    assert rows(posting) == [(1, "ALLOWANCE", 2, "GRANT"), (1, "GRANT", -2, "GRANT")]
    assert posting["currency"].tolist() == [0, 0]
    cells = world.book.balances(world.tariffs, 0)
    assert cells["currency"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("bad", [
    {"bucket": "none"}, {}, {"bucket": "pass", "amount": "0"}, {"bucket": "pass", "amount": "1.5"},
    {"bucket": "pass", "to": "2026-05-01T00:00:00Z"}, {"bucket": "pass", "from": "soon"},
    {"bucket": "pass", "from": "2026-07-01T00:00:00Z", "to": "2026-07-01T00:00:00Z"}])
def test_a_grant_that_makes_no_sense_is_set_aside(world, bad):
    assert world.refused("grant", **bad)


def test_an_account_holds_sixty_granted_buckets_and_no_more(world):
    for _ in range(60):
        assert len(world.send("grant", bucket="pass").posting) == 2
    assert len(set(world.book.buckets()[1].tolist())) == 60
    assert world.refused("grant", Reason.TOO_MANY_BUCKETS, bucket="pass")
    assert world.refused("top_up", Reason.TOO_MANY_BUCKETS, amount="20", currency="EUR")  # its rule grants one


def test_a_recurring_fee_is_debited_when_the_clock_passes_the_cycle(tariffs):
    world = World(tariffs, {"account_id": 1, "opening": "40", "anchor": 31, "plans": [(JANUARY, "line")]},
                  {"account_id": 2, "opening": "3", "anchor": 15, "plans": [(JANUARY, "line")], "shared": 1},
                  {"account_id": 3, "opening": "9", "anchor": 31, "plans": [(JANUARY, "plain")]})
    assert len(world.clock("2026-02-10T00:00:00Z").posting) == 0  # the first clock only begins
    result = world.clock("2026-03-01T00:00:00Z")  # the 15th, and the last day of February
    assert rows(result.posting) == [
        (2, "BALANCE", -3, "FEE"), (2, "FEES", 3, "FEE"), (1, "BALANCE", -28, "FEE"), (1, "FEES", 28, "FEE"),
        (1, "BALANCE", -12, "FEE"), (1, "FEES", 12, "FEE"),       # what was left after the family's member
        (1, "UNCOLLECTED", -19, "FEE_UNCOLLECTED_DEBT"), (1, "FEES", 19, "FEE_UNCOLLECTED_DEBT")]
    assert (world.money(1), world.money(2), world.money(3)) == (0, 0, 9)
    assert len(world.clock("2026-03-01T00:00:00Z").posting) == 0
    assert len(world.clock("2026-03-14T23:00:00Z").posting) == 0


def test_a_plan_that_begins_in_a_cycle_owes_its_share_and_the_one_off_fee(world):
    world.clock("2026-05-01T00:00:00Z")
    world.send("adjust", amount="90", currency="EUR")
    world.send("plan_change", time="2026-05-02T10:00:00Z", plan="line", **{"from": "2026-05-22T12:00:00Z"})
    assert len(world.clock("2026-05-22T11:00:00Z").posting) == 0
    # 31.00 * 10 of 31 days, and 10.00
    assert rows(world.clock("2026-05-22T12:00:00Z").posting)[0::2] == [(1, "BALANCE", -10, "FEE"),
                                                                       (1, "BALANCE", -10, "FEE")]
    assert rows(world.clock("2026-06-02T00:00:00Z").posting)[0::2] == [(1, "BALANCE", -31, "FEE")]
    # behind the clock: at once; without prorate the whole of it
    begun = world.send("option_add", time="2026-06-02T10:00:00Z", plan="daily", **{"from": "2026-06-01T10:00:00Z"})
    assert rows(begun.posting)[0::2] == [(1, "BALANCE", -0.5, "FEE")]
    assert rows(world.clock("2026-06-04T00:00:00Z").posting)[0::2] == [(1, "BALANCE", -0.5, "FEE")] * 2
    world.send("option_remove", time="2026-06-04T10:00:00Z", plan="daily")
    assert len(world.clock("2026-06-05T00:00:00Z").posting) == 0


def test_a_plan_that_begins_behind_the_clock_with_a_cycle_owes_it_whole(world):
    world.clock("2026-05-10T12:00:00Z")
    world.send("adjust", amount="90", currency="EUR")
    begun = world.send("plan_change", time="2026-05-10T13:00:00Z", plan="line", **{"from": "2026-05-01T00:00:00Z"})
    assert sorted(rows(begun.posting)[0::2]) == [(1, "BALANCE", -31, "FEE"), (1, "BALANCE", -10, "FEE")]


def test_the_tax_in_a_fee_is_posted(world):
    # 31.00 gross with 24 percent: 31 * 24 / 124 = 6.00. 10.00 of it is paid, 21.00 is uncollected.
    world.clock("2026-05-20T12:00:00Z")
    world.send("plan_change", time="2026-05-22T10:00:00Z", plan="taxed", **{"from": "2026-06-01T00:00:00Z"})
    posting = world.clock("2026-06-01T00:00:00Z").posting
    assert rows(posting) == [
        (1, "BALANCE", -10, "FEE"), (1, "FEES", 10, "FEE"),
        (1, "UNCOLLECTED", -21, "FEE_UNCOLLECTED_LOSS"), (1, "FEES", 21, "FEE_UNCOLLECTED_LOSS"),
        (1, "FEES", -6, "TAX"), (1, "TAX", 6, "TAX")]
    assert len(set(posting["posting_index"].tolist())) == 6


def test_options_are_asked_before_or_after_the_plans_that_are_there(world):
    world.send("option_add", plan="daily", order="after")
    world.send("option_add", plan="line", to="2026-07-01T00:00:00Z")
    plans = world.book.plan_points(0)
    assert [(start, names) for start, names in plans] == [
        (JANUARY, ["plain"]), (parse_time("2026-06-01T10:00:00+00:00"), ["line", "plain", "daily"]),
        (parse_time("2026-07-01T00:00:00+00:00"), ["plain", "daily"])]
    assert world.refused("option_add", plan="line")     # it has it
    assert world.refused("option_add", plan="gold") and world.refused("option_remove", plan="gold")
    assert world.refused("option_add", plan="line", order="first", time="2026-08-01T00:00:00Z")
    world.send("option_remove", plan="daily", time="2026-06-15T00:00:00Z")
    assert [names for _, names in world.book.plan_points(0)][2:] == [["line", "plain"], ["plain"]]
    assert world.refused("option_remove", plan="plain", time="2026-08-01T00:00:00Z")    # the only one


def test_friends_are_remembered_and_forgotten(world):
    def at(row, token, time="2026-06-01T10:00:00+00:00"):
        return bool(is_friend_nb(world.book.friends, row, token, parse_time(time)))

    for token in range(100, 140):
        world.send("friend_add", token=token)
    assert world.refused("friend_add", token=100)
    world.send("friend_add", account_id=2, token=100, to="2026-07-01T00:00:00Z")
    assert at(0, 139) and not at(1, 139) and at(1, 100) and not at(1, 100, "2026-07-01T00:00:00+00:00")
    world.send("friend_remove", token=139, time="2026-06-02T00:00:00Z")
    assert at(0, 139) and not at(0, 139, "2026-06-02T00:00:00+00:00")
    assert world.refused("friend_remove", token=139, time="2026-06-02T00:00:00Z")
    assert world.refused("friend_add", token="491512345") and world.refused("friend_add", token=-1)


def test_families_are_one_deep(tariffs):
    world = World(tariffs, *({"account_id": n} for n in range(1, 5)))
    world.send("share_join", account_id=2, shared_account_id=1)
    assert world.book.profile[1, F_SHARED] == 0
    assert world.refused("share_join", account_id=3, shared_account_id=2)      # a member
    assert world.refused("share_join", account_id=1, shared_account_id=3)      # has members
    assert world.refused("share_join", account_id=3, shared_account_id=3)
    assert world.refused("share_join", Reason.UNKNOWN_ACCOUNT, account_id=3, shared_account_id=9)
    world.send("share_leave", account_id=2)
    assert world.refused("share_leave", account_id=2)
    world.send("share_join", account_id=1, shared_account_id=3)


def test_timers_move_states_on_each_dated_when_it_was_due(world):
    world.send("state", state="active", valid_until="2026-06-10T00:00:00Z")
    world.clock("2026-07-09T23:00:00Z")
    assert world.book.records[0, STATE] == STATES.index("active")
    moved = world.clock("2026-09-20T00:00:00Z").account_state  # 30 days after validity one-way, 60 later terminated
    assert list(zip(moved["account_id"], [STATES[s] for s in moved["state"]], moved["event_time_us"],
                    strict=True)) == [(1, "one_way", parse_time("2026-07-10T00:00:00+00:00")),
                                      (1, "terminated", parse_time("2026-09-08T00:00:00+00:00"))]
    assert set(moved["cause"].tolist()) == {StateCause.TIMER}
    assert world.book.records[1, STATE] == STATES.index("active")  # no end of validity, no timer


def test_a_top_up_brings_a_one_way_account_back_but_no_barred_one(world):
    world.send("state", state="one_way")
    result = world.send("top_up", amount="60", currency="EUR").account_state
    assert [STATES[s] for s in result["state"]] == ["active"]
    world.send("state", state="barred")
    world.send("top_up", amount="60", currency="EUR", time="2026-07-01T00:00:00Z")
    assert world.book.records[0, STATE] == STATES.index("barred")
    assert world.refused("state", state="active", valid_until="soon")
    world.send("state", state="active", valid_until=None)
    assert world.book.life[0, L_VALID] == NEVER_US


def test_a_period_is_closed_in_each_accounts_zone_and_only_when_it_is_over(tariffs):
    world = World(tariffs, {"account_id": 1}, {"account_id": 2, "zone": "America/New_York"})
    for account in (1, 2):
        end = "2026-07-01T00:00:00Z" if account == 1 else "2026-07-01T04:00:00Z"  # local midnight
        world.send("grant", account_id=account, bucket="pass", to=end)
    world.clock("2026-07-01T20:00:00Z")
    assert world.refused("period_close", through="2026-07-01", time="2026-07-01T20:00:00Z")
    assert world.refused("period_close", through="June", time="2026-07-01T20:00:00Z")
    closed = world.send("period_close", time="2026-07-01T20:00:00Z", through="2026-06-30")
    assert closed.posting["account_id"].tolist() == [1, 1, 2, 2]
    assert world.book.buckets()[0].size == 0


def test_a_book_of_version_1_is_read_with_nothing_of_what_came_later(world):
    tables = to_arrow(world.book)
    old = {"accounts": tables["accounts"].drop_columns(["since_us", "valid_until_us"]),
           "buckets": tables["buckets"].drop_columns(["from_us", "to_us"]),
           "scalars": tables["scalars"].drop_columns(["through_day", "until_us"]),
           **{name: tables[name] for name in ("plans", "sessions", "commands")}}
    old = {name: table.replace_schema_metadata({"tarifa.book": "1"}) for name, table in old.items()}
    assert same_state(from_arrow(old), world.book)
