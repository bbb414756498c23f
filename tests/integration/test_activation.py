"""Tariffs activated and rolled back while `tarifa serve` answers: sessions open, runs over the home, kills between."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from pipelines.apps.opening import lineage
from pipelines.balance_api.desk import NodeDesk
from pipelines.balance_api.service import BalanceService
from pipelines.reference_in_force import Activated, read_activated, reference_in_force
from pipelines.serve.activation import Activation
from pipelines.serve.node import OnlineNode, Pace
from pipelines.spending.counters import PolicyCounters
from rating.snapshot import same_state
from reference_data.inventory import tokens_of
from schemas.codes import Identity
from schemas.columns import ABSENT
from schemas.errors import LedgerError, ReferenceDataError
from schemas.money import NANOS
from schemas.online import RequestKind
from tests.integration.site import Site
from tests.integration.test_online_node import ask, served
from tests.integration.test_serve import NUMBER, InProcess, laws, replayed, site_of
from tests.served import MIB, Served, ccr, gateway, service, told

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
MEGABYTE, DEARER, DEAREST = "0.01", "0.02", "0.03"


def tariff_file(site: Site) -> Path:
    return next((site.input.operator / "tariffs").glob("*.yaml"))


def edit(site: Site, change: Callable[[dict[str, Any]], object], name: str = "") -> None:
    """The operator edits the version, or writes a further one."""
    path = tariff_file(site)
    version = yaml.safe_load(path.read_text())
    change(version)
    (path.with_stem(name) if name else path).write_text(yaml.safe_dump(version, sort_keys=False))


def price(site: Site, amount: str) -> None:
    """What a megabyte costs."""
    edit(site, lambda version: version["rates"]["megabytes"]["slots"][0].update(price=amount))


def tarifa(site: Site, *words: str) -> dict[str, Any]:
    """The command line. Raises LedgerError with what it said."""
    done = subprocess.run([sys.executable, "-m", "pipelines.apps.cli", *words, "--json", "--home", str(site.home.root),
                           "--input", str(site.input.root)], capture_output=True, text=True, check=False,
                          env={key: value for key, value in os.environ.items() if key != "TARIFA_TRACE"})
    if done.returncode:
        raise LedgerError(done.stderr)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def per_megabyte(row: dict[str, Any]) -> float:
    """Its price, give or take a step of 10 KiB."""
    return round(float(row["charge_nanos"] / NANOS / (row["quantity"] / MIB)), 3)


@pytest.fixture
def site(day: Path, tmp_path: Path, keys: Path) -> Site:
    return site_of(day, tmp_path, keys)


def test_a_session_goes_on_through_activation_rollback_and_kills(site: Site) -> None:
    used = 5 * MIB
    with Served(site.input.root, site.home.root) as node, gateway(node.port) as client:
        assert told(client.ask(ccr(1, 0, "pgw;1", NUMBER, service(10)))) == [(10, 2001, 10 * MIB, None)]
        client.ask(ccr(2, 1, "pgw;1", NUMBER, service(10, used=used)))
        with pytest.raises(LedgerError, match="nothing was activated"):
            tarifa(site, "tariff", "activate", "--rollback")
        price(site, DEARER)
        said = tarifa(site, "tariff", "activate")
        assert said["changed"] and said["switch_ms"] < 1000
        assert not tarifa(site, "tariff", "activate")["changed"]
        second = client.ask(ccr(2, 2, "pgw;1", NUMBER, service(10, used=used)))
        assert told(second) == [(10, 2001, 10 * MIB, None)]
        node.kill()
    with Served(site.input.root, site.home.root) as node, gateway(node.port) as client:
        again = client.ask(ccr(2, 2, "pgw;1", NUMBER, service(10, used=used)))
        assert told(again) == told(second)
        client.ask(ccr(2, 3, "pgw;1", NUMBER, service(10, used=used)))
        back = tarifa(site, "tariff", "activate", "--rollback")
        assert back["changed"] and back["tariffs"] != said["tariffs"]
        client.ask(ccr(2, 4, "pgw;1", NUMBER, service(10, used=used)))
        kept = tarifa(site, "tariff", "kept")
        assert {each["is"]: each["tariffs"] for each in kept} == {"activated": back["tariffs"],
                                                                  "before": said["tariffs"]}
        node.kill()
    with Served(site.input.root, site.home.root) as node, gateway(node.port) as client:  # the folder has the dear ones
        client.ask(ccr(2, 5, "pgw;1", NUMBER, service(10, used=used)))
        assert tarifa(site, "tariff", "activate", said["tariffs"][:10])["tariffs"] == said["tariffs"]
        assert client.ask(ccr(3, 6, "pgw;1", NUMBER, service(10, asks=None, used=used))).result_code == 2001
        assert [line["tariffs"] for line in node.said if line["event"] == "activated"] == [said["tariffs"][:12]]
        node.stop()
    assert laws(site) == set()
    assert [per_megabyte(row) for row in site.rows("rated")] == [
        float(each) for each in (MEGABYTE, DEARER, DEARER, MEGABYTE, MEGABYTE, DEARER)]
    with lineage(site.input, site.home) as found:  # by what charged it, whatever the folder has
        explained = [found.explain(f"{row['event_id_hi']:016x}{row['event_id_lo']:016x}")[0].pricing
                     for row in site.rows("rated")]
    assert [(each["recomputed"], str(each["slots"])[8:12]) for each in explained] == [
        ("the same charge", amount) for amount in (MEGABYTE, DEARER, DEARER, MEGABYTE, MEGABYTE, DEARER)]
    before = site.said()
    one, other = replayed(site)
    assert same_state(one, other) and site.said() == before
    names = {entry.reference["snapshot"] for entry in site.ledger.logs()["charging"].entries if entry.reference}
    assert len(names) == 2


def test_a_run_over_a_served_home_wants_what_is_in_force(site: Site) -> None:
    with InProcess(site, site.home.root.parent):
        site.run()
        price(site, DEARER)
        with pytest.raises(LedgerError, match="tarifa tariff activate"):
            site.run()
        dear = tarifa(site, "tariff", "activate")
        site.run()
        cheap = tarifa(site, "tariff", "activate", "--rollback")
        site.run()  # the folder still has the others
    site.run()
    token_key = OnlineNode(site.input, site.home)
    token_key.close()
    assert token_key.reference.tariffs.content_hash == cheap["tariffs"]
    price(site, DEAREST)
    now = reference_in_force(site.home, site.input.operator, token_key.keys.token_key).tariffs.content_hash
    assert now not in (cheap["tariffs"], dear["tariffs"])


def test_a_run_that_reads_numbers_by_other_prefixes_must_end_first(site: Site) -> None:
    async def work(node: OnlineNode) -> None:
        activation, was = Activation(node), node.reference
        deck = next((site.input.operator / "tariffs" / "decks").glob("*.csv"))
        deck.write_text(deck.read_text() + "99970555,local\n")
        node.run_pid = 4711
        with pytest.raises(ReferenceDataError, match="process 4711"):
            await activation.activate()
        assert node.reference is was and read_activated(site.home) is None
        node.run_pid = 0
        assert (await activation.activate())["changed"]
        node.run_pid = 4711
        price(site, DEARER)  # prices are nothing that a run looks at
        assert (await activation.activate())["changed"]

    served(site, work)


def test_what_the_book_cannot_be_charged_by_is_refused_and_changes_nothing(site: Site) -> None:
    async def work(node: OnlineNode) -> None:
        activation, path = Activation(node), tariff_file(site)
        text, was = path.read_text(), (node.reference, node.position)
        plan = node.book.plans[0]

        def other_plan(version: dict[str, Any]) -> None:
            version["plans"] = {"other" if name == plan else name: rest for name, rest in version["plans"].items()}

        for change, why in ((other_plan, f"has no plan '{plan}', which"),
                            (lambda version: version.update(currency="USD"), "accounts in EUR"),
                            (lambda version: version["plans"][plan].update(roundings=1), path.name),
                            (lambda version: version.update(active_from="2096-01-01T00:00:00"), "is in force from")):
            edit(site, change)
            with pytest.raises(ReferenceDataError, match=why):
                await activation.activate()
            path.write_text(text)
        for words, why in (({"tariffs": "0123456789"}, "0 kept tariffs"), ({"tariffs": "0"}, "eight characters"),
                           ({"rollback": True}, "nothing was activated"),
                           ({"rollback": True, "tariffs": "0123456789"}, "one of the two")):
            with pytest.raises(LedgerError, match=why):
                await activation.activate(**words)
        for octets in (b"\xff\xfe\x00", b"[" * 20_000, b""):
            path.write_bytes(octets)
            with pytest.raises(ReferenceDataError):
                await activation.activate()
        path.write_text(text)
        price(site, DEARER)
        for time, why in (("2030-01-01T00:00:00", "is not as it is in force"), ("soon", "a time such as")):
            with pytest.raises(ReferenceDataError, match=why):
                await activation.activate(only_from=time)
        assert (node.reference, node.position) == was and read_activated(site.home) is None
        assert int((await node.request(asks(node, 0, RequestKind.INITIAL)))["result_code"][0]) == 2001

    served(site, work, Pace(clock_s=3600))


def test_a_version_activated_ahead_is_announced_and_prices_what_is_used_from_then_on(site: Site) -> None:
    begins = (datetime.now(UTC) + timedelta(seconds=90)).replace(microsecond=0)
    begins_us = int(begins.timestamp()) * 1_000_000
    path = tariff_file(site)

    def later(version: dict[str, Any]) -> None:
        version.update(version="later", active_from=begins.isoformat())
        version["rates"]["megabytes"]["slots"][0]["price"] = DEARER

    async def work(node: OnlineNode) -> None:
        activation = Activation(node)
        first = await node.request(at(asks(node, 0, RequestKind.INITIAL), begins_us - 90 * 10**6))
        band_us = int(first["change_us"][0])  # of calls; most of the day none is near
        assert band_us != begins_us
        edit(site, later, "later")
        said = await activation.activate(only_from=(begins - timedelta(seconds=1)).isoformat())
        assert said["changed"] and [each["version"] for each in said["later"]] == ["later"]
        second = await node.request(at(asks(node, 1, used=MIB), begins_us - 80 * 10**6))
        assert int(second["change_us"][0]) == (begins_us if band_us == ABSENT else min(band_us, begins_us))
        across = at(asks(node, 2, used=MIB), begins_us + 10**6)  # reported apart, as was announced
        across["used_after"] = 2 * MIB
        third = await node.request(across)
        assert int(third["granted"][0]) > 0 and int(third["change_us"][0]) != begins_us
        await node.request(at(asks(node, 3, RequestKind.TERMINATION, used=MIB, requested=ABSENT), begins_us + 10**7))

    served(site, work)
    assert [(row["tariff_version"], per_megabyte(row)) for row in site.rows("rated")] == [
        (path.stem, 0.01), (path.stem, 0.01), ("later", 0.02),
        ("later", 0.02)]


def asks(node: OnlineNode, number: int, kind: RequestKind = RequestKind.UPDATE, **fields: int) -> Any:
    """A request of the prepaid subscriber."""
    requests = ask(node, 1, number, kind, **fields)
    requests["msisdn_token"] = int(tokens_of(pa.array([NUMBER]), Identity.MSISDN, node.keys.token_key)[0])
    return requests


def at(requests: Any, time_us: int) -> Any:
    requests["event_time_us"] = time_us
    return requests


def test_front_ends_see_the_tariffs_in_force(site: Site) -> None:
    async def work(node: OnlineNode) -> None:
        desk = NodeDesk(node)
        balances = BalanceService(desk, None)  # type: ignore[arg-type]
        viewer, counters, was = balances.viewer, PolicyCounters(node.reference.tariffs), node.reference
        assert balances.viewer is viewer
        price(site, DEARER)
        activation = Activation(node)
        await activation.activate()
        assert desk.reference is node.reference and balances.viewer is not viewer
        assert counters.tariffs is not node.reference.tariffs
        assert node.charging.current.tariffs is node.reference.tariffs
        await activation.activate(rollback=True)
        assert node.reference is was  # nothing had to be compiled

    served(site, work)


def test_killed_between_noting_and_switching_the_next_start_has_it(site: Site) -> None:
    class DeadError(Exception):
        """The process is gone."""

    async def work(node: OnlineNode) -> None:
        activation = Activation(node)
        price(site, DEARER)
        await activation.activate()
        was = node.reference.tariffs.content_hash

        async def die(*_: Any, **__: Any) -> None:
            raise DeadError

        node.switch = die  # type: ignore[method-assign]
        with pytest.raises(DeadError):
            await activation.activate(rollback=True)
        assert node.reference.tariffs.content_hash == was
        await node.request(asks(node, 0, RequestKind.INITIAL))

    served(site, work)
    noted = read_activated(site.home)
    assert noted is not None and noted.folder == noted.before != noted.tariffs

    async def again(node: OnlineNode) -> None:
        assert node.reference.tariffs.content_hash == noted.tariffs and node.book.online.open == 1

    served(site, again)


def test_a_damaged_note_is_told_and_may_be_removed(site: Site) -> None:
    async def work(node: OnlineNode) -> None:
        price(site, DEARER)
        await Activation(node).activate()

    served(site, work)
    path = site.home.reference / "activated.json"
    assert isinstance(read_activated(site.home), Activated)
    path.write_text("{")
    with pytest.raises(LedgerError, match="is damaged"):
        OnlineNode(site.input, site.home)
    path.unlink()
    OnlineNode(site.input, site.home).close()


def test_requests_read_before_the_switch_are_charged_by_what_was_in_force(site: Site) -> None:
    async def work(node: OnlineNode) -> None:
        await node.request(asks(node, 0, RequestKind.INITIAL))
        price(site, DEARER)
        activation = Activation(node)
        reached: list[str] = []
        waiting: list[Any] = []
        real = node._switch

        def switch(*arguments: Any) -> None:
            assert not node._waiting.asked
            reached.append("switch")
            real(*arguments)

        def check(of: Any) -> None:
            if not waiting:
                waiting.append(asyncio.ensure_future(node.request(asks(node, 1, used=MIB))))

        activation._check_run = check  # type: ignore[method-assign]
        node._switch = switch  # type: ignore[method-assign]
        await activation.activate()
        assert reached == ["switch"]
        await waiting[0]
        await node.request(asks(node, 2, RequestKind.TERMINATION, used=MIB, requested=ABSENT))

    served(site, work)
    assert [per_megabyte(row) for row in site.rows("rated")] == [0.01, 0.02]


