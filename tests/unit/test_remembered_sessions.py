"""How long sessions are remembered is the operator's: shorter, longer, and what is forgotten stays so."""

from rating.book import NO_CLOCK_US
from rating.kernels.layout import B_GONE, B_SESSIONS
from rating.snapshot import from_arrow, to_arrow
from schemas.timepoint import DAY_S
from tests.unit.test_buckets import Case


def before(case, time, session=1):
    """What earlier reports of a session had brought, as a report at that time was told."""
    return case.use(10, time, session=session).rated["session_quantity_before"][0]


def test_a_session_unheard_of_for_the_horizon_is_another_one(tmp_path):
    case = Case(tmp_path)
    assert case.book.remembers_sessions_s == 35 * DAY_S
    assert before(case, "2026-06-01T10:00:00+00:00") == 0
    assert before(case, "2026-06-30T10:00:00+00:00") == 10
    case.book.remember_sessions(2 * DAY_S)
    assert before(case, "2026-07-02T10:00:00+00:00") == 20     # just not longer than that
    assert before(case, "2026-07-04T10:00:01+00:00") == 0
    case.book.remember_sessions(35 * DAY_S)
    assert before(case, "2026-08-01T10:00:00+00:00") == 10


def test_the_clock_lets_go_of_what_is_older_once_a_day(tmp_path):
    case = Case(tmp_path)
    for session in range(1, 6):
        before(case, "2026-06-01T10:00:00+00:00", session)
    case.book.remember_sessions(4 * DAY_S)
    case.send("clock", "2026-06-05T09:00:00Z")
    assert int(case.book.scalars[B_SESSIONS]) == 5
    case.send("clock", "2026-06-06T00:00:00Z")
    assert int(case.book.scalars[B_SESSIONS]) == 0
    case.book.remember_sessions(35 * DAY_S)
    assert before(case, "2026-06-06T10:00:00+00:00") == 0      # forgotten is forgotten


def test_a_day_that_may_be_forgotten_is_rounded_on_its_own_whatever_the_horizon_is_later(tmp_path):
    case = Case(tmp_path, more="rounding: {rule: half_up, decimals: 2, scope: day}")

    def kilobytes(time):
        rated = case.use(4000, time, service="data").rated
        return int(rated["charge_nanos"][0]), int(rated["scope_numerator_before"][0]) >= 0

    assert kilobytes("2026-06-01T10:00:00+00:00") == (0, True)
    assert kilobytes("2026-06-01T11:00:00+00:00") == (10_000_000, True)     # 0.008
    case.book.remember_sessions(4 * DAY_S)
    case.send("clock", "2026-06-10T00:00:00Z")
    case.book.remember_sessions(35 * DAY_S)
    case.send("clock", "2026-06-10T01:00:00Z")
    case.book = from_arrow(to_arrow(case.book))
    assert [kilobytes("2026-06-01T12:00:00+00:00") for _ in range(2)] == [(0, False)] * 2
    assert kilobytes("2026-06-09T12:00:00+00:00") == (0, True)


def test_a_snapshot_of_an_earlier_release_has_forgotten_nothing_by_another_horizon(tmp_path):
    case = Case(tmp_path)
    case.send("clock", "2026-06-10T00:00:00Z")
    tables = to_arrow(case.book)
    tables["scalars"] = tables["scalars"].drop_columns(["gone_us"])
    assert from_arrow(tables).scalars[B_GONE] == NO_CLOCK_US
