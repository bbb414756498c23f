"""Journal and vault against models that are a list and a dictionary."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.journal import Block, Clock, Command, Journal
from pipelines.keys import Keys
from pipelines.vault import Vault
from pipelines.vault.entries import Entries

BLOCKS = st.builds(Block, st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1),
                   st.integers(0, 2**64 - 1))
ENTRIES = st.one_of(BLOCKS, st.builds(Command, st.binary(max_size=300)),
                    st.builds(Clock, st.integers(-2**63, 2**63 - 1)))


@settings(max_examples=40, deadline=None)
@given(groups=st.lists(st.lists(ENTRIES, min_size=1, max_size=5), max_size=8), reopen=st.integers(1, 4),
       segment_octets=st.integers(100, 2000), torn=st.binary(min_size=1, max_size=80))
def test_a_journal_is_a_list_however_often_it_is_opened_and_whatever_lies_behind_it(
        groups: list[list[Block | Command | Clock]], reopen: int, segment_octets: int, torn: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), []
        journal = Journal.open(folder, None, 0, segment_octets, 128)
        for n, group in enumerate(groups):
            if n % reopen == 0:
                last = journal._segments[-1:]
                journal.close()
                for segment in last:
                    with segment.path.open("r+b") as file:  # a write that was never answered
                        file.seek(segment.end)
                        file.write(torn)
                journal = Journal.open(folder, None, len(model), segment_octets, 128)
            assert journal.append(group) == len(model)
            model += group
        assert list(journal.read(0)) == list(enumerate(model))
        journal.close()


SIGHTINGS = st.lists(max_size=20, elements=st.tuples(
    st.integers(0, 12), st.integers(0, 1), st.integers(0, 3), st.sampled_from(["", "a", "b"])))


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(SIGHTINGS, max_size=6), seal_rows=st.integers(1, 12), reopen=st.booleans(),
       erased=st.sets(st.integers(0, 12), max_size=4))
def test_a_vault_is_a_dictionary_in_which_the_first_value_stays(
        batches: list[list[tuple[int, int, int, str]]], seal_rows: int, reopen: bool, erased: set[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), {}
        keys = Keys.open(folder / "keys")
        vault = Vault(folder / "vault", keys, seal_rows=seal_rows)
        for n, batch in enumerate(batches):
            if reopen:
                vault.close()
                vault = Vault(folder / "vault", keys, seal_rows=seal_rows)
            if n == len(batches) // 2 and erased:
                assert vault.erase(np.array(sorted(erased)), "test", "erasure", n) == len(erased & model.keys())
                model = {t: v for t, v in model.items() if t not in erased}
            collisions = [row for row, (token, *value) in enumerate(batch)
                          if model.setdefault(token, tuple(value)) != tuple(value)]
            columns = [np.array([row[i] for row in batch], np.int64) for i in range(3)]
            found = vault.remember(columns[0], columns[1], columns[2], [row[3] for row in batch])
            assert found.collisions.tolist() == collisions
        assert len(vault) == len(model)
        shown = vault.lookup(np.arange(13), "test", "comparison", 1)
        assert {int(shown.token[i]): _value(shown, i) for i in range(len(shown))} == model
        vault.close()


def _value(entries: Entries, row: int) -> tuple[int, int, str]:
    return int(entries.identity[row]), int(entries.value[row]), entries.text_of(row).decode()
