"""Nchf and the balance API as clients see them, with answers worked by hand from the tariff in `worked_home`."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from pipelines.apps.cli import main
from pipelines.nchf.access import NchfSettings
from pipelines.nchf.notify import DELIVERED, Manner, Notifier
from tests.diameter_wire import yesterday
from tests.integration.test_serve import until
from tests.worked_home import WorkedHome, asks, ccr, group, imsi, msisdn, used

CHARGING, OFFLINE = "/nchf-convergedcharging/v3/chargingdata", "/nchf-offlineonlycharging/v1/offlinechargingdata"
LIMITS = "/nchf-spendinglimitcontrol/v1/subscriptions"
_ids = itertools.count(1)


def instant(seconds: float | None = None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def body(who: int, number: int, *usage: dict[str, Any], charging_id: int, at: float | None = None, **more: Any
         ) -> dict[str, Any]:
    return {"subscriberIdentifier": f"imsi-{imsi(who)}", "nfConsumerIdentification": {"nodeFunctionality": "SMF"},
            "invocationTimeStamp": instant(at), "invocationSequenceNumber": number, "multipleUnitUsage": list(usage),
            "pDUSessionChargingInformation": {"chargingId": charging_id, "pduSessionInformation": {
                "pduSessionID": 1, "dnnId": "internet"}}} | more


def unit(rating_group: int, asked: dict[str, int] | None = None, *containers: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"ratingGroup": rating_group}
    if asked is not None:
        made["requestedUnit"] = asked
    if containers:
        made["usedUnitContainer"] = [{"localSequenceNumber": i, **c} for i, c in enumerate(containers, 1)]
    return made


@pytest.fixture(scope="module")
def smf(worked: WorkedHome) -> Iterator[httpx.Client]:
    """HTTP/2 with prior knowledge."""
    with httpx.Client(base_url=worked.nchf, http1=False, http2=True, timeout=10) as client:
        yield client


class Session:
    """One charging session of a consumer."""

    def __init__(self, client: httpx.Client, who: int, *usage: dict[str, Any], root: str = CHARGING, **more: Any
                 ) -> None:
        self.client = client
        self.who, self.charging_id, self.root = who, 1000 * who + next(_ids), root
        self.answer = self.client.post(root, json=body(who, 0, *usage, charging_id=self.charging_id, **more))
        self.location = self.answer.headers.get("location", "")

    def ask(self, what: str, number: int, *usage: dict[str, Any], **more: Any) -> httpx.Response:
        return self.client.post(f"{self.location}/{what}", json=body(
            self.who, number, *usage, charging_id=self.charging_id, **more))


def told(answer: httpx.Response) -> list[tuple[int, str, int | None, str | None]]:
    return [(u["ratingGroup"], u["resultCode"], u.get("grantedUnit", {}).get("totalVolume"),
             u.get("finalUnitIndication", {}).get("finalUnitAction"))
            for u in answer.json().get("multipleUnitInformation", [])]


@pytest.fixture
def heard() -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """A consumer that speaks HTTP/1.1 and nothing else: where it is, and what it was told."""
    found: list[tuple[str, dict[str, Any]]] = []

    class Consumer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            found.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Consumer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", found
        server.shutdown()


@pytest.mark.parametrize(("who", "http2"), [(101, True), (102, False)])
def test_a_session_is_charged_to_the_cent(worked: WorkedHome, who: int, http2: bool) -> None:
    with httpx.Client(base_url=worked.nchf, http1=not http2, http2=http2, timeout=10) as client:
        charged_to_the_cent(worked, client, who)


def charged_to_the_cent(worked: WorkedHome, client: httpx.Client, who: int) -> None:
    smf = Session(client, who, unit(10, {"totalVolume": 50_000}), unit(20, {}), unit(77, {}), unit(55, {}), unit(30))
    assert (smf.answer.status_code, smf.location.startswith(worked.nchf + CHARGING)) == (201, True)
    assert told(smf.answer) == [(10, "SUCCESS", 50_000, None), (20, "SUCCESS", 100_000, None),
                                (77, "RATING_FAILED", None, None),
                                (55, "QUOTA_MANAGEMENT_NOT_APPLICABLE", None, None)]
    one = smf.answer.json()["multipleUnitInformation"][0]
    assert (one["validityTime"], one["quotaHoldingTime"], one["volumeQuotaThreshold"]) == (600, 60, 5000)
    assert worked.money(who) == ("10.00", "0.25")
    usage = (unit(10, {"totalVolume": 50_000}, {"totalVolume": 4600}), unit(20, {}, {"uplinkVolume": 1000,
             "downlinkVolume": 1500}), unit(55, None, {"totalVolume": 4000}))
    for _ in range(2):  # the second is answered from memory
        again = smf.ask("update", 1, *usage)
        assert (again.status_code, told(again)) == (200, [(10, "SUCCESS", 50_000, None),
                                                          (20, "SUCCESS", 100_000, None)])
        assert worked.money(who) == ("9.985", "0.25")  # 5 x 0.001, 3 x 0.002, 4 x 0.001
    for _ in range(2):
        last = smf.ask("release", 2, unit(10, None, {"totalVolume": 1000}))  # 5,600 in all: the sixth thousand
        assert (last.status_code, last.content, worked.money(who)) == (204, b"", ("9.984", "0.00"))
    gone = smf.ask("update", 3, unit(10, {}, {"totalVolume": 1000}))
    assert (gone.status_code, gone.json()["cause"], worked.money(who)) == (404, "CONTEXT_NOT_FOUND", ("9.983", "0.00"))


def test_last_units_are_told_and_a_top_up_too(worked: WorkedHome, smf: httpx.Client,
                                              heard: tuple[str, list[tuple[str, dict[str, Any]]]]) -> None:
    """By HTTP/1.1, where the consumer has no HTTP/2: it was called with prior knowledge alone."""
    address, calls = heard
    session = Session(smf, 210, unit(10, {}), notifyUri=f"{address}/smf")
    assert told(session.answer) == [(10, "SUCCESS", 50_000, "TERMINATE")]
    assert told(session.ask("update", 1, unit(10, {}, {"totalVolume": 50_000}))) == [
        (10, "QUOTA_LIMIT_REACHED", None, "TERMINATE")]
    worked.command("top_up", 210, amount="1.00", currency="EUR")
    until(lambda: calls)
    assert (calls[0][0].startswith("/smf"), calls[0][1]["notificationType"]) == (True, "REAUTHORIZATION")
    assert told(session.ask("update", 2, unit(10, {}, {"totalVolume": 0}))) == [(10, "SUCCESS", 100_000, None)]


def test_usage_behind_a_change_of_band(worked: WorkedHome, smf: httpx.Client) -> None:
    began = yesterday(19, 58)
    session = Session(smf, 103, unit(30, {"totalVolume": 50_000}), at=began)
    granted = session.answer.json()["multipleUnitInformation"][0]["grantedUnit"]
    assert granted["totalVolume"] == 50_000 and granted["tariffTimeChange"].startswith(instant(began + 120)[:19])
    change = {"triggers": [{"triggerType": "TARIFF_TIME_CHANGE", "triggerCategory": "DEFERRED_REPORT"}]}
    session.ask("update", 1, unit(30, {}, {"totalVolume": 10_000, **change}, {"totalVolume": 10_000}), at=began + 300)
    assert worked.money(103)[0] == "9.95"  # 0.04 by day, 0.01 by night


@pytest.mark.parametrize(("who", "status", "cause"), [
    (241, 403, "END_USER_REQUEST_DENIED"), (243, 404, "USER_UNKNOWN"), (999, 404, "USER_UNKNOWN")])
def test_who_is_refused(smf: httpx.Client, who: int, status: int, cause: str) -> None:
    answer = Session(smf, who, unit(10, {})).answer
    assert (answer.status_code, answer.json()["cause"], answer.headers["content-type"]) == (
        status, cause, "application/problem+json")


def test_offline_usage_is_charged_without_a_quota(worked: WorkedHome, smf: httpx.Client) -> None:
    session = Session(smf, 104, unit(10, None, {"totalVolume": 5000}), root=OFFLINE)
    assert (session.answer.status_code, worked.money(104)) == (201, ("9.995", "0.00"))
    assert session.ask("update", 1, unit(10, None, {"totalVolume": 5000})).status_code == 200
    assert session.ask("release", 2, unit(10, None, {"totalVolume": 1})).status_code == 204
    assert worked.money(104) == ("9.989", "0.00")


def test_a_counter_that_gy_moves_is_told_to_policy_control(worked: WorkedHome, smf: httpx.Client,
                                                           heard: tuple[str, list[tuple[str, dict[str, Any]]]]) -> None:
    address, calls = heard
    made = smf.post(LIMITS, json={"supi": f"imsi-{imsi(105)}", "notifUri": f"{address}/pcf",
                                  "policyCounterIds": ["month"]})
    assert (made.status_code, made.json()["statusInfos"]["month"]["currentStatus"]) == (201, "below")
    with worked.peer() as peer:
        peer.ask(ccr(1, 0, "counter", 105, group(10, asks())))
        peer.ask(ccr(3, 1, "counter", 105, group(10, used(octets=1_000_000))))
    until(lambda: calls)
    assert (calls[0][0], calls[0][1]["statusInfos"]["month"]["currentStatus"]) == ("/pcf/notify", "threshold-1")
    where = made.headers["location"]
    assert [smf.delete(where).status_code, smf.delete(where).status_code] == [204, 404]


def test_a_consumer_that_has_no_http2_is_called_at_the_first_try(heard: tuple[str, list[tuple[str, dict[str, Any]]]]
                                                                ) -> None:
    """It hangs up while it is written to as often as while it is read from."""
    address, calls = heard
    outcomes: list[int] = []

    async def call() -> None:
        for _ in range(20):
            notifier = Notifier(NchfSettings(open_on_loopback=True), Manner(tries=1))
            for _ in range(2):
                assert notifier.send(f"{address}/smf", b"{}", outcomes.append)
                await notifier.idle()
            await notifier.close()

    asyncio.run(call())
    assert outcomes == [DELIVERED] * 40 and len(calls) == 40


@pytest.mark.parametrize(("path", "fields", "why"), [
    ("topup", {"amount": "0"}, "expected more than 0"), ("topup", {"amount": "-1"}, "expected more than 0"),
    ("adjust", {"amount": "0"}, "expected an amount of either sign"),
    ("adjust", {"amount": "-10.01"}, "10.01 of 10.00 that can be spent"),
    ("transfer", {"amount": "10", "fee": "0.5", "to_account_id": 2}, "10.50 with the fee, of 10.00"),
    ("transfer", {"amount": "1", "to_account_id": 106}, "the account itself")])
def test_a_refused_command_says_why(worked: WorkedHome, path: str, fields: dict[str, Any], why: str) -> None:
    said = worked.asked("POST", f"/v1/{path}", f"{path} {fields['amount']} {why}", json={"account_id": 106, **fields})
    assert (said.status_code, why in said.json()["detail"]) == (422, True), said.text
    assert worked.money(106) == ("10.00", "0.00")


def test_an_amount_that_is_none_is_told_in_words(worked: WorkedHome) -> None:
    said = worked.asked("POST", "/v1/topup", "words", json={"account_id": 106, "amount": "1e3"})
    assert (said.status_code, said.json()["detail"]) == (400, 'Expected decimal text such as "10.00" - at `$.amount`')


def test_the_timeline_of_a_young_home_knows_state_plan_and_currency(worked: WorkedHome,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    """No snapshot has been written yet: it was `unknown`, on no plan."""
    with worked.peer() as peer:
        peer.ask(ccr(1, 0, "timeline", 211, group(10, asks())))
        peer.ask(ccr(2, 1, "timeline", 211, group(10, asks(), used(octets=50_000))))
    worked.command("top_up", 211, amount="1.00", currency="EUR")

    def story() -> str:
        with pytest.raises(SystemExit):
            main(["account", "timeline", msisdn(211), "--input", str(worked.folder), "--json"])
        return capsys.readouterr().out

    until(lambda: "top_up" in story())
    said = json.loads(story())
    assert (said["state"], said["plans"], said["currency"], said["balance"]) == ("active", ["prepaid"], "EUR", "1.00")
    assert [m["kind"] for m in said["moments"]][:3] == ["grant", "debit", "refusal"]
    assert "0.00 EUR were left" in " ".join(said["explanation"])


def test_accounts_that_were_made_a_moment_ago(worked: WorkedHome, capsys: pytest.CaptureFixture[str]) -> None:
    def account(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main(["account", *arguments, "--input", str(worked.folder)])
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    code, said = account("create", "--plan", "prepaid", "--msisdn", "none", "--account", "7001")
    assert (code, "a number that is none" in said) == (2, True)
    assert account("create", "--plan", "prepaid", "--msisdn", "999700077001", "--account", "7001")[0] == 0
    assert account("top-up", "999700077001", "3.00")[0] == account("adjust", "999700077001", "-1.25")[0] == 0
    assert "3.00 of 1.75 that can be spent" in account("adjust", "7001", "-3.00")[1]
    for who in ("7001", "+999700077001"):  # the ledger has no balances of it yet
        code, said = account("timeline", who)
        assert (code, "account 7001 was active" in said, "on prepaid" in said) == (0, True, True), said
