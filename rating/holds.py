"""What is held for sessions that go on, as an Arrow table and back. See `rating.kernels.holds`."""

import numpy as np
import pyarrow as pa

from rating.book import BalanceBook
from rating.kernels.holds import rehash_holds_nb
from rating.kernels.layout import (
    B_HOLDS,
    CAPPED,
    ENTRY_WORDS,
    H_COUNT,
    H_ENTRY,
    H_GRANTED,
    H_ROW,
    H_SHARED,
    HOLD_WORDS,
    MAX_ENTRIES,
    X_HI,
    X_LO,
)


def holds_to_arrow(book: BalanceBook) -> pa.Table:
    """A row for each thing that a hold took, by the session's key, in the order in which they were taken."""
    holds = book.holds[(book.holds[:, X_HI] != 0) | (book.holds[:, X_LO] != 0)]
    holds = holds[np.lexsort((holds[:, X_LO], holds[:, X_HI]))]
    row, number = np.nonzero(np.arange(MAX_ENTRIES) < holds[:, H_COUNT, np.newaxis])
    entry = H_ENTRY + ENTRY_WORDS * number
    owner = holds[row, entry]
    ids = np.append(book.account_ids, -1)  # row -1: none
    return pa.table({
        "key_hi": holds[row, X_HI], "key_lo": holds[row, X_LO], "account_id": ids[holds[row, H_ROW]],
        "shared_account_id": ids[holds[row, H_SHARED]], "granted": holds[row, H_GRANTED],
        "owner_account_id": ids[owner & (CAPPED - 1)], "capped": (owner & CAPPED != 0).astype(np.int64),
        "bucket_id": holds[row, entry + 1], "amount": holds[row, entry + 2]})


def restore_holds(book: BalanceBook, table: pa.Table) -> None:
    """Put back what `holds_to_arrow` wrote into a book that has its accounts."""
    if not table.num_rows:
        return
    columns = {name: table[name].to_numpy() for name in table.column_names}
    first = np.append(True, (np.diff(columns["key_hi"]) != 0) | (np.diff(columns["key_lo"]) != 0))
    hold = np.cumsum(first) - 1
    number = np.arange(hold.size) - np.flatnonzero(first)[hold]
    holds = np.zeros((hold[-1] + 1, HOLD_WORDS), np.int64)
    for word, name in ((X_HI, "key_hi"), (X_LO, "key_lo"), (H_GRANTED, "granted")):
        holds[:, word] = columns[name][first]
    for word, name in ((H_ROW, "account_id"), (H_SHARED, "shared_account_id")):
        holds[:, word] = book.rows_of(columns[name][first])
    holds[:, H_COUNT] = np.bincount(hold)
    entry = H_ENTRY + ENTRY_WORDS * number
    holds[hold, entry] = book.rows_of(columns["owner_account_id"]) | CAPPED * columns["capped"]
    holds[hold, entry + 1] = columns["bucket_id"]
    holds[hold, entry + 2] = columns["amount"]
    book.make_holds(len(holds))
    book.scalars[B_HOLDS] = len(holds)
    rehash_holds_nb(holds, book.holds)
