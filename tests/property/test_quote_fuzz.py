"""Whatever stands in a quote's files, it is priced or refused with its place; nothing else comes out of it."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.quoting import quote_files
from rating.quote_accounts import ACCOUNT_FIELDS
from rating.quote_events import EVENT_FIELDS
from schemas.errors import ReferenceDataError
from tests.unit.test_quote import TARIFFS

PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(max_size=20),
                  st.sampled_from(["prepaid-basic", "postpaid-family", "2026-06-01T12:00:00", "1h2m3s", "10 MiB",
                                   "voice", "data", "sms", "+4930123456", "112", "26201", "1-00abcd", "anna", "EUR",
                                   "5.00", "clock"]))
VALUES = st.one_of(PLAIN, st.lists(PLAIN, max_size=2), st.dictionaries(st.text(max_size=8), PLAIN, max_size=2))
GOOD = {"service": "voice", "time": "2026-06-01T12:00:00", "duration": 61, "called": "+4930123456",
        "plan": "prepaid-basic"}
COMMAND = {"kind": "top_up", "account": "prepaid-basic", "time": "2026-06-01T12:00:00", "amount": "1",
           "currency": "EUR"}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=st.dictionaries(st.sampled_from(sorted(EVENT_FIELDS)), VALUES, max_size=4),
       command=st.dictionaries(st.sampled_from([*COMMAND, "plan", "state", "from", "to", "bucket"]), VALUES,
                               max_size=3),
       account=st.none() | st.dictionaries(st.sampled_from(sorted(ACCOUNT_FIELDS)), VALUES, max_size=3))
def test_any_input_is_priced_or_refused(tmp_path, event, command, account):
    (tmp_path / "e.jsonl").write_text(json.dumps(GOOD | event) + "\n" + json.dumps(COMMAND | command))
    balances = None
    if account is not None:
        balances = tmp_path / "b.json"
        balances.write_text(json.dumps([{"account": "anna", "plan": "prepaid-basic"} | account]))
    try:
        found = quote_files(TARIFFS, tmp_path / "e.jsonl", balances, None)
    except ReferenceDataError as refused:
        assert "e.jsonl" in str(refused) or "b.json" in str(refused) or "line" in str(refused)
    else:
        assert len(found.results) == 2
        assert json.dumps(found.results)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(max_size=200))
def test_octets_that_are_no_lines_are_refused(tmp_path, octets):
    (tmp_path / "e.jsonl").write_bytes(b'{"service": "voice", ' + octets)
    try:
        quote_files(TARIFFS, tmp_path / "e.jsonl", None, None)
    except ReferenceDataError as refused:
        assert "e.jsonl" in str(refused)
