"""Commands beside the requests: who sends them, some of them again, and what an oracle says of each in the journal.

Reservations end as often as they begin: open ones mostly, but also some that are over by the clock, that were ended
already, that were never made or are another's; and who got no answer, since the power failed, asks again.
"""

from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from random import Random
from typing import Any

from tests.online_world import BARRED, CENT
from tests.oracle.online import OnlineOracle
from tests.simulate.world import CREDIT

Command = dict[str, Any]
Told = tuple[str, str]  # id and status: done, repeated or refused


class Shop:
    """Sends commands, and remembers what it was told."""

    def __init__(self, luck: Random) -> None:
        self.luck = luck
        self.numbers = 0
        self.reserves: list[Command] = []
        self.ends: list[Command] = []
        self.open: dict[str, Command] = {}   # reservations that may go on, by the id of what made them
        self.unanswered: list[Command] = []  # of another life
        self.confirmed: set[str] = set()

    def command(self, now_us: int) -> Command:
        """What is sent next."""
        luck = self.luck
        if self.unanswered and luck.random() < 0.5:
            return self.unanswered.pop(luck.randrange(len(self.unanswered)))
        if luck.random() < 0.65:
            return self._reservation(now_us)
        command = {"id": f"c-{luck.randrange(60)}", "time": "2026-10-21T12:00:00Z"}
        kind = luck.choice(("top_up", "top_up", "share_leave", "share_join"))
        if command["id"] in self.confirmed:
            return {**command, "kind": "top_up", "account_id": 4, "amount": "1.00", "currency": "EUR"}
        if kind == "top_up":
            return {**command, "kind": kind, "account_id": luck.choice((1, 2, 3, 4)), "currency": "EUR",
                    "amount": luck.choice(("0.50", "3.00"))}
        return {**command, "kind": kind, "account_id": luck.choice((2, 3)),
                **({"shared_account_id": luck.choice((1, 4))} if kind == "share_join" else {})}

    def _reservation(self, now_us: int) -> Command:
        luck = self.luck
        if luck.random() < 0.15 and self.ends:
            return luck.choice((*self.ends[-3:], luck.choice(self.reserves)))  # the same again
        if luck.random() < 0.4 or not self.reserves:
            account = BARRED if luck.random() < 0.05 else luck.choice((1, 1, 2, 4, 4, 4))
            lasts_s = 0 if luck.random() < 0.05 else luck.choice((30, 300, 5000, 100_000))
            made = {"id": self._id("r"), "time": _iso(now_us), "account_id": account, "kind": "reserve",
                    "amount": luck.choice(("0.10",) * 7 + ("2.50",)), "currency": "EUR",
                    "until": _iso(now_us + lasts_s * 1_000_000)}
            self.reserves.append(made)
            self.open[made["id"]] = made
            return made
        going = [each for each in self.open.values() if _us(each["until"]) > now_us and each["id"] in self.confirmed]
        of = luck.choice(going if going and luck.random() < 0.85 else self.reserves)
        if luck.random() < 0.8:  # else another asks for the same meanwhile
            self.open.pop(of["id"], None)
        ended = {"id": self._id("e"), "time": _iso(now_us), "account_id": of["account_id"],
                 "reservation": name_of(of["id"]), **luck.choice((
                     {"kind": "reservation_release"}, {"kind": "reservation_debit"},
                     {"kind": "reservation_debit", "amount": luck.choice(("0.05",) * 7 + ("1.00",))}))}
        if luck.random() < 0.05:
            ended["account_id"] = luck.choice((1, 2, 4))
        self.ends.append(ended)
        return ended

    def _id(self, letter: str) -> str:
        self.numbers += 1
        return f"{letter}-{self.numbers}"

    def answered(self, command: Command, status: str) -> None:
        """The node has said what became of it."""
        if status != "refused":
            self.confirmed.add(command["id"])
        elif command["kind"] == "reserve":
            self.open.pop(command["id"], None)


class CommandOracle:
    """Carries commands of the journal out, in plain numbers. open: reservations by name: account, nanos, until."""

    def __init__(self, oracle: OnlineOracle) -> None:
        self.oracle = oracle
        self.applied: set[str] = set()
        self.open: dict[str, tuple[int, int, int]] = {}
        self.over: set[str] = set()
        self.told: dict[int, Told] = {}  # by journal position
        self.counts: Counter[str] = Counter()

    def held(self) -> int:
        """All that is reserved."""
        return sum(nanos for _, nanos, _ in self.open.values())

    def carry_out(self, position: int, command: Command) -> None:
        """A command of the journal."""
        kind = command["kind"]
        if command["id"] in self.applied:
            status = "repeated"
        elif self._does(command):
            self.applied.add(command["id"])
            status = "done"
        else:
            status = "refused"
            if command.get("reservation") in self.over:
                self.counts["of one that was over"] += 1
        self.told[position] = command["id"], status
        self.counts[f"{kind} {status}"] += 1

    def _does(self, command: Command) -> bool:
        accounts, who = self.oracle.accounts, self.oracle.accounts[command["account_id"]]
        if command["kind"] == "reserve":
            return self._reserve(command)
        if "reservation" in command:
            return self._end(command)
        if command["kind"] == "top_up":
            who.money += nanos_of(command["amount"])
            self.oracle.moved += nanos_of(command["amount"])
        elif command["kind"] == "share_leave":
            if who.shared is None:
                return False
            who.shared = None
        else:
            other = command["shared_account_id"]
            if accounts[other].shared is not None:
                return False
            who.shared = other
        return True

    def _reserve(self, command: Command) -> bool:
        account, now_us = command["account_id"], _us(command["time"])
        who, until_us, nanos = self.oracle.accounts[account], _us(command["until"]), nanos_of(command["amount"])
        lapsed = sum(n for a, n, until in self.open.values() if a == account and until <= now_us)
        if account == BARRED or until_us <= now_us or \
                nanos > who.money + lapsed + nanos_of(CREDIT.get(account, "0")):
            return False
        self.clock(now_us, account)
        who.money -= nanos
        self.open[name_of(command["id"])] = account, nanos, until_us
        return True

    def _end(self, command: Command) -> bool:
        name, amount = command["reservation"], command.get("amount")
        owner, nanos, until_us = self.open.get(name, (0, 0, 0))
        taken = 0 if command["kind"] == "reservation_release" else nanos if amount is None else nanos_of(amount)
        if owner != command["account_id"] or until_us <= _us(command["time"]) or taken > nanos:
            return False
        self._over(name)
        self.oracle.accounts[owner].money += nanos - taken
        self.oracle.moved -= taken
        return True

    def clock(self, now_us: int, account: int | None = None) -> None:
        """Give back what is over, of one account or of all."""
        for name, (owner, nanos, until_us) in list(self.open.items()):
            if until_us <= now_us and account in (None, owner):
                self.oracle.accounts[owner].money += nanos
                self._over(name)
                self.counts["expired"] += 1

    def _over(self, name: str) -> None:
        del self.open[name]
        self.over.add(name)


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).isoformat()


def _us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def name_of(command: str) -> str:
    """Id of the reservation that a command makes."""
    digest = sha256(command.encode()).digest()
    return "".join(f"{int.from_bytes(digest[at:at + 8], 'little'):016x}" for at in (0, 8))


def nanos_of(text: str) -> int:
    """An amount in plain numbers."""
    units, _, cents = text.partition(".")
    return (int(units) * 100 + int(cents or 0)) * CENT
