"""Requests that come again: each is told what it was told at first, for as long as docs/online.md says."""

from typing import Any

import msgspec
import pytest

from rating.book import BalanceBook
from rating.online import OnlineDesk
from rating.snapshot import from_arrow, same_state, to_arrow
from reference_data.tariffs.compile import Tariffs
from schemas.columns import ABSENT
from schemas.online import ANSWER
from tests.online_world import JANUARY, NOON, REMEMBER_S, RULES, SECOND_US, TARIFF, cells_of
from tests.rating_support import make_accounts, one_tariff

A, B = (10, ABSENT), (20, 7)
Message = dict[str, Any]


@pytest.fixture(scope="module")
def tariffs(tmp_path_factory: pytest.TempPathFactory) -> Tariffs:
    tariffs: Tariffs = one_tariff(tmp_path_factory.mktemp("tariff"), TARIFF)
    return tariffs


class Desk:
    """A book with one account of two euros, and what it answers."""

    def __init__(self, tariffs: Tariffs, answers: int = 1000) -> None:
        self.tariffs, self.now_us, self.position = tariffs, NOON, 0
        self.rules = msgspec.structs.replace(RULES, remember_answers=answers, data=replace_rule(RULES.data))
        self.book = BalanceBook.create()
        self.book.open_accounts(make_accounts([{"account_id": 1, "opening": "2.00", "plans": [(JANUARY, "p")]}]),
                                tariffs, 0)
        self.open()

    def open(self) -> None:
        self.desk = OnlineDesk(self.book, self.tariffs, self.rules, {"source": ["gy"], "apn": []})

    def restart(self, answers: int = 0) -> None:
        before = self.book
        self.book = from_arrow(to_arrow(before))
        assert same_state(self.book, before)
        if answers:
            self.rules = msgspec.structs.replace(self.rules, remember_answers=answers)
        self.open()

    def ask(self, *messages: Message) -> list[dict[str, int]]:
        """All that rows are answered, but which message they were of."""
        self.position += 1
        self.now_us += SECOND_US
        answers = self.desk.serve(cells_of(list(messages)), self.now_us, self.position).answers
        return [{name: int(answers[name][i]) for name in ANSWER.names if name != "message"}
                for i in range(len(answers))]

    def again(self, *messages: Message) -> list[dict[str, int]]:
        """The same of requests that were all there before: they move nothing."""
        money = self.book.records.copy()
        found = self.ask(*messages)
        assert all(answer.pop("repeated") for answer in found)
        assert (self.book.records == money).all()
        return found


def replace_rule(rule: Any) -> Any:
    """Answers that have something of everything."""
    return msgspec.structs.replace(rule, threshold_percent=20, holding_s=60, validity_s=900)


def message(number: int, kind: str = "update", *services: Message, session: int = 1, **more: Any) -> Message:
    return {"session": session, "number": number, "kind": kind, "account": 1, "service": "data",
            "services": list(services), "time_us": NOON + number * SECOND_US, **more}


def plain(answers: list[dict[str, int]]) -> list[dict[str, int]]:
    assert not any(answer["repeated"] for answer in answers)
    return [{name: value for name, value in answer.items() if name != "repeated"} for answer in answers]


def whole_session() -> list[Message]:
    return [message(0, "initial", {"name": A, "requested": 5000}, {"name": B, "requested": 0}),
            message(1, "update", {"name": A, "requested": 1 << 20, "used": 5000}),
            message(3, "update", {"name": B, "requested": 700, "used": 3}, {"name": A, "used": 9}),
            message(2, "update", {"name": B, "used": 11, "requested": 5}),  # late
            message(4, "update", {"name": (99, ABSENT), "requested": 5}, {"name": A, "requested": 100_000_000}),
            message(5, "terminate", {"name": A, "used": 60}, {"name": B, "used": 1})]


def test_all_requests_of_a_session_are_told_the_same_again_also_after_its_end_and_a_restart(tariffs: Tariffs) -> None:
    desk = Desk(tariffs)
    messages = [*whole_session(),
                message(0, "event", {"name": A, "requested": 3}, session=2, action="debit", service="sms"),
                message(0, "event", {"name": A, "requested": 300}, session=3, action="debit", service="sms"),
                message(7, "update", {"name": A, "used": 30, "requested": 1}, session=4)]
    first = [plain(desk.ask(each)) for each in messages]
    assert [rows[0]["message_code"] for rows in first] == [2001] * 7 + [4012, 5002]
    assert {rows[0]["threshold"] for rows in first} > {1000, ABSENT} and first[3][0]["granted"] == ABSENT
    for _ in range(2):
        assert [desk.again(each) for each in messages] == first
        assert desk.again(*reversed(messages)) == [row for rows in reversed(first) for row in rows]
        desk.restart()


def test_a_request_is_told_the_same_by_the_block_in_which_it_came(tariffs: Tariffs) -> None:
    messages = whole_session()
    one, other = Desk(tariffs), Desk(tariffs)
    alone = [row for each in (*messages, messages[1]) for row in one.ask(each)]
    other.now_us = one.now_us - SECOND_US
    assert other.ask(*messages, messages[1]) == alone


def test_answers_beyond_the_last_so_many_are_told_without_units_but_for_the_last_of_each_service(tariffs: Tariffs
                                                                                                 ) -> None:
    desk = Desk(tariffs, answers=4)
    messages = [message(n, "update" if n else "initial", {"name": A, "requested": 1000 + n}) for n in range(6)]
    first = [plain(desk.ask(each)) for each in messages]
    for _ in range(2):
        assert [desk.again(each)[0]["granted"] for each in messages] == [ABSENT, ABSENT, 1002, 1003, 1004, 1005]
        assert [desk.again(each) for each in messages[2:]] == first[2:]
        assert {desk.again(messages[0])[0][name] for name in ("result_code", "message_code")} == {2001}
        desk.restart()
    desk.ask(message(0, "initial", *({"name": (n, ABSENT), "requested": 0} for n in range(8)), session=2))
    assert desk.again(messages[5]) == first[5] and desk.again(messages[4])[0]["granted"] == ABSENT


def test_the_ring_may_become_longer_and_shorter(tariffs: Tariffs) -> None:
    desk = Desk(tariffs, answers=5)
    messages = [message(n, "update" if n else "initial", {"name": A, "requested": 1000 + n}) for n in range(12)]

    def known() -> list[int]:
        return [n for n, each in enumerate(messages) if desk.again(each)[0]["granted"] == 1000 + n]

    for each in messages[:8]:
        desk.ask(each)
    desk.restart(answers=7)
    for each in messages[8:10]:
        desk.ask(each)
    assert [desk.again(each)[0]["granted"] for each in messages[:10]] == [ABSENT] * 3 + list(range(1003, 1010))
    desk.restart(answers=3)
    for each in messages[10:]:
        desk.ask(each)
    assert known() == [9, 10, 11]


def test_a_request_far_back_is_told_without_units(tariffs: Tariffs) -> None:
    desk = Desk(tariffs)
    messages = [message(n, "update" if n else "initial", {"name": A, "requested": 1000 + n}) for n in range(70)]
    for each in messages:
        desk.ask(each)
    told = [desk.again(each)[0] for each in messages]
    assert [answer["granted"] for answer in told] == [ABSENT] * 6 + list(range(1006, 1070))
    assert {answer["result_code"] for answer in told} == {2001}


def test_a_session_of_the_same_name_has_nothing_of_one_that_is_forgotten(tariffs: Tariffs) -> None:
    desk = Desk(tariffs)
    desk.ask(message(0, "initial", {"name": A, "requested": 1000}))
    desk.ask(message(1, "update", {"name": A, "requested": 1001}))
    desk.ask(message(2, "terminate", {"name": A, "used": 1}))
    desk.now_us += 3 * REMEMBER_S * SECOND_US
    desk.position += 1
    desk.desk.clock(desk.now_us, desk.position)
    assert len(desk.book.online) == 0
    new = message(4, "initial", {"name": A, "requested": 2000})
    assert plain(desk.ask(new))[0]["granted"] == 2000
    late = desk.ask(message(1, "update", {"name": A, "requested": 1001}))
    assert late[0]["granted"] == ABSENT and not late[0]["repeated"]
    desk.restart()
    assert desk.again(new)[0]["granted"] == 2000


def test_a_message_that_names_a_service_twice_is_told_both_again(tariffs: Tariffs) -> None:
    desk = Desk(tariffs)
    twice = message(0, "initial", {"name": A, "requested": 1000}, {"name": A, "requested": 3000})
    first = plain(desk.ask(twice))
    assert [row["granted"] for row in first] == [1000, 3000]
    desk.ask(message(1, "update", {"name": A, "requested": 1}))
    assert desk.again(twice) == first
    other = message(0, "initial", {"name": B, "requested": 0}, {"name": A, "requested": 1000})
    assert [row["granted"] for row in desk.again(other)] == [ABSENT, 3000]  # the nearest that was told of it
