"""The main job: files in, ledger out. One process, embedded; stages on threads, results in order.

    collect > read > mediate, commit 1 > journal > charge, commit 2

A run continues where the last one stopped, however it stopped: first what the journal has and the ledger has not,
then commits of mediation that the journal has not, then the rest of the collected files, then new files.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mediation.memory import Lexicon
from pipelines.archive import Archive
from pipelines.charging import ChargingNode
from pipelines.collect import CollectedFile, Collector, Mark, stable
from pipelines.corrections.kept import keep_reference
from pipelines.durable import Disk
from pipelines.home import Home, Input
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.catalogue import product_schemas, publish
from pipelines.mediating import Mediator
from pipelines.reading import OFFSET_BITS, Reader
from pipelines.reference_in_force import reference_in_force
from pipelines.serve.home_socket import connect
from pipelines.served_home import ServedNode, ServedVault
from pipelines.stages import Gate, chain
from pipelines.vault import Vault
from rating.book import BalanceBook
from rating.charging import Charged
from reference_data.accounts import load_accounts
from schemas.errors import LedgerError

BATCH_RECORDS = 100_000


@dataclass(frozen=True)
class RunOptions:
    """batch_records and workers change speed, never a result. stable_s: age a file needs in a standing inbox."""

    batch_records: int = BATCH_RECORDS
    workers: int = 2
    stable_s: float = 5.0


@dataclass(frozen=True)
class RunSummary:
    """What this run did.

    messages: what the operator should read, such as files of a format that is not read. cpu_s: processor seconds of
    each stage's thread; with one worker all of them lie in the last.
    """

    files: int
    records: int
    containers: int
    rated: int
    seconds: float
    messages: tuple[str, ...] = ()
    cpu_s: dict[str, float] = field(default_factory=dict)


class Run:
    """Everything a run holds open, in the order in which it must be opened."""

    def __init__(self, source: Input, home: Home, options: RunOptions, disk: Disk | None = None,
                 served_too: bool = False) -> None:
        """served_too: where `tarifa serve` has the home, hand over to it; else that is refused as any second owner."""
        self._options, self._settled = options, False
        keys = Keys.open(home.keys, disk)
        served = connect(home.root) if served_too else None  # by a node that has journal and vault
        # Locked first: a second process stops before it claims anything.
        self._vault = Vault(home.vault, keys, disk) if served is None else ServedVault(served)
        self.reference = reference_in_force(home, source.operator, keys.token_key)
        self.ledger = Ledger.open(home.ledger, keys.signing_key, disk=disk)
        lexicon = Lexicon()
        node = None if served is None else ServedNode(served, self.reference.content_hash, self.ledger, home)
        self._archive = Archive(home.archive, keys, disk)
        self.collector = Collector(self.ledger, self._archive, self.reference.streams, source.inbox)
        threads = min(options.workers, 2)
        self._open_mediator = partial(Mediator, home, self.ledger, self.reference, self._vault, keys.token_key, lexicon,
                                      disk, threads)
        self._mediator = self._open_mediator()
        accounts = partial(load_accounts, source.operator)
        keep_reference(home, source.operator / "tariffs", self.reference, disk)
        self._node: ChargingNode | ServedNode = node or ChargingNode(
            home, self.ledger, self.reference, accounts, lexicon.labels, disk, threads, source.operator)
        self._reader = Reader(self.collector, self.reference, source.operator / "formats", options.batch_records)
        self._reader.load_formats(folder.name for folder in source.inbox.iterdir())
        publish(self.ledger.store, product_schemas())

    @property
    def _owner(self) -> ChargingNode:
        """The node of a home that nobody serves."""
        assert isinstance(self._node, ChargingNode)
        return self._node

    def take(self, paths: Collection[Path]) -> tuple[int, int]:
        """One round over these files of the inbox and no others; they are removed from it.

        Returns the stretch of the journal that they made.
        """
        self._catch_up()
        first = self._node.position
        self.go(consume=True, chosen=paths)
        return first, self._node.position

    def rehearse(self, commit: bool) -> BalanceBook:
        """The book after all that is journaled, every account opened, for `try_command`: close this run after that.

        commit: finish what an earlier run left; else nothing is written. Raises LedgerError: then something is left.
        """
        if commit:
            self._catch_up()
            if not self._node.settled:  # killed between its last charge and its end
                self._settle()
        elif any(True for _ in self._node.pending()) or any(
                True for _ in self._mediator.committed_after(self._node.journaled_version, self.collector)):
            raise LedgerError("an earlier run was stopped in the middle", "one that ended", "run again first")
        return self._node.rehearse()

    def try_command(self, command: Mapping[str, object]) -> Charged:
        """What carrying out this command next would give. After `rehearse`."""
        return self._node.try_command(command)

    def go(self, consume: bool = False, ages: dict[Path, Mark] | None = None,
           progress: Callable[[int], None] | None = None, chosen: Collection[Path] | None = None) -> RunSummary:
        """One round over the inbox. `ages`: of a standing inbox, only files that are stable are taken.

        progress is told the octets of each batch read. chosen: only these files.
        """
        started = time.perf_counter()
        rated = self._catch_up()
        found = self.collector.find()
        if chosen is not None:
            found = [each for each in found if each.path in chosen]
        if ages is not None:
            found = stable(found, ages, self._options.stable_s)
        files = records = containers = 0

        def collected() -> Iterator[CollectedFile]:
            first = self._mediator.position >> OFFSET_BITS
            yield from sorted((f for f in self.collector.files.values() if f.file_id >= first), key=lambda f: f.file_id)
            yield from self.collector.collect(found, consume)

        workers, cpu_s, began_s = self._options.workers, dict[str, float](), time.thread_time()
        all_began_s = time.process_time()
        gate = Gate()
        ordered = chain(collected(), workers, 8, "collect", cpu_s)
        read = gate.pass_on(self._reader.batches(ordered, self._mediator.position, self._mediator.open_file),
                            lambda batch: batch.changes_identities)
        batches = chain(map(self._mediator.prepare, read), workers, 2, "read, normalise", cpu_s)
        committed = chain(map(self._mediator.mediate, batches), workers, 2, "mediate, commit 1", cpu_s)
        for batch, done in gate.closing(committed):
            first, entries = self._node.journal(done)
            rated += self._node.charge(first, entries, done.usage, ahead=workers > 1)
            if batch.changes_identities:
                self._node.commit_charged()
                gate.open()
            files += len(batch.finished)
            records += batch.record_count
            containers += batch.container_count
            if progress is not None:
                progress(batch.octets)
        self._node.finish()
        cpu_s["charge, commit 2"] = time.thread_time() - began_s
        if files or rated or not self._settled:
            self._settle()
            self._settled = True
        cpu_s["settle"] = time.thread_time() - began_s - cpu_s["charge, commit 2"]
        cpu_s["all threads"] = time.process_time() - all_began_s
        refused, self._reader.refused = tuple(self._reader.refused), []
        return RunSummary(files, records, containers, rated, time.perf_counter() - started, refused, cpu_s)

    def _settle(self) -> None:
        """What a run leaves behind for the next one: deltas made whole, balances, a snapshot at the journal's end."""
        self._mediator.write_state()
        self._node.commit_balances()
        self._node.take_snapshot()

    def close(self) -> None:
        self._node.close()
        self._mediator.close()
        self.collector.close()
        self._vault.close()

    def _catch_up(self) -> int:
        """Charge what is committed by mediation and not charged yet: from the journal, then from mediation's log."""
        rated = self._node.catch_up()
        for done in self._mediator.committed_after(self._node.journaled_version, self.collector):
            first, entries = self._node.journal(done)
            rated += self._node.charge(first, entries, done.usage)
        self._node.open_accounts()
        self._forget_backed_out()
        return rated

    def _forget_backed_out(self) -> None:
        """The second half of a backout, and of one that was stopped between its halves."""
        for position, correction in list(self._node.backouts(self._mediator.backed_out)):
            self._mediator.forget(position, correction)
            self.collector.forget(next(correction.tables("forgotten_file"))["file_id"].to_pylist())
            self._mediator.close()
            self._mediator = self._open_mediator()


def run(source: Input, home: Home, options: RunOptions | None = None, consume: bool = False,
        progress: Callable[[int], None] | None = None, disk: Disk | None = None) -> RunSummary:
    """Take what is in the inbox to the ledger, then return."""
    job = Run(source, home, options or RunOptions(), disk, served_too=True)
    try:
        return job.go(consume, progress=progress)
    finally:
        job.close()


def watch(source: Input, home: Home, options: RunOptions, rounds: int | None, every_s: float,
          report: Callable[[RunSummary], None], disk: Disk | None = None) -> None:
    """Stand by the inbox: take files once they are stable, archive and remove them; `rounds` bounds it for tests."""
    job = Run(source, home, options, disk, served_too=True)
    ages: dict[Path, Mark] = {}
    try:
        while rounds is None or rounds > 0:
            summary = job.go(consume=True, ages=ages)
            if summary.files:
                report(summary)
            rounds = None if rounds is None else rounds - 1
            if rounds != 0:
                time.sleep(every_s)
    finally:
        job.close()
