"""Verify, compact, vacuum, backup, show and the content hash of a small ledger with real schemas."""

import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.ledger import sample_cells, sample_table
from pipelines.ledger import Ledger
from pipelines.ledger import compact as compact_module
from pipelines.ledger.backup import backup, restore
from pipelines.ledger.compact import DAY_US, compact
from pipelines.ledger.content_hash import content_hash, table_hash
from pipelines.ledger.head import head_path
from pipelines.ledger.log import entry_path
from pipelines.ledger.parquet import column_sums, decode_table, encode_table, time_range
from pipelines.ledger.show import entries, streams, tables
from pipelines.ledger.sql import asking, open_duckdb
from pipelines.ledger.store import open_store
from pipelines.ledger.vacuum import vacuum
from pipelines.ledger.verify import verify
from schemas.audit import FILE_AUDIT
from schemas.errors import InvariantError, LedgerError
from schemas.rated import BALANCE, POSTING, RATED
from schemas.usage import SUSPENSE

KEY = Ed25519PrivateKey.generate()
COMMITS, ROWS = 4, 50


def over_two_days(rows: int, seed: int) -> pa.Table:
    cells, labels = sample_cells(RATED, rows, seed)
    cells["event_time_us"] += (cells["event_id_hi"] & 1) * DAY_US
    return cells.to_arrow(labels)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger.open(tmp_path / "ledger", KEY)
    charging, mediation = ledger.stream("charging", owner="node"), ledger.stream("mediation", owner="node")
    for i in range(COMMITS):
        charging.commit([charging.stage("rated", over_two_days(ROWS, i)),
                         charging.stage("posting", sample_table(POSTING, 2 * ROWS, i)),
                         charging.stage_bytes("state", "book", bytes([i]) * 10)],
                        positions={"journal": (i, i + 1)}, state={"batch": i})
        mediation.commit([mediation.stage("suspense", sample_table(SUSPENSE, 3, i))], positions={"msc": (i, i + 1)})
    charging.close()
    mediation.close()
    return ledger


def findings(ledger: Ledger, **options: object) -> list[tuple[str, str]]:
    report = verify(Ledger.open(ledger.store), [KEY.public_key()], **options)  # type: ignore[arg-type]
    return [(each.kind, each.where) for each in report.findings]


# parquet

@pytest.mark.parametrize("columns", [RATED, POSTING, SUSPENSE, BALANCE, FILE_AUDIT])
@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_parquet_keeps_types_and_duckdb_reads_it(tmp_path: Path, columns: object, rows: int) -> None:
    table = sample_table(columns, rows)  # type: ignore[arg-type]
    encoded = encode_table(table)
    back = decode_table(bytes(encoded.payload))
    assert back.equals(table)
    assert back.schema.equals(table.schema, check_metadata=True)
    path = tmp_path / "file.parquet"
    path.write_bytes(encoded.payload)
    plain = pq.read_schema(path)
    assert plain.names == table.schema.names
    with duckdb.connect() as connection:
        kinds = dict(connection.sql(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{path}')").fetchall())
        assert connection.sql(f"SELECT count(*) FROM '{path}'").fetchall() == [(rows,)]
        if rows:
            read = connection.sql(f"FROM '{path}'").to_arrow_table()
            assert table_hash(read) == table_hash(table)
    assert {kinds[f.name] for f in table.schema if pa.types.is_dictionary(f.type)} <= {"VARCHAR"}


def test_sums_and_time_range_ignore_nulls() -> None:
    table = pa.table({"charge_nanos": pa.array([1, None, -5]), "quantity": pa.array([None, None, None], pa.int64()),
                      "event_time_us": pa.array([None, 5, 3], pa.timestamp("us", "UTC")),
                      "account_id": pa.array([1, 2, 3])})
    assert column_sums(table) == {"charge_nanos": "-4", "quantity": "0"}
    assert time_range(table) == (3, 5)
    assert time_range(table.slice(0, 1)) == (None, None)
    assert time_range(table.select(["quantity"])) == (None, None)


# verify

def test_sound_ledger_verifies_and_is_counted(ledger: Ledger) -> None:
    seen: list[tuple[int, int]] = []
    report = verify(ledger, [KEY.public_key()], progress=lambda done, all_: seen.append((done, all_)))
    assert report.sound
    assert (report.entries, report.files, report.rows) == (2 + 2 * COMMITS, 4 * COMMITS, COMMITS * (ROWS * 3 + 3))
    assert seen[-1] == (4 * COMMITS, 4 * COMMITS)
    assert verify(ledger).signatures is False


def test_edited_entry_is_found_and_named(ledger: Ledger, tmp_path: Path) -> None:
    path = entry_path("charging", 3)
    file = tmp_path / "ledger" / path
    file.write_bytes(file.read_bytes().replace(b'"journal":[1,2]', b'"journal":[1,3]'))
    found = findings(ledger)
    assert ("signature", path) in found
    assert ("chain", entry_path("charging", 4)) in found
    assert ("positions", entry_path("charging", 4)) in found


def test_edited_newest_entry_is_found_by_signature_and_head(ledger: Ledger, tmp_path: Path) -> None:
    path = entry_path("charging", 1 + COMMITS)
    file = tmp_path / "ledger" / path
    file.write_bytes(file.read_bytes().replace(b'"op":"append"', b'"op":"upend!"'))
    assert findings(ledger) == [("signature", path), ("tail", head_path("charging"))]


def test_entry_signed_by_a_stranger_is_found(ledger: Ledger) -> None:
    stranger = Ledger.open(ledger.store, Ed25519PrivateKey.generate())
    stranger.stream("charging", owner="stranger")
    assert findings(ledger) == [("signature", entry_path("charging", 2 + COMMITS))]
    Ledger.open(ledger.store).stream("charging", owner="nobody")
    assert findings(ledger)[1:] == [("signature", entry_path("charging", 3 + COMMITS))]


def test_removed_tail_is_found_by_head_and_by_a_head_kept_elsewhere(ledger: Ledger, tmp_path: Path) -> None:
    kept = ledger.store.read(head_path("charging"))
    (tmp_path / "ledger" / entry_path("charging", 1 + COMMITS)).unlink()
    assert findings(ledger) == [("tail", head_path("charging"))]
    (tmp_path / "ledger" / head_path("charging")).unlink()
    assert findings(ledger) == []  # nothing in the ledger itself can tell
    assert findings(ledger, heads=[kept]) == [("tail", "a head kept elsewhere")]


def test_removed_tail_is_found_by_a_cut(ledger: Ledger, tmp_path: Path) -> None:
    ledger.cut("month end")
    for name in (entry_path("charging", 1 + COMMITS), head_path("charging")):
        (tmp_path / "ledger" / name).unlink()
    assert findings(ledger) == [("tail", "_cuts/00000000000000000001.json")]


def test_missing_entry_in_the_middle_is_found(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "ledger" / entry_path("mediation", 2)).unlink()
    found = findings(ledger)
    assert ("chain", entry_path("mediation", 2)) in found
    assert ("positions", entry_path("mediation", 3)) in found


def test_torn_entry_is_found_and_the_rest_still_looked_at(ledger: Ledger, tmp_path: Path) -> None:
    posting = ledger.files("posting")[0].path
    for path in (entry_path("mediation", 2), posting):
        file = tmp_path / "ledger" / path
        file.write_bytes(file.read_bytes()[:30])
    found = findings(ledger)
    assert ("entry", entry_path("mediation", 2)) in found
    assert ("file", posting) in found


def test_changed_missing_and_shortened_files_are_found(ledger: Ledger, tmp_path: Path) -> None:
    changed, missing, shorter = (each.path for each in ledger.files("rated")[:3])
    file = tmp_path / "ledger" / changed
    octets = bytearray(file.read_bytes())
    octets[100] ^= 1
    file.write_bytes(octets)
    (tmp_path / "ledger" / missing).unlink()
    file = tmp_path / "ledger" / shorter
    file.write_bytes(file.read_bytes()[:-1])
    assert findings(ledger) == [("file", changed), ("file", missing), ("file", shorter)]
    assert findings(ledger, contents=False) == [("file", missing), ("file", shorter)]


def test_entry_that_lies_about_its_file_is_found(ledger: Ledger) -> None:
    """Who holds the key can sign anything; rows and sums are counted all the same."""
    stream = ledger.stream("charging")
    honest = stream.stage("posting", sample_table(POSTING, 5))
    lies = msgspec.structs.replace(honest.entry, rows=6, sums={"amount": "1"}, max_time_us=1)
    stream.commit([type(honest)(lies)])
    report = verify(ledger, [KEY.public_key()])
    assert [each.where for each in report.findings] == [lies.path] * 3
    assert "has 5 rows; its entry says 6" in report.findings[0].message


# compaction

def test_compaction_keeps_rows_sorts_them_by_date_and_account_and_old_cuts_still_read(ledger: Ledger) -> None:
    before, cut = content_hash(ledger), ledger.cut("before")
    old = {each.path for each in ledger.files("rated")}
    stream = ledger.stream("charging", owner="upkeep")
    done = compact(ledger, stream, rows_per_file=80)
    assert [(each.table, each.files_before, each.rows) for each in done] == [
        ("posting", COMMITS, 2 * ROWS * COMMITS), ("rated", COMMITS, ROWS * COMMITS)]
    assert content_hash(ledger) == before == content_hash(ledger, as_of=cut)
    assert stream.state == {"batch": COMMITS - 1}
    assert stream.positions == {"journal": COMMITS}
    files = ledger.files("rated")
    assert not old & {each.path for each in files}
    for each in files:
        assert each.rows <= 80
        assert each.min_time_us is not None and each.max_time_us is not None
        assert each.min_time_us // DAY_US == each.max_time_us // DAY_US
        table = decode_table(ledger.store.read(each.path))
        order = list(zip(table.column("account_id").to_pylist(), table.column("event_time_us").to_pylist(),
                         strict=True))
        assert order == sorted(order)
        assert table.schema.equals(RATED.arrow_schema(), check_metadata=True)
    assert {each.path for each in ledger.files("rated", as_of=cut)} == old
    assert verify(ledger, [KEY.public_key()]).sound
    assert ledger.files("book")  # what is no table is left alone


def test_compaction_of_compacted_ledger_does_nothing(ledger: Ledger) -> None:
    stream = ledger.stream("charging")
    compact(ledger, stream)
    version = stream.version
    assert compact(ledger, stream) == []
    assert stream.version == version


def test_compaction_again_takes_new_files_and_the_unfilled_ones_of_their_dates(ledger: Ledger) -> None:
    stream = ledger.stream("charging")
    compact(ledger, stream, tables=["rated"])
    first_day = ledger.files("rated")[0]
    stream.commit([stream.stage("rated", sample_table(RATED, 9, seed=99))])  # all of it on the first day
    before = content_hash(ledger)
    (done,) = compact(ledger, stream, tables=["rated"])
    assert (done.files_before, done.files_after, done.rows) == (2, 1, first_day.rows + 9)
    assert content_hash(ledger) == before


def test_a_file_that_was_changed_is_refused_and_never_compacted(ledger: Ledger, tmp_path: Path) -> None:
    """Compacted, the damage would have a sha256 of its own that vouches for it."""
    path = tmp_path / "ledger" / ledger.files("rated")[1].path
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    damaged = Ledger.open(ledger.store, KEY)
    with pytest.raises(LedgerError, match=r"rated/.* was changed"):
        damaged.table("rated")
    with pytest.raises(LedgerError, match=r"rated/.* was changed"):
        compact(damaged, damaged.stream("charging"), tables=["rated"])
    with pytest.raises(LedgerError, match=r"rated/.* was changed"):
        damaged.check_files("posting", "rated")
    path.unlink()
    with pytest.raises(LedgerError, match=r"rated/.* is not there"):
        damaged.read_table(ledger.files("rated")[1])


@pytest.mark.parametrize("content", [b"", b"PAR1 nothing PAR1"])
def test_a_schema_file_that_is_none_is_refused_and_made_again(ledger: Ledger, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger/_schema/rated.parquet"
    path.write_bytes(content)
    for step in (lambda: open_duckdb(ledger), lambda: ledger.stream("charging")):
        with pytest.raises(LedgerError, match=r"_schema/rated\.parquet.*remove it"):
            step()
    path.unlink()
    ledger.stream("charging")
    assert open_duckdb(ledger).sql("SELECT count(*) FROM rated").fetchall() == [(COMMITS * ROWS,)]


def test_what_duckdb_cannot_read_is_an_error_of_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "ledger" / ledger.files("rated")[0].path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LedgerError, match=r"cannot be asked.*ledger verify"), asking(ledger) as connection:
        connection.sql("SELECT sum(charge_nanos) FROM rated").fetchall()


def test_compaction_that_changes_rows_is_refused(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., pa.Table] = compact_module._typed
    monkeypatch.setattr(compact_module, "_typed", lambda table, schema: whole(table, schema).slice(1))
    stream = ledger.stream("charging")
    version = stream.version
    with pytest.raises(InvariantError, match="changed its rows"):
        compact(ledger, stream)
    assert stream.version == version


# vacuum

def test_vacuum_removes_old_orphans_and_old_replaced_files_never_live_ones(ledger: Ledger, tmp_path: Path) -> None:
    cut, now = ledger.cut(), time.time()
    stream = ledger.stream("charging")
    orphan = stream.stage("rated", sample_table(RATED, 3)).entry.path
    torn = tmp_path / "ledger/_log/charging/.aside-x-1.json"
    torn.write_bytes(b"{")
    assert vacuum(ledger, now).orphans == []  # too young: a writer may be about to name it
    before = content_hash(ledger)
    compact(ledger, stream, tables=["rated"])
    replaced = {each.path for each in ledger.files("rated", as_of=cut)}
    dry = vacuum(ledger, now + 2 * 86_400, dry_run=True)
    assert (tmp_path / "ledger" / orphan).exists()
    assert dry == vacuum(ledger, now + 2 * 86_400)
    assert dry.orphans == ["_log/charging/.aside-x-1.json", orphan]
    assert content_hash(ledger, as_of=cut) == before  # replaced files are within their retention
    late = vacuum(ledger, now + 500 * 86_400)
    assert set(late.replaced) == replaced
    assert late.octets > 0
    assert content_hash(ledger) == before
    assert verify(Ledger.open(ledger.store), [KEY.public_key()]).sound
    Ledger.open(ledger.store).stream("charging")
    with pytest.raises(LedgerError, match=r"rated/.*parquet is not there.*vacuum removed it"):
        ledger.table("rated", as_of=cut)


# backup

def test_backup_is_a_ledger_of_its_own_grows_and_is_restored(ledger: Ledger, tmp_path: Path) -> None:
    target = open_store(tmp_path / "saved")
    first = backup(ledger, target, [KEY.public_key()])
    assert first.files == 4 * COMMITS
    stream = ledger.stream("charging")
    stream.commit([stream.stage("rated", sample_table(RATED, 7))], positions={"journal": (COMMITS, COMMITS + 1)})
    second = backup(ledger, target, [KEY.public_key()])
    assert (second.files, second.kept) == (1, 4 * COMMITS)
    restored = restore(Ledger.open(target), open_store(tmp_path / "restored"), [KEY.public_key()])
    assert restored.cut == second.cut
    again = Ledger.open(tmp_path / "restored", KEY)
    assert content_hash(again) == content_hash(ledger) != content_hash(ledger, as_of=first.cut)
    assert content_hash(again, as_of=1) == content_hash(ledger, as_of=first.cut)
    assert again.stream("charging").positions == {"journal": COMMITS + 1}
    assert open_duckdb(again).sql("SELECT count(*) FROM rated").fetchall() == [(COMMITS * ROWS + 7,)]


def test_backup_refuses_damage_and_foreign_places(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="holds no cut"):
        restore(Ledger.open(tmp_path / "nothing"), open_store(tmp_path / "x"))
    backup(ledger, open_store(tmp_path / "saved"))
    with pytest.raises(LedgerError, match="never overwrites"):
        restore(Ledger.open(tmp_path / "saved"), open_store(tmp_path / "ledger"))
    other = Ledger.open(tmp_path / "other")
    other.stream("charging", owner="other")
    with pytest.raises(LedgerError, match="another history of stream charging"):
        backup(ledger, other.store)
    damaged = tmp_path / "ledger" / ledger.files("rated")[0].path
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    with pytest.raises(LedgerError, match="is not what was committed"):
        backup(ledger, open_store(tmp_path / "second"))
    damaged.unlink()
    with pytest.raises(LedgerError, match="is live but missing"):
        backup(ledger, open_store(tmp_path / "third"))


def test_interrupted_backup_names_nothing_that_is_not_there_and_goes_on(ledger: Ledger, tmp_path: Path) -> None:
    class DiesError(Exception):
        pass

    def die(done: int, _: int) -> None:
        if done == 5:
            raise DiesError

    target = open_store(tmp_path / "saved")
    with pytest.raises(DiesError):
        backup(ledger, target, progress=die)
    torn = tmp_path / "saved" / ledger.logs()["charging"].entries[1].added[0].path
    torn.write_bytes(torn.read_bytes()[:10])
    assert Ledger.open(target).files() == []
    assert backup(ledger, target).kept == 4
    assert content_hash(Ledger.open(target)) == content_hash(ledger)


# show

def test_show_sums_up_streams_tables_entries(ledger: Ledger) -> None:
    charging, mediation = streams(ledger)
    assert (charging.name, charging.version, charging.signed_version, charging.epoch) == \
        ("charging", 1 + COMMITS, 1 + COMMITS, 1)
    assert (mediation.positions, charging.state_keys) == ({"msc": COMMITS}, ["batch"])
    by_name = {each.name: each for each in tables(ledger)}
    assert [each.name for each in tables(ledger)] == ["posting", "rated", "suspense", "book"]
    assert (by_name["book"].kind, by_name["book"].rows, by_name["book"].octets) == ("state", -1, 10 * COMMITS)
    assert by_name["posting"].sums["amount"] == sum(ledger.table("posting").column("amount").to_pylist())
    assert [each.version for each in entries(ledger, "charging", 2)] == [1 + COMMITS, COMMITS]
    assert entries(ledger, "none") == []


# content hash

def test_content_hash_is_of_rows_not_of_files(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger.open(tmp_path / "other").stream("charging")
    whole = ledger.table("rated")
    shuffled = whole.take(list(reversed(range(whole.num_rows))))
    other.commit([other.stage("rated", shuffled.slice(0, 10)), other.stage("rated", shuffled.slice(10))])
    again = Ledger.open(tmp_path / "other")
    assert content_hash(again)["rated"] == content_hash(ledger)["rated"]
    assert content_hash(again, ["rated", "usage"]) == {"rated": content_hash(again)["rated"]}


@pytest.mark.parametrize(("column", "full", "without_origin"), [
    ("charge_nanos", True, True), ("account_id", True, True), ("file_id", True, False),
    ("record_offset", True, False), ("journal_position", False, False)])
def test_content_hash_sees_what_it_should(column: str, full: bool, without_origin: bool) -> None:
    cells, labels = sample_cells(RATED, 20)
    before = cells.to_arrow(labels)
    cells[column][3] += 1
    after = cells.to_arrow(labels)
    assert (table_hash(before) != table_hash(after)) is full
    assert (table_hash(before, True) != table_hash(after, True)) is without_origin


def test_content_hash_doubles_and_moved_values_show_encodings_and_null_columns_do_not() -> None:
    table = pa.table({"a": pa.array([1, 2]), "b": pa.array([2, 1]), "name": pa.array(["x", None])})
    assert table_hash(pa.concat_tables([table, table])) == 2 * table_hash(table) % (1 << 128) != 0
    assert table_hash(table.rename_columns(["b", "a", "name"])) != table_hash(table)
    assert table_hash(table.set_column(0, "a", pa.array([2, 2]))) != table_hash(table)
    assert table_hash(table.append_column("later", pa.nulls(2, pa.int64()))) == table_hash(table)
    encoded = table.set_column(2, "name", table.column("name").dictionary_encode())
    assert table_hash(encoded.select(["name", "b", "a"])) == table_hash(table)
    with pytest.raises(InvariantError, match="does not know"):
        table_hash(pa.table({"f": pa.array([1.5])}))


def test_content_hash_without_origin_leaves_out_the_file_audit(tmp_path: Path) -> None:
    stream = Ledger.open(tmp_path).stream("mediation")
    stream.commit([stream.stage("file_audit", sample_table(FILE_AUDIT, 4))])
    assert list(content_hash(Ledger.open(tmp_path))) == ["file_audit"]
    assert content_hash(Ledger.open(tmp_path), exclude_origin=True) == {}
