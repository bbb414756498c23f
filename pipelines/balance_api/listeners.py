"""Who is to be told of what happens to balances, and what waits to be told: two tables beside the answers.

An event that belongs to an answer is kept in the same transaction, so that neither is there without the other. Whoever
does not listen has 10,000 events and a day at most.
"""

import secrets
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass

MOST_LISTENERS, MOST_OF_ONE = 1000, 20
MOST_WAITING = 10_000  # events of one listener; those that come then are not kept
KEPT_US = 86_400 * 1_000_000
SCHEMA = """
CREATE TABLE IF NOT EXISTS listener (
    id TEXT PRIMARY KEY, grantee TEXT NOT NULL, callback TEXT NOT NULL, query TEXT NOT NULL, types TEXT NOT NULL,
    account_id INTEGER, at_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    number INTEGER PRIMARY KEY AUTOINCREMENT, listener_id TEXT NOT NULL, at_us INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS event_of_listener ON event (listener_id, number);
"""


@dataclass(frozen=True)
class Event:
    """Something that happened to an account, as it is told."""

    type: str
    account_id: int
    at_us: int
    body: bytes


@dataclass(frozen=True)
class Listener:
    """Who registered it (a token's name), where it is called, and what for: all types where none is named."""

    id: str
    grantee: str
    callback: str
    query: str
    types: tuple[str, ...]
    account_id: int | None
    at_us: int

    def wants(self, kind: str, account_id: int | None = None) -> bool:
        """Whether it is told of this; of any account where none is said."""
        return (not self.types or kind in self.types) and (
            account_id is None or self.account_id in (None, account_id))


class Listeners:
    """Over a connection of the store, which is durable after each statement, and its lock."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.Lock) -> None:
        self._connection, self._lock = connection, lock
        connection.executescript(SCHEMA)
        rows = connection.execute("SELECT * FROM listener").fetchall()
        self._all = {name: Listener(name, grantee, callback, query, tuple(types.split()), account_id, at_us)
                     for name, grantee, callback, query, types, account_id, at_us in rows}
        self.dropped = 0

    def all(self) -> list[Listener]:
        """Everybody, the first first."""
        return sorted(self._all.values(), key=lambda each: (each.at_us, each.id))

    def find(self, listener_id: str) -> Listener | None:
        """One of them."""
        return self._all.get(listener_id)

    def any_wants(self, kind: str) -> bool:
        """Whether anybody is to be told of this at all."""
        return any(each.wants(kind) for each in tuple(self._all.values()))

    def add(self, grantee: str, callback: str, query: str, types: Sequence[str], account_id: int | None, at_us: int
            ) -> Listener | None:
        """A new one, or the same that there was; None: there are too many."""
        with self._lock:
            own = [each for each in self._all.values() if each.grantee == grantee]
            for each in own:
                if (each.callback, each.query) == (callback, query):
                    return each
            if len(own) >= MOST_OF_ONE or len(self._all) >= MOST_LISTENERS:
                return None
            made = Listener(secrets.token_hex(16), grantee, callback, query, tuple(types), account_id, at_us)
            self._connection.execute("INSERT INTO listener VALUES (?, ?, ?, ?, ?, ?, ?)", (
                made.id, grantee, callback, query, " ".join(types), account_id, at_us))
            self._all[made.id] = made
            return made

    def remove(self, listener_id: str) -> None:
        """It is told nothing any more."""
        with self._lock:
            self._connection.execute("DELETE FROM listener WHERE id = ?", (listener_id,))
            self._connection.execute("DELETE FROM event WHERE listener_id = ?", (listener_id,))
            self._all.pop(listener_id, None)

    def put(self, events: Sequence[Event]) -> None:
        """Keep them for whoever wants them; durable when this returns."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self.put_within(events)

    def put_within(self, events: Sequence[Event]) -> None:
        """The same within the transaction of whoever holds the lock."""
        for listener in self._all.values():
            wanted = [each for each in events if listener.wants(each.type, each.account_id)]
            if not wanted:
                continue
            waiting = self._connection.execute("SELECT count(*) FROM event WHERE listener_id = ?",
                                               (listener.id,)).fetchone()[0]
            kept = wanted[:max(MOST_WAITING - waiting, 0)]
            self.dropped += len(wanted) - len(kept)
            self._connection.executemany("INSERT INTO event (listener_id, at_us, body) VALUES (?, ?, ?)",
                                         [(listener.id, each.at_us, each.body) for each in kept])

    def waiting(self) -> list[str]:
        """Listeners that there is something for."""
        with self._lock:
            return [row[0] for row in self._connection.execute("SELECT DISTINCT listener_id FROM event")]

    def next(self, listener_id: str, now_us: int) -> tuple[int, bytes] | None:
        """The oldest event of a listener that is worth telling."""
        with self._lock:
            old = self._connection.execute("DELETE FROM event WHERE listener_id = ? AND at_us < ?",
                                           (listener_id, now_us - KEPT_US)).rowcount
            self.dropped += old
            row = self._connection.execute("SELECT number, body FROM event WHERE listener_id = ? ORDER BY number "
                                           "LIMIT 1", (listener_id,)).fetchone()
        return None if row is None else (int(row[0]), bytes(row[1]))

    def told(self, number: int) -> None:
        """It was delivered."""
        with self._lock:
            self._connection.execute("DELETE FROM event WHERE number = ?", (number,))
