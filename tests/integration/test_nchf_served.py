"""`tarifa serve` before a session management function: HTTP/2, credit that ends, top-up, kill; policy counters."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml
from granian.constants import HTTPModes
from granian.server.embed import Server

from pipelines.serve.home_socket import connect
from rating.snapshot import same_state
from tests.integration.site import Site
from tests.integration.test_serve import NUMBER, TOP_UP, laws, replayed, site_of
from tests.nchf_peers import OFFLINE_ROOT, ROOT, free_port, group, pdu_session, request, token
from tests.served import MIB, Served

SUBSCRIPTIONS = "/nchf-spendinglimitcontrol/v1/subscriptions"
HEADERS = {"authorization": "Bearer a-token-of-the-smf"}


def with_nchf(site: Site) -> None:
    path = site.input.operator / "serve.yaml"
    serve = yaml.safe_load(path.read_text())
    serve["nchf"] = {"listen": "127.0.0.1:0",
                     "tokens": [{"consumer": "smf", "sha256": token().sha256}]}
    path.write_text(yaml.safe_dump(serve))


def with_counters(site: Site) -> None:
    """Volume of a month, with two thresholds, on every plan of the first tariff."""
    path = min((site.input.operator / "tariffs").glob("*.yaml"))
    tariff = yaml.safe_load(path.read_text())
    tariff["counters"] = {"volume": {"unit": "octet", "cycle": "month", "services": ["data"],
                                     "thresholds": [2 * MIB, 4 * MIB, 1 << 40]}}
    for plan in tariff["plans"].values():
        plan["counters"] = ["volume"]
    path.write_text(yaml.safe_dump(tariff, sort_keys=False))


def root(served: Served) -> str:
    found = [line for line in served.said if line["event"] == "listening" and line["front_end"] == "nchf"]
    return f"http://{found[0]['address']}"


def http2(served: Served) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=root(served), http1=False, http2=True, trust_env=False, timeout=30,
                             headers=HEADERS)


@asynccontextmanager
async def consumer() -> AsyncIterator[tuple[str, list[tuple[str, Any]]]]:
    """A network function that is called back: its address, and what it was told."""
    told: list[tuple[str, Any]] = []

    async def app(scope: Any, exchange: Any) -> None:
        told.append((scope.path, json.loads(await exchange())))
        exchange.response_empty(204, [])

    port = free_port()
    server = Server(app, address="127.0.0.1", port=port, http=HTTPModes.http2, websockets=False, log_enabled=False)
    task = asyncio.create_task(server.serve())
    try:
        yield f"http://127.0.0.1:{port}", told
    finally:
        server.stop()
        await asyncio.wait([task], timeout=1)


async def until(condition: Any) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen")


def about(number: int, *groups: dict[str, Any], **more: Any) -> dict[str, Any]:
    session = pdu_session()
    session["userInformation"]["servedGPSI"] = f"msisdn-{NUMBER}"
    return request(number, *groups, **({"subscriberIdentifier": f"msisdn-{NUMBER}",
                                       "pDUSessionChargingInformation": session} | more))


def first_unit(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 201), answer.text
    unit: dict[str, Any] = answer.json()["multipleUnitInformation"][0]
    return unit


def command(site: Site, said: dict[str, Any]) -> str:
    connected = connect(site.home.root)
    assert connected is not None
    with connected as node:
        status: str = node.ask(op="command", command=said)["status"]
    return status


def test_a_session_outlives_its_credit_a_top_up_and_a_kill(day: Path, tmp_path: Path, keys: Path) -> None:
    site = site_of(day, tmp_path, keys)
    with_nchf(site)

    before: list[tuple[str, dict[str, Any], bytes]] = []  # path, request, what was answered

    async def until_restored(served: Served) -> tuple[str, dict[str, Any], dict[str, Any]]:
        async with http2(served) as smf, consumer() as (address, told):
            create = about(0, group(10, 0), group(20, 2 * MIB), group(30, None), notifyUri=f"{address}/charging/1")
            made = await smf.post(ROOT, json=create)
            assert made.status_code == 201, made.text
            said = made.json()
            assert said["sessionFailover"] == "FAILOVER_SUPPORTED"
            assert said["invocationResult"] == {"failureHandling": "RETRY_AND_TERMINATE"}
            assert [(u["ratingGroup"], u["grantedUnit"]["totalVolume"]) for u in said["multipleUnitInformation"]] == [
                (10, 10 * MIB), (20, 2 * MIB)]
            assert said["multipleUnitInformation"][0]["validityTime"] == 3600
            repeated = await smf.post(ROOT, json=create | {"retransmissionIndicator": True})
            assert repeated.headers["location"] == made.headers["location"]
            assert repeated.content == made.content
            place = made.headers["location"].removeprefix(root(served))
            number, unit = 0, said["multipleUnitInformation"][0]
            while "grantedUnit" in unit and unit["grantedUnit"]["totalVolume"]:
                number += 1
                assert number < 60
                update = about(number, group(10, 1 << 33, unit["grantedUnit"]["totalVolume"]))
                answered = await smf.post(place + "/update", json=update)
                unit = first_unit(answered)
                before.append((place + "/update", update, answered.content))
            before.append((ROOT, create, made.content))
            assert unit["resultCode"] == "QUOTA_LIMIT_REACHED"
            assert unit["finalUnitIndication"] == {"finalUnitAction": "TERMINATE"}
            unknown = await smf.post(ROOT, json=about(0, group(), subscriberIdentifier="imsi-001019999999999",
                                                     pDUSessionChargingInformation=None))
            assert (unknown.status_code, unknown.json()["cause"]) == (404, "USER_UNKNOWN")
            lost = await smf.post(ROOT + "/another/update", json=about(7, group(10, MIB, MIB)))
            assert (lost.status_code, lost.json()["cause"]) == (404, "CONTEXT_NOT_FOUND")
            assert not told
            assert await asyncio.to_thread(command, site, TOP_UP) == "done"
            await until(lambda: told)
            assert told == [("/charging/1", {"notificationType": "REAUTHORIZATION",
                                             "reauthorizationDetails": [{"ratingGroup": 10}]})]
            again = about(number + 1, group(10, 1 << 33, 0))
            restored = first_unit(await smf.post(place + "/update", json=again))
            assert restored["grantedUnit"] == {"totalVolume": 10 * MIB}
            return place, again, restored

    async def after_the_kill(served: Served, place: str, again: dict[str, Any], restored: dict[str, Any]) -> None:
        async with http2(served) as smf:
            assert first_unit(await smf.post(place + "/update", json=again)) == restored
            for path, request, answer in before:  # not the last one alone
                assert (await smf.post(path, json=request)).content == answer
            number = again["invocationSequenceNumber"] + 1
            end = await smf.post(place + "/release", json=about(number, group(10, None, MIB)))
            assert end.status_code == 204, end.text
            for path, request, answer in before:  # after its end too
                assert (await smf.post(path, json=request)).content == answer
            used = await smf.post(OFFLINE_ROOT, json=about(0, group(10, None, 100), chargingId=99))
            assert used.status_code == 201, used.text
            gone = used.headers["location"].removeprefix(root(served))
            assert (await smf.post(gone + "/release", json=about(1, group(10, None, 50)))).status_code == 204

    with Served(site.input.root, site.home.root) as served:
        left = asyncio.run(until_restored(served))
        served.kill()
    with Served(site.input.root, site.home.root) as served:
        asyncio.run(after_the_kill(served, *left))
        served.stop()
    assert laws(site) == set()
    grants = site.rows("grant")
    assert {row["source"] for row in grants} == {"nchf"}
    assert {row["result_code"] for row in grants} == {2001, 4012, 5002, 5030}
    assert sum(row["used"] or 0 for row in grants) == sum(row["quantity"] for row in site.rows("rated"))
    assert not any(NUMBER.encode() in path.read_bytes() for path in site.home.root.rglob("*") if path.is_file())
    one, other = replayed(site)
    assert one.online.open == 0 and same_state(one, other)


def test_policy_counters_are_told_as_they_are_reached_also_after_a_restart(day: Path, tmp_path: Path, keys: Path
                                                                         ) -> None:
    site = site_of(day, tmp_path, keys)
    with_nchf(site)
    with_counters(site)

    async def subscribed(served: Served, address: str) -> str:
        async with http2(served) as pcf:
            context = {"gpsi": f"msisdn-{NUMBER}", "notifUri": f"{address}/policy", "notifId": "n-1"}
            for wrong, cause in (({"policyCounterIds": ["nothing"]}, "UNKNOWN_POLICY_COUNTERS"),
                                 ({"gpsi": "msisdn-999999999999"}, "USER_UNKNOWN"),
                                 ({"gpsi": None}, "MANDATORY_IE_MISSING"), ({"notifUri": None}, "MANDATORY_IE_MISSING"),
                                 ({"policyCounterIds": []}, "OPTIONAL_IE_INCORRECT"),
                                 ({"notifUri": "http://192.0.2.1/x"}, "MANDATORY_IE_INCORRECT")):
                sent = {name: value for name, value in (context | wrong).items() if value is not None}
                answer = await pcf.post(SUBSCRIPTIONS, json=sent)
                assert (answer.status_code, answer.json()["cause"]) == (400, cause), answer.text
            made = await pcf.post(SUBSCRIPTIONS, json=context | {"policyCounterIds": ["volume"]})
            assert made.status_code == 201, made.text
            assert made.json() == {"notifId": "n-1", "statusInfos": {
                "volume": {"policyCounterId": "volume", "currentStatus": "below"}}}
            return made.headers["location"].removeprefix(root(served))

    async def main() -> None:
        async with consumer() as (address, told):
            with Served(site.input.root, site.home.root) as served:
                place = await subscribed(served, address)
                served.kill()
            with Served(site.input.root, site.home.root) as served:
                async with http2(served) as nf:
                    used = about(0, group(10, None, MIB), invocationTimeStamp=now())
                    made = await nf.post(ROOT, json=used)
                    assert made.status_code == 201
                    update = made.headers["location"].removeprefix(root(served)) + "/update"
                    for number, status in ((1, "threshold-1"), (2, "threshold-2")):
                        more = about(number, group(10, None, 2 * MIB), invocationTimeStamp=now())
                        assert (await nf.post(update, json=more)).status_code == 200
                        await until(lambda number=number: len(told) == number)
                        path, said = told[-1]
                        assert (path, said["notifId"]) == ("/policy/notify", "n-1")
                        info = said["statusInfos"]["volume"]
                        assert info["currentStatus"] == status
                        assert info["penPolCounterStatuses"][0]["policyCounterStatus"] == "below"
                    changed = await nf.put(place, json={"notifUri": f"{address}/other"})
                    assert changed.status_code == 200, changed.text
                    assert changed.json()["statusInfos"]["volume"]["currentStatus"] == "threshold-2"
                    assert (await nf.delete(place)).status_code == 204
                    assert (await nf.delete(place)).status_code == 404
                    await asyncio.sleep(0.3)
                    assert len(told) == 2
                served.stop()

    asyncio.run(main())
    assert not any(NUMBER.encode() in path.read_bytes() for path in site.home.root.rglob("*") if path.is_file())


def test_messages_are_debited_at_once_or_charged_as_they_happened(day: Path, tmp_path: Path, keys: Path) -> None:
    site = site_of(day, tmp_path, keys)
    with_nchf(site)

    def message(number: int, kind: str, count: int, to: str = "999701234568") -> dict[str, Any]:
        return about(number, oneTimeEvent=True, oneTimeEventType=kind, pDUSessionChargingInformation=None,
                     multipleUnitUsage=None, nfConsumerIdentification={"nodeFunctionality": "SMSF"},
                     invocationTimeStamp=now(), sMSChargingInformation={
                         "numberofMessagesSent": count, "messageReference": str(number),
                         "recipientInfo": [{"recipientGPSI": f"msisdn-{to}"}]})

    async def main(served: Served) -> None:
        async with http2(served) as smsf:
            for number, (kind, count) in enumerate((("IEC", 1), ("PEC", 2), ("IEC", 1))):
                said = message(number, kind, count)
                made = await smsf.post(ROOT, json=said)
                assert made.status_code == 201, made.text
                again = await smsf.post(ROOT, json=said | {"retransmissionIndicator": True})
                assert (again.status_code, again.headers["location"]) == (201, made.headers["location"])
            dear = await smsf.post(ROOT, json=message(9, "IEC", 1_000_000))
            assert (dear.status_code, dear.json()["cause"]) == (403, "QUOTA_LIMIT_REACHED"), dear.text

    with Served(site.input.root, site.home.root) as served:
        asyncio.run(main(served))
        served.stop()
    assert laws(site) == set()
    assert [(row["service"], row["quantity"]) for row in site.rows("rated")] == [("sms", 1), ("sms", 2), ("sms", 1)]


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
