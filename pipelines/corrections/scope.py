"""Whom a correction concerns: accounts with usage in question, and everyone who shares a balance with them."""

from collections.abc import Iterable
from typing import Any

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
    ids, pairs = account_links(history)
    if any(couples(each) for each in tariffs) or has_legs(connection):
        return None
    if accounts is None:
        accounts = np.array([row[0] for row in connection.execute(f"""
            SELECT DISTINCT account_id FROM rated_current
            WHERE event_time_us >= make_timestamptz({from_us}) AND event_time_us < make_timestamptz({to_us})
            UNION SELECT account_id FROM command WHERE account_id IS NOT NULL
            AND event_time_us >= make_timestamptz({from_us}) AND event_time_us < make_timestamptz({to_us})
            """).fetchall()], np.int64)
    found = with_sharers(ids, pairs, accounts)
    return None if found.size >= ALL_SHARE * max(ids.size, 1) else found


def couples(tariffs: Tariffs) -> bool:
    """Whether one account's usage, or a clock, can charge another."""
    return any(getattr(version, "legs", ()) or getattr(version, "fees", ()) for version in tariffs.versions)


def has_legs(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the ledger has charge legs: under whatever tariffs, they are to be computed again with their events."""
    tables = {row[0] for row in connection.execute("SELECT view_name FROM duckdb_views()").fetchall()}
    return any(connection.execute(f"SELECT 1 FROM {table} WHERE leg > 0 LIMIT 1").fetchall()
               for table in ("rated", "leg_suspense") if table in tables)


def account_links(history: History) -> tuple[I64, I64]:
    """Every account ever opened, ascending; and pairs of accounts (n, 2) that share a balance, or that one command
    named: a transfer, a family that somebody joined."""
    ids = [np.empty(0, np.int64)]
    pairs = [np.empty((0, 2), np.int64)]
    for group in history.groups():
        if group.opened is not None:
            table = group.opened[0]
            own = table["account_id"].to_numpy().astype(np.int64)
            shared = table["shared_account_id"].fill_null(ABSENT).to_numpy().astype(np.int64)
            ids.append(own)
            pairs.append(np.stack([own, shared], axis=1)[shared != ABSENT])
        for _, content in group.commands:
            command = content.get("command", content)
            named = named_accounts(command)
            if command.get("kind") == "account_create":
                ids.append(np.array(named[:1], np.int64))
            if len(named) > 1:
                pairs.append(np.array([[named[0], other] for other in named[1:]], np.int64))
    return np.unique(np.concatenate(ids)), np.concatenate(pairs)


def named_accounts(command: dict[str, Any]) -> list[int]:
    """Accounts that a command is about."""
    return [value for name, value in command.items() if name.endswith("account_id") and isinstance(value, int)
            and not isinstance(value, bool) and 0 <= value < 1 << 62]


def with_sharers(ids: I64, pairs: I64, accounts: I64) -> I64:
    """`accounts` that there are, and all that are tied to any of them, ascending."""
    pairs = pairs[np.isin(pairs, ids).all(axis=1)]
    one, other = np.searchsorted(ids, pairs[:, 0]), np.searchsorted(ids, pairs[:, 1])
    chosen = np.isin(ids, accounts)
    while True:
        before = int(chosen.sum())
        tied = chosen[one] | chosen[other]
        chosen[one[tied]] = chosen[other[tied]] = True
        if int(chosen.sum()) == before:
            found: I64 = ids[chosen]
            return found
