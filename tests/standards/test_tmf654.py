"""What the balance API answers under TMF paths is what TMF654's own swagger says: every answer, errors too."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipelines.balance_api.app import ROUTES
from pipelines.balance_api.tmf import BASE
from pipelines.balance_api.tmf_events import TYPES
from pipelines.keys import Keys
from tests.integration.hand_made import BEN, HandMade
from tests.integration.test_balance_api import Api
from tests.integration.test_balance_hub import Heard, HubApi

pytestmark = pytest.mark.standards


@pytest.fixture(scope="module")
def swagger() -> dict[str, Any]:
    path = Path(os.environ["TARIFA_STANDARDS"]) / "tmf/v4/TMF654-PrepayBalance-v4.1.0.swagger.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    Keys.open(keys)
    site = HandMade(tmp_path_factory.mktemp("api"), keys)
    site.calls(1, "090000", [(1, "08:00")])
    site.run()
    made = Api(site)
    yield made
    made.stop()


def check(swagger: dict[str, Any], method: str, path: str, answer: Any) -> None:
    """The status is one that the operation knows, the body of its shape; of errors 422 and 429 are ours."""
    responses = swagger["paths"][path][method]["responses"]
    status = str(answer.status_code)
    schema = responses[status]["schema"] if status in responses else {"$ref": "#/definitions/Error"}
    assert status in responses or status in ("422", "429"), (method, path, status)
    jsonschema.Draft4Validator({**schema, "definitions": swagger["definitions"]}).validate(answer.json())


def test_every_answer_is_of_the_swaggers_shape(api: Api, swagger: dict[str, Any]) -> None:
    for name, more in (("topupBalance", {"isAutoTopup": False}), ("adjustBalance", {"adjustType": "debit"}),
                       ("transferBalance", {"receiverPartyAccount": {"id": "1"}}), ("reserveBalance", {})):
        body = {"amount": {"amount": 0.25, "units": "EUR"}, "logicalResource": {"id": "22", "value": BEN[1]},
                "reason": "test", "description": "of the contract", "channel": {"id": "1", "name": "shop"}, **more}
        jsonschema.Draft4Validator({**swagger["definitions"][name[0].upper() + name[1:] + "_Create"],
                                    "definitions": swagger["definitions"]}).validate(body)
        made = api.post(f"{BASE}/{name}", body, None)
        assert made.status_code == 201, made.text
        check(swagger, "post", f"/{name}", made)
        found = api.get(f"{BASE}/{name}/{made.json()['id']}")
        check(swagger, "get", f"/{name}/{{id}}", found)
        assert found.json() == made.json()
        check(swagger, "get", f"/{name}", api.get(f"{BASE}/{name}", **{"partyAccount.id": "2"}))
        for bad in ({}, {"amount": {"amount": 1}}, {**body, "amount": {"amount": "x"}},
                    {**body, "amount": {"amount": 1, "units": "USD"}}, {**body, "logicalResource": {"value": "1234"}}):
            check(swagger, "post", f"/{name}", api.post(f"{BASE}/{name}", bad, None))
        check(swagger, "get", f"/{name}/{{id}}", api.get(f"{BASE}/{name}/none"))
        check(swagger, "post", f"/{name}", api.post(f"{BASE}/{name}", body, None, token="none"))
    where = f"{BASE}/reserveBalance/{api.get(f'{BASE}/reserveBalance', **{'partyAccount.id': '2'}).json()[0]['id']}"
    for status in (204, 204):
        assert api.ask(lambda client: client.delete(where)).status_code == status
    check(swagger, "get", "/reserveBalance/{id}", api.get(where))
    check(swagger, "delete", "/reserveBalance/{id}", api.ask(lambda client: client.delete(where + "0")))
    action = api.get(f"{BASE}/balanceAction", **{"partyAccount.id": "2"}).json()[0]["id"]
    check(swagger, "get", "/balanceAction/{id}", api.get(f"{BASE}/balanceAction/{action}"))
    check(swagger, "get", "/balanceAction/{id}", api.get(f"{BASE}/balanceAction/2-none"))
    for path in ("/bucket", "/accumulatedBalance", "/balanceAction"):
        for query in ({"partyAccount.id": "1"}, {"logicalResource.value": BEN[1]}, {}, {"partyAccount.id": "77"},
                      {"partyAccount.id": "2", "fields": "id,name", "limit": "1"}):
            check(swagger, "get", path, api.get(BASE + path, **query))
    for path, known in (("/bucket/{id}", "1-money"), ("/accumulatedBalance/{id}", "1")):
        for name in (known, "7-money", "x"):
            check(swagger, "get", path, api.get(BASE + path.format(id=name)))


def test_changes_listeners_and_events_are_of_the_swaggers_shape(swagger: dict[str, Any], tmp_path: Path
                                                                ) -> None:
    keys = tmp_path / "keys"
    Keys.open(keys)
    site = HandMade(tmp_path, keys)
    site.calls(1, "090000", [(1, "08:00")])
    site.run()
    api, heard = HubApi(site), Heard()
    made = api.post(f"{BASE}/hub", {"callback": heard.uri}, None)
    check(swagger, "post", "/hub", made)
    check(swagger, "post", "/hub", api.post(f"{BASE}/hub", {"callback": "http://elsewhere/"}, None))
    for name in ("topupBalance", "adjustBalance", "transferBalance", "reserveBalance"):
        body = {"amount": {"amount": 0.25}, "partyAccount": {"id": "2"}, "receiverPartyAccount": {"id": "1"}}
        where = f"{BASE}/{name}/{api.post(f'{BASE}/{name}', body, None).json()['id']}"
        update = {"description": "another"}
        jsonschema.Draft4Validator({**swagger["definitions"][name[0].upper() + name[1:] + "_Update"],
                                    "definitions": swagger["definitions"]}).validate(update)
        for body in (update, {"amount": 7}, []):
            check(swagger, "patch", f"/{name}/{{id}}", api.patch(where, body))
        check(swagger, "patch", f"/{name}/{{id}}", api.patch(where + "0", {}))
    check(swagger, "patch", "/reserveBalance/{id}", api.patch(where, {"status": "completed"}))
    api.idle()
    assert {event["eventType"] for event in heard.events} == set(TYPES)
    for event in heard.events:
        jsonschema.Draft4Validator({"$ref": f"#/definitions/{event['eventType']}",
                                    "definitions": swagger["definitions"]}).validate(event)
        path = f"/listener/{event['eventType'][0].lower()}{event['eventType'][1:]}"
        assert path in swagger["paths"]
    check(swagger, "delete", "/hub/{id}", api.ask(lambda client: client.delete(f"{BASE}/hub/none")))
    assert api.ask(lambda client: client.delete(f"{BASE}/hub/{made.json()['id']}")).status_code == 204
    api.stop()
    heard.close()


def test_every_path_is_the_swaggers(swagger: dict[str, Any]) -> None:
    for route in ROUTES:
        if route.tmf:
            path = route.path.removeprefix(BASE)
            assert route.method.lower() in swagger["paths"][path], route
    assert swagger["basePath"].rstrip("/") == BASE
