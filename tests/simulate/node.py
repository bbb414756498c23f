"""The charging node, simulated: clients that misbehave, a disk that forgets, power that fails at any step.

What the journal holds decides what happened; an oracle that shares no code with rating goes through it. After each
life of the node: balances and holds are the oracle's, every reply that was sent is what the oracle said and is in the
journal, postings sum to zero; at the end a replay of the whole journal gives the same book and the same ledger.
"""

import asyncio
import json
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pyarrow as pa

from pipelines.charging.node import SERVING
from pipelines.durable import crash_points
from pipelines.home import Home
from pipelines.journal import Clock as ClockEntry
from pipelines.journal import Command, Online
from pipelines.ledger import Ledger
from pipelines.ledger.content_hash import content_hash
from pipelines.online_entry import decode_requests
from pipelines.serve.activation import Activation
from pipelines.serve.node import CommandOutcome, OnlineNode, Pace, StoppedError
from rating.kernels.layout import MONEY
from rating.snapshot import same_state
from reference_data.inventory import tokens_of
from schemas.codes import Identity, Service
from schemas.columns import ABSENT, Cells
from schemas.errors import LedgerError, ReferenceDataError
from tests.faults.fault_disk import FaultDisk
from tests.faults.platter import Platter
from tests.online_world import (
    ACTIONS,
    BARRED,
    KINDS,
    LEAST,
    OFFLINE,
    PRICES,
    QUOTAS,
    REMEMBER_S,
    SUPERVISION_S,
    Network,
    cells_of,
)
from tests.oracle.online import WINDOW, Account, OnlineOracle
from tests.simulate.commands import CommandOracle, Shop, nanos_of
from tests.simulate.virtual import (
    Clock,
    PowerCut,
    Script,
    StuckError,
    VirtualAppender,
    VirtualExecutor,
    VirtualLoop,
    die,
)
from tests.simulate.world import (
    CREDIT,
    OPENING,
    SHARES,
    VARIANT_PRICES,
    VARIANTS,
    copy_template,
    msisdn,
    variant_hashes,
    write_variant,
)

BEGAN_US = 1_792_584_000_000_000
TABLES = ("rated", "posting", "suspense", "grant")


@dataclass
class Report:
    """What one seed came to."""

    seed: int
    lives: int = 0
    cuts: list[str] = field(default_factory=list)
    requests: int = 0
    replies: int = 0
    repeated: int = 0
    older: int = 0  # of these, of requests that were not their session's last
    entries: int = 0
    charged_nanos: int = 0
    activated: int = 0
    commands: Counter[str] = field(default_factory=Counter)


class Simulation:
    def __init__(self, seed: int, template: Path, folder: Path) -> None:
        self.luck, self.report = Random(seed), Report(seed)
        self.input, self.home = copy_template(template, folder)
        self.platter = Platter(self.home.root, folder / "platter")
        self.clock = Clock(BEGAN_US)
        self.network = Network(self.luck)
        self.oracle = OnlineOracle(
            {n: Account(nanos_of(money), nanos_of(CREDIT.get(n, "0")), SHARES.get(n), 4010 if n == BARRED else 0)
             for n, money in OPENING.items()}, PRICES, QUOTAS, LEAST, SUPERVISION_S, REMEMBER_S, (OFFLINE,))
        self.checked = 0                                     # journal entries that the oracle has seen
        self.told: dict[tuple[int, int], list[Any]] = {}     # of the oracle: answers of a request, each time it came
        self.replies: dict[tuple[int, int], list[Any]] = {}  # what clients got
        self.first: dict[tuple[int, int], Any] = {}          # of requests by the journal: session, and first answers
        self.shop, self.commands = Shop(self.luck), CommandOracle(self.oracle)
        self.outcomes: list[tuple[str, CommandOutcome]] = []  # of commands, as they were told
        self.unanswered: list[dict[str, Any]] = []
        self.folder = 0                                       # which tariffs the operator's folder has
        self.tariffs = {""}                                   # what may be in force at the next start, "": the folder's

    def run(self) -> Report:
        """Lives until one ends in peace. Raises AssertionError: a law is broken."""
        VirtualAppender.luck = VirtualExecutor.luck = self.luck
        for _ in range(self.luck.choice((0, 1, 1, 2, 3))):
            self.life(crash=True)
            self.platter.lose_power(self.luck.choice((None, self.luck.randrange(1 << 30))))
        self.life(crash=False)
        self.replay()
        self.report.charged_nanos = self.oracle.revenue
        self.report.commands += self.commands.counts
        return self.report

    def life(self, crash: bool) -> None:
        """One start of the node, until the power fails or it is stopped."""
        luck = self.luck
        by_disk = crash and luck.random() < 0.6
        script = Script(luck.randint(1, 250) if by_disk else 0, luck.randrange(1 << 30))
        point = luck.randint(1, 300) if crash and not by_disk else 0

        def reached(name: str) -> None:
            nonlocal point
            point -= 1
            if point == 0:
                script.dead, script.last = True, name
            if script.dead:
                raise PowerCut(name)

        self.report.lives += 1
        loop = VirtualLoop(self.clock)
        loop.set_exception_handler(lambda *_: None)  # what power cuts leave behind
        node: OnlineNode | None = None
        with (crash_points(reached), patch("tests.faults.fault_disk.die", die),
              patch("pipelines.serve.node.time", self.clock),
              patch("pipelines.serve.behind.time", self.clock),
              patch("pipelines.serve.activation.time", self.clock),
              patch("pipelines.serve.node.Appender", VirtualAppender),
              patch("pipelines.serve.behind.ThreadPoolExecutor", VirtualExecutor)):
            try:
                disk = FaultDisk(script, self.platter)  # type: ignore[arg-type]
                node = OnlineNode(self.input, self.home, disk, Pace(
                    tick_rows=luck.choice((1, 8, 4096)), clock_s=luck.choice((0.5, 10.0, 60.0)), commit_rows=40,
                    snapshot_rows=luck.choice((60, 10_000)), fork=False))
                self.check(node)
                self.check_in_force(node)
                loop.run_until_complete(self.live(node))
                assert not script.dead
                self.check(node)
            except (PowerCut, StoppedError):
                pass
            except StuckError:
                if not script.dead:  # else the power failed in the last that there was to do, and the loop went on
                    raise
            finally:
                self.end(loop, node)
        if script.dead:
            self.report.cuts.append(script.last)

    @staticmethod
    def end(loop: VirtualLoop, node: OnlineNode | None) -> None:
        """The dead hold no locks. What is still under way goes on until the power fails, if it does then."""
        if node is not None:
            for close in (node.close, node.charging.journal_file.close, node.vault.close):
                with suppress(BaseException):
                    close()
        with suppress(BaseException):
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    async def live(self, node: OnlineNode) -> None:
        await node.start()
        activation, activations = Activation(node), list[asyncio.Task[None]]()
        again, self.unanswered = self.unanswered, []
        tasks = [asyncio.ensure_future(self.client(node, m)) for m in again if self.luck.random() < 0.8]
        for _ in range(self.luck.choice((5, 20, 40))):
            self.network.now_us = self.clock.time_ns() // 1000
            if self.luck.random() < 0.1:
                self.clock.jump(self.luck.choice((-400, -3, 2, 90, 1000)))
            tasks += [asyncio.ensure_future(self.client(node, message)) for message in self.network.messages()]
            for _ in range(self.luck.choice((0, 0, 0, 1, 1, 3))):
                self.report.commands["lost"] += 1
                tasks.append(asyncio.ensure_future(self.command(node, self.shop.command(self.clock.time_ns() // 1000))))
            if self.luck.random() < 0.12 and all(each.done() for each in activations):
                activations.append(asyncio.ensure_future(self.activate(activation)))
                tasks.append(activations[-1])
            await asyncio.sleep(self.luck.choice((0, 0.0005, 0.01, 1.0, 20.0, 150.0)))
            if node.failure is not None:
                break
        async with asyncio.timeout(5000):  # of virtual time: every request is answered, or fails
            found = await asyncio.gather(*tasks, return_exceptions=True)
        for error in found:
            if error is not None and not isinstance(error, (StoppedError, PowerCut, asyncio.CancelledError)):
                raise error
        if node.failure is not None:
            raise node.failure
        await node.stop()

    async def client(self, node: OnlineNode, message: dict[str, Any]) -> None:
        """One request; its sender may go away before the reply, and may ask again in another life."""
        cells = cells_of([message])
        if message["account"] not in ("same", "nobody"):
            cells["msisdn_token"] = int(tokens_of(pa.array([msisdn(message["account"])]), Identity.MSISDN,
                                                  node.keys.token_key)[0])
        cells["account_id"] = ABSENT
        cells["event_time_us"] = message["time_us"]
        self.report.requests += 1
        asking = asyncio.ensure_future(node.request(cells, at_once=self.luck.random() < 0.5))
        if self.luck.random() < 0.05:
            await asyncio.sleep(0.0001)
            asking.cancel()
        try:
            answers = await asking
        except BaseException:
            self.unanswered.append(message)
            raise
        self.report.replies += 1
        self.replies.setdefault((message["session"], message["number"]), []).append((message, _answers(answers)))

    async def command(self, node: OnlineNode, command: dict[str, Any]) -> None:
        """One command; who hears nothing asks again in another life."""
        try:
            outcome = await node.command(command)
        except BaseException:
            self.shop.unanswered.append(command)
            raise
        self.report.commands["lost"] -= 1
        self.shop.answered(command, outcome.status)
        self.outcomes.append((command["id"], outcome))

    async def activate(self, activation: Activation) -> None:
        """The operator edits the folder, activates it, goes back, or names tariffs that are kept."""
        what, luck = self.luck.choice(("folder", "folder", "rollback", "rollback", "kept", "broken", "edit")), self.luck
        if what in ("folder", "edit"):
            self.folder = luck.randrange(len(VARIANTS))
            write_variant(self.input, self.folder)
            self.tariffs = self.tariffs | {""}  # a start takes it, where it is not what was rolled back
        if what == "edit":
            return
        wanted = luck.choice(variant_hashes()) if what == "kept" else ""
        before = set(self.tariffs)
        self.tariffs |= set(variant_hashes())  # should the power fail now
        try:
            if what == "broken":
                (self.input.operator / "tariffs" / "t.yaml").write_text(VARIANTS[0][1].replace("EUR", "GBP"))
            told = await activation.activate(wanted, what == "rollback")
        except (LedgerError, ReferenceDataError):
            assert what != "folder"
            self.tariffs = before
        else:
            assert told["tariffs"] == (variant_hashes()[self.folder] if what == "folder" else wanted or told["tariffs"])
            self.tariffs = {told["tariffs"]}
            self.report.activated += told["changed"]
        finally:
            write_variant(self.input, self.folder)

    def check_in_force(self, node: OnlineNode) -> None:
        """What was confirmed to be in force is, after whatever happened, until the folder is another."""
        hashes, now = variant_hashes(), node.reference.tariffs.content_hash
        assert now in {each or hashes[self.folder] for each in self.tariffs}, f"{now[:12]} is in force"
        self.tariffs = {now}

    # laws

    def check(self, node: OnlineNode) -> None:
        """The oracle goes through what the journal has beyond what it has seen; then all must agree."""
        journal = node.charging.journal_file
        assert journal.position >= self.checked, "what was durable once is gone"
        for position, entry in journal.read(self.checked):
            self.report.entries += 1
            if isinstance(entry, Online):
                received_us, requests = decode_requests(entry.content, node.labels)
                block = _messages(requests)
                found = self.oracle.serve(block, received_us)
                for message in block:
                    own, found = found[:len(message["services"])], found[len(message["services"]):]
                    self.told.setdefault((message["session"], message["number"]), []).append((message, own))
                    self.check_repeat(message, own)
            elif isinstance(entry, ClockEntry):
                self.oracle.clock(entry.time_us)
                self.commands.clock(entry.time_us)
            elif isinstance(entry, Command):
                fields = json.loads(entry.content)
                if fields.get("kind") == SERVING:
                    kept = (self.home.reference / fields["reference"]).read_text()
                    self.oracle.prices = VARIANT_PRICES[variant_hashes().index(kept)]
                if "live" in fields:
                    self.commands.carry_out(position, fields["command"])
        self.checked = journal.position
        self.check_replies()
        book = node.book
        for number, account in self.oracle.accounts.items():
            assert int(book.records[book.row_of(number), MONEY]) == account.money, f"money of account {number}"
        held = sum(part for hold in self.oracle.holds.values() for _, part in hold)
        held += self.commands.held()
        assert int(book.held()[2].sum()) == held, "what is held"
        assert len(book.online) == len(self.oracle.sessions)
        for name, outcome in self.outcomes:
            told = self.commands.told.get(outcome.position)
            assert told == (name, outcome.status), f"command {name}: replied {outcome}, the journal says {told}"
        self.outcomes.clear()

    def check_replies(self) -> None:
        """Every reply says what the oracle said of that request, one of the times that the journal has it."""
        for key, replies in self.replies.items():
            for message, reply in replies:
                told = [[_plain(answer) for answer in own] for asked, own in self.told.get(key, ())
                        if [s["name"] for s in asked["services"]] == [s["name"] for s in message["services"]]]
                assert [_plain(answer) for answer in reply] in told, f"{key}: replied {reply}, the journal says {told}"
                self.report.repeated += any(answer["repeated"] for answer in reply)
        self.replies.clear()

    def check_repeat(self, message: dict[str, Any], own: list[Any]) -> None:
        """A request that comes again is told what it was told when it came first, as long as its session is known."""
        session, key = self.oracle.sessions[message["session"]], (message["session"], message["number"])
        asked, answers = [each["name"] for each in message["services"]], [_plain(answer) for answer in own]
        known, named, first = self.first.get(key, (None, None, None))
        if not own[0]["repeated"]:
            self.first[key] = session, asked, answers
        elif known is session and named == asked and session.number - message["number"] <= WINDOW:
            assert answers == first, f"{key}: told {first} at first, then {answers}"
            self.report.older += message["number"] < session.number

    def replay(self) -> None:
        """The whole journal again, without snapshots and without the ledger: the same book, the same ledger."""
        home = Home(self.home.root.with_name("again"))
        shutil.copytree(self.home.root, home.root)
        node = OnlineNode(self.input, self.home)
        node.close()
        for path in home.snapshots.glob("*.snapshot"):
            path.unlink()
        ledger = Ledger.open(self.home.ledger)
        before = {name: content_hash(ledger, [name]) for name in TABLES}
        shutil.rmtree(home.ledger)  # no other stream has written into it
        again = OnlineNode(self.input, home)
        again.close()
        assert same_state(again.book, node.book), "the journal makes another book"
        after = {name: content_hash(Ledger.open(home.ledger), [name]) for name in TABLES}
        assert after == before, "the journal makes another ledger"
        versions = {name for batch in ledger.batches("rated") for name in batch["tariff_version"].to_pylist()}
        plans = {name for batch in ledger.batches("rated") for name in batch["plan"].to_pylist()}
        assert versions <= {"s", "t"} and plans <= {"p"}, "names of other tariffs"


def _answers(cells: Cells) -> list[dict[str, Any]]:
    rows = zip(*(cells[name].tolist() for name in ("result_code", "message_code", "repeated", "granted", "due_nanos",
                                                   "final_action")), strict=True)
    return [{"code": code, "message": message, "repeated": bool(repeated), "final": final > 0,
             "granted": None if granted == ABSENT else granted, "due": None if due == ABSENT else due}
            for code, message, repeated, granted, due, final in rows]


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "repeated"}


def _messages(cells: Cells) -> list[dict[str, Any]]:
    """Requests of the journal as the oracle takes them."""
    block: list[dict[str, Any]] = []
    optional: dict[str, str] = {"requested": "requested", "used": "used", "after": "used_after"}
    for i in range(len(cells)):
        row = {name: int(cells[name][i]) for name in cells.columns.names}
        if not block or row["message"] != block[-1]["message"]:
            named = row["msisdn_token"] != ABSENT
            block.append({"message": row["message"], "session": row["session_lo"], "number": row["number"],
                          "kind": KINDS[row["kind"]], "service": Service(row["service"]).name.lower(), "services": [],
                          "account": row["account_id"] if row["account_id"] != ABSENT else
                          "nobody" if named else "same"})
            if row["action"] != ABSENT:
                block[-1]["action"] = ACTIONS[row["action"]]
            if row["money_nanos"] != ABSENT:
                block[-1]["money"] = row["money_nanos"]
        block[-1]["services"].append({"name": (row["rating_group"], row["service_identifier"])} | {
            name: row[column] for name, column in optional.items() if row[column] != ABSENT})
    return block


def simulate(seed: int, template: Path, folder: Path) -> Report:
    """One seed in a new folder, which is removed when all laws hold."""
    try:
        report = Simulation(seed, template, folder).run()
    except BaseException as error:
        error.add_note(f"seed {seed}: make simulate SEED={seed}")
        raise
    shutil.rmtree(folder)
    return report

