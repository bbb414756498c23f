"""Commands on accounts and identities, in any order and with any nonsense, against a model of plain dictionaries."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.book import BalanceBook
from rating.commands import apply_command
from rating.snapshot import from_arrow, same_state, to_arrow
from schemas.codes import Identity
from schemas.timepoint import format_time
from tests.rating_support import make_accounts, one_tariff
from tests.unit.test_account_commands import JANUARY, TARIFF
from tests.unit.test_identity_changes import inventory

BEGIN, HOUR = JANUARY + 86_400_000_000, 3_600_000_000
DAY_HOURS = 24
MSISDNS, IMSIS = (100, 102, 104, 106, 108), (101, 103, 105, 107, 109)  # tokens; even ones are numbers
# Accounts 1010 and 1011 have services 10 and 11 by the files: a number and a SIM each, from the first hour on.
FILES = [(100, 10), (101, 10), (102, 11), (103, 11)]


@pytest.fixture(scope="module")
def tariffs(tmp_path_factory):
    return one_tariff(tmp_path_factory.mktemp("tariffs"), TARIFF)


@dataclass
class Model:
    """Hours count. said: (from, said at, order, about, what); about a token or (service, kind)."""

    accounts: set = field(default_factory=lambda: {1010, 1011})
    services: dict = field(default_factory=lambda: {10: 1010, 11: 1011})
    said: list = field(default_factory=list)

    def say(self, about, what, since, now):
        self.said.append((since, now, len(self.said), about, what))

    def last(self, about, hour):
        found = [s for s in self.said if s[3] == about and s[0] <= hour]
        return max(found)[4] if found else None

    def holder(self, token, hour):
        """Service that has it."""
        last = self.last(token, hour)
        service = dict(FILES).get(token) if last is None else last[0]
        only = None if service is None else self.last((service, token % 2), hour)
        return service if service is not None and (only is None or only == token) else None

    def quarantined(self, token, hour):
        last = self.last(token, hour)
        return last is not None and last[0] is None and last[1] > hour

    def apply(self, kind, account, now, since, fields):
        """Whether it is carried out."""
        if kind == "account_create":
            if account in self.accounts:
                return False
            self.accounts.add(account)
            return True
        if account not in self.accounts:
            return False
        if kind == "service_add":
            new = [t for t in (fields.get("new_msisdn_token"), fields.get("new_imsi_token")) if t is not None]
            if fields["service_id"] in self.services or not new or any(
                    self.holder(t, since) is not None or self.quarantined(t, since) for t in new):
                return False
            self.services[fields["service_id"]] = account
            for token in new:
                self.say(token, (fields["service_id"],), since, now)
            for parity, name in ((0, "new_msisdn_token"), (1, "new_imsi_token")):
                self.say((fields["service_id"], parity), fields.get(name, -1), since, now)
            return True
        named = fields.get("msisdn_token", fields.get("imsi_token"))
        service = self.holder(named, since)
        if service is None or self.services[service] != account:
            return False
        until = since + fields.get("quarantine_days", 90) * DAY_HOURS
        by_number = "msisdn_token" in fields
        if kind in ("number_change", "port_in"):
            new = fields["new_msisdn_token"]
            if (kind == "number_change" and not by_number) or self.holder(new, since) is not None or (
                    kind == "number_change" and self.quarantined(new, since)):
                return False
            if by_number:
                self.say(named, (None, until), since, now)
            self.say(new, (service,), since, now)
            self.say((service, 0), new, since, now)
        elif kind == "sim_swap":
            new = fields["new_imsi_token"]
            if self.holder(new, since) is not None or self.quarantined(new, since):
                return False
            if not by_number:
                self.say(named, (None, since), since, now)
                replaces = self.last((service, 1), since) is not None
            self.say(new, (service,), since, now)
            if by_number or replaces:
                self.say((service, 1), new, since, now)
        elif kind == "port_out":
            if not by_number:
                return False
            self.say(named, (None, until), since, now)
            if self.last((service, 0), since) is not None:
                self.say((service, 0), -1, since, now)
        elif kind == "service_end":
            if by_number:
                self.say(named, (None, until), since, now)
            self.say((service, 0), -1, since, now)
            self.say((service, 1), -1, since, now)
        return True


def command(draw_kind):
    named = st.one_of(st.fixed_dictionaries({"msisdn_token": st.sampled_from(MSISDNS)}),
                      st.fixed_dictionaries({"imsi_token": st.sampled_from(IMSIS)}))
    new_number = st.fixed_dictionaries({"new_msisdn_token": st.sampled_from(MSISDNS)})
    new_sim = st.fixed_dictionaries({"new_imsi_token": st.sampled_from(IMSIS)})
    days = st.fixed_dictionaries({}, optional={"quarantine_days": st.sampled_from([0, 1, 2])})
    wanted = {
        "account_create": [st.just({"currency": "EUR", "plan": "plain", "time_zone": "UTC"})],
        "service_add": [st.fixed_dictionaries({"service_id": st.sampled_from([10, 12, 13])}, optional={
            "new_msisdn_token": st.sampled_from(MSISDNS), "new_imsi_token": st.sampled_from(IMSIS)})],
        "sim_swap": [named, new_sim], "number_change": [named, new_number, days], "port_in": [named, new_number, days],
        "port_out": [named, days], "service_end": [named, days]}[draw_kind]
    return st.tuples(st.just(draw_kind), *wanted)


KINDS = ("account_create", "service_add", "sim_swap", "number_change", "port_in", "port_out", "service_end")
sent = st.tuples(st.sampled_from(KINDS).flatmap(command), st.sampled_from([1010, 1011, 1012, 1013]),
                 st.integers(0, 60), st.booleans(), st.sampled_from([True, True, True, True, False]))


@settings(max_examples=250, deadline=None)
@given(commands=st.lists(sent, min_size=6, max_size=20), repeat=st.integers(0, 13), cut=st.integers(0, 13))
def test_who_holds_what_after_any_commands_is_what_the_model_says(tariffs, commands, repeat, cut):
    base, model, book = inventory([(token, BEGIN - HOUR, BEGIN + 10**15, service) for token, service in FILES]), \
        Model(), BalanceBook.create()
    book.open_accounts(make_accounts([{"account_id": n, "plans": [(JANUARY, "plain")]} for n in (1010, 1011)]),
                       tariffs, 0)
    for place, ((kind, *parts), account, now, back, right) in enumerate(commands):
        fields = {name: value for part in parts for name, value in part.items()}
        since = max(now - 30, 0) if back else now
        named = model.holder(fields.get("msisdn_token", fields.get("imsi_token", -1)), since)
        if right:  # else somebody's, who may be nobody
            account = model.services.get(named, 1010 if kind == "service_add" else account)
        sending = {"id": f"c{place}", "kind": kind, "time": format_time(BEGIN + now * HOUR), "account_id": account,
                   "from": format_time(BEGIN + since * HOUR), **fields}
        expected = model.apply(kind, account, now, since, fields)
        done = apply_command(sending, place, tariffs, book, inventory=base)
        assert (not done.refusal) == expected, (sending, done.refusal)
        assert bool(len(done.suspense)) == bool(done.refusal)
        if place == repeat and expected:  # the same id again: nothing
            again = apply_command(sending, place, tariffs, book, inventory=base)
            assert not again.refusal and not len(again.identity_change)
        if place == cut:
            restored = from_arrow(to_arrow(book))
            assert same_state(restored, book)
            book = restored
    assert set(book.account_ids.tolist()) == model.accounts
    for hour in (0, 1, 15, 29, 31, 45, 59, 61, 200):
        for token in (*MSISDNS, *IMSIS):
            kind = Identity.IMSI if token % 2 else Identity.MSISDN
            found = book.changes.holder(base, token, kind, BEGIN + hour * HOUR)
            assert (None if found is None else found.service_id) == model.holder(token, hour)
            if found is not None:
                assert found.account_id == model.services[found.service_id]
