"""Longest prefix: worked cases, refusals, and a dictionary as oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_data.kernels.prefix_trie import lookup_nb
from reference_data.prefix_trie import PrefixForest, PrefixTrie
from schemas.columns import ABSENT
from schemas.digits import pack
from schemas.errors import ReferenceDataError

DIGITS = st.text(alphabet="0123456789", max_size=15)
CLOSE = st.text(alphabet="01", max_size=15)  # crowded: many prefixes of each other


def longest(prefixes: dict[str, int], number: str) -> tuple[int, int]:
    for length in range(len(number), -1, -1):
        if number[:length] in prefixes:
            return prefixes[number[:length]], length
    return -1, 0


def packed(*numbers: str) -> np.ndarray:
    return np.array([pack(n) for n in numbers], np.int64)


def test_the_longest_prefix_wins_over_shorter_ones() -> None:
    trie = PrefixTrie.build(["49", "4930", "493012345", "1"], [10, 20, 30, 40])
    value, length = trie.lookup(packed("4989123", "4930999", "493012345678", "14155550100", "33"))
    assert value.tolist() == [10, 20, 30, 40, -1]
    assert length.tolist() == [2, 4, 9, 1, 0]


def test_a_number_shorter_than_a_prefix_does_not_match_it() -> None:
    trie = PrefixTrie.build(["1120", "11"], [1, 2])
    value, _ = trie.lookup(packed("112", "11", "1"))
    assert value.tolist() == [2, 2, -1]


def test_absent_and_empty_numbers_match_only_the_empty_prefix() -> None:
    assert PrefixTrie.build(["1"], [1]).lookup(np.array([ABSENT, 0]))[0].tolist() == [-1, -1]
    assert PrefixTrie.build(["", "1"], [9, 1]).lookup(np.array([ABSENT, 0]))[0].tolist() == [9, 9]


def test_star_and_hash_end_a_match() -> None:
    value, length = PrefixTrie.build(["12", "124"], [1, 2]).lookup(packed("12*4", "*12", "124#"))
    assert value.tolist() == [1, -1, 2]
    assert length.tolist() == [2, 0, 3]


@pytest.mark.parametrize(("prefixes", "values", "words"), [
    (["12a"], [1], "12a"), (["1" * 16], [1], "decimal digits"), (["1", "2", "1"], [1, 2, 3], "twice"),
    (["1"], [-1], "values"), (["1", "2"], [1], "a value for each"), (["٣"], [1], "decimal digits"),
])
def test_a_list_that_cannot_be_used_is_refused_with_its_reason(prefixes, values, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ReferenceDataError, match=words):
        PrefixTrie.build(prefixes, values)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.one_of(DIGITS, CLOSE), st.integers(0, 1 << 40), max_size=60),
       st.lists(st.one_of(DIGITS, CLOSE), max_size=40))
def test_lookup_equals_a_dictionary_walked_by_hand(prefixes: dict[str, int], numbers: list[str]) -> None:
    numbers = numbers + list(prefixes) + [p + "0" for p in prefixes if len(p) < 15]
    trie = PrefixTrie.build(list(prefixes), list(prefixes.values()))
    value, length = trie.lookup(packed(*numbers))
    assert list(zip(value.tolist(), length.tolist(), strict=True)) == [longest(prefixes, n) for n in numbers]


def test_a_forest_answers_as_its_trees_do() -> None:
    first = PrefixTrie.build(["49", "493012"], [1, 2])
    second = PrefixTrie.build(["4", "49301234"], [3, 4])
    forest = PrefixForest.stack([first, second])
    numbers = packed("4930123456", "491", "5")
    for tree, trie in enumerate((first, second)):
        value, length = np.empty(3, np.int64), np.empty(3, np.int64)
        lookup_nb(numbers, forest.slots, int(forest.roots[tree]), forest.leaves, value, length)
        assert (value.tolist(), length.tolist()) == tuple(a.tolist() for a in trie.lookup(numbers))


def test_the_arrays_cannot_be_written() -> None:
    trie = PrefixTrie.build(["1"], [1])
    with pytest.raises(ValueError, match="read-only"):
        trie.leaves[0] = 1
