"""Bodies with octets flipped, cut, repeated and swapped: each is answered or refused with 400, and nothing else.

The slow tier has millions of them; it also watches that memory does not grow.
"""

import asyncio
import json
import random
import resource
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.nchf import requests
from pipelines.nchf.kernels import shape
from pipelines.nchf.problems import ProblemError
from pipelines.nchf.requests import Api, Rows
from schemas.columns import Cells
from schemas.online import RequestKind
from tests.nchf_peers import Site, group, make_app, octets, request

KINDS = (RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION)
HOME = frozenset([1001])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_app(tmp_path_factory.mktemp("nchf"))


def material() -> list[bytes]:
    call = {"roleOfNode": "TERMINATING", "callingPartyAddresses": ["sip:+34911234567@home.example"],
            "calledPartyAddress": "tel:+999700000001", "imsChargingIdentifier": "icid-1"}
    sms = {"recipientInfo": [{"recipientGPSI": "msisdn-34911234567"}], "numberofMessagesSent": 2}
    used = {"localSequenceNumber": 1, "totalVolume": 5, "serviceId": 7, "quotaManagementIndicator": "OFFLINE_CHARGING",
            "triggers": [{"triggerType": "TARIFF_TIME_CHANGE", "triggerCategory": "IMMEDIATE_REPORT"}]}
    return [octets(said) for said in (
        request(0, group(10, 1000, 900), group(20, 0)), request(1, group(10, None, 900, uPFID="a"), group(10, 5)),
        request(2, {"ratingGroup": 1, "usedUnitContainer": [used, used | {"serviceId": 8}]}),
        request(0, iMSChargingInformation=call, pDUSessionChargingInformation=None),
        request(0, sMSChargingInformation=sms, pDUSessionChargingInformation=None, oneTimeEvent=True,
                multipleUnitUsage=None, oneTimeEventType="PEC"))]


_WORDS = (b"null", b"true", b"[]", b"{}", b'""', b"-1", b"1e999", b"18446744073709551616", b"0.5", b"[[[[", b",", b":",
          b'"\\ud800"', b'"\xff"', b"NaN", b"\\", b'"imsi-"', b'"2026-10-21T12:00:00Z"', b"9" * 40,
          b'"ratingGroup":1,')


def damaged(body: bytes, chance: random.Random) -> bytes:
    """One to four changes."""
    made = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(made)) if made else 0
        match chance.randrange(6):
            case 0 if made:
                made[place] ^= 1 << chance.randrange(8)
            case 1 if made:
                made[place] = chance.randrange(256)
            case 2:
                del made[place:place + chance.randint(1, 40)]
            case 3:
                made[place:place] = chance.choice(_WORDS)
            case 4:
                made[place:place + chance.randint(1, 12)] = chance.choice(_WORDS)
            case _:
                other = chance.randrange(len(made) + 1)
                made[place:place] = made[min(place, other):max(place, other)][:200]
    return bytes(made)


def taken(site: Site, body: bytes, rows: Rows, kind: RequestKind) -> bool:
    """Whether a body becomes rows; any exception but a ProblemError of 400 fails the test."""
    charging = site.app.charging
    before = rows.count, len(rows.flat), rows.messages
    try:
        said = charging.read(body)
        reference, key = charging.references.create(requests.identity_of(said, Api.CONVERGED), requests.meter_of(said))
        assert charging.references.read(reference)[0] == key
        requests.append(rows, said, kind, Api.CONVERGED, key, charging.references.read(reference)[1], HOME,
                        charging.limits)
    except ProblemError as problem:
        assert problem.status == 400
        json.loads(problem.body())
        assert before == (rows.count, len(rows.flat), rows.messages)
        return False
    return True


def columns_of(site: Site, rows: Rows) -> Cells:
    cells, _ = site.app.charging.ticks.columns.cells(rows, site.node.reference)
    assert ((cells["session_hi"] != 0) | (cells["session_lo"] != 0)).all()
    for name in ("requested", "used", "used_after"):
        assert (cells[name] >= -1).all() and (cells[name] <= requests.MOST_UNITS).all()
    return cells


def fuzz(site: Site, count: int, seed: int) -> int:
    chance, bodies, rows, sound = random.Random(seed), material(), Rows.begin(), 0
    for number in range(count):
        sound += taken(site, damaged(chance.choice(bodies), chance), rows, KINDS[number % 3])
        if rows.count > 500:
            columns_of(site, rows)
            rows = Rows.begin()
    if rows.count:
        columns_of(site, rows)
    return sound


def test_damaged_bodies_are_taken_or_refused(site: Site) -> None:
    sound = fuzz(site, 20_000, 1)
    assert 500 < sound < 19_500


def test_each_octet_flipped_and_each_cut(site: Site) -> None:
    for body in material():
        rows = Rows.begin()
        for place in range(len(body)):
            taken(site, body[:place] + bytes([body[place] ^ 0x20]) + body[place + 1:], rows, RequestKind.UPDATE)
            assert not taken(site, body[:place], rows, RequestKind.UPDATE)
        if rows.count:
            columns_of(site, rows)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_random_octets_are_refused(site: Site, body: bytes) -> None:
    assert not taken(site, body, Rows.begin(), RequestKind.INITIAL)


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4)), max_leaves=12)


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("twice")
    return dict(pairs)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "ab", "ba", "", "aa", "\n", "é", "a" * 9]), _JSON), max_size=6),
       st.integers(0, 40))
@settings(max_examples=500, deadline=None)
def test_repeated_keys_are_found_as_a_slow_reader_finds_them(pairs: list[tuple[str, Any]], depth: int) -> None:
    text = "{" + ", ".join(f"{json.dumps(name)} : {json.dumps(value)}" for name, value in pairs) + "}"
    text = "[" * depth + text + "]" * depth
    found = int(shape.shape_nb(np.frombuffer(text.encode(), np.uint8), np.zeros(shape.DEPTH + 1, np.int64),
                               np.zeros(shape.KEYS, np.int64)))
    try:
        json.loads(text, object_pairs_hook=distinct)
        repeated = False
    except ValueError:
        repeated = True
    if found in (shape.SOUND, shape.REPEATED_KEY):
        assert (found == shape.REPEATED_KEY) == repeated
    elif found == shape.TOO_DEEP:
        assert depth > shape.DEPTH - 10
    else:
        assert found == shape.ESCAPED_KEY and "\\" in text


def test_damaged_bodies_cost_nobody_else_their_answer(site: Site) -> None:
    chance = random.Random(7)

    async def main() -> None:
        charging = site.app.charging
        charging.ticks.forget_loop()
        for turn in range(40):
            bodies = [damaged(material()[turn % 5], chance) for _ in range(20)]
            told = await asyncio.gather(*(charging.create(body, Api.CONVERGED, "x") for body in bodies),
                                        charging.create(octets(request(turn, group())), Api.CONVERGED, "x"),
                                        return_exceptions=True)
            assert not isinstance(told[-1], BaseException)
            assert all(not isinstance(each, BaseException) or
                       (isinstance(each, ProblemError) and each.status in (400, 404)) for each in told)

    asyncio.run(main())


@pytest.mark.slow
def test_millions_of_damaged_bodies_leave_nothing_behind(site: Site) -> None:
    fuzz(site, 100_000, 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(30):
        fuzz(site, 100_000, 100 + seed)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
