"""Streams: what a commit promises, who may write, what is refused."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.ledger import Ledger
from pipelines.ledger.log import entry_path
from schemas.errors import LedgerError, StaleWriterError


def rows(*amounts: int) -> pa.Table:
    return pa.table({"event_time_us": pa.array([1_000_000 * a for a in amounts], pa.timestamp("us", tz="UTC")),
                     "amount": pa.array(amounts, pa.int64()),
                     "reason": pa.array(["charge"] * len(amounts)).dictionary_encode()})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path / "ledger", Ed25519PrivateKey.generate())


def test_one_commit_covers_all_tables_and_survives_reopening(ledger: Ledger) -> None:
    stream = ledger.stream("charging", owner="a")
    version = stream.commit([stream.stage("posting", rows(1, 2)), stream.stage("rated", rows(3)),
                             stream.stage_bytes("state", "book", b"delta")],
                            positions={"journal": (0, 3)}, state={"lane": 7}, reference={"kernels": "abc"})
    again = Ledger.open(ledger.store)
    assert version == 2  # the claim was the first entry
    assert again.table("posting").column("amount").to_pylist() == [1, 2]
    assert again.tables() == ["posting", "rated"]
    reopened = again.stream("charging", owner="b")
    assert (reopened.state, reopened.positions, reopened.epoch) == ({"lane": 7}, {"journal": 3}, 2)
    assert again.read_bytes(reopened.files("book")[0]) == b"delta"
    entry = again.logs()["charging"].entries[1]
    assert entry.reference == {"kernels": "abc"}
    assert set(entry.schemas) == {"posting", "rated"}
    described = entry.added[0]
    assert (described.rows, described.sums, described.min_time_us, described.max_time_us) == \
        (2, {"amount": "3"}, 1_000_000, 2_000_000)


def test_staged_but_not_committed_does_not_exist(ledger: Ledger) -> None:
    stream = ledger.stream("charging")
    stream.stage("posting", rows(1))
    assert ledger.files() == []
    with pytest.raises(LedgerError, match="no live file"):
        ledger.table("posting")


def test_sums_beyond_64_bits_are_exact(ledger: Ledger) -> None:
    stream = ledger.stream("charging")
    largest = (1 << 63) - 1
    stream.commit([stream.stage("posting", rows(0, 1).set_column(1, "amount", pa.array([largest, largest])))])
    stream.commit([stream.stage("posting", rows(0, 1).set_column(1, "amount", pa.array([-largest - 1, None])))])
    assert [each.sums["amount"] for each in ledger.files()] == [str(2 * largest), str(-largest - 1)]


def test_commit_whose_from_is_not_recorded_is_refused(ledger: Ledger) -> None:
    stream = ledger.stream("mediation")
    stream.commit(positions={"msc": (0, 10)})
    for wrong in ((0, 10), (9, 12), (11, 12), (10, 9)):
        with pytest.raises(StaleWriterError, match="10 is recorded"):
            stream.commit([stream.stage("usage", rows(1))], positions={"msc": wrong})
    stream.commit(positions={"msc": (10, 12), "pgw": (0, 1)})
    assert stream.positions == {"msc": 12, "pgw": 1}
    assert ledger.files() == []


def test_stale_owner_fails_at_its_next_commit(ledger: Ledger) -> None:
    first = ledger.stream("mediation", owner="first")
    staged = first.stage("usage", rows(1))
    second = ledger.stream("mediation", owner="second")
    with pytest.raises(StaleWriterError, match="second of epoch 2"):
        first.commit([staged], positions={"msc": (0, 1)})
    second.commit([second.stage("usage", rows(2))], positions={"msc": (0, 1)})
    with pytest.raises(LedgerError, match="open the stream again"):
        first.commit()
    assert ledger.table("usage").column("amount").to_pylist() == [2]


def test_streams_are_independent(ledger: Ledger) -> None:
    mediation, charging = ledger.stream("mediation"), ledger.stream("charging")
    mediation.commit([mediation.stage("usage", rows(1))])
    charging.commit([charging.stage("rated", rows(2))])
    assert mediation.version == charging.version == 2


def test_removed_file_is_gone_now_and_there_as_of_before(ledger: Ledger) -> None:
    stream = ledger.stream("mediation")
    stream.commit([stream.stage("held", rows(1))])
    cut = ledger.cut("before")
    stream.commit([stream.stage("held", rows(2))], removed=[stream.files("held")[0].path])
    assert ledger.table("held").column("amount").to_pylist() == [2]
    for as_of in (cut, 1, {"mediation": 2}):
        assert ledger.table("held", as_of=as_of).column("amount").to_pylist() == [1]
    assert ledger.files(as_of={"other": 1}) == []
    with pytest.raises(LedgerError, match="is not live"):
        stream.commit(removed=["held/none.parquet"])
    with pytest.raises(LedgerError, match="cut 2"):
        ledger.files(as_of=2)


def test_newer_format_is_refused_with_a_clear_message(ledger: Ledger, tmp_path: Path) -> None:
    ledger.stream("mediation")
    path = tmp_path / "ledger/_log/mediation/00000000000000000001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(LedgerError, match=r"ledger format 2; expected at most 1; it was written by a newer release"):
        Ledger.open(tmp_path / "ledger").logs()


@pytest.mark.parametrize("damage", ["torn", "edited", "gap", "renumbered"])
def test_damaged_log_is_refused_at_opening(ledger: Ledger, tmp_path: Path, damage: str) -> None:
    stream = ledger.stream("mediation")
    for _ in range(3):
        stream.commit()
    path = tmp_path / "ledger/_log/mediation/00000000000000000002.json"
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:40])
    elif damage == "edited":
        path.write_bytes(path.read_bytes().replace(b'"op":"append"', b'"op":"repend"'))
    elif damage == "gap":
        path.unlink()
    else:
        path.write_bytes(path.with_name("00000000000000000001.json").read_bytes())
    with pytest.raises(LedgerError):
        Ledger.open(tmp_path / "ledger").stream("mediation")


def test_removed_tail_is_refused_at_opening(ledger: Ledger, tmp_path: Path) -> None:
    stream = ledger.stream("mediation")
    stream.commit()
    stream.close()
    (tmp_path / "ledger/_log/mediation/00000000000000000002.json").unlink()
    with pytest.raises(LedgerError, match="ends at entry 1, but entry 2 was signed: 1 entries were removed"):
        Ledger.open(tmp_path / "ledger").stream("mediation")


@pytest.mark.parametrize(("old", "new"), [('"n":7', '"n":8'), ('"op":"append"', '"op":"appent"'),
                                          ('"signature"', '"signaturf"'), ('"total":"7"', '"total":"8"')])
def test_a_newest_entry_that_changed_since_is_refused_without_a_head_too(
        tmp_path: Path, old: str, new: str) -> None:
    """The chain protects every entry but this one; after a kill no head covers it either."""
    key = Ed25519PrivateKey.generate()
    stream = Ledger.open(tmp_path, key).stream("mediation")
    stream.commit(state={"n": 6}, reference={"total": "7"})
    stream.commit(state={"n": 7}, reference={"total": "7"})
    path = tmp_path / entry_path("mediation", stream.version)
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    with pytest.raises(LedgerError, match=r"0003\.json (does not match its signature|is not signed)"):
        Ledger.open(tmp_path, key).stream("mediation")
    path.write_text(before)
    assert Ledger.open(tmp_path, key).stream("mediation").version == 4
    assert Ledger.open(tmp_path, Ed25519PrivateKey.generate()).stream("mediation").version == 5, "verify tells that"


def test_a_newest_entry_that_a_head_names_is_checked_by_readers_without_keys(tmp_path: Path) -> None:
    stream = Ledger.open(tmp_path, Ed25519PrivateKey.generate()).stream("mediation")
    stream.commit(state={"n": 6})
    stream.close()
    path = tmp_path / entry_path("mediation", stream.version)
    path.write_text(path.read_text().replace('"n":6', '"n":5'))
    with pytest.raises(LedgerError, match="entry 2 is not the one that was signed"):
        Ledger.open(tmp_path).logs()


@pytest.mark.parametrize(("old", "new"), [('"amount":"3"', '"amount":"x"'),
                                          ('"committed_at":"20', '"committed_at":"2O')])
def test_an_entry_with_a_sum_or_a_time_that_is_none_is_refused(tmp_path: Path, old: str, new: str) -> None:
    stream = Ledger.open(tmp_path).stream("mediation")
    stream.commit([stream.stage("amounts", pa.table({"amount": [1, 2]}))])
    path = tmp_path / entry_path("mediation", 2)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(LedgerError, match=r"0002\.json: .*restore it from a backup"):
        Ledger.open(tmp_path).logs()
