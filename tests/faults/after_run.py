"""Jobs on a home in which a run has ended: taking suspense back in, and upkeep of the ledger.

The base is a tiny operator's home, made once and copied for each place, so that keys, and with them tokens, agree.
"""

import json
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from mediation.formats.registry import LAYOUTS
from pipelines.controls import run_controls
from pipelines.durable import Disk
from pipelines.home import Home, Input
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.catalogue import SCRIPT
from pipelines.ledger.content_hash import content_hash
from pipelines.ledger.sql import open_duckdb
from pipelines.ledger.verify import verify
from pipelines.recycle import recycle
from pipelines.run import RunOptions, run
from pipelines.suspense import Choice
from pipelines.upkeep import check_settled, compact_home, vacuum_home
from tests.faults.crash_runner import run_child
from tests.faults.fault_disk import Script
from tests.faults.platter import Platter
from tests.small_operator import account, times
from tests.tiny_network import ANNA, BRAZIL, CARL, NOON, Network, call

HALF_READ = {"name": "nchf", "sources": "nchf-*", "format": "chf-json", "merge": {"policy": "until_final"}}


class HomePlace:
    """A copy of the base, perhaps with the platter of its home."""

    def __init__(self, base: Path, folder: Path, lossy: bool) -> None:
        shutil.copytree(base, folder / "net")
        self.source, self.home = Input(folder / "net"), Home(folder / "net" / "home")
        self.platter = Platter(self.home.root, folder / "platter") if lossy else None

    def stopped(self, at: int) -> None:
        """Started again."""

    def said(self) -> dict[str, Any]:
        """Content hash by table, and that ledger, laws and settlement hold."""
        keys, ledger = Keys.open(self.home.keys), Ledger.open(self.home.ledger)
        report = verify(ledger, [keys.signing_key.public_key()])
        assert report.sound, report
        check_settled(self.home, ledger)
        with open_duckdb(ledger) as connection:
            broken = [o.control.name for o in run_controls(connection) if o.control.kind == "law" and o.breaks]
            still_open = connection.execute("SELECT stage, reason, count(*) FROM suspense_open GROUP BY ALL "
                                            "ORDER BY ALL").fetchall()
            settled = connection.execute("SELECT count(*) FROM settled").fetchone()
        assert not broken
        return {"hash": content_hash(ledger), "open": [list(row) for row in still_open], "settled": settled}


class RecyclePlace(HomePlace):
    """Everything in suspense is taken back in; after a stop by the same command, or by a run and then the command."""

    def __init__(self, base: Path, folder: Path, lossy: bool) -> None:
        super().__init__(base, folder, lossy)
        self._run_first = False

    def stopped(self, at: int) -> None:
        self._run_first = at % 2 == 0

    def job(self, disk: Disk) -> dict[str, Any]:
        if self._run_first:
            run(self.source, self.home, RunOptions(workers=1), disk=disk)
        recycle(self.source, self.home, Choice(), "nina", "mended", disk=disk)
        return self.said()


class UpkeepPlace(HomePlace):
    """Compaction, then a vacuum that keeps nothing, then a run that finds nothing new."""

    def job(self, disk: Disk) -> dict[str, Any]:
        keys = Keys.open(self.home.keys, disk)
        compact_home(self.home, keys, disk=disk)
        vacuum_home(self.home, keys, time.time() + 60, 0, 0, disk=disk)
        ledger = Ledger.open(self.home.ledger)
        live = {file.path for file in ledger.files()}
        there = {each.path for each in ledger.store.list_all("") if not each.path.startswith("_")} - {SCRIPT}
        asides = [each.path for each in ledger.store.list_all("") if ".aside" in each.path]
        assert (live, asides) == (there, []), "what is not live is gone, what is live is there"
        files: dict[str, int] = {}
        for file in ledger.files():
            files[file.table] = files.get(file.table, 0) + 1
        run(self.source, self.home, RunOptions(workers=1), disk=disk)
        return self.said() | {"files": files}


def make_mended_base(folder: Path) -> None:
    """Rows set aside at every stage, and an operator's folder in which most causes are mended since."""
    network = Network(folder)
    network.reference.streams.append(dict(HALF_READ))
    network.write()
    layouts = folder / "operator" / "formats"
    layouts.mkdir()
    text = (LAYOUTS / "chf-json.yaml").read_text()
    wanted = text.replace("partial_sequence, start_time_us]", "partial_sequence, start_time_us, rat_type]")
    assert wanted != text
    (layouts / "chf-json.yaml").write_text(wanted)
    network.deliver([call(1), call(2, CARL), call(3, called=BRAZIL), call(4, start=NOON + timedelta(hours=1)),
                     call(5, CARL, BRAZIL), call(6, answer_time="not a time")])
    network.deliver([call(7, CARL), call(1), call(1, seconds=90)])
    first, second = _report(1, False), _report(2, True).replace(b'"dnnId"', b'"ratType": "NR", "dnnId"')
    network.drop("nchf-01_000001_20261021120500.json", first + second, "nchf-01")
    network.drop("c_000001_20261021123000.jsonl", json.dumps(
        {"id": "t-1", "kind": "top_up", "time": "2026-10-21T12:00:00Z", "account_id": 99, "amount": "5.00",
         "currency": "EUR"}).encode() + b"\n", "commands")
    network.run()
    reasons = {reason for reason, in network.ask("SELECT DISTINCT reason FROM suspense_open")}
    assert reasons >= {"unknown_subscriber", "no_zone", "time_ahead", "missing_field", "bad_time", "key_conflict",
                       "unknown_account"}, reasons
    (layouts / "chf-json.yaml").unlink()
    network.reference.streams[0]["clock_tolerance_s"] = 7200
    network.reference.accounts.append(account(3, time_zone="Europe/Berlin"))
    network.reference.services.append({"service_id": 13, "account_id": 3, "kind": "mobile", **times()})
    network.reference.resources.append({"kind": "msisdn", "value": CARL[1:], "service_id": 13, **times()})
    network.reference.plans.append({"account_id": 3, "plan": "prepaid-basic", **times()})
    network.write()
    network.edit("tariffs/decks/main.csv", "81,world\n", "81,world\n55,world\n")


def make_worn_base(folder: Path) -> None:
    """Many small files, replaced ones, and orphans of two runs that were killed."""
    network = Network(folder)

    def ran(disk: Disk) -> int:
        return run(network.source, network.home, RunOptions(workers=1), disk=disk).files

    network.deliver([call(1), call(2, CARL), call(3, called=BRAZIL)])
    assert run_child(ran).result == 1
    for number in range(10, 40, 10):
        network.deliver([call(number + n, ANNA, start=NOON - timedelta(days=n), seconds=60 + n) for n in range(5)])
        if number > 10:
            assert run_child(ran, Script(60 + number, "kill", seed=number)).killed
        assert not run_child(ran).error
    ledger = Ledger.open(network.home.ledger)
    named = {file.path for log in ledger.logs().values() for entry in log.entries for file in entry.added}
    assert [each for each in ledger.store.list_all("rated") if each.path not in named], "no orphan was made"


def _report(sequence: int, final: bool) -> bytes:
    """A line of 5G usage."""
    start = (NOON + timedelta(minutes=sequence)).strftime("%Y-%m-%dT%H:%M:%SZ")
    unit = {"ratingGroup": 10, "usedUnitContainer": [
        {"serviceId": 100, "time": 60, "triggerTimestamp": start, "totalVolume": 5000, "uplinkVolume": 1000,
         "downlinkVolume": 4000}]}
    return json.dumps({
        "chargingSessionId": "session-1", "subscriberIdentifier": "imsi-001010000000001", "invocationTimeStamp": start,
        "invocationSequenceNumber": sequence, "multipleUnitUsage": [unit], "pDUSessionChargingInformation": {
            "chargingId": 7, "userInformation": {"servedGPSI": f"msisdn-99970000100{sequence}"},
            "pduSessionInformation": {
                "dnnId": "internet", "startTime": "2026-10-21T12:00:00Z",
                "servingCNPlmnId": {"mcc": "001", "mnc": "01"}, "sessionStopIndicator": final}}}).encode() + b"\n"
