"""Suspense: what is set aside is mended and taken back in, or written off; every path, and killed on the way."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from mediation.formats.registry import LAYOUTS
from pipelines.archive import Archive
from pipelines.corrections.rerate import Request, rerate
from pipelines.durable import crash_points
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.content_hash import content_hash
from pipelines.recycle import recycle, summary, write_off
from pipelines.suspense import Choice, actions_at, groups, open_rows, row_at
from reference_data.tariffs.compile import load_tariffs
from schemas.errors import LedgerError
from tests.small_operator import account, times
from tests.tiny_network import ANNA, BRAZIL, CARL, NOON, Network, call

MENDED = ("nina", "mended")
OPEN = "SELECT stage, reason, count(*) FROM suspense_open GROUP BY ALL ORDER BY ALL"
CALLS = "SELECT local_sequence, charge_nanos FROM rated ORDER BY 1"


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(tmp_path / "net")


def add_carl(network: Network) -> None:
    reference = network.reference
    reference.accounts.append(account(3, time_zone="Europe/Berlin"))
    reference.services.append({"service_id": 13, "account_id": 3, "kind": "mobile", **times()})
    reference.resources.append({"kind": "msisdn", "value": CARL[1:], "service_id": 13, **times()})
    reference.plans.append({"account_id": 3, "plan": "prepaid-basic", **times()})
    network.write()


def unknown_subscriber(network: Network) -> tuple[str, str, Callable[[], None]]:
    network.deliver([call(1), call(2, CARL)])
    return "resolve", "unknown_subscriber", lambda: add_carl(network)


def no_rate(network: Network) -> tuple[str, str, Callable[[], None]]:
    rule = "      - {service: voice, zones: [europe, world], rate: abroad}\n"
    network.edit("tariffs/2026.yaml", rule, "")
    network.edit("tariffs/2026.yaml", "      - {service: voice, zones: any, roaming: any, rate: abroad}\n", "")
    network.deliver([call(2)])
    plan = "      - {service: voice, zones: [premium], rate: premium}\n"
    return "charge", "no_rate", lambda: network.edit("tariffs/2026.yaml", plan, plan + rule)


def no_zone(network: Network) -> tuple[str, str, Callable[[], None]]:
    network.deliver([call(1), call(2, called=BRAZIL)])
    return "charge", "no_zone", lambda: network.edit("tariffs/decks/main.csv", "81,world\n", "81,world\n55,world\n")


def bad_layout(network: Network) -> tuple[str, str, Callable[[], None]]:
    """The operator's own layout takes the served number from a column that this switch does not fill."""
    layouts = network.root / "operator" / "formats"
    layouts.mkdir()
    text = (LAYOUTS / "voip-csv.yaml").read_text()
    wrong = text.replace("{from: served, to: served_number", "{from: node, to: served_number", 1) \
        .replace("{from: called, to: other_number", "{from: missing, to: other_number")
    (layouts / "voip-csv.yaml").write_text(wrong)
    network.deliver([call(2)])
    return "decode", "missing_field", lambda: (layouts / "voip-csv.yaml").unlink()


def clock_ahead(network: Network) -> tuple[str, str, Callable[[], None]]:
    network.deliver([call(1), call(2, start=NOON + timedelta(hours=1))])

    def mend() -> None:
        network.reference.streams[0]["clock_tolerance_s"] = 7200
        network.write()

    return "normalise", "time_ahead", mend


@pytest.mark.parametrize("break_it", [unknown_subscriber, no_rate, no_zone, bad_layout, clock_ahead])
def test_a_call_is_charged_once_its_cause_is_mended(
        network: Network, break_it: Callable[[Network], tuple[str, str, Callable[[], None]]]) -> None:
    stage, reason, mend = break_it(network)
    network.run()
    assert network.ask(OPEN) == [(stage, reason, 1)]
    rated = network.ask(CALLS)
    choice = Choice(reason=reason)

    stays = recycle(network.source, network.home, choice, *MENDED)
    assert summary(stays) == [(stage, reason, "suspended", f"{stage}: {reason}", 1, 0)]
    assert network.ask("SELECT count(*) FROM settled") == [(0,)], "nothing came of it, so nothing is written"

    mend()
    tried = recycle(network.source, network.home, choice, *MENDED, dry_run=True)
    assert [(o.becomes, o.charge_nanos > 0) for o in tried] == [("rated", True)]
    assert network.ask(CALLS) == rated and network.ask(OPEN) == [(stage, reason, 1)]

    assert recycle(network.source, network.home, choice, *MENDED) == tried
    assert network.ask(OPEN) == []
    assert network.ask(CALLS) == [*rated, (2, tried[0].charge_nanos)]
    assert network.ask("SELECT source, stage, reason, action, container_count, who, why FROM settled") == \
        [("voip-01", stage, reason, "recycled", 1, *MENDED)]
    network.check_laws()
    assert recycle(network.source, network.home, choice, *MENDED) == []
    network.run()
    assert network.ask(CALLS) == [*rated, (2, tried[0].charge_nanos)]
    network.check_laws()


def test_a_call_that_gets_further_is_set_aside_for_its_new_reason(network: Network) -> None:
    network.deliver([call(1, CARL, BRAZIL), call(2, CARL)])
    network.run()
    add_carl(network)
    outcomes = recycle(network.source, network.home, Choice(reason="unknown_subscriber"), *MENDED)
    assert [(o.becomes, o.why, o.moved) for o in outcomes] == \
        [("suspended", "charge: no_zone", True), ("rated", "", True)]
    assert network.ask(OPEN) == [("charge", "no_zone", 1)]
    network.check_laws()
    [row] = [r for r in row_at(Ledger.open(network.home.ledger), outcomes_event(network)) if r["open"]]
    assert (row["stage"], row["account_id"]) == ("charge", 3)
    network.edit("tariffs/decks/main.csv", "81,world\n", "81,world\n55,world\n")
    assert [o.becomes for o in recycle(network.source, network.home, Choice(stage="charge"), *MENDED)] == ["rated"]
    assert network.ask(OPEN) == []
    network.check_laws()


@pytest.mark.parametrize("look", ["dry run", "recycle that moves nothing", "write-off"])
def test_after_a_look_the_reference_data_may_be_mended_further(network: Network, look: str) -> None:
    """The look opened the new account: were that not settled, replay would want the reference data of the look."""
    network.deliver([call(1), call(2, CARL, BRAZIL), call(3, start=NOON + timedelta(hours=1))])
    network.run()
    add_carl(network)
    if look == "dry run":
        recycle(network.source, network.home, Choice(), *MENDED, dry_run=True)
    elif look == "write-off":
        write_off(network.source, network.home, Choice(reason="time_ahead"), *MENDED)
    else:
        recycle(network.source, network.home, Choice(reason="time_ahead"), *MENDED)
    network.check_laws()
    network.edit("tariffs/decks/main.csv", "81,world\n", "81,world\n55,world\n")
    [outcome] = recycle(network.source, network.home, Choice(reason="unknown_subscriber"), *MENDED)
    assert outcome.becomes == "rated"
    network.check_laws()


def test_stopped_behind_its_commit_and_called_again_it_is_finished(network: Network, tmp_path: Path) -> None:
    """The second call finds nothing left to take back; balances and snapshot are due all the same."""
    network.deliver([call(1), call(2, CARL)])
    network.run()
    add_carl(network)
    whole = Network.__new__(Network)
    shutil.copytree(network.root, tmp_path / "copy")
    whole.root, whole.reference = tmp_path / "copy", network.reference
    recycle(whole.source, whole.home, Choice(), *MENDED)

    class KilledError(Exception):
        pass

    folds = iter(range(3))

    def die(reached: str) -> None:
        if reached == "charge.folded" and next(folds) == 1:  # the first opened the account
            raise KilledError

    with crash_points(die), pytest.raises(KilledError):
        recycle(network.source, network.home, Choice(), *MENDED)
    assert network.ask("SELECT count(*) FROM settled") == [(1,)]
    assert recycle(network.source, network.home, Choice(), *MENDED) == []
    assert content_hash(Ledger.open(network.home.ledger)) == content_hash(Ledger.open(whole.home.ledger))
    network.check_laws()


def test_rerate_leaves_a_later_customers_usage_to_recycle_and_then_replays_it(network: Network) -> None:
    network.deliver([call(1), call(2, CARL)])
    network.run()
    add_carl(network)
    request = Request(1_800_000_000_000_000, *MENDED)
    assert not rerate(network.source, network.home, request).changes
    assert network.ask(OPEN) == [("resolve", "unknown_subscriber", 1)]
    assert [o.becomes for o in recycle(network.source, network.home, Choice(), *MENDED)] == ["rated"]
    found = rerate(network.source, network.home, request, dry_run=True)
    assert found.proved and not found.changes and found.events == 2
    network.check_laws()


def outcomes_event(network: Network) -> str:
    return str(network.ask("SELECT event_id FROM suspense_open")[0][0])


@pytest.mark.parametrize("point", ["ledger.commit.2.1", "ledger.commit.2.3", "charge.folded"])
def test_killed_between_the_commits_and_run_again_it_is_the_same(network: Network, tmp_path: Path, point: str) -> None:
    network.deliver([call(1), call(2, CARL), call(3, CARL, BRAZIL)])
    network.run()
    add_carl(network)
    whole = Network.__new__(Network)
    shutil.copytree(network.root, tmp_path / "copy")  # the same keys, so the same tokens
    whole.root, whole.reference = tmp_path / "copy", network.reference
    choice = Choice(reason="unknown_subscriber")
    recycle(whole.source, whole.home, choice, *MENDED)

    class KilledError(Exception):
        pass

    armed = [False]

    def die(reached: str) -> None:
        if reached == "recycle.sighted":
            armed[0] = True
        if armed[0] and reached.startswith(point):
            raise KilledError

    with crash_points(die), pytest.raises(KilledError):
        recycle(network.source, network.home, choice, *MENDED)
    recycle(network.source, network.home, choice, *MENDED)
    network.run()
    whole.run()
    assert content_hash(Ledger.open(network.home.ledger)) == content_hash(Ledger.open(whole.home.ledger))
    network.check_laws()
    assert network.ask(OPEN) == [("charge", "no_zone", 1)]


def test_written_off_rows_stay_with_who_and_why(network: Network) -> None:
    network.deliver([call(1, CARL), call(2, CARL), call(3)])
    file = network.deliver([call(4, CARL)])
    network.run()
    choice = Choice(reason="unknown_subscriber", file=file)
    assert write_off(network.source, network.home, choice, "nina", "test line", dry_run=True) == 1
    assert network.ask("SELECT count(*) FROM settled") == [(0,)]
    assert write_off(network.source, network.home, choice, "nina", "test line") == 1
    assert network.ask("SELECT local_sequence FROM suspense_open ORDER BY 1") == [(1,), (2,)]
    event = str(network.ask("SELECT event_id FROM suspense WHERE local_sequence = 4")[0][0])
    assert actions_at(Ledger.open(network.home.ledger), event) == [
        {"action": "written_off", "stage": "resolve", "reason": "unknown_subscriber", "who": "nina",
         "why": "test line"}]
    assert network.ask("SELECT count(*) FROM suspense") == [(3,)]
    network.check_laws()
    add_carl(network)
    assert len(recycle(network.source, network.home, Choice(), *MENDED)) == 2
    assert network.ask("SELECT local_sequence FROM rated ORDER BY 1") == [(1,), (2,), (3,)]
    network.check_laws()


@pytest.mark.parametrize(("who", "why"), [("", "because"), ("nina", " ")])
def test_nobody_gives_up_a_row_without_a_name_and_a_reason(network: Network, who: str, why: str) -> None:
    with pytest.raises(LedgerError, match="who does this, and why"):
        write_off(network.source, network.home, Choice(), who, why)


def test_a_conflict_stays_a_conflict(network: Network) -> None:
    network.deliver([call(1), call(1, seconds=90)])
    network.run()
    outcomes = recycle(network.source, network.home, Choice(), *MENDED)
    assert [(o.reason, o.moved) for o in outcomes] == [("key_conflict", False)]
    assert network.ask("SELECT count(*) FROM rated") == [(1,)]
    network.check_laws()


def usage_report(sequence: int, final: bool) -> bytes:
    """A line of 5G usage with two rating groups."""
    start = (NOON + timedelta(minutes=sequence)).strftime("%Y-%m-%dT%H:%M:%SZ")
    units = [{"ratingGroup": group, "usedUnitContainer": [
        {"serviceId": 100, "time": 60, "triggerTimestamp": start, "totalVolume": 5000, "uplinkVolume": 1000,
         "downlinkVolume": 4000}]} for group in (10, 20)]
    return json.dumps({
        "chargingSessionId": "session-1", "subscriberIdentifier": "imsi-001010000000001", "invocationTimeStamp": start,
        "invocationSequenceNumber": sequence, "multipleUnitUsage": units, "pDUSessionChargingInformation": {
            "chargingId": 7, "pduSessionInformation": {
                "dnnId": "internet", "startTime": "2026-10-21T12:00:00Z",
                "servingCNPlmnId": {"mcc": "001", "mnc": "01"}, "sessionStopIndicator": final}}}).encode() + b"\n"


@pytest.mark.parametrize("policy", ["rate_each", "until_final"])
def test_a_record_that_could_not_be_read_comes_back_with_all_its_containers(network: Network, policy: str) -> None:
    """The layout wants the radio technology, which this element leaves out of its first report."""
    network.reference.streams.append({"name": "nchf", "sources": "nchf-*", "format": "chf-json",
                                      "merge": {"policy": policy}})
    network.write()
    layouts = network.root / "operator" / "formats"
    layouts.mkdir()
    text = (LAYOUTS / "chf-json.yaml").read_text()
    (layouts / "chf-json.yaml").write_text(text.replace("partial_sequence, start_time_us]",
                                                        "partial_sequence, start_time_us, rat_type]"))
    second = usage_report(2, final=True).replace(b'"dnnId"', b'"ratType": "NR", "dnnId"')
    network.drop("a.json", usage_report(1, final=False) + second, "nchf-01")
    network.run()
    assert network.ask(OPEN) == [("decode", "missing_field", 1)]
    assert network.ask("SELECT count(*) FROM held") == [(2 if policy == "until_final" else 0,)]
    (layouts / "chf-json.yaml").unlink()
    [outcome] = recycle(network.source, network.home, Choice(stage="decode"), *MENDED)
    assert outcome.container_count == 2 and outcome.moved
    assert network.ask("SELECT action, container_count FROM settled") == [("recycled", 2)]
    merged = policy == "until_final"
    groups_rated = network.ask("SELECT rating_group, count(*), sum(quantity), max(merged_count) FROM rated "
                               "GROUP BY 1 ORDER BY 1")
    assert groups_rated == \
        [(10, 1 if merged else 2, 10_000, 2 if merged else 1), (20, 1 if merged else 2, 10_000, 2 if merged else 1)]
    assert network.ask("SELECT count(*) FROM held") == [(0,)]
    network.check_laws()


def test_a_line_that_was_cut_off_stays_cut_off(network: Network) -> None:
    network.reference.streams.append({"name": "nchf", "sources": "nchf-*", "format": "chf-json"})
    network.write()
    network.drop("a.json", usage_report(1, final=True) + usage_report(2, final=True)[:200], "nchf-01")
    network.run()
    [(stage, reason, count)] = network.ask(OPEN)
    assert (stage, count) == ("frame", 1)
    assert [(o.reason, o.moved) for o in recycle(network.source, network.home, Choice(), *MENDED)] == [(reason, False)]
    network.check_laws()


def test_a_file_of_a_format_that_is_not_read_is_one_row_that_says_so(network: Network) -> None:
    ipfix = b"\x00\x0a\x00\x20" + bytes(12) + b"\x00\x02\x00\x10" + bytes(12)
    network.drop("voip-01_000009_20261021120900.csv", ipfix)
    network.deliver([call(1)])
    summary_of_run = network.run()
    assert len(summary_of_run.messages) == 1 and "IPFIX" in summary_of_run.messages[0]
    assert network.ask(OPEN) == [("decode", "refused_format", 1)]
    assert network.ask("SELECT record_length, container_index FROM suspense") == [(len(ipfix), 0)]
    assert network.ask("SELECT state, record_count, container_count, record_octets, header_octets FROM file_audit "
                       "WHERE file_name LIKE '%000009%'") == [("refused_format", 1, 1, len(ipfix), 0)]
    assert network.ask("SELECT count(*) FROM rated") == [(1,)]
    network.check_laws()
    assert [o.moved for o in recycle(network.source, network.home, Choice(), *MENDED)] == [False]


def test_what_cannot_come_back_is_left_and_says_why(network: Network) -> None:
    network.deliver([call(1, start=NOON + timedelta(hours=1)), call(2, CARL)])
    commands = network.root / "inbox" / "commands"
    commands.mkdir()
    (commands / "c_1_20261021123000.jsonl").write_text(
        '{"id": "t-1", "kind": "top_up", "time": "2026-10-21T12:00:00Z", "account_id": 99, "amount": "5.00", '
        '"currency": "EUR"}\n')
    network.run()
    Archive(network.home.archive, Keys.open(network.home.keys)).erase_before(date(2026, 10, 22), {"why": "retention"})
    add_carl(network)
    outcomes = {o.reason: o for o in recycle(network.source, network.home, Choice(), *MENDED)}
    assert outcomes["time_ahead"].becomes == "left" and "erased" in outcomes["time_ahead"].why
    assert outcomes["unknown_account"].becomes == "left" and "command" in outcomes["unknown_account"].why
    assert outcomes["unknown_subscriber"].becomes == "rated", "an event needs no bytes"
    assert {reason for _, reason, _ in network.ask(OPEN)} == {"time_ahead", "unknown_account"}
    network.check_laws()


def test_groups_say_how_much_how_old_and_what_it_may_be_worth(network: Network) -> None:
    network.deliver([call(1, CARL), call(2, CARL, seconds=120, start=NOON - timedelta(days=2)), call(3)])
    network.deliver([call(4, CARL, BRAZIL)], "voip-02")
    network.run()
    tariffs = load_tariffs(network.source.operator / "tariffs")
    ledger = Ledger.open(network.home.ledger)
    first, second = groups(ledger, Choice(), tariffs)
    assert (first.stage, first.reason, first.source, first.rows, first.files) == \
        ("resolve", "unknown_subscriber", "voip-01", 2, 1)
    assert first.estimate_nanos == pytest.approx(3 * second.estimate_nanos, rel=1e-6) and second.estimate_nanos > 0
    assert first.oldest is not None and first.oldest.startswith("2026-10-19")
    assert [g.rows for g in groups(ledger, Choice(source="voip-02"), tariffs)] == [1]
    assert open_rows(ledger, Choice(source="voip-01"), 1).num_rows == 1
    assert datetime.fromisoformat(str(second.newest)).astimezone(UTC).date() == date(2026, 10, 21)


@pytest.mark.parametrize(("choice", "known"), [({"reason": "nothing"}, "no_rate"), ({"stage": "mediate"}, "resolve")])
def test_a_reason_or_stage_that_is_none_is_refused_by_name(choice: dict[str, str], known: str) -> None:
    with pytest.raises(LedgerError, match=known):
        Choice(**choice)


def test_the_id_of_no_row_is_an_error(network: Network) -> None:
    network.deliver([call(1, ANNA)])
    network.run()
    with pytest.raises(LedgerError, match="no row of suspense"):
        row_at(Ledger.open(network.home.ledger), "0" * 32)
