"""The balance API over a home: who may what, once for each key, exact money, problem details; a restart in between."""

import asyncio
import datetime as dt
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.accounts.desk import HomeDesk
from pipelines.balance_api.app import ROUTES
from pipelines.balance_api.desk import ThreadDesk
from pipelines.balance_api.rest import KINDS
from pipelines.balance_api.serve import Listen, api_of, bind, make_server
from pipelines.balance_api.tmf import BASE
from pipelines.balance_api.tokens import SCOPES, Tokens
from schemas.errors import ChargingError
from tests.integration.hand_made import ANNA, BEN, HandMade
from tests.support.privacy import find_personal

Asked = Callable[[httpx.AsyncClient], Awaitable[Any]]


class Api:
    """The application over a site."""

    def __init__(self, site: HandMade) -> None:
        self.site, self.clock_s = site, 0.0  # a minute passes between two questions
        self.tokens = Tokens(site.home.root)
        self.all = self.tokens.create("all", SCOPES, rate_per_minute=1_000_000)
        self.start()

    @classmethod
    def in_use(cls, folder: Path, keys: Path) -> "Api":
        """Over a new site. Anna has called; Ben has a euro, and may go 50 below zero."""
        site = HandMade(folder, keys)
        site.calls(1, "090000", [(1, "08:00")])
        site.run()
        return cls(site)

    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.desk = ThreadDesk(HomeDesk(self.site.input, self.site.home))
        self.app, self.store = api_of(self.desk, self.site.home, lambda: self.clock_s)

    def stop(self) -> None:
        self.runner.close()
        self.store.close()
        self.desk.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def ask(self, asked: Asked, token: str | None = None) -> Any:
        async def run() -> Any:
            headers = {"Authorization": f"Bearer {self.all if token is None else token}"}
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://node",
                                         headers=headers) as client:
                return await asked(client)

        self.clock_s += 60
        return self.runner.run(run())

    def get(self, path: str, token: str | None = None, **query: str) -> httpx.Response:
        return self.ask(lambda client: client.get(path, params=query), token)

    def post(self, path: str, body: Any, key: str | None = "k", token: str | None = None, **headers: str
             ) -> httpx.Response:
        if key is not None:
            headers["Idempotency-Key"] = key
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask(lambda client: client.post(
            path, content=content, headers={"Content-Type": "application/json", **headers}), token)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Api]:
    """Tests use idempotency keys and money of their own; nobody relies on another's balance."""
    api = Api.in_use(tmp_path_factory.mktemp("api"), keys)
    yield api
    api.stop()


def balance(api: Api, who: str = BEN[1]) -> Decimal:
    return Decimal(api.get(f"/v1/balance/{who}").json()["balance"])


def test_a_balance_is_decimal_text_by_number_or_account(api: Api) -> None:
    told = api.get(f"/v1/balance/+{ANNA[1]}")
    assert told.status_code == 200 and told.headers["cache-control"] == "no-store"
    assert told.json()["balance"] == "0.36" and told.json()["plans"] == ["prepaid-basic"]
    assert told.json() == api.get("/v1/accounts/1").json()


def test_a_top_up_counts_once_for_its_key_also_after_a_restart(api: Api) -> None:
    before = balance(api)
    body = {"msisdn": BEN[1], "amount": "0.1"}
    first = api.post("/v1/topup", body, "once")
    api.restart()
    second = api.post("/v1/topup", body, "once")
    assert (first.status_code, second.status_code, first.content) == (201, 201, second.content)
    assert second.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
    assert balance(api) == before + Decimal("0.1")
    other = api.post("/v1/topup", {**body, "amount": "0.2"}, "once")
    assert other.status_code == 409 and other.headers["content-type"] == "application/problem+json"
    assert balance(api) == before + Decimal("0.1")


def test_an_answer_that_was_lost_before_it_was_kept_is_given_again(api: Api) -> None:
    """Killed between the command and its answer: the journal has the command, the store has not the answer."""
    before, body = balance(api), {"msisdn": BEN[1], "amount": "1.00"}
    api.stop()
    with HomeDesk(api.site.input, api.site.home) as desk:
        assert desk.send({"id": "api:all:lost", "time": "2026-10-21T10:00:00Z", "kind": "top_up", "account_id": 2,
                          "amount": "1.00", "currency": "EUR", "who": "all"}).status == "done"
    api.start()
    told = api.post("/v1/topup", body, "lost")
    assert told.status_code == 201 and told.json()["amount"] == "1.00"
    assert balance(api) == before + 1


def test_many_at_once_with_one_key_are_one(api: Api) -> None:
    before = balance(api)

    async def together(client: httpx.AsyncClient) -> list[httpx.Response]:
        return list(await asyncio.gather(*(client.post(
            "/v1/topup", json={"account_id": 2, "amount": "0.01"}, headers={"Idempotency-Key": "race"})
            for _ in range(8))))

    answers = api.ask(together)
    assert {a.content for a in answers} == {answers[0].content} and answers[0].status_code == 201
    assert balance(api) == before + Decimal("0.01")


@pytest.mark.parametrize("amount", ["0.000000001", "0.10", "922337203.685477580", "3"])
def test_money_is_exact_in_and_out_under_tmf_paths_too(api: Api, amount: str) -> None:
    before = balance(api)
    body = b'{"amount": {"amount": %s, "units": "EUR"}, "partyAccount": {"id": "2"}}' % amount.encode()
    told = api.post(f"{BASE}/topupBalance", body, f"exact-{amount}")
    assert told.status_code == 201, told.text
    assert json.loads(told.content, parse_float=Decimal, parse_int=Decimal)["amount"]["amount"] == Decimal(amount)
    assert json.loads(api.get(f"{BASE}/bucket/2-money").content, parse_float=Decimal, parse_int=Decimal
                      )["remainingValue"]["amount"] == before + Decimal(amount)
    assert balance(api) == before + Decimal(amount)
    taken = api.post(f"{BASE}/adjustBalance", body[:-1] + b', "adjustType": "debit"}', f"back-{amount}")
    assert taken.status_code == 201 and balance(api) == before


def test_a_transfer_moves_and_a_refusal_says_why_and_stays_one(api: Api) -> None:
    api.post("/v1/topup", {"account_id": 2, "amount": "5.00"}, "for the transfer")
    before, anna = balance(api), balance(api, ANNA[1])
    body = {"msisdn": BEN[1], "to_msisdn": ANNA[1], "amount": "2.00", "fee": "0.50"}
    assert api.post("/v1/transfer", body, "t1").status_code == 201
    assert (balance(api), balance(api, ANNA[1])) == (before - Decimal("2.50"), anna + 2)
    refused = api.post("/v1/transfer", {**body, "amount": "100000.00"}, "t2")
    assert refused.status_code == 422 and refused.json()["title"] == "The command was refused"
    api.restart()
    assert refused.content == api.post("/v1/transfer", {**body, "amount": "100000.00"}, "t2").content
    told = api.post(f"{BASE}/transferBalance", {"amount": {"amount": 1}, "partyAccount": {"id": "1"},
                                                "receiverLogicalResource": {"value": BEN[1]}}, "t3")
    assert told.status_code == 201 and told.json()["receiverPartyAccount"] == {"id": "2"}
    assert balance(api, ANNA[1]) == anna + 1


def test_what_was_made_is_listed_and_found_again(api: Api) -> None:
    made = api.post(f"{BASE}/topupBalance", {"amount": {"amount": 1.5}, "logicalResource": {"value": BEN[1]},
                                             "description": "a voucher of the shop"}, None)
    assert made.status_code == 201
    assert api.get(made.headers["location"]).content == made.content
    listed = api.get(f"{BASE}/topupBalance", **{"partyAccount.id": "2", "limit": "1"})
    assert listed.json() == [made.json()] and int(listed.headers["x-total-count"]) >= 1
    assert api.get(f"{BASE}/adjustBalance/{made.json()['id']}").status_code == 404
    actions = api.get(f"{BASE}/balanceAction", **{"partyAccount.id": "2"}).json()
    assert any(made.json()["id"] in action["id"] for action in actions)  # the ledger's movement is the resource
    assert {a["reason"] for a in actions} >= {"top_up"}
    history = api.get(f"/v1/balance/{BEN[1]}/history").json()["movements"]
    assert history[-1]["balance_after"] == str(balance(api))


def test_accounts_are_made_and_changed(api: Api) -> None:
    body = {"kind": "account_create", "account_id": 50, "fields": {
        "currency": "EUR", "plan": "prepaid-basic", "time_zone": "UTC"}}
    assert api.post("/v1/commands", body, "c1").status_code == 201
    body = {"kind": "service_add", "account_id": 50, "fields": {"service_id": 500, "new_msisdn": "999700000555"}}
    made = api.post("/v1/commands", body, "c2")
    assert made.status_code == 201 and "555" not in made.text.replace(made.json()["id"], "")
    assert api.get("/v1/balance/999700000555").json()["account_id"] == 50
    again = api.post("/v1/commands", body, "c3")
    assert again.status_code == 422 and "service 500" in again.json()["detail"]
    assert api.post("/v1/commands", {**body, "kind": "clock"}, "c4").status_code == 422
    assert api.post("/v1/commands", {**body, "fields": {"line": "x"}}, "c5").status_code == 400


BAD = [  # (path, body, status)
    ("/v1/topup", b"", 400), ("/v1/topup", b"[", 400), ("/v1/topup", b"[" * 60_000, 400), ("/v1/topup", b"null", 400),
    ("/v1/topup", {"msisdn": BEN[1], "amount": 1.5}, 400), ("/v1/topup", {"msisdn": BEN[1], "amount": "1e3"}, 400),
    ("/v1/topup", {"msisdn": BEN[1], "amount": "NaN"}, 400), ("/v1/topup", {"amount": "1.00"}, 400),
    ("/v1/topup", {"msisdn": BEN[1], "account_id": 2, "amount": "1.00"}, 400),
    ("/v1/topup", {"msisdn": BEN[1], "amount": "1.00", "extra": 1}, 400),
    ("/v1/topup", {"msisdn": BEN[1], "amount": "-1.00"}, 422), ("/v1/topup", {"msisdn": BEN[1], "amount": "0"}, 422),
    ("/v1/topup", {"msisdn": BEN[1], "amount": "1.00", "currency": "USD"}, 422),
    ("/v1/topup", {"msisdn": "999700009999", "amount": "1.00"}, 404),
    ("/v1/topup", {"msisdn": "x", "amount": "1"}, 400),
    ("/v1/topup", {"account_id": 77, "amount": "1.00"}, 404), ("/v1/topup", {"account_id": -1, "amount": "1"}, 400),
    ("/v1/topup", b" " * 70_000, 413), ("/v1/topup", b'{"msisdn": "\xff", "amount": "1"}', 400),
    (f"{BASE}/topupBalance", b'{"amount": {"amount": 1e999999}, "partyAccount": {"id": "2"}}', 400),
    (f"{BASE}/topupBalance", b'{"amount": {"amount": 0.0000000001}, "partyAccount": {"id": "2"}}', 400),
    (f"{BASE}/topupBalance", {"amount": {"amount": 1}, "partyAccount": {"id": "2"}, "bucket": {"id": "1-money"}}, 422),
    (f"{BASE}/topupBalance", {"amount": {"amount": 1}, "bucket": {"id": "2-77"}}, 422),
    (f"{BASE}/topupBalance", {"amount": {"amount": 1}, "bucket": {"id": "nonsense"}}, 400),
    (f"{BASE}/topupBalance", {"amount": {"amount": 1, "units": "B"}, "partyAccount": {"id": "2"}}, 422),
    (f"{BASE}/topupBalance", {"partyAccount": {"id": "2"}}, 400),
]


def test_what_cannot_be_is_told_as_problem_details_and_changes_nothing(api: Api) -> None:
    before = balance(api)

    async def all_of_them(client: httpx.AsyncClient) -> None:
        for number, (path, body, status) in enumerate(BAD):
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            told = await client.post(path, content=content, headers={"Content-Type": "application/json",
                                                                     "Idempotency-Key": f"bad-{number}"})
            assert told.status_code == status, (path, body[:40] if isinstance(body, bytes) else body, told.text)
            assert told.headers["content-type"] == "application/problem+json"
            assert {"type", "title", "detail", "status"} <= set(told.json()) and BEN[1] not in told.text

        for request, status in (
                (client.build_request("POST", "/v1/topup", content=b"{}", headers={"Idempotency-Key": "x"}), 415),
                (client.build_request("POST", "/v1/topup", json={}), 400),  # no key
                (client.build_request("POST", "/v1/topup", json={}, headers={"Idempotency-Key": "a:b"}), 400),
                (client.build_request("DELETE", "/v1/topup"), 405), (client.build_request("GET", "/nowhere"), 404),
                (client.build_request("GET", "/v1/balance/1" + "0" * 3000), 414),
                (client.build_request("GET", "/v1/balance/12a"), 400),
                (client.build_request("GET", f"{BASE}/bucket"), 400),
                (client.build_request("GET", f"{BASE}/bucket/2-99"), 404),
                (client.build_request("GET", f"{BASE}/bucket?partyAccount.id=2&offset=-1"), 400),
                (client.build_request("GET", f"/v1/balance/{BEN[1]}/history?from=yesterday"), 400)):
            told = await client.send(request)
            assert told.status_code == status, (request.url.path[:60], told.text)
            assert told.headers["content-type"] == "application/problem+json"

    api.ask(all_of_them)
    assert balance(api) == before


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_route_needs_its_scope_and_no_other(api: Api, route: Any) -> None:
    path = route.path.format(msisdn=BEN[1], account_id=2, id="2-money")

    async def status(client: httpx.AsyncClient, token: str | None) -> httpx.Response:
        headers = {"Idempotency-Key": "scope", "Content-Type": "application/json"}
        headers |= {} if token is None else {"Authorization": f"Bearer {token}"}
        client.headers.pop("Authorization", None)
        return await client.request(route.method, path, content=b"{}", headers=headers)

    name = f"{route.method}{abs(hash(route.path))}".lower()
    others = api.tokens.create(f"{name}-not", [s for s in SCOPES if s != route.scope])
    mine = api.tokens.create(f"{name}-mine", [route.scope])

    async def matrix(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await status(client, token) for token in (others, mine, None, "tarifa_wrong", "")]

    refused, allowed, *unknown = api.ask(matrix)
    assert refused.status_code == 403 and route.scope in refused.json()["detail"]
    assert allowed.status_code not in (401, 403, 405, 500)
    assert [each.status_code for each in unknown] == [401, 401, 401]
    assert all(each.headers["www-authenticate"].startswith("Bearer") for each in unknown)
    api.tokens.revoke(f"{name}-not")
    api.tokens.revoke(f"{name}-mine")


def test_a_revoked_or_expired_token_is_nobodys_at_once(api: Api) -> None:
    gone, late = api.tokens.create("gone", ["balance:read"]), api.tokens.create("late", ["balance:read"], expires_us=1)

    async def ask(client: httpx.AsyncClient) -> list[int]:
        def get(token: str) -> Awaitable[httpx.Response]:
            return client.get("/v1/accounts/1", headers={"Authorization": f"Bearer {token}"})

        before = await get(gone)
        api.tokens.revoke("gone")
        return [before.status_code, (await get(gone)).status_code, (await get(late)).status_code]

    assert api.ask(ask) == [200, 401, 401]


def test_too_many_requests_of_a_token_wait_and_others_do_not(api: Api) -> None:
    slow = api.tokens.create("slow", ["balance:read"], rate_per_minute=5)

    async def ask(client: httpx.AsyncClient) -> tuple[list[int], int, str]:
        told = [await client.get("/v1/accounts/1", headers={"Authorization": f"Bearer {slow}"}) for _ in range(7)]
        return [t.status_code for t in told], (await client.get("/v1/accounts/1")).status_code, \
            told[-1].headers["retry-after"]

    statuses, other, after = api.ask(ask)
    assert statuses == [200] * 5 + [429] * 2 and other == 200 and 1 <= int(after) <= 13


def test_audit_and_ledger_name_the_token_and_nothing_holds_a_number_or_a_token(api: Api) -> None:
    api.post("/v1/topup", {"msisdn": BEN[1], "amount": "0.01"}, "audited")
    entry = next(e for e in api.store.audit(20) if e[6] == "api:all:audited")
    assert entry[1:6] == ("all", "POST", "/v1/topup", 201, 2)
    assert find_personal(api.site.home.root, [ANNA[1], ANNA[2], BEN[1], BEN[2]]) == []
    for path in api.site.home.root.rglob("*"):
        assert not path.is_file() or api.all.encode() not in path.read_bytes()
    assert (api.site.home.root / "api" / "tokens.json").stat().st_mode & 0o77 == 0


def test_the_description_has_every_route(api: Api) -> None:
    said = api.get("/openapi.json").json()
    assert {(method.upper(), path) for path, ways in said["paths"].items() for method in ways} == {
        (route.method, route.path) for route in ROUTES}
    assert api.get("/docs").text.count("<tr>") == len(ROUTES) + 1
    assert len(KINDS) == len(set(KINDS))


def test_a_public_address_needs_tls_and_somebody_who_may_ask(tmp_path: Path) -> None:
    nobody = Tokens(tmp_path)
    Listen().check(nobody)
    Listen("::1").check(nobody)
    with pytest.raises(ChargingError, match="no token"):
        Listen("0.0.0.0").check(nobody)
    nobody.create("somebody", ["balance:read"])
    with pytest.raises(ChargingError, match="without TLS"):
        Listen("0.0.0.0").check(nobody)
    pem = tmp_path / "x.pem"
    pem.write_text("")
    Listen("0.0.0.0", certificate=pem, key=pem).check(nobody)
    with pytest.raises(ChargingError, match="both, or none"):
        Listen(certificate=pem).check(nobody)
    with pytest.raises(ChargingError, match="both, or none"):
        Listen(client_ca=pem).check(nobody)


nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
    | st.sampled_from(["1", "2", "1-money", BEN[1], "10.00", "-1", "EUR", "top_up", "1e400"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["msisdn", "account_id", "amount", "currency", "units", "id", "value", "partyAccount", "bucket", "kind", "x",
         "logicalResource", "to_account_id", "fee", "adjustType", "transferCost", "new_msisdn", "plan", "fields"]),
        inner, max_size=5), max_leaves=12)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(body=nonsense, route=st.sampled_from([r for r in ROUTES if r.method == "POST"]), tail=st.binary(max_size=3))
def test_no_body_makes_the_api_fail(api: Api, body: Any, route: Any, tail: bytes) -> None:
    told = api.post(route.path, json.dumps(body).encode() + tail, f"fuzz-{hash((json.dumps(body), tail, route.path))}")
    assert told.status_code in (201, 400, 404, 422), told.text
    assert told.json() and (told.status_code == 201 or told.headers["content-type"] == "application/problem+json")


@settings(max_examples=80, deadline=None, derandomize=True)
@given(route=st.sampled_from([r for r in ROUTES if r.method == "GET" and "history" not in r.path]),
       name=st.text(st.characters(exclude_characters="/."), min_size=1, max_size=20),
       query=st.dictionaries(st.sampled_from(["partyAccount.id", "offset", "limit", "fields", "from", "bucket.id",
                                              "logicalResource.value"]),
                             st.text(max_size=10) | st.sampled_from(["1", "2-money", BEN[1]]), max_size=3))
def test_no_address_makes_the_api_fail(api: Api, route: Any, name: str, query: dict[str, str]) -> None:
    path = route.path.format(msisdn=quote(name), account_id=quote(name), id=quote(name))
    told = api.get(path, **query)
    assert told.status_code in (200, 400, 404), (path, told.text)


def test_clients_without_a_certificate_of_the_right_authority_get_nowhere(api: Api, tmp_path: Path) -> None:
    authority, stranger = certificate(tmp_path, "authority"), certificate(tmp_path, "stranger")
    certificate(tmp_path, "server", authority)
    certificate(tmp_path, "client", authority)
    certificate(tmp_path, "other", stranger)
    listen = Listen("127.0.0.1", 0, tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "authority.pem")
    listen.check(api.tokens)
    bound = bind(listen)
    server = make_server(api.app, listen)
    def get(name: str) -> int:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
        if name:
            trusted.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        return httpx.get(f"https://localhost:{bound.getsockname()[1]}/v1/accounts/1", verify=trusted,
                         headers={"Authorization": f"Bearer {api.all}"}).status_code

    async def run() -> list[int | str]:
        serving = asyncio.ensure_future(server.serve(sockets=[bound]))
        while not server.started:
            await asyncio.sleep(0.01)
        found: list[int | str] = []
        for name in ("client", "other", ""):
            try:
                found.append(await asyncio.to_thread(get, name))
            except httpx.TransportError:
                found.append("refused")
        server.should_exit = True
        await serving
        return found

    assert api.runner.run(run()) == [200, "refused", "refused"]


def certificate(folder: Path, name: str, issuer: Any = None) -> Any:
    """A key and a certificate for localhost; of an issuer, or an authority of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer[1].subject if issuer else subject) \
        .public_key(key.public_key()).serial_number(x509.random_serial_number()) \
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1)) \
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True) \
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False) \
        .sign(issuer[0] if issuer else key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return key, made
