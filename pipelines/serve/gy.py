"""Gy and Ro: Credit-Control-Requests to requests of the node, its answers to Credit-Control-Answers.

Knows the protocol and no balance. What a tick of the Diameter server brings is one request of the node; in between
are two kernels and the parties' numbers, so that the work grows with ticks and hardly with messages.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import numpy as np

from mediation.online import identify
from mediation.resolve import resolve
from pipelines.diameter import encode
from pipelines.diameter.encode import Answers, Texts
from pipelines.diameter.results import Command, Result
from pipelines.diameter.server import DiameterServer
from pipelines.diameter.ticks import choose, merged
from pipelines.serve.currency_numbers import CURRENCY_NUMBERS
from pipelines.serve.kernels import gy, money
from pipelines.serve.node import CommandOutcome, OnlineNode
from pipelines.serve.open_sessions import OpenSessions
from reference_data.online import OnlineRules
from schemas.codes import Service
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.online import REQUEST
from schemas.parties import PARTIES

SOURCE = "gy"
_FAILURE = {"terminate": 0, "continue": 1, "retry_and_terminate": 2}
_URL, _SIP_URI = 2, 3  # Redirect-Address-Type
_CREDIT_CONTROL = int(Command.CREDIT_CONTROL)  # NumPy takes long over members of enums


class GyFrontEnd:
    """The handler of a `DiameterServer`: give it `handle`, then `serve_with` the server."""

    def __init__(self, node: OnlineNode, sessions: OpenSessions | None = None) -> None:
        self._node = node
        self.sessions = OpenSessions() if sessions is None else sessions  # which may be empty, and so count as nothing
        self._source = node.lexicon.label("source", SOURCE)
        self._home = np.array(node.reference.operator.home_plmn_numbers, np.int64)
        self._texts = Texts()
        self._rules = _rule_table(node.rules, self._texts)
        self._server: DiameterServer | None = None
        self._numbers: I64 = np.zeros(0, np.int64)  # of the book's currencies
        self._tasks: set[asyncio.Task[None]] = set()
        node.on_command.append(self._changed)

    def serve_with(self, server: DiameterServer) -> None:
        """Where requests of our own go out: RAR and ASR."""
        self._server = server

    def handle(self, messages: Cells, units: Cells, buffer: U8) -> Awaitable[Answers]:
        """Answers to what a tick received, once they are durable: at once where the node can do that."""
        foreign = messages["command"] != _CREDIT_CONTROL
        if foreign.any():
            return self._apart(messages, units, buffer, foreign * int(Result.APPLICATION_UNSUPPORTED))
        requests, route, parties = self._requests(messages, units)
        sightings = identify(requests, parties, buffer, self._node.reference, self._node.keys.token_key,
                             self._node.lexicon)
        requests["apn"] = self._node.lexicon.apns.labels(buffer, messages["apn_text"][route[gy.R_MESSAGE]])
        if money.names_money_nb(requests.matrix, units.matrix):
            resolve(requests, self._node.charging.current)
            wrong = np.empty(len(messages), np.int64)
            if money.foreign_money_nb(requests.matrix, units.matrix, route, self._currencies(requests, True), wrong):
                return self._apart(messages, units, buffer, wrong)
        told = self._node.ask(requests, sightings, at_once=True)
        answered = partial(self._answers, messages, requests, route, buffer)
        if not told.done():
            return _later(told, answered)
        done: asyncio.Future[Answers] = told.get_loop().create_future()
        done.set_result(answered(told.result()))
        return done

    def _answers(self, messages: Cells, requests: Cells, route: I64, buffer: U8, answers: Cells) -> Answers:
        """What the node's answers are in Diameter."""
        given, services = encode.answers(len(messages)), encode.grants(len(requests))
        count = gy.answers_nb(requests.matrix, answers.matrix, route, self._currencies(requests), self._rules,
                              given.matrix, services.matrix)
        self.sessions.keep(messages, requests, answers, route, buffer)
        return Answers(given, services.slice(0, count), texts=self._texts.array())

    def _requests(self, messages: Cells, units: Cells) -> tuple[Cells, I64, I64]:
        """REQUEST rows, where each came from, and its parties."""
        room = len(messages) + len(units)
        requests = Cells.empty(REQUEST, room, fill=ABSENT)
        parties, route = np.full((len(PARTIES), room), ABSENT, np.int64), np.full((gy.ROUTE, room), ABSENT, np.int64)
        rows = gy.requests_nb(messages.matrix, units.matrix, time.time_ns() // 1000, self._home, requests.matrix,
                              parties, route)
        requests = requests.slice(0, rows)
        requests["source"] = self._source
        return requests, np.ascontiguousarray(route[:, :rows]), parties[:, :rows]

    async def _apart(self, messages: Cells, units: Cells, buffer: U8, wrong: I64) -> Answers:
        """Answers where some messages are refused here, each with its own result code."""
        bad = wrong != 0
        refused = encode.answers(int(bad.sum()))
        refused["result_code"] = wrong[bad]
        if bad.all():
            return Answers(refused)
        rest = await self.handle(*choose(messages, units, ~bad), buffer)
        return merged(((~bad, rest), (bad, Answers(refused))), units)

    def _currencies(self, requests: Cells, all_of: bool = False) -> I64:
        """ISO 4217 number of each row's account; only events are told what they cost."""
        book, found = self._node.book, np.empty(len(requests), np.int64)
        if len(self._numbers) != len(book.currencies):
            self._numbers = np.array([CURRENCY_NUMBERS.get(name, ABSENT) for name in book.currencies], np.int64)
        money.currencies_nb(requests.matrix, all_of, book.index, book.profile, self._numbers, found)
        return found

    # requests of our own

    def _changed(self, command: Mapping[str, object], outcome: CommandOutcome) -> None:
        """An account changed: sessions that ran out of credit ask again; all of one that was closed end."""
        if outcome.status != "done" or self._server is None:
            return
        accounts = {a for a in (command.get("account_id"), command.get("to_account_id"), command.get(
            "shared_account_id")) if isinstance(a, int)}
        if not accounts:
            return
        state = command.get("state") if command.get("kind") == "state" else None
        chosen = self.sessions.of(accounts, self._node.book, only_final=state is None)
        if chosen:
            self._send(Command.ABORT_SESSION if state == "terminated" else Command.RE_AUTH, chosen)

    def _send(self, command: Command, chosen: list[tuple[int, int]]) -> None:
        assert self._server is not None
        texts, requests = Texts(), encode.requests(len(chosen))
        requests["command"], requests["application"] = command, 4
        if command == Command.RE_AUTH:
            requests["reauth_type"] = 0
        for row, key in enumerate(chosen):
            session = self.sessions[key]
            requests["session_text"][row] = texts.add(session.session)
            requests["destination_host_text"][row] = texts.add(session.host)
            requests["destination_realm_text"][row] = texts.add(session.realm)
        for key, told in zip(chosen, self._server.send(requests, texts.array()), strict=True):
            task = asyncio.ensure_future(self._told(key, told))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _told(self, key: tuple[int, int], answer: "asyncio.Future[int]") -> None:
        if await answer == Result.UNKNOWN_SESSION_ID:
            self.sessions.end(key)  # its client has forgotten it: supervision gives back what it holds


async def _later(told: "asyncio.Future[Cells]", answered: Callable[[Cells], Answers]) -> Answers:
    return answered(await told)


def _rule_table(rules: OnlineRules, texts: Texts) -> I64:
    """What answers say of each service, beside what was granted."""
    table = np.full((len(Service), gy.RULES), ABSENT, np.int64)
    for service in Service:
        rule = rules.of(service)
        table[service, gy.L_FAILOVER] = int(rule.failover)
        table[service, gy.L_FAILURE] = _FAILURE[rule.failure_handling]
        if rule.redirect_url:
            table[service, gy.L_REDIRECT_TYPE] = _SIP_URI if rule.redirect_url.startswith(("sip:", "sips:")) else _URL
            table[service, gy.L_REDIRECT] = texts.add(rule.redirect_url)
        if rule.filter:
            is_rule = rule.filter.startswith(("permit ", "deny "))
            table[service, gy.L_RESTRICTION if is_rule else gy.L_FILTER] = texts.add(rule.filter)
    return table
