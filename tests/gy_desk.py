"""Gy without sockets: octets of requests to answers, through front end and node, on a loop of its own."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import numpy as np
from diameter.message import Message

from pipelines.diameter.encode import encode_answers, identity_avps
from pipelines.diameter.parse import parse
from pipelines.diameter.server import Handler
from pipelines.serve.gy import GyFrontEnd
from pipelines.serve.node import OnlineNode
from tests.diameter_messages import Spec, message
from tests.integration.site import Site

T = TypeVar("T")
PACKET, IMS, SMS, VOICE = "32251@3gpp.org", "32260@3gpp.org", "32274@3gpp.org", "32276@3gpp.org"


class GyDesk:
    """A node of a site, and its front end."""

    def __init__(self, site: Site) -> None:
        self.loop = asyncio.new_event_loop()
        self.node = OnlineNode(site.input, site.home)
        self.run(self.node.start())
        self.front = GyFrontEnd(self.node)
        self.handle: Handler = self.front.handle

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    def ask(self, *requests: bytes) -> list[Any]:
        """Answers of one tick, as python-diameter reads them."""
        octets = b"".join(requests)
        buffer = np.frombuffer(octets, np.uint8)
        parsed = parse(buffer, np.array([[0, len(octets)]], np.int64))
        assert (parsed.messages["result_code"] == 0).all(), parsed.messages["result_code"]
        given = self.run(self.handle(parsed.messages, parsed.units, buffer))  # type: ignore[arg-type]
        encoded = encode_answers(buffer, parsed.messages, parsed.units, given,
                                 identity_avps("ocs.tarifa.example", "tarifa.example"), 1)
        return [Message.from_bytes(bytes(encoded.octets[begin:begin + length]))
                for begin, length in encoded.places.tolist()]

    def close(self) -> None:
        self.run(self.node.stop())
        self.node.close()
        self.loop.close()

    def __enter__(self) -> "GyDesk":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def request(kind: int, number: int, session: str, *parts: Spec, who: str = "999701234567", context: str = PACKET,
            who_type: int = 0) -> bytes:
    """A CCR of these parts."""
    return message([
        ("Session-Id", session), ("Origin-Host", b"pgw-01.tarifa.example"), ("Origin-Realm", b"tarifa.example"),
        ("Destination-Realm", b"tarifa.example"), ("Auth-Application-Id", 4), ("Service-Context-Id", context),
        ("CC-Request-Type", kind), ("CC-Request-Number", number),
        ("Subscription-Id", [("Subscription-Id-Type", who_type), ("Subscription-Id-Data", who)]), *parts])


def asked(**amounts: int) -> Spec:
    """Requested-Service-Unit; empty without amounts."""
    return "Requested-Service-Unit", _amounts(amounts)


def used(change: int | None = None, **amounts: int) -> Spec:
    """Used-Service-Unit, before (0) or after (1) a tariff change."""
    return "Used-Service-Unit", _amounts(amounts) + ([("Tariff-Change-Usage", change)] if change is not None else [])


def money(digits: int, exponent: int, currency: int | None = 978) -> Spec:
    """CC-Money within Requested-Service-Unit."""
    return "Requested-Service-Unit", [("CC-Money", [
        ("Unit-Value", [("Value-Digits", digits), ("Exponent", exponent)]),
        *([("Currency-Code", currency)] if currency else [])])]


def group(rating_group: int, *parts: Spec) -> Spec:
    """Multiple-Services-Credit-Control."""
    return "Multiple-Services-Credit-Control", [("Rating-Group", rating_group), *parts]


def called(number: str, role: int = 0) -> Spec:
    """IMS-Information of a call."""
    return "Service-Information", [("IMS-Information", [
        ("Role-Of-Node", role), ("IMS-Charging-Identifier", "icid-1"),
        ("Calling-Party-Address", "sip:+999701234567@ims.tarifa.example"),
        ("Called-Party-Address", f"tel:{number}")])]


def sent_to(number: str) -> Spec:
    """SMS-Information of a message."""
    return "Service-Information", [("SMS-Information", [
        ("Recipient-Info", [("Recipient-Address", [("Address-Type", 1), ("Address-Data", number)])])])]


def _amounts(amounts: dict[str, int]) -> list[Spec]:
    names = {"seconds": "CC-Time", "octets": "CC-Total-Octets", "up": "CC-Input-Octets", "down": "CC-Output-Octets",
             "units": "CC-Service-Specific-Units"}
    return [(names[name], value) for name, value in amounts.items()]
