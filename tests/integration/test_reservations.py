"""Money reserved over HTTP: held, debited, given back, over by the clock; once for each key, also after a restart."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.apps.cli import main
from pipelines.balance_api.tmf import BASE
from pipelines.controls import run_controls
from pipelines.ledger.sql import asking
from rating.snapshot import same_state
from schemas.timepoint import SECOND_US, format_time
from tests.integration.hand_made import BEN
from tests.integration.test_balance_api import Api
from tests.integration.test_serve import ACCOUNT, InProcess, laws, replayed, site_of, until

WHO = {"msisdn": BEN[1]}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Api]:
    """Ben has a euro, and may go 50 below zero."""
    api = Api.in_use(tmp_path_factory.mktemp("api"), keys)
    yield api
    api.stop()


def money(api: Api) -> tuple[Decimal, Decimal, Decimal]:
    """(balance, held, available) of Ben."""
    told = api.get(f"/v1/balance/{BEN[1]}").json()
    balance, held, available = (Decimal(told[name]) for name in ("balance", "held", "available"))
    assert balance + Decimal(told["credit_limit"]) == held + available
    return balance, held, available


def moved(api: Api, before: tuple[Decimal, ...], *by: str) -> bool:
    """Whether balance, held and available changed by so much."""
    return tuple(now - then for now, then in zip(money(api), before, strict=True)) == tuple(map(Decimal, by))


def reserve(api: Api, key: str, amount: str, **more: Any) -> httpx.Response:
    return api.post("/v1/reservations", {**WHO, "amount": amount, **more}, key)


def test_what_is_reserved_is_held_and_belongs_to_the_account_until_it_is_taken(api: Api) -> None:
    before = money(api)
    made = reserve(api, "r1", "10.00")
    name = made.json()["id"]
    assert made.status_code == 201 and made.json()["state"] == "open"
    assert moved(api, before, "0", "10", "-10")
    assert reserve(api, "r1", "10.00").content == made.content and moved(api, before, "0", "10", "-10")
    api.restart()
    assert reserve(api, "r1", "10.00").content == made.content and moved(api, before, "0", "10", "-10")
    assert api.get(f"/v1/reservations/{name}").json()["state"] == "open"

    too_much = api.post(f"/v1/reservations/{name}/debit", {"amount": "10.01"}, "d0")
    assert too_much.status_code == 422 and "at most 10.00" in too_much.text
    taken = api.post(f"/v1/reservations/{name}/debit", {"amount": "3.50"}, "d1")
    assert (taken.status_code, taken.json()["debited"]) == (201, "3.50")
    assert moved(api, before, "-3.5", "0", "-3.5")
    api.restart()
    assert api.post(f"/v1/reservations/{name}/debit", {"amount": "3.50"}, "d1").content == taken.content
    for what in ("debit", "release"):
        over = api.post(f"/v1/reservations/{name}/{what}", {}, f"again-{what}")
        assert over.status_code == 422 and "it was used" in over.text
    assert api.get(f"/v1/reservations/{name}").json() | {"until": ""} == {
        "id": name, "account_id": 2, "state": "used", "amount": "10.00", "currency": "EUR", "until": "",
        "debited": "3.50"}
    assert moved(api, before, "-3.5", "0", "-3.5")


def test_no_more_is_reserved_than_can_be_spent_and_all_of_it_comes_back(api: Api) -> None:
    before = money(api)
    assert reserve(api, "all", str(before[2])).status_code == 201
    refused = reserve(api, "more", "0.000000001")
    assert refused.status_code == 422 and "at most 0.00" in refused.text
    assert api.post("/v1/transfer", {**WHO, "to_account_id": 1, "amount": "0.01"}, "none-left").status_code == 422
    name = reserve(api, "all", str(before[2])).json()["id"]
    assert api.post(f"/v1/reservations/{name}/release", {}, "back").status_code == 201
    assert money(api) == before
    for bad, status in (({"amount": "0"}, 422), ({"amount": "-1"}, 422), ({"amount": "1", "valid_s": 0}, 400),
                        ({"amount": "1", "valid_s": 36 * 86_400}, 400), ({"amount": "1", "currency": "USD"}, 422),
                        ({}, 400)):
        assert api.post("/v1/reservations", {**WHO, **bad}, f"bad{bad}".replace(":", "")).status_code == status
    for name in ("x", "0" * 32, "../1"):
        assert api.get(f"/v1/reservations/{name}").status_code == 404
    assert money(api) == before


def test_tmf_reserves_tells_what_became_of_it_and_deletes(api: Api) -> None:
    before = money(api)
    body = {"amount": {"amount": 2.25, "units": "EUR"}, "partyAccount": {"id": "2"}, "reason": "a film",
            "expirationDate": "2099-01-01T00:00:00Z"}
    assert api.post(f"{BASE}/reserveBalance", body, "t0").status_code == 422  # that far away
    made = api.post(f"{BASE}/reserveBalance", {**body, "expirationDate": None}, "t1")
    assert (made.status_code, made.json()["status"], made.json()["@type"]) == (201, "confirmed", "ReserveBalance")
    where = f"{BASE}/reserveBalance/{made.json()['id']}"
    assert made.headers["location"] == where and api.get(where).json() == made.json()
    bucket = api.get(f"{BASE}/bucket/2-money").json()
    assert Decimal(str(bucket["reservedValue"]["amount"])) == Decimal("2.25")
    delete = lambda: api.ask(lambda client: client.delete(where))  # noqa: E731
    assert delete().status_code == 204 and money(api) == before
    assert delete().status_code == 204 and money(api) == before
    assert api.get(where).json()["status"] == "cancelled"
    listed = api.get(f"{BASE}/reserveBalance", **{"partyAccount.id": "2"}).json()
    assert [each["status"] for each in listed] == ["cancelled"]

    other = api.post(f"{BASE}/reserveBalance", {**body, "expirationDate": None}, "t2").json()["id"]
    assert api.post(f"/v1/reservations/{other}/debit", {}, "t2-debit").json()["debited"] == "2.25"
    assert api.get(f"{BASE}/reserveBalance/{other}").json()["status"] == "completed"
    where = f"{BASE}/reserveBalance/{other}"
    assert delete().status_code == 409
    action = next(a for a in api.get(f"{BASE}/balanceAction", **{"partyAccount.id": "2"}).json()
                  if a["reason"] == "fee" and a["amount"]["amount"] == -2.25)
    assert api.get(f"{BASE}/balanceAction/{action['id']}").json() == action
    assert api.get(f"{BASE}/balanceAction/{action['id']}0").status_code == 404


def test_ledger_timeline_and_controls_know_of_it(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    before = money(api)
    kept = reserve(api, "kept", "1.23").json()["id"]
    api.stop()
    try:
        with asking(api.site.ledger) as connection:
            assert {o.control.name for o in run_controls(connection) if o.red} == set()
        with pytest.raises(SystemExit):
            main(["account", "timeline", BEN[1], "--at", format_time(time.time_ns() // 1000), "--within", "9 d",
                  "--home", str(api.site.home.root), "--input", str(api.site.input.root)])
        said = capsys.readouterr()
        words = " ".join((said.out + said.err).split())
        assert "reserve (amount 10.00" in words and "reservation_debit (amount 3.50" in words, words
    finally:
        api.start()
    assert moved(api, before, "0", "1.23", "-1.23") and api.get(f"/v1/reservations/{kept}").json()["state"] == "open"


def test_a_node_gives_back_what_is_over_by_itself_and_a_replay_does_the_same(day: Path, tmp_path: Path, keys: Path
                                                                             ) -> None:
    site = site_of(day, tmp_path, keys)
    with InProcess(site, tmp_path) as running:
        node, now_us = running.node, time.time_ns() // 1000

        def send(name: str, kind: str, **fields: Any) -> str:
            command = {"id": name, "time": format_time(now_us), "kind": kind, "account_id": ACCOUNT, **fields}
            return asyncio.run_coroutine_threadsafe(node.command(command), running.loop).result(20).status

        row = node.book.row_of(ACCOUNT)
        before = node.book.money(row)
        for name, lasts in (("short", 2), ("long", 3600)):
            assert send(name, "reserve", amount="1.50", currency="EUR", until=format_time(
                now_us + lasts * SECOND_US)) == "done"
        assert send("short", "reserve", amount="1.50", currency="EUR") == "repeated"
        assert before - node.book.money(row) == 3 * 10**9
        until(lambda: before - node.book.money(row) == 15 * 10**8, 20)
    assert laws(site) == set()
    ended = [r for r in site.rows("grant") if r["released"]]
    assert [(r["account_id"], r["unit"], r["source"], r["result_code"]) for r in ended] == [
        (ACCOUNT, "money", "commands", 2001)]
    assert site.money(ACCOUNT) * 10**9 == before  # held is the account's: nothing was posted
    one, other = replayed(site)
    assert same_state(one, other) and [r.state for r in one.reservations.by_key.values()].count(0) == 1
