"""When reservations that the API made are over by the clock: a table beside the answers, so that listeners are told of
each once, also where the process was not there when it happened.
"""

import sqlite3
import threading
from collections.abc import Sequence

from pipelines.balance_api.listeners import Event, Listeners

SCHEMA = """
CREATE TABLE IF NOT EXISTS expiry (resource_id TEXT PRIMARY KEY, until_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiry_until ON expiry (until_us);
"""


class Expiries:
    """Over a connection of the store, which is durable after each statement, and its lock."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.Lock, listeners: Listeners) -> None:
        self._connection, self._lock, self._listeners = connection, lock, listeners
        connection.executescript(SCHEMA)

    def add_within(self, resource_id: str, until_us: int) -> None:
        """Look at it then. Within the transaction of whoever holds the lock."""
        self._connection.execute("INSERT OR REPLACE INTO expiry VALUES (?, ?)", (resource_id, until_us))

    def due(self, now_us: int, most: int) -> list[tuple[str, int]]:
        """Resources to be looked at by now, and since when, the first first."""
        with self._lock:
            return self._connection.execute("SELECT resource_id, until_us FROM expiry WHERE until_us <= ? "
                                            "ORDER BY until_us LIMIT ?", (now_us, most)).fetchall()

    def over(self, resource_ids: Sequence[str], events: Sequence[Event]) -> None:
        """These need no look any more, and listeners are told of some: both or neither."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._listeners.put_within(events)
            self._connection.executemany("DELETE FROM expiry WHERE resource_id = ?", [(each,) for each in resource_ids])

    def later(self, resource_ids: Sequence[str], until_us: int) -> None:
        """Nobody has ended these yet: look again then."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("UPDATE expiry SET until_us = ? WHERE resource_id = ?",
                                         [(until_us, each) for each in resource_ids])
