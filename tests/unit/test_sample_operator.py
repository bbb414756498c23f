"""The sample operator: same bytes, real shapes, read back by the product's own decoders and loaders."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.sample import operator, population
from pipelines.sample.generate import GeneratedSummary, generate
from pipelines.sample.kernels.draw import SHARE, quantile_nb
from pipelines.sample.limits import MAX_SUBSCRIBERS
from pipelines.sample.operator import write_operator
from pipelines.sample.population import next_change_of_clock, period, populate
from pipelines.sample.traffic import CALL_SECONDS
from reference_data.snapshot import load_snapshot
from schemas.codes import Direction, Reason, RecordType
from schemas.digits import unpack
from schemas.errors import ChargingError
from tests.unit.sample_operator import DAY, make, read_file, sources, stem_of, tree_hash


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> GeneratedSummary:
    return make(tmp_path_factory.mktemp("clean") / "out", defects=False)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        generate(tmp_path / name, 60, DAY, 2, seed)
    assert tree_hash(tmp_path / "a") == tree_hash(tmp_path / "b") != tree_hash(tmp_path / "c")


def test_one_file_or_seven_hold_the_same_records(tmp_path: Path) -> None:
    bodies = []
    for files in (1, 7):
        out = make(tmp_path / str(files), defects=False, subscribers=60, files_per_source=files).out
        bodies.append({
            folder.name: b"".join(path.read_bytes()[(f := read_file(path).frame).body_start:f.body_end]
                                  for path in sorted(folder.iterdir())) for folder in sources(out)})
        assert max(len(list(folder.iterdir())) for folder in sources(out)) == files
    assert bodies[0] == bodies[1]


def test_decoders_find_what_the_clean_totals_say(clean: GeneratedSummary) -> None:
    for folder in sources(clean.out):
        totals, records, containers, seconds, octets = clean.clean[folder.name], 0, 0, 0, 0
        for path in sorted(folder.iterdir()):
            found = read_file(path)
            assert not found.frame.header_lies and found.frame.problems == ()
            assert (found.cells["status"] == Reason.OK).all()
            records, containers = records + found.records, containers + len(found.cells)
            if folder.name.startswith("wifi"):  # its counters are totals: what counts is the last of each session
                continue
            seconds += int(np.maximum(found.cells["duration_s"], 0).sum())
            octets += int(np.maximum(found.cells["uplink_octets"], 0).sum()
                          + np.maximum(found.cells["downlink_octets"], 0).sum())
        assert (records, containers) == (totals.records, totals.containers), folder.name
        if not folder.name.startswith("wifi"):
            assert (seconds, octets) == (totals.seconds, totals.octets), folder.name
    assert clean.records > 6000


def test_wifi_stops_sum_to_the_octets_of_the_sessions(clean: GeneratedSummary) -> None:
    for folder in (f for f in sources(clean.out) if f.name.startswith("wifi")):
        cells = [read_file(path).cells for path in sorted(folder.iterdir())]
        stopped = sum(int(c["uplink_octets"][c["cause_for_closing"] == 0].sum()
                          + c["downlink_octets"][c["cause_for_closing"] == 0].sum()) for c in cells)
        assert 0 < stopped <= clean.clean[folder.name].octets


def test_no_record_ends_after_its_file_was_closed(clean: GeneratedSummary) -> None:
    for folder in sources(clean.out):
        for path in folder.iterdir():
            stamp = path.stem.rsplit("_", 1)[1]
            closed = int(datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()) * 1_000_000
            assert (read_file(path).cells["start_time_us"] < closed).all()


def test_the_reference_data_loads(clean: GeneratedSummary) -> None:
    snapshot = load_snapshot(clean.out / "operator", (1, 2))
    assert len(snapshot.inventory.accounts.account_id) == 300
    again = load_snapshot(clean.out / "operator", (1, 2))
    assert snapshot.content_hash == again.content_hash


def test_calls_have_the_shapes_of_real_ones(tmp_path: Path) -> None:
    out = make(tmp_path / "out", False, 1000, formats=["ts32298-cs", "voip-csv"], scale=2.0).out
    calls = {stem: [read_file(path).cells for folder in sources(out) if stem_of(folder.name) == stem
                    for path in sorted(folder.iterdir())] for stem in ("msc", "voip")}
    called = [unpack(int(n)) for cells in calls["msc"] for n in cells["other_number"][cells["direction"] == 0]]
    assert {"112", "110"} & set(called)                          # emergency
    assert any(n.startswith(("0800", "999800")) for n in called)  # toll-free
    assert any(n.startswith(("34", "33", "49")) for n in called) and any(n.startswith("0") for n in called)
    types = np.concatenate([c["record_type"] for c in calls["msc"]])
    assert set(types.tolist()) == \
        {RecordType.MO_CALL, RecordType.MT_CALL, RecordType.CALL_FORWARDING, RecordType.ROAMING}
    directions = np.concatenate([c["direction"] for c in calls["voip"]])
    assert {Direction.ORIGINATING, Direction.TERMINATING, Direction.FORWARDED} == set(directions.tolist())
    seconds = np.concatenate([c["duration_s"] for c in calls["msc"]])
    attempts = (seconds == 0).mean()
    assert 0.15 < attempts < 0.45                                 # zero-duration attempts
    talked = seconds[seconds > 0]
    assert talked.mean() > 1.5 * np.median(talked)                # heavy tail
    served = [unpack(int(imsi)) for c in calls["msc"] for imsi in c["served_imsi"]]
    visitors = [imsi for imsi in served if not imsi.startswith("00101")]
    assert 0 < len(visitors) < 0.02 * len(seconds)                # inbound roamers
    hours = np.concatenate([c["start_time_us"] for c in calls["msc"]]) // 3_600_000_000 % 24
    per_hour = np.bincount(hours, minlength=24)
    assert per_hour[16] > 10 * per_hour[1]                        # 18 and 3 o'clock local time


def test_long_sessions_come_in_partials_for_all_causes(clean: GeneratedSummary) -> None:
    cells = [read_file(p).cells for f in sources(clean.out) if f.name.startswith("pgw") for p in sorted(f.iterdir())]
    causes = set(np.concatenate([c["cause_for_closing"] for c in cells]).tolist())
    assert {0, 16, 17, 22} <= causes
    assert max(int(c["partial_sequence"].max()) for c in cells) >= 4
    assert {10, 20, 30} == set(np.concatenate([c["rating_group"] for c in cells]).tolist())
    abroad = np.concatenate([c["serving_plmn"] for c in cells])
    assert (abroad != 1001).any() and (abroad == 1001).mean() > 0.9
    # The tariff switch gives a rating group two containers in one record.
    assert max(int(c["container_count"].max()) for c in cells) in (4, 6)


def test_several_nodes_see_one_ims_call_under_one_identifier(clean: GeneratedSummary) -> None:
    seen: dict[bytes, set[str]] = {}
    for folder in sources(clean.out):
        if stem_of(folder.name) in ("scscf", "pcscf", "as", "mgcf"):
            for path in folder.iterdir():
                buffer = path.read_bytes()
                for reference in read_file(path).cells["session_text"].tolist():
                    identifier = buffer[reference >> 16:(reference >> 16) + (reference & 0xFFFF)]
                    seen.setdefault(identifier, set()).add(stem_of(folder.name))
    assert {"scscf", "pcscf", "as"} in seen.values() and {"scscf", "pcscf", "as", "mgcf"} in seen.values()


def test_the_night_of_the_change_has_25_hours_and_traffic_in_both_offsets(tmp_path: Path) -> None:
    assert next_change_of_clock(date(2026, 10, 1)) == date(2026, 10, 25)
    night = period(date(2026, 10, 25), 1)
    assert night.hours == 25 and night.zone[1:].tolist() == [7200, 3600]
    assert period(date(2026, 3, 29), 1).hours == 23
    summary = generate(tmp_path / "out", 200, date(2026, 10, 1), 1, 7, False, dst_night=True, formats=["ts32298-gprs"])
    assert summary.period.first == date(2026, 10, 25)
    cells = [read_file(p).cells for f in sources(summary.out) for p in sorted(f.iterdir())]
    starts = np.concatenate([c["start_time_us"] for c in cells])
    change_us = int(night.zone[0]) * 1_000_000
    near = np.abs(starts - change_us) < 3_600_000_000
    assert (near & (starts < change_us)).sum() > 10 and (near & (starts > change_us)).sum() > 10
    opened = np.concatenate([c["opening_time_us"] for c in cells])
    assert (starts >= opened).all()  # an offset taken wrongly would be an hour off


def test_swaps_ports_and_terminations_lie_in_the_inventory(clean: GeneratedSummary) -> None:
    resources = pq.read_table(clean.out / "operator" / "resources.parquet").to_pylist()
    ended = [r for r in resources if r["valid_to"] is not None]
    assert {r["kind"] for r in ended} == {"msisdn", "imsi"} and {r["kind"] for r in resources} == \
        {"msisdn", "imsi", "ip_address"}
    ported = pq.read_table(clean.out / "operator" / "ported.parquet").to_pylist()
    assert {p["network"] for p in ported} >= {"Tarifa Mobile", "Estrecho"}
    accounts = pq.read_table(clean.out / "operator" / "accounts.parquet").to_pylist()
    assert any(a["shared_account_id"] for a in accounts) and {a["payment"] for a in accounts} == {"prepaid", "postpaid"}


def test_two_versions_of_the_tariff_when_there_are_several_days(tmp_path: Path) -> None:
    out = generate(tmp_path / "out", 40, DAY, 4, 1, False, formats=["voip-csv"]).out
    assert sorted(p.name for p in (out / "operator" / "tariffs").glob("*.yaml")) == ["2026-a.yaml", "2026-b.yaml"]
    assert load_snapshot(out / "operator", (1, 2)).content_hash


@pytest.mark.parametrize(("options", "found"), [
    ({"formats": ["tap3"]}, "unknown formats tap3"), ({"scale": 0}, "scale 0")])
def test_arguments_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, object], found: str) -> None:
    with pytest.raises(ChargingError, match=found):
        make(tmp_path / "out", False, **options)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(ChargingError, match="not empty"):
        make(tmp_path, False)
    assert (tmp_path / "mine").read_text() == "kept"


def test_quantiles_follow_their_points() -> None:
    drawn = np.array([quantile_nb(CALL_SECONDS, share) for share in (0, SHARE // 2, SHARE - 1)])
    assert drawn[0] == 1 and drawn[1] == 75 and 7190 < drawn[2] <= 7200


def test_numbers_go_on_in_a_block_of_their_own_where_one_is_full(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_SUBSCRIBERS >= 20_000_000 and len(population.MOBILE_BLOCKS) * population.BLOCK >= MAX_SUBSCRIBERS
    when = period(DAY, 1)
    before = populate(50, when, 1)
    for module in (population, operator):
        monkeypatch.setattr(module, "BLOCK", 50)
    people = populate(160, when, 1)
    np.testing.assert_array_equal(people.mobile[:, :50][population.S_IMEI], before.mobile[population.S_IMEI])
    write_operator(tmp_path / "operator", people, when, False)
    table = pq.read_table(tmp_path / "operator" / "resources.parquet").to_pylist()
    numbers = [row["value"] for row in table if row["kind"] == "msisdn"]
    assert len(set(numbers)) == len(numbers)
    assert {n[:5] for n in numbers if n[3] == "7"} >= {"99970", "99971", "99972", "99973"}
    assert {n[:5] for n in numbers if n[3] == "2"} == {"99921", "99925", "99926", "99927"}
    services = pq.read_table(tmp_path / "operator" / "services.parquet")["service_id"].to_pylist()
    assert len(set(services)) == len(services)
    snapshot = load_snapshot(tmp_path / "operator", (1, 2))
    assert snapshot.number_plan.file.networks[6].prefix == "99973"
    assert len(snapshot.inventory.accounts.account_id) == 160
