"""Usage that was charged online, through a whole run: gateway records of it are matched, and only the rest is charged.

Gateway records are encoded by asn1tools; what was charged online is written as the charging node writes it.
"""

import contextlib
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.controls import control, run_control
from pipelines.corrections.backout import Delivery, backout
from pipelines.durable import crash_points
from pipelines.home import Home, Input
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.compact import compact
from pipelines.ledger.content_hash import content_hash
from pipelines.ledger.sql import open_duckdb
from pipelines.run import RunOptions, run
from schemas.codes import Direction, Service, Unit
from schemas.digits import pack
from schemas.hashing import token_nb
from schemas.online import SUCCESS, RequestKind
from tests.ber_records import encode, file_of, stamp, tbcd
from tests.online_ledger import write_grants
from tests.tiny_network import NOON, Network

IMSI, GATEWAY = "001010000000001", 0x0A000001
STREAM = {"name": "gateways", "sources": "pgw-*", "format": "ts32298-gprs", "online": True,
          "file_name": r"pgw-\d+_(?P<sequence>\d+)_(?P<time>\d{14})\.dat"}
MINUTE = timedelta(minutes=1)
NOT_CHARGED = ("online_charged",)  # rows of `grant` are written here; nobody rated them


@pytest.fixture
def network(tmp_path: Path) -> Network:
    made = Network(tmp_path)
    made.reference.streams.append(dict(STREAM))
    made.write()
    (made.root / "inbox" / "pgw-01").mkdir()
    made.run()  # opens the accounts
    return made


def service(group: int, start: int, stop: int, octets: int, moment: datetime = NOON) -> dict[str, object]:
    """A container, from and to so many minutes past noon."""
    return {"ratingGroup": group, "conditions": (b"\x80", 1), "firstUsage": stamp(moment + start * MINUTE, 0),
            "lastUsage": stamp(moment + stop * MINUTE, 0), "timeUsage": (stop - start) * 60, "up": 0, "down": octets,
            "reported": stamp(moment + stop * MINUTE, 0)}


def gateway_record(charging_id: int, sequence: int, start: int, services: list[dict[str, object]], cause: int = 16,
                   imsi: str = IMSI) -> bytes:
    return encode("PacketRecord", "pgw", {
        "recordType": 85, "imsi": tbcd(imsi), "gateway": ("v4", GATEWAY.to_bytes(4, "big")), "chargingId": charging_id,
        "servingNodes": [], "apn": "internet", "opening": stamp(NOON + start * MINUTE, 0), "duration": 600,
        "cause": cause, "sequence": sequence, "localSequence": charging_id * 100 + sequence,
        "started": stamp(NOON, 0), "services": services})


def deliver(network: Network, number: int, *records: bytes) -> None:
    name = f"pgw-01_{number:06d}_{(NOON + number * 30 * MINUTE):%Y%m%d%H%M%S}.dat"
    network.drop(name, file_of(list(records)), "pgw-01")


def reports(network: Network, charging_id: int, group: int, *spans: tuple[int, int, int], closes: bool = True,
            imsi: str = IMSI) -> list[dict[str, int]]:
    """Rows of a session from noon: spans are (from, to, octets)."""
    key = Keys.open(network.home.keys).token_key
    token = int(token_nb(key[0], key[1], 1, pack(imsi)))
    common = {"session_hi": charging_id, "session_lo": 7, "service": Service.DATA, "unit": Unit.OCTET,
              "direction": Direction.ORIGINATING, "rating_group": group, "charging_id": charging_id,
              "gateway_address": GATEWAY, "imsi_token": token, "account_id": 1, "service_id": 11,
              "result_code": SUCCESS}
    rows = [{"kind": RequestKind.INITIAL, "number": 0, "at": 0, "granted": 1 << 20}]
    for number, (since, at, octets) in enumerate(spans, 1):
        last = closes and number == len(spans)
        rows.append({"kind": RequestKind.TERMINATION if last else RequestKind.UPDATE, "number": number, "at": at,
                     "used": octets, "used_since_us": _us(since)})
    found = []
    for row in rows:
        at = _us(row.pop("at"))
        event = charging_id << 32 | group << 16 | row["number"]
        found.append(common | row | {"event_id_hi": event, "event_id_lo": event, "event_time_us": at,
                                     "received_us": at})
    return found


def _us(minute: int) -> int:
    return int((NOON + minute * MINUTE).timestamp()) * 1_000_000


def test_records_of_usage_charged_online_charge_nothing_again(network: Network) -> None:
    write_grants(network.home, [*reports(network, 500, 10, (0, 10, 3 << 20), (10, 20, 2 << 20)),
                                *reports(network, 500, 20, (0, 20, 1 << 20))])
    deliver(network, 1, gateway_record(500, 1, 0, [service(10, 0, 10, 3 << 20), service(20, 0, 10, 600_000)]),
            gateway_record(500, 2, 10, [service(10, 10, 20, 2 << 20), service(20, 10, 20, 448_576)], cause=0))
    network.run()
    assert network.ask("SELECT count(*), sum(quantity) FROM matched") == [(4, 6 << 20)]
    assert network.ask("SELECT count(*) FROM rated") == [(0,)]
    network.check_laws(*NOT_CHARGED)


def test_what_no_online_report_covers_is_charged(network: Network) -> None:
    """Charging was unreachable from 10 to 20 past; rating group 30 was never asked for."""
    write_grants(network.home, reports(network, 500, 10, (0, 10, 3 << 20), (20, 25, 1 << 20)))
    deliver(network, 1, gateway_record(500, 1, 0, [
        service(10, 0, 10, 3 << 20), service(10, 10, 20, 2 << 20), service(10, 20, 25, 1 << 20),
        service(30, 0, 25, 1 << 20)], cause=0))
    network.run()
    assert network.ask("SELECT rating_group, quantity, charge_nanos > 0 FROM rated ORDER BY ALL") == [
        (10, 2 << 20, True), (30, 1 << 20, True)]
    assert network.ask("SELECT sum(quantity) FROM matched") == [(4 << 20,)]
    network.check_laws(*NOT_CHARGED)


def test_it_waits_over_runs_for_what_is_reported_later(network: Network) -> None:
    write_grants(network.home, reports(network, 500, 10, (0, 5, 1 << 20), closes=False))
    deliver(network, 1, gateway_record(500, 1, 0, [service(10, 0, 10, 3 << 20)]))
    network.run()
    assert network.ask("SELECT count(*) FROM awaiting WHERE NOT decided") == [(1,)]
    network.check_laws(*NOT_CHARGED)
    write_grants(network.home, reports(network, 500, 10, (0, 5, 1 << 20), (5, 10, 2 << 20))[-1:])
    deliver(network, 2, gateway_record(501, 1, 0, [service(10, 0, 10, 1 << 20)]))
    network.run()
    assert network.ask("SELECT count(*) FROM awaiting WHERE NOT decided") == [(0,)]
    assert network.ask("SELECT charging_id FROM matched") == [(500,)]
    assert network.ask("SELECT charging_id FROM rated") == [(501,)]
    network.check_laws(*NOT_CHARGED)


def test_differences_are_shown_by_session_and_rating_group(network: Network) -> None:
    """One group counted otherwise, one that no CDR reported, one that agrees but for what is charged from the CDR."""
    write_grants(network.home, [*reports(network, 500, 10, (0, 10, 1000)), *reports(network, 500, 20, (0, 10, 2000)),
                                *reports(network, 500, 30, (0, 10, 3000))])
    deliver(network, 1, gateway_record(500, 1, 0, [service(10, 0, 10, 990), service(30, 0, 15, 4500)], cause=0))
    network.run()
    assert network.ask("SELECT rating_group, online_quantity, cdr_quantity, difference, containers, closed "
                       "FROM online_usage ORDER BY 1") == [
        (10, 1000, 990, -10, 1, True), (20, 2000, 0, -2000, 0, True), (30, 3000, 3000, 0, 1, True)]
    assert network.ask("SELECT quantity FROM rated") == [(1500,)]
    with open_duckdb(Ledger.open(network.home.ledger)) as connection:
        assert run_control(connection, control("charged_once")).breaks == 2
        assert run_control(connection, control("charged_twice")).green


def test_usage_reported_after_its_cdr_was_charged_is_found(network: Network) -> None:
    deliver(network, 1, gateway_record(500, 1, 0, [service(10, 0, 10, 990)], cause=0))
    network.run()
    write_grants(network.home, reports(network, 500, 10, (0, 10, 1000)))
    with open_duckdb(Ledger.open(network.home.ledger)) as connection:
        assert run_control(connection, control("charged_twice")).difference == 990


def test_a_delivery_that_is_backed_out_gives_back_its_shares(network: Network) -> None:
    write_grants(network.home, reports(network, 500, 10, (0, 10, 1000), closes=False))
    deliver(network, 1, gateway_record(500, 1, 0, [service(10, 0, 5, 500)]),
            gateway_record(500, 2, 5, [service(10, 5, 15, 900)]), gateway_record(501, 1, 0, [service(10, 0, 1, 7)]))
    network.run()
    [name] = [name for name, in network.ask("SELECT file_name FROM collected WHERE source = 'pgw-01'")]
    backout(network.source, network.home, Delivery(files=[name]), 0, "a test", "it was bad")
    network.run()
    assert network.ask("SELECT count(*) FROM awaiting WHERE NOT decided") == [(0,)]
    network.check_laws(*NOT_CHARGED)
    write_grants(network.home, reports(network, 500, 10, (0, 10, 0))[-1:])  # nothing since: closed
    deliver(network, 2, gateway_record(500, 1, 0, [service(10, 0, 5, 500)]),
            gateway_record(500, 2, 5, [service(10, 5, 15, 900)]), gateway_record(501, 1, 0, [service(10, 0, 1, 7)]))
    network.run()
    assert network.ask("SELECT quantity FROM rated_current WHERE charging_id = 500") == [(400,)]
    assert network.ask("SELECT cdr_quantity FROM online_usage") == [(1000,)]
    network.check_laws(*NOT_CHARGED)


def deliveries(network: Network) -> None:
    """Some of each fate, in several files: matched, charged, in part, and made to wait."""
    write_grants(network.home, [*reports(network, 500, 10, (0, 10, 1000), (20, 30, 500)),
                                *reports(network, 501, 10, (0, 10, 700), closes=False)])
    deliver(network, 1, gateway_record(500, 1, 0, [service(10, 0, 8, 800), service(20, 0, 8, 80)]),
            gateway_record(501, 1, 0, [service(10, 0, 20, 900)]), gateway_record(502, 1, 0, [service(10, 0, 9, 90)]))
    deliver(network, 2, gateway_record(500, 2, 8, [service(10, 8, 25, 900)]),
            gateway_record(500, 3, 25, [service(10, 25, 30, 100), service(10, 30, 40, 400)]))


def said(network: Network) -> dict[str, str]:
    return content_hash(Ledger.open(network.home.ledger),
                        ["rated", "usage", "matched", "matched_part", "awaiting", "posting", "duplicate", "suspense"])


def test_where_batches_end_changes_nothing(network: Network, tmp_path_factory: pytest.TempPathFactory) -> None:
    deliveries(network)
    other = tmp_path_factory.mktemp("other") / "network"
    shutil.copytree(network.root, other)
    network.run()
    run(Input(other), Home(other / "home"), RunOptions(batch_records=1, workers=1))
    assert said(network) == content_hash(Ledger.open(other / "home" / "ledger"), list(said(network)))
    assert network.ask("SELECT (SELECT count(*) FROM matched), (SELECT count(*) FROM matched_part), "
                       "(SELECT count(*) FROM awaiting)") == [(1, 1, 1)]
    assert network.ask("SELECT sum(quantity) FROM rated WHERE charging_id = 500 AND rating_group = 10") == [(700,)]
    network.check_laws(*NOT_CHARGED)


@pytest.mark.parametrize("point", ["mediate.mediated", "mediate.sighted", "ledger.stage.1", "ledger.commit.2.1",
                                   "ledger.commit.2.3", "charge.folded"])
def test_a_run_that_is_killed_says_the_same_in_the_end(network: Network, tmp_path_factory: pytest.TempPathFactory,
                                                       point: str) -> None:
    deliveries(network)
    other = tmp_path_factory.mktemp("other") / "network"
    shutil.copytree(network.root, other)
    network.run()
    for place in range(1, 4):
        passed = 0

        def kill(reached: str, place: int = place) -> None:
            nonlocal passed
            passed += reached == point
            if passed == place:
                raise Killed

        with crash_points(kill), contextlib.suppress(Killed):
            run(Input(other), Home(other / "home"), RunOptions(batch_records=2, workers=1))
    run(Input(other), Home(other / "home"), RunOptions(workers=1))
    assert said(network) == content_hash(Ledger.open(other / "home" / "ledger"), list(said(network)))


def test_what_was_charged_online_may_have_been_compacted(network: Network) -> None:
    for at in range(3):
        write_grants(network.home, reports(network, 500 + at, 10, (0, 10, 100)))
    ledger = Ledger.open(network.home.ledger, Keys.open(network.home.keys).signing_key)
    stream = ledger.stream("charging")
    assert compact(ledger, stream, ["grant"])
    stream.close()
    deliver(network, 1, *(gateway_record(500 + at, 1, 0, [service(10, 0, 10, 100)]) for at in range(3)))
    network.run()
    assert network.ask("SELECT count(*) FROM matched") == [(3,)]


class Killed(BaseException):
    """A process that is no more."""
