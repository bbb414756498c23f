"""The ledger killed between any two steps, on a full disk, with torn files, with two owners at once.

A workload commits numbered batches, each in two tables, as a restarted worker would: it reopens, reads the position,
and goes on from there. Whatever happened, the rows must be those of an undisturbed run, and the ledger must verify.
"""

import errno
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.durable import Disk, crash_points
from pipelines.ledger import Ledger
from pipelines.ledger.compact import compact
from pipelines.ledger.content_hash import content_hash
from pipelines.ledger.stream import CRASH_POINTS
from pipelines.ledger.verify import verify
from schemas.errors import StaleWriterError

# Children are forked from a process whose libraries have threads; they only ever start their own.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BATCHES = 6


def batch(i: int) -> tuple[pa.Table, pa.Table]:
    times = pa.array([(i * 3 + k) * 40_000_000_000 for k in range(3)], pa.timestamp("us", "UTC"))
    usage = pa.table({"event_time_us": times, "account_id": [i, i + 1, 7], "charge_nanos": [i * 10, 5, -3]})
    return usage, pa.table({"account_id": [i], "amount": [i * 10 + 2]})


def work(folder: Path, batches: int = BATCHES, disk: Disk | None = None, owner: str = "worker") -> None:
    """Commit what is missing of `batches` batches, and compact twice on the way."""
    stream = Ledger.open(folder, KEY, disk=disk).stream("charging", owner, head_every=2)
    for i in range(stream.positions.get("journal", 0), batches):
        usage, posting = batch(i)
        dropped = [each.path for each in stream.files("held")]
        stream.commit([stream.stage("rated_events", usage), stream.stage("moves", posting),
                       stream.stage("held", posting), stream.stage_bytes("state", "book", b"%d" % i)],
                      removed=dropped, positions={"journal": (i, i + 1)}, state={"next": i + 1})
        if i % 3 == 2:
            compact(Ledger.open(folder, KEY, disk=disk), stream, tables=["rated_events"])
    stream.close()


def in_child(action: Callable[[], None]) -> int:
    """Run `action` in a forked child; its exit code, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except BaseException:
            os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(point: str, occurrence: int) -> Callable[[str], None]:
    left = occurrence

    def handler(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return handler


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    work(folder)
    ledger = Ledger.open(folder)
    assert ledger.table("moves").column("amount").to_pylist() == [2, 12, 22, 32, 42, 52]
    assert ledger.table("held").column("amount").to_pylist() == [52]
    assert sorted(ledger.table("rated_events").column("charge_nanos").to_pylist()) == \
        sorted([-3, 5] * BATCHES + [0, 10, 20, 30, 40, 50])
    return content_hash(ledger)


def is_whole(folder: Path, undisturbed: dict[str, str]) -> None:
    ledger = Ledger.open(folder)
    assert content_hash(ledger) == undisturbed
    assert ledger.logs()["charging"].positions() == {"journal": BATCHES}
    report = verify(ledger, [KEY.public_key()])
    assert report.sound, report.findings


@pytest.mark.parametrize("point", [*CRASH_POINTS, "ledger.compact.1"])
def test_killed_at_each_numbered_step_and_run_again_is_the_undisturbed_ledger(
        tmp_path: Path, undisturbed: dict[str, str], point: str) -> None:
    def killed() -> None:
        with crash_points(kill_at(point, 1 if "claim" in point else 2)):
            work(tmp_path)

    assert in_child(killed) == -signal.SIGKILL, f"{point} was never reached"
    assert in_child(lambda: work(tmp_path)) == 0
    is_whole(tmp_path, undisturbed)


def test_killed_at_random_moments_again_and_again_is_the_undisturbed_ledger(
        tmp_path: Path, undisturbed: dict[str, str]) -> None:
    seed = int(os.environ.get("TARIFA_FAULT_SEED", "20260101"))
    rounds = int(os.environ.get("TARIFA_FAULT_ROUNDS", "10"))
    chance = random.Random(seed)
    print(f"seed {seed}")
    kills = 0
    for each in range(rounds):
        folder = tmp_path / str(each)
        while True:
            child = os.fork()
            if child == 0:
                try:
                    work(folder)
                    os._exit(0)
                except BaseException:
                    os._exit(3)
            time.sleep(chance.uniform(0, 0.12))
            os.kill(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert status in (0, -signal.SIGKILL), f"seed {seed}, round {each}: the worker failed"
            kills += status != 0
            if status == 0 or chance.random() < 0.3:
                break
        assert in_child(lambda folder=folder: work(folder)) == 0  # type: ignore[misc]
        is_whole(folder, undisturbed)
    assert kills


class FullDisk(Disk):
    """Fails with ENOSPC, half-way through a write, once `room` octets are used up."""

    def __init__(self, room: int) -> None:
        self.room = room

    def _write_all(self, handle: int, payload: bytes | bytearray | memoryview) -> int:
        view = memoryview(payload).cast("B")
        if len(view) > self.room:
            os.write(handle, view[:self.room])
            self.room = 0
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(view)
        return super()._write_all(handle, payload)


@pytest.mark.parametrize("room", [0, 1_000, 30_000, 60_000, 65_000, 66_000, 67_000, 68_000, 70_000, 90_000])
def test_full_disk_at_any_octet_leaves_a_ledger_that_goes_on(tmp_path: Path, undisturbed: dict[str, str],
                                                             room: int) -> None:
    disk = FullDisk(room)
    with pytest.raises(OSError, match="No space left"):
        work(tmp_path, batches=1_000, disk=disk)
    assert not [each for each in (tmp_path / "_log").rglob("*") if each.name.startswith(".aside")]
    for name, log in Ledger.open(tmp_path).logs().items():
        assert name == "charging"
        if log.positions().get("journal", 0) > BATCHES:
            pytest.fail("room is too large for this test")
    work(tmp_path)
    is_whole(tmp_path, undisturbed)


def test_same_stream_goes_on_when_there_is_room_again(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    """No reopening needed: a commit that failed before its entry was linked did not happen."""
    disk = FullDisk(1 << 40)
    stream = Ledger.open(tmp_path, KEY, disk=disk).stream("charging", head_every=2)
    for i in range(BATCHES):
        usage, posting = batch(i)
        dropped = [each.path for each in stream.files("held")]
        for room in (10, 3_000, 5_500, 1 << 40):
            disk.room = room
            try:
                staged = [stream.stage("rated_events", usage), stream.stage("moves", posting),
                          stream.stage("held", posting), stream.stage_bytes("state", "book", b"%d" % i)]
                stream.commit(staged, removed=dropped, positions={"journal": (i, i + 1)})
                break
            except OSError as error:
                assert error.errno == errno.ENOSPC
    stream.close()
    is_whole(tmp_path, undisturbed)


class FailingSync(Disk):
    """The folder of the log cannot be synced: nobody knows whether the new entry will be there after a power cut."""

    broken = False

    def sync_dir(self, folder: Path) -> None:
        if self.broken and "_log" in folder.parts:
            raise OSError(errno.EIO, "Input/output error")
        super().sync_dir(folder)


def test_commit_of_unknown_outcome_stops_the_stream_until_reopened(tmp_path: Path) -> None:
    disk = FailingSync()
    stream = Ledger.open(tmp_path, KEY, disk=disk).stream("charging")
    disk.broken = True
    with pytest.raises(OSError, match="Input/output"):
        stream.commit(positions={"journal": (0, 1)})
    disk.broken = False
    with pytest.raises(Exception, match="open the stream again"):
        stream.commit(positions={"journal": (0, 1)})
    assert Ledger.open(tmp_path, KEY).stream("charging").positions == {"journal": 1}


def test_torn_files_of_a_dead_writer_do_no_harm(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    def killed() -> None:
        with crash_points(kill_at("ledger.commit.2.1", 3)):
            work(tmp_path)

    assert in_child(killed) == -signal.SIGKILL
    orphans = [each for each in tmp_path.rglob("*") if each.name.startswith(".aside")]
    assert orphans
    for each in orphans:
        each.write_bytes(each.read_bytes()[:17])  # the page that was never written
    work(tmp_path)
    is_whole(tmp_path, undisturbed)


class Vanishing(Disk):
    """Another writer removes its aside name just after somebody listed it."""

    def octets(self, path: Path) -> int:
        if path.name.startswith(".aside"):
            path.unlink()
        return super().octets(path)


def test_a_name_that_another_writer_removes_while_names_are_listed_is_no_error(
        tmp_path: Path, undisturbed: dict[str, str]) -> None:
    """Found by two owners at once: one listed the schemas while the other replaced its script's."""
    for _ in range(2):
        (tmp_path / "_schema").mkdir(exist_ok=True)
        (tmp_path / "_schema" / ".aside-00-none.json").write_bytes(b"{}")
        work(tmp_path, disk=Vanishing())
    is_whole(tmp_path, undisturbed)


def test_two_owners_at_once_one_commits_each_version(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    """Both start at once; whoever is fenced off starts again from the ledger's positions, as a worker does."""
    def owner(name: str) -> Callable[[], None]:
        def run() -> None:
            for _ in range(200):
                try:
                    work(tmp_path, owner=name)
                    return
                except StaleWriterError:
                    time.sleep(random.Random(name).uniform(0.0, 0.1))
            os._exit(4)
        return run

    children = []
    for name in ("first", "second"):
        child = os.fork()
        if child == 0:
            try:
                owner(name)()
                os._exit(0)
            except BaseException:
                os._exit(3)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    is_whole(tmp_path, undisturbed)
    log = Ledger.open(tmp_path).logs()["charging"]
    assert {each.owner for each in log.entries} == {"first", "second"}
