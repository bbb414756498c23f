"""The whole run with its ledger in an S3-compatible store (moto on loopback): the same as in a folder."""

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.backup.restore import prove, restore
from pipelines.backup.save import save
from pipelines.home import Home
from pipelines.ledger import Ledger
from pipelines.ledger.content_hash import content_hash
from tests.integration.site import SAID, Site, in_order

moto_server = pytest.importorskip("moto.server")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a bucket, reached by what the environment says."""
    boto3 = pytest.importorskip("boto3")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://127.0.0.1:{port}"
    for name, value in (("ENDPOINT", endpoint), ("ENDPOINT_URL", endpoint), ("ACCESS_KEY_ID", "test"),
                        ("SECRET_ACCESS_KEY", "test"), ("REGION", "us-east-1"), ("ALLOW_HTTP", "true")):
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test",
                          region_name="us-east-1")
    client.create_bucket(Bucket="operator")
    client.close()
    yield "s3://operator/ledger"
    server.stop()


def test_a_ledger_in_an_object_store_says_what_one_in_a_folder_says(day: Path, keys: Path, tmp_path: Path, bucket: str
                                                                     ) -> None:
    files = [path for path in in_order(day / "inbox")
             if path.parent.name in ("voip-01", "chf-01", "commands") or path.parent.name.startswith("msc")]
    local = Site(day, tmp_path / "local", keys, own_inbox=True)
    remote = Site(day, tmp_path / "remote", keys, own_inbox=True)
    remote.home = dataclasses.replace(remote.home, ledger_location=bucket)
    half = len(files) // 2
    for portion in (files[:half], files[half:]):
        for site in (local, remote):
            site.deliver(portion)
            site.run(batch_records=400, workers=2)
    assert remote.said() == local.said()
    assert not (remote.home.root / "ledger").exists()

    runs = sorted(path.name for path in (remote.home.state / "duplicates").rglob("*") if path.is_file())
    assert runs
    for path in (remote.home.state / "duplicates").rglob("*"):
        if path.is_file():
            path.unlink()  # a copy, fetched again
    again = next(path for path in files if path.parent.name == "voip-01")
    (remote.input.inbox / again.parent.name / again.name.replace("_0", "_1", 1)).write_bytes(again.read_bytes() + b"\n")
    before = remote.said(tables=["rated", "posting", "usage"])
    remote.run()
    assert remote.said(tables=["rated", "posting", "usage"]) == before
    assert content_hash(Ledger.open(bucket), SAID)["duplicate"] != local.said()["duplicate"]


def test_a_home_is_backed_up_to_an_object_store_and_one_whose_ledger_lies_in_one(day: Path, keys: Path, tmp_path: Path,
                                                                                 bucket: str) -> None:
    for name, ledger, place, restored in (("local", "", "s3://operator/saved", ""),
                                          ("remote", f"{bucket}-2", str(tmp_path / "saved"), "s3://operator/again")):
        site, key_place = Site(day, tmp_path / name, keys, own_inbox=True), tmp_path / f"{name}-keys"
        site.home = dataclasses.replace(site.home, ledger_location=ledger)
        files = [path for path in in_order(day / "inbox") if path.parent.name in ("voip-01", "commands")]
        site.deliver(files)
        site.run()
        save(site.home, place, key_place)
        again = save(site.home, place, key_place)
        assert again.manifest.number == 2 and again.kept and not again.files
        proof = prove(place, key_place)
        assert not proof.findings and len(proof.manifests) == 2
        other = copy.copy(site)
        other.home = Home(tmp_path / f"{name}-restored", restored)
        restore(place, key_place, other.home)
        assert other.said() == site.said() and other.run().files == 0
        save(site.home, place, key_place, keep=1)
        assert [each.number for each in prove(place, key_place).manifests] == [3]
