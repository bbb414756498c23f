"""Conversions of the text families against Python's own: int, Decimal, datetime, ipaddress."""

import ipaddress
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediation.formats.frame import FileFormat
from schemas.codes import NumberType, Reason
from schemas.columns import ABSENT
from schemas.digits import pack
from tests.unit.text_layouts import one_field, text, whole

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def value(form: FileFormat, column: str, *texts: str) -> list[int | str]:
    """Cells of one column, or the reason's name, for each text on its own line."""
    cells = whole(form, "".join(f"{item}\n" for item in texts).encode()).cells
    return [Reason(int(status)).name if status else int(cell)
            for status, cell in zip(cells["status"], cells[column], strict=True)]


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FileFormat]:
    fields = {
        "int": "to: charging_id, as: int", "up": "to: duration_s, as: quantity, round: up",
        "down": "to: duration_s, as: quantity, round: down", "half-up": "to: duration_s, as: quantity, round: half-up",
        "kilo": "to: uplink_octets, as: quantity, multiply: 1024", "hex": "to: charging_id, as: hex",
        "iso": 'to: start_time_us, as: iso-time, zone: "+02:00"', "compact": 'to: start_time_us, as: compact-time',
        "epoch": "to: start_time_us, as: epoch", "epoch-ms": "to: start_time_us, as: epoch, unit: ms",
        "pattern": 'to: start_time_us, as: pattern-time, pattern: "DD.MM.YY hh:mm:ss Z"',
        "ipv4": "to: gateway_address, as: ipv4-text", "ip": "to: served_address, as: ip-text",
        "number": "to: other_number, as: number", "digits": "to: served_imsi, as: digits",
        "imei": "to: served_imei, as: imei", "bool": "to: answered, as: bool",
        "plmn": "to: serving_plmn, as: plmn-text",
        "clock": "to: duration_s, as: clock, round: up",
        "text": "to: session_text, as: text",
        "map": "to: answered, as: map, values: {yes: true, busy: false}",
        "map-open": "to: service, as: map, values: {V: voice, S: sms}, otherwise: generic",
        "prefix": 'to: served_imsi, as: digits, prefix: "imsi-"', "present": "to: answered, as: present",
    }
    return {name: one_field(Path(tmp_path_factory.mktemp(name)), field) for name, field in fields.items()}


@settings(max_examples=60, deadline=None)
@given(numbers=st.lists(st.integers(0, 10**18 - 1), min_size=1, max_size=20))
def test_int_reads_whole_numbers_as_python_does(forms: dict[str, FileFormat], numbers: list[int]) -> None:
    assert value(forms["int"], "charging_id", *(str(n) for n in numbers)) == numbers


def test_int_refuses_signs_below_zero_rests_and_what_is_no_number(forms: dict[str, FileFormat]) -> None:
    bad = ["-1", "1.5", "1e3", "0x10", "1 2", "+", "-", ".", "9999999999999999999", "1.", "abc", "1\x00"]
    assert value(forms["int"], "charging_id", *bad) == ["BAD_VALUE"] * len(bad)
    assert value(forms["int"], "charging_id", "+7", " 7 ", "007", "7.000", "-0") == [7, 7, 7, 7, 0]


@settings(max_examples=60, deadline=None)
@given(whole_part=st.integers(0, 10**9), fraction=st.text("0123456789", min_size=1, max_size=8))
def test_seconds_round_by_the_declared_rule(forms: dict[str, FileFormat], whole_part: int, fraction: str) -> None:
    written = f"{whole_part}.{fraction}"
    for rule, oracle in (("up", ROUND_CEILING), ("down", ROUND_FLOOR), ("half-up", ROUND_HALF_UP)):
        assert value(forms[rule], "duration_s", written) == [int(Decimal(written).to_integral_value(oracle))]


def test_quantities_below_zero_have_their_own_reason_and_overflow_is_refused(forms: dict[str, FileFormat]) -> None:
    assert value(forms["kilo"], "uplink_octets", "-3", "1.5", "999999999999999999") == ["NEGATIVE_QUANTITY", 1536,
                                                                                       "BAD_VALUE"]


def test_hex_numbers(forms: dict[str, FileFormat]) -> None:
    assert value(forms["hex"], "charging_id", "0x1F", "deadBEEF", "g", "0123456789abcdef") == [31, 0xDEADBEEF,
                                                                                              "BAD_VALUE", "BAD_VALUE"]


@settings(max_examples=100, deadline=None)
@given(moment=st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)), minutes=st.integers(-14 * 60, 14 * 60))
def test_iso_times_agree_with_datetime(forms: dict[str, FileFormat], moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    local = moment.replace(tzinfo=timezone(timedelta(hours=2)))
    texts = {aware.isoformat(): us(aware), aware.isoformat(" "): us(aware), moment.isoformat(): us(local),
             moment.isoformat(timespec="microseconds") + "Z": us(moment.replace(tzinfo=UTC))}
    expected: list[int | str] = [v if v >= 0 else "BAD_TIME" for v in texts.values()]
    assert value(forms["iso"], "start_time_us", *texts) == expected


def test_times_that_do_not_exist_are_bad_times(forms: dict[str, FileFormat]) -> None:
    bad = ["2026-02-29T12:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z",
           "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-1-1T00:00:00Z", "2026-01-01T00:00:00+25:00", "now",
           "2026-01-01T", "2026-01-01T12:00:00Zz", "1969-12-31T23:00:00Z", "2026-01/01T00:00:00Z"]
    assert value(forms["iso"], "start_time_us", *bad) == ["BAD_TIME"] * len(bad)
    day = us(datetime(2024, 2, 29, tzinfo=UTC)) - 7200_000_000
    assert value(forms["iso"], "start_time_us", "2024-02-29", "2024/02/29 00:00", "2024-02-29T00:00+02") == [day] * 3


def test_compact_epoch_and_pattern_times(forms: dict[str, FileFormat]) -> None:
    noon = us(datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC))
    assert value(forms["compact"], "start_time_us", "20260301123015", "260301123015", "20260301123015.5+0100",
                 "2026030112301") == [noon, noon, noon + 500_000 - 3600_000_000, "BAD_TIME"]
    assert value(forms["epoch"], "start_time_us", "1336101842", "1336101842.25", "-5") == [
        1336101842_000_000, 1336101842_250_000, "BAD_TIME"]
    assert value(forms["epoch-ms"], "start_time_us", "1336101842123") == [1336101842_123_000]
    assert value(forms["pattern"], "start_time_us", "01.03.26 12:30:15 Z", "01.03.26 13:30:15 +01:00",
                 "1.3.26 12:30:15 Z", "01.03.26 12:30:15 Z!") == [noon, noon, "BAD_TIME", "BAD_TIME"]


@settings(max_examples=60, deadline=None)
@given(address=st.ip_addresses(v=4))
def test_ipv4_agrees_with_ipaddress(forms: dict[str, FileFormat], address: ipaddress.IPv4Address) -> None:
    assert value(forms["ipv4"], "gateway_address", str(address)) == [int(address)]


def test_addresses_that_are_none(forms: dict[str, FileFormat]) -> None:
    bad = ["1.2.3", "1.2.3.4.5", "256.1.1.1", "1..2.3", "a.b.c.d", "1.2.3.", "::1"]
    assert value(forms["ipv4"], "gateway_address", *bad) == ["BAD_VALUE"] * len(bad)
    data = b"2001:db8::7\n10.0.0.1\nhost\n"
    cells = whole(forms["ip"], data).cells
    assert text(data, int(cells["served_address"][0])) == "2001:db8::7" and cells["served_address_text"][0] == 1
    assert cells["served_address"][1] == 0x0A000001 and cells["served_address_text"][1] == 0
    assert cells["status"][2] == Reason.BAD_VALUE


def test_numbers_as_people_and_switches_write_them(forms: dict[str, FileFormat]) -> None:
    cases = {"+46 70-123 45 67": ("46701234567", NumberType.INTERNATIONAL), "0701234567": ("0701234567", 0),
             "112": ("112", 0), "sip:+46701234567@ims.example": ("46701234567", NumberType.INTERNATIONAL),
             "tel:+46701234567;phone-context=x": ("46701234567", NumberType.INTERNATIONAL),
             "sips:4670@h": ("4670", 0), "(070) 12.34": ("0701234", 0), "*21#": ("*21#", 0)}
    cells = whole(forms["number"], "".join(f"{k}\n" for k in cases).encode()).cells
    for row, (digits, kind) in enumerate(cases.values()):
        assert int(cells["other_number"][row]) == pack(digits)
        assert int(cells["other_number_type"][row]) == kind
    data = b"sip:alice@example.org\nINFO\n1234567890123456\n"
    cells = whole(forms["number"], data).cells
    assert list(cells["other_number_type"]) == [NumberType.TEXT] * 3
    assert [text(data, int(v)) for v in cells["other_number"]] == data.decode().split()


def test_digits_imei_prefix_plmn_bool_clock_and_maps(forms: dict[str, FileFormat]) -> None:
    assert value(forms["digits"], "served_imsi", "001010123456789", "12a", "1234567890123456") == [
        pack("001010123456789"), "BAD_VALUE", "BAD_VALUE"]
    assert value(forms["imei"], "served_imei", "3569380356438091") == [pack("35693803564380")]
    assert value(forms["prefix"], "served_imsi", "imsi-00101", "nai-x@y", "imsi-") == [pack("00101"), ABSENT, ABSENT]
    assert value(forms["plmn"], "serving_plmn", "24001", "310-410", "001010", "2400", "24x01") == [
        240001, 310410, 1010, "BAD_VALUE", "BAD_VALUE"]
    assert value(forms["bool"], "answered", "true", "N", "1", "0", "Yes", "FALSE", "no", "maybe", "2") == [
        1, 0, 1, 0, 1, 0, 0, "BAD_VALUE", "BAD_VALUE"]
    assert value(forms["clock"], "duration_s", "01:02:03", "2:05", "59.2", "1:2:3:4", "1:xx") == [
        3723, 125, 60, "BAD_VALUE", "BAD_VALUE"]
    assert value(forms["map"], "answered", "yes", "busy", "lost") == [1, 0, "BAD_VALUE"]
    assert value(forms["map-open"], "service", "V", "S", "?") == [0, 1, 5]
    assert value(forms["present"], "answered", "anything") == [1]


def test_text_longer_than_a_reference_can_say_is_refused(tmp_path: Path) -> None:
    form = one_field(tmp_path, "to: session_text, as: text", ", longest_record: 100000")
    assert value(form, "session_text", "x" * 65535, "x" * 65536)[1] == "BAD_VALUE"
