"""From Gy requests to CDRs: what `tarifa serve` charged, gateway records and our own CDRs charge no more."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.cdrs.export import export
from schemas.timepoint import to_us
from tests.ber_records import encode, file_of, stamp, tbcd
from tests.integration.site import Site, put
from tests.integration.test_serve import NUMBER, laws, site_of
from tests.served import MIB, Served, ccr, gateway, service

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SECOND = timedelta(seconds=1)
STREAMS = [{"name": "gateways", "sources": "gw-*", "format": "ts32298-gprs", "online": True},
           {"name": "own", "sources": "own-*", "format": "ts32298-chf", "online": True}]


def imsi_of(site: Site) -> str:
    rows = pq.read_table(site.input.operator / "resources.parquet").to_pylist()
    mine = next(row["service_id"] for row in rows if row["value"] == NUMBER)
    return next(str(row["value"]) for row in rows if row["service_id"] == mine and row["kind"] == "imsi")


def test_what_the_gateway_reported_online_its_records_charge_no_more(day: Path, tmp_path: Path, keys: Path) -> None:
    site = site_of(day, tmp_path, keys)
    path = site.input.operator / "streams.yaml"
    streams = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({"streams": [*STREAMS, *streams["streams"]]}))
    began = datetime.now(UTC) - SECOND
    times = [began - 60 * SECOND, began - 30 * SECOND, began]
    with Served(site.input.root, site.home.root) as served, gateway(served.port) as client:
        client.ask(ccr(1, 0, "pgw;1", NUMBER, service(10), service(20), event_timestamp=times[0]))
        client.ask(ccr(2, 1, "pgw;1", NUMBER, service(10, used=MIB), event_timestamp=times[1]))
        client.ask(ccr(3, 2, "pgw;1", NUMBER, service(10, asks=None, used=2 * MIB),
                       service(20, asks=None, used=3 * MIB), event_timestamp=times[2]))
        served.stop()
    online = site.rows("rated")
    assert sum(row["quantity"] for row in online) == 6 * MIB

    def container(group: int, start: datetime, stop: datetime, octets: int) -> dict[str, object]:
        return {"ratingGroup": group, "conditions": (b"\x80", 1), "firstUsage": stamp(start, 0),
                "lastUsage": stamp(stop, 0), "timeUsage": int((stop - start).total_seconds()), "up": 0, "down": octets,
                "reported": stamp(stop, 0)}

    record = encode("PacketRecord", "pgw", {
        "recordType": 85, "imsi": tbcd(imsi_of(site)), "gateway": ("v4", b"\x0a\0\0\1"), "chargingId": 7,
        "servingNodes": [], "apn": "internet", "opening": stamp(times[0], 0), "duration": 60, "cause": 0, "sequence": 1,
        "localSequence": 1, "services": [container(10, times[0], times[2], 3 * MIB),
                                         container(20, times[0], times[2], 3 * MIB),
                                         container(30, times[0], times[2], MIB)]})
    put(site.input.inbox, "gw-01", "gw-01.dat", file_of([record]))
    done = export(site.home, tmp_path / "cdrs")
    assert (len(done.files), done.records) == (1, 1)
    for file in (tmp_path / "cdrs").iterdir():
        put(site.input.inbox, "own-01", file.name, file.read_bytes())
        assert tbcd(imsi_of(site)) not in file.read_bytes()  # the request named the number only
    site.run()
    assert [(row["record_type"], row["rating_group"], row["quantity"]) for row in site.rows("matched")] == [
        ("pgw", 10, 3 * MIB), ("pgw", 20, 3 * MIB), ("chf", 10, MIB), ("chf", 10, 2 * MIB), ("chf", 20, 3 * MIB)]
    charged = [row for row in site.rows("rated") if row["source"] != "gy"]
    assert [(row["rating_group"], row["quantity"]) for row in charged] == [(30, MIB)]
    assert to_us(charged[0]["event_time_us"]) == int(times[0].timestamp()) * 1_000_000
    assert laws(site) == set()
