"""serve.yaml: what it may say, and what is refused."""

import asyncio
import io
from pathlib import Path

import pytest
import yaml

from pipelines.home import Home, Input
from pipelines.serve.config import Tls, load_serve, tls_context
from pipelines.serve.log import Log
from pipelines.serve.service import run_service
from schemas.errors import ReferenceDataError

GOOD = {"identity": {"host": "ocs.example.com", "realm": "example.com"},
        "gy": {"listen": "127.0.0.1:3868", "peers": [{"host": "pgw.example.com", "realm": "example.com"}]}}
CLIENTS = {"certificate": "a.pem", "key": "a.key", "clients": "peers.pem"}


def written(folder: Path, **changes: object) -> Path:
    (folder / "serve.yaml").write_text(yaml.safe_dump(GOOD | changes))
    return folder


def gy(**changes: object) -> dict[str, object]:
    return {"gy": GOOD["gy"] | changes}


def test_a_file_that_says_who_we_are_and_who_may_connect_is_enough(tmp_path: Path) -> None:
    serve = load_serve(written(tmp_path))
    assert serve.gy is not None and serve.gy.peers[0].host == "pgw.example.com" and serve.nchf is None


@pytest.mark.parametrize(("changes", "said"), [
    (gy(listen="0.0.0.0:3868"), "nothing proves who they are"),
    (gy(listen="[::]:3868"), "nothing proves who they are"),
    (gy(listen="10.0.0.1:3868", tls={"certificate": "a.pem", "key": "a.key"}), "nothing proves who they are"),
    (gy(listen="somewhere:3868"), "an IP address and a port"),
    (gy(listen="127.0.0.1:99999"), "an IP address and a port"),
    (gy(peers=[{"host": "a b", "realm": "example.com"}]), r"gy\.peers\[0\]\.host"),
    (gy(peers=[{"host": "a"}]), "realm"),
    (gy(password="x"), "unknown field"),
    ({"sy": {}, "gy": None}, "a section gy"),
    ({"sy": {"peers": [{"host": "pcrf.example.com", "realm": "a b"}]}}, r"sy\.peers\[0\]\.realm"),
    ({"sy": {"subscriptions": "many"}}, "subscriptions"),
    ({"commit_s": 0}, "commit_s"),
    ({"operate": {"listen": "0.0.0.0:9464"}}, "operate.listen.*expected a loopback address"),
    ({"identity": {"host": "-", "realm": "example.com"}}, "identity.host"),
])
def test_what_cannot_be_or_would_let_anyone_in_is_refused(tmp_path: Path, changes: dict[str, object], said: str
                                                         ) -> None:
    with pytest.raises(ReferenceDataError, match=said):
        load_serve(written(tmp_path, **changes))


def test_others_may_reach_what_they_need_a_certificate_for(tmp_path: Path) -> None:
    assert load_serve(written(tmp_path, **gy(listen="10.0.0.1:3868", tls=CLIENTS))).gy is not None
    with pytest.raises(ReferenceDataError, match="tls"):
        tls_context(Tls(**CLIENTS), tmp_path)


def test_an_nchf_that_others_reach_is_refused_before_the_home_is_opened(tmp_path: Path) -> None:
    (tmp_path / "operator").mkdir()
    written(tmp_path / "operator", nchf={"listen": "0.0.0.0:8089", "open_on_loopback": True})
    with pytest.raises(ReferenceDataError, match="open_on_loopback"):
        asyncio.run(run_service(Input(tmp_path), Home(tmp_path / "home"), Log(io.StringIO())))
    assert not (tmp_path / "home").exists()


def test_a_folder_without_the_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReferenceDataError, match=r"serve\.yaml"):
        load_serve(tmp_path)
