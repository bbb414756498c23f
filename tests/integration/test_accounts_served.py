"""Accounts changed while `tarifa serve` has the home: in force for the next request and for runs, kept after a kill."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pipelines.apps.cli import main
from pipelines.balance_api.tokens import Tokens
from pipelines.run import run
from tests.integration.hand_made import HEADER
from tests.integration.site import Site, put, put_commands
from tests.served import Served, ccr, gateway, listen_anywhere, service, told

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ACCOUNT, NUMBER, NEW, CARLA = 1_000_000, "999701234567", "999700099901", "999700099902"


def cli(site: Site, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--home", str(site.home.root), "--input", str(site.input.root)])
    said = capsys.readouterr()
    assert ended.value.code == code, said.err
    return said.out + said.err


def address(served: Served, name: str) -> str:
    return next(line["address"] for line in served.said if line.get("front_end") == name)


def port_of_gy(served: Served) -> int:
    return int(address(served, "gy").rpartition(":")[2])


def call(number: str, at: str, served: str) -> str:
    return (f"c{number}@voip,voip-01,{number},originating,+{served},+{served},+33123456789,2026-10-21T{at}:00Z,"
            f"2026-10-21T{at}:00Z,2026-10-21T{at}:59Z,60,16\n")


def test_commands_are_in_force_at_once_durable_and_seen_by_runs(day: Path, tmp_path: Path, keys: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(day, tmp_path, keys, own_inbox=True)
    listen_anywhere(site.input.operator)
    path = site.input.operator / "serve.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "api": {"listen": "127.0.0.1:0"}}))
    token = Tokens(site.home.root).create("shop", ["balance:read", "topup:write", "history:read"])

    def asked(served: Served, method: str, where: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "shop-1"}
        return httpx.request(method, f"http://{address(served, 'api')}{where}", headers=headers, **more)

    top_up = {"msisdn": NEW, "amount": "3.50"}
    with Served(site.input.root, site.home.root) as served, gateway(port_of_gy(served)) as client:
        assert client.ask(ccr(1, 0, "pgw;0", NEW, service(10))).result_code == 5030
        said = cli(site, capsys, "account", "number", NUMBER, NEW, "--at", "2026-10-21T08:00:00Z")
        assert "number_change is carried out" in said and NEW not in said
        assert told(client.ask(ccr(1, 0, "pgw;1", NEW, service(10))))[0][:2] == (10, 2001)
        assert client.ask(ccr(1, 0, "pgw;2", NUMBER, service(10))).result_code == 5030
        assert "quarantine" in cli(site, capsys, "account", "number", NEW, NUMBER, code=2)

        cli(site, capsys, "account", "create", "--plan", "prepaid-basic", "--account", "7", "--service", "70",
            "--msisdn", CARLA, "--id", "crm-1", "--at", "2026-10-21T08:00:00Z")
        assert "was carried out before" in cli(
            site, capsys, "account", "create", "--plan", "prepaid-basic", "--account", "7", "--service", "70",
            "--msisdn", CARLA, "--id", "crm-1", "--at", "2026-10-21T08:00:00Z")
        assert told(client.ask(ccr(1, 0, "pgw;3", CARLA, service(10))))[0][1] == 4012
        cli(site, capsys, "account", "top-up", CARLA, "5.00")
        assert told(client.ask(ccr(2, 1, "pgw;3", CARLA, service(10))))[0][1] == 2001
        shown = json.loads(cli(site, capsys, "account", "show", CARLA, "--json"))
        assert (shown["balance"], shown["account_id"]) == ("5.00", 7) and shown["held"] != "0.00"

        before = asked(served, "GET", f"/v1/balance/{NEW}").json()
        first = asked(served, "POST", "/v1/topup", json=top_up)
        assert first.status_code == 201 and asked(served, "GET", "/v1/balance/7").status_code == 400
        assert float(asked(served, "GET", f"/v1/balance/{NEW}").json()["balance"]) == pytest.approx(
            float(before["balance"]) + 3.5)

        # A run beside the node resolves by what the node committed, and by commands of its own files, in their order.
        put(site.input.inbox, "voip-01", "voip-01_000001_20261021090000.csv", (
            HEADER + call("1", "08:30", NEW) + call("2", "08:30", NUMBER) + call("3", "07:30", NUMBER)).encode())
        put_commands(site.input.inbox, 1, "20261021093000", [
            {"id": "p-1", "time": "2026-10-21T09:00:00Z", "kind": "port_out", "account_id": 7, "msisdn": CARLA}])
        put(site.input.inbox, "voip-01", "voip-01_000002_20261021100000.csv", (
            HEADER + call("4", "08:30", CARLA) + call("5", "09:30", CARLA)).encode())
        run(site.input, site.home)
        served.kill()

    with Served(site.input.root, site.home.root) as served, gateway(port_of_gy(served)) as client:
        assert asked(served, "POST", "/v1/topup", json=top_up).content == first.content
        assert client.ask(ccr(1, 0, "pgw;4", NUMBER, service(10))).result_code == 5030
        assert told(client.ask(ccr(1, 0, "pgw;5", NEW, service(10))))[0][1] in (2001, 4012)  # pgw;1 holds its money
        assert client.ask(ccr(1, 0, "pgw;6", CARLA, service(10))).result_code == 5030  # ported out
        served.stop()

    voip = [(row["account_id"], row["event_time_us"].hour) for row in site.rows("rated") if row["source"] == "voip-01"]
    assert sorted(voip) == [(7, 8), (ACCOUNT, 7), (ACCOUNT, 8)]
    assert sorted(row["reason"] for row in site.rows("suspense")) == ["not_subscribed_then", "not_subscribed_then"]
    kept = json.loads(cli(site, capsys, "account", "timeline", "7", "--json"))["moments"]
    assert [m["what"].split(",")[0].split(" (")[0] for m in kept if m["kind"] == "command"] == [
        "account_create", "service_add", "top_up"]
    assert [m["kind"] for m in kept if m["kind"] in ("refusal", "grant")] == ["refusal", "grant"]
    refused = json.loads(cli(site, capsys, "account", "timeline", str(ACCOUNT), "--json"))["moments"]
    assert any(m["what"].startswith("number_change (from ") and "was refused: a number in quarantine" in m["what"]
               for m in refused)
    assert any("by shop" in m["what"] for m in refused)
    for path in site.home.root.rglob("*"):
        if path.is_file() and "vault" not in path.parts and "keys" not in path.parts:
            content = path.read_bytes()
            assert not any(number.encode() in content for number in (NEW, CARLA, token)), path
