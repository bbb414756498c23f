"""Sessions in real time against an oracle: requests repeated, late, out of order and lost, shared balances, silence."""

from random import Random

import pytest

from rating.book import BalanceBook
from rating.kernels.layout import B_HOLDS, MONEY
from rating.online import OnlineDesk
from rating.snapshot import from_arrow, same_state, to_arrow
from reference_data.online import OnlineRules, ServiceRules
from reference_data.tariffs.compile import load_tariffs
from schemas.codes import LedgerAccount, Service, Unit
from schemas.columns import ABSENT, Cells
from schemas.digits import pack
from schemas.online import REQUEST, FinalAction
from schemas.timepoint import parse_time
from tests.oracle.online import Account, OnlineOracle
from tests.rating_support import make_accounts

JANUARY = parse_time("2026-01-01T00:00:00+00:00")
NOON = parse_time("2026-06-01T12:00:00+00:00")
SECOND_US = 1_000_000
CENT = 10_000_000
PRICES = {"voice": CENT // 10, "data": 50, "sms": 7 * CENT, "generic": 0}
QUOTAS = {"voice": 60, "data": 1 << 20, "sms": 1, "generic": 10}
LEAST = {"voice": 5, "data": 1000, "sms": 1, "generic": 1}
SUPERVISION_S, REMEMBER_S, OFFLINE = 300, 200, 99
RULES = OnlineRules(supervision_s=SUPERVISION_S, remember_s=REMEMBER_S, offline_rating_groups=(OFFLINE,),
                    **{name: ServiceRules(QUOTAS[name], LEAST[name], final="redirect", redirect_url="http://top.up")
                       for name in PRICES})
KINDS = ["initial", "update", "terminate", "event"]
ACTIONS = ["debit", "refund", "check", "enquiry"]
BARRED = 5


@pytest.fixture(scope="module")
def tariffs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tariff")
    (folder / "d.csv").write_text("prefix,zone\n4,near\n")
    (folder / "t.yaml").write_text("""version: t
active_from: 2026-01-01T00:00:00
time_zone: UTC
currency: EUR
decks: {main: d.csv}
rates:
  voice: {unit: second, slots: [{price: "0.001", per: 1, step: 1}]}
  data: {unit: octet, slots: [{price: "0.0000005", per: 10, step: 1}]}
  sms: {unit: message, slots: [{price: "0.07", per: 1, step: 1}]}
  free: {unit: unit, free: true}
plans:
  p:
    rounding: {rule: half_up, decimals: 9}
    prices:
      - {service: voice, rate: voice}
      - {service: data, rate: data}
      - {service: sms, rate: sms}
      - {service: generic, rate: free}
""")
    return load_tariffs(folder)


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


def cells_of(block):
    """Messages as REQUEST cells."""
    rows = [(place, m, s) for place, m in enumerate(block) for s in m["services"]]
    cells = Cells.empty(REQUEST, len(rows), fill=ABSENT)
    for i, (place, m, s) in enumerate(rows):
        service = Service[m["service"].upper()]
        named = m["account"] not in ("same", "nobody")
        group, identifier = s["name"]
        for name, value in {
            "source": 0, "service": service, "direction": 0, "event_time_us": m["time_us"], "merged_count": 1,
            "unit": {"voice": Unit.SECOND, "data": Unit.OCTET, "sms": Unit.MESSAGE, "generic": Unit.UNIT}[m["service"]],
            "msisdn_token": ABSENT if m["account"] == "same" else 77, "account_id": m["account"] if named else ABSENT,
            "other_prefix": pack("4930123456"), "other_class": 0, "incomplete": 0, "roaming": 0,
            "session_hi": 900, "session_lo": m["session"], "rating_group": group, "service_identifier": identifier,
            "kind": KINDS.index(m["kind"]), "number": m["number"], "message": place,
            "action": ACTIONS.index(m["action"]) if "action" in m else ABSENT,
            "requested": s.get("requested", ABSENT), "used": s.get("used", ABSENT),
            "used_after": s.get("after", ABSENT), "money_nanos": m.get("money", ABSENT),
        }.items():
            cells[name][i] = value
    return cells


def make_accounts_of(r):
    accounts = {number: Account(r.choice((0, 3, 40, 500)) * CENT, r.choice((0, 0, 10)) * CENT)
                for number in (1, 2, 3, 4)}
    accounts[2].shared = accounts[3].shared = 1
    accounts[BARRED] = Account(100 * CENT, denied=4010)
    return accounts


class Network:
    """Clients that send requests, some of them again, some later than others, some never."""

    def __init__(self, r):
        self.r, self.now_us, self.next, self.open, self.sent, self.delayed = r, NOON, 0, [], [], []

    def messages(self):
        r = self.r
        block = []
        for _ in range(r.choice((1, 1, 2, 5, 12))):
            kind = r.random()
            if kind < 0.12 and self.sent:
                block.append(r.choice(self.sent[-40:]))  # again
                continue
            if kind < 0.2 and self.delayed:
                block.append(self.delayed.pop(r.randrange(len(self.delayed))))
                continue
            message = self.message()
            self.sent.append(message)
            if r.random() < 0.08:
                self.delayed.append(message)
            elif r.random() < 0.97:
                block.append(message)
        return block

    def message(self):
        r = self.r
        choice = r.random()
        if choice < 0.15:
            return self.event()
        if choice < 0.4 or not self.open:
            self.next += 1
            service = r.choice(("voice", "data", "data", "generic"))
            names = [(ABSENT, ABSENT)] if service == "voice" else [
                (group, r.choice((ABSENT, 7))) for group in r.sample((1, 2, 3, OFFLINE), r.choice((1, 2, 3)))]
            call = {"session": self.next, "service": service, "names": names, "number": 0,
                    "account": r.choice((1, 2, 2, 3, 3, 4, BARRED, "nobody"))}
            self.open.append(call)
            return self.request(call, "initial")
        call = r.choice(self.open)
        call["number"] += r.choice((1, 1, 1, 1, 2))
        if choice < 0.55:
            self.open.remove(call)
            return self.request(call, "terminate")
        if choice < 0.57:
            return self.request(call, "initial")
        if choice < 0.6:
            call = call | {"session": 5000 + r.randrange(50)}  # of a session that nobody began
        return self.request(call, "update")

    def request(self, call, kind):
        r = self.r
        services = []
        for name in r.sample(call["names"], r.randint(1, len(call["names"]))):
            service = {"name": name}
            if kind != "terminate" and r.random() < 0.9:
                service["requested"] = r.choice((0, 1, 10, 60, 500, 100_000))
            if kind != "initial" and r.random() < 0.9:
                service["used"] = r.choice((0, 1, 30, 60, 2000, 200_000))
                if r.random() < 0.1:
                    service["after"] = r.choice((0, 5))
            services.append(service)
        account = call["account"] if kind == "initial" or r.random() < 0.5 else "same"
        return {"session": call["session"], "number": call["number"], "kind": kind, "account": account,
                "service": call["service"], "services": services, "time_us": self.now_us}

    def event(self):
        r = self.r
        self.next += 1
        event = {"session": self.next, "number": 0, "kind": "event", "service": r.choice(("sms", "voice")),
                 "account": r.choice((1, 2, 3, 4, BARRED, "nobody")), "action": r.choice(ACTIONS),
                 "services": [{"name": (ABSENT, ABSENT)}], "time_us": self.now_us}
        if event["action"] != "enquiry" and r.random() < 0.4:
            event["money"] = r.choice((1, 50)) * CENT
        else:
            event["services"][0]["requested"] = r.choice((0, 1, 3))
        return event


def live(tariffs, seed, blocks):
    r = Random(seed)
    accounts = make_accounts_of(r)
    node = Node(tariffs, accounts)
    oracle = OnlineOracle(accounts, PRICES, QUOTAS, LEAST, SUPERVISION_S, REMEMBER_S, (OFFLINE,))
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
