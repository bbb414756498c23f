"""Answers and notifications of Nchf against the official OpenAPI texts."""

import asyncio
import json
from typing import Any

import jsonschema
import pytest

from pipelines.nchf.charging import Charging
from pipelines.nchf.messages import ChargingNotifyRequest, ReauthorizationDetails, encode
from pipelines.nchf.problems import ProblemError
from pipelines.nchf.requests import Api
from pipelines.nchf.spending import NchfSubscription, _said, _Termination
from pipelines.spending.counters import Status
from reference_data.online import OnlineRules, ServiceRules
from tests.nchf_openapi import bundle
from tests.nchf_peers import SECRET, make_app, octets, request
from tests.nchf_peers import group as unit
from tests.small_operator import TOKEN_KEY

pytestmark = pytest.mark.standards


def check(body: bytes, api: str, release: int, name: str) -> Any:
    """Raises ValidationError."""
    spec = bundle(api, release)
    assert spec is not None, "the official texts are not here"
    said = json.loads(body)
    schema = {"$ref": f"#/components/schemas/{name}", "components": spec["components"]}
    jsonschema.Draft202012Validator(schema).validate(said)
    assert set(said) <= set(spec["components"]["schemas"][name]["properties"])
    return said


@pytest.mark.parametrize("release", [16, 17])
@pytest.mark.parametrize("rules", [
    ServiceRules(5000, threshold_percent=20, holding_s=900), ServiceRules(5000),
    ServiceRules(5000, final="redirect", redirect_url="https://top-up.example.org/?a=1"),
    ServiceRules(5000, final="restrict", filter="permit out ip from any to 10.0.0.1")])
def test_every_answer_is_as_the_standard_has_it(tmp_path: Any, release: int, rules: ServiceRules) -> None:
    site = make_app(tmp_path)
    site.node.rules = OnlineRules(data=rules)
    site.node.units = {1: 9000}
    charging = Charging(site.node, TOKEN_KEY, SECRET, site.app.limits)

    async def main() -> list[bytes]:
        said = []
        made = await charging.create(octets(request(0, unit(1), unit(2, 0), unit(3, None), unit(4, 10, uPFID=(
            "3fa85f64-5717-4562-b3fc-2c963f66afa6")))), Api.CONVERGED, "x")
        said.append(made.body)
        updates = [octets(request(number, unit(1, 3000, 1000), unit(2, 0, 5000))) for number in range(1, 5)]
        return [*said, *[await charging.update(body, Api.CONVERGED, "x", made.reference) for body in updates]]

    answers = [check(body, "converged", release, "ChargingDataResponse") for body in asyncio.run(main())]
    units = [each for answer in answers for each in answer["multipleUnitInformation"]]
    assert {each["resultCode"] for each in units} == {"SUCCESS", "QUOTA_LIMIT_REACHED"}
    assert any("finalUnitIndication" in each for each in units)
    known = set(bundle("converged", release)["components"]["schemas"]["MultipleUnitInformation"]["properties"])  # type: ignore[index]
    assert all(set(each) <= known for each in units)


@pytest.mark.parametrize("release", [16, 17])
def test_offline_answers_and_errors(tmp_path: Any, release: int) -> None:
    site = make_app(tmp_path)

    async def main() -> tuple[bytes, bytes]:
        made = await site.app.charging.create(octets(request(0, unit(1, None, 5))), Api.OFFLINE, "x")
        with pytest.raises(ProblemError) as refused:
            await site.app.charging.create(b'{"chargingId": "x"}', Api.OFFLINE, "x")
        return made.body, refused.value.body()

    answer, problem = asyncio.run(main())
    check(answer, "offline", release, "ChargingDataResponse")
    for api in ("converged", "offline", "spending"):
        check(problem, api, release, "TS29571_CommonData__ProblemDetails")


@pytest.mark.parametrize("release", [16, 17])
def test_notifications(release: int) -> None:
    for said in (ChargingNotifyRequest("ABORT_CHARGING"),
                 ChargingNotifyRequest("REAUTHORIZATION", [ReauthorizationDetails(10), ReauthorizationDetails(0)])):
        check(encode(said), "converged", release, "ChargingNotifyRequest")
    one = NchfSubscription("s", "pcf", 1, ("volume",), False, notify_uri="http://127.0.0.1/",
                           supi="imsi-001010000000001", expires_us=1_800_000_000_000_000)
    check(encode(_said(one, {"volume": Status("threshold-1", 1_800_000_000_000_000), "calls": Status("below", None)})),
          "spending", release, "SpendingLimitStatus")
    check(encode(_Termination("imsi-001010000000001", "REMOVED_SUBSCRIBER")), "spending", release,
          "SubscriptionTerminationInfo")
