"""Money of events is posted in the currency of its account, also of one that came after the first request."""

from pathlib import Path

from rating.book import BalanceBook
from rating.online import OnlineDesk
from schemas.columns import ABSENT
from tests.online_world import CENT, JANUARY, NOON, RULES, TARIFF, cells_of
from tests.rating_support import make_accounts, one_tariff


def test_accounts_in_other_currencies_may_come_while_the_desk_is_open(tmp_path: Path) -> None:
    tariffs = one_tariff(tmp_path, TARIFF + "  q: {currency: USD, prices: [{service: generic, rate: free}]}\n")
    book, currencies = BalanceBook.create(), tariffs.labels["currency"]
    desk = OnlineDesk(book, tariffs, RULES, {"source": ["gy"], "apn": []})
    assert sorted(currencies) == ["EUR", "USD"]

    def refund(number: int, account: int) -> list[str]:
        event = cells_of([{"session": 50 + number, "number": number, "kind": "event", "action": "refund",
                           "account": account, "service": "generic", "time_us": NOON, "money": CENT,
                           "services": [{"name": (ABSENT, ABSENT)}]}])
        posted = desk.serve(event, NOON + number, number).charged.posting
        return [currencies[label] for label in posted["currency"].tolist()]

    assert refund(1, 7) == []  # nobody has it
    for number, (account, plan, currency) in enumerate(((7, "q", "USD"), (8, "p", "EUR")), 2):
        book.open_accounts(make_accounts([{"account_id": account, "currency": currency, "plans": [(JANUARY, plan)]}]),
                           tariffs, number)
        assert refund(number, account) == [currency] * 2
