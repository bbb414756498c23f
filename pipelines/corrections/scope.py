"""Whom a correction concerns: accounts with usage in question, and everyone who shares a balance with them."""

from collections.abc import Iterable

import duckdb
import numpy as np

from pipelines.corrections.history import History
from reference_data.tariffs.compile import Tariffs
from schemas.columns import ABSENT, I64

ALL_SHARE = 0.5  # of the accounts: from here on all are taken, since choosing costs more


def concerned(history: History, connection: duckdb.DuckDBPyConnection, from_us: int, to_us: int,
              accounts: I64 | None, tariffs: Iterable[Tariffs]) -> I64 | None:
    """Accounts to be computed again, ascending; None for all.

    accounts: only usage of these, but whoever shares with them comes along. Tariffs with legs or fees tie everybody
    together: usage of one is charged to another, and a clock charges those who used nothing.
    """
    ids, shared = account_links(history)
    if any(couples(each) for each in tariffs):
        return None
    if accounts is None:
        accounts = np.array([row[0] for row in connection.execute(f"""
            SELECT DISTINCT account_id FROM rated_current
            WHERE event_time_us >= make_timestamptz({from_us}) AND event_time_us < make_timestamptz({to_us})
            UNION SELECT account_id FROM command WHERE account_id IS NOT NULL
            AND event_time_us >= make_timestamptz({from_us}) AND event_time_us < make_timestamptz({to_us})
            """).fetchall()], np.int64)
    found = with_sharers(ids, shared, accounts)
    return None if found.size >= ALL_SHARE * max(ids.size, 1) else found


def couples(tariffs: Tariffs) -> bool:
    """Whether one account's usage, or a clock, can charge another."""
    return any(getattr(version, "legs", ()) or getattr(version, "fees", ()) for version in tariffs.versions)


def account_links(history: History) -> tuple[I64, I64]:
    """Every account ever opened, ascending, and whose balance it shares, ABSENT for none."""
    ids, shared = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for group in history.groups():
        if group.opened is not None:
            table = group.opened[0]
            ids.append(table["account_id"].to_numpy().astype(np.int64))
            shared.append(table["shared_account_id"].fill_null(ABSENT).to_numpy().astype(np.int64))
    every, first = np.unique(np.concatenate(ids), return_index=True)
    return every, np.concatenate(shared)[first]


def with_sharers(ids: I64, shared: I64, accounts: I64) -> I64:
    """`accounts` that there are, and all that share with any of them, ascending."""
    chosen = np.isin(ids, accounts)
    has = shared != ABSENT
    target = np.searchsorted(ids, np.where(has, shared, ids))
    while True:
        before = int(chosen.sum())
        chosen[target[chosen]] = True     # whose balance they share
        chosen |= has & chosen[target]    # and whoever shares theirs
        if int(chosen.sum()) == before:
            found: I64 = ids[chosen]
            return found
