"""A book as it lies: read back it is the same, word for word, and goes on as if nobody had read it."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.snapshots import Snapshots
from rating.arrays import grown
from rating.book import BalanceBook
from rating.book_items import MATRICES, VERSION, accounts_of, from_items, to_items
from rating.snapshot import same_state, to_arrow
from schemas.errors import LedgerError
from tests.unit.test_charging import CHILD, PREPAID, call, charged, new_book


def used_book() -> BalanceBook:
    """Accounts of three kinds with usage, options, a plan that changes, friends' digests and so on."""
    book = new_book()
    charged(book, call(), call(account=CHILD, quantity=600), {**call(), "service": "sms", "quantity": 2})
    book.change_plan(book.row_of(PREPAID), "postpaid-family", 1 << 50)
    book.applied.add(b"0123456789abcdef")
    return book


def through(book: BalanceBook, folder: Path) -> BalanceBook:
    Snapshots(folder).write(7, to_items(book))
    found = Snapshots(folder).newest()
    assert found is not None
    return from_items(found.items)


def test_a_book_comes_back_word_for_word_and_goes_on_the_same(tmp_path: Path) -> None:
    one = used_book()
    other = through(one, tmp_path)
    assert same_state(one, other)
    for name in MATRICES:
        mine, theirs = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(theirs[:len(mine)], mine[:len(theirs)])
    more = [call(quantity=n) for n in (1, 61, 600)]
    assert charged(one, *more).posting["amount"].tolist() == charged(other, *more).posting["amount"].tolist()
    assert same_state(one, other) and other.row_of(CHILD) == one.row_of(CHILD)


def test_an_account_more_costs_no_copy_of_all(tmp_path: Path) -> None:
    book = new_book()
    book.records, book.profile, book.life = (
        np.concatenate([table] * 2000) for table in (book.records, book.profile, book.life))
    Snapshots(tmp_path).write(1, to_items(book))
    found = Snapshots(tmp_path).newest()
    assert found is not None
    for name in ("records", "profile", "life"):
        table = accounts_of(found.items).__dict__[name]
        assert grown(table, len(table) + 100).ctypes.data == table.ctypes.data, name


def test_a_snapshot_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    book = used_book()
    Snapshots(tmp_path).write(1, to_arrow(book))
    found = Snapshots(tmp_path).newest()
    assert found is not None and "accounts" in found.items
    assert same_state(from_items(found.items), book)
    assert accounts_of(found.items).account_ids.tolist() == book.account_ids.tolist()


def test_a_later_book_is_refused() -> None:
    items = to_items(new_book())
    items["book"] = items["book"].replace(b'"version": %d' % VERSION, b'"version": %d' % (VERSION + 1))
    with pytest.raises(LedgerError, match=f"book version {VERSION + 1}"):
        from_items(items)
