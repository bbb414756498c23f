"""Sessions that fall silent: what the ledger is told, and what mediation makes of it."""

from pathlib import Path

import numpy as np
import pytest

from mediation.kernels.online import BY, BY_CHARGING_ID, BY_REFERENCE, CLOSED, KEY, KIND
from mediation.online_usage import OnlineIndex, charging_keys, closed_by_supervision, reference_keys, rows_of_grants
from rating.book import BalanceBook
from rating.online import OnlineDesk
from schemas.columns import ABSENT
from tests.online_world import JANUARY, NOON, RULES, SECOND_US, SUPERVISION_S, TARIFF, cells_of
from tests.rating_support import make_accounts, one_tariff

ICID = (5, 6)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> OnlineDesk:
    tariffs = one_tariff(tmp_path_factory.mktemp("tariff"), TARIFF)
    book = BalanceBook.create()
    book.open_accounts(make_accounts([{"account_id": 1, "opening": "5", "plans": [(JANUARY, "p")]}]), tariffs, 0)
    return OnlineDesk(book, tariffs, RULES, {"source": ["gy"], "apn": []})


def test_all_are_told_to_be_closed_whether_they_held_something_or_not(desk: OnlineDesk, tmp_path: Path) -> None:
    """A session that holds two groups, one that has asked for no units yet, and a call."""
    def begins(session: int, service: str, *names: tuple[int, int], **wish: int) -> dict[str, object]:
        return {"session": session, "number": 0, "kind": "initial", "account": 1, "service": service, "time_us": NOON,
                "services": [{"name": name, **wish} for name in names]}

    asked = cells_of([begins(1, "data", (1, ABSENT), (2, ABSENT), requested=10_000),
                      begins(2, "data", (3, ABSENT)),
                      begins(3, "voice", (ABSENT, ABSENT), requested=10)])
    asked["charging_id"][:3] = [70, 70, 71]
    asked["gateway_address"][:3] = 9
    asked["icid_hi"][3], asked["icid_lo"][3] = ICID
    index = OnlineIndex(tmp_path)
    begun = desk.serve(asked, NOON, 1)
    assert begun.answers["granted"].tolist() == [10_000, 10_000, ABSENT, 10]
    index.add(rows_of_grants(begun.grants))
    over = desk.clock(NOON + (SUPERVISION_S + 5) * SECOND_US, 2).grants
    assert sorted(zip(over["session_lo"].tolist(), over["rating_group"].tolist(), strict=True)) == [
        (1, 1), (1, 2), (2, ABSENT), (3, ABSENT)]
    assert over["released"].all() and len(set(over["event_id_lo"].tolist())) == 4
    index.add(rows_of_grants(over))
    closed = index.closings(closed_by_supervision(over))
    data, other = charging_keys(np.array([70, 71])).tolist()
    call = int(reference_keys(np.array(ICID[:1]), np.array(ICID[1:]))[0])
    assert set(zip(closed[:, KEY].tolist(), closed[:, BY].tolist(), strict=True)) == {
        (data, BY_CHARGING_ID), (other, BY_CHARGING_ID), (call, BY_REFERENCE)}
    assert (closed[:, KIND] == CLOSED).all()


def test_what_was_told_to_be_closed_is_told_once(desk: OnlineDesk) -> None:
    assert not len(desk.clock(NOON + (2 * SUPERVISION_S + 10) * SECOND_US, 3).grants)
