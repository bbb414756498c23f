"""By whom open sessions are held, so that a gateway can be told to ask again, or to end one.

No money hangs on it: a session that is missing here is told nothing and asks by itself. Those whose final units were
granted are kept over a restart, in the home, since they may wait for a top-up for long.

Sessions are rows of arrays (`kernels/sessions.py`): an object for each would be a kilobyte, and Python's collector
would walk all of them again and again. Memory is reserved for `most` and used as sessions come.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.durable import Disk, replace_file
from pipelines.serve.kernels import sessions as k
from rating.book import BalanceBook
from rating.kernels.layout import F_SHARED
from schemas.columns import ABSENT, I64, U8, Cells

MOST = 500_000  # sessions; beyond, the oldest is let go
_BLOCKS_EACH = 8  # of the octets of texts, for so many sessions at most; beyond, the oldest is let go
_MOST_OCTETS = (1 << 16) - 1  # of one text
_NO_TEXTS: U8 = np.zeros(0, np.uint8)
Key = tuple[int, int]


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
        self._path, self._disk = path, disk or Disk()
        blocks = max(_BLOCKS_EACH * most, 3 * _MOST_OCTETS // k.OCTETS + 1)
        self._index = np.zeros(1 << (2 * most).bit_length(), np.int32)
        self._rows = np.empty((most, k.COLUMNS), np.int64)
        self._blocks, self._links = np.empty(blocks * k.OCTETS, np.uint8), np.empty(blocks, np.int32)
        self._scalars = np.zeros(k.SCALARS, np.int64)
        self._scalars[[k.OLDEST, k.NEWEST, k.FREE_ROW, k.FREE_BLOCK]] = k.NONE
        self._scalars[k.FREE_BLOCKS] = blocks
        self._noted = np.empty(1024, np.int64)
        self._finals: dict[Key, set[int]] = {}  # counts where the row says FINAL: others have ended since
        self._changed = False
        if path is not None and self._disk.exists(path):
            for line in self._disk.read(path).decode().splitlines():
                hi, lo, account, *texts, finals = json.loads(line)
                self.begin((hi, lo), account, *(t.encode("latin-1") for t in texts))
                for group in finals:
                    self.note((hi, lo), group, True)
            self._changed = False

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
        if only_final:
            self._forget_ended()
            places = np.array([self._row(key) for key in self._finals], np.int64)
            owners = self._rows[places, k.ACCOUNT]
        else:
            owners, places = np.empty(len(self), np.int64), np.empty(len(self), np.int64)
            k.accounts_nb(self._rows, self._scalars, owners, places)
        if not owners.size:
            return []
        wanted = book.rows_of(np.array(sorted(accounts), np.int64))
        wanted = wanted[wanted >= 0]
        rows = book.rows_of(owners)
        shared = np.where(rows >= 0, book.profile[rows, F_SHARED], -1)
        chosen = places[np.isin(rows, wanted) | np.isin(shared, wanted)]
        return list(zip(self._rows[chosen, k.HI].tolist(), self._rows[chosen, k.LO].tolist(), strict=True))

    def save(self) -> None:
        """Keep those with final units, if any has changed."""
        if self._path is None or not (self._changed or self._scalars[k.LOST_FINALS]):
            return
        self._forget_ended()
        lines = []
        for key in self._finals:
            each = self[key]
            lines.append(json.dumps([*key, each.account_id, *(t.decode("latin-1") for t in (
                each.session, each.host, each.realm)), sorted(each.finals)]))
        self._disk.make_dir(self._path.parent)
        replace_file(self._disk, self._path, "".join(f"{line}\n" for line in lines).encode())
        self._changed = False

    def _note(self, news: list[tuple[Key, int, bool, bool]]) -> None:
        """(session, rating group, whether it was final, whether it is the first note of its session), of rows that say
        FINAL; where a row does not, its session has ended since, and another has its key."""
        touched = dict[Key, set[int]]()
        for key, group, final, first in news:
            if self._is_final(key):
                groups = touched[key] = self._finals.setdefault(key, set())
                if first:  # what is there is of an earlier session
                    groups.clear()
                if final:
                    groups.add(group)
                else:
                    groups.discard(group)
        for key, groups in touched.items():
            if not groups:
                del self._finals[key]
                self._rows[self._row(key), k.STATE] = k.OPEN
        self._changed = True

    def _is_final(self, key: Key) -> bool:
        place = self._place(key)
        return place >= 0 and bool(self._rows[self._index[place] - 1, k.STATE] & k.FINAL)

    def _forget_ended(self) -> None:
        if self._scalars[k.LOST_FINALS]:
            self._scalars[k.LOST_FINALS] = 0
            self._finals = {key: groups for key, groups in self._finals.items() if self._is_final(key)}
            self._changed = True

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
