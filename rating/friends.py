"""The accounts' lists of friends: kept in the book, asked by selection."""

import numpy as np
import pyarrow as pa

from rating.book import BalanceBook
from rating.kernels.friends import EMPTY, add_friends_nb, end_friend_nb
from rating.kernels.layout import E_ROW, FRIEND_WORDS
from schemas.columns import I64

_COLUMNS = ("account_id", "token", "from_us", "to_us")


def add_friends(book: BalanceBook, rows: I64, tokens: I64, from_us: I64, to_us: I64) -> None:
    """Put numbers on accounts' lists, each from an instant until before another. All (n,) int64."""
    more = np.ascontiguousarray(np.stack([rows, tokens, from_us, to_us], axis=1).astype(np.int64))
    kept = book.friends[book.friends[:, E_ROW] >= 0]
    used = int((book.friends[:, E_ROW] != EMPTY).sum())
    if 2 * (used + more.shape[0]) > book.friends.shape[0]:
        capacity = 8
        while capacity < 4 * (kept.shape[0] + more.shape[0]):
            capacity *= 2
        book.friends = np.full((capacity, FRIEND_WORDS), EMPTY, np.int64)
        add_friends_nb(book.friends, np.ascontiguousarray(kept))
    add_friends_nb(book.friends, more)


def befriend(book: BalanceBook, friends: pa.Table, account_ids: I64) -> None:
    """Give these accounts their lists: rows of `friends` (account_id, token, from_us, to_us) that are theirs."""
    columns = [friends[name].to_numpy() for name in _COLUMNS]
    theirs = np.isin(columns[0], account_ids)
    if theirs.any():
        account, *rest = (column[theirs] for column in columns)
        add_friends(book, book.rows_of(account), *rest)


def end_friend(book: BalanceBook, row: int, token: int, time_us: int) -> bool:
    """Take a number off an account's list from an instant on; whether it was on it."""
    return bool(end_friend_nb(book.friends, row, token, time_us))


def friends_to_arrow(book: BalanceBook) -> pa.Table:
    """All lists, in an order of their own: by account, number and time."""
    kept = book.friends[book.friends[:, E_ROW] >= 0].copy()
    kept[:, E_ROW] = book.account_ids[kept[:, E_ROW]] if len(book) else kept[:, E_ROW]
    kept = kept[np.lexsort(kept.T[::-1])]
    return pa.table({name: np.ascontiguousarray(kept[:, i]) for i, name in enumerate(_COLUMNS)})


def restore_friends(book: BalanceBook, table: pa.Table) -> None:
    """The lists that `friends_to_arrow` wrote."""
    account, *rest = (table[name].to_numpy() for name in _COLUMNS)
    add_friends(book, book.rows_of(account), *rest)
