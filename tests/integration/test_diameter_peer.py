"""The Diameter server before a real client, python-diameter, and before sockets that misbehave."""

import pytest
from diameter.message.avp.grouped import MultipleServicesCreditControl, RequestedServiceUnit, UsedServiceUnit

from tests.diameter_peers import Client, Running, credit_request, text

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_a_session_of_python_diameter_is_granted_updated_and_ended() -> None:
    with Running() as running, Client(running.port) as client:
        first = client.ask(credit_request(1, 0, multiple_services_credit_control=[
            MultipleServicesCreditControl(rating_group=10, requested_service_unit=RequestedServiceUnit()),
            MultipleServicesCreditControl(rating_group=20, requested_service_unit=RequestedServiceUnit(cc_time=60))]))
        assert (first.result_code, first.session_id) == (2001, "pgw1.example.com;1;1")
        assert (first.cc_request_type, first.cc_request_number, first.origin_state_id) == (1, 0, 77)
        assert (first.cc_session_failover, first.credit_control_failure_handling) == (1, 2)
        services = first.multiple_services_credit_control
        assert [(s.rating_group, s.result_code, s.validity_time) for s in services] == [
            (10, 2001, 600), (20, 2001, 600)]
        assert services[0].granted_service_unit.cc_total_octets == 1 << 20
        assert services[1].granted_service_unit.cc_time == 3600
        for number, kind in ((1, 2), (2, 3)):
            answer = client.ask(credit_request(kind, number, multiple_services_credit_control=[
                MultipleServicesCreditControl(rating_group=10, used_service_unit=[
                    UsedServiceUnit(cc_total_octets=500 * number)])]))
            assert (answer.result_code, answer.cc_request_number) == (2001, number)
        seen = [(int(m["request_type"][0]), text(b, m["session_text"][0]), u["used_total_octets"].tolist())
                for m, u, b in running.received]
        session = b"pgw1.example.com;1;1"
        assert seen == [(1, session, [-1, -1]), (2, session, [500]), (3, session, [1000])]
