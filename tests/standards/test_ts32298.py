"""The official ASN.1 of TS 32.298 and the sample files, read by both. TARIFA_STANDARDS names their folder."""

import json
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

import asn1tools
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.cdrs.chf_record import ChfRecord, Used
from schemas.codes import Service
from tests import ber_records as records
from tests.oracle import ber as oracle
from tests.small_operator import NOON

pytestmark = pytest.mark.standards


@cache
def folder() -> Path:
    given_folder = os.environ.get("TARIFA_STANDARDS", "")
    assert given_folder and Path(given_folder).is_dir(), "TARIFA_STANDARDS must name the folder of the standards"
    return Path(given_folder)


@cache
def official() -> Any:
    return asn1tools.compile_files([str(p) for p in sorted((folder() / "asn1" / "3gpp-32298").glob("*.asn"))], "ber")


def sample(name: str) -> bytes:
    return (folder() / "samples" / "synthetic" / name).read_bytes()


def own_words(value: Any, words: dict[str, str]) -> Any:
    """A value of the official grammar with the field names of ours; what ours lacks keeps its name."""
    if isinstance(value, dict):
        return {words.get(key, key): own_words(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [own_words(item, words) for item in value]
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        if value[0] in ("iPBinaryAddress", "iPTextRepresentedAddress"):
            return own_words(value[1], words)
        return words.get(value[0], value[0]), own_words(value[1], words)
    return words.get(value, value) if isinstance(value, str) else value


ADDRESSES = {"iPBinV4Address": "v4", "iPTextV4Address": "v4text", "iPTextV6Address": "v6text", "iPAddress": "ip"}
PACKET = {**ADDRESSES, "servedIMSI": "imsi", "p-GWAddress": "gateway", "chargingID": "chargingId",
          "accessPointNameNI": "apn", "servedPDPPDNAddress": "subscriberAddress", "recordOpeningTime": "opening",
          "causeForRecClosing": "cause", "recordSequenceNumber": "sequence", "localSequenceNumber": "localSequence",
          "servedMSISDN": "msisdn", "servingNodePLMNIdentifier": "servingPlmn", "servedIMEI": "imei", "rATType": "rat",
          "listOfServiceData": "services", "timeOfFirstUsage": "firstUsage", "datavolumeFBCUplink": "up",
          "datavolumeFBCDownlink": "down", "serviceIdentifier": "identifier", "startTime": "started",
          "listOfTrafficVolumes": "volumes", "dataVolumeGPRSUplink": "up", "dataVolumeGPRSDownlink": "down",
          "changeTime": "changed"}
CHF = {**ADDRESSES, "subscriberIdentifier": "subscriber", "subscriptionIDType": "type", "subscriptionIDData": "text",
       "nFunctionConsumerInformation": "consumer", "listOfMultipleUnitUsage": "usage",
       "usedUnitContainers": "containers", "recordOpeningTime": "opening", "causeForRecClosing": "cause",
       "recordSequenceNumber": "sequence", "localRecordSequenceNumber": "localSequence",
       "pDUSessionChargingInformation": "session", "pDUSessionChargingID": "chargingId", "rATType": "rat",
       "dataNetworkNameIdentifier": "dnn", "networkSliceInstanceID": "slice", "sST": "sst", "sD": "sd",
       "eND-USER-IMSI": "imsi", "chargingID": "chargingId",
       "triggerTimeStamp": "triggered", "dataTotalVolume": "total", "dataVolumeUplink": "up",
       "dataVolumeDownlink": "down"}


def expected(octets: bytes) -> list[dict[str, Any]]:
    """What the official grammar says a sample record holds."""
    if octets[0] == 0xBF and octets[1] == 79:
        _, value = official().decode("GPRSRecord", octets)
        return oracle.packet(own_words(value, PACKET), "pgw")
    _, value = official().decode("CHFRecord", octets)
    return oracle.chf(own_words(value, CHF))


@pytest.mark.parametrize("name", ["pgw-cdr", "chf-cdr"])
def test_sample_records_read_as_the_official_grammar_reads_them(name: str) -> None:
    octets = sample(f"{name}.ber")
    cells = records.loaded("ts32298-packet").decode(records.array(octets), 0, len(octets), 10).cells
    assert cells["status"].tolist() == [0, 0, 0]
    assert records.readable(cells, octets) == expected(octets)
    said = json.loads((folder() / "samples" / "synthetic" / f"{name}.decoded.json").read_text())
    (body,) = said.values()
    groups = [item["ratingGroup"] for item in body.get("listOfServiceData", body.get("listOfMultipleUnitUsage"))]
    assert cells["rating_group"].tolist() == groups


def test_the_sample_file_is_read_whole() -> None:
    octets = sample("three-records.ts32297.dat")
    fmt = records.loaded("ts32298-packet")
    frame = fmt.inspect(records.array(octets))
    assert (frame.body_start, frame.declared_records, frame.file_sequence, frame.problems) == (54, 3, 7, ())
    part = fmt.decode(records.array(octets), 54, len(octets), 10)
    records.check_tiling(part.cells, 54, len(octets))
    pgw, chf = sample("pgw-cdr.ber"), sample("chf-cdr.ber")
    assert records.readable(part.cells, octets) == expected(pgw) + expected(chf) + expected(pgw)


# For generated records: the official name and choice of ours, and what the official grammar demands besides.
OFFICIAL: dict[str, tuple[str, dict[str, str]]] = {
    "ts32298-gprs": ("GPRSRecord", {"pgw": "pGWRecord", "sgw": "sGWRecord"}),
    "ts32298-chf": ("CHFRecord", {"chf": "chargingFunctionRecord"}),
    "ts32298-cs": ("CSRecord", {"mo": "moCallRecord", "mt": "mtCallRecord", "mtrf": "mMTRFRecord",
                                "moSms": "moSMSRecord", "mtSms": "mtSMSRecord"}),
    "ts32298-ims": ("IMSRecord", {"scscf": "sCSCFRecord", "pcscf": "pCSCFRecord", "icscf": "iCSCFRecord",
                                  "mgcf": "mGCFRecord", "as": "aSRecord"}),
    "ts32298-sms": ("SMSRecordType", {"mo": "sCSMORecord", "mt": "sCSMTRecord"}),
}
# Fields that the official grammar must find at the tags where ours put them: own name -> official name.
NAMES: dict[str, dict[str, str]] = {
    "pgw": {own: name for name, own in PACKET.items() if own not in ("v4", "ip", "up", "down", "firstUsage")},
    "sgw": {"imsi": "servedIMSI", "chargingId": "chargingID", "apn": "accessPointNameNI",
            "opening": "recordOpeningTime", "gateway": "p-GWAddressUsed", "volumes": "listOfTrafficVolumes",
            "sequence": "recordSequenceNumber"},
    "mo": {"imsi": "servedIMSI", "msisdn": "servedMSISDN", "called": "calledNumber", "answer": "answerTime",
           "seizure": "seizureTime", "duration": "callDuration", "cause": "causeForTerm", "reference": "callReference",
           "sequence": "sequenceNumber"},
    "mt": {"imsi": "servedIMSI", "msisdn": "servedMSISDN", "calling": "callingNumber", "answer": "answerTime",
           "seizure": "seizureTime", "duration": "callDuration", "cause": "causeForTerm", "reference": "callReference"},
    "mtrf": {"imsi": "servedIMSI", "roaming": "roamingNumber", "answer": "answerTime", "duration": "callDuration"},
    "moSms": {"imsi": "servedIMSI", "sent": "originationTime", "destination": "destinationNumber"},
    "mtSms": {"imsi": "servedIMSI", "delivered": "deliveryTime"},
}


def tags(compiled: Any) -> dict[str, int]:
    """Tag numbers of the fields of a compiled SET, by name."""
    found = {}
    for member in compiled.root_members:
        octets = bytes(member.tag)
        found[member.name] = octets[0] & 31 if len(octets) == 1 else int.from_bytes(octets[1:], "big") if \
            len(octets) == 2 else (octets[1] & 127) << 7 | octets[2]
    return found


def alternatives(specification: Any, kind: str) -> dict[str, Any]:
    """The alternatives of a compiled CHOICE, by name."""
    return {member.name: member for member in specification.types[kind]._type.members}


@pytest.mark.parametrize("layout", sorted(OFFICIAL))
def test_our_grammar_has_the_tags_of_the_official_one(layout: str) -> None:
    kind, choices = OFFICIAL[layout]
    ours, theirs = alternatives(records.grammar(), records.FAMILIES[layout][0]), alternatives(official(), kind)
    for own, name in choices.items():
        assert bytes(ours[own].tag) == bytes(theirs[name].tag), own
        own_tags, official_tags = tags(ours[own]), tags(theirs[name])
        for field, named in NAMES.get(own, {}).items():
            if field in own_tags and named in official_tags:
                assert own_tags[field] == official_tags[named], (own, field, named)
        if own not in ("icscf", "mgcf"):  # their records lack some of the fields that ours shares among all nodes
            for field, tag in own_tags.items():
                assert tag in official_tags.values(), f"{own}.{field}: the official record has no tag {tag}"


OFFICIAL_PGW = {"servingNodeType": [], "chargingCharacteristics": b"\x08\0"}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(records.pgw, st.booleans())
def test_generated_pgw_records_of_the_official_grammar(value: dict[str, Any], in_file: bool) -> None:
    def theirs(item: Any, names: dict[str, str]) -> Any:
        if isinstance(item, dict):
            return {names.get(key, key): theirs(inner, names) for key, inner in item.items()}
        if isinstance(item, list):
            return [theirs(inner, names) for inner in item]
        if isinstance(item, tuple) and item[0] in ("v4", "v6", "v4text", "v6text"):
            form = "iPBinaryAddress" if item[0] in ("v4", "v6") else "iPTextRepresentedAddress"
            choice: Any = {"v4": ("iPBinV4Address", item[1]), "v4text": ("iPTextV4Address", item[1]),
                           "v6": ("iPBinV6Address", ("iPBinV6Address", item[1])),
                           "v6text": ("iPTextV6Address", item[1])}[item[0]]
            return form, choice
        return (names.get(item[0], item[0]), theirs(item[1], names)) if isinstance(item, tuple) else item

    top = {**{own: name for name, own in PACKET.items()}, "recordType": "recordType", "duration": "duration",
           "servingNodes": "servingNodeAddress", "secondAddress": "servedPDPPDNAddressExt", "stopped": "stopTime",
           "up": "datavolumeFBCUplink", "down": "datavolumeFBCDownlink", "lastUsage": "timeOfLastUsage",
           "conditions": "serviceConditionChange", "reported": "timeOfReport", "ip": "iPAddress"}
    volume = {**top, "up": "dataVolumeGPRSUplink", "down": "dataVolumeGPRSDownlink"}
    spared = ("extensions", "nodeId", "dynamic", "services", "volumes", "recordType")
    body = {top[key]: theirs(item, top) for key, item in value.items() if key not in spared}
    body["recordType"] = 85
    if "services" in value:
        body["listOfServiceData"] = [{top.get(k, k): theirs(v, top) if k != "conditions" else (b"\0\0\0\x80", 32)
                                      for k, v in item.items()} for item in value["services"]]
    if "volumes" in value:
        body["listOfTrafficVolumes"] = [{**{volume.get(k, k): v for k, v in item.items() if k != "condition"},
                                         "changeCondition": "recordClosure"} for item in value["volumes"]]
    octets = bytes(official().encode("GPRSRecord", ("pGWRecord", {**body, **OFFICIAL_PGW})))
    data = records.file_of([octets]) if in_file else octets
    start = 54 if in_file else 0
    cells = records.loaded("ts32298-gprs").decode(records.array(data), start, len(data), 10).cells
    assert records.readable(cells, data) == oracle.packet(value, "pgw")


def test_speed_beside_asn1tools() -> None:
    """Not a benchmark: the table-driven kernel must be far beyond the oracle, or something is broken."""
    octets = sample("pgw-cdr.ber")
    begin = time.perf_counter()
    for _ in range(200):
        official().decode("GPRSRecord", octets)
    theirs = (time.perf_counter() - begin) / 200
    fmt = records.loaded("ts32298-gprs")
    buffer = np.tile(records.array(octets), 5_000)
    fmt.decode(buffer, 0, buffer.size, 10)
    begin = time.perf_counter()
    fmt.decode(buffer, 0, buffer.size, 5_000)
    assert (time.perf_counter() - begin) / 5_000 < theirs / 10


@pytest.mark.parametrize("service", [Service.DATA, Service.VOICE, Service.SMS])
def test_records_that_we_write_are_those_of_the_official_grammar(service: Service) -> None:
    """Decoded by it, and encoded by it again to the same octets: nothing is there that it does not know."""
    record = ChfRecord("tarifa-chf", "00" * 16, service, NOON, NOON + 90 * 1_000_000, 0, 2, 70_000,
                       [Used(10, 5, NOON, NOON + 60 * 1_000_000, 1 << 33), Used(20, -1, NOON, NOON, 0),
                        Used(10, -1, NOON, NOON + 90 * 1_000_000, 200)], 9, 0xFFFFFFFF, 0x0A000001,
                       (1, "001010000000001"))
    octets = record.encode()
    choice, found = official().decode("CHFRecord", octets)
    assert choice == "chargingFunctionRecord"
    assert found["chargingID"] == 0xFFFFFFFF and found["chargingSessionIdentifier"] == b"00" * 16
    assert [usage["ratingGroup"] for usage in found["listOfMultipleUnitUsage"]] == [10, 20]
    known = set(found)
    assert known == {"recordType", "recordingNetworkFunctionID", "subscriberIdentifier", "nFunctionConsumerInformation",
                     "listOfMultipleUnitUsage", "recordOpeningTime", "duration", "recordSequenceNumber",
                     "causeForRecClosing", "localRecordSequenceNumber", "chargingSessionIdentifier", "chargingID",
                     *(["sMSChargingInformation"] if service == Service.SMS else [])}
    assert official().encode("CHFRecord", (choice, found)) == octets
