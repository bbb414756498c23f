"""The command line over one small home: explain, trace, suspense, sql, ledger, format, tariff."""

import json
import re
import shlex
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from mediation.formats.registry import LAYOUTS
from pipelines.apps.cli import main
from pipelines.archive import Archive
from pipelines.durable import crash_points
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.content_hash import content_hash
from pipelines.vault import Vault
from tests.small_operator import TARIFF
from tests.tiny_network import ANNA, CARL, NOON, SPAIN, Network, call

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Two files: one call that is rated, one repeated, one unknown, one line that is none."""
    network = Network(tmp_path_factory.mktemp("operations"))
    network.deliver([call(1, seconds=130), call(2, CARL)])
    network.deliver([call(1, seconds=130), call(3, called="12", answer_time="not a time")])
    network.run()
    return network


@pytest.fixture
def own(ran: Network, tmp_path: Path) -> Network:
    """A copy that a test may change."""
    shutil.copytree(ran.root, tmp_path / "net")
    copy = Network.__new__(Network)
    copy.root, copy.reference = tmp_path / "net", ran.reference
    return copy


def tarifa(capsys: Capture, *arguments: str, status: int = 0) -> str:
    """Output of a command, whose exit code must be `status`; of an error its message."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    output = capsys.readouterr()
    assert (ended.value.code or 0) == status, output.out + output.err
    return output.out if status != 2 else output.err


def rated_event(network: Network) -> str:
    return str(network.ask("SELECT event_id FROM rated")[0][0])


def test_explain_walks_back_to_the_bytes_and_hides_numbers(ran: Network, capsys: Capture) -> None:
    text = tarifa(capsys, "explain", rated_event(ran), *ran.arguments)
    for word in ("prepaid-basic", "europe", "abroad", "2026", "0.49", "half_up", "the same charge", "revenue"):
        assert word in text
    assert ANNA[1:] not in text and SPAIN[1:] not in text and "*" in text
    [found] = json.loads(tarifa(capsys, "explain", rated_event(ran), "--json", *ran.arguments))
    # 130 s abroad: connect fee 0.15, three started minutes at 0.49.
    assert found["pricing"]["charge"] == "1.62 EUR" and found["pricing"]["recomputed"] == "the same charge"
    [record] = found["records"]
    line = (ran.root / "inbox" / "voip-01" / record["file"]).read_bytes()
    assert line[record["offset"]:record["offset"] + record["octets"]].startswith(b"call-1,")
    assert record["decoded"]["columns"]["call_id"] == "call-1" and record["raw"] is None
    assert sum(p["amount"] for p in found["postings"]) == 0


def test_reveal_shows_numbers_and_leaves_a_trace(own: Network, capsys: Capture) -> None:
    event = rated_event(own)
    assert "--why" in tarifa(capsys, "explain", event, "--reveal", *own.arguments, status=2)
    assert not (own.home.vault / "audit.log").exists()
    text = tarifa(capsys, "explain", event, "--reveal", "--why", "complaint 7", *own.arguments)
    assert ANNA[1:] in text and SPAIN[1:] in text
    assert '"why": "complaint 7"' in (own.home.vault / "audit.log").read_text()


def test_trace_tells_what_became_of_every_byte(ran: Network, capsys: Capture) -> None:
    for (name, octets), fates in zip(ran.ask("SELECT file_name, file_octets FROM file_audit ORDER BY file_id"), (
            {"rated": b"call-1,", "suspense": b"call-2,"},
            {"duplicate": b"call-1,", "suspense": b"call-3,"}), strict=True):
        content = (ran.root / "inbox" / "voip-01" / name).read_bytes()
        assert len(content) == octets
        for table, start in fates.items():
            found = json.loads(tarifa(capsys, "trace", f"{name}:{content.index(start) + 3}", "--json", *ran.arguments))
            assert table in [fate["table"] for fate in found["fates"]]
            assert found["record"]["offset"] == content.index(start)
        assert "header or trailer" in tarifa(capsys, "trace", f"{name}:0", *ran.arguments)
    text = tarifa(capsys, "trace", f"1:{content.index(b'call-1,')}", *ran.arguments)
    assert "rated" in text and ANNA[1:] not in text


def test_erased_bytes_are_said_to_be_erased(own: Network, capsys: Capture) -> None:
    archive = Archive(own.home.archive, Keys.open(own.home.keys))
    archive.erase_before(NOON.date() + timedelta(days=1), {"why": "retention"})
    text = tarifa(capsys, "explain", rated_event(own), *own.arguments)
    assert "erased" in text and "1.62" in text


@pytest.mark.parametrize(("arguments", "message"), [
    (("explain", "0" * 32), "no rated event has the id"),
    (("trace", "nothing"), "FILE:OFFSET"),
    (("trace", "nothing:1"), "no file 'nothing' was collected"),
    (("trace", "1:99999999"), "octets"),
    (("suspense", "show", "0" * 32), "no row of suspense"),
    (("suspense", "list", "--reason", "bad"), "no reason is called 'bad'"),
    (("suspense", "recycle"), "which rows are meant"),
    (("suspense", "recycle", "--all", "--reason", "no_rate"), "which rows are meant"),
    (("suspense", "write-off", "--all"), "why, must be said"),
    (("sql",), "one query is needed"),
    (("sql", "SELECT nonsense FROM rated"), "cannot be answered"),
    (("sql", "SELECT * FROM file"), "Table with name file does not exist"),  # and no variable of ours
    (("sql", "SELECT 1", "--as-of", "7"), "cut 7"),
    (("ledger", "show", "nothing"), "no stream is called 'nothing'"),
    (("ledger", "compact", "--table", "held"), "no table 'held'"),
    (("ledger", "restore", "/nowhere"), "no backup at /nowhere"),
])
def test_mistakes_get_one_clear_line(ran: Network, capsys: Capture, arguments: tuple[str, ...],
                                     message: str) -> None:
    text = tarifa(capsys, *arguments, *ran.arguments, status=2)
    assert message in text and text.startswith("error ") and text.count("\n") == 1


@pytest.mark.parametrize("arguments", [("suspense", "list"), ("ledger", "verify"), ("sql", "SELECT 1"),
                                       ("ledger", "compact"), ("suspense", "recycle", "--all")])
def test_a_home_that_is_not_there_is_not_made(tmp_path: Path, capsys: Capture,
                                              arguments: tuple[str, ...]) -> None:
    tarifa(capsys, *arguments, "--home", str(tmp_path / "no"), status=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("suspense", "recycle", "--all"), ("ledger", "compact"), ("ledger", "vacuum"),
                                       ("suspense", "write-off", "--all", "--why", "a test")])
def test_while_a_run_goes_on_nothing_is_claimed(own: Network, capsys: Capture, arguments: tuple[str, ...]) -> None:
    before = [log.head for log in Ledger.open(own.home.ledger).logs().values()]
    with Vault(own.home.vault, Keys.open(own.home.keys)):
        assert "another process" in tarifa(capsys, *arguments, *own.arguments, status=2)
    assert [log.head for log in Ledger.open(own.home.ledger).logs().values()] == before


def test_after_a_kill_compaction_asks_for_a_run_first(own: Network, capsys: Capture) -> None:
    class KilledError(Exception):
        pass

    def die(reached: str) -> None:
        if reached == "charge.folded":
            raise KilledError

    own._files = 2
    own.deliver([call(9)])
    with crash_points(die), pytest.raises(KilledError):
        own.run()
    for command in ("compact", "vacuum"):
        assert "run `tarifa run` once" in tarifa(capsys, "ledger", command, *own.arguments, status=2)
    own.run()
    tarifa(capsys, "ledger", "compact", *own.arguments)
    own.check_laws()
    assert own.ask("SELECT count(*) FROM rated") == [(2,)]


def test_suspense_is_listed_shown_recycled_and_written_off(own: Network, capsys: Capture) -> None:
    text = tarifa(capsys, "suspense", "list", *own.arguments)
    assert "unknown_subscriber" in text and "bad_time" in text and "voip-01" in text
    [group] = json.loads(tarifa(capsys, "suspense", "list", "--json", "--stage", "resolve", *own.arguments))
    assert group["rows"] == 1
    rows = json.loads(tarifa(capsys, "suspense", "list", "--rows", "5", "--json", *own.arguments))
    assert {row["reason"] for row in rows} == {"unknown_subscriber", "bad_time"}
    event = next(row["event_id"] for row in rows if row["reason"] == "bad_time")
    shown = tarifa(capsys, "suspense", "show", event, *own.arguments)
    assert "not a time" in shown and "open" in shown and ANNA[1:] not in shown
    assert "stays" in tarifa(capsys, "suspense", "recycle", "--all", "--dry-run", *own.arguments)
    said = tarifa(capsys, "suspense", "write-off", "--reason", "bad_time", "--why", "a test", *own.arguments)
    assert "1 rows were written off" in said
    shown = tarifa(capsys, "suspense", "show", event, *own.arguments)
    assert "closed" in shown and "a test" in shown
    tarifa(capsys, "suspense", "write-off", "--all", "--why", "a test", *own.arguments)
    assert "Nothing is in suspense" in tarifa(capsys, "suspense", "list", *own.arguments)


def test_sql_answers_as_table_csv_and_json_and_reveals_only_what_it_shows(own: Network, tmp_path: Path,
                                                                         capsys: Capture) -> None:
    query = "SELECT service, quantity FROM rated"
    assert tarifa(capsys, "sql", query, "--csv", *own.arguments) == "service,quantity\nvoice,130\n"
    assert json.loads(tarifa(capsys, "sql", query, "--json", *own.arguments)) == {"service": "voice", "quantity": 130}
    (tmp_path / "q.sql").write_text(query)
    assert "130" in tarifa(capsys, "sql", "-f", str(tmp_path / "q.sql"), *own.arguments)
    tokens = "SELECT msisdn_token FROM rated"
    assert ANNA[1:] not in tarifa(capsys, "sql", tokens, "--csv", *own.arguments)
    revealed = tarifa(capsys, "sql", tokens, "--csv", "--reveal", "--why", "complaint 8", *own.arguments)
    assert revealed.startswith("msisdn_token,msisdn\n") and ANNA[1:] in revealed and SPAIN[1:] not in revealed
    assert '"count": 1' in (own.home.vault / "audit.log").read_text().splitlines()[-1]


def test_ledger_is_proved_shown_compacted_copied_and_restored(own: Network, tmp_path: Path,
                                                              capsys: Capture) -> None:
    before = content_hash(Ledger.open(own.home.ledger))
    assert "sound" in tarifa(capsys, "ledger", "verify", *own.arguments)
    assert "usage" in tarifa(capsys, "ledger", "show", *own.arguments)
    assert "append" in tarifa(capsys, "ledger", "show", "mediation", *own.arguments)
    tarifa(capsys, "ledger", "compact", *own.arguments)
    said = tarifa(capsys, "ledger", "vacuum", "--retention-days", "0", "--orphan-hours", "0", *own.arguments)
    assert "removed" in said
    assert content_hash(Ledger.open(own.home.ledger)) == before
    own.run()
    assert content_hash(Ledger.open(own.home.ledger)) == before, "a run after compaction finds its place"
    tarifa(capsys, "ledger", "backup", str(tmp_path / "saved"), *own.arguments)
    shutil.rmtree(own.home.ledger)
    tarifa(capsys, "ledger", "restore", str(tmp_path / "saved"), *own.arguments)
    assert content_hash(Ledger.open(own.home.ledger)) == before
    own.run()
    assert "sound" in tarifa(capsys, "ledger", "verify", *own.arguments)


def test_verify_names_what_is_wrong_and_ends_with_one(own: Network, capsys: Capture) -> None:
    victim = next((Path(own.home.ledger) / "rated").rglob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"X")
    text = tarifa(capsys, "ledger", "verify", *own.arguments, status=1)
    assert victim.name in text and "1 findings" in text


def test_layouts_and_tariffs_are_checked_before_use(ran: Network, tmp_path: Path,
                                                    capsys: Capture) -> None:
    sample = next((ran.root / "inbox" / "voip-01").iterdir())
    text = tarifa(capsys, "format", "check", str(LAYOUTS / "voip-csv.yaml"), "--sample", str(sample))
    assert "is sound" in text and "2 records" in text and ANNA[1:] not in text
    assert "looks like" in tarifa(capsys, "format", "check", str(LAYOUTS / "ts32298-cs.yaml"), "--sample",
                                           str(sample), status=1)
    wrong = tmp_path / "voip-csv.yaml"
    wrong.write_text((LAYOUTS / "voip-csv.yaml").read_text().replace("as: iso-time", "as: sundial"))
    assert "sundial" in tarifa(capsys, "format", "check", str(wrong), status=1)
    assert "2026" in tarifa(capsys, "tariff", "check", str(TARIFF))
    shutil.copytree(TARIFF, tmp_path / "tariffs")
    version = tmp_path / "tariffs" / "2026.yaml"
    version.write_text(version.read_text().replace("rate: premium}", "rate: gold}"))
    assert re.search(r"2026\.yaml:\d+: .*gold", tarifa(capsys, "tariff", "check", str(tmp_path / "tariffs"), status=1))


@pytest.mark.parametrize("command", [(), ("explain",), ("trace",), ("suspense",), ("sql",), ("ledger",), ("format",),
                                     ("tariff",), ("suspense", "recycle"), ("ledger", "verify")])
def test_help_begins_with_what_the_command_does(command: tuple[str, ...], capsys: Capture) -> None:
    text = tarifa(capsys, *command, "--help")
    assert text.startswith("Usage: ") and len(text.splitlines()[2].strip()) > 20


def test_the_examples_of_the_page_run(own: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: Capture) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.S) for line in block.splitlines()]
    (tmp_path / "var").mkdir()
    own.root.rename(tmp_path / "var" / "demo")
    own.root = tmp_path / "var" / "demo"
    sample = next((own.root / "inbox" / "voip-01").iterdir())
    words = {"$EVENT": rated_event(own), "$FILE": sample.name, "$SAVED": str(tmp_path / "saved"),
             "$SAMPLE": str(sample), "$LAYOUT": str(LAYOUTS / "voip-csv.yaml"),
             "$ROW": str(own.ask("SELECT event_id FROM suspense_open LIMIT 1")[0][0])}
    monkeypatch.chdir(tmp_path)
    assert len(lines) > 15
    for line in lines:
        for word, value in words.items():
            line = line.replace(word, value)
        program, *arguments = shlex.split(line)
        assert program == "tarifa"
        tarifa(capsys, *arguments, status=0)
