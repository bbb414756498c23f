"""Numbers as dialled, to E.164: worked cases, texts, and the oracle on random ones."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediation.kernels.numbers import BAD, numbers_nb
from reference_data.number_plan import NumberPlan, NumberPlanFile, compile_number_plan
from schemas.codes import NumberClass, NumberType
from schemas.columns import ABSENT, U8
from schemas.digits import pack, unpack
from schemas.errors import ReferenceDataError
from tests.oracle import mediation as oracle
from tests.small_operator import NUMBER_PLAN, Text

U, I, N, X, S, T = (int(NumberType[n]) for n in  # noqa: E741
                    ("UNKNOWN", "INTERNATIONAL", "NATIONAL", "NETWORK_SPECIFIC", "SHORT_CODE", "TEXT"))
DIALLED = st.text("0123456789*#", max_size=15) | st.from_regex(r"(00|0|999|0999|00999)[0-9]{0,10}", fullmatch=True)


def plan(**changes: Any) -> NumberPlan:
    return compile_number_plan(msgspec.convert(NUMBER_PLAN | changes, NumberPlanFile))


PLAN = plan()


def normalised(rows: list[tuple[int, int]], buffer: U8 | None = None,
               by: NumberPlan = PLAN) -> list[tuple[int, str, int]]:
    raw, kind = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    value, number_class, text = (np.empty(len(rows), np.int64) for _ in range(3))
    numbers_nb(np.zeros(1, np.uint8) if buffer is None else buffer, raw, kind, by.rules, by.emergency, by.classes.slots,
               by.classes.leaves, value, number_class, text)
    names = {BAD: "bad"} | {int(c): c.name.lower() for c in NumberClass}
    return [(int(v), names[int(c)], int(t)) for v, c, t in zip(value, number_class, text, strict=True)]


@pytest.mark.parametrize(("dialled", "kind", "number", "number_class"), [
    ("999700000001", I, "999700000001", "ordinary"),
    ("0034911234567", U, "34911234567", "ordinary"),       # international prefix
    ("0034911234567", I, "34911234567", "ordinary"),       # written in spite of the type
    ("0700000001", U, "999700000001", "ordinary"),         # national prefix
    ("700000001", N, "999700000001", "ordinary"),
    ("0700000001", N, "999700000001", "ordinary"),
    ("0800123456", U, "999800123456", "toll_free"),
    ("999900123456", I, "999900123456", "premium"),
    ("112", U, "112", "emergency"), ("112", I, "112", "emergency"), ("110", S, "110", "emergency"),
    ("12345", U, "12345", "short_code"), ("12345", N, "12345", "short_code"),
    ("2255", X, "2255", "short_code"), ("*100#", U, "*100#", "short_code"),
    ("34911234567", U, "34911234567", "ordinary"),         # plain numbers are international by default
    ("123", I, "123", "bad"), ("0123456789", I, "0123456789", "bad"), ("12", U, "12", "bad"),
    ("*100#", I, "*100#", "bad"),
])
def test_a_number_becomes_what_the_plan_says(dialled: str, kind: int, number: str, number_class: str) -> None:
    value, found, _ = normalised([(pack(dialled), kind)])[0]
    assert (unpack(value), found) == (number, number_class)


def test_a_plain_number_is_national_where_the_plan_says_so() -> None:
    assert normalised([(pack("700000001"), U)], by=plan(plain="national"))[0][:2] == (pack("999700000001"), "ordinary")


def test_no_number_is_none() -> None:
    assert normalised([(ABSENT, I), (0, U), (ABSENT, T)]) == [(ABSENT, "none", ABSENT)] * 3


@pytest.mark.parametrize(("uri", "number", "number_class"), [
    ("sip:+999700000001@ims.mnc001.mcc001.3gppnetwork.org", "999700000001", "ordinary"),
    ("SIPS:+34911234567;user=phone", "34911234567", "ordinary"), ("tel:+34-911-234-567", "34911234567", "ordinary"),
    ("tel:112", "112", "emergency"), ("sip:0700000001@host;user=phone", "999700000001", "ordinary"),
    ("+34911234567", "34911234567", "ordinary"), ("sip:*100#@host", "*100#", "short_code"),
])
def test_a_uri_that_holds_a_number_is_that_number(uri: str, number: str, number_class: str) -> None:
    text = Text()
    row = (text.at(uri), T)
    value, found, reference = normalised([row], text.buffer)[0]
    assert (unpack(value), found, reference) == (number, number_class, ABSENT)


def test_an_emergency_urn_is_an_emergency_call() -> None:
    text = Text()
    row = (text.at("urn:service:sos.police"), T)
    assert normalised([row], text.buffer) == [(ABSENT, "emergency", ABSENT)]


def test_names_are_texts_and_the_same_name_has_the_same_value() -> None:
    text = Text()
    rows = [(text.at("sip:alice@example.org"), T), (text.at("AMAZON"), T), (text.at("alice"), T), (text.at("tel:"), T)]
    alice, amazon, again, nothing = normalised(rows, text.buffer)
    assert alice[0] == again[0] != amazon[0]
    assert [r[1] for r in (alice, amazon, again, nothing)] == ["text", "text", "text", "none"]
    start, length = alice[2] >> 16, alice[2] & 0xFFFF
    assert text.buffer[start:start + length].tobytes() == b"alice"


def test_a_uri_of_more_than_fifteen_digits_is_no_number() -> None:
    text = Text()
    row = (text.at("tel:+1234567890123456"), T)
    assert normalised([row], text.buffer)[0][1] == "bad"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(DIALLED, st.sampled_from([U, I, N, X, S])), min_size=1, max_size=30),
       st.sampled_from(["international", "national"]))
def test_numbers_equal_the_oracle(rows: list[tuple[str, int]], plain: str) -> None:
    by = plan(plain=plain)
    found = [(unpack(v), c) for v, c, _ in normalised([(pack(n), k) for n, k in rows], by=by)]
    assert found == [oracle.e164(n, k, NUMBER_PLAN | {"plain": plain}) for n, k in rows]


@pytest.mark.parametrize(("changes", "words"), [
    ({"country_code": "x"}, "country_code"), ({"emergency": ["1a"]}, "emergency"), ({"plain": "odd"}, "plain"),
    ({"short_code_digits": {"min": 5, "max": 3}}, "short_code_digits"), ({"premium": ["800"]}, "both toll free"),
])
def test_a_plan_that_contradicts_itself_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ReferenceDataError, match=words):
        plan(**changes)
