"""By whom open sessions are held, so that a gateway can be told to ask again, or to end one.

No money hangs on it: a session that is missing here is told nothing and asks by itself. Those whose final units were
granted are kept over a restart, in the home, since they may wait for a top-up for long.

Sessions are rows of arrays (`kernels/sessions.py`): an object for each would be a kilobyte, and Python's collector
would walk all of them again and again. Memory is reserved for `most` and used as sessions come.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.durable import Disk
from pipelines.serve.final_units import FinalUnitsLog, Key, line_of
from pipelines.serve.kernels import sessions as k
from rating.book import BalanceBook
from rating.kernels.layout import F_SHARED
from schemas.columns import ABSENT, I64, U8, Cells

MOST = 500_000  # sessions; beyond, the oldest is let go
_BLOCKS_EACH = 8  # of the octets of texts, for so many sessions at most; beyond, the oldest is let go
_MOST_OCTETS = (1 << 16) - 1  # of one text
_ENDED = 1000  # sessions with final units that have ended, beyond a quarter of all, before they are looked for
_NO_TEXTS: U8 = np.zeros(0, np.uint8)


@dataclass(frozen=True)
class OpenSession:
    """Session-Id, Origin-Host and Origin-Realm as they came. finals: rating groups whose final units were granted."""

    account_id: int
    session: bytes
    host: bytes
    realm: bytes
    finals: frozenset[int]


class OpenSessions:
    """Sessions by their 128-bit key."""

    def __init__(self, path: Path | None = None, disk: Disk | None = None, most: int = MOST) -> None:
        """path: where those with final units are kept; nowhere without one."""
        self._log = None if path is None else FinalUnitsLog(path, disk or Disk())
        blocks = max(_BLOCKS_EACH * most, 3 * _MOST_OCTETS // k.OCTETS + 1)
        self._index = np.zeros(1 << (2 * most).bit_length(), np.int32)
        self._rows = np.empty((most, k.COLUMNS), np.int64)
        self._blocks, self._links = np.empty(blocks * k.OCTETS, np.uint8), np.empty(blocks, np.int32)
        self._scalars = np.zeros(k.SCALARS, np.int64)
        self._scalars[[k.OLDEST, k.NEWEST, k.FREE_ROW, k.FREE_BLOCK]] = k.NONE
        self._scalars[k.FREE_BLOCKS] = blocks
        self._noted = np.empty(1024, np.int64)
        self._finals: dict[Key, set[int]] = {}  # counts where the row says FINAL: others have ended since
        self._finals_of: dict[int, set[Key]] = {}  # the same sessions by account
        self._news: dict[Key, None] = {}  # not in the log yet
        if self._log is not None:
            for key, account, texts, groups in self._log.read():
                self.begin(key, account, *texts)
                for group in groups:
                    self.note(key, group, True)
            self._news.clear()

    def __contains__(self, key: Key) -> bool:
        return self._place(key) >= 0

    def __getitem__(self, key: Key) -> OpenSession:
        row = self._row(key)
        lengths = int(self._rows[row, k.LENGTHS])
        session, host, realm = lengths >> 2 * k.SHIFT, lengths >> k.SHIFT & k.MASK, lengths & k.MASK
        out = np.empty(session + host + realm, np.uint8)
        k.read_texts_nb(self._rows, self._blocks, self._links, row, out)
        octets = out.tobytes()
        return OpenSession(int(self._rows[row, k.ACCOUNT]), octets[:session], octets[session:session + host],
                           octets[session + host:], frozenset(self._finals[key] if self._is_final(key) else ()))

    def __len__(self) -> int:
        return int(self._scalars[k.COUNT])

    def keep(self, messages: Cells, requests: Cells, answers: Cells, route: I64, buffer: U8) -> None:
        """Remember what a tick's answers say: sessions begin and end, and services have had their final units."""
        if len(requests) > self._noted.size:
            self._noted = np.empty(2 * len(requests), np.int64)
        count = k.keep_nb(messages.matrix, requests.matrix, answers.matrix, route, buffer, self._index, self._rows,
                          self._blocks, self._links, self._scalars, self._noted)
        if count:
            news = []
            for noted in self._noted[:count].tolist():
                row = noted if noted >= 0 else ~noted
                news.append(((int(requests["session_hi"][row]), int(requests["session_lo"][row])),
                             int(requests["rating_group"][row]), bool(answers["final_action"][row] > 0), noted < 0))
            self._note(news)

    @property
    def waiting(self) -> bool:
        """Whether any has had its final units."""
        return bool(self._finals)

    def called(self, hi: I64, lo: I64, accounts: I64, buffer: U8, hosts: I64) -> None:
        """Where sessions of a block are called, new or known. hosts: references into `buffer`, ABSENT for none."""
        k.call_nb(self._index, self._rows, self._blocks, self._links, self._scalars, hi, lo, accounts, buffer, hosts)

    def begin(self, key: Key, account_id: int, session: bytes, host: bytes, realm: bytes) -> None:
        """A session that was not known. Raises ValueError: a text of more than 65,535 octets."""
        self.end(key)
        k.begin_nb(self._index, self._rows, self._blocks, self._links, self._scalars, *key, account_id,
                   *_texts(session, host, realm))

    def move(self, key: Key, host: bytes) -> None:
        """A known session is held by another host."""
        known = self[key]
        if known.host != host:
            finals = known.finals
            self.end(key)
            self.begin(key, known.account_id, known.session, host, known.realm)
            for group in finals:
                self.note(key, group, True)

    def note(self, key: Key, rating_group: int, final: bool) -> None:
        """Whether a service of a known session was granted its final units."""
        row = self._row(key)
        first = not self._rows[row, k.STATE] & k.FINAL
        if final or not first:
            self._rows[row, k.STATE] |= k.FINAL
            self._note([(key, rating_group, final, first)])

    def end(self, key: Key) -> None:
        """A session is over."""
        place = self._place(key)
        if place >= 0:
            k.remove_nb(self._index, self._rows, self._links, self._scalars, place)

    def of(self, accounts: Iterable[int], book: BalanceBook, only_final: bool) -> list[Key]:
        """Sessions of these accounts, or of accounts that use theirs; only those that were granted final units."""
        if not len(self) or not len(book):
            return []
        ids = np.array(sorted(accounts), np.int64)
        wanted = book.rows_of(ids)
        wanted = wanted[wanted >= 0]
        shared = any(book.shared_by(row) for row in wanted.tolist())
        if only_final and not shared:
            return [key for account in ids.tolist() for key in self._finals_of.get(account, ())
                    if self._is_final(key) and self._account(key) == account]  # not one that has its key since
        owners, places = np.empty(len(self), np.int64), np.empty(len(self), np.int64)
        count = k.accounts_nb(self._rows, self._scalars, only_final, owners, places)
        owners, places = owners[:count], places[:count]
        concerned = np.isin(owners, ids)
        if shared:  # to find every session's account in the book takes a hundred times as long
            rows = book.rows_of(owners)
            concerned |= np.isin(np.where(rows >= 0, book.profile[rows, F_SHARED], -1), wanted)
        chosen = places[concerned]
        return list(zip(self._rows[chosen, k.HI].tolist(), self._rows[chosen, k.LO].tolist(), strict=True))

    def save(self) -> None:
        """Keep those with final units, if any has changed, and nothing else; returns when they are."""
        if self._log is None:
            return
        self._log.settle()
        if self._news or self._scalars[k.LOST_FINALS]:
            self._forget_ended()
            self._log.rewrite([self._line(key) for key in self._finals])
            self._news.clear()

    def save_behind(self) -> None:
        """Begin to keep what has changed, unless that is still done with what came before. Raises what went wrong."""
        if self._log is None or self._log.busy:
            return
        if self._scalars[k.LOST_FINALS] > _ENDED + len(self._finals) // 4:
            self._forget_ended()
        if self._news:
            self._log.add([self._line(key) for key in self._news], len(self._finals))
            self._news.clear()

    def _line(self, key: Key) -> bytes:
        if not self._is_final(key):
            return line_of(key, ABSENT, (b"", b"", b""), ())
        each = self[key]
        return line_of(key, each.account_id, (each.session, each.host, each.realm), sorted(each.finals))

    def _note(self, news: list[tuple[Key, int, bool, bool]]) -> None:
        """(session, rating group, whether it was final, whether it is the first note of its session), of rows that say
        FINAL; where a row does not, its session has ended since, and another has its key."""
        touched = dict[Key, set[int]]()
        for key, group, final, first in news:
            if self._is_final(key):
                groups = touched[key] = self._finals.setdefault(key, set())
                self._finals_of.setdefault(self._account(key), set()).add(key)
                if first:  # what is there is of an earlier session
                    groups.clear()
                if final:
                    groups.add(group)
                else:
                    groups.discard(group)
        for key, groups in touched.items():
            if not groups:
                del self._finals[key]
                self._forget(self._account(key), key)
                self._rows[self._row(key), k.STATE] = k.OPEN
        self._news |= dict.fromkeys(touched)

    def _is_final(self, key: Key) -> bool:
        place = self._place(key)
        return place >= 0 and bool(self._rows[self._index[place] - 1, k.STATE] & k.FINAL)

    def _forget_ended(self) -> None:
        if self._scalars[k.LOST_FINALS]:
            self._scalars[k.LOST_FINALS] = 0
            for account in tuple(self._finals_of):
                for key in tuple(self._finals_of[account]):
                    if not self._is_final(key) or self._account(key) != account:
                        self._forget(account, key)
            ended = [key for key in self._finals if not self._is_final(key)]
            for key in ended:
                del self._finals[key]
            self._news |= dict.fromkeys(ended)

    def _forget(self, account: int, key: Key) -> None:
        keys = self._finals_of[account]
        keys.discard(key)
        if not keys:
            del self._finals_of[account]

    def _account(self, key: Key) -> int:
        return int(self._rows[self._row(key), k.ACCOUNT])

    def _place(self, key: Key) -> int:
        return int(k.place_nb(self._index, self._rows, *key))

    def _row(self, key: Key) -> int:
        place = self._place(key)
        if place < 0:
            raise KeyError(key)
        return int(self._index[place]) - 1


def _texts(*texts: bytes) -> tuple[U8, int, int, int]:
    """A buffer, and references into it."""
    if max(map(len, texts)) > _MOST_OCTETS:
        raise ValueError(f"a text of {max(map(len, texts))} octets; at most {_MOST_OCTETS:,} fit")
    references, at = [], 0
    for text in texts:
        references.append(at << 16 | len(text) if text else ABSENT)
        at += len(text)
    session, host, realm = references
    return np.frombuffer(b"".join(texts), np.uint8) if at else _NO_TEXTS, session, host, realm
