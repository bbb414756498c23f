"""The two ways of an update come to the same: a block of plain bodies by kernels, and one body after the other.

The slower way (`Charging`: msgspec, Python) is the oracle; they share types and tables of words, and no code.
"""

import json
import random
from base64 import urlsafe_b64encode
from typing import Any

import numpy as np
import pytest

from pipelines.nchf import requests
from pipelines.nchf.answers import Speaker
from pipelines.nchf.blocks import Reader, Writer
from pipelines.nchf.charging import Charging
from pipelines.nchf.kernels import block, plain
from pipelines.nchf.kernels import places as p
from pipelines.nchf.messages import encode
from pipelines.nchf.problems import ProblemError
from pipelines.nchf.requests import Api, Asked, Rows
from pipelines.nchf.ticks import _READ, Answered
from reference_data.online import OnlineRules, ServiceRules
from schemas import online
from schemas.codes import Service
from schemas.columns import ABSENT, Cells
from schemas.online import ANSWER, REQUEST, FinalAction, RequestKind
from schemas.parties import PARTIES
from tests.nchf_peers import Site, group, make_app, octets, pdu_session, request
from tests.property.test_nchf_fuzz import damaged, material

HOMES = np.array([1001], np.int64)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
NOW = "2026-10-21T12:00:00.000Z"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_app(tmp_path_factory.mktemp("nchf"))


def slowly(charging: Charging, body: bytes, reference: str, kind: RequestKind) -> tuple[Rows, Asked] | None:
    """Rows as the slower way writes them, None where it refuses."""
    rows = Rows.begin()
    try:
        said = charging.read(body)
        key, meter = charging.references.read(reference)
        return rows, requests.append(rows, said, kind, Api.CONVERGED, key, meter, frozenset(HOMES.tolist()),
                                     charging.limits)
    except ProblemError:
        return None


def compare(site: Site, bodies: list[bytes], references: list[str], kind: RequestKind = RequestKind.UPDATE) -> int:
    """How many of the bodies were plain; those came to the same rows."""
    charging = site.app.charging
    read = Reader(charging.limits).read(references, bodies, HOMES)
    columns, taken = charging.ticks.columns, read.taken
    cells, parties = Cells.empty(REQUEST, read.rows), np.empty((len(PARTIES), read.rows), np.int64)
    first = np.empty(len(taken), np.int64)
    apns = [columns.label(read.text[at >> 16:(at >> 16) + (at & 0xFFFF)].decode()) if at != ABSENT else ABSENT
            for at in read.messages[taken, p.M_DNN].tolist()]
    block.rows_nb(read.messages, read.units, taken, np.full(len(taken), int(kind)), np.array(apns, np.int64),
                  columns.source, cells.matrix, parties, first)
    columns.identified(cells, parties, read.octets, site.node.reference)
    plain_ones = set(taken.tolist())
    for place, body in enumerate(bodies):
        found = slowly(charging, body, references[place], kind)
        assert found is not None or place not in plain_ones, body
        if place not in plain_ones:
            continue
        assert found is not None
        expected, _ = columns.cells(found[0], site.node.reference)
        start = int(first[int(np.searchsorted(taken, place))])
        own = cells.slice(start, start + len(expected))
        own["message"] -= own["message"][0]
        for name in REQUEST.names:
            assert own[name].tolist() == expected[name].tolist(), (name, body)
    return len(taken)


def reference_of(chance: random.Random, meter: int | None = None) -> str:
    """A reference as we write them, for a session counted in some way."""
    raw = bytearray(chance.randbytes(16))
    raw[15] = raw[15] & ~3 | (chance.randrange(4) if meter is None else meter)
    return urlsafe_b64encode(raw)[:22].decode()


def mostly(chance: random.Random, usual: Any, *odd: Any) -> Any:
    return usual if chance.random() < 0.9 else chance.choice(odd)


def maybe(chance: random.Random, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if chance.random() < 0.5}


def invented(chance: random.Random) -> bytes:
    """A request as networks send them, and as they might."""
    def units() -> dict[str, Any]:
        return maybe(chance, time=chance.randrange(1 << 32),
                     totalVolume=mostly(chance, chance.choice((0, 5, 1 << 40)), 1 << 55),
                     uplinkVolume=chance.randrange(1 << 30), downlinkVolume=chance.randrange(1 << 30),
                     serviceSpecificUnits=chance.randrange(1 << 20))

    def triggers() -> list[dict[str, str]]:
        return [{"triggerCategory": "IMMEDIATE_REPORT"} | maybe(chance, triggerType=chance.choice(
            ("QUOTA_THRESHOLD", "TARIFF_TIME_CHANGE", "VALIDITY_TIME", "FINAL", "NEW_ONE", "")))
            for _ in range(chance.randrange(3))]

    def container(number: int) -> dict[str, Any]:
        return {"localSequenceNumber": number} | units() | maybe(
            chance, triggers=triggers(), serviceId=chance.randrange(9), eventTimeStamps=[NOW] * chance.randrange(3),
            triggerTimestamp="2026-10-21T12:00:00+02:00",
            quotaManagementIndicator=mostly(chance, "ONLINE_CHARGING", "OFFLINE_CHARGING"))

    def usage(number: int) -> dict[str, Any]:
        return {"ratingGroup": mostly(chance, number, 7)} | maybe(
            chance, requestedUnit=units(), usedUnitContainer=[container(n) for n in range(chance.randrange(4))],
            uPFID="upf-1")

    plmn = {"mcc": mostly(chance, "001", "262", "x01"), "mnc": chance.choice(("01", "001"))}
    about = pdu_session()["pduSessionInformation"] | maybe(
        chance, ratType=chance.choice(("NR", "EUTRA", "SOMETHING")), servingCNPlmnId=plmn,
        servingNetworkFunctionID={"servingNetworkFunctionInformation": {"nodeFunctionality": "AMF", "nFPLMNID": plmn}},
        pduAddress={"pduIPv4Address": "10.0.0.1", "more": [1, -2.5, True, {"a": "b"}]},
        networkSlicingInfo={"sNSSAI": {"sst": 1} | maybe(chance, sd=mostly(chance, "00abCD", "ffffff", "00000g"))})
    session = maybe(chance, chargingId=chance.randrange(1 << 32), sMFchargingId="x", pduSessionInformation=about,
                    userInformation=maybe(chance, servedGPSI=mostly(chance, "msisdn-999700000001", "extid-a@b",
                                                                           "msisdn-1"),
                                          servedPEI=chance.choice(("imei-123456789012345", "mac-1"))),
                    userLocationinfo={chance.choice(("nrLocation", "eutraLocation")): {
                        "tai": {"plmnId": plmn, "tac": "1"}}})
    changes = maybe(chance, chargingId=3, oneTimeEvent=mostly(chance, False, True), notifyUri="http://127.0.0.1:1/x",
                    retransmissionIndicator=True, triggers=triggers(), supportedFeatures=mostly(chance, "1F", "", "0g"),
                    invocationTimeStamp=mostly(chance, chance.choice((NOW, "2026-10-21T12:00:00Z",
                                                                       "2024-02-29T23:59:59.5-03:30")),
                                       "2023-02-29T00:00:00Z", "2026-10-21T12:00:00.1234567Z"))
    subscriber = mostly(chance, chance.choice(("imsi-001010000000001", "msisdn-999700000001")), "nai-x@y", "imsi-1",
                        "imsi-", None)
    said = request(chance.randrange(1 << 32), *(usage(n) for n in range(chance.randrange(4))),
                   pDUSessionChargingInformation=session, subscriberIdentifier=subscriber, **changes)
    return json.dumps(said, indent=chance.choice((None, 1)), ensure_ascii=False).encode()


def test_requests_as_they_come_are_the_same_rows_both_ways(site: Site) -> None:
    chance = random.Random(3)
    bodies = [invented(chance) for _ in range(4000)]
    taken = compare(site, bodies, [reference_of(chance) for _ in bodies])
    assert 1000 < taken < 3500  # both ways were walked


def test_damaged_bodies_are_the_same_rows_both_ways_or_not_plain(site: Site) -> None:
    chance = random.Random(4)
    sound = [*material(), *(invented(chance) for _ in range(200))]
    bodies = [damaged(chance.choice(sound), chance) for _ in range(6000)]
    assert compare(site, bodies, [reference_of(chance) for _ in bodies]) > 200


@pytest.mark.slow
def test_many_damaged_bodies_are_the_same_rows_both_ways_or_not_plain(site: Site) -> None:
    for seed in range(100):
        chance = random.Random(1000 + seed)
        sound = [*material(), *(invented(chance) for _ in range(500))]
        bodies = [damaged(chance.choice(sound), chance) if chance.random() < 0.7 else chance.choice(sound)
                  for _ in range(5000)]
        compare(site, bodies, [reference_of(chance) for _ in bodies])


def test_a_plain_update_is_plain(site: Site) -> None:
    """What the benchmark and the bar are about goes the fast way."""
    body = octets(request(1, group(10, 1000, 500), group(20, 0, 5), notifyUri="http://127.0.0.1:1/"))
    assert compare(site, [body] * 3, [reference_of(random.Random(n), 0) for n in range(3)]) == 3
    assert compare(site, [body] * 3, [reference_of(random.Random(n), 0) for n in range(3)],
                   RequestKind.TERMINATION) == 3


@pytest.mark.parametrize("odd", [
    b'{"a":1,"a":2}', b'{"b":{"x":1,"x":1}}', b'{"\\u0061":1}', b'{"a":null}', '{"a":"\u00fc"}'.encode(), b'{"a":1e5}',
    b'{"a":01}', b'{"a":"\x01"}', b'{"a":tru}', b'{"a":[1,]}', b'{"a":1}}', b'{"a":"' + b"x" * 70, b"[" * 100,
    b'{"ratingGroup":1}'])
def test_what_is_odd_is_not_plain(site: Site, odd: bytes) -> None:
    body = octets(request(1, group()))
    reference = reference_of(random.Random(1))
    for made in (odd, body[:-1] + b"," + odd[1:], b'{"x":' + odd + b"," + body[1:], body + odd):
        compare(site, [made, body, made], [reference] * 3)
        assert compare(site, [body, body + b"x"], [reference, reference]) == 1


def test_references_are_read_as_they_were_written(site: Site) -> None:
    chance = random.Random(5)
    body = octets(request(1, group()))
    for _ in range(300):
        letters = [reference_of(chance), "".join(chance.choice(LETTERS + "+/= ") for _ in range(22)), "A" * 22]
        read = Reader(site.app.charging.limits).read(letters, [body] * 3, HOMES)
        for message, reference in zip(read.messages, letters, strict=True):
            if message[p.M_UNITS] != plain.OTHERWISE:
                assert (int(message[p.M_HI]), int(message[p.M_LO])) == site.app.charging.references.read(reference)[0]
        assert read.messages[0, p.M_UNITS] != plain.OTHERWISE


RULES = [OnlineRules(), *(OnlineRules(data=ServiceRules(5, final=final, redirect_url=url, filter=rule, failover=False,
                                                        failure_handling="continue"))
                          for final, url, rule in (("redirect", "http://top.up/x", "permit out ip from any to any"),
                                                   ("restrict", "sip:top@up", "filter-1"), ("terminate", "", "")))]


@pytest.mark.parametrize("rules", RULES)
def test_answers_are_the_same_octets_both_ways(site: Site, rules: OnlineRules) -> None:
    chance = random.Random(6)
    speaker = Speaker(rules)
    writer = Writer(speaker)
    charging = site.app.charging
    for _ in range(40):
        references = [reference_of(chance) for _ in range(20)]
        bodies = [octets(request(chance.randrange(1 << 32), *(
            group(chance.randrange(1 << 32), chance.choice((None, 0, 5)), chance.choice((None, 7)),
                  **maybe(chance, uPFID=chance.choice(("upf", "", "a b/c"))))
            for _ in range(chance.randrange(4))))) for _ in references]
        read = Reader(charging.limits).read(references, bodies, HOMES)
        counts = np.maximum(read.messages[read.taken, p.M_UNITS], 1)
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        answers = Cells.empty(ANSWER, read.rows, fill=ABSENT)
        choices = {"message_code": (2001, 2001, 2001, 5002), "result_code": (2001, 2001, 4012, 5003, 5031, 4010, 9999),
                   "granted": (ABSENT, 0, 5, (1 << 62) + 3), "final_action": (0, 0, *map(int, FinalAction)),
                   "validity_s": (ABSENT, 0, 3600), "threshold": (ABSENT, 0, 77), "holding_s": (ABSENT, 60),
                   "change_us": (ABSENT, 0, 1_792_584_000_123_456, 951_782_400_000_000, 4_102_444_799_999_999)}
        for name, some in choices.items():
            answers[name] = [chance.choice(some) for _ in range(read.rows)]
        answers["message_code"] = np.repeat(answers["message_code"][first], counts)
        said, ends = writer.write(read, read.taken, first, answers)
        answered = Answered({name: answers[name].tolist() for name in _READ})
        begin = 0
        for place, end, start in zip(read.taken.tolist(), ends, first.tolist(), strict=True):
            found = slowly(charging, bodies[place], references[place], RequestKind.UPDATE)
            assert found is not None
            asked = found[1]
            asked.first = start
            if answered["message_code"][start] == online.SUCCESS:
                assert said[begin:end] == encode(speaker.response(asked, answered))
            else:
                assert begin == end
            begin = end
        assert asked.service == Service.DATA
