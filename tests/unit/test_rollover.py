"""A cycle that no usage met rolls over too: since when it counts, by which plan and version, and what is posted."""

import pyarrow as pa
import pytest

from pipelines.corrections.correction import _completed
from rating.days import RESTING
from rating.kernels.layout import QUARANTINED, TERMINATED
from rating.snapshot import from_arrow, to_arrow
from reference_data.accounts import STATES
from schemas.codes import LedgerAccount, PostingReason
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT
from schemas.timepoint import parse_time
from tests.rating_support import make_accounts
from tests.unit.test_buckets import JANUARY, Case

MONTH = "{name: v, unit: octet, amount: 1000, cycle: month, rollover: {cap: 200}}"
JULY = (parse_time("2026-07-01T00:00:00+00:00") // 86_400_000_000)


def data(case, quantity, day, account=1):
    """Units that an allowance covered of some data on a day."""
    return case.use(quantity, f"{day}T10:00:00+00:00", account=account, service="data").rated["allowance_quantity"][0]


def postings(result):
    """(reason, first day of the bucket's cycle, whether it rolled over, amount) of an event's allowance rows."""
    cells = result.posting
    return [(PostingReason(reason).name, bucket & ((1 << 17) - 1), (bucket >> BUCKET_CYCLE_SHIFT & 7) > 4, amount)
            for reason, ledger, bucket, amount in zip(*(cells[n].tolist() for n in (
                "reason", "ledger_account", "bucket_id", "amount")), strict=True) if ledger == LedgerAccount.ALLOWANCE]


def test_an_empty_month_is_granted_and_rolls_over_by_postings_of_the_event_that_meets_the_next(tmp_path):
    case = Case(tmp_path, MONTH)
    assert data(case, 100, "2026-06-10") == 100
    case.send("clock", "2026-07-04T00:00:00Z")
    assert case.left() == [200]                 # June's, for July; nothing was used in July
    result = case.use(1300, "2026-08-05T10:00:00+00:00", service="data")
    assert result.rated["allowance_quantity"][0] == 1200
    august = JULY + 31
    assert postings(result) == [
        ("GRANT", august, False, 1000), ("GRANT", JULY, False, 1000), ("ROLLOVER", JULY, False, -200),
        ("ROLLOVER", august, True, 200), ("CHARGE", august, True, -200), ("CHARGE", august, False, -1000)]
    assert case.left() == [0, 0, 200, 800]      # what is July's stays for late usage
    assert data(case, 210, "2026-07-20") == 210
    closed = case.send("clock", "2026-08-05T12:00:00Z").posting
    assert closed["reason"].tolist() == [PostingReason.EXPIRY] * 2 and sorted(closed["amount"].tolist()) == [-790, 790]
    assert case.left() == [0, 0]


def test_an_older_month_that_is_open_yet_rolls_into_the_empty_one(tmp_path):
    case = Case(tmp_path, MONTH)
    data(case, 100, "2026-06-10")
    data(case, 1300, "2026-08-05")
    assert case.left() == [0, 0, 200, 700, 800]     # August; June's in July; June's rest; July's rest


def test_only_the_cycle_before_is_looked_at_however_long_nothing_was_used(tmp_path):
    case = Case(tmp_path, MONTH)
    data(case, 1, "2026-01-10")
    assert len(case.use(1, "2031-08-05T10:00:00+00:00", service="data").posting) < 12
    assert case.left() == [199, 800, 999, 1000]


def test_a_month_that_was_used_up_and_closed_is_no_empty_one(tmp_path):
    case = Case(tmp_path, MONTH)
    assert data(case, 1000, "2026-06-10") == 1000
    case.send("clock", "2026-07-04T00:00:00Z")
    assert case.left() == [0]                   # says to July that June was met
    assert data(case, 1100, "2026-07-10") == 1000


def test_an_account_that_was_never_seen_brings_nothing_along_but_from_its_first_clock_on(tmp_path):
    case = Case(tmp_path, MONTH, accounts=({"account_id": 1}, {"account_id": 2}))
    assert data(case, 1300, "2026-08-05") == 1000
    case.send("clock", "2026-08-31T12:00:00Z")
    assert data(case, 1300, "2026-09-05", account=2) == 1200    # its August was not over when the clock came first
    for account in (1, 2):                      # a second clock begins nothing: what counts is kept in the snapshot
        case.book = from_arrow(to_arrow(case.book))
        assert data(case, 1300, "2026-11-05", account=account) == 1200


@pytest.mark.parametrize(("opened", "covered"), [("2026-08-31T12:00:00Z", 1200), ("2026-09-01T00:00:00Z", 1000)])
def test_an_account_opened_later_counts_from_the_clock_of_its_opening(tmp_path, opened, covered):
    case = Case(tmp_path, MONTH)
    case.send("clock", "2026-06-01T00:00:00Z")
    case.send("clock", opened)
    case.postings.append(case.book.open_accounts(make_accounts(
        [{"account_id": n, "opening": "10", "plans": [(JANUARY, "p")]} for n in (1, 2)]), case.tariffs, 3))
    assert data(case, 1300, "2026-09-05", account=2) == covered


@pytest.mark.parametrize(("first", "second", "covered"), [
    ("2026-07-20", None, 1200),             # bought in July: July counts whole
    ("2026-08-01", None, 1000),             # bought with August: it had no July
    ("2026-02-01", "2026-07-20", 1000),     # changed to another plan before July was over
    ("2026-07-20", "2026-08-02", 0)])       # and in August: nothing of it is met
def test_the_plan_must_be_there_when_the_cycle_ends_and_when_the_next_begins(tmp_path, first, second, covered):
    points = [(JANUARY, "q"), (parse_time(f"{first}T00:00:00+00:00"), "p")]
    if second:
        points += [(parse_time(f"{second}T00:00:00+00:00"), "q")]
        if covered:
            points.append((parse_time("2026-08-02T00:00:00+00:00"), "p"))
    case = Case(tmp_path, MONTH, accounts=({"account_id": 1, "plans": points},), more=(
        "\n  q: {prices: [{service: data, rate: m}]}"))
    case.send("clock", "2026-02-01T00:00:00Z")
    assert data(case, 1300, "2026-08-05") == max(covered, 0)


def test_a_plan_change_or_option_after_the_empty_month_takes_nothing_away(tmp_path):
    case = Case(tmp_path, MONTH, more="\n  q: {prices: [{service: voice, rate: r}]}")
    data(case, 1, "2026-06-10")
    case.send("option_add", "2026-08-02T00:00:00Z", plan="q", priority=5)
    assert data(case, 1300, "2026-08-05") == 1200


@pytest.mark.parametrize("state", ["terminated", "quarantined", "pre_active"])
def test_an_account_that_rests_collects_nothing_and_begins_anew(tmp_path, state):
    case = Case(tmp_path, MONTH)
    data(case, 1, "2026-05-10")
    case.send("state", "2026-06-10T00:00:00Z", state=state)
    if state != "pre_active":                   # which usage would wake
        assert data(case, 1300, "2026-08-05") == 1000
    case.send("state", "2026-09-10T00:00:00Z", state="active")
    assert data(case, 1300, "2026-09-12") == 1000
    assert data(case, 1300, "2026-11-05") == 1200


@pytest.mark.parametrize("state", ["one_way", "barred"])
def test_other_states_go_on(tmp_path, state):
    case = Case(tmp_path, MONTH)
    data(case, 1, "2026-06-10")
    case.send("state", "2026-07-01T00:00:00Z", state=state)
    assert data(case, 1300, "2026-08-05") == 1200


def test_what_another_system_kept_begins_the_days(tmp_path):
    case = Case(tmp_path, MONTH)
    case.send("open_balance", "2026-06-20T00:00:00Z", bucket="v", amount="40", cycle="2026-06-20T00:00:00Z")
    assert data(case, 1300, "2026-08-05") == 1200


def test_late_usage_before_an_empty_cycle_finds_what_an_open_one_left(tmp_path):
    """Days: the 1st was met, the 3rd makes up for the 2nd, and late usage of the 2nd finds the rest of the 1st too."""
    case = Case(tmp_path, "{name: v, unit: octet, amount: 1000, cycle: day, rollover: {cap: 200}}")
    data(case, 900, "2026-06-01")
    assert data(case, 1300, "2026-06-03") == 1200
    assert data(case, 1300, "2026-06-02") == 900        # 100 of the 1st, 800 of the 2nd that did not go on


def test_a_shared_allowance_counts_for_who_shares_it(tmp_path):
    case = Case(tmp_path, MONTH, more="\n  q: {prices: [{service: data, rate: m}]}", accounts=(
        {"account_id": 1}, {"account_id": 2, "shared": 1, "plans": [(JANUARY, "q")]}))
    data(case, 1, "2026-06-10", account=2)
    assert data(case, 1300, "2026-08-05", account=2) == 1200


def test_money_rolls_over_too(tmp_path):
    case = Case(tmp_path, "{name: v, unit: money, amount: 2.00, cycle: week, rollover: {cap: 0.50}}")
    case.use(1, "2026-06-01T10:00:00+00:00")
    result = case.use(240, "2026-06-17T10:00:00+00:00")     # 2.40: 0.50 of the week before, 1.90 of this one
    assert case.money() == 10.0 and result.rated["charge_nanos"][0] == 2_400_000_000
    assert 100_000_000 in case.left()


def test_a_book_of_an_earlier_release_begins_its_days_with_its_clock(tmp_path):
    case = Case(tmp_path, MONTH)
    data(case, 1, "2026-06-10")
    case.send("clock", "2026-08-02T00:00:00Z")
    tables = to_arrow(case.book)
    tables["accounts"] = tables["accounts"].drop_columns(["days_since"])
    case.book = from_arrow(tables)
    assert to_arrow(case.book)["accounts"]["days_since"] == pa.chunked_array([[JULY + 32]])
    assert data(case, 1300, "2026-08-05") == 1000
    assert data(case, 1300, "2026-10-05") == 1200


def test_a_correction_of_an_earlier_release_leaves_the_days_as_the_book_has_them(tmp_path):
    case = Case(tmp_path, MONTH, accounts=({"account_id": 1}, {"account_id": 2}))
    data(case, 1, "2026-06-10", account=2)
    live = to_arrow(case.book)["accounts"]
    kept = live.drop_columns(["days_since"]).slice(1, 1)
    assert _completed(kept, live).equals(live.slice(1, 1)) and live["days_since"][1].as_py() == JULY - 21


def test_the_places_of_states_that_rest_are_those_of_the_accounts():
    assert (STATES[TERMINATED], STATES[QUARANTINED]) == ("terminated", "quarantined")
    assert {STATES[place] for place in RESTING} == {"pre_active", "terminated", "quarantined"}
