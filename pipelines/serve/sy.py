"""Sy: Spending-Limit-Requests to subscriptions, and Spending-Status-Notifications to policy functions. TS 29.219.

A session is its Session-Id's: whoever names it may change or end it, and is told from then on, as when a policy
function takes over from another. What goes on with counters is `pipelines.spending`'s, which Nchf shares.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from mediation.online import identify
from mediation.resolve import resolve
from pipelines.diameter import encode
from pipelines.diameter.columns import RequestType
from pipelines.diameter.dictionary import SY, TGPP, named
from pipelines.diameter.encode import Answers, Texts
from pipelines.diameter.results import Command, Result
from pipelines.diameter.server import DiameterServer
from pipelines.serve.node import OnlineNode
from pipelines.spending.counters import BELOW, Status
from pipelines.spending.subscriptions import Subscription, SubscriptionLog
from pipelines.spending.watch import Heard, Refusal, RefusedError, Watch
from schemas.codes import Direction, NumberType
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.online import REQUEST
from schemas.parties import PARTIES

MOST_SESSION_OCTETS = 1024
_ABORT = 2                  # SN-Request-Type: the subscription ends
_ENDED_US = 3_600_000_000   # for which an ended one waits for its Session-Termination-Request
_AVP_HEAD = 12              # octets before the payload of an AVP of 3GPP
_CODES = {Refusal.USER_UNKNOWN: Result.USER_UNKNOWN, Refusal.UNKNOWN_COUNTERS: Result.UNKNOWN_POLICY_COUNTERS,
          Refusal.NO_COUNTERS: Result.NO_AVAILABLE_POLICY_COUNTERS}
_NUMBER, _NUMBER_TYPE, _IMSI = (PARTIES.index(n) for n in ("served_number", "served_number_type", "served_imsi"))
_TEXTS = ("sip_uri_text", "nai_text", "private_text")  # in this order, where there is no number
_SESSION, _SUBSCRIBER = named("Session-Id").code, named("Subscription-Id").code
_COUNTER = named("Policy-Counter-Identifier").code
_Reports = list[tuple[int, str, Status]]


class SySubscription(Subscription, omit_defaults=True, kw_only=True, gc=False):
    """id: Session-Id; consumer: Origin-Host as it came; texts octet by octet."""

    realm: str


class SyFrontEnd:
    """The handler of application Sy of a `DiameterServer`: give it `handle`, then `serve_with` the server."""

    def __init__(self, node: OnlineNode, path: Path, most: int = 2_000_000) -> None:
        """path: where subscriptions are kept; most: how many."""
        self._node, self._most = node, most
        log = SubscriptionLog(path, node.keys.vault_key, SySubscription, b"sy-spending")
        self.watch: Watch[SySubscription] = Watch(node, log, self)
        self._server: DiameterServer | None = None

    def serve_with(self, server: DiameterServer) -> None:
        """Where notifications go out."""
        self._server = server

    # requests

    async def handle(self, messages: Cells, units: Cells, buffer: U8) -> Answers:
        """Answers to what a tick received; durable when this returns."""
        answers, changed = self._answers(messages, units, buffer)
        await self.watch.saved()
        # Called behind the server's own, by which the answers leave: no notification is to come before them.
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: self.watch.answered(changed))
        return answers

    def _answers(self, messages: Cells, units: Cells, buffer: U8) -> tuple[Answers, list[SySubscription]]:
        """Answers, and the subscriptions that are confirmed by them."""
        given, texts = encode.answers(len(messages)), Texts()
        reports, changed = _Reports(), dict[str, SySubscription]()
        accounts = self._accounts(messages, buffer)
        for row in range(len(messages)):
            session = _text(buffer, int(messages["session_text"][row]))
            known = self.watch.subscriptions.get(session)
            is_limit = int(messages["command"][row]) == Command.SPENDING_LIMIT
            if is_limit and int(messages["request_type"][row]) == RequestType.INITIAL:
                refused = self._may_begin(given, row, messages, session, accounts, known)
                if refused is not None:
                    given["result_code"][row] = refused
                    continue
                account = accounts[row]
            elif known is None:
                given["result_code"][row] = Result.UNKNOWN_SESSION_ID
                continue
            elif not is_limit:
                self.watch.drop(known)
                changed.pop(session, None)
                continue
            else:
                account = known.account_id
            one = SySubscription(session, _text(buffer, int(messages["origin_host_text"][row])), account, (), False,
                                 realm=_text(buffer, int(messages["origin_realm_text"][row])))
            if known is not None and account == known.account_id:
                one.expires_us = known.expires_us  # of one that we ended, and nobody's otherwise
            self._subscribe(given, row, one, _counters(messages, units, row), buffer, reports, changed)
        return Answers(given, reports=_reports(reports, texts), texts=texts.array()), list(changed.values())

    def _may_begin(self, given: Cells, row: int, messages: Cells, session: str, accounts: list[int],
                   known: SySubscription | None) -> Result | None:
        """Why a session cannot begin."""
        if len(session) > MOST_SESSION_OCTETS:
            reference = int(messages["session_text"][row])
            _failed(given, row, _SESSION, 0, ((reference >> 16) - 8) << 16 | (reference & 0xFFFF) + 8)
            return Result.INVALID_AVP_VALUE
        if all(int(messages[name][row]) == ABSENT for name in ("e164", "imsi", *_TEXTS)):
            _failed(given, row, _SUBSCRIBER, 0, ABSENT)
            return Result.MISSING_AVP
        if accounts[row] == ABSENT:
            return Result.USER_UNKNOWN
        return Result.TOO_BUSY if known is None and len(self.watch.subscriptions) >= self._most else None

    def _subscribe(self, given: Cells, row: int, one: SySubscription, named_at: list[int], buffer: U8,
                   reports: _Reports, changed: dict[str, SySubscription]) -> None:
        """Let a subscription be for the counters that a request names, or for all."""
        places = {_octets(buffer, reference).decode("utf-8", "backslashreplace"): reference for reference in named_at}
        try:
            statuses = self.watch.choose(one, list(places) if named_at else None)
        except RefusedError as refused:
            given["result_code"][row] = _CODES[refused.why]
            if refused.unknown:
                reference = places[refused.unknown[0]]
                _failed(given, row, _COUNTER, TGPP,
                        ((reference >> 16) - _AVP_HEAD) << 16 | (reference & 0xFFFF) + _AVP_HEAD)
            return
        self.watch.put(one)
        changed[one.id] = one
        reports += [(row, name, status) for name, status in statuses.items()]

    def _accounts(self, messages: Cells, buffer: U8) -> list[int]:
        """Whom each message is about: by IMSI before number before name, as credit control has it."""
        rows = len(messages)
        cells, parties = Cells.empty(REQUEST, rows, fill=ABSENT), np.full((len(PARTIES), rows), ABSENT, np.int64)
        cells["direction"], cells["event_time_us"] = Direction.ORIGINATING, time.time_ns() // 1000
        cells["roaming"] = cells["merged_count"] = cells["incomplete"] = 0
        for name in reversed(_TEXTS):
            said = messages[name] != ABSENT
            parties[_NUMBER, said], parties[_NUMBER_TYPE, said] = messages[name][said], NumberType.TEXT
        said = messages["e164"] > 0
        parties[_NUMBER, said], parties[_NUMBER_TYPE, said] = messages["e164"][said], NumberType.INTERNATIONAL
        parties[_IMSI] = messages["imsi"]
        identify(cells, parties, buffer, self._node.reference, self._node.keys.token_key, self._node.lexicon)
        resolve(cells, self._node.charging.current)
        found: list[int] = cells["account_id"].tolist()
        return found

    # notifications

    def tell(self, news: Sequence[tuple[SySubscription, dict[str, Status]]]) -> None:
        """Spending-Status-Notification-Requests."""
        told = [(row, name, status) for row, (_, statuses) in enumerate(news) for name, status in statuses.items()]
        for (one, statuses), future in zip(news, self._send([one for one, _ in news], told), strict=True):
            future.add_done_callback(partial(self._heard, one, statuses))

    def _heard(self, one: SySubscription, statuses: dict[str, Status], answer: "asyncio.Future[int]") -> None:
        code = Result.UNABLE_TO_DELIVER if answer.cancelled() else answer.result()
        how = Heard.FORGOTTEN if code == Result.UNKNOWN_SESSION_ID else \
            Heard.DELIVERED if 2000 <= code < 3000 else Heard.FAILED
        self.watch.heard(one, statuses, how)

    def closed(self, one: SySubscription) -> SySubscription:
        """The account is closed: its policy function is asked to end the session, and may still do so for an hour."""
        self._send([one], [], _ABORT)
        return msgspec.structs.replace(one, counters=(), all_counters=False,
                                       expires_us=time.time_ns() // 1000 + _ENDED_US)

    def _send(self, some: Sequence[SySubscription], told: _Reports, kind: int = ABSENT
              ) -> "Sequence[asyncio.Future[int]]":
        assert self._server is not None
        texts, requests = Texts(), encode.requests(len(some))
        requests["command"], requests["application"] = Command.SPENDING_STATUS_NOTIFICATION, SY
        requests["notification_type"] = kind
        for row, one in enumerate(some):
            requests["session_text"][row] = texts.add(one.id.encode("latin-1"))
            requests["destination_host_text"][row] = texts.add(one.consumer.encode("latin-1"))
            requests["destination_realm_text"][row] = texts.add(one.realm.encode("latin-1"))
        status = _reports(told, texts)
        return self._server.send(requests, texts.array(), status)


def _counters(messages: Cells, units: Cells, row: int) -> list[int]:
    first = int(messages["first_unit"][row])
    found: I64 = units["counter_text"][first:first + int(messages["unit_count"][row])]
    return [reference for reference in found.tolist() if reference != ABSENT]


def _reports(told: _Reports, texts: Texts) -> Cells:
    """Policy-Counter-Status-Reports; the end of a cycle is known, so what comes then is told too."""
    cells = encode.reports(len(told))
    for at, (row, name, status) in enumerate(told):
        cells["message_row"][at] = row
        cells["counter_text"][at], cells["status_text"][at] = texts.add(name), texts.add(status.name)
        if status.ends_us is not None:
            cells["pending_status_text"][at], cells["pending_time_us"][at] = texts.add(BELOW), status.ends_us
    return cells


def _failed(given: Cells, row: int, code: int, vendor: int, reference: int) -> None:
    """Failed-AVP: as it came, or its header with nothing behind it."""
    given["failed_avp_code"][row], given["failed_avp_vendor"][row] = code, vendor
    given["failed_avp"][row], given["failed_avp_zeros"][row] = reference, 0


def _octets(buffer: U8, reference: int) -> bytes:
    start = reference >> 16
    return buffer[start:start + (reference & 0xFFFF)].tobytes()


def _text(buffer: U8, reference: int) -> str:
    return _octets(buffer, reference).decode("latin-1")
