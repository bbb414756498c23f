"""The charging operations: create, update and release, of both APIs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mediation.normalise import TokenKey
from pipelines.nchf import requests
from pipelines.nchf.answers import Speaker, problem
from pipelines.nchf.columns import Columns
from pipelines.nchf.kernels import shape
from pipelines.nchf.limits import Limits
from pipelines.nchf.messages import ChargingDataRequest, encode, read_charging_data
from pipelines.nchf.overload import Gate
from pipelines.nchf.problems import SYSTEM_FAILURE, ProblemError
from pipelines.nchf.reading import check_shape, read_body
from pipelines.nchf.references import Key, References
from pipelines.nchf.requests import Api
from pipelines.nchf.service import ChargingNode
from pipelines.nchf.sessions import Callbacks
from pipelines.nchf.ticks import Answered, Ticks
from schemas import online
from schemas.online import RequestKind


@dataclass
class Created:
    """What a create says beside its body."""

    reference: str
    body: bytes


class Charging:
    """Requests in, bodies out. One for a node; all calls in the node's event loop."""

    def __init__(self, node: ChargingNode, token_key: TokenKey, secret: bytes, limits: Limits,
                 callbacks: Callbacks | None = None, lag: Callable[[], int] | None = None) -> None:
        """secret: the home's, from which references come. lag: rows that wait elsewhere, in the node."""
        self.node, self.limits = node, limits
        self.references = References(secret)
        self.gate = Gate(limits, lag)
        self.callbacks = callbacks or Callbacks()
        self.ticks = Ticks(node, Columns(token_key, node.lexicon, "nchf", limits.labels), limits.tick_rows)
        self._speaker = Speaker(node.rules)
        self._rules = node.rules
        self._first = np.zeros(shape.DEPTH + 1, np.int64)
        self._keys = np.zeros(shape.KEYS, np.int64)
        self._home: frozenset[int] = frozenset()
        self._home_of: object = None

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
        return answer

    async def release(self, body: bytes, api: Api, reference: str) -> None:
        """204. Raises ProblemError. Nobody is told to come back with what ends."""
        request = self.read(body)
        key, meter = self.references.read(reference)
        asked = self._append(request, RequestKind.TERMINATION, api, key, meter)
        answers = await self._answers()
        code = answers["message_code"][asked.first]
        self.callbacks.ended(key)
        if code != online.SUCCESS:
            raise problem(code)

    # how

    async def _charge(self, request: ChargingDataRequest, kind: RequestKind, api: Api, key: Key, meter: int) -> bytes:
        asked = self._append(request, kind, api, key, meter)
        answers = await self._answers()
        said = encode(self.speaker.response(asked, answers))
        if not request.oneTimeEvent:
            self.callbacks.answered(key, request.notifyUri, asked, answers)
        return said

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
        """With the rules of now, which are made anew when they are asked for."""
        rules = self.node.rules
        if rules != self._rules:
            self._rules, self._speaker = rules, Speaker(rules)
        return self._speaker

    def read(self, body: bytes) -> ChargingDataRequest:
        """Raises ProblemError: 400, with the field that is wrong."""
        check_shape(body, self._first, self._keys)
        return read_body(read_charging_data, body)
