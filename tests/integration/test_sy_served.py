"""`tarifa serve` before a policy function and a gateway: subscribed over Sy, spent over Gy and by files, killed."""

import queue
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from diameter.message.avp.grouped import SubscriptionId
from diameter.message.commands.session_termination import SessionTerminationRequest
from diameter.message.commands.spending_limit import SpendingLimitRequest

from pipelines.run import run
from tests.diameter_messages import PCRF, SY
from tests.diameter_peers import Client
from tests.integration.hand_made import HEADER
from tests.integration.site import put
from tests.integration.test_serve import NUMBER, laws, replayed, site_of
from tests.served import OCS, REALM, Served, ccr, gateway, service
from tests.sy_desk import MIB, SNR, code, reports, with_counters

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Policy(Client):
    """python-diameter as policy function. told: its notifications; knows: sessions that it has not forgotten."""

    def __init__(self, port: int) -> None:
        super().__init__(port, SY, PCRF, self._notified, OCS, REALM)
        self.told: queue.Queue[Any] = queue.Queue()
        self.knows = {"pcrf;1", "pcrf;2"}

    def _notified(self, application: Any, message: Any) -> Any:
        assert message.header.command_code == SNR
        answer = application.generate_answer(message)
        answer.session_id = message.session_id
        answer.result_code = 2001 if message.session_id in self.knows else 5002
        self.told.put(message)
        return answer

    def heard(self) -> tuple[str, dict[str, str]]:
        """The next notification: its session, and statuses."""
        message = self.told.get(timeout=10)
        return message.session_id, reports(message)

    def limit(self, session: str, kind: int, *counters: str) -> Any:
        """SLR, as python-diameter makes it; its answer."""
        made = self._of(SpendingLimitRequest(), session)
        made.sl_request_type, made.policy_counter_identifier = kind, list(counters)
        if kind == 0:
            made.subscription_id = [SubscriptionId(subscription_id_type=0, subscription_id_data=NUMBER)]
        return self.ask(made)

    def end(self, session: str) -> Any:
        """STR; its answer."""
        made = self._of(SessionTerminationRequest(), session)
        made.termination_cause = 1
        return self.ask(made)

    @staticmethod
    def _of(made: Any, session: str) -> Any:
        made.header.application_id, made.header.is_proxyable = SY, True
        made.session_id, made.origin_host, made.origin_realm = session, PCRF.encode(), REALM.encode()
        made.destination_realm, made.auth_application_id = REALM.encode(), SY
        return made


def call(at: datetime, seconds: int) -> bytes:
    """A file of one call."""
    begin, stop = (f"{t:%Y-%m-%dT%H:%M:%SZ}" for t in (at, at + timedelta(seconds=seconds)))
    return (HEADER + f"c1@voip,voip-01,1,originating,+{NUMBER},+{NUMBER},+34600123456,{begin},{begin},{stop},{seconds},"
            "16\n").encode()


def test_a_policy_function_is_told_at_once_of_what_gateways_and_files_report_also_after_a_kill(
        day: Path, tmp_path: Path, keys: Path) -> None:
    site = site_of(day, tmp_path, keys)
    with_counters(site)
    with Served(site.input.root, site.home.root) as served, Policy(served.port) as policy:
        first = policy.limit("pcrf;1", 0, "volume")
        assert (code(first), reports(first), first.origin_state_id is not None) == (
            ("result", 2001), {"volume": "below"}, True)
        assert reports(policy.limit("pcrf;2", 0)) == {"calls": "below", "volume": "below"}
        assert code(policy.limit("pcrf;3", 0, "nothing")) == ("experimental", 5570)
        assert code(policy.limit("pcrf;3", 1)) == code(policy.end("pcrf;3")) == ("result", 5002)
        served.kill()
    with Served(site.input.root, site.home.root) as served, gateway(served.port) as client, \
            Policy(served.port) as policy:
        client.ask(ccr(1, 0, "pgw;1", NUMBER, service(10)))
        assert client.ask(ccr(2, 1, "pgw;1", NUMBER, service(10, used=MIB))).result_code == 2001
        assert client.ask(ccr(2, 2, "pgw;1", NUMBER, service(10, used=MIB))).result_code == 2001
        both = {"volume": "threshold-1"}
        assert sorted((policy.heard(), policy.heard())) == [("pcrf;1", both), ("pcrf;2", both)]
        assert reports(policy.limit("pcrf;1", 1)) == {"calls": "below", "volume": "threshold-1"}
        policy.knows.discard("pcrf;2")
        assert code(policy.end("pcrf;1")) == ("result", 2001)
        at = datetime.now(UTC) - timedelta(minutes=5)
        put(site.input.inbox, "voip-01", f"voip-01_000001_{at:%Y%m%d%H%M%S}.csv", call(at, 120))
        assert run(site.input, site.home).rated == 1
        assert policy.heard() == ("pcrf;2", {"calls": "threshold-1"})
        time.sleep(0.5)  # until its answer has come: it does not know that session
        assert client.ask(ccr(3, 3, "pgw;1", NUMBER, service(10, asks=None, used=2 * MIB))).result_code == 2001
        assert code(policy.end("pcrf;2")) == ("result", 5002)
        assert policy.told.empty()
        served.stop()
    assert laws(site) == set()
    for path in site.home.root.rglob("*"):
        assert not path.is_file() or "vault" in path.parts or NUMBER.encode() not in path.read_bytes()
    one, other = replayed(site)
    assert one.online.open == 0 and other.online.open == 0
