"""Charging data requests as rows, and answers as TS 32.291 has them."""

import asyncio
import json
from typing import Any

import pytest

from pipelines.nchf import references
from pipelines.nchf.columns import icid_key
from pipelines.nchf.notify import Allowed
from pipelines.nchf.problems import ProblemError
from pipelines.nchf.references import References
from pipelines.nchf.requests import Api
from reference_data.online import OnlineRules, ServiceRules
from schemas.codes import Direction, NumberClass, Service, Unit
from schemas.columns import ABSENT, Cells
from schemas.digits import unpack
from schemas.online import EventAction, ReportingReason, RequestKind
from tests.nchf_peers import Site, group, make_app, octets, pdu_session, request
from tests.small_operator import ANNA

SMF = {"nodeFunctionality": "SMF"}


@pytest.fixture
def site(tmp_path: Any) -> Site:
    return make_app(tmp_path)


def ask(site: Site, said: dict[str, Any], api: Api = Api.CONVERGED, operation: str = "create",
        reference: str = "") -> Any:
    """The answer's body (a create's with its reference), or the ProblemError."""
    charging = site.app.charging

    async def one() -> Any:
        charging.ticks.forget_loop()
        if operation == "create":
            made = await charging.create(octets(said), api, "test")
            return json.loads(made.body) | {"ref": made.reference}
        if operation == "update":
            return json.loads(await charging.update(octets(said), api, "test", reference))
        return await charging.release(octets(said), api, reference)

    try:
        return asyncio.run(one())
    except ProblemError as problem:
        return problem


def rows(site: Site, said: dict[str, Any], api: Api = Api.CONVERGED, **more: Any) -> Cells:
    """What the node was asked."""
    answer = ask(site, said, api, **more)
    assert not isinstance(answer, ProblemError), answer.details()
    return site.node.blocks[-1]


def used(volume: int | None = None, **more: Any) -> dict[str, Any]:
    said = {"localSequenceNumber": 1, "totalVolume": volume, **more}
    return {name: value for name, value in said.items() if value is not None}


def triggers(*kinds: str) -> list[dict[str, str]]:
    return [{"triggerType": kind, "triggerCategory": "IMMEDIATE_REPORT"} for kind in kinds]


def columns(cells: Cells, *names: str) -> list[tuple[int, ...]]:
    return list(zip(*(cells[name].tolist() for name in names), strict=True))


def test_a_pdu_session_fills_its_columns(site: Site) -> None:
    found = rows(site, request(3, group(10, 1000, 900)))
    row = {name: int(found[name][0]) for name in found.columns.names}
    labels = site.node.lexicon.labels
    assert labels["source"][row["source"]] == "nchf" and labels["apn"][row["apn"]] == "internet"
    assert (row["service"], row["unit"], row["direction"]) == (Service.DATA, Unit.OCTET, Direction.ORIGINATING)
    assert row["event_time_us"] == 1_792_584_000_123_000
    assert (row["charging_id"], row["gateway_address"]) == (4711, 10 << 24 | 1)
    assert (row["serving_plmn"], row["roaming"], row["rat_type"]) == (1001, 0, 51)
    assert row["snssai"] == 1 << 32 | 0xABCD + 1
    assert (row["kind"], row["action"], row["number"]) == (RequestKind.INITIAL, ABSENT, 3)
    assert (row["rating_group"], row["service_identifier"]) == (10, ABSENT)
    assert (row["requested"], row["used"], row["used_after"]) == (1000, 900, ABSENT)
    assert row["account_id"] == 1 and row["imsi_token"] > 0 and row["msisdn_token"] > 0
    for name in ("merged_count",):
        assert row[name] == 1
    for name in ("incomplete", "file_id", "record_offset", "record_length", "container_index"):
        assert row[name] == 0


def test_units_asked_for_absent_empty_and_of_each_kind(site: Site) -> None:
    for said, expected in ((None, ABSENT), ({}, 0), ({"totalVolume": 5}, 5), ({"uplinkVolume": 2}, 2),
                           ({"uplinkVolume": 2, "downlinkVolume": 3}, 5), ({"totalVolume": 1 << 60}, 1 << 50)):
        usage = {"ratingGroup": 1} | ({} if said is None else {"requestedUnit": said})
        assert rows(site, request(0, usage, chargingId=expected % 1000))["requested"].tolist() == [expected]
    timed = rows(site, request(0, {"ratingGroup": 1, "requestedUnit": {"time": 60}}))
    assert columns(timed, "requested", "unit") == [(60, Unit.SECOND)]
    counted = rows(site, request(0, {"ratingGroup": 1, "requestedUnit": {"serviceSpecificUnits": 2}},
                                 nfConsumerIdentification={"nodeFunctionality": "NEF"},
                                 pDUSessionChargingInformation=None))
    assert columns(counted, "requested", "unit", "service") == [(2, Unit.UNIT, Service.GENERIC)]


def test_a_session_counted_by_time_stays_so_although_reports_have_volumes_too(site: Site) -> None:
    made = ask(site, request(0, {"ratingGroup": 1, "requestedUnit": {"time": 60}}))
    both = {"ratingGroup": 1, "usedUnitContainer": [used(5000, time=42)]}
    found = rows(site, request(1, both), operation="update", reference=made["ref"])
    assert columns(found, "used", "unit") == [(42, Unit.SECOND)]
    volume = ask(site, request(0, group(), chargingId=1))
    found = rows(site, request(1, both), operation="update", reference=volume["ref"])
    assert columns(found, "used", "unit") == [(5000, Unit.OCTET)]


def test_a_quota_takes_all_usage_of_its_group_and_what_needs_none_is_told_by_service(site: Site) -> None:
    usage = {"ratingGroup": 7, "requestedUnit": {}, "usedUnitContainer": [
        used(1, serviceId=1, quotaManagementIndicator="ONLINE_CHARGING"), used(2, serviceId=2),
        used(4, serviceId=1, quotaManagementIndicator="OFFLINE_CHARGING"),
        used(8, serviceId=1, quotaManagementIndicator="OFFLINE_CHARGING"),
        used(16, serviceId=3, quotaManagementIndicator="QUOTA_MANAGEMENT_SUSPENDED"),
        used(32, quotaManagementIndicator="OFFLINE_CHARGING")]}
    found = rows(site, request(0, usage))
    assert columns(found, "rating_group", "service_identifier", "requested", "used") == [
        (7, ABSENT, 0, 35), (7, 1, ABSENT, 12), (7, 3, ABSENT, 16)]
    assert found["message"].tolist() == [0, 0, 0]
    offline = rows(site, request(0, usage, chargingId=9), Api.OFFLINE)
    assert columns(offline, "service_identifier", "requested", "used") == [
        (1, ABSENT, 13), (2, ABSENT, 2), (3, ABSENT, 16), (ABSENT, ABSENT, 32)]


def test_usage_behind_a_tariff_change_is_reported_apart(site: Site) -> None:
    change = triggers("TARIFF_TIME_CHANGE")
    for containers, expected in (
            ([used(1), used(2, triggers=change), used(4), used(8)], (3, 12)), ([used(1, triggers=change)], (1, ABSENT)),
            ([used(1), used(2)], (3, ABSENT)), ([used(1, triggers=change), used(2, triggers=change), used(4)], (3, 4))):
        found = rows(site, request(0, {"ratingGroup": 1, "usedUnitContainer": containers}, chargingId=sum(
            c["totalVolume"] for c in containers)))
        assert columns(found, "used", "used_after") == [expected]


def test_why_usage_is_reported(site: Site) -> None:
    kinds = {"QUOTA_THRESHOLD": ReportingReason.THRESHOLD, "QHT": ReportingReason.QHT, "FINAL": ReportingReason.FINAL,
             "QUOTA_EXHAUSTED": ReportingReason.QUOTA_EXHAUSTED, "VALIDITY_TIME": ReportingReason.VALIDITY_TIME,
             "OTHER_QUOTA_TYPE": ReportingReason.OTHER_QUOTA_TYPE, "ABNORMAL_RELEASE": ReportingReason.FINAL,
             "FORCED_REAUTHORISATION": ReportingReason.FORCED_REAUTHORISATION,
             "RAT_CHANGE": ReportingReason.RATING_CONDITION_CHANGE,
             "PLMN_CHANGE": ReportingReason.RATING_CONDITION_CHANGE}
    for place, (kind, reason) in enumerate(kinds.items()):
        inside = {"ratingGroup": 1, "usedUnitContainer": [used(1, triggers=triggers(kind))]}
        assert rows(site, request(0, inside, chargingId=place))["reporting_reason"][0] == reason, kind
        outside = {"ratingGroup": 1, "usedUnitContainer": [used(1)]}
        found = rows(site, request(0, outside, chargingId=100 + place, triggers=triggers(kind)))
        assert found["reporting_reason"][0] == reason
    both = {"ratingGroup": 1, "usedUnitContainer": [used(1, triggers=triggers("RAT_CHANGE")),
                                                    used(1, triggers=triggers("QUOTA_EXHAUSTED"))]}
    assert rows(site, request(0, both, chargingId=300))["reporting_reason"][0] == ReportingReason.QUOTA_EXHAUSTED
    assert rows(site, request(0, group(1), chargingId=301))["reporting_reason"][0] == ABSENT


def test_two_user_planes_of_a_group_share_a_quota(site: Site) -> None:
    site.node.rules = OnlineRules(data=ServiceRules(1000, threshold_percent=20))
    answer = ask(site, request(0, group(1, 300, uPFID="a"), group(1, 500, uPFID="b"), group(2, 100)))
    assert columns(site.node.blocks[-1], "rating_group", "requested") == [(1, 800), (2, 100)]
    assert [(u["ratingGroup"], u.get("uPFID"), u["grantedUnit"]["totalVolume"], u["volumeQuotaThreshold"])
            for u in answer["multipleUnitInformation"]] == [(1, "a", 300, 60), (1, "b", 500, 100), (2, None, 100, 20)]
    answer = ask(site, request(0, group(1, 0, uPFID="a"), group(1, 0, uPFID="b"), chargingId=2))
    assert [u["grantedUnit"]["totalVolume"] for u in answer["multipleUnitInformation"]] == [500, 500]
    answer = ask(site, request(0, group(1, 900, uPFID="a"), group(1, 900, uPFID="b"), chargingId=3))
    assert [u["grantedUnit"]["totalVolume"] for u in answer["multipleUnitInformation"]] == [900, 100]


def test_final_units_say_what_is_to_happen(site: Site) -> None:
    site.node.units = {1: 400}
    for number, (rules, expected) in enumerate((
            (ServiceRules(1000), {"finalUnitAction": "TERMINATE"}),
            (ServiceRules(1000, final="redirect", redirect_url="http://x/"), {
                "finalUnitAction": "REDIRECT", "redirectServer": {"redirectAddressType": "URL",
                                                                  "redirectServerAddress": "http://x/"}}),
            (ServiceRules(1000, final="restrict", filter="permit out ip from any to any"), {
                "finalUnitAction": "RESTRICT_ACCESS", "restrictionFilterRule": "permit out ip from any to any"}),
            (ServiceRules(1000, final="restrict", filter="walled-garden"), {
                "finalUnitAction": "RESTRICT_ACCESS", "filterId": "walled-garden"}))):
        site.node.rules = OnlineRules(data=rules)
        answer = ask(site, request(0, group(number, 1000), chargingId=number))
        unit = answer["multipleUnitInformation"][0]
        assert unit["finalUnitIndication"] == expected
        assert unit["resultCode"] == ("SUCCESS" if number == 0 else "QUOTA_LIMIT_REACHED")


def test_events_are_debited_at_once_or_after_they_happened(site: Site) -> None:
    sms = {"recipientInfo": [{"recipientGPSI": "msisdn-34911234567"}], "numberofMessagesSent": 2,
           "originatorInfo": {"originatorGPSI": f"msisdn-{ANNA[1]}"}}
    base = {"sMSChargingInformation": sms, "pDUSessionChargingInformation": None, "oneTimeEvent": True,
            "multipleUnitUsage": None, "nfConsumerIdentification": {"nodeFunctionality": "SMSF"}}
    names = ("service", "unit", "kind", "action", "requested", "used")
    found = rows(site, request(0, **base, oneTimeEventType="IEC"))
    debit = (Service.SMS, Unit.MESSAGE, RequestKind.EVENT, EventAction.DIRECT_DEBITING)
    assert columns(found, *names) == [(*debit, 2, ABSENT)]
    assert unpack(int(found["other_prefix"][0])).startswith("34911")
    assert site.node.lexicon.labels["other_network"][int(found["other_network"][0])] == "spain"
    assert found["other_class"][0] == NumberClass.ORDINARY
    found = rows(site, request(1, **base, oneTimeEventType="PEC"))
    assert columns(found, *names) == [(*debit, ABSENT, 2)]
    asked = base | {"multipleUnitUsage": [{"ratingGroup": 5, "requestedUnit": {"serviceSpecificUnits": 3}}]}
    found = rows(site, request(2, **asked, oneTimeEventType="IEC"))
    assert columns(found, *names, "rating_group") == [(*debit, 3, ABSENT, 5)]


def test_a_call_has_its_parties_and_its_icid(site: Site) -> None:
    call = {"roleOfNode": "TERMINATING", "callingPartyAddresses": ["sip:+34911234567@home.example"],
            "calledPartyAddress": f"tel:+{ANNA[1]}", "imsChargingIdentifier": "icid-1"}
    found = rows(site, request(0, {"ratingGroup": 1, "requestedUnit": {"time": 60}}, iMSChargingInformation=call,
                               pDUSessionChargingInformation=None, nfConsumerIdentification={
                                   "nodeFunctionality": "IMS_Node"}))
    assert columns(found, "service", "unit", "direction", "requested") == [
        (Service.VOICE, Unit.SECOND, Direction.TERMINATING, 60)]
    assert unpack(int(found["other_prefix"][0])).startswith("34911")
    assert (int(found["icid_hi"][0]), int(found["icid_lo"][0])) == icid_key("icid-1")


def test_a_repeated_create_leads_to_the_same_session_and_another_does_not(site: Site) -> None:
    first = ask(site, request(0, group()))
    again = ask(site, request(0, group(), retransmissionIndicator=True))
    assert again["ref"] == first["ref"]
    assert again == first
    for change in ({"invocationTimeStamp": "2026-10-21T12:00:01Z"}, {"subscriberIdentifier": "imsi-001010000000002"},
                   {"pDUSessionChargingInformation": pdu_session(4712)}, {"nfConsumerIdentification": SMF},
                   {"invocationSequenceNumber": 1}):
        assert ask(site, request(0, group()) | change)["ref"] != first["ref"], change
    assert ask(site, request(0, group()), Api.OFFLINE)["ref"] != first["ref"]


def test_references_are_the_same_after_a_restart_and_of_no_use_elsewhere() -> None:
    ours, same, others = References(b"a" * 32), References(b"a" * 32), References(b"b" * 32)
    reference, key = ours.create(b"session", references.BY_TIME)
    assert same.read(reference) == (key, references.BY_TIME) == ours.read(reference)
    assert others.create(b"session", references.BY_TIME)[0] != reference
    seen = {ours.create(b"session %d" % n, 0)[0] for n in range(1000)}
    assert len(seen) == 1000 and all(len(each) == 22 for each in seen)
    for foreign in ("", "x", "A" * 21, "A" * 21 + "B", "?" * 22, "é" * 22, "\ud800", "A" * 255):
        found, meter = ours.read(foreign)
        assert found != (0, 0) and meter == references.BY_SERVICE
        assert all(-(1 << 63) <= half < 1 << 63 for half in found)


def test_one_block_holds_what_came_together(site: Site) -> None:
    charging = site.app.charging

    async def main() -> list[bytes]:
        charging.ticks.forget_loop()
        bodies = [octets(request(0, group(n), group(n + 100), chargingId=n, pDUSessionChargingInformation=None))
                  for n in range(20)]
        made = await asyncio.gather(*(charging.create(body, Api.CONVERGED, "x") for body in bodies))
        return [each.body for each in made]

    answers = [json.loads(body) for body in asyncio.run(main())]
    assert [[u["ratingGroup"] for u in a["multipleUnitInformation"]] for a in answers] == [
        [n, n + 100] for n in range(20)]
    assert len(site.node.blocks) == 1
    assert site.node.blocks[0]["message"].tolist() == [n // 2 for n in range(40)]


def test_only_addresses_that_are_listed_may_be_called_back() -> None:
    allowed = Allowed(("10.20.0.0/16", "smf.core.example", "2001:db8::/32"))
    for fine in ("http://127.0.0.1:80/x", "http://[::1]/", "http://localhost:1/", "https://10.20.3.4:99/a?b=c",
                 "http://smf.core.example/x", "http://SMF.core.example/x", "http://[2001:db8::1]/"):
        assert allowed(fine), fine
    for wrong in ("http://10.21.0.1/", "http://smf.core.example.org/", "ftp://127.0.0.1/", "file:///etc/passwd", "",
                  "http://", "//127.0.0.1/", "http://user@127.0.0.1/", "http://169.254.169.254/", "http://[::1",
                  "http://x:y/", "http://127.0.0.1:99999/", "no uri", "http://2130706433/", "http://127.0.0.1/#x"):
        assert not allowed(wrong), wrong
