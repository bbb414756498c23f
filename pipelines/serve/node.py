"""The charging node that answers while they wait: one book, one journal, one order of everything.

A tick, in numbered steps: 1 what waits is taken, commands first, then requests, at most so many; 2 it is applied to
the book; 3 its journal entries are appended and synced, by another thread while the next ticks fill, or here where it
is small and nothing waits behind it; 4 what it came to is told. No answer leaves before its tick is durable, and after
an append that failed none leaves at all.

Batches of `tarifa run` are charged here too, in slices between ticks. Behind the answers what was charged is
committed to the ledger (`behind.py`). A restart is the newest snapshot and the journal behind it.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Literal

import numpy as np

from mediation.memory import Lexicon
from mediation.resolve import resolve
from mediation.tokens import Sightings
from pipelines.charging import ChargingNode, Committed
from pipelines.charging.folded import Folded
from pipelines.charging.groups import live_entry
from pipelines.charging.node import NO_FILE, SERVING
from pipelines.commands import MAX_LINE_OCTETS, from_whole_second, sightings_among, tokenised
from pipelines.corrections.kept import keep_reference
from pipelines.doing import Doing, nobody
from pipelines.durable import Disk, reached
from pipelines.home import Home, Input
from pipelines.journal import Block, Clock, Command, Entry
from pipelines.journal import Online as OnlineEntry
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.catalogue import product_schemas, publish
from pipelines.online_entry import encode_requests
from pipelines.reference_in_force import reference_in_force
from pipelines.serve.appender import Appender
from pipelines.serve.behind import Behind
from pipelines.serve.latency import Latency
from pipelines.serve.outcome import CommandOutcome as CommandOutcome
from pipelines.serve.staging import StagingProcess
from pipelines.vault import Vault
from rating.book import BalanceBook
from rating.commands import KINDS
from rating.kernels.layout import B_HOLDS
from reference_data.accounts import load_accounts
from reference_data.online import OnlineRules
from reference_data.snapshot import Snapshot
from schemas.codes import Reason
from schemas.columns import I64, Cells
from schemas.errors import ChargingError, LedgerError
from schemas.online import ANSWER, REQUEST
from schemas.usage import USAGE

_LOOK_S = 0.01  # between looks whether a commit is done


class StoppedError(ChargingError):
    """The node takes no more: it is stopping, or a write failed. Whether what was asked was done is not known."""


@dataclass(frozen=True)
class Pace:
    """How much at once, and how often. It changes speed, never a result."""

    tick_rows: int = 4096
    tick_commands: int = 1024
    ticks_open: int = 4          # ticks that are not durable yet
    here_rows: int = 256         # requests that the loop makes durable itself, where nothing waits behind them
    slice_rows: int = 2048       # events of a batch between two ticks
    clock_s: float = 1.0
    commit_s: float = 1.0
    commit_rows: int = 200_000
    snapshot_rows: int = 5_000_000
    fork: bool = True            # snapshots by a process of their own
    stage_apart: bool = False    # files of commits too


@dataclass
class Counters:
    """What happened, for metrics. Seconds are of the last tick."""

    requests: int = 0
    rows: int = 0
    commands: int = 0
    ticks: int = 0
    slices: int = 0
    charging_s: float = 0.0
    durable_s: float = 0.0
    switch_s: float = 0.0  # for which the last switch of reference data stopped ticks


@dataclass(frozen=True)
class _Asked:
    requests: Cells
    sightings: Sightings | None
    done: "asyncio.Future[Cells]"
    at: float


@dataclass(frozen=True)
class _Commanded:
    command: Mapping[str, object]
    done: "asyncio.Future[CommandOutcome]"
    sightings: Sightings | None = None


@dataclass
class _Batch:
    """Usage that mediation committed, on its way into the journal slice by slice."""

    committed: Committed
    done: "asyncio.Future[int]"
    at: int = 0
    rated: int = 0


@dataclass(frozen=True)
class _Switched:
    done: "asyncio.Future[None]"


_Asker = _Asked | _Commanded | _Batch | _Switched


@dataclass
class _Waiting:
    asked: deque[_Asked] = field(default_factory=deque)
    commanded: deque[_Commanded] = field(default_factory=deque)
    batches: deque[_Batch] = field(default_factory=deque)
    rows: int = 0  # of those asked

    def __bool__(self) -> bool:
        return bool(self.asked or self.commanded or self.batches)


class OnlineNode:
    """Owns a home's journal, book, vault and `charging` stream. Everything but `__init__` and `close` is for one loop.

    reference, book, labels, rules, lexicon are for reading, by the loop: between ticks they hold still.
    """

    def __init__(self, source: Input, home: Home, disk: Disk | None = None, pace: Pace | None = None,
                 doing: Doing = nobody) -> None:
        """Open and recover, which takes seconds; doing: is told what. Raises StaleWriterError: another process has the
        home."""
        started = time.perf_counter()
        self.source, self.home, self.pace, self.disk = source, home, pace or Pace(), disk or Disk()
        self.keys = Keys.open(home.keys, disk)
        self.vault = Vault(home.vault, self.keys, disk)
        try:
            self._open(disk, doing)
        except BaseException:
            self.vault.close()
            raise
        self.recovered_s = time.perf_counter() - started

    def _open(self, disk: Disk | None, doing: Doing) -> None:
        doing("reference data", 0, 0)
        self.reference: Snapshot = reference_in_force(self.home, self.source.operator, self.keys.token_key)
        self.ledger = Ledger.open(self.home.ledger, self.keys.signing_key, disk=disk)
        self.lexicon = Lexicon()
        keep_reference(self.home, self.source.operator / "tariffs", self.reference, disk)
        self.charging = ChargingNode(self.home, self.ledger, self.reference,
                                     partial(load_accounts, self.source.operator),
                                     self.lexicon.labels, disk, 2, self.source.operator, doing)
        publish(self.ledger.store, product_schemas())
        self.recovered_events = self.charging.catch_up()
        doing("accounts that are new", 0, 0)
        self.charging.open_accounts()
        self.charging.tell(SERVING, reference=self.reference.content_hash)
        self.counters, self.latency = Counters(), Latency()
        self.run_pid = 0  # of the run that mediates for this node, by the reference data that it began with
        self.failure: BaseException | None = None
        self.on_command: list[Callable[[Mapping[str, object], CommandOutcome], None]] = []
        self.on_reached: list[Callable[[I64], None]] = []  # told, once durable, whose counters reached thresholds
        self.on_switch: list[Callable[[Snapshot], None]] = []
        self._next = self.charging.journal_file.position
        self._waiting, self._open_ticks = _Waiting(), 0
        self._last_us = self.book.online.turned_us  # the machine's clock may have gone back since
        self._flying: deque[Sequence[_Asker]] = deque()  # of ticks that are not durable yet
        self._state: Literal["new", "running", "stopping"] = "new"
        self._scheduled, self._paused = False, 0
        self._timers: list[asyncio.TimerHandle] = []
        self.failed: asyncio.Event = asyncio.Event()
        self._idle: asyncio.Event = asyncio.Event()

    @property
    def book(self) -> BalanceBook:
        """Balances, sessions and what is held."""
        return self.charging.book

    @property
    def labels(self) -> dict[str, list[str]]:
        """Names behind the label columns of requests."""
        return self.charging.labels

    @property
    def rules(self) -> OnlineRules:
        """How quotas are granted."""
        return self.reference.operator.online_rules

    @property
    def position(self) -> int:
        """Where the next journal entry will be."""
        return self._next

    @property
    def waiting(self) -> int:
        """Rows and commands that no tick has taken yet."""
        return self._waiting.rows + len(self._waiting.commanded)

    @property
    def running(self) -> bool:
        """Whether requests are answered."""
        return self._state == "running" and self.failure is None

    def _reach_s(self) -> float:
        """How long ago the oldest answer was given that is remembered one by one."""
        since_us = self.book.online.answers_since_us
        return round(max(self._last_us - since_us, 0) / 1e6, 3) if since_us else 0.0

    def figures(self) -> dict[str, object]:
        """What is going on, in numbers."""
        counters, behind = self.counters, self._behind
        return {"requests": counters.requests, "rows": counters.rows, "commands": counters.commands,
                "ticks": counters.ticks, "slices": counters.slices, "waiting": self.waiting,
                "open_sessions": self.book.online.open, "held_sessions": int(self.book.scalars[B_HOLDS]),
                "answers": self.book.online.answers, "answers_reach_seconds": self._reach_s(),
                "latency": list(self.latency.counts),
                "position": self._next, "uncommitted_rows": behind.rows,
                "tariffs": self.reference.tariffs.content_hash[:12],
                "switch_ms": round(1000 * counters.switch_s, 3),
                "tick_ms": round(1000 * counters.charging_s, 3), "durable_ms": round(1000 * counters.durable_s, 3),
                "commit_s": round(behind.last_commit_s, 3), "snapshot_s": round(behind.last_snapshot_s, 3),
                "snapshot_copy_s": round(behind.last_fork_s, 3), "snapshots": behind.snapshots,
                "snapshots_failed": behind.snapshots_failed}

    # life

    async def start(self) -> None:
        """Begin to answer."""
        self._loop = asyncio.get_running_loop()
        self._appender = Appender(self.charging.journal_file, self.vault, self._fail)
        self._behind = Behind(self.charging, self._appender.call, self.pace.commit_rows, self.pace.snapshot_rows,
                              self.pace.fork, StagingProcess(self.home.ledger) if self.pace.stage_apart else None)
        self._state = "running"
        self._every(self.pace.clock_s, self._clock)
        self._every(self.pace.commit_s, self._commit)

    async def stop(self) -> None:
        """Take no more, answer what waits, commit everything, leave balances and a snapshot behind.

        Raises what made it fail; nothing is left behind then but the journal.
        """
        if self._state == "running":
            self._state = "stopping"
            while self.failure is None and (self._open_ticks or self._waiting.asked or self._waiting.commanded):
                self._idle.clear()
                self._schedule()
                await self._idle.wait()
        for timer in self._timers:
            timer.cancel()
        for batch in self._waiting.batches:
            batch.done.set_exception(StoppedError("the node stops; it charges the rest of this batch when it starts"))
        self._waiting.batches.clear()
        await asyncio.to_thread(self._appender.stop)
        if self.failure is not None:
            raise self.failure
        await asyncio.to_thread(self._settle)

    def _settle(self) -> None:
        self._behind.finish()
        self.charging.commit_balances()
        self.charging.take_snapshot()

    def close(self) -> None:
        """Give the home back. After `stop`, or without having started."""
        if self._state != "new":
            self._behind.close()
        self.charging.close()
        self.vault.close()

    # what callers ask

    async def request(self, requests: Cells, sightings: Sightings | None = None, at_once: bool = False) -> Cells:
        """Answers (ANSWER, a row for each of REQUEST, in order), durable when this returns. As `ask`."""
        return await self.ask(requests, sightings, at_once)

    def ask(self, requests: Cells, sightings: Sightings | None = None, at_once: bool = False
            ) -> "asyncio.Future[Cells]":
        """Answers (ANSWER, a row for each of REQUEST, in order) once they are durable.

        Accounts are filled in here. sightings: numbers behind tokens of these rows, for the vault. at_once: they are a
        tick already, which need not wait for more where nothing is under way; small ones are answered before this
        returns. Raises StoppedError, here or later: no answer may be given.
        """
        self._must_run()
        done: asyncio.Future[Cells] = self._loop.create_future()
        if not len(requests):
            done.set_result(Cells.empty(ANSWER))
            return done
        resolve(requests, self.charging.current)
        idle = not (self._scheduled or self._paused or self._open_ticks)
        self._waiting.asked.append(_Asked(requests, sightings, done, time.perf_counter()))
        self._waiting.rows += len(requests)
        if at_once and idle:
            self._turn()
        else:
            self._schedule()
        return done

    async def command(self, command: Mapping[str, object]) -> CommandOutcome:
        """Carry out a command of `rating.commands`, durable when this returns; its id makes it idempotent.

        Raises StoppedError: whether it was carried out is not known.
        """
        self._must_run()
        private, numbers = tokenised(from_whole_second(command), self.keys.token_key)
        if private.get("kind") not in KINDS or len(json.dumps(private)) > MAX_LINE_OCTETS:
            return CommandOutcome("refused", Reason.BAD_COMMAND, why="no command that is known, or too long a one")
        done: asyncio.Future[CommandOutcome] = self._loop.create_future()
        self._waiting.commanded.append(_Commanded(private, done, sightings_among(numbers)))
        self._schedule()
        return await done

    async def charge(self, version: int, commands: Sequence[bytes]) -> int:
        """Journal and charge what mediation committed in `version`, in slices between ticks. Returns events rated.

        Durable when this returns, and not committed yet. Raises LedgerError: not the next version.
        """
        self._must_run()
        if version <= self.charging.journaled_version:
            raise LedgerError(f"commit {version} of mediation", f"one after {self.charging.journaled_version}, "
                              "which is journaled", "run again")
        usage, sha256 = await asyncio.to_thread(self.charging.usage_of, version)
        done: asyncio.Future[int] = self._loop.create_future()
        self._waiting.batches.append(_Batch(Committed(version, usage, sha256 if len(usage) else NO_FILE, commands),
                                            done))
        self._schedule()
        return await done

    async def remember(self, sightings: Sightings) -> int:
        """Keep numbers behind tokens for another process that has none of the vault. Returns collisions."""
        self._must_run()
        texts = [sightings.text.get(row) for row in range(len(sightings))] if sightings.text else None
        found = await self._appender.remember(sightings.token, sightings.identity, sightings.value, texts)
        return int(found.collisions.size)

    async def committed(self) -> None:
        """Wait until the ledger has all that came so far: what was confirmed is to be seen by whoever reads it next.

        Ticks go on. Raises StoppedError.
        """
        position = self._next
        self._behind.want(position)
        while self.charging.position < position:
            await asyncio.sleep(_LOOK_S)
            self._must_run()

    async def settle(self) -> int:
        """Commit all that has come so far, with the balances that it came to. Returns the journal position.

        Ticks pause until what is under way is durable and the book is copied.
        """
        self._must_run()
        self._paused += 1
        try:
            while self._open_ticks:
                self._idle.clear()
                await self._idle.wait()
                self._must_run()
            position, committed = self._next, self._behind.settle()
        finally:
            self._paused -= 1
            self._schedule()
        await asyncio.wrap_future(committed)
        return position

    async def switch(self, reference: Snapshot, check: Callable[[], None], **said: object) -> None:
        """Answer under other reference data from the next tick on, durable when this returns.

        The one whose book and front ends it fits: `activation` sees to that. check: raises what speaks against it, at
        the last moment. said: for the journal. Raises StoppedError: whether it came into force is not known.
        """
        self._must_run()
        while self._paused:
            await asyncio.sleep(_LOOK_S)
            self._must_run()
        check()
        done: asyncio.Future[None] = self._loop.create_future()
        try:
            began = time.perf_counter()
            while self._waiting.asked:  # what was read by the tariffs of before is charged by them
                self._tick()
            self._switch(reference, said, done)
            self.counters.switch_s = time.perf_counter() - began
        except BaseException as error:
            self._fail(error)
            raise
        await done

    def _switch(self, reference: Snapshot, said: Mapping[str, object], done: "asyncio.Future[None]") -> None:
        charging, behind = self.charging, self._behind
        content = json.dumps({"id": f"{SERVING}-{self._next}", "kind": SERVING, "reference": reference.content_hash,
                              **said}).encode()
        entries: list[Entry] = [Command(content), Block(charging.journaled_version, NO_FILE, 0, 0)]
        charging.references.know(reference)
        folded = charging.fold(self._next, entries, Cells.empty(USAGE))
        stop, under, self.reference = self._next + len(entries), charging.under, reference

        def tell() -> None:
            behind.switch(stop, content, under)
            if not done.done():
                done.set_result(None)

        self._append(entries, folded, (), tell, (_Switched(done),))
        for listener in self.on_switch:
            listener(reference)

    # ticks

    def _must_run(self) -> None:
        if self._state != "running" or self.failure is not None:
            raise StoppedError("the charging node takes no more", remedy="ask again when it has started")

    def _schedule(self) -> None:
        """Have a tick soon, unless as many are on their way to the disk as may be: several where much waits, else one,
        behind which what waits is a tick that the loop makes durable itself."""
        much = self.waiting > self.pace.here_rows or bool(self._waiting.batches)
        most = self.pace.ticks_open if much else 1
        if not (self._scheduled or self._paused) and self._open_ticks < most and self.failure is None:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """A tick of what waits, then a slice of a batch."""
        self._scheduled = False
        if self.failure is not None or self._paused:
            return
        try:
            if self._waiting.asked or self._waiting.commanded:
                self._tick()
            if self._waiting.batches and self._state == "running":
                self._slice(self._waiting.batches[0])
        except BaseException as error:  # the book may be half changed: nothing may be answered from it any more
            self._fail(error)
            return
        if self._waiting:
            self._schedule()

    def _tick(self) -> None:
        waiting, pace = self._waiting, self.pace
        asked, rows = list[_Asked](), 0
        while waiting.asked and (not asked or rows + len(waiting.asked[0].requests) <= pace.tick_rows):
            asked.append(waiting.asked.popleft())
            rows += len(asked[-1].requests)
        waiting.rows -= rows
        commanded = [waiting.commanded.popleft() for _ in range(min(len(waiting.commanded), pace.tick_commands))]
        started, first = time.perf_counter(), self._next
        received_us = self._now_us()
        requests = _joined([each.requests for each in asked])
        entries: list[Entry] = [Command(live_entry(each.command, received_us)) for each in commanded]
        entries.append(OnlineEntry(encode_requests(requests, received_us, self.labels)))
        tick = self.charging.tick(first, [each.command for each in commanded], requests, received_us)
        outcomes = [CommandOutcome("refused" if reason else "repeated" if known else "done", reason, first + i, why)
                    for i, (known, reason, why) in enumerate(tick.outcomes)]
        self.counters.charging_s = time.perf_counter() - started
        seen = [*(each.sightings for each in asked), *(each.sightings for each in commanded)]
        here = rows <= pace.here_rows and not waiting
        self._append(entries, tick.folded, [each for each in seen if each is not None],
                     partial(self._tell, asked, tick.answers, commanded, outcomes), (*asked, *commanded), here)

    def _slice(self, batch: _Batch) -> None:
        """The next rows of a batch; its commands come with the first."""
        committed = batch.committed
        stop = min(batch.at + self.pace.slice_rows, len(committed.usage))
        entries: list[Entry] = [Command(payload) for payload in committed.commands] if batch.at == 0 else []
        entries.append(Block(committed.version, committed.usage_sha256, batch.at, stop))
        folded = self.charging.fold(self._next, entries, committed.usage)
        self.charging.journaled(entries)
        batch.at = stop
        batch.rated += sum(int((part.rated["leg"] == 0).sum()) for part in folded.parts)
        last = stop == len(committed.usage)
        if last:
            self._waiting.batches.popleft()
        self.counters.slices += 1
        self._append(entries, folded, (), lambda: batch.done.set_result(batch.rated) if last else None, (batch,))

    def _clock(self) -> None:
        """Supervision: what nobody reports is given back."""
        if self._state != "running" or self._paused:
            return
        now_us = self._now_us()
        entries = [Clock(now_us)]
        self._append(entries, self.charging.fold(self._next, entries, Cells.empty(USAGE)), (), lambda: None)

    def _append(self, entries: Sequence[Entry], folded: Folded, sightings: Sequence[Sightings],
                tell: Callable[[], None], askers: Sequence[_Asker] = (), here: bool = False) -> None:
        """Step 3, and what follows. askers: who is told, or learns that it failed. here: at once, if that can be."""
        self._next += len(entries)
        self._flying.append(askers)
        self._open_ticks += 1
        stop, progress, started = self._next, self.charging.progress(), time.perf_counter()

        def durable() -> None:
            if self.failure is not None:
                return
            reached("serve.durable")
            self._flying.popleft()
            self._open_ticks -= 1
            self.counters.ticks += 1
            self.counters.durable_s = time.perf_counter() - started
            try:
                tell()
                self._tell_reached(folded)
                self._behind.add(folded, stop, progress)
            except BaseException as error:
                self._fail(error)
                return
            if not self._open_ticks:
                self._idle.set()
            if self._waiting:
                self._schedule()

        self._appender.append(entries, sightings, durable, here)

    def _tell(self, asked: Sequence[_Asked], answers: Cells | None, commanded: Sequence[_Commanded],
              outcomes: Sequence[CommandOutcome]) -> None:
        """Step 4. Whoever went away meanwhile is passed over: what was done is done."""
        at, now = 0, time.perf_counter()
        for each in asked:
            rows = len(each.requests)
            assert answers is not None
            own = answers.slice(at, at + rows)
            own["message"] = each.requests["message"]
            at += rows
            self.latency.add(now - each.at, rows)
            if not each.done.done():
                each.done.set_result(own)
        for one, outcome in zip(commanded, outcomes, strict=True):
            if not one.done.done():
                one.done.set_result(outcome)
            for listener in self.on_command:
                listener(one.command, outcome)
        self.counters.requests += len(asked)
        self.counters.rows += at
        self.counters.commands += len(commanded)

    def _tell_reached(self, folded: Folded) -> None:
        found = [part.notification["account_id"] for part in folded.parts if len(part.notification)]
        if found:
            accounts = np.unique(np.concatenate(found))
            for listener in self.on_reached:
                listener(accounts)

    def _now_us(self) -> int:
        """Time of what is received: never before what was received before."""
        self._last_us = max(time.time_ns() // 1000, self._last_us)
        return self._last_us

    # behind the answers

    def _commit(self) -> None:
        self._behind.commit()
        if self._behind.snapshot_due():
            self._behind.snapshot(self._next)

    def _every(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something again and again, until the node stops or fails."""
        def again(timer: int) -> None:
            if self.failure is None and self._state == "running":
                try:
                    what()
                except BaseException as error:
                    self._fail(error)
                    return
                self._timers[timer] = self._loop.call_later(seconds, again, timer)

        self._timers.append(self._loop.call_later(seconds, again, len(self._timers)))

    def _fail(self, error: BaseException) -> None:
        """Nothing is answered any more: what is in the journal and what is not, the next start will tell."""
        if self.failure is None:
            self.failure = error
        wrong = StoppedError(f"the charging node has failed: {error}")
        for each in (*chain(*self._flying), *self._waiting.asked, *self._waiting.commanded, *self._waiting.batches):
            if not each.done.done():
                each.done.set_exception(wrong)
        self._waiting = _Waiting()
        self._idle.set()
        self.failed.set()


def _joined(parts: Sequence[Cells]) -> Cells:
    """Requests of several callers as one block, whose messages are told apart."""
    joined = Cells.concat(REQUEST, parts)
    if len(parts) > 1:
        counts = [len(part) for part in parts]
        bases = np.cumsum([0, *(int(part["message"].max()) + 1 for part in parts[:-1])])
        joined["message"] = joined["message"] + np.repeat(bases, counts)
    return joined
