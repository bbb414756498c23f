"""Parties of requests in real time, by the one kernel, are those that records get from a kernel for each step."""

import random
from pathlib import Path

import numpy as np

from mediation.memory import Lexicon
from mediation.normalise import parties_of
from mediation.online import identify
from mediation.tokens import Sightings
from schemas.codes import Direction, NumberType
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.decoded import DECODED
from schemas.digits import pack
from schemas.online import REQUEST
from schemas.parties import PARTIES
from tests.small_operator import TOKEN_KEY, Reference


def made(chance: random.Random, rows: int) -> tuple[Cells, I64, U8]:
    """Requests with direction and time, their parties, and the texts of those."""
    requests, parties = Cells.empty(REQUEST, rows, fill=ABSENT), np.full((len(PARTIES), rows), ABSENT, np.int64)
    buffer = bytearray()
    for row in range(rows):
        requests["direction"][row] = chance.choice(list(Direction))
        requests["event_time_us"][row] = 1_790_000_000_000_000 + chance.randrange(10**12)
        for name in ("served_number", "other_number"):
            at = PARTIES.index(name)
            kind = chance.choice((ABSENT, *map(int, NumberType)))
            if chance.random() < 0.2:
                continue
            if kind == NumberType.TEXT:
                text = chance.choice((b"sip:anna@home.example", b"tel:+34911234567", b"tel:112", b"BANK", b"nai-x"))
                parties[at, row] = len(buffer) << 16 | len(text)
                buffer += text
            else:
                parties[at, row] = pack("".join(chance.choice("0123456789") for _ in range(chance.randint(3, 14))))
                if chance.random() < 0.5:
                    parties[at, row] = pack(f"99970123456{chance.randrange(9)}")
            parties[at + 1, row] = kind
        for name in ("served_imsi", "served_imei"):
            if chance.random() < 0.7:
                parties[PARTIES.index(name), row] = pack(f"00101000000000{chance.randrange(9)}")
    return requests, parties, np.frombuffer(bytes(buffer) + b" ", np.uint8)


def as_records(requests: Cells, parties: I64, buffer: U8, reference: object, lexicon: Lexicon) -> Sightings:
    decoded = Cells.empty(DECODED, len(requests), fill=ABSENT)
    for name in PARTIES:
        decoded[name] = parties[PARTIES.index(name)]
    decoded["served_address_text"], decoded["direction"] = 0, requests["direction"]
    for name in ("served_number_type", "other_number_type"):
        decoded[name] = np.where(decoded[name] == ABSENT, NumberType.UNKNOWN, decoded[name])
    reason = np.zeros(len(requests), np.int64)
    return parties_of(decoded, buffer, reference, TOKEN_KEY, lexicon, requests, reason)[0]  # type: ignore[arg-type]


def sorted_rows(seen: Sightings) -> list[tuple[int, int, int, str | None]]:
    return sorted((int(token), int(identity), int(value), seen.text.get(row)) for row, (token, identity, value) in
                  enumerate(zip(seen.token, seen.identity, seen.value, strict=True)))


def test_parties_in_real_time_are_those_of_records(tmp_path: Path) -> None:
    chance, reference = random.Random(1), Reference().load(tmp_path)
    live, slow = Lexicon(), Lexicon()
    for rows in (1, 2, 40, 300, 1, 300):
        requests, parties, buffer = made(chance, rows)
        expected = Cells(REQUEST, requests.matrix.copy())
        sightings = identify(requests, parties, buffer, reference, TOKEN_KEY, live)
        again = as_records(expected, parties, buffer, reference, slow)
        for name in REQUEST.names:
            assert requests[name].tolist() == expected[name].tolist(), name
        assert sorted_rows(sightings) == sorted_rows(again)
        assert not len(identify(requests, parties, buffer, reference, TOKEN_KEY, live))  # they are known now
    assert live.labels == slow.labels
