"""A home backed up while it answers, made anew elsewhere; and a new release started with sessions open."""

import copy
import os
import shutil
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from diameter.node.application import ApplicationError

from pipelines.apps.cli import main
from pipelines.backup.manifest import whole_manifests
from pipelines.backup.restore import prove, restore
from pipelines.backup.save import save
from pipelines.balance_api.tokens import Tokens
from pipelines.home import Home
from pipelines.keys import Keys
from pipelines.ledger.store import open_store
from pipelines.serve.node import OnlineNode
from pipelines.serve.service import origin_state
from pipelines.vault import Vault
from schemas.errors import LedgerError
from tests.integration.site import SAID, Site
from tests.integration.test_serve import InProcess, laws, site_of, until
from tests.served import Served, ccr, gateway, service, told

pytestmark = pytest.mark.filterwarnings("ignore")
NUMBERS = ("999701234567", "999708888888", "999706543209")


def request(session: str, number: int, kind: int = 0) -> Any:
    """The next of a session: of what it used a little, the same whenever it is asked."""
    who = NUMBERS[int(session.rpartition(";")[2]) % len(NUMBERS)]
    return ccr(kind or (2 if number else 1), number, session, who,
               service(10, asks=None if kind == 3 else 0, used=1000 * number + 1 if number else None))


class Load:
    """A gateway that goes on asking; `answered` has what it was told, by session and number."""

    def __init__(self, port: int, name: str, sessions: int = 6) -> None:
        self.answered: dict[tuple[str, int], Any] = {}
        self._port, self._names, self._stop = port, [f"{name};{i}" for i in range(sessions)], threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with gateway(self._port) as client:
            number = 0
            while not self._stop.is_set():
                for session in self._names:
                    try:
                        answer = client.application.send_request(request(session, number), timeout=5)
                    except (ApplicationError, TimeoutError):
                        return  # the node has gone
                    if answer.result_code != 2001:
                        return  # it is stopping
                    self.answered[session, number] = told(answer)
                number += 1

    def goes_on(self, requests: int) -> None:
        """Wait until so many more are answered."""
        wanted = len(self.answered) + requests
        until(lambda: len(self.answered) >= wanted, 60)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)


def tarifa(*arguments: str | Path) -> str:
    """The command in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "pipelines.apps.cli", *map(str, arguments)], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def elsewhere(site: Site, folder: Path) -> Site:
    """The same operator with a home there."""
    other = copy.copy(site)
    other.home = Home(folder)
    return other


def before(site: Site, position: int) -> dict[str, list[str]]:
    """Everything that the ledger has of the journal before a position."""
    return {table: sorted(str(row) for row in site.rows(table) if row["journal_position"] < position)
            for table in ("rated", "posting", "grant")}


def test_a_backup_under_load_has_what_was_answered_and_is_made_anew_elsewhere(day: Path, tmp_path: Path, keys: Path
                                                                              ) -> None:
    site = site_of(day, tmp_path, keys)
    shutil.copytree(day / "inbox", site.input.inbox, dirs_exist_ok=True)
    path = site.input.operator / "serve.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "api": {"listen": "127.0.0.1:0"}}))
    token = Tokens(site.home.root).create("shop", ["topup:write"])
    place, key_place = tmp_path / "saved", tmp_path / "saved-keys"
    quiet = [f"quiet;{i}" for i in range(3)]

    def top_up(served: Served) -> httpx.Response:
        where = next(line["address"] for line in served.said if line.get("front_end") == "api")
        return httpx.post(f"http://{where}/v1/topup", json={"msisdn": NUMBERS[0], "amount": "9.99"}, headers={
            "Authorization": f"Bearer {token}", "Idempotency-Key": "order-1"}, trust_env=False)

    with Served(site.input.root, site.home.root) as served, gateway(served.port) as client:
        site.run(batch_records=700)
        first = top_up(served)
        answers = {(s, n): client.ask(request(s, n)) for s in quiet for n in range(3)}
        with Load(served.port, "busy") as load:
            load.goes_on(30)
            known = set(load.answered)
            said = tarifa("backup", "make", place, "--keys", key_place, "--home", site.home.root)
            load.goes_on(20)
        made = whole_manifests(open_store(place))[0]
        assert f"everything before journal position {made.position:,}" in said and len(load.answered) > len(known) + 20
        again = save(site.home, str(place), key_place)
        assert again.kept > 0 and again.files > 0 and not prove(str(place), key_place).findings
        served.stop()

    # another machine: nothing is left of the first but the operator's folder
    gone = site.home.root.rename(tmp_path / "gone")
    tarifa("backup", "restore", place, "--keys", key_place, "--home", tmp_path / "other", "--backup", "1")
    other, site = elsewhere(site, tmp_path / "other"), elsewhere(site, gone)
    with Served(other.input.root, other.home.root) as served, gateway(served.port) as client:
        for (session, number), answer in answers.items():
            again = client.ask(request(session, number))
            if number == 2:  # the last of its session
                assert told(again) == told(answer) and again.origin_state_id > answer.origin_state_id
        again = top_up(served)
        assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
        for session in quiet:
            assert client.ask(request(session, 3, kind=3)).result_code == 2001
        served.stop()
    assert laws(other) == laws(site) == set()
    there = before(other, made.position)
    assert there == before(site, made.position) and len(there["grant"]) >= len(known) + len(answers)
    assert len(before(site, 1 << 62)["grant"]) > len(there["grant"])

    # and the second, of all that there was: the same ledger, the same Origin-State-Id
    third = elsewhere(site, tmp_path / "third")
    restore(str(place), key_place, third.home, moved=True)
    with InProcess(third, tmp_path):
        assert origin_state(third.home) == answers["quiet;0", 2].origin_state_id
    tables = (*SAID, "grant")
    assert third.said(tables=tables) == site.said(tables=tables)


def test_a_backup_refuses_what_would_not_be_one(day: Path, tmp_path: Path, keys: Path,
                                                capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
                                                ) -> None:
    monkeypatch.setattr(os, "nice", lambda _: 0)  # else all tests behind it wait for others
    site = site_of(day, tmp_path, keys)
    shutil.copytree(day / "inbox", site.input.inbox, dirs_exist_ok=True)
    site.run()

    def cli(*arguments: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        said = capsys.readouterr()
        assert ended.value.code == code, said
        return said.out + said.err

    home, place, key_place = site.home.root, tmp_path / "saved", tmp_path / "saved-keys"
    for where, keys_at in ((place, place / "keys"), (place, home / "keys"), (home / "saved", key_place)):
        assert "apart" in cli("backup", "make", where, "--keys", keys_at, "--home", home, code=2)
    cli("backup", "make", place, "--keys", key_place, "--home", home)
    for _ in range(2):
        assert "\n0 files" in cli("backup", "make", place, "--keys", key_place, "--home", home, "--keep", 2)
    assert [each.number for each in whole_manifests(open_store(place))] == [2, 3]
    assert "no backup 1" in cli("backup", "restore", place, "--keys", key_place, "--home", tmp_path / "x", "--backup",
                                1, code=2)
    assert "never overwrites" in cli("backup", "restore", place, "--keys", key_place, "--home", home, code=2)
    assert "no keys" in cli("backup", "restore", place, "--keys", tmp_path, "--home", tmp_path / "x", code=2)
    assert {path.stat().st_mode & 0o077 for path in key_place.rglob("*")} == {0}
    secrets = [line.split()[2].encode() for line in (path.read_text() for path in key_place.glob("*.key"))]
    assert len(secrets) == 4
    assert not any(secret in path.read_bytes() for path in place.rglob("*") if path.is_file() for secret in secrets)

    # a key that is destroyed is destroyed there too; older backups can be restored, but what was erased stays erased
    cli("erase", "archive", "2027-01-01", "--why", "retention", "--home", home)
    cli("backup", "make", place, "--keys", key_place, "--home", home)
    assert not list((key_place / "sealed").glob("day-*.key"))
    assert list((key_place / "sealed").glob("day-*.gone"))
    monkeypatch.chdir(tmp_path)  # a home that is said from where one is
    cli("backup", "restore", place, "--keys", key_place, "--home", "x", "--backup", 2)
    assert not list((tmp_path / "x" / "keys" / "sealed").glob("day-*.key"))
    assert elsewhere(site, tmp_path / "x").said() == site.said()

    # so is a number that was erased: no backup from before has it any more
    token = site.rows("usage", ["msisdn_token"])[0]["msisdn_token"]
    cli("erase", "tokens", token, "--why", "request", "--home", home)
    assert not prove(str(place), key_place).findings
    cli("backup", "make", place, "--keys", key_place, "--home", home)
    assert "cannot be restored" in cli("backup", "verify", place, "--keys", key_place, code=1)
    assert "erased since" in cli("backup", "restore", place, "--keys", key_place, "--home", tmp_path / "z", "--backup",
                                 4, code=2)
    cli("backup", "restore", place, "--keys", key_place, "--home", tmp_path / "z")
    vaults = [Vault(at / "vault", Keys.open(at / "keys"), write=False) for at in (home, tmp_path / "z")]
    assert len(vaults[0]) == len(vaults[1]) > 0 and vaults[1].erased() == {token}
    cli("backup", "make", place, "--keys", key_place, "--home", home, "--keep", 1)

    # another home has nothing to do with these places, and damage is named
    other = site_of(day, tmp_path / "other", keys)
    shutil.rmtree(other.home.keys)
    other.run()
    assert "another" in cli("backup", "make", place, "--keys", key_place, "--home", other.home.root, code=2)
    victim = max((place / "objects").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    assert victim.name in cli("backup", "verify", place, "--keys", key_place, code=1)
    assert "not what was backed up" in cli("backup", "restore", place, "--keys", key_place, "--home", tmp_path / "y",
                                           code=2)
    assert not (tmp_path / "y").exists()
    manifest = max((place / "backups").iterdir())
    manifest.write_bytes(manifest.read_bytes().replace(b'"position":', b'"position":1'))
    assert any(f.kind == "manifest" and "edited" in f.message for f in prove(str(place), key_place).findings)


def test_a_new_release_takes_over_with_sessions_open_and_load_going_on(day: Path, tmp_path: Path, keys: Path) -> None:
    site = site_of(day, tmp_path, keys)
    with Served(site.input.root, site.home.root) as served:
        with Load(served.port, "old") as load:
            load.goes_on(40)
            served.stop()  # SIGTERM: what was received is answered, then the connection ends
        old = served.said
    last = dict(sorted(load.answered))
    with Served(site.input.root, site.home.root) as served, gateway(served.port) as client:
        recovered = next(line for line in served.said if line["event"] == "recovered")
        assert recovered["open_sessions"] == len(last) == 6
        assert recovered["position"] >= old[-1]["position"]
        states = set()
        for session, number in last.items():
            answer = client.ask(request(session, number))
            states.add(answer.origin_state_id)
            later = (session, number + 1) in load.answered
            assert later or told(answer) == load.answered[session, number]
            assert told(client.ask(request(session, number + 1)))[0][:2] == (10, 2001)
        assert states == {int((site.home.root / "serve" / "origin_state").read_text())}
        with Load(served.port, "new") as going:
            going.goes_on(12)
        for session, number in last.items():
            assert client.ask(request(session, number + 2, kind=3)).result_code == 2001
        served.stop()
    assert laws(site) == set()
    expected = sum(1000 * n + 1 for (_, n) in (*load.answered, *going.answered) if n) + sum(
        1000 * (n + k) + 1 for n in last.values() for k in (1, 2))
    extra = sum(r["quantity"] for r in site.rows("rated")) - expected
    assert extra >= 0  # requests whose answer the end of a connection cut off were charged, once
    rows = [(r["session_hi"], r["session_lo"], r["number"]) for r in site.rows("grant")]
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize(("what", "ours"), [("journal", 1), ("snapshots", 2)])
def test_a_home_of_a_newer_release_is_refused_and_left_as_it_is(day: Path, tmp_path: Path, keys: Path, what: str,
                                                                ours: int) -> None:
    site = site_of(day, tmp_path, keys)
    site.run()
    newest = max((site.home.root / what).glob("*.*"))
    content = bytearray(newest.read_bytes())
    assert content[8:12] == ours.to_bytes(4, "little")
    content[8] += 1
    if what == "journal":  # its header has a checksum of its own
        content[60:64] = zlib.crc32(content[:60]).to_bytes(4, "little")
    os.truncate(newest, 0)
    newest.write_bytes(content)
    kept = [*site.home.root.glob("ledger/**/*"), *site.home.root.glob("snapshots/*")]
    there = {path: path.read_bytes() for path in kept if path.is_file()}
    with pytest.raises(LedgerError, match=f"format version {ours + 1}; expected {ours}"):
        OnlineNode(site.input, site.home)
    assert {path: path.read_bytes() for path in there} == there
