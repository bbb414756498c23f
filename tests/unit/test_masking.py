"""Numbers are hidden in what people are shown, times and quantities are not."""

import pytest

from pipelines.masking import mask, mask_text


@pytest.mark.parametrize(("text", "shown"), [
    ("+999700000001", "+**********01"),
    ("sip:+999700000001@home.example", "sip:***********01@home.example"),
    ("sip:anna@home.example", "sip:**na@home.example"),
    ("10.20.30.40", "*.*.*.40"),
    ("2001:db8::1:2", "*:2"),
    ("91 99 07 00 00 10", "(6 octets)"),
    ("91 99 07 00 00 10 and 12 more", "(6 octets)"),
    ("112", "112"),
    ("peak", "peak"),
])
def test_what_looks_like_a_number_is_hidden_but_for_its_end(text: str, shown: str) -> None:
    assert mask_text(text) == shown


def test_a_tree_keeps_its_shape_its_times_and_its_quantities() -> None:
    tree = {"served": "+999700000001", "setup_time": "2026-10-21T12:00:00Z", "time": "20261021120000",
            "octets": 123456789012, "imsi": 1010000000001, "answered": True, "nothing": None,
            "fields": [{"tag": "3", "name": "servedMSISDN", "value": "+999700000001"},
                       {"tag": "9", "name": "recordOpeningTime", "value": "2026-10-21T12:00:00+00:00"}]}
    assert mask(tree) == {
        "served": "+**********01", "setup_time": "2026-10-21T12:00:00Z", "time": "20261021120000",
        "octets": 123456789012, "imsi": "***********01", "answered": True, "nothing": None,
        "fields": [{"tag": "3", "name": "servedMSISDN", "value": "+**********01"},
                   {"tag": "9", "name": "recordOpeningTime", "value": "2026-10-21T12:00:00+00:00"}]}


def test_a_number_in_a_field_that_is_called_time_is_hidden_all_the_same() -> None:
    assert mask({"time": "999700000001"}) == {"time": "**********01"}
