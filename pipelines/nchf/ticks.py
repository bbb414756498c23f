"""Requests of many connections as one block for the node: what came in one turn of the loop goes together.

The next block fills while the node makes the one before durable; a single request waits for nobody.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from mediation.tokens import Sightings
from pipelines.nchf.columns import Columns
from pipelines.nchf.requests import Rows
from pipelines.nchf.service import ChargingNode
from schemas.columns import Cells
from schemas.errors import InvariantError


@dataclass(frozen=True, slots=True)
class Answered:
    """A block's answers, as lists: plain numbers are read faster from those."""

    columns: dict[str, list[int]]

    def __getitem__(self, name: str) -> list[int]:
        return self.columns[name]


_READ = ("message_code", "result_code", "repeated", "granted", "final_action", "validity_s", "threshold", "holding_s",
         "change_us")


class Ticks:
    """Gathers rows and asks the node."""

    def __init__(self, node: ChargingNode, columns: Columns, most_rows: int) -> None:
        self.node, self.columns, self.most_rows = node, columns, most_rows
        self.rows = Rows.begin()
        self.blocks = self.failures = 0
        self._waiting: list[asyncio.Future[Answered]] = []
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self) -> "asyncio.Future[Answered]":
        """The answers of the block that now fills, to which rows have just been appended."""
        loop = self._loop
        if loop is None:  # asking for it each time is a call of the system
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Answered] = loop.create_future()
        self._waiting.append(future)
        if self.rows.count >= self.most_rows:
            self._send()
        elif not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._turn)
        return future

    def _turn(self) -> None:
        # Once more round the loop: what the sockets brought meanwhile goes along.
        assert self._loop is not None
        self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._scheduled = False
        if self._waiting:
            rows, self.rows = self.rows, Rows.begin()
            waiting, self._waiting = self._waiting, []
            self.begin(self._serve(rows, waiting))

    async def _serve(self, rows: Rows, waiting: "list[asyncio.Future[Answered]]") -> None:
        try:
            cells, sightings = self.columns.cells(rows, self.node.reference)
            answers = await self.answers(cells, sightings)
            answered = Answered({name: answers[name].tolist() for name in _READ})
            answered.columns["account_id"] = cells["account_id"].tolist()  # the node filled them in
        except Exception as error:
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for future in waiting:
            if not future.done():
                future.set_result(answered)

    async def answers(self, cells: Cells, sightings: Sightings) -> Cells:
        """What the node answers to a block; durable when this returns.

        Whatever is raised: whether it charged is not known, nobody may be told that it did, and all ask again.
        """
        self.blocks += 1
        try:
            answers: Cells = await self.node.request(cells, sightings, at_once=True)
            if len(answers) != len(cells):
                raise InvariantError(f"{len(answers)} answers to {len(cells)} requests", "one for each")
        except Exception:
            self.failures += 1
            raise
        return answers

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that `drain` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget_loop(self) -> None:
        """For tests, which have a loop each."""
        self._loop = None

    async def drain(self) -> None:
        """Until the node has answered all that was asked."""
        self._send()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
