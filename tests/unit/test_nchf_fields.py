"""Odd, missing and extra fields of Nchf: each has its answer, and none of them another than its own."""

import asyncio
import copy
import json
from typing import Any

import pytest

from pipelines.nchf.problems import ProblemError
from pipelines.nchf.requests import Api
from tests.nchf_peers import Site, group, make_app, octets, pdu_session, request

GONE = object()
CONTAINER = {"localSequenceNumber": 1, "totalVolume": 5}


def changed(path: str, value: Any) -> dict[str, Any]:
    """A sound request with one field changed: "multipleUnitUsage.0.ratingGroup"."""
    said = copy.deepcopy(request(0, group(10, 1000, 900)))
    *steps, last = path.split(".")
    place: Any = said
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    if isinstance(place, list):
        place[int(last)] = value
    elif value is GONE:
        place.pop(last)
    else:
        place[last] = value
    return said


USED, ASKED = "multipleUnitUsage.0.usedUnitContainer.0", "multipleUnitUsage.0.requestedUnit"
SESSION = "pDUSessionChargingInformation"
BAD = [
    ("subscriberIdentifier", 5), ("subscriberIdentifier", ""), ("subscriberIdentifier", "x" * 300),
    ("subscriberIdentifier", ["imsi-001010000000001"]), ("nfConsumerIdentification", GONE),
    ("nfConsumerIdentification", None), ("nfConsumerIdentification", "SMF"), ("nfConsumerIdentification", {}),
    ("nfConsumerIdentification.nodeFunctionality", None), ("nfConsumerIdentification.nodeFunctionality", 1),
    ("nfConsumerIdentification.nFIPv4Address", "10.0.0.256"), ("nfConsumerIdentification.nFIPv4Address", "10.0.0"),
    ("nfConsumerIdentification.nFIPv4Address", "1.2.3.4.5.6"), ("nfConsumerIdentification.nFIPv4Address", "١.2.3.4.5"),
    ("invocationTimeStamp", GONE), ("invocationTimeStamp", "yesterday"), ("invocationTimeStamp", 1792584000),
    ("invocationTimeStamp", "2026-10-21T12:00:00"), ("invocationTimeStamp", "2026-10-21T12:00:00.123"),
    ("invocationTimeStamp", "2026-13-21T12:00:00Z"),
    ("invocationTimeStamp", "0001-01-01T00:00:00Z"), ("invocationTimeStamp", "9999-12-31T23:59:59Z"),
    ("invocationTimeStamp", "2026-10-21T12:00:00+99:00"), ("invocationTimeStamp", ""),
    ("invocationSequenceNumber", GONE), ("invocationSequenceNumber", -1), ("invocationSequenceNumber", 1 << 32),
    ("invocationSequenceNumber", "0"), ("invocationSequenceNumber", 0.5), ("invocationSequenceNumber", True),
    ("invocationSequenceNumber", None), ("invocationSequenceNumber", 10**400),
    ("chargingId", None), ("multipleUnitUsage", None), (ASKED, None), (f"{USED}.totalVolume", None),
    (f"{SESSION}.pduSessionInformation.ratType", None), (f"{USED}.triggers", [{"triggerCategory": "x",
                                                                            "triggerType": None}]),
    ("retransmissionIndicator", "yes"), ("oneTimeEvent", 1), ("oneTimeEventType", 7), ("notifyUri", 5),
    ("notifyUri", "x" * 3000), ("supportedFeatures", "xyz"), ("chargingId", -1), ("chargingId", "4711"),
    ("multipleUnitUsage", {}), ("multipleUnitUsage", "none"), ("multipleUnitUsage", [None]),
    ("multipleUnitUsage", [{}]), ("multipleUnitUsage", [[]]), ("multipleUnitUsage", [group()] * 65),
    ("multipleUnitUsage.0.ratingGroup", GONE), ("multipleUnitUsage.0.ratingGroup", -1),
    ("multipleUnitUsage.0.ratingGroup", 1 << 32), ("multipleUnitUsage.0.ratingGroup", "10"),
    ("multipleUnitUsage.0.ratingGroup", 10.5), (ASKED, []), (ASKED, 5), (ASKED, "all"),
    (f"{ASKED}.totalVolume", -1), (f"{ASKED}.totalVolume", 1 << 64), (f"{ASKED}.totalVolume", "1000"),
    (f"{ASKED}.time", 1 << 32), (f"{ASKED}.time", -5), (f"{ASKED}.serviceSpecificUnits", 1.5),
    (f"{ASKED}.uplinkVolume", [1]),
    ("multipleUnitUsage.0.usedUnitContainer", {}), ("multipleUnitUsage.0.usedUnitContainer", [1]),
    ("multipleUnitUsage.0.usedUnitContainer", [CONTAINER] * 257),
    (f"{USED}.localSequenceNumber", GONE), (f"{USED}.localSequenceNumber", "1"), (f"{USED}.totalVolume", -1),
    (f"{USED}.totalVolume", 1 << 63), (f"{USED}.totalVolume", (1 << 63) - 1), (f"{USED}.totalVolume", 1e400),
    (f"{USED}.time", -1), (f"{USED}.serviceId", 1 << 32), (f"{USED}.triggers", {}), (f"{USED}.triggers", [{}]),
    (f"{USED}.triggers", [{"triggerType": 5, "triggerCategory": "IMMEDIATE_REPORT"}]),
    (f"{USED}.triggerTimestamp", "noon"), (f"{USED}.eventTimeStamps", ["never"]),
    (f"{USED}.quotaManagementIndicator", 1), (f"{USED}.pDUContainerInformation.timeofFirstUsage", 5),
    ("triggers", "FINAL"), (SESSION, []), (SESSION, "x"), (f"{SESSION}.chargingId", -1),
    (f"{SESSION}.chargingId", 1 << 32), (f"{SESSION}.userInformation", 5),
    (f"{SESSION}.userInformation.servedGPSI", 999700000001), (f"{SESSION}.pduSessionInformation.dnnId", GONE),
    (f"{SESSION}.pduSessionInformation.dnnId", 5), (f"{SESSION}.pduSessionInformation.dnnId", "x" * 300),
    (f"{SESSION}.pduSessionInformation.pduSessionID", 256), (f"{SESSION}.pduSessionInformation.pduSessionID", GONE),
    (f"{SESSION}.pduSessionInformation.servingCNPlmnId", {"mcc": "001"}),
    (f"{SESSION}.pduSessionInformation.servingCNPlmnId", {"mcc": "abc", "mnc": "01"}),
    (f"{SESSION}.pduSessionInformation.servingCNPlmnId", {"mcc": "٠٠١", "mnc": "01"}),
    (f"{SESSION}.pduSessionInformation.servingCNPlmnId", {"mcc": "0011", "mnc": "01"}),
    (f"{SESSION}.pduSessionInformation.networkSlicingInfo", {}),
    (f"{SESSION}.pduSessionInformation.networkSlicingInfo.sNSSAI", {"sst": 256}),
    (f"{SESSION}.pduSessionInformation.networkSlicingInfo.sNSSAI", {"sst": 1, "sd": "00abcg"}),
    (f"{SESSION}.pduSessionInformation.networkSlicingInfo.sNSSAI", {"sst": 1, "sd": "0xabcd"}),
    ("iMSChargingInformation", {"calledPartyAddress": "\ud800"}), ("subscriberIdentifier", "imsi-\udfff"),
    ("sMSChargingInformation", {"recipientInfo": {}}), ("iMSChargingInformation", {"calledPartyAddress": 5}),
]
# Taken: optional ones that are absent, unknown members of open enumerations, fields that nobody here reads.
FINE = [
    ("multipleUnitUsage", []), ("multipleUnitUsage", GONE), (ASKED, {}),
    ("multipleUnitUsage.0.usedUnitContainer", []), ("nfConsumerIdentification.nodeFunctionality", "SOMETHING_NEW"),
    ("oneTimeEventType", "LATER"), (f"{USED}.quotaManagementIndicator", "PERHAPS"),
    (f"{USED}.triggers", [{"triggerType": "FULL_MOON", "triggerCategory": "SLOWLY"}]),
    (f"{USED}.triggers", [{"triggerCategory": "IMMEDIATE_REPORT"}]), (f"{SESSION}.pduSessionInformation.ratType", "6G"),
    ("somethingNew", {"deep": [1, 2, {"er": None}]}), (f"{USED}.somethingNew", 1e300), (ASKED + ".somethingNew", "x"),
    ("invocationTimeStamp", "2026-10-21T12:00:00.123456789Z"), ("invocationTimeStamp", "2026-10-21T12:00:00+02:00"),
    (f"{ASKED}.totalVolume", (1 << 63) - 1), (f"{USED}.localSequenceNumber", -1), ("notifyUri", "no uri at all"),
    (f"{SESSION}.pduSessionInformation.dnnId", "in ter net\u2603"), (f"{SESSION}.userInformation.servedGPSI", "x"),
    (f"{SESSION}.userInformation.servedPEI", "imei-short"), (f"{SESSION}.chargingId", GONE),
    ("iMSChargingInformation", {"calledPartyAddress": "sip:" + "9" * 400}),
    ("iMSChargingInformation", {"calledPartyAddress": "", "imsChargingIdentifier": ""}),
    ("sMSChargingInformation", {"recipientInfo": []}), ("sMSChargingInformation", {"recipientInfo": [{}]}),
]
BODIES = {
    "empty": b"", "null": b"null", "number": b"5", "list": b"[]", "text": b'"x"', "object": b"{}", "half": b'{"a":',
    "two": b"{}{}", "bracket": b"]", "quote": b'"', "backslash": b'{"a\\', "open text": b'{"a": "',
    "byte order mark": b"\xef\xbb\xbf{}", "nul": b"\0", "no UTF-8": b'{"subscriberIdentifier": "\xff\xfe"}',
    "no UTF-8 in what is not read": b'{"x": "\xc3"}', "not a number": b'{"invocationSequenceNumber": NaN}',
    "deep lists": b"[" * 30_000, "deep objects": b'{"a":' * 10_000,
    "deep in what is not read": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "wide": b"{" + b",".join(b'"k%d":1' % i for i in range(3000)) + b"}", "xml": b"<a/>", "commas": b"{,}",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_app(tmp_path_factory.mktemp("nchf"))


def create(site: Site, body: bytes) -> dict[str, Any] | ProblemError:
    """What a create is answered; any exception but ProblemError is a fault of ours."""
    async def one() -> bytes:
        site.app.charging.ticks.forget_loop()
        return (await site.app.charging.create(body, Api.CONVERGED, "test")).body

    try:
        answer: dict[str, Any] = json.loads(asyncio.run(one()))
    except ProblemError as problem:
        json.loads(problem.body())
        return problem
    return answer


@pytest.mark.parametrize(("path", "value"), BAD)
def test_a_wrong_field_is_refused_and_named(site: Site, path: str, value: Any) -> None:
    answer = create(site, json.dumps(changed(path, value)).replace("Infinity", "1e400").encode())
    assert isinstance(answer, ProblemError) and answer.status == 400
    assert site.app.charging.ticks.rows.count == 0
    assert answer.cause in ("MANDATORY_IE_INCORRECT", "MANDATORY_IE_MISSING", "OPTIONAL_IE_INCORRECT",
                            "INVALID_MSG_FORMAT")


@pytest.mark.parametrize(("path", "value"), FINE)
def test_what_is_odd_but_harms_nobody_is_taken(site: Site, path: str, value: Any) -> None:
    answer = create(site, octets(changed(path, value)))
    assert not isinstance(answer, ProblemError), answer.details()
    assert answer["invocationSequenceNumber"] == 0


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_request_is_refused(site: Site, name: str) -> None:
    answer = create(site, BODIES[name])
    assert isinstance(answer, ProblemError) and answer.status == 400


def test_who_is_charged_must_be_said(site: Site) -> None:
    answer = create(site, octets(request(0, subscriberIdentifier=None, pDUSessionChargingInformation=None)))
    assert isinstance(answer, ProblemError) and answer.cause == "MANDATORY_IE_MISSING"
    assert answer.param == "subscriberIdentifier"
    session = pdu_session()
    assert not isinstance(create(site, octets(request(0, subscriberIdentifier=None,
                                                      pDUSessionChargingInformation=session))), ProblemError)


@pytest.mark.parametrize("name", ["imsi-", "imsi-12a45", "imsi-" + "9" * 16, "msisdn-", "nai-nobody@example.org", "x",
                                  "gci-1", "msisdn-\u0661\u0662\u0663\u0664\u0665"])
def test_a_subscriber_nobody_knows_is_told_so(site: Site, name: str) -> None:
    answer = create(site, octets(request(0, group(), subscriberIdentifier=name, pDUSessionChargingInformation=None)))
    assert isinstance(answer, ProblemError) and (answer.status, answer.cause) == (404, "USER_UNKNOWN")


@pytest.mark.parametrize("body", [
    b'{"a": 1, "a": 1}', b'{"x": {"y": [{"b": 1, "c": 2, "b": 3}]}}', b'{"a": 1, "\\u0061": 2}', b'{"" : 1, "" : 2}'])
def test_an_object_that_names_a_key_twice_is_refused(site: Site, body: bytes) -> None:
    whole = octets(request(0, group()))[:-1] + b", " + body[1:]
    answer = create(site, whole)
    assert isinstance(answer, ProblemError) and answer.cause == "INVALID_MSG_FORMAT"


def test_equal_keys_of_different_objects_are_no_repetition(site: Site) -> None:
    body = octets(request(0, group(1), group(2)))[:-1] + b', "p\\u0061": {"x": 1}, "q": {"x": 1, "pa": 2}}'
    assert not isinstance(create(site, body), ProblemError)


def test_an_error_does_not_repeat_what_was_sent(site: Site) -> None:
    answer = create(site, octets(changed("chargingId", "imsi-001019999999999")))
    assert isinstance(answer, ProblemError)
    assert b"9999" not in answer.body() and b"chargingId" in answer.body()
