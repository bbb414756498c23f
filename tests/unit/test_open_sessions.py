"""Open sessions, held to a dictionary of them; and what of them a restart finds."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.diameter.columns import MESSAGE
from pipelines.nchf.sessions import Callbacks
from pipelines.serve import final_units, open_sessions
from pipelines.serve.kernels.gy import R_MESSAGE, ROUTE
from pipelines.serve.open_sessions import OpenSession, OpenSessions
from rating.kernels.layout import F_SHARED
from schemas.columns import ABSENT, Cells
from schemas.online import ANSWER, REQUEST, RequestKind

KEYS = [(7 * i - 3, (i << 40) - i) for i in range(12)]


@dataclass
class Model:
    """What it should be: sessions in the order in which they began."""

    most: int
    known: dict[Any, OpenSession] = field(default_factory=dict)
    finals: dict[Any, set[int]] = field(default_factory=dict)

    def end(self, key: Any) -> None:
        self.known.pop(key, None)
        self.finals.pop(key, None)

    def row(self, kind: int, key: Any, code: int, final: bool, group: int, about: OpenSession) -> None:
        if kind == RequestKind.TERMINATION:
            self.end(key)
        elif kind != RequestKind.EVENT and (code in (2001, 2002) or final):
            if key not in self.known:
                self.known[key] = about
                if len(self.known) > self.most:
                    self.end(next(iter(self.known)))
            if final:
                self.finals.setdefault(key, set()).add(group)
            elif key in self.finals:
                self.finals[key].discard(group)
                if not self.finals[key]:
                    del self.finals[key]

    def all(self) -> dict[Any, OpenSession]:
        return {key: OpenSession(one.account_id, one.session, one.host, one.realm,
                                 frozenset(self.finals.get(key, ()))) for key, one in self.known.items()}


class Book:
    """Account n is row n, and shares with n + 100 where that is even."""

    profile = np.full((300, F_SHARED + 1), -1, np.int64)
    profile[:100:2, F_SHARED] = np.arange(100, 200, 2)

    def __len__(self) -> int:
        return 300

    @staticmethod
    def shared_by(row: int) -> int:
        return int(100 <= row < 200 and row % 2 == 0)

    @staticmethod
    def rows_of(accounts: Any) -> Any:
        return np.asarray(accounts, np.int64)


def tick(rows: list[tuple[int, Any, int, bool, int, OpenSession]]) -> tuple[Cells, Cells, Cells, Any, Any]:
    """Rows as a front end has them, the message of each its own and in another order."""
    n = len(rows)
    messages, requests, answers = (Cells.empty(c, n, fill=-1) for c in (MESSAGE, REQUEST, ANSWER))
    route, buffer = np.full((ROUTE, n), -1, np.int64), bytearray(b"\xff")
    for row, (kind, key, code, final, group, about) in enumerate(rows):
        m = route[R_MESSAGE, row] = n - 1 - row
        for name, text in (("session_text", about.session), ("origin_host_text", about.host),
                           ("origin_realm_text", about.realm)):
            messages[name][m] = len(buffer) << 16 | len(text)
            buffer += text
        requests["session_hi"][row], requests["session_lo"][row] = key
        requests["kind"][row], requests["account_id"][row] = kind, about.account_id
        requests["rating_group"][row] = group
        answers["message_code"][row], answers["final_action"][row] = code, int(final)
    return messages, requests, answers, route, np.frombuffer(bytes(buffer), np.uint8)


@pytest.mark.parametrize("seed", range(40))
def test_they_are_those_that_a_dictionary_would_have(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    most = draw.choice([1, 3, 8, 50])
    sessions, model = OpenSessions(tmp_path / "final", most=most), Model(most)
    for _ in range(60):
        rows = []
        for _ in range(draw.randrange(1, 12)):
            about = OpenSession(draw.randrange(100), draw.randbytes(draw.choice([0, 1, 31, 32, 33, 100, 3000])),
                                draw.randbytes(draw.randrange(40)), b"realm", frozenset())
            rows.append((draw.choice([0, 1, 1, 1, 2, 3]), draw.choice(KEYS), draw.choice([2001, 2001, 4012, 5030]),
                         draw.random() < 0.2, draw.randrange(3), about))
        sessions.keep(*tick(rows))
        for row in rows:
            model.row(*row)
        assert len(sessions) == len(model.known)
        assert {key: sessions[key] for key in KEYS if key in sessions} == model.all()
        wanted = {draw.randrange(100), 100 + 2 * draw.randrange(50)}
        for only_final in (False, True):
            expected = {key for key, one in model.known.items() if (key in model.finals or not only_final) and (
                one.account_id in wanted or (one.account_id % 2 == 0 and one.account_id + 100 in wanted))}
            found = sessions.of(wanted, Book(), only_final)  # type: ignore[arg-type]
            assert set(found) == expected and len(found) == len(expected)
        if draw.random() < 0.3:
            draw.choice((sessions.save, sessions.save_behind))()
    sessions.save()
    again = OpenSessions(tmp_path / "final", most=most)
    assert {key: again[key] for key in KEYS if key in again} == {
        key: one for key, one in model.all().items() if one.finals}


def test_texts_of_any_length_take_the_place_of_the_oldest_and_no_more(tmp_path: Path) -> None:
    sessions = OpenSessions(most=100)
    for i in range(200):
        sessions.begin((i, i), i, bytes([i]) * 60_000, b"h" * (i % 70), b"r")
        assert sessions[i, i] == OpenSession(i, bytes([i]) * 60_000, b"h" * (i % 70), b"r", frozenset())
    kept = [i for i in range(200) if (i, i) in sessions]
    assert kept == list(range(200 - len(kept), 200)) and 1 <= len(kept) < 5
    for i in range(300, 400):
        sessions.begin((i, i), i, b"short", b"", b"")
    assert len(sessions) == 100 and sessions[399, 399].session == b"short"
    with pytest.raises(ValueError, match="65,535"):
        sessions.begin((1, 1), 1, b"x" * 65_536, b"", b"")
    with pytest.raises(KeyError):
        sessions[-5, -5]


def test_a_session_moves_with_what_is_known_of_it() -> None:
    sessions = OpenSessions()
    sessions.begin((1, 2), 7, b"", b"http://a", b"")
    sessions.note((1, 2), 10, True)
    sessions.move((1, 2), b"http://somewhere/else")
    assert sessions[1, 2] == OpenSession(7, b"", b"http://somewhere/else", b"", frozenset({10}))
    sessions.note((1, 2), 10, False)
    assert sessions[1, 2].finals == frozenset()


def test_callbacks_use_the_sessions_that_they_were_given_although_there_are_none_yet() -> None:
    sessions = OpenSessions()
    assert Callbacks(sessions).known is sessions


def test_keys_that_others_chose_are_spread() -> None:
    """References that count in one part of them would otherwise stand in one long row."""
    sessions = OpenSessions()
    count = 20_000
    lo = np.arange(count, dtype=np.int64) << 32
    hosts = np.full(count, len(b"smf") | 0, np.int64)
    same = np.full(count, 7, np.int64)
    sessions.called(same, lo, same, np.frombuffer(b"smf", np.uint8), hosts)
    assert len(sessions) == count and sessions[(7, 5 << 32)].host == b"smf"
    taken = np.flatnonzero(sessions._index)
    runs = np.diff(np.flatnonzero(np.diff(taken, prepend=-9, append=taken[-1] + 9) != 1))
    assert runs.max() < 200


def test_a_block_says_where_sessions_are_called() -> None:
    sessions = OpenSessions()
    texts = np.frombuffer(b"http://onehttp://two", np.uint8)
    one, two = 10, 10 << 16 | 10
    key = np.array([1, 2, 3], np.int64), np.array([5, 6, 7], np.int64)
    sessions.called(*key, np.array([11, 12, 13], np.int64), texts, np.array([one, ABSENT, two], np.int64))
    assert len(sessions) == 2 and (2, 6) not in sessions
    sessions.note((1, 5), 10, True)
    sessions.called(*key, np.array([99, 12, 13], np.int64), texts, np.array([two, one, two], np.int64))
    moved = sessions[(1, 5)]
    assert (moved.account_id, moved.host, moved.finals) == (11, b"http://two", frozenset({10}))
    assert sessions[(2, 6)].host == b"http://one" and len(sessions) == 3 and sessions.waiting


def finals_of(path: Path) -> dict[int, frozenset[int]]:
    again = OpenSessions(path)
    return {n: again[n, n].finals for n in range(1000) if (n, n) in again}


def test_what_changes_is_added_behind_and_read_again(tmp_path: Path) -> None:
    sessions = OpenSessions(tmp_path / "final")
    for n in range(5):
        sessions.begin((n, n), n, b"s%d" % n, b"h", b"r")
        sessions.note((n, n), 10, True)
    kept(sessions)
    sessions.note((1, 1), 20, True)
    sessions.note((2, 2), 10, False)
    kept(sessions)
    assert finals_of(tmp_path / "final") == {0: {10}, 1: {10, 20}, 3: {10}, 4: {10}}


@pytest.mark.parametrize("torn", [b'[7, 7, 1, "torn', bytes(40), b"\xff", b"7\n", b"[1, 2]\n"])
def test_what_a_power_cut_has_spoilt_is_left_out_and_harms_nothing_behind_it(tmp_path: Path, torn: bytes) -> None:
    sessions = OpenSessions(tmp_path / "final")
    for n in (3, 4):
        sessions.begin((n, n), n, b"s", b"h", b"r")
        sessions.note((n, n), 10, True)
    kept(sessions)
    with (tmp_path / "final").open("ab") as file:
        file.write(torn)
    again = OpenSessions(tmp_path / "final")
    again.note((3, 3), 20, True)
    kept(again)  # behind what was torn
    assert finals_of(tmp_path / "final") == {3: {10, 20}, 4: {10}}


def test_the_file_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(final_units, "_SPARE", 20)
    sessions = OpenSessions(tmp_path / "final")
    sessions.begin((1, 1), 1, b"s", b"h", b"r")
    for n in range(200):
        sessions.note((1, 1), n, True)
        kept(sessions)
        assert (tmp_path / "final").read_bytes().count(b"\n") <= 25
    assert finals_of(tmp_path / "final") == {1: set(range(200))}


def test_those_that_ended_are_found_out_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_sessions, "_ENDED", 3)
    sessions = OpenSessions(tmp_path / "final")
    for n in range(10):
        sessions.begin((n, n), n, b"s", b"h", b"r")
        sessions.note((n, n), 10, True)
    kept(sessions)
    for n in range(8):
        sessions.end((n, n))
    kept(sessions)
    assert finals_of(tmp_path / "final") == {8: {10}, 9: {10}}


def test_who_has_the_key_of_one_that_ended_is_not_taken_for_it() -> None:
    sessions = OpenSessions()
    for account in (3, 5):
        sessions.begin((1, 1), account, b"s", b"h", b"r")
        sessions.note((1, 1), 10, True)
    found = [sessions.of({account}, Book(), True) for account in (3, 5)]  # type: ignore[arg-type]
    assert found == [[], [(1, 1)]]


def kept(sessions: OpenSessions) -> None:
    """Added behind, and waited for."""
    sessions.save_behind()
    assert sessions._log is not None
    sessions._log.settle()
