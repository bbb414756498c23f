"""Columns to octets: answers to what was parsed, and requests of our own."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from pipelines.diameter.columns import ANSWER, GRANT, REPORT, REQUEST, UNIT
from pipelines.diameter.kernels.check import ascending_nb, fill_nb, texts_nb
from pipelines.diameter.kernels.encode import encode_answers_nb, encode_requests_nb
from pipelines.diameter.results import Result
from schemas.columns import ABSENT, I64, U8, Cells, ColumnSet
from schemas.errors import InvariantError

NO_TEXTS: U8 = np.zeros(0, np.uint8)
_ZERO = frozenset({"granted", "granted_money_digits", "granted_money_exponent", "cost_digits", "cost_exponent",
                   "balance_digits", "balance_exponent", "pool_digits", "pool_exponent"})


def _rows(columns: ColumnSet, names: Iterable[str]) -> I64:
    """Rows of the matrix that some columns are."""
    return np.array([columns.index(n) for n in names], np.int64)


_USUAL = {columns.name: np.array([0 if n in _ZERO else ABSENT for n in columns.names], np.int64)
          for columns in (ANSWER, GRANT)}
_TEXTS = {columns.name: _rows(columns, (n for n in columns.names if n.endswith("_text")))
          for columns in (ANSWER, GRANT, REPORT, REQUEST)}
_FAILED = _rows(ANSWER, ("failed_avp",))


def answers(rows: int, result_code: int = Result.SUCCESS) -> Cells:
    """Answers that say nothing but a result code."""
    cells = _usual(ANSWER, rows)
    cells["result_code"] = result_code
    return cells


def grants(rows: int) -> Cells:
    """Services that say nothing yet; set message_row, ascending."""
    return _usual(GRANT, rows)


def reports(rows: int) -> Cells:
    """Status of policy counters, to be filled; set message_row, ascending."""
    return Cells.empty(REPORT, rows, fill=ABSENT)


def requests(rows: int) -> Cells:
    """Requests of our own, to be filled."""
    return Cells.empty(REQUEST, rows, fill=ABSENT)


def _usual(columns: ColumnSet, rows: int) -> Cells:
    cells = Cells.empty(columns, rows)
    fill_nb(_USUAL[columns.name], cells.matrix)
    return cells


class Texts:
    """Texts that answers refer to: each once, given as a reference."""

    def __init__(self) -> None:
        self._octets, self._known = bytearray(), dict[bytes, int]()

    def add(self, text: str | bytes) -> int:
        """Reference to a text of at most 65,535 octets."""
        octets = text.encode() if isinstance(text, str) else text
        if len(octets) > 0xFFFF:
            raise ValueError(f"a text of {len(octets)} octets; at most 65,535 fit")
        if octets not in self._known:
            self._known[octets] = len(self._octets) << 16 | len(octets)
            self._octets += octets
        return self._known[octets]

    def array(self) -> U8:
        """All of them, as kernels want them."""
        return np.frombuffer(bytes(self._octets), np.uint8)


def shifted(cells: Cells, octets: int) -> Cells:
    """A copy whose texts stand so much further behind."""
    copied = Cells(cells.columns, cells.matrix.copy())
    places = _TEXTS[cells.columns.name]
    some = copied.matrix[places]
    copied.matrix[places] = np.where(some == ABSENT, some, some + (octets << 16))
    return copied


@dataclass(frozen=True)
class Answers:
    """What a handler returns: one row of `messages` for each message, and services and reports of them in order."""

    messages: Cells
    grants: Cells = field(default_factory=lambda: grants(0))
    reports: Cells = field(default_factory=lambda: reports(0))
    texts: U8 = field(default_factory=lambda: NO_TEXTS)


@dataclass(frozen=True)
class Encoded:
    """A send buffer, and where in it each message begins and how long it is: places (n, 2)."""

    buffer: U8
    places: I64

    @property
    def octets(self) -> memoryview:
        """The buffer, as sockets take it."""
        return self.buffer.data


def identity_avps(host: str, realm: str) -> U8:
    """Origin-Host and Origin-Realm as they stand in every message of ours."""
    made = b""
    for code, text in ((264, host), (296, realm)):
        octets = text.encode("ascii")
        made += code.to_bytes(4, "big") + b"\x40" + (8 + len(octets)).to_bytes(3, "big") + octets
        made += bytes(-len(octets) % 4)
    return np.frombuffer(made, np.uint8)


def encode_answers(buffer: U8, messages: Cells, units: Cells, given: Answers, identity: U8,
                   origin_state_id: int = ABSENT) -> Encoded:
    """Answers to `messages` and `units` as parsed from `buffer`, in one send buffer.

    Raises InvariantError: another number of answers than of messages, rows out of order or out of range, a reference
    that leaves its texts.
    """
    count = len(messages)
    if len(given.messages) != count:
        raise InvariantError(f"{len(given.messages)} answers to {count} messages")
    _check_rows(given.grants, count)
    _check_rows(given.reports, count)
    units_of = given.grants["unit_row"]
    if len(units_of) and (units_of.max() >= len(units) or units_of.min() < ABSENT):
        raise InvariantError("a grant names a row of units that is not there")
    written = _check_texts(given.messages, given.texts.size)
    written += _check_texts(given.grants, given.texts.size)
    written += _check_texts(given.reports, given.texts.size)
    written += _check_texts(given.messages, buffer.size, _FAILED)
    room = (320 + identity.size) * count + 420 * len(given.grants) + 90 * len(given.reports) + written
    room += int((messages["session_text"] & 0xFFFF).sum())
    places = np.empty((count, 2), np.int64)
    while True:
        out = np.empty(room, np.uint8)
        needed = encode_answers_nb(buffer, messages.matrix, units.matrix, given.messages.matrix, given.grants.matrix,
                                   given.reports.matrix, given.texts, identity, origin_state_id, out, places)
        if needed <= room:
            return Encoded(out[:needed], places)
        room = needed  # long Failed-AVPs, Proxy-Infos or Service-Identifiers


def encode_requests(given: Cells, texts: U8, identity: U8, origin_state_id: int = ABSENT,
                    status: Cells | None = None) -> Encoded:
    """RAR, ASR and SNR in one send buffer. Raises InvariantError as `encode_answers` does."""
    status = reports(0) if status is None else status
    _check_rows(status, len(given))
    if (given["session_text"] < 0).any() or (given["destination_realm_text"] < 0).any():
        raise InvariantError("a request has no session or no realm to go to")
    written = _check_texts(given, texts.size) + _check_texts(status, texts.size)
    places = np.empty((len(given), 2), np.int64)
    out = np.empty((160 + identity.size) * len(given) + 90 * len(status) + written, np.uint8)
    needed = encode_requests_nb(given.matrix, status.matrix, texts, identity, origin_state_id, out, places)
    if needed > out.size:
        raise InvariantError(f"requests of {needed} octets in room for {out.size}")
    return Encoded(out[:needed], places)


def no_units() -> Cells:
    """For messages that have none."""
    return Cells.empty(UNIT)


def _check_rows(cells: Cells, count: int) -> None:
    if not ascending_nb(cells["message_row"], count):
        raise InvariantError(f"{cells.columns.name}: rows of messages are not ascending within {count}")


def _check_texts(cells: Cells, size: int, rows: I64 | None = None) -> int:
    """Octets that the references of some columns (of all texts) mean, headers and padding included."""
    octets = int(texts_nb(cells.matrix, _TEXTS[cells.columns.name] if rows is None else rows, size))
    if octets < 0:
        raise InvariantError(f"{cells.columns.name}: a reference leaves its texts of {size} octets")
    return octets
