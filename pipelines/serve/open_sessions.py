"""By whom open sessions are held, so that a gateway can be told to ask again, or to end one.

No money hangs on it: a session that is missing here is told nothing and asks by itself. Those whose final units were
granted are kept over a restart, in the home, since they may wait for a top-up for long.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.durable import Disk, replace_file
from rating.book import BalanceBook
from rating.kernels.layout import F_SHARED

MOST = 500_000  # sessions; beyond, the oldest is let go
Key = tuple[int, int]


@dataclass
class OpenSession:
    """Session-Id, Origin-Host and Origin-Realm as they came. finals: rating groups whose final units were granted."""

    account_id: int
    session: bytes
    host: bytes
    realm: bytes
    finals: set[int] = field(default_factory=set)


class OpenSessions:
    """Sessions by their 128-bit key, the oldest first."""

    def __init__(self, path: Path | None = None, disk: Disk | None = None, most: int = MOST) -> None:
        """path: where those with final units are kept; nowhere without one."""
        self._path, self._disk, self._most = path, disk or Disk(), most
        self._sessions: dict[Key, OpenSession] = {}
        self._finals: dict[Key, None] = {}
        self._changed = False
        if path is not None and self._disk.exists(path):
            for line in self._disk.read(path).decode().splitlines():
                hi, lo, account, *texts, finals = json.loads(line)
                self.begin((hi, lo), account, *(t.encode("latin-1") for t in texts))
                for group in finals:
                    self.note((hi, lo), group, True)
            self._changed = False

    def __contains__(self, key: Key) -> bool:
        return key in self._sessions

    def __getitem__(self, key: Key) -> OpenSession:
        return self._sessions[key]

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def waiting(self) -> bool:
        """Whether any has had its final units."""
        return bool(self._finals)

    def called(self, key: Key, account_id: int, host: bytes) -> None:
        """Where a session is called, new or known."""
        session = self._sessions.get(key)
        if session is None:
            self.begin(key, account_id, b"", host, b"")
        else:
            session.host = host

    def begin(self, key: Key, account_id: int, session: bytes, host: bytes, realm: bytes) -> None:
        """A session that was not known."""
        self._sessions[key] = OpenSession(account_id, session, host, realm)
        if len(self._sessions) > self._most:
            self.end(next(iter(self._sessions)))

    def note(self, key: Key, rating_group: int, final: bool) -> None:
        """Whether a service of a known session was granted its final units."""
        if not final and key not in self._finals:
            return
        session = self._sessions[key]
        if final:
            session.finals.add(rating_group)
            self._finals[key] = None
        else:
            session.finals.discard(rating_group)
            if not session.finals:
                self._finals.pop(key)
        self._changed = True

    def end(self, key: Key) -> None:
        """A session is over."""
        if self._sessions.pop(key, None) is not None and key in self._finals:
            self._finals.pop(key)
            self._changed = True

    def of(self, accounts: Iterable[int], book: BalanceBook, only_final: bool) -> list[Key]:
        """Sessions of these accounts, or of accounts that use theirs; only those that were granted final units."""
        keys = list(self._finals if only_final else self._sessions)
        if not keys or not len(book):
            return []
        wanted = book.rows_of(np.array(sorted(accounts), np.int64))
        wanted = wanted[wanted >= 0]
        rows = book.rows_of(np.array([self._sessions[key].account_id for key in keys], np.int64))
        shared = np.where(rows >= 0, book.profile[rows, F_SHARED], -1)
        chosen = np.isin(rows, wanted) | np.isin(shared, wanted)
        return [keys[row] for row in np.flatnonzero(chosen).tolist()]

    def save(self) -> None:
        """Keep those with final units, if any has changed."""
        if self._path is None or not self._changed:
            return
        lines = []
        for key in self._finals:
            each = self._sessions[key]
            lines.append(json.dumps([*key, each.account_id, *(t.decode("latin-1") for t in (
                each.session, each.host, each.realm)), sorted(each.finals)]))
        self._disk.make_dir(self._path.parent)
        replace_file(self._disk, self._path, "".join(f"{line}\n" for line in lines).encode())
        self._changed = False
