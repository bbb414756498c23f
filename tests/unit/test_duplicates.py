"""The duplicate index: single verdicts by hand, and what it says of files that are not what they should be."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import duplicates as benchmark
from mediation.duplicate_runs import MAGIC, TRAILER_WORDS, Run, write_run
from mediation.duplicates import DuplicateIndex, Verdict, Verdicts, oldest_admitted
from mediation.kernels.duplicates import DAY_US, RUN_COLUMNS
from pipelines.ledger import Ledger
from schemas.columns import ABSENT, I64
from schemas.errors import InvariantError, LedgerError
from tests.oracle.duplicates import Record
from tests.oracle.duplicates_batch import batch, forged_hash, identity_hash

NOON_US = DAY_US // 2
A = Record((1, 10, 20, 30, 40), NOON_US, 7, 1, 0)
B = Record((1, 11, 20, 30, 40), NOON_US, 7, 1, 100)


def taken(index: DuplicateIndex, *records: Record, version: int = 1, hash_of=identity_hash) -> Verdicts:
    key, file_id, offset, oldest_us, recycled = batch(records, hash_of)
    verdicts = index.probe(key, file_id, offset, oldest_us, recycled)
    index.add(key, file_id, offset, verdicts, version)
    return verdicts


def written(folder: Path, records: list[Record], name: str = "keys.run") -> Path:
    key, file_id, offset, oldest_us, _ = batch(records)
    index = DuplicateIndex(folder)
    run = index.add(key, file_id, offset, index.probe(key, file_id, offset, oldest_us), 1)
    assert run is not None and run.rows == len(records)
    (folder / name).write_bytes(run.payload)
    return folder / name


def test_a_second_copy_is_a_duplicate_of_the_first_and_names_it(tmp_path: Path) -> None:
    index = DuplicateIndex(tmp_path)
    assert taken(index, A, B).verdict.tolist() == [Verdict.NEW, Verdict.NEW]
    again = taken(index, replace(B, file_id=2, record_offset=5), version=2)
    assert (again.verdict.tolist(), again.first_file_id.tolist(), again.first_record_offset.tolist()) == \
        ([Verdict.DUPLICATE], [1], [100])
    assert len(index) == 2


def test_the_same_key_with_other_content_is_a_conflict_and_does_not_replace_the_first(tmp_path: Path) -> None:
    index = DuplicateIndex(tmp_path)
    taken(index, A)
    other = replace(A, content=8, record_offset=50)
    assert taken(index, other, A, version=2).verdict.tolist() == [Verdict.CONFLICT, Verdict.DUPLICATE]


def test_inside_one_batch_the_first_in_order_wins(tmp_path: Path) -> None:
    found = taken(DuplicateIndex(tmp_path), B, A, replace(A, record_offset=9), replace(A, content=1, record_offset=10))
    assert found.verdict.tolist() == [Verdict.NEW, Verdict.NEW, Verdict.DUPLICATE, Verdict.CONFLICT]
    assert found.first_record_offset.tolist() == [ABSENT, ABSENT, 0, 0]


def test_a_key_time_before_the_horizon_is_too_old_even_where_the_key_is_known(tmp_path: Path) -> None:
    index = DuplicateIndex(tmp_path)
    taken(index, A)
    at_edge, beyond = replace(A, oldest_us=NOON_US), replace(A, oldest_us=NOON_US + 1)
    assert taken(index, at_edge, beyond, version=2).verdict.tolist() == [Verdict.DUPLICATE, Verdict.TOO_OLD]


def test_a_record_too_old_is_not_the_first_of_a_later_copy(tmp_path: Path) -> None:
    found = taken(DuplicateIndex(tmp_path), replace(A, oldest_us=NOON_US + 1), replace(A, record_offset=9))
    assert found.verdict.tolist() == [Verdict.TOO_OLD, Verdict.NEW]


def test_a_recycled_record_is_admitted_under_its_own_origin_only_and_not_added_again(tmp_path: Path) -> None:
    index = DuplicateIndex(tmp_path)
    taken(index, A)
    back = taken(index, replace(A, recycled=True), version=2)
    assert back.verdict.tolist() == [Verdict.NEW] and len(index) == 1
    assert taken(index, A, version=3).verdict.tolist() == [Verdict.DUPLICATE]
    stranger = replace(A, recycled=True, file_id=9)
    assert taken(index, stranger, version=4).verdict.tolist() == [Verdict.DUPLICATE]


def test_rows_of_one_record_share_its_verdict(tmp_path: Path) -> None:
    index = DuplicateIndex(tmp_path)
    assert taken(index, A, A).verdict.tolist() == [Verdict.NEW, Verdict.NEW]
    assert len(index) == 1
    copy = replace(A, file_id=2)
    assert taken(index, copy, copy, version=2).verdict.tolist() == [Verdict.DUPLICATE, Verdict.DUPLICATE]


@pytest.mark.parametrize("block_rows", [1, 2, 16384])
def test_keys_that_share_all_128_bits_are_told_apart_by_the_full_key(tmp_path: Path, block_rows: int) -> None:
    index = DuplicateIndex(tmp_path, block_rows=block_rows)
    twins = [replace(A, key=(1, 2 * n, 3, 4, 5), record_offset=n) for n in range(9)]
    assert set(taken(index, *twins[:5], hash_of=forged_hash).verdict.tolist()) == {Verdict.NEW}
    again = [replace(each, file_id=2) for each in twins]
    found = taken(index, *again, version=2, hash_of=forged_hash)
    assert found.verdict.tolist() == [Verdict.DUPLICATE] * 5 + [Verdict.NEW] * 4
    assert found.first_record_offset.tolist()[:5] == [0, 1, 2, 3, 4]


def test_one_record_a_hundred_thousand_times_in_a_batch_is_one_new_record(tmp_path: Path) -> None:
    key, _, _, oldest_us, _ = batch([A])
    many = 100_000
    key = key.take(np.zeros(many, np.intp))
    offsets = np.arange(many)
    found = DuplicateIndex(tmp_path).probe(key, np.ones(many, np.int64), offsets, np.repeat(oldest_us, many))
    assert found.verdict.tolist() == [Verdict.NEW] + [Verdict.DUPLICATE] * (many - 1)


def test_hashes_without_spread_and_days_far_apart_are_sorted_all_the_same(tmp_path: Path) -> None:
    records = [replace(A, key=(1, n, 3, 4, 5), key_time_us=(n % 7 - 3) * 100_000 * DAY_US, record_offset=n)
               for n in range(300)]
    index = DuplicateIndex(tmp_path)
    taken(index, *records[:200], hash_of=forged_hash)
    found = taken(index, *records, version=2, hash_of=forged_hash)
    assert found.verdict.tolist() == [Verdict.DUPLICATE] * 200 + [Verdict.NEW] * 100


def test_a_pending_run_counts_until_it_is_discarded(tmp_path: Path) -> None:
    index = DuplicateIndex(tmp_path)
    taken(index, A)
    index.discard(index.names[0])
    assert taken(index, A, version=2).verdict.tolist() == [Verdict.NEW]
    with pytest.raises(InvariantError, match="not pending"):
        index.discard("keys-none.run")
    with pytest.raises(InvariantError, match="exists"):
        taken(index, B, version=2)


def test_extreme_values_survive_packing(tmp_path: Path) -> None:
    ends = [0, 1, -1, 2**63 - 1, -(2**63)]
    records = [Record((a, b, -a - 1, b, a), NOON_US + i, 2**64 - 1 - i, ends[i], 2**62 + 3 * i)
               for i, (a, b) in enumerate(zip(ends, reversed(ends), strict=True))]
    written(tmp_path, records)
    index = DuplicateIndex(tmp_path, ["keys.run"])
    found = taken(index, *[replace(each, file_id=77, record_offset=n) for n, each in enumerate(records)])
    assert found.verdict.tolist() == [Verdict.DUPLICATE] * 5
    assert found.first_file_id.tolist() == ends
    assert found.first_record_offset.tolist() == [2**62 + 3 * i for i in range(5)]


# Files -------------------------------------------------------------------------------------------------------------


def test_a_missing_run_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"duplicate run gone\.run cannot be opened: No such file"):
        DuplicateIndex(tmp_path, ["gone.run"])


@pytest.mark.parametrize("octets", [0, 8, 190, -8, -1])
def test_a_run_cut_short_is_refused(tmp_path: Path, octets: int) -> None:
    path = written(tmp_path, [A, B])
    path.write_bytes(path.read_bytes()[:octets])
    with pytest.raises(LedgerError, match="run"):
        DuplicateIndex(tmp_path, [path.name])


@pytest.mark.parametrize(("word", "value", "message"), [
    (0, 5, "not a whole duplicate run"), (1, 2, "format version 2"),
    (-TRAILER_WORDS, 5, "not a whole"), (-TRAILER_WORDS + 1, 9, "format version 9"),
    (-TRAILER_WORDS + 3, 3, "directory is damaged"), (-TRAILER_WORDS + 4, 1, "does not fit its length"),
    (-TRAILER_WORDS - 3, 12345, "directory is damaged"),
])
def test_a_damaged_run_or_one_of_another_version_is_refused(tmp_path: Path, word: int, value: int, message: str
                                                            ) -> None:
    path = written(tmp_path, [A, B])
    words = np.fromfile(path, np.uint64)
    words[word] = value
    words.tofile(path)
    with pytest.raises(LedgerError, match=message):
        DuplicateIndex(tmp_path, [path.name])


def test_a_flipped_bit_in_a_block_stops_the_merge_that_reads_it(tmp_path: Path) -> None:
    for version, record in enumerate((A, B)):
        written(tmp_path, [record], f"keys-{version}.run")
    path = tmp_path / "keys-1.run"
    octets = bytearray(path.read_bytes())
    octets[8 * 8 + 64 + 3] ^= 16  # behind the header and one line of filter: key_hi
    path.write_bytes(octets)
    index = DuplicateIndex(tmp_path, ["keys-0.run", "keys-1.run"], fan_in=2)
    plan = index.plan_merge(9, 0)
    assert plan is not None
    with pytest.raises(LedgerError, match=r"keys-1\.run: block 0 is damaged"):
        list(index.merge(plan, (0,)))


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    columns: I64 = random.integers(-(2**63), 2**63 - 1, (RUN_COLUMNS, 1000))
    columns[-1] = np.sort(random.integers(0, 3 * DAY_US, 1000))
    for day in range(3):  # sorted by hash inside a day
        part = np.flatnonzero(columns[-1] // DAY_US == day)
        columns[0, part] = np.sort(columns[0, part].view(np.uint64)).view(np.int64)
    run = Run("in memory", write_run(columns, 64))
    assert run.words[0] == MAGIC and run.days == (0, 1, 2) and run.rows == 1000
    out = np.empty((RUN_COLUMNS, 64), np.int64)
    back = [out[:, :run.decode(block, out)].copy() for block in range(len(run.directory))]
    assert np.array_equal(np.concatenate(back, axis=1), columns)


# Merging and expiry ------------------------------------------------------------------------------------------------


def grown(folder: Path, versions: int, days: int = 1, per_batch: int = 20) -> DuplicateIndex:
    index = DuplicateIndex(folder, fan_in=4, block_rows=16)
    for version in range(versions):
        records = [replace(A, key=(1, version, n, 3, 4), key_time_us=n % days * DAY_US, file_id=version)
                   for n in range(per_batch)]
        key, file_id, offset, oldest_us, _ = batch(records)
        run = index.add(key, file_id, offset, index.probe(key, file_id, offset, oldest_us), version)
        assert run is not None
        (folder / run.name).write_bytes(run.payload)
        index.settle(run.name)
        for plan in merges(index, version):
            for name, those in plan.outputs:
                (folder / name).write_bytes(b"".join(index.merge(plan, those)))
            index.swap(plan)
    return index


def merges(index: DuplicateIndex, version: int, oldest_us: int = -(2**62)) -> Iterator:
    while (plan := index.plan_merge(version, oldest_us)) is not None:
        yield plan


def test_the_number_of_runs_stays_bounded_and_no_key_is_lost(tmp_path: Path) -> None:
    index = grown(tmp_path, 200)
    assert len(index) == 4000
    assert len(index.names) <= 3 * 3
    again = [replace(A, key=(1, version, n, 3, 4), key_time_us=0, file_id=999) for version in range(200)
             for n in range(20)]
    found = taken(index, *again, version=999)
    assert set(found.verdict.tolist()) == {Verdict.DUPLICATE}
    assert found.first_file_id.tolist() == [version for version in range(200) for _ in range(20)]


def test_runs_of_several_days_are_split_so_that_days_can_expire_whole(tmp_path: Path) -> None:
    index = grown(tmp_path, 4, days=3)
    assert [Run.open(tmp_path, name).days for name in index.names] == [(0,), (1,), (2,)]
    plan = index.plan_merge(9, 2 * DAY_US + 5)
    assert plan is not None and plan.outputs == () and len(plan.inputs) == 2
    index.swap(plan)
    assert [Run.open(tmp_path, name).days for name in index.names] == [(2,)]
    assert index.plan_merge(10, 2 * DAY_US + 5) is None


def test_stray_times_stay_together_and_are_found(tmp_path: Path) -> None:
    """Clocks that are far off must not make a file each."""
    index = DuplicateIndex(tmp_path, fan_in=4, block_rows=16)
    strays = []
    for version in range(64):
        records = [replace(A, key=(1, version, n, 3, 4), file_id=version) for n in range(20)]
        strays.append(replace(A, key=(2, version, 0, 0, 0), key_time_us=(version * version - 400) * DAY_US))
        key, file_id, offset, oldest_us, _ = batch([*records, strays[-1]])
        run = index.add(key, file_id, offset, index.probe(key, file_id, offset, oldest_us), version)
        assert run is not None
        (tmp_path / run.name).write_bytes(run.payload)
        index.settle(run.name)
        for plan in merges(index, version):
            for name, days in plan.outputs:
                (tmp_path / name).write_bytes(b"".join(index.merge(plan, days)))
            index.swap(plan)
    assert len(index.names) <= 12 and len(index) == 64 * 21
    assert set(taken(index, *strays, version=999).verdict.tolist()) == {Verdict.DUPLICATE}
    plan = index.plan_merge(1000, 3000 * DAY_US)
    while plan is not None:
        for name, days in plan.outputs:
            (tmp_path / name).write_bytes(b"".join(index.merge(plan, days)))
        index.swap(plan)
        plan = index.plan_merge(1000, 3000 * DAY_US)
    assert len(index) < 64 * 3  # all runs of the one old day are gone; a few of several days wait for their next merge


def test_days_before_the_horizon_are_left_out_of_a_merge(tmp_path: Path) -> None:
    index = grown(tmp_path, 3, days=3)
    later = replace(A, key=(2, 0, 0, 0, 0), key_time_us=2 * DAY_US)
    written(tmp_path, [later, replace(later, key_time_us=0)], "late.run")
    index = DuplicateIndex(tmp_path, [*index.names, "late.run"], fan_in=4)
    plan = index.plan_merge(5, 2 * DAY_US)
    assert plan is not None and [days for _, days in plan.outputs] == [(2,)] and len(plan.inputs) == 4


def test_a_merge_that_lost_keys_is_not_swapped_in(tmp_path: Path) -> None:
    for n in range(2):
        written(tmp_path, [replace(A, key=(n, 0, 0, 0, 0))], f"{n}.run")
    index = DuplicateIndex(tmp_path, ["0.run", "1.run"], fan_in=2)
    plan = index.plan_merge(1, 0)
    assert plan is not None
    with pytest.raises(InvariantError, match="merging 2 keys into 1 runs gave 1 in 1"):
        index.swap(plan, ["0.run"])


def test_pending_runs_are_not_merged(tmp_path: Path) -> None:
    index = DuplicateIndex(tmp_path, fan_in=2)
    taken(index, A)
    taken(index, B, version=2)
    assert index.plan_merge(3, 0) is None


def test_the_horizon_never_wraps() -> None:
    assert oldest_admitted([-(2**63), 0, 10], 3).tolist() == [-(2**63), -3, 7]


def test_the_ledger_names_runs_and_a_restart_opens_what_it_names(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    stream = ledger.stream("mediation")
    index = DuplicateIndex(tmp_path, fan_in=2)
    for version, record in enumerate((A, B)):
        key, file_id, offset, oldest_us, _ = batch([record])
        run = index.add(key, file_id, offset, index.probe(key, file_id, offset, oldest_us), version)
        assert run is not None
        staged = stream.stage_bytes("duplicates", run.name, run.payload)
        stream.commit([staged])
        index.settle(run.name, staged.entry.path)
    plan = index.plan_merge(2, 0)
    assert plan is not None
    merged = [stream.stage_chunks("duplicates", name, index.merge(plan, days)) for name, days in plan.outputs]
    stream.commit(merged, removed=plan.inputs)
    index.swap(plan, [each.entry.path for each in merged])
    stream.close()
    live = [each.path for each in Ledger.open(tmp_path).stream("mediation").files()]
    assert live == list(index.names) == [merged[0].entry.path]
    assert taken(DuplicateIndex(tmp_path, live), A, B, version=9).verdict.tolist() == [Verdict.DUPLICATE] * 2


def test_the_benchmark_finds_every_copy_at_smoke_size(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["duplicates", "--keys", "20000", "--batch", "1000", "--per-day", "7000",
                                     "--copies", "0.1", "--folder", str(tmp_path)])
    benchmark.main()
    assert "copies found, all there were" in capsys.readouterr().out
