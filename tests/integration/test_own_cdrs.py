"""CDRs that we write of what was charged online: one for each usage, and nothing is charged when they come back.

asn1tools reads every record, by the tests' own grammar.
"""

from pathlib import Path
from typing import Any

import pytest

from pipelines.cdrs.export import HIDDEN, Exported, ExportOptions, export
from pipelines.durable import crash_points
from pipelines.ledger import Ledger
from pipelines.ledger.content_hash import content_hash
from schemas.codes import Direction, Service, Unit
from schemas.columns import ABSENT
from schemas.online import SUCCESS, UNKNOWN_SESSION_ID, EventAction, RequestKind
from tests.ber_records import grammar
from tests.integration.test_charged_once import GATEWAY, NOT_CHARGED, _us, reports
from tests.online_ledger import write_grants
from tests.tiny_network import Network

OWN = {"name": "own", "sources": "chf-*", "format": "ts32298-chf", "online": True,
       "file_name": r"tarifa-chf_(?P<sequence>\d+)_(?P<time>\d{14})\.dat"}
Row = dict[str, int]


class Killed(BaseException):
    """A process that is no more."""


@pytest.fixture
def network(tmp_path: Path) -> Network:
    made = Network(tmp_path)
    made.reference.streams.append(dict(OWN))
    made.write()
    made.run()
    return made


def call(number: int, seconds: int) -> list[Row]:
    """A call by Ro: no charging id, an ICID."""
    common = {"session_hi": -number, "session_lo": number, "service": Service.VOICE, "unit": Unit.SECOND,
              "direction": Direction.TERMINATING, "rating_group": 100, "icid_hi": number, "icid_lo": 1,
              "service_id": 11, "account_id": 1, "result_code": SUCCESS, "number": 0}
    return [common | {"kind": RequestKind.INITIAL, "event_id_hi": number, "event_id_lo": 1, "event_time_us": _us(0),
                      "received_us": _us(0)},
            common | {"kind": RequestKind.TERMINATION, "event_id_hi": number, "event_id_lo": 2, "number": 1,
                      "event_time_us": _us(0) + seconds * 1_000_000, "received_us": _us(0) + seconds * 1_000_000,
                      "used": seconds, "used_since_us": _us(0)}]


def message(number: int, minute: int, **changes: int) -> Row:
    return {"session_hi": number, "session_lo": 5, "service": Service.SMS, "unit": Unit.MESSAGE, "number": 0,
            "direction": Direction.ORIGINATING, "service_id": 11, "account_id": 1, "result_code": SUCCESS,
            "kind": RequestKind.EVENT, "action": EventAction.DIRECT_DEBITING, "granted": 1, "event_id_hi": number,
            "event_id_lo": 9, "event_time_us": _us(minute), "received_us": _us(minute)} | changes


def exported(network: Network, **options: Any) -> Exported:
    return export(network.home, network.root / "cdrs", ExportOptions(**options))


def records(network: Network) -> list[dict[str, Any]]:
    """Every record of every file, in order, as asn1tools reads it."""
    found = []
    for path in sorted((network.root / "cdrs").iterdir()):
        content = path.read_bytes()
        at = 54
        assert int.from_bytes(content[:4], "big") == len(content)
        count = 0
        while at < len(content):
            length = int.from_bytes(content[at:at + 2], "big")
            found.append(grammar().decode("ChfRecord", content[at + 5:at + 5 + length])[1])
            at += 5 + length
            count += 1
        assert int.from_bytes(content[18:22], "big") == count
    return found


def come_back(network: Network) -> None:
    """What was exported lies in the inbox."""
    for path in (network.root / "cdrs").iterdir():
        network.drop(path.name, path.read_bytes(), "chf-01")


def test_our_own_cdrs_charge_nothing_when_they_come_back(network: Network) -> None:
    write_grants(network.home, [
        *reports(network, 500, 10, (0, 10, 3 << 20), (10, 20, 2 << 20)),
        *reports(network, 501, 20, (0, 20, 1 << 20)), *call(7, 95), message(8, 30), message(9, 30),
        *(row | {"gateway_address": ABSENT, "imsi_token": ABSENT} for row in reports(network, 502, 1, (0, 5, 77))),
        *(row | {"rating_group": ABSENT} for row in reports(network, 503, 1, (0, 5, 78)))])
    done = exported(network)
    assert (len(done.files), done.records, done.open_sessions) == (1, 7, 0)
    come_back(network)
    network.run()
    assert network.ask("SELECT count(*), count(DISTINCT (file_id, record_offset)) FROM matched") == [(8, 7)]
    assert network.ask("SELECT count(*) FROM rated") == [(0,)]
    assert network.ask("SELECT count(*) FROM suspense") == [(0,)]
    assert network.ask("SELECT sum(difference) FROM online_usage WHERE service = 'data'") == [(0,)]
    network.check_laws(*NOT_CHARGED)


def test_a_record_says_what_was_used(network: Network) -> None:
    write_grants(network.home, [*reports(network, 500, 10, (0, 10, 300), (10, 20, 200)), message(8, 30)])
    exported(network)
    data, short = records(network)
    assert data["recordType"] == 200 and data["cause"] == 0 and data["chargingId"] == 500
    assert data["consumer"] == {"role": "pgwCSmf", "address": ("v4", GATEWAY.to_bytes(4, "big"))}
    assert data["opening"].hex() == "2610211200002b0000" and data["duration"] == 1200
    [usage] = data["usage"]
    assert usage["ratingGroup"] == 10
    assert [(c["total"], c["time"], c["pdu"]["firstUsage"].hex()[6:12]) for c in usage["containers"]] == [
        (300, 600, "120000"), (200, 600, "121000")]
    assert short["shortMessage"]["event"].hex() == "2610211230002b0000"
    assert short["usage"][0]["containers"][0]["units"] == 1


def test_long_sessions_get_partials_and_none_counts_twice(network: Network) -> None:
    """However the exports are cut, the records are the same."""
    rows = reports(network, 500, 10, *((10 * i, 10 * i + 10, 100 + i) for i in range(9)))
    for row in rows:
        write_grants(network.home, [row])
        exported(network, partial_s=1800)
    assert [path.name[:17] for path in sorted((network.root / "cdrs").iterdir())] == [
        f"tarifa-chf_{n:06d}" for n in (1, 2, 3)]
    found = records(network)
    assert [(r["sequence"], r["cause"], len(r["usage"][0]["containers"])) for r in found] == [
        (1, 17, 3), (2, 17, 3), (3, 0, 3)]
    assert sum(c["total"] for r in found for c in r["usage"][0]["containers"]) == sum(100 + i for i in range(9))
    come_back(network)
    network.run()
    assert network.ask("SELECT sum(quantity) FROM matched") == [(936,)]


def test_supervision_and_late_usage_close_records_as_abnormal(network: Network) -> None:
    session = reports(network, 500, 10, (0, 10, 300), closes=False)
    released = session[-1] | {"kind": RequestKind.TERMINATION, "released": 1, "used": ABSENT, "used_since_us": ABSENT,
                              "event_time_us": _us(60), "event_id_lo": 1}
    late = session[-1] | {"number": 5, "result_code": UNKNOWN_SESSION_ID, "used": 40, "used_since_us": _us(55),
                          "event_time_us": _us(61), "event_id_lo": 2}
    write_grants(network.home, [*session, released])
    write_grants(network.home, [late])
    refused = reports(network, 600, 10, (0, 1, 1))[0] | {"result_code": 4012, "granted": 0}
    write_grants(network.home, [refused])
    done = exported(network)
    assert (done.records, done.open_sessions) == (2, 0)
    assert [(r["cause"], r["usage"][0]["containers"][0]["total"]) for r in records(network)] == [(4, 300), (4, 40)]
    come_back(network)
    network.run()
    assert network.ask("SELECT count(*) FROM rated") == [(0,)]


def test_late_reports_of_one_second_are_no_conflict_when_they_come_back(network: Network) -> None:
    """Two records of one session began in the same second, and nothing told them apart."""
    session = reports(network, 500, 10, (0, 10, 300))
    late = session[-1] | {"result_code": UNKNOWN_SESSION_ID, "kind": RequestKind.UPDATE, "used_since_us": _us(10),
                          "event_time_us": _us(10)}
    write_grants(network.home, [*session, late | {"number": 5, "used": 40, "event_id_lo": 5},
                                late | {"number": 6, "used": 41, "event_id_lo": 6}])
    assert exported(network).records == 3
    come_back(network)
    network.run()
    assert network.ask("SELECT sum(quantity) FROM matched") == [(381,)]
    assert network.ask("SELECT count(*) FROM suspense") == [(0,)]


@pytest.mark.parametrize("point", ["cdr.written", "ledger.stage.1", "ledger.commit.2.2", "cdr.committed", "cdr.named"])
def test_a_killed_export_writes_each_record_once(network: Network, point: str) -> None:
    write_grants(network.home, [*reports(network, 500, 10, (0, 10, 300)), message(8, 30)])

    def kill(reached: str) -> None:
        if reached == point:
            raise Killed

    with crash_points(kill), pytest.raises(Killed):
        exported(network)
    write_grants(network.home, [message(9, 31)])
    exported(network)
    assert sorted(r["identifier"].decode()[:16] for r in records(network)) == [f"{n:016x}" for n in (8, 9, 500)]
    assert [r["localSequence"] for r in records(network)] == [1, 2, 3]
    assert not [p for p in (network.root / "cdrs").iterdir() if p.name.startswith(HIDDEN)]


def test_nothing_new_writes_nothing(network: Network) -> None:
    assert exported(network).files == ()
    before = content_hash(Ledger.open(network.home.ledger), ["rated", "posting"])
    write_grants(network.home, [message(8, 30, granted=0, result_code=4012)])
    assert exported(network).records == 0
    assert content_hash(Ledger.open(network.home.ledger), ["rated", "posting"]) == before
