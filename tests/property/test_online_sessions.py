"""Sessions in real time against an oracle: requests repeated, late, out of order and lost, shared balances, silence."""

from random import Random

import pytest

from rating.book import BalanceBook
from rating.kernels.layout import B_HOLDS, MONEY
from rating.online import OnlineDesk
from rating.snapshot import from_arrow, same_state, to_arrow
from schemas.codes import LedgerAccount, Unit
from schemas.columns import ABSENT
from schemas.online import FinalAction
from tests.online_world import (
    BARRED,
    CENT,
    JANUARY,
    LEAST,
    OFFLINE,
    PRICES,
    QUOTAS,
    REMEMBER_ANSWERS,
    REMEMBER_S,
    RULES,
    SECOND_US,
    SUPERVISION_S,
    TARIFF,
    Network,
    cells_of,
)
from tests.oracle.online import Account, OnlineOracle
from tests.rating_support import make_accounts, one_tariff


@pytest.fixture(scope="module")
def tariffs(tmp_path_factory):
    return one_tariff(tmp_path_factory.mktemp("tariff"), TARIFF)


class Node:
    """The desk with a book of its own, and the ledger's money as postings say it."""

    def __init__(self, tariffs, accounts):
        self.tariffs, self.position, self.sums = tariffs, 0, {}
        self.book = BalanceBook.create()
        rows = [{"account_id": number, "opening": str(a.money / 1e9), "credit": str(a.credit / 1e9),
                 "shared": a.shared, "state": "barred" if a.denied else "active", "plans": [(JANUARY, "p")]}
                for number, a in accounts.items()]
        self.add(self.book.open_accounts(make_accounts(rows), tariffs, 0))
        self.open_desk()

    def open_desk(self):
        self.desk = OnlineDesk(self.book, self.tariffs, RULES, {"source": ["gy"], "apn": []})

    def restart(self):
        """From a snapshot: nothing is lost, and what is written again is the same."""
        before = self.book
        self.book = from_arrow(to_arrow(before))
        assert same_state(self.book, before)
        self.open_desk()

    def add(self, posting):
        for ledger, unit, amount in zip(*(posting[n].tolist() for n in ("ledger_account", "unit", "amount")),
                                        strict=True):
            assert unit == Unit.MONEY
            self.sums[LedgerAccount(ledger)] = self.sums.get(LedgerAccount(ledger), 0) + amount
        assert sum(self.sums.values()) == 0

    def serve(self, block, received_us):
        self.position += 1
        served = self.desk.serve(cells_of(block), received_us, self.position)
        self.add(served.charged.posting)
        answers = served.answers
        found = []
        for code, message, repeated, granted, due, final in zip(*(answers[name].tolist() for name in (
                "result_code", "message_code", "repeated", "granted", "due_nanos", "final_action")), strict=True):
            found.append({"code": code, "message": message, "repeated": bool(repeated), "final": final > 0,
                          "granted": None if granted == ABSENT else granted, "due": None if due == ABSENT else due})
            assert final in (FinalAction.NONE, FinalAction.REDIRECT)
        assert len(served.grants) == sum(not answer["repeated"] for answer in found)
        return found

    def clock(self, now_us):
        self.position += 1
        served = self.desk.clock(now_us, self.position)
        self.add(served.charged.posting)
        assert served.grants["released"].all()

    def check(self, oracle):
        book = self.book
        for number, account in oracle.accounts.items():
            assert int(book.records[book.row_of(number), MONEY]) == account.money, number
        held = sum(part for hold in oracle.holds.values() for _, part in hold)
        assert int(book.held()[2].sum()) == held
        money = sum(account.money for account in oracle.accounts.values())
        assert self.sums.get(LedgerAccount.BALANCE, 0) == money + held
        assert self.sums.get(LedgerAccount.REVENUE, 0) == oracle.revenue
        assert -self.sums.get(LedgerAccount.UNCOLLECTED, 0) == oracle.uncollected
        assert len(book.online) == len(oracle.sessions)
        assert book.online.open == sum(session.is_open for session in oracle.sessions.values())


def make_accounts_of(r):
    accounts = {number: Account(r.choice((0, 3, 40, 500)) * CENT, r.choice((0, 0, 10)) * CENT)
                for number in (1, 2, 3, 4)}
    accounts[2].shared = accounts[3].shared = 1
    accounts[BARRED] = Account(100 * CENT, denied=4010)
    return accounts


def live(tariffs, seed, blocks):
    r = Random(seed)
    accounts = make_accounts_of(r)
    node = Node(tariffs, accounts)
    oracle = OnlineOracle(accounts, PRICES, QUOTAS, LEAST, SUPERVISION_S, REMEMBER_S, (OFFLINE,),
                          REMEMBER_ANSWERS)
    network = Network(r)
    for number in range(blocks):
        network.now_us += r.choice((1000, SECOND_US, 20 * SECOND_US, 150 * SECOND_US))
        if r.random() < 0.3:
            node.clock(network.now_us)
            oracle.clock(network.now_us)
        block = network.messages()
        if block:
            wanted, found = oracle.serve(block, network.now_us), node.serve(block, network.now_us)
            for at, (one, other) in enumerate(zip(wanted, found, strict=True)):
                assert one == other, f"seed {seed}, block {number}, row {at}: {block}"
        if r.random() < 0.05:
            node.restart()
        node.check(oracle)
    node.clock(network.now_us + 10_000 * SECOND_US)
    oracle.clock(network.now_us + 10_000 * SECOND_US)
    node.check(oracle)
    assert not oracle.holds and node.book.scalars[B_HOLDS] == 0
    node.clock(network.now_us + 20_000 * SECOND_US)
    assert len(node.book.online) == 0


def test_sessions_are_what_the_oracle_says(tariffs):
    for seed in range(40):
        live(tariffs, seed, 60)


@pytest.mark.slow
def test_more_sessions_are_what_the_oracle_says(tariffs):
    for seed in range(1000, 3000):
        live(tariffs, seed, 120)
