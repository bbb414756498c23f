"""Who holds an identity after commands, against an oracle that keeps sentences and no tables."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_data.changes import Changes, Holder
from reference_data.inventory import AccountIds, IntervalIndex, Inventory
from reference_data.kernels.intervals import FOREVER
from schemas.codes import Identity

NONE = np.zeros(0, np.int64)
TOKENS, SERVICES = range(100, 106), range(10, 14)
KINDS = (Identity.MSISDN, Identity.IMSI)


def kind_of(token: int) -> Identity:
    return KINDS[token % 2]


def inventory(rows: list[tuple[int, int, int, int]]) -> Inventory:
    """rows: token, from, to, service; the account of service s is s + 1000, its group s + 2000."""
    index = np.array([[t, f, to, 0, FOREVER, s + 1000, s, s + 2000] for t, f, to, s in rows], np.int64).reshape(-1, 8)
    empty = IntervalIndex.build(np.zeros((0, 8), np.int64))
    return Inventory(AccountIds(NONE, NONE), IntervalIndex.build(index), empty, (), (),
                     np.array(sorted({r[3] for r in rows}), np.int64))


class Oracle:
    """Sentences in the order of saying; for a question, those that count are sorted and the last is believed."""

    def __init__(self, rows):
        self.rows, self.said = rows, []

    def say(self, about, what, from_us, recorded_us):
        self.said.append((from_us, recorded_us, len(self.said), about, what))

    def last(self, about, time_us, recorded_us):
        found = [s for s in self.said if s[3] == about and s[0] <= time_us and s[1] <= recorded_us]
        return max(found)[4] if found else None

    def holder(self, token, time_us, recorded_us):
        said = self.last(("token", token), time_us, recorded_us)
        if said is None:
            service = next((s for t, f, to, s in self.rows if t == token and f <= time_us < to), None)
        else:
            service = said[0]
        if service is None:
            return None
        only = self.last(("service", service, kind_of(token)), time_us, recorded_us)
        return service if only is None or only[0] == token else None


times = st.integers(0, 20)
sentences = st.one_of(
    st.tuples(st.just("give"), st.sampled_from(TOKENS), st.sampled_from(SERVICES), times, times),
    st.tuples(st.just("take"), st.sampled_from(TOKENS), st.just(0), times, times),
    st.tuples(st.just("only"), st.sampled_from([-1, *TOKENS]), st.sampled_from(SERVICES), times, times))


@settings(max_examples=300, deadline=None)
@given(spans=st.lists(st.tuples(st.sampled_from(TOKENS), st.integers(0, 5), st.sampled_from(SERVICES)), max_size=5,
                      unique_by=lambda s: s[0]),
       said=st.lists(sentences, max_size=25), cut=st.integers(0, 25))
def test_who_holds_an_identity_is_what_was_said_last_of_it(spans, said, cut):
    rows = [(token, start, start + 12, service) for token, start, service in spans]
    base, oracle, changes = inventory(rows), Oracle(rows), Changes()
    for place, (what, token, service, from_us, recorded_us) in enumerate(said):
        if place == cut:
            changes = rebuilt(changes)
        if what == "give":
            changes.give(token, Holder(service + 1000, service, service + 2000), from_us, recorded_us)
            oracle.say(("token", token), (service,), from_us, recorded_us)
        elif what == "take":
            changes.take(token, from_us, recorded_us, from_us + 3)
            oracle.say(("token", token), (None,), from_us, recorded_us)
        else:
            for identity in KINDS if token < 0 else (kind_of(token),):
                changes.only(service, identity, token, from_us, recorded_us)
                oracle.say(("service", service, identity), (token,), from_us, recorded_us)
    for recorded_us in (0, 10, 30):
        for token in TOKENS:
            for time_us in range(0, 24, 3):
                found = changes.holder(base, token, kind_of(token), time_us, recorded_us)
                expected = oracle.holder(token, time_us, recorded_us)
                assert (None if found is None else found.service_id) == expected
                if found is not None:
                    assert found == Holder(expected + 1000, expected, expected + 2000)
    assert rebuilt(changes).to_cells().matrix.tolist() == changes.to_cells().matrix.tolist()


def rebuilt(changes: Changes) -> Changes:
    """As a snapshot or the ledger gives them back."""
    fresh = Changes()
    fresh.extend(changes.to_cells())
    return fresh
