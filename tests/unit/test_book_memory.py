"""Large tables of the balance book: their pages come and go without a copy that outlives its use."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.snapshots import Snapshots
from rating.arrays import aligned, give_back
from rating.book import BalanceBook
from rating.book_items import from_items, to_items
from rating.kernels.layout import B_SESSIONS, X_HI, X_LO, X_TIME
from rating.snapshot import same_state, to_arrow


def resident() -> int:
    """Octets of anonymous memory that the process has."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def book_of(sessions: int) -> BalanceBook:
    book = BalanceBook.create()
    book.make_room(sessions)
    places = np.random.default_rng(1).permutation(book.sessions.shape[0])[:sessions]
    for place, key in zip(places, range(sessions), strict=True):  # where they lie does not matter before a rehash
        book.sessions[place, [X_HI, X_LO, X_TIME]] = (key * 0x9E3779B97F4A7C15 & (1 << 62) - 1, key + 1, key)
    book.scalars[B_SESSIONS] = sessions
    return book


def test_pages_that_are_given_back_are_the_systems() -> None:
    matrix = aligned(1 << 19, 16)
    matrix[:] = 7
    before = resident()
    give_back(matrix[: 1 << 18])
    assert before - resident() > 0.9 * matrix.nbytes / 2
    assert not matrix[: 1 << 18].any()
    assert (matrix[1 << 18:] == 7).all()


def test_a_table_that_grows_holds_what_it_held() -> None:
    book, other = book_of(3000), book_of(3000)
    book.make_room(1_000_000)
    assert book.sessions.shape[0] == 1 << 21
    assert 3 * book.sessions.shape[0] >= 4 * 1_003_000
    assert book.scalars[B_SESSIONS] == 3000
    assert same_state(book, other)


def test_a_snapshot_is_written_slice_by_slice_and_read_as_one_table(tmp_path: Path) -> None:
    book = book_of(600_000)
    items = to_items(book)
    assert not isinstance(items["sessions"], pa.Table)
    Snapshots(tmp_path).write(1, items)
    found = Snapshots(tmp_path).newest()
    assert found is not None
    assert found.items["sessions"].num_rows == 600_000
    assert len(found.items["sessions"]["key_hi"].chunks) > 1
    assert found.items["sessions"].equals(to_arrow(book)["sessions"])
    assert same_state(from_items(found.items), book)


def test_sessions_are_in_the_order_of_both_halves_of_their_key() -> None:
    book = book_of(1000)
    taken = (book.sessions[:, X_HI] != 0) | (book.sessions[:, X_LO] != 0)
    book.sessions[taken, X_HI] %= 7  # many with the same upper half
    table = to_arrow(book)["sessions"]
    assert table.num_rows == 1000
    assert table.equals(table.sort_by([("key_hi", "ascending"), ("key_lo", "ascending")]))


def test_room_for_expected_sessions_is_made_at_once_and_stays() -> None:
    book = BalanceBook.create()
    book.expect(50_000)
    tables = [book.sessions, book.holds, book.online.index]
    assert [table.shape[0] >= 50_000 for table in tables] == [True] * 3
    before = resident()
    book.make_room(40_000)
    book.make_holds(40_000)
    book.online.make_room(40_000)
    book.forget_sessions(0)
    assert resident() - before < 1 << 22
    assert all(one is other for one, other in zip([book.sessions, book.holds, book.online.index], tables, strict=True))


def test_what_is_hashed_moves_to_larger_tables_when_somebody_has_touched_them() -> None:
    book = book_of(1000)
    before, same = to_arrow(book), book.sessions
    larger = book.expect_beside(50_000)
    assert book.sessions is same and book.online.index.size >= 100_000
    book.move_to(*larger)
    assert book.sessions is larger[0] and book.holds is larger[1] and len(book.sessions) >= 100_000
    assert all(table.equals(before[name]) for name, table in to_arrow(book).items())
    book.move_to(*BalanceBook.create().expect_beside(10))  # meanwhile it has grown further
    assert book.sessions is larger[0] and book.holds is larger[1]
    enough = book.expect_beside(10)  # pages to touch are those that are used
    assert enough[0] is book.sessions and enough[1] is book.holds
