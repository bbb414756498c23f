"""TMF654's hub and PATCH: who registered is told, again until it has heard, and only where it may be called."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from pipelines.balance_api.desk import NodeDesk
from pipelines.balance_api.serve import api_of
from pipelines.balance_api.store import ApiStore
from pipelines.balance_api.tmf import BASE
from pipelines.balance_api.tokens import SCOPES, Tokens
from pipelines.serve.node import OnlineNode
from schemas.timepoint import format_time
from tests.integration.hand_made import BEN, HandMade
from tests.integration.test_balance_api import Api
from tests.support.privacy import find_personal

HUB = f"{BASE}/hub"
LOOPBACK = ("127.0.0.1",)


class Heard:
    """A listener of its own; answers what `status` says."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.status, heard = 204, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["content-type"] == "application/json"
                if heard.status < 300:
                    heard.events.append(json.loads(body))
                self.send_response(heard.status)
                if heard.status == 302:
                    self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_port}/told?secret=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def types(self) -> list[str]:
        return [event["eventType"] for event in self.events]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def heard() -> Iterator[Heard]:
    found = Heard()
    yield found
    found.close()


class HubApi(Api):
    """The same application, whose notifier may call this machine."""

    def start(self) -> None:
        super().start()
        self.runner.run(self._listen())

    async def _listen(self) -> None:
        self.store.close()
        self.app, self.store = api_of(self.desk, self.site.home, lambda: self.clock_s, LOOPBACK)
        self.notifier = self.app.state.notifier
        self.notifier._pause_s = 0.01
        self.notifier.start()

    def stop(self) -> None:
        self.runner.run(self.notifier.stop())
        super().stop()

    def patch(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.ask(lambda client: client.patch(path, json=body, headers=headers))

    def until(self, done: Any) -> None:
        async def wait() -> None:
            async with asyncio.timeout(10):
                while not done():
                    await asyncio.sleep(0.01)

        self.runner.run(wait())

    def idle(self) -> None:
        """Until nobody waits for anything."""
        self.until(lambda: not (self.store.listeners.waiting() or self.notifier._changed or self.notifier._busy))


@pytest.fixture
def api(tmp_path: Path, keys: Path) -> Iterator[HubApi]:
    site = HandMade(tmp_path, keys)
    site.calls(1, "090000", [(1, "08:00")])
    site.run()
    made = HubApi(site)
    yield made
    made.stop()


def topup(api: Api, amount: float, key: str | None = None) -> httpx.Response:
    return api.post(f"{BASE}/topupBalance", {"amount": {"amount": amount}, "partyAccount": {"id": "2"}}, key)


def test_listeners_are_told_what_they_asked_for_and_unregister(api: HubApi, heard: Heard) -> None:
    made = api.post(HUB, {"callback": heard.uri}, None)
    assert made.status_code == 201 and made.headers["location"] == f"{HUB}/{made.json()['id']}"
    assert api.post(HUB, {"callback": heard.uri}, None).json() == made.json()
    some = Heard()
    chosen = api.post(HUB, {"callback": some.uri, "query": "eventType=TopupBalanceCreateEvent&partyAccount.id=1"}, None)
    first = topup(api, 1.25, "k1")
    assert topup(api, 1.25, "k1").content == first.content  # the same again is told once
    api.idle()
    assert heard.types() == ["TopupBalanceCreateEvent", "BucketAttributeValueChangeEvent"]
    event, bucket = heard.events
    assert event["event"]["topupBalance"] == first.json() and event["eventId"] == f"{first.json()['id']}-CreateEvent"
    assert bucket["event"]["bucket"] == api.get(f"{BASE}/bucket/2-money").json()
    assert not some.events
    other = api.tokens.create("other", ["hub:write"])
    where = f"{HUB}/{made.json()['id']}"
    assert api.ask(lambda client: client.delete(where), other).status_code == 404
    assert [api.ask(lambda client: client.delete(where)).status_code for _ in range(2)] == [204, 404]
    api.post(f"{BASE}/topupBalance", {"amount": {"amount": 1}, "partyAccount": {"id": "1"}}, None)
    api.idle()
    assert len(heard.events) == 2 and some.types() == ["TopupBalanceCreateEvent"]
    assert chosen.json()["query"].startswith("eventType")
    some.close()
    assert not find_personal(api.site.home.root / "api", [BEN[1]])


def test_what_was_not_taken_is_told_again_in_order_also_after_a_restart(api: HubApi, heard: Heard) -> None:
    api.post(HUB, {"callback": heard.uri, "query": "eventType=TopupBalanceCreateEvent"}, None)
    for status in (500, 302):  # nobody follows where that leads
        heard.status = status
        topup(api, 1.0)
        topup(api, 2.0)
        api.until(lambda: api.notifier.failed >= 2)
        api.restart()
    assert not heard.events
    heard.status = 200
    api.idle()
    assert [e["event"]["topupBalance"]["amount"]["amount"] for e in heard.events] == [1, 2, 1, 2]
    heard.status = 410
    topup(api, 3.0)
    api.until(lambda: not api.store.listeners.all())
    assert not api.store.listeners.waiting()


def test_a_listener_is_as_good_as_its_token(api: HubApi, heard: Heard) -> None:
    token = api.tokens.create("shop", ["hub:write"])
    assert api.post(HUB, {"callback": heard.uri}, None, token).status_code == 201
    assert api.post(HUB, {"callback": heard.uri}, None, api.tokens.create("app", ["balance:read"])).status_code == 403
    api.tokens.revoke("shop")
    topup(api, 1.0)
    api.until(lambda: not api.store.listeners.all())
    assert not heard.events


@pytest.mark.parametrize("callback", [
    "http://10.0.0.1/", "http://localhost:1/", "http://[::1]/", "http://169.254.169.254/latest", "file:///etc/passwd",
    "http://127.0.0.1@10.0.0.1/", "http://user@127.0.0.1/", "http://127.0.0.1#@x/", "gopher://127.0.0.1/", "nothing",
    "http://127.0.0.1:99999/", "http://2130706433/", "http://127.0.0.1.example.com/"])
def test_nobody_is_called_whom_the_operator_does_not_list(api: HubApi, callback: str) -> None:
    assert api.post(HUB, {"callback": callback}, None).status_code == 400
    assert not api.store.listeners.all()


@pytest.mark.parametrize("query", ["eventType=Other", "x=1", "partyAccount.id=a", "eventType", "a&b", "=" * 400,
                                   "partyAccount.id=1&partyAccount.id=2"])
def test_a_query_that_is_not_understood_is_refused(api: HubApi, query: str) -> None:
    assert api.post(HUB, {"callback": "http://127.0.0.1/", "query": query}, None).status_code == 400


def test_who_does_not_listen_has_so_many_events_and_no_more(api: HubApi, heard: Heard, monkeypatch: pytest.MonkeyPatch
                                                           ) -> None:
    monkeypatch.setattr("pipelines.balance_api.listeners.MOST_WAITING", 3)
    monkeypatch.setattr("pipelines.balance_api.listeners.MOST_OF_ONE", 1)
    api.post(HUB, {"callback": heard.uri, "query": "eventType=TopupBalanceCreateEvent"}, None)
    assert api.post(HUB, {"callback": heard.uri}, None).status_code == 409
    heard.status = 503
    for amount in range(1, 6):
        topup(api, amount)
    assert api.store.listeners.dropped == 2
    heard.status = 200
    api.idle()
    assert [e["event"]["topupBalance"]["amount"]["amount"] for e in heard.events] == [1, 2, 3]


def test_texts_may_change_and_what_was_posted_may_not(api: HubApi, heard: Heard) -> None:
    api.post(HUB, {"callback": heard.uri, "query": "eventType=TopupBalanceAttributeValueChangeEvent"}, None)
    made = topup(api, 5.5, "k9")
    where = f"{BASE}/topupBalance/{made.json()['id']}"
    changed = api.patch(where, {"description": "of March", "amount": made.json()["amount"]})
    assert changed.status_code == 200 and changed.json() == {**made.json(), "description": "of March"}
    assert api.get(where).json() == changed.json()
    assert api.get(f"{BASE}/topupBalance", **{"partyAccount.id": "2"}).json() == [changed.json()]
    assert topup(api, 5.5, "k9").content == made.content  # what was answered then stays
    gone = api.ask(lambda client: client.patch(where, content=b'{"description": null, "reason": "gift"}', headers={
        "content-type": "application/merge-patch+json"}))
    assert gone.json() == {**made.json(), "reason": "gift"}
    for body, status in (({"amount": {"amount": 6, "units": "EUR"}}, 422), ({"status": "cancelled"}, 422),
                         ({"isAutoTopup": True}, 422), ({"reason": 7}, 400), ({"reason": "x" * 401}, 400), ([], 400)):
        assert api.patch(where, body).status_code == status
    assert api.patch(where.replace("topup", "adjust"), {}).status_code == 404
    assert api.patch(where + "0", {}).status_code == 404
    api.idle()
    assert [e["event"]["topupBalance"].get("reason") for e in heard.events] == [None, "gift"]


def test_a_reservation_is_taken_in_part_or_cancelled_by_patch(api: HubApi, heard: Heard) -> None:
    api.post(HUB, {"callback": heard.uri, "query": "eventType=ReserveBalanceStatusChangeEvent"}, None)

    def reserve() -> str:
        made = api.post(f"{BASE}/reserveBalance", {"amount": {"amount": 2}, "partyAccount": {"id": "2"}}, None)
        return f"{BASE}/reserveBalance/{made.json()['id']}"

    def money() -> Any:
        return api.get(f"{BASE}/bucket/2-money").json()["remainingValue"]["amount"]

    before, first, second, third = money(), reserve(), reserve(), reserve()
    assert money() == before - 6
    assert api.patch(first, {"status": "completed", "amount": {"amount": 3}}).status_code == 409
    assert api.patch(first, {"status": "completed", "amount": {"amount": 1, "units": "USD"}}).status_code == 422
    assert api.patch(first, {"amount": {"amount": 1}}).status_code == 422
    for _ in range(2):
        taken = api.patch(first, {"status": "completed", "amount": {"amount": 0.5, "units": "EUR"}})
        assert (taken.status_code, taken.json()["status"]) == (200, "completed")
        assert api.patch(second, {"status": "cancelled"}).json()["status"] == "cancelled"
        assert money() == before - 2.5
    assert api.patch(first, {"status": "cancelled"}).status_code == 409
    assert api.patch(second, {"status": "completed"}).status_code == 409
    assert api.post(f"/v1/reservations/{third.rpartition('/')[2]}/debit", {}, "k3").status_code == 201
    assert money() == before - 2.5
    api.idle()
    assert [e["event"]["reserveBalance"]["status"] for e in heard.events] == ["completed", "cancelled", "completed"]


def test_a_node_tells_of_balances_that_anything_changed(tmp_path: Path, keys: Path, heard: Heard) -> None:
    """Commands by whatever way; and thresholds, which the node says by itself."""
    site = HandMade(tmp_path, keys)
    site.calls(1, "090000", [(1, "08:00")])
    site.run()

    async def run() -> None:
        node = OnlineNode(site.input, site.home)
        app, store = api_of(NodeDesk(node), site.home, notify_hosts=LOOPBACK)
        Tokens(site.home.root).create("all", SCOPES)
        store.listeners.add("all", heard.uri, "", (), 2, 1)
        await node.start()
        app.state.notifier.start()
        await node.command({"id": "a", "time": "2026-11-22T12:00:00Z", "kind": "top_up", "account_id": 2,
                            "amount": "1.00", "currency": "EUR"})
        until = time.monotonic() + 10
        while not heard.events and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for listener in node.on_reached:
            listener(np.array([1, 2]))
        while len(heard.events) < 2 and time.monotonic() < until:
            await asyncio.sleep(0.01)
        await app.state.notifier.stop()
        await node.stop()
        store.close()
        node.close()

    asyncio.run(run())
    assert heard.types() == ["BucketAttributeValueChangeEvent"] * 2
    assert all(e["event"]["bucket"]["id"] == "2-money" for e in heard.events)


def test_that_a_reservation_is_over_by_the_clock_is_told_once_also_by_another_process(tmp_path: Path, keys: Path,
                                                                                     heard: Heard) -> None:
    site = HandMade(tmp_path, keys)
    site.calls(1, "090000", [(1, "08:00")])
    site.run()
    made: list[str] = []

    async def run() -> None:
        node = OnlineNode(site.input, site.home)
        token = Tokens(site.home.root).create("all", SCOPES)
        await node.start()

        async def reserve(app: Any, lasts_s: float) -> None:
            until = format_time(time.time_ns() // 1000 + int(lasts_s * 1e6))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
                answer = await client.post(
                    f"{BASE}/reserveBalance", headers={"authorization": f"Bearer {token}"},
                    json={"amount": {"amount": 1}, "partyAccount": {"id": "2"}, "expirationDate": until})
            assert answer.status_code == 201, answer.text
            made.append(answer.json()["id"])

        async def told(count: int) -> None:
            async with asyncio.timeout(15):
                while len(heard.events) < count:
                    await asyncio.sleep(0.02)

        @asynccontextmanager
        async def serving() -> AsyncIterator[tuple[Any, ApiStore]]:
            app, store = api_of(NodeDesk(node), site.home, notify_hosts=LOOPBACK)
            app.state.notifier.start()
            try:
                yield app, store
            finally:
                await app.state.notifier.stop()
                store.close()

        try:
            async with serving() as (app, store):
                store.listeners.add("all", heard.uri, "", ("ReserveBalanceStatusChangeEvent",), 2, 1)
                await reserve(app, 0.5)
                await told(1)
                await reserve(app, 0.5)
            await asyncio.sleep(2)  # it is over while nobody listens
            async with serving() as (app, store):
                await told(2)
                await asyncio.sleep(1.2)  # another look
                assert not store.expiries.due(1 << 62, 10)
        finally:
            await node.stop()
            node.close()

    asyncio.run(run())
    assert [(e["eventType"], e["event"]["reserveBalance"]["id"], e["event"]["reserveBalance"]["status"])
            for e in heard.events] == [("ReserveBalanceStatusChangeEvent", name, "expired") for name in made]
