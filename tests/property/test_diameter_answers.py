"""python-diameter decodes our answers and requests to what the columns said."""

from typing import Any

import numpy as np
import pytest
from diameter.message import Message
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipelines.diameter import encode
from pipelines.diameter.columns import BLOCK, INPUT, MONEY, OUTPUT, TIME, TOTAL, UNITS
from pipelines.diameter.encode import Answers, Texts, encode_answers, encode_requests, identity_avps
from pipelines.diameter.parse import parse
from schemas.columns import ABSENT, Cells
from schemas.errors import InvariantError
from tests.diameter_messages import REQUEST, U32, U63, message

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
IDENTITY = identity_avps("ocs.example.com", "example.com")
DIGITS, EXPONENT = st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-9, 9)
MAYBE = st.just(ABSENT) | U32
TIME_US = st.just(ABSENT) | st.integers(1_700_000_000, 2_000_000_000).map(lambda s: s * 1_000_000)
WORDS = st.sampled_from(["http://top-up.example.com/", "permit in ip from any to any", "filter-1", "x" * 300, ""])
GRANTED = st.fixed_dictionaries({
    "granted": st.just(0) | st.integers(0, 63).map(lambda bits: BLOCK | bits << 1), "granted_time_s": U32,
    "granted_total_octets": U63, "granted_input_octets": U63, "granted_output_octets": U63,
    "granted_service_units": U63, "granted_money_digits": DIGITS, "granted_money_exponent": EXPONENT,
    "granted_currency": st.sampled_from([ABSENT, 978]), "tariff_change_us": TIME_US, "validity_s": MAYBE,
    "final_action": st.integers(-1, 2), "redirect_type": st.integers(0, 3), "redirect_text": st.none() | WORDS,
    "restriction_text": st.none() | WORDS, "filter_text": st.none() | WORDS})
ANSWER = st.tuples(GRANTED, st.fixed_dictionaries({
    "result_code": st.sampled_from([2001, 2002, 3004, 4010, 4012, 5002, 5012, 5030, 5031]),
    "session_failover": st.integers(-1, 1), "failure_handling": st.integers(-1, 2),
    "debiting_failure_handling": st.integers(-1, 1), "balance_result": st.integers(-1, 1), "cost_digits": DIGITS,
    "cost_exponent": EXPONENT, "cost_currency": st.sampled_from([ABSENT, 752]), "cost_unit_text": st.none() | WORDS,
    "low_balance": st.integers(-1, 1), "balance_digits": DIGITS, "balance_exponent": EXPONENT,
    "balance_currency": st.sampled_from([ABSENT, 978]), "error_text": st.none() | WORDS})).map(lambda p: p[0] | p[1])
GRANT = st.tuples(GRANTED, st.fixed_dictionaries({
    "rating_group": MAYBE, "service_identifier": MAYBE, "result_code": st.sampled_from([ABSENT, 2001, 4012, 5031]),
    "pool": MAYBE, "pool_unit_type": st.integers(0, 5), "pool_digits": DIGITS, "pool_exponent": EXPONENT,
    "time_threshold_s": MAYBE, "volume_threshold_octets": MAYBE, "unit_threshold": MAYBE, "holding_time_s": MAYBE,
    "consumption_time_s": MAYBE})).map(lambda p: p[0] | p[1])


def fill(cells: Cells, rows: list[dict[str, Any]], texts: Texts) -> None:
    for i, row in enumerate(rows):
        for name, value in row.items():
            if name.endswith("_text"):
                value = ABSENT if value is None else texts.add(value)
            cells[name][i] = value


def tree(avps: Any) -> list[Any]:
    """(code, value), groups as lists; times as python-diameter has them: seconds."""
    return [(a.code, tree(a.value) if type(a).__name__ == "AvpGrouped" else
             int(a.value.timestamp()) if type(a).__name__ == "AvpTime" else
             bytes(a.payload) if type(a).__name__ in ("AvpUtf8String", "AvpOctetString") else a.value) for a in avps]


def value_of(digits: int, exponent: int) -> Any:
    return (445, [(447, digits), *([(429, exponent)] if exponent else [])])


def given_only(*pairs: tuple[int, int]) -> list[Any]:
    return [p for p in pairs if p[1] != ABSENT]


def texted(*pairs: tuple[int, str | None]) -> list[Any]:
    return [(code, word.encode()) for code, word in pairs if word is not None]


def granted(row: dict[str, Any]) -> list[Any]:
    mask = row["granted"]
    if not mask & BLOCK:
        return []
    made = [] if row["tariff_change_us"] == ABSENT else [(451, row["tariff_change_us"] // 1_000_000)]
    if mask & MONEY:
        made.append((413, [value_of(row["granted_money_digits"], row["granted_money_exponent"]),
                           *given_only((425, row["granted_currency"]))]))
    for bit, code, name in ((TIME, 420, "time_s"), (TOTAL, 421, "total_octets"), (INPUT, 412, "input_octets"),
                            (OUTPUT, 414, "output_octets"), (UNITS, 417, "service_units")):
        if mask & bit:
            made.append((code, row[f"granted_{name}"]))
    return [(431, made)]


def final(row: dict[str, Any]) -> list[Any]:
    if row["final_action"] == ABSENT:
        return []
    server = [] if row["redirect_text"] is None else [
        (434, [(433, row["redirect_type"]), (435, row["redirect_text"].encode())])]
    return [(430, [(449, row["final_action"]), *texted((438, row["restriction_text"]), (11, row["filter_text"])),
                   *server])]


def service(row: dict[str, Any], identifiers: list[int]) -> Any:
    pool = [] if row["pool"] == ABSENT else [(457, [(453, row["pool"]), (454, row["pool_unit_type"]),
                                                    value_of(row["pool_digits"], row["pool_exponent"])])]
    made = [*granted(row), *((439, i) for i in identifiers or [row["service_identifier"]] if i != ABSENT),
            *given_only((432, row["rating_group"])), *pool, *given_only((448, row["validity_s"]),
                                                                        (268, row["result_code"])), *final(row),
            *given_only((868, row["time_threshold_s"]), (869, row["volume_threshold_octets"]),
                        (1226, row["unit_threshold"]), (871, row["holding_time_s"]), (881, row["consumption_time_s"]))]
    return (456, made)


def by_code(avps: list[Any]) -> list[Any]:
    """Order between different AVPs does not matter; between those of one code it does."""
    return sorted(((code, by_code(v) if isinstance(v, list) else v) for code, v in avps), key=lambda a: a[0])


@settings(max_examples=40, deadline=None, phases=QUICK)
@given(st.lists(st.tuples(REQUEST, ANSWER, st.lists(GRANT, max_size=3)), min_size=1, max_size=3), st.integers(0, 2))
def test_python_diameter_reads_what_the_columns_say(items: list, proxies: int) -> None:
    proxy = [("Proxy-Info", [("Proxy-Host", b"p%d" % i), ("Proxy-State", b"s" * i)]) for i in range(proxies)]
    made = [message([*spec, *proxy], hop=i, end=9 - i) for i, (spec, _, _) in enumerate(items)]
    buffer = np.frombuffer(b"".join(made), np.uint8)
    parsed = parse(buffer)
    texts, rows = Texts(), [a for _, a, _ in items]
    grants = [(i, g) for i, (_, _, some) in enumerate(items) for g in some]
    given_answers, given_grants = encode.answers(len(items)), encode.grants(len(grants))
    fill(given_answers, rows, texts)
    fill(given_grants, [{"message_row": i, **g} for i, g in grants], texts)
    owned = []  # the unit that a grant answers: the one of the same place
    for at, (i, _) in enumerate(grants):
        place = at - next(k for k, (j, _) in enumerate(grants) if j == i)
        units = np.flatnonzero((parsed.units["message_row"] == i) & (parsed.units["used_index"] == 0)
                               & (parsed.units["group_index"] == place) & (parsed.units["kind"] == 0))
        given_grants["unit_row"][at] = units[0] if len(units) else ABSENT
        owned.append(place if len(units) else None)
    sent = encode_answers(buffer, parsed.messages, parsed.units,
                          Answers(given_answers, given_grants, texts=texts.array()), IDENTITY, 5)
    for i, (row, octets) in enumerate(zip(rows, made, strict=True)):
        begin, length = sent.places[i].tolist()
        answer = Message.from_bytes(sent.buffer[begin:begin + length].tobytes(), plain_msg=True)
        asked = Message.from_bytes(octets, plain_msg=True)
        seen: dict[int, Any] = {}
        for a in asked.avps:
            seen.setdefault(a.code, a)
        header, protocol = answer.header, row["result_code"] // 1000 == 3
        assert (header.is_request, header.is_error, header.is_proxyable) == (False, protocol, True)
        assert (header.command_code, header.application_id) == (272, 4)
        assert (header.hop_by_hop_identifier, header.end_to_end_identifier) == (i, 9 - i)
        wanted = [(263, bytes(seen[263].payload)), (268, row["result_code"]), (264, b"ocs.example.com"),
                  (296, b"example.com"), (278, 5), *texted((281, row["error_text"]))]
        if not protocol:
            wanted += [(258, 4), *((c, seen[c].value) for c in (416, 415, 419) if c in seen), *granted(row),
                       *final(row), *given_only((418, row["session_failover"]), (427, row["failure_handling"]),
                                   (428, row["debiting_failure_handling"]), (422, row["balance_result"]),
                                   (448, row["validity_s"]), (2020, row["low_balance"]))]
            services = [a for a in asked.avps if a.code == 456]
            wanted += [service(g, [] if own is None else [a.value for a in services[own].value if a.code == 439])
                       for (j, g), own in zip(grants, owned, strict=True) if j == i]
            if row["cost_currency"] != ABSENT:
                wanted.append((423, [value_of(row["cost_digits"], row["cost_exponent"]), (425, row["cost_currency"]),
                                     *texted((424, row["cost_unit_text"]))]))
            if row["balance_currency"] != ABSENT:
                wanted.append((2021, [value_of(row["balance_digits"], row["balance_exponent"]),
                                      (425, row["balance_currency"])]))
        wanted += tree([a for a in asked.avps if a.code == 284])
        assert by_code(tree(answer.avps)) == by_code(wanted)
    assert int(sent.places[:, 1].sum()) == sent.buffer.size


SY = [("Session-Id", "pcrf;1"), ("Origin-Host", b"pcrf"), ("Origin-Realm", b"r"), ("Destination-Realm", b"d"),
      ("Auth-Application-Id", 16777302)]


def test_spending_limits_are_read_and_answered() -> None:
    made = [message([*SY, ("SL-Request-Type", kind), ("Policy-Counter-Identifier", "daily"),
                     ("Policy-Counter-Identifier", "monthly"),
                     ("Subscription-Id", [("Subscription-Id-Type", 1), ("Subscription-Id-Data", "240011234567890")])],
                    8388635, 16777302) for kind in (0, 1)]
    made.append(message([*SY, ("Termination-Cause", 1)], 275, 16777302))
    made.append(message([p for p in SY if p[0] != "Session-Id"], 8388635, 16777302))
    buffer = np.frombuffer(b"".join(made), np.uint8)
    parsed = parse(buffer)
    messages, units = parsed.messages, parsed.units
    assert messages["result_code"].tolist() == [0, 0, 0, 5005]
    assert messages["request_type"].tolist() == [1, 2, ABSENT, ABSENT]
    assert units["kind"].tolist() == [2] * 4 and units["message_row"].tolist() == [0, 0, 1, 1]
    assert units["counter_hi"][0] == units["counter_hi"][2] != units["counter_hi"][1]
    names = [buffer[int(t) >> 16:(int(t) >> 16) + (int(t) & 0xFFFF)].tobytes() for t in units["counter_text"]]
    assert names == [b"daily", b"monthly"] * 2
    texts, answers, reports = Texts(), encode.answers(4), encode.reports(2)
    answers["result_code"] = [2001, 5570, 2001, 5005]
    reports["message_row"] = 0
    reports["counter_text"], reports["status_text"] = [texts.add("daily"), texts.add("monthly")], texts.add("low")
    reports["pending_status_text"][1] = texts.add("full")
    reports["pending_time_us"][1] = 1_800_000_000_000_000
    sent = encode_answers(buffer, messages, units, Answers(answers, reports=reports, texts=texts.array()), IDENTITY)
    found = [tree(Message.from_bytes(sent.buffer[b:b + n].tobytes(), plain_msg=True).avps)
             for b, n in sent.places.tolist()]
    assert [v for c, v in found[0] if c == 2903] == [
        [(2901, b"daily"), (2902, b"low")],
        [(2901, b"monthly"), (2902, b"low"), (2905, [(2902, b"full"), (2906, 1_800_000_000)])]]
    assert (297, [(266, 10415), (298, 5570)]) in found[1] and 268 not in dict(found[1])
    assert (268, 2001) in found[2] and 2903 not in dict(found[2])
    assert [v for c, v in found[3] if c == 279] == [[(263, b"")]]


def test_requests_of_ours_are_read_by_python_diameter() -> None:
    texts, requests, reports = Texts(), encode.requests(3), encode.reports(1)
    requests["command"], requests["application"] = [258, 274, 8388636], [4, 4, 16777302]
    requests["hop_by_hop"], requests["end_to_end"] = [1, 2, 3], [4, 5, 6]
    requests["session_text"] = [texts.add(s) for s in ("a;1", "b;22", "c;333")]
    requests["destination_host_text"] = [texts.add("pgw"), ABSENT, texts.add("pcrf")]
    requests["destination_realm_text"] = texts.add("example.com")
    requests["reauth_type"][0], requests["rating_group"][0], requests["notification_type"][2] = 0, 10, 1
    reports["message_row"], reports["counter_text"], reports["status_text"] = 2, texts.add("daily"), texts.add("low")
    sent = encode_requests(requests, texts.array(), IDENTITY, 5, reports)
    found = [Message.from_bytes(sent.buffer[b:b + n].tobytes(), plain_msg=True) for b, n in sent.places.tolist()]
    assert [(f.header.command_code, f.header.is_request, f.header.hop_by_hop_identifier) for f in found] == [
        (258, True, 1), (274, True, 2), (8388636, True, 3)]
    common = [(264, b"ocs.example.com"), (296, b"example.com"), (283, b"example.com"), (278, 5)]
    assert by_code(tree(found[0].avps)) == by_code([
        (263, b"a;1"), (293, b"pgw"), (258, 4), (285, 0), (432, 10), *common])
    assert by_code(tree(found[1].avps)) == by_code([(263, b"b;22"), (258, 4), *common])
    assert by_code(tree(found[2].avps)) == by_code([
        (263, b"c;333"), (293, b"pcrf"), (258, 16777302), (2907, 1), (2903, [(2901, b"daily"), (2902, b"low")]),
        *common])


def test_columns_that_cannot_be_encoded_are_our_mistake() -> None:
    buffer = np.frombuffer(message([("Session-Id", "s")]) * 2, np.uint8)
    parsed = parse(buffer)
    grants = encode.grants(2)
    grants["message_row"] = [1, 0]
    wrong = encode.answers(2)
    wrong["redirect_text"] = 5 << 16 | 9
    for bad, why in ((Answers(encode.answers(1)), "1 answers to 2"), (Answers(encode.answers(2), grants), "ascending"),
                     (Answers(wrong), "leaves its texts")):
        with pytest.raises(InvariantError, match=why):
            encode_answers(buffer, parsed.messages, parsed.units, bad, IDENTITY)
    with pytest.raises(InvariantError, match="no session"):
        encode_requests(encode.requests(1), encode.NO_TEXTS, IDENTITY)
