"""The duplicate index says what a dictionary says, whatever the cut, the restart, the merge, or the hash."""

import tempfile
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from mediation.duplicates import DuplicateIndex, MergePlan
from tests.oracle.duplicates import Memory, Record
from tests.oracle.duplicates_batch import Hash, batch, forged_hash, identity_hash

DAY_US = 86_400_000_000


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Records in collection order: few keys, so that repetitions, conflicts, late and recycled ones are common."""
    spread = draw(st.sampled_from([1, 3, 60, 10**6]))
    keys = st.builds(lambda node, one, two: (node, one, two, 0, -node),
                     st.integers(0, 1), st.integers(0, spread), st.sampled_from([0, -1, 2**63 - 1, -(2**63)]))
    times = st.builds(lambda day, rest: day * DAY_US + rest, st.integers(-2, 3), st.sampled_from([0, 1, DAY_US - 1]))
    records: list[Record] = []
    watermark = -(2**62)
    for offset in range(draw(st.integers(1, 120))):
        if records and draw(st.integers(0, 3)) == 0:
            again = draw(st.sampled_from(records))
            change = draw(st.sampled_from(["same", "content", "recycled"]))
            if change == "recycled":
                records.append(replace(again, recycled=True, oldest_us=watermark - 2 * DAY_US))
                continue
            content = again.content + (change == "content")
            record = replace(again, content=content, file_id=2, record_offset=offset, recycled=False)
        else:
            record = Record(draw(keys), draw(times), draw(st.integers(0, 1)), 1, offset)
        records.append(replace(record, oldest_us=watermark - 2 * DAY_US))
        watermark = max(watermark, record.key_time_us)
    return records


class Operator:
    """An index with the ledger that names its files: stages, commits, merges, restarts."""

    def __init__(self, folder: Path, block_rows: int) -> None:
        self.folder, self.block_rows, self.version = folder, block_rows, 0
        self.committed: list[str] = []
        self.index = self.reopened()

    def reopened(self) -> DuplicateIndex:
        return DuplicateIndex(self.folder, self.committed, fan_in=2, block_rows=self.block_rows)

    def take(self, records: list[Record], hash_of: Hash) -> list[tuple[int, int, int]]:
        key, file_id, offset, oldest_us, recycled = batch(records, hash_of)
        verdicts = self.index.probe(key, file_id, offset, oldest_us, recycled)
        self.version += 1
        run = self.index.add(key, file_id, offset, verdicts, self.version)
        if run is not None:
            (self.folder / run.name).write_bytes(run.payload)
            self.committed.append(run.name)
        return list(zip(verdicts.verdict.tolist(), verdicts.first_file_id.tolist(),
                        verdicts.first_record_offset.tolist(), strict=True))

    def settle_all(self) -> None:
        for name in self.index.names:
            self.index.settle(name)

    def merge_all(self, oldest_us: int) -> None:
        while (plan := self.index.plan_merge(self.version, oldest_us)) is not None:
            self.write(plan)
            self.committed = [n for n in self.committed if n not in plan.inputs] + [n for n, _ in plan.outputs]
            self.index.swap(plan)
            self.version += 1

    def write(self, plan: MergePlan) -> None:
        for name, days in plan.outputs:
            (self.folder / name).write_bytes(b"".join(self.index.merge(plan, days)))


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(records=histories(), cuts=st.lists(st.integers(1, 40), min_size=1), steps=st.randoms(use_true_random=False),
       forged=st.booleans(), block_rows=st.sampled_from([1, 4, 16384]))
def test_verdicts_equal_a_dictionary_however_cut_merged_and_restarted(
        records: list[Record], cuts: list[int], steps, forged: bool, block_rows: int) -> None:
    memory = Memory()
    # What is recorded and older than the horizon may be forgotten: a recycled record from then is not asked for.
    expected = [memory.take(record) for record in records]
    hash_of = forged_hash if forged else identity_hash
    with tempfile.TemporaryDirectory() as name:
        operator = Operator(Path(name), block_rows)
        found: list[tuple[int, int, int]] = []
        turn = 0
        while len(found) < len(records):
            part = records[len(found):len(found) + cuts[turn % len(cuts)]]
            found += operator.take(part, hash_of)
            turn += 1
            step = steps.choice(["go on", "settle", "merge", "restart", "restart"])
            if step in ("settle", "merge"):
                operator.settle_all()
            if step == "merge":
                operator.merge_all(part[-1].oldest_us)
            if step == "restart":
                operator.index = operator.reopened()
        assert found == expected
        assert len(operator.reopened()) <= sum(verdict == 0 for verdict, _, _ in expected)
