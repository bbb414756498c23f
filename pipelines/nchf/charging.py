"""The charging operations: create, update and release, of both APIs."""

import json
import time
from dataclasses import dataclass, field

import msgspec
import numpy as np

from pipelines.nchf import requests
from pipelines.nchf.answers import Speaker, problem, written
from pipelines.nchf.columns import Columns
from pipelines.nchf.kernels import shape
from pipelines.nchf.limits import Limits
from pipelines.nchf.messages import ChargingDataRequest, encode, read_charging_data
from pipelines.nchf.overload import Gate
from pipelines.nchf.problems import (
    INVALID_MSG_FORMAT,
    MANDATORY_IE_INCORRECT,
    MANDATORY_IE_MISSING,
    OPTIONAL_IE_INCORRECT,
    SYSTEM_FAILURE,
    ProblemError,
)
from pipelines.nchf.references import Key, References
from pipelines.nchf.requests import Api
from pipelines.nchf.service import ChargingNode, Words
from pipelines.nchf.ticks import Answered, Ticks
from schemas import online
from schemas.columns import I64
from schemas.online import RequestKind

_MANDATORY = ("nfConsumerIdentification", "invocationTimeStamp", "invocationSequenceNumber", "ratingGroup",
              "localSequenceNumber", "nodeFunctionality", "triggerCategory")


@dataclass
class Created:
    """What a create says beside its body."""

    reference: str
    body: bytes


@dataclass
class Listener:
    """Who wants to know where a session is to be notified."""

    uris: dict[Key, str] = field(default_factory=dict)

    def opened(self, key: Key, uri: str) -> None:
        """A session named where it wants to be called back."""
        self.uris[key] = uri

    def closed(self, key: Key) -> None:
        """A session ended."""
        self.uris.pop(key, None)


class Charging:
    """Requests in, bodies out. One for a node; all calls in the node's event loop."""

    def __init__(self, node: ChargingNode, words: Words, secret: bytes, limits: Limits,
                 listener: Listener | None = None) -> None:
        self.node, self.limits = node, limits
        self.references = References(secret)
        self.gate = Gate(limits)
        self.listener = listener or Listener()
        self.ticks = Ticks(node, Columns(words, "nchf", limits.labels), limits.tick_rows)
        self._speaker = Speaker(node.rules)
        self._rules = node.rules
        self._first = np.zeros(shape.DEPTH + 1, np.int64)
        self._keys = np.zeros(shape.KEYS, np.int64)
        self._home: frozenset[int] = frozenset()
        self._home_of: object = None
        self._now_s, self._now = 0.0, ""

    # operations

    async def create(self, body: bytes, api: Api, consumer: str) -> Created:
        """201. Raises ProblemError."""
        self.gate.enter(RequestKind.INITIAL, consumer)
        try:
            request = self.read(body)
            meter = requests.meter_of(request)
            reference, key = self.references.create(requests.identity_of(request, api), meter)
            answer = await self._charge(request, RequestKind.INITIAL, api, key, meter)
        finally:
            self.gate.leave(consumer)
        if request.notifyUri is not None and not request.oneTimeEvent:
            self.listener.opened(key, request.notifyUri)
        return Created(reference, answer)

    async def update(self, body: bytes, api: Api, consumer: str, reference: str) -> bytes:
        """200. Raises ProblemError."""
        self.gate.enter(RequestKind.UPDATE, consumer)
        try:
            request = self.read(body)
            key, meter = self.references.read(reference)
            answer = await self._charge(request, RequestKind.UPDATE, api, key, meter)
        finally:
            self.gate.leave(consumer)
        if request.notifyUri is not None:
            self.listener.opened(key, request.notifyUri)
        return answer

    async def release(self, body: bytes, api: Api, reference: str) -> None:
        """204. Raises ProblemError. Nobody is told to come back with what ends."""
        request = self.read(body)
        key, meter = self.references.read(reference)
        asked = self._append(request, RequestKind.TERMINATION, api, key, meter)
        answers = await self._answers()
        code = answers["message_code"][asked.first]
        self.listener.closed(key)
        if code != online.SUCCESS:
            raise problem(code)

    # how

    async def _charge(self, request: ChargingDataRequest, kind: RequestKind, api: Api, key: Key, meter: int) -> bytes:
        asked = self._append(request, kind, api, key, meter)
        answers = await self._answers()
        return encode(self.speaker.response(asked, answers, self.now()))

    async def _answers(self) -> Answered:
        try:
            return await self.ticks.ask()
        except Exception as error:
            raise ProblemError(500, SYSTEM_FAILURE) from error

    def _append(self, request: ChargingDataRequest, kind: RequestKind, api: Api, key: Key, meter: int
                ) -> requests.Asked:
        operator = self.node.reference.operator
        if operator is not self._home_of:
            self._home, self._home_of = frozenset(operator.home_plmn_numbers), operator
        return requests.append(self.ticks.rows, request, kind, api, key, meter, self._home, self.limits)

    @property
    def speaker(self) -> Speaker:
        """With the rules of now."""
        if self.node.rules is not self._rules:
            self._rules = self.node.rules
            self._speaker = Speaker(self._rules)
        return self._speaker

    def now(self) -> str:
        """This moment, written once a millisecond."""
        moment = time.time()
        if not 0 <= moment - self._now_s < 0.001:
            self._now_s, self._now = moment, written(int(moment * 1_000_000))
        return self._now

    def read(self, body: bytes) -> ChargingDataRequest:
        """Raises ProblemError: 400, with the field that is wrong."""
        check_shape(body, self._first, self._keys)
        try:
            return read_charging_data(body)
        except msgspec.ValidationError as error:
            raise wrong_field(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, ValueError):
            raise ProblemError(400, INVALID_MSG_FORMAT, "the body is no JSON") from None


def check_shape(body: bytes, first: I64, keys: I64) -> None:
    """Raises ProblemError: no UTF-8, too deep, too wide, or an object that names a key twice."""
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            raise ProblemError(400, INVALID_MSG_FORMAT, "the body is no UTF-8") from None
    found = shape.shape_nb(np.frombuffer(body, np.uint8), first, keys)
    if found == shape.SOUND:
        return
    if found == shape.TOO_DEEP:
        raise ProblemError(400, INVALID_MSG_FORMAT, f"nested deeper than {shape.DEPTH}")
    if found == shape.TOO_WIDE:
        raise ProblemError(400, INVALID_MSG_FORMAT, f"more than {shape.KEYS} keys")
    if found == shape.REPEATED_KEY:
        raise ProblemError(400, INVALID_MSG_FORMAT, "an object names a key twice")
    try:  # a key is written with escapes: rare enough to be read the slow way
        json.loads(body, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise ProblemError(400, INVALID_MSG_FORMAT, "no JSON, or an object names a key twice") from None


def _distinct(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a key twice")


def wrong_field(said: str) -> ProblemError:
    """From what msgspec says: "Expected `int`, got `str` - at `$.multipleUnitUsage[0].ratingGroup`"."""
    what, _, where = said.partition(" - at `$")
    path = where.rstrip("`").lstrip(".") or None
    if what.startswith("Object missing required field"):
        name = what.partition("`")[2].rstrip("`")
        return ProblemError(400, MANDATORY_IE_MISSING, "missing", f"{path}.{name}" if path else name)
    last = (path or "").rpartition(".")[2].partition("[")[0]
    cause = MANDATORY_IE_INCORRECT if last in _MANDATORY else OPTIONAL_IE_INCORRECT if path else INVALID_MSG_FORMAT
    # What was sent is not repeated: it may be somebody's number.
    return ProblemError(400, cause, what.replace("`", ""), path)
