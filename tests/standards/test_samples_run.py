"""The sample files of the standards folder through a whole run: read, or refused by name; every container counted."""

import json
import os
from pathlib import Path

import pytest

from pipelines.apps.cli import main
from tests.tiny_network import Network

pytestmark = pytest.mark.standards

READ = {"voip-01": ("voip-cdr-csv/cdr-stats_import_cdr_100.txt", "cdr-stats-csv", 100),
        "pgw-01": ("synthetic/pgw-cdr.ber", "ts32298-gprs", 1),
        "chf-01": ("synthetic/chf-cdr.ber", "ts32298-chf", 1),
        "files-01": ("synthetic/three-records.ts32297.dat", "ts32298-packet", 3),
        "wifi-01": ("synthetic/radclient-acct-1.bin", "radius-accounting", 1)}
REFUSED = {"tap-01": ("synthetic/tap0312-20-moc.tap", "ts32298-gprs", "TAP 3"),
           "ipfix-01": ("synthetic/softflowd-ipfix-0.bin", "voip-csv", "IPFIX"),
           "netflow-01": ("netflow-ipfix/netflow5.dat", "voip-csv", "NetFlow"),
           "pcap-01": ("radius/RADIUS-RFC5176.pcap", "radius-accounting", "pcap")}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, tuple[str, ...]]:
    folder = Path(os.environ.get("TARIFA_STANDARDS", "")) / "samples"
    assert os.environ.get("TARIFA_STANDARDS") and folder.is_dir(), "TARIFA_STANDARDS must name the standards' folder"
    network = Network(tmp_path_factory.mktemp("samples"))
    network.reference.streams = [{"name": source, "sources": source, "format": form}
                                 for source, (_, form, _) in {**READ, **REFUSED}.items()]
    network.write()
    for source, (name, _, _) in {**READ, **REFUSED}.items():
        network.drop(Path(name).name, (folder / name).read_bytes(), source)
    (network.root / "inbox" / "voip-01").joinpath("empty").touch()
    return network, network.run().messages


def test_samples_are_read_whole_or_refused_by_name(ran: tuple[Network, tuple[str, ...]]) -> None:
    network, messages = ran
    network.check_laws()
    audit = {(source, name): (state, records) for source, name, state, records in network.ask(
        "SELECT source, file_name, state, record_count FROM file_audit")}
    for source, (name, _, records) in READ.items():
        assert audit[source, Path(name).name] == ("read", records), source
    for source, (name, _, what) in REFUSED.items():
        assert audit[source, Path(name).name] == ("refused_format", 1)
        assert any(message.startswith(f"{source}/") and what in message for message in messages)
    assert network.ask("SELECT count(*) FROM suspense WHERE reason = 'refused_format'") == [(len(REFUSED),)]
    assert network.ask("SELECT count(*) FROM file_audit WHERE header_octets + record_octets <> file_octets") == [(0,)]


@pytest.mark.parametrize("source", [*READ, *REFUSED])
def test_every_sample_row_can_be_traced_to_its_bytes(ran: tuple[Network, tuple[str, ...]], source: str,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    network, _ = ran
    [(file_id, offset)] = network.ask(f"""
        SELECT file_id, max(record_offset) FROM (SELECT source, file_id, record_offset FROM suspense
        UNION ALL SELECT source, file_id, record_offset FROM filtered
        UNION ALL SELECT source, file_id, record_offset FROM usage) WHERE source = '{source}' GROUP BY file_id""")
    with pytest.raises(SystemExit) as ended:
        main(["trace", f"{file_id}:{offset}", "--json", *network.arguments])
    found = json.loads(capsys.readouterr().out)
    assert not ended.value.code and found["fates"] and found["record"]["offset"] == offset
    assert found["record"]["decoded"] if source in READ else "looks like" in found["record"]["note"]
