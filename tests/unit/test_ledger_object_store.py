"""The ledger in an S3-compatible store: moto's server on loopback, conditional puts and all."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.ledger import Ledger
from pipelines.ledger.backup import backup
from pipelines.ledger.compact import compact
from pipelines.ledger.content_hash import content_hash
from pipelines.ledger.sql import open_duckdb
from pipelines.ledger.store import ObjectStore, open_store
from pipelines.ledger.vacuum import vacuum
from pipelines.ledger.verify import verify
from schemas.errors import LedgerError, StaleWriterError

moto_server = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def s3_options() -> Iterator[dict[str, Any]]:
    boto3 = pytest.importorskip("boto3")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://127.0.0.1:{port}"
    client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test",
                          region_name="us-east-1")
    client.create_bucket(Bucket="operator")
    client.close()
    yield {"endpoint": endpoint, "access_key_id": "test", "secret_access_key": "test", "region": "us-east-1",
           "client_options": {"allow_http": True}}
    server.stop()


def rows(*amounts: int) -> pa.Table:
    return pa.table({"amount": pa.array(amounts, pa.int64())})


def test_ledger_in_object_store_commits_reopens_and_is_read_by_duckdb(s3_options: dict[str, Any]) -> None:
    ledger = Ledger.open("s3://operator/ledger", Ed25519PrivateKey.generate(), s3_options)
    stream = ledger.stream("charging", owner="a")
    stream.commit([stream.stage("amounts", rows(1, 2))], positions={"journal": (0, 2)})
    cut = ledger.cut("first")
    stream.commit([stream.stage("amounts", rows(3))], positions={"journal": (2, 3)})
    stream.close()

    again = Ledger.open("s3://operator/ledger", options=s3_options)
    assert again.table("amounts").column("amount").to_pylist() == [1, 2, 3]
    assert again.stream("charging", owner="b").positions == {"journal": 3}
    with pytest.raises(StaleWriterError, match="written by b of epoch 2"):
        stream.commit()

    for as_of, total in ((None, 6), (cut, 3)):
        connection = open_duckdb(again, as_of)
        assert connection.sql("SELECT sum(amount)::BIGINT FROM amounts").fetchall() == [(total,)]
        assert connection.sql("SELECT count(*) FROM rated").fetchall() == [(0,)]
        connection.close()


def test_object_store_ledger_verifies_is_backed_up_to_a_folder_and_vacuumed(s3_options: dict[str, Any],
                                                                            tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    ledger = Ledger.open("s3://operator/kept", key, s3_options)
    stream = ledger.stream("charging")
    stream.commit([stream.stage("amounts", rows(1, 2)), stream.stage_bytes("state", "book", b"x" * 1000)])
    stream.commit([stream.stage("amounts", rows(3))])
    stream.stage("amounts", rows(4))
    before = content_hash(ledger)
    assert [each.rows for each in compact(ledger, stream)] == [3]
    stream.close()
    assert verify(Ledger.open(ledger.store), [key.public_key()]).sound
    backup(ledger, open_store(tmp_path), [key.public_key()])
    assert content_hash(Ledger.open(tmp_path)) == before
    gone = vacuum(ledger, time.time() + 1e9)
    assert (len(gone.orphans), len(gone.replaced)) == (1, 2)
    assert content_hash(Ledger.open(ledger.store)) == before
    ledger.store.delete(ledger.files("book")[0].path)
    assert [each.message for each in verify(ledger).findings] == ["is missing"]


def test_of_many_racers_for_one_name_one_wins(s3_options: dict[str, Any]) -> None:
    store = open_store("s3://operator/race", s3_options)
    assert isinstance(store, ObjectStore)
    won: list[int] = []

    def race(i: int) -> None:
        if store.put_new("_log/x/1.json", f"{i}".encode(), "ledger.commit.2"):
            won.append(i)

    threads = [threading.Thread(target=race, args=(i,)) for i in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(won) == 1
    assert store.read("_log/x/1.json") == str(won[0]).encode()


def test_unknown_store_is_refused() -> None:
    with pytest.raises(LedgerError, match="a folder, or a URL"):
        open_store("nosuch://place/ledger")
