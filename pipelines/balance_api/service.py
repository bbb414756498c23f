"""What the API does, whatever its words: find an account, look at it, carry out a command once for each key."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pipelines.accounts.finding import token_of
from pipelines.accounts.history import Past, Row, movement_of
from pipelines.accounts.view import AccountView, Viewer
from pipelines.balance_api.desk import ApiDesk
from pipelines.balance_api.listeners import Event
from pipelines.balance_api.problems import MEDIA_TYPE, ProblemError, problem_body
from pipelines.balance_api.store import Answer, ApiStore
from pipelines.balance_api.tmf_events import (
    CREATED,
    RESERVE,
    RESOURCES,
    STATUS_CHANGED,
    reservation_now,
    resource_event,
)
from pipelines.balance_api.tokens import Grantee
from pipelines.ledger.sql import asking
from rating.book import BalanceBook
from reference_data.tariffs.compile import Tariffs
from schemas.codes import Identity
from schemas.columns import ABSENT
from schemas.errors import ChargingError
from schemas.money import DECIMALS
from schemas.timepoint import format_time, parse_time

ASKING_AT_ONCE = 2  # questions to the ledger, which read files
JSON = "application/json"


@dataclass
class Call:
    """One request: who, what, when. account_id and command are filled in for the audit."""

    grantee: Grantee
    now_us: int
    route: str
    body: bytes
    path: Mapping[str, str]
    query: Mapping[str, str]
    key: str = ""
    tmf: bool = False
    base: str = ""
    account_id: int | None = None
    command: str | None = None


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    body: bytes
    status: int = 200
    media_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


class BalanceService:
    """One for a process."""

    def __init__(self, desk: ApiDesk, store: ApiStore) -> None:
        self.desk, self.store = desk, store
        self._viewer: tuple[Tariffs, Viewer] | None = None
        self._busy: dict[tuple[str, str], tuple[asyncio.Lock, list[int]]] = {}
        self._asking = asyncio.Semaphore(ASKING_AT_ONCE)
        self.on_event: Callable[[], None] | None = None  # there is something to be told
        self.may_call: Callable[[str], bool] = lambda _: False  # where listeners may be

    @property
    def viewer(self) -> Viewer:
        """By the tariffs in force."""
        tariffs = self.desk.reference.tariffs
        if self._viewer is None or self._viewer[0] is not tariffs:
            self._viewer = tariffs, Viewer(tariffs)
        return self._viewer[1]

    async def account_of(self, call: Call, msisdn: str | None, account_id: int | None) -> int:
        """The account that has a number now, or this one. Raises ProblemError: neither, both, or nobody."""
        if (msisdn is None) == (account_id is None):
            raise ProblemError(400, "neither a number nor an account; expected one of them" if msisdn is None
                               else "a number and an account; expected one of them")
        try:
            token = None if msisdn is None else token_of(msisdn, Identity.MSISDN, self.desk.token_key)
        except ChargingError as error:
            raise ProblemError(400, str(error)) from None

        def find(book: BalanceBook) -> int:
            if token is not None:
                holder = book.changes.holder(self.desk.reference.inventory, token, Identity.MSISDN, call.now_us)
                return ABSENT if holder is None or book.row_of(holder.account_id) < 0 else holder.account_id
            return account_id if account_id is not None and 0 <= account_id < 1 << 62 and \
                book.row_of(account_id) >= 0 else ABSENT

        found = await self.desk.ask(find)
        if found == ABSENT:
            raise ProblemError(404, "a number that nobody has" if msisdn is not None else "no such account")
        call.account_id = found
        return found

    async def view(self, call: Call, account_id: int) -> AccountView:
        """The account as it is now."""
        return await self.desk.ask(lambda book: self.viewer.account(book, book.row_of(account_id), call.now_us))

    async def submit(self, call: Call, kind: str, account_id: int, fields: Mapping[str, object], resource: str,
                     tell: Callable[[str], bytes], ends: str = "") -> Reply:
        """Carry out a command once for the call's key, and answer; the same key again gets the same octets.

        resource: what sort it makes; tell: its body, by its id; ends: the reservation that is over then.
        Raises ProblemError: the key was used for another.
        """
        key = call.key or str(uuid.uuid4())
        digest = hashlib.sha256(b"\0".join([call.route.encode(), repr(sorted(call.path.items())).encode(), call.body])
                                ).digest()
        command = {"id": f"api:{call.grantee.name}:{key}", "time": format_time(call.now_us), "kind": kind,
                   "account_id": account_id, "who": call.grantee.name, **fields}
        call.command = str(command["id"])
        resource_id = "{:016x}{:016x}".format(*movement_of(command))  # as in the ledger
        async with self._alone(call.grantee.name, key):
            known = await asyncio.to_thread(self.store.find, call.grantee.name, key)
            if known is not None:
                if known.digest != digest:
                    raise ProblemError(409, "an Idempotency-Key that was used for another request; expected one of its "
                                       "own for each")
                return _reply(known.status, known.body, {"Idempotent-Replayed": "true"}, known, call)
            try:
                outcome = await self.desk.command(command)
            except ChargingError as error:
                raise ProblemError(422, str(error)) from None
            refused = outcome.status == "refused"
            status, body = (422, problem_body(422, outcome.why, call.tmf)) if refused else (201, tell(resource_id))
            answer = Answer(call.grantee.name, key, digest, status, body, resource, account_id, resource_id,
                            call.now_us)
            events = [] if refused else await self._events(call, answer, ends)
            until_us = parse_time(str(fields["until"])) if resource == RESERVE and not refused else None
            await asyncio.to_thread(self.store.keep, answer, events, until_us)
            if self.on_event is not None and events:
                self.on_event()
            return _reply(status, body, {}, answer, call)

    async def _events(self, call: Call, answer: Answer, ends: str) -> list[Event]:
        """What listeners are told of an answer."""
        if answer.kind in RESOURCES:
            return [resource_event(answer.kind, CREATED, answer.resource_id, answer.account_id, answer.body,
                                   call.now_us)]
        made = self.store.resource(ends) if ends else None
        if made is None or made.kind != RESERVE or made.status >= 300:
            return []
        body = await self.desk.ask(lambda book: reservation_now(book, made))
        return [resource_event(RESERVE, STATUS_CHANGED, ends, made.account_id, body, call.now_us)]

    async def happened(self, event: Event) -> None:
        """Let listeners be told; what they are to be told is durable when this returns."""
        await asyncio.to_thread(self.store.listeners.put, [event])
        if self.on_event is not None:
            self.on_event()

    async def movements(self, account_id: int, from_us: int, to_us: int) -> list[Row]:
        """Postings on an account within a time, in the order in which they were charged."""
        def read() -> list[Row]:
            with asking(self.desk.ledger) as connection:
                return Past(self.desk.ledger, connection, account_id, ABSENT, from_us, to_us).rows("posting")

        async with self._asking:
            return await asyncio.to_thread(read)

    @asynccontextmanager
    async def _alone(self, grantee: str, key: str) -> AsyncIterator[None]:
        """One request of a key at a time: who repeats it while the first is under way waits for its answer."""
        lock, waiting = self._busy.setdefault((grantee, key), (asyncio.Lock(), [0]))
        waiting[0] += 1
        try:
            async with lock:
                yield
        finally:
            waiting[0] -= 1
            if not waiting[0]:
                self._busy.pop((grantee, key), None)


def _reply(status: int, body: bytes, headers: dict[str, str], answer: Answer, call: Call) -> Reply:
    if status < 300 and call.base:
        headers["Location"] = f"{call.base}/{answer.resource_id}"
    return Reply(body, status, JSON if status < 300 else MEDIA_TYPE, headers)


def money_text(amount: Decimal | str) -> str:
    """Decimal text of an amount as commands have it. Raises ProblemError: none, or beyond any money."""
    try:
        value = amount if isinstance(amount, Decimal) else Decimal(amount)
    except ArithmeticError:
        raise ProblemError(400, "an amount that is no decimal number; expected text such as \"10.00\"") from None
    if not value.is_finite() or len(value.as_tuple().digits) > 40 or abs(value.adjusted()) > 20:
        raise ProblemError(400, "an amount beyond any money")
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -DECIMALS:
        raise ProblemError(400, f"an amount with more than {DECIMALS} decimals")
    return format(value, "f")


def facts(**values: Any) -> dict[str, Any]:
    """Members that are known."""
    return {name: value for name, value in values.items() if value is not None}
