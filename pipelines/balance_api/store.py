"""What the API remembers beside the ledger: answers by idempotency key, and who asked what.

The journal knows that a command was carried out; the answer that was given to it is kept here, so that the same
request again gets the same octets, also after a restart. Durable before it is sent. No number is in it.
"""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from pipelines.balance_api.expiries import Expiries
from pipelines.balance_api.listeners import Event, Listeners

KEPT_US = 400 * 86_400 * 1_000_000  # answers and audit
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answer (
    grantee TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
    kind TEXT NOT NULL, account_id INTEGER NOT NULL, resource_id TEXT NOT NULL, at_us INTEGER NOT NULL,
    PRIMARY KEY (grantee, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answer_of_account ON answer (account_id, kind, at_us);
CREATE UNIQUE INDEX IF NOT EXISTS answer_of_resource ON answer (resource_id);
CREATE INDEX IF NOT EXISTS answer_at ON answer (at_us);
CREATE TABLE IF NOT EXISTS change (
    resource_id TEXT PRIMARY KEY, members BLOB NOT NULL, at_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit (
    at_us INTEGER NOT NULL, grantee TEXT NOT NULL, method TEXT NOT NULL, route TEXT NOT NULL, status INTEGER NOT NULL,
    account_id INTEGER, command TEXT);
CREATE INDEX IF NOT EXISTS audit_at ON audit (at_us);
"""


@dataclass(frozen=True)
class Answer:
    """A request that was answered. digest: of what was asked; body: as it was sent."""

    grantee: str
    key: str
    digest: bytes
    status: int
    body: bytes
    kind: str
    account_id: int
    resource_id: str
    at_us: int


class ApiStore:
    """SQLite in the home; one connection for each durability, used by one thread at a time."""

    def __init__(self, home: Path) -> None:
        folder = home / "api"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._durable = self._open(folder, "FULL")
        self._audit = self._open(folder, "NORMAL")
        self.listeners = Listeners(self._durable, self._lock)
        self.expiries = Expiries(self._durable, self._lock, self.listeners)

    @staticmethod
    def _open(folder: Path, synchronous: str) -> sqlite3.Connection:
        path = folder / "requests.db"
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.executescript(_SCHEMA)
        return connection

    def find(self, grantee: str, key: str) -> Answer | None:
        """What was answered to this key of this token."""
        with self._lock:
            row = self._durable.execute("SELECT * FROM answer WHERE grantee = ? AND key = ?", (grantee, key)).fetchone()
        return None if row is None else Answer(*row)

    def resource(self, resource_id: str) -> Answer | None:
        """The answer that made a resource, with what was said anew of it."""
        with self._lock:
            row = self._durable.execute("SELECT * FROM answer WHERE resource_id = ?", (resource_id,)).fetchone()
            return None if row is None else self._changed(Answer(*row))

    def change(self, resource_id: str, members: Mapping[str, object], at_us: int) -> None:
        """Say something anew of a resource, None for nothing any more; durable when this returns. What was answered
        when it was made stays."""
        with self._lock:
            said = {**self._said(resource_id), **members}
            self._durable.execute("INSERT OR REPLACE INTO change VALUES (?, ?, ?)",
                                  (resource_id, msgspec.json.encode(said), at_us))

    def _said(self, resource_id: str) -> dict[str, object]:
        row = self._durable.execute("SELECT members FROM change WHERE resource_id = ?", (resource_id,)).fetchone()
        return {} if row is None else msgspec.json.decode(row[0], type=dict[str, object])

    def _changed(self, answer: Answer) -> Answer:
        said = self._said(answer.resource_id)
        if not said or answer.status >= 300:
            return answer
        body: dict[str, object] = {**msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw]), **said}
        return replace(answer, body=msgspec.json.encode({k: v for k, v in body.items() if v is not None}))

    def of_account(self, account_id: int, kind: str, offset: int, limit: int) -> tuple[int, list[Answer]]:
        """How many resources of a kind an account has, and some of them, the newest first."""
        with self._lock:
            count = self._durable.execute(
                "SELECT count(*) FROM answer WHERE account_id = ? AND kind = ? AND status < 300",
                (account_id, kind)).fetchone()[0]
            rows = self._durable.execute(
                "SELECT * FROM answer WHERE account_id = ? AND kind = ? AND status < 300 "
                "ORDER BY at_us DESC, resource_id LIMIT ? OFFSET ?", (account_id, kind, limit, offset)).fetchall()
            return int(count), [self._changed(Answer(*row)) for row in rows]

    def keep(self, answer: Answer, events: Sequence[Event] = (), until_us: int | None = None) -> None:
        """With what listeners are to be told of it, and when it is over by the clock. Durable when this returns."""
        with self._lock, self._durable:
            self._durable.execute("BEGIN IMMEDIATE")
            self.listeners.put_within(events)
            if until_us is not None:
                self.expiries.add_within(answer.resource_id, until_us)
            self._durable.execute("INSERT OR IGNORE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (
                answer.grantee, answer.key, answer.digest, answer.status, answer.body, answer.kind, answer.account_id,
                answer.resource_id, answer.at_us))

    def note(self, at_us: int, grantee: str, method: str, route: str, status: int, account_id: int | None,
             command: str | None) -> None:
        """Who asked what. route: with names in place of values."""
        with self._lock:
            self._audit.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)",
                                (at_us, grantee, method, route, status, account_id, command))

    def audit(self, limit: int = 100) -> list[tuple[object, ...]]:
        """The newest entries: time, token, method, route, status, account, command."""
        with self._lock:
            return self._audit.execute("SELECT * FROM audit ORDER BY at_us DESC LIMIT ?", (limit,)).fetchall()

    def forget(self, now_us: int) -> None:
        """Let go of what is older than the retention."""
        with self._lock:
            self._durable.execute("DELETE FROM answer WHERE at_us < ?", (now_us - KEPT_US,))
            self._durable.execute("DELETE FROM change WHERE resource_id NOT IN (SELECT resource_id FROM answer)")
            self._audit.execute("DELETE FROM audit WHERE at_us < ?", (now_us - KEPT_US,))

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._durable.close()
            self._audit.close()
