"""Plain updates and releases, a block at a time: read, asked and answered with a few kernels and one call of the node.

What is not plain is handed back, to go the way of everything else, request by request (`charging`). Both ways come to
the same rows and the same octets; tests hold them to that.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mediation.tokens import Sightings
from pipelines.nchf import fields
from pipelines.nchf.answers import RESULTS, Speaker, problem
from pipelines.nchf.kernels import block, plain, say
from pipelines.nchf.kernels import places as p
from pipelines.nchf.limits import Limits
from pipelines.nchf.messages import encode
from pipelines.nchf.problems import SYSTEM_FAILURE, ProblemError
from schemas import online
from schemas.codes import Service
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.online import ANSWER, REQUEST, FinalAction, RequestKind
from schemas.parties import PARTIES

if TYPE_CHECKING:
    from pipelines.nchf.charging import Charging

MOST = 512  # bodies read in one pass
_ANSWERED = [ANSWER.index(name) for name in ("message_code", "result_code", "granted", "final_action", "validity_s",
                                             "threshold", "holding_s", "change_us")]
_UPDATE = int(RequestKind.UPDATE)
_OTHER_RESULT = "END_USER_SERVICE_REJECTED"
_NUMBER = 20  # letters of the longest
_TIME = len("2026-01-01T00:00:00.000Z")


class Asker(Protocol):
    """Who asked, and how it is told. consumer: by the gate. reference: 22 letters of ASCII."""

    kind: int
    consumer: str
    reference: str

    def said(self, body: bytes | None) -> None:
        """It was charged; no body: released."""

    def refused(self, error: ProblemError) -> None:
        """It was not."""


@dataclass
class Read:
    """A block as it was read. taken: places of the messages that were plain; kinds: of those."""

    text: bytes
    octets: U8
    messages: I64
    units: I64
    taken: I64
    rows: int


class Reader:
    """Bodies to numbers; room to work in is kept from block to block."""

    def __init__(self, limits: Limits) -> None:
        made = fields.tables()
        self._tables = made.fields, made.slots, made.nodes, made.pool, made.words, made.codes
        self._limits = np.array([limits.units, limits.containers], np.int64)
        self._stack = np.empty((plain.DEPTH, plain.STACK), np.int64)
        self._keys, self._now = np.empty(plain.KEYS, np.int64), np.empty(p.PLACES, np.int64)

    def read(self, references: Sequence[str], bodies: Sequence[bytes], homes: I64) -> Read:
        """What the bodies say; each belongs to a reference."""
        text = b"\0".join(bodies) + b"\0"
        octets = np.frombuffer(text, np.uint8)
        count = len(bodies)
        letters = np.frombuffer("".join(references).encode("ascii"), np.uint8)
        units = np.empty((text.count(b'"ratingGroup"'), p.UNIT), np.int64)
        messages, taken = np.empty((count, p.MESSAGE), np.int64), np.empty(count + 1, np.int64)
        plain_ones = block.read_nb(octets, np.fromiter(map(len, bodies), np.int64, count), letters, *self._tables,
                                   self._limits, homes, self._stack, self._keys, self._now, units, messages, taken)
        return Read(text, octets, messages, units, taken[:plain_ones], int(taken[count]))


class Writer:
    """Answers to octets, as a `Speaker` would have said them."""

    def __init__(self, speaker: Speaker) -> None:
        pieces = [b'{"invocationTimeStamp":"',
                  _within(encode(speaker.common(int(Service.DATA)))), b',"multipleUnitInformation":[',
                  b'{"ratingGroup":', b',"resultCode":"', b',"grantedUnit":{', b'"tariffTimeChange":"', b'",',
                  b'"totalVolume":', b'"time":', b'"serviceSpecificUnits":', b"}", b',"validityTime":',
                  b',"quotaHoldingTime":',
                  b',"finalUnitIndication":', b',"timeQuotaThreshold":', b',"volumeQuotaThreshold":',
                  b',"unitQuotaThreshold":', b',"uPFID":"', b'"', b"]", b",",
                  b'","invocationSequenceNumber":']
        assert len(pieces) == say.PIECES
        words = [*RESULTS.items(), (ABSENT, _OTHER_RESULT)]
        self._results = np.array([[code, len(pieces) + row] for row, (code, _) in enumerate(words)], np.int64)
        pieces += [word.encode() for _, word in words]
        self._finals = np.full(max(FinalAction) + 1, ABSENT, np.int64)
        for action in FinalAction:
            said = speaker.final(int(Service.DATA), int(action))
            if said is not None:
                self._finals[action] = len(pieces)
                pieces.append(encode(said))
        self._places = np.cumsum([0, *map(len, pieces)]).astype(np.int64)
        self._pool = np.frombuffer(b"".join(pieces), np.uint8)
        self._message = sum(map(len, pieces[:3])) + len(pieces[say.NUMBER]) + len("]}") + _NUMBER + _TIME
        self._unit = sum(map(len, pieces[3:])) + len(pieces[7]) * 4 + 7 * _NUMBER + 130

    def write(self, read: Read, taken: I64, first: I64, answers: Cells) -> tuple[bytes, list[int]]:
        """Bodies one behind the other, and where each ends."""
        out = np.empty(len(taken) * self._message + len(answers) * self._unit, np.uint8)
        ends = np.empty(len(taken), np.int64)
        say.say_nb(read.octets, read.messages, read.units, taken, first, answers.matrix[_ANSWERED], self._pool,
                   self._places, self._results, self._finals, out, ends)
        return out[:ends[-1]].tobytes(), ends.tolist()


def _within(said: bytes) -> bytes:
    """Fields of an answer behind its number, from an answer to the number 0."""
    return said[said.index(b'"invocationSequenceNumber":0') + len(b'"invocationSequenceNumber":0'):-1]


def _updates_of(askers: Sequence[Asker]) -> dict[str, int]:
    """How many updates are whose."""
    return Counter([each.consumer for each in askers if each.kind == _UPDATE])


class Blocks:
    """Takes what is plain of a block, and sees to its answers. All calls in the node's event loop."""

    def __init__(self, charging: "Charging") -> None:
        """charging: of which this is the fast way."""
        self._charging, self._ticks = charging, charging.ticks
        self._reader = Reader(charging.limits)
        self._homes, self._home_of = np.empty(0, np.int64), object()
        self._writer: Writer | None = None
        self._speaker: Speaker | None = None

    def take(self, askers: Sequence[Asker], bodies: Sequence[bytes]) -> list[int]:
        """Ask the node what is plain; returns places of what is not, of whom nobody has been told anything."""
        if len(bodies) > MOST:
            return self.take(askers[:MOST], bodies[:MOST]) + [
                MOST + place for place in self.take(askers[MOST:], bodies[MOST:])]
        read = self._reader.read([each.reference for each in askers], bodies, self._home_networks())
        left = [] if len(read.taken) == len(bodies) else np.setdiff1d(np.arange(len(bodies)), read.taken).tolist()
        chosen = self._let_in(askers, read)
        if chosen:
            self._ticks.begin(self._serve(read, chosen))
        return left

    def _home_networks(self) -> I64:
        operator = self._charging.node.reference.operator
        if operator is not self._home_of:
            self._homes, self._home_of = np.array(operator.home_plmn_numbers, np.int64), operator
        return self._homes

    def _let_in(self, askers: Sequence[Asker], read: Read) -> list[Asker]:
        """Those of the taken for whom there is room; the others are told, and are no longer taken."""
        gate, places = self._charging.gate, read.taken.tolist()
        chosen = list(askers) if len(places) == len(askers) else [askers[place] for place in places]
        room, short = _updates_of(chosen), False
        for consumer, count in room.items():
            room[consumer] = gate.enter_some(RequestKind.UPDATE, consumer, count)
            short = short or room[consumer] < count
        if not short:
            return chosen
        among, chosen, kept = chosen, [], []
        for place, asker in zip(places, among, strict=True):
            if asker.kind == _UPDATE:
                room[asker.consumer] -= 1
                if room[asker.consumer] < 0:
                    try:
                        gate.enter(RequestKind.UPDATE, asker.consumer)
                    except ProblemError as error:
                        asker.refused(error)
                        continue
            chosen.append(asker)
            kept.append(place)
        if len(kept) < len(places):
            counts = read.messages[kept, p.M_UNITS]
            read.taken, read.rows = np.array(kept, np.int64), int(np.maximum(counts, 1).sum())
        return chosen

    async def _serve(self, read: Read, chosen: list[Asker]) -> None:
        try:
            cells, sightings, first = self._rows(read, chosen)
            answers = await self._ticks.answers(cells, sightings)
            self._tell(read, chosen, cells, first, answers)
        except Exception:  # whether it charged is not known: nobody is told that it did, and all ask again
            for each in chosen:
                each.refused(ProblemError(500, SYSTEM_FAILURE))
        finally:
            for consumer, count in _updates_of(chosen).items():
                self._charging.gate.leave(consumer, count)

    def _rows(self, read: Read, chosen: list[Asker]) -> tuple[Cells, Sightings, I64]:
        """REQUEST rows, numbers met first, and the first row of each message."""
        node, columns, text = self._charging.node, self._ticks.columns, read.text
        apns = [columns.label_of(text[at >> 16:(at >> 16) + (at & 0xFFFF)]) if at != ABSENT else ABSENT
                for at in read.messages[read.taken, p.M_DNN].tolist()]
        cells, parties = Cells.empty(REQUEST, read.rows), np.empty((len(PARTIES), read.rows), np.int64)
        first = np.empty(len(chosen), np.int64)
        block.rows_nb(read.messages, read.units, read.taken, np.array([each.kind for each in chosen], np.int64),
                      np.array(apns, np.int64), columns.source, cells.matrix, parties, first)
        return cells, columns.identified(cells, parties, read.octets, node.reference), first

    def _tell(self, read: Read, chosen: list[Asker], cells: Cells, first: I64, answers: Cells) -> None:
        charging = self._charging
        speaker = charging.speaker
        if self._writer is None or speaker is not self._speaker:
            self._writer, self._speaker = Writer(speaker), speaker
        bodies, ends = self._writer.write(read, read.taken, first, answers)
        self._remember(read, chosen, cells, first, answers)
        begin = 0
        for each, end, code in zip(chosen, ends, answers["message_code"][first].tolist(), strict=True):
            if code != online.SUCCESS:
                each.refused(problem(code))
            else:
                each.said(bodies[begin:end] if each.kind == _UPDATE else None)
            begin = end

    def _remember(self, read: Read, chosen: list[Asker], cells: Cells, first: I64, answers: Cells) -> None:
        """Where sessions are called, and which of their groups had their final units: as `Callbacks` is told."""
        known, messages = self._charging.callbacks.known, read.messages[read.taken]
        hi, lo = (np.ascontiguousarray(messages[:, place]) for place in (p.M_HI, p.M_LO))
        updates = np.array([each.kind == _UPDATE for each in chosen], np.bool_)
        good = updates & (answers["message_code"][first] == online.SUCCESS)
        known.called(hi, lo, cells["account_id"][first], read.octets, np.where(good, messages[:, p.M_URI], ABSENT))
        final = answers["final_action"] > 0
        if known.waiting or final.any():
            for place in np.flatnonzero(good).tolist():
                key = int(hi[place]), int(lo[place])
                if key in known:
                    for row in range(int(first[place]), int(first[place]) + int(messages[place, p.M_UNITS])):
                        known.note(key, int(cells["rating_group"][row]), bool(final[row]))
        for place in np.flatnonzero(~updates).tolist():
            known.end((int(hi[place]), int(lo[place])))
