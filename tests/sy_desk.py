"""Sy without sockets, beside Gy, on one node; what is sent to policy functions is kept and answered as a test says."""

import asyncio
from typing import Any

import yaml
from diameter.message import Message

from pipelines.diameter.encode import NO_TEXTS, Answers, encode_requests, identity_avps
from pipelines.diameter.ticks import choose, merged
from pipelines.serve.sy import SyFrontEnd
from schemas.columns import U8, Cells
from tests.diameter_messages import SY
from tests.gy_desk import GyDesk
from tests.integration.site import Site

SNR = 8_388_636
MIB = 1 << 20


def with_counters(site: Site) -> None:
    """On every plan of the first tariff: volume with three thresholds, seconds of calls with one."""
    path = min((site.input.operator / "tariffs").glob("*.yaml"))
    tariff = yaml.safe_load(path.read_text())
    tariff["counters"] = {
        "volume": {"unit": "octet", "cycle": "month", "services": ["data"], "thresholds": [2 * MIB, 4 * MIB, 1 << 40]},
        "calls": {"unit": "second", "cycle": "month", "services": ["voice"], "thresholds": [90]}}
    for plan in tariff["plans"].values():
        plan["counters"] = ["volume", "calls"]
    path.write_text(yaml.safe_dump(tariff, sort_keys=False))


class Peers:
    """A server's `send`. sent: requests, as python-diameter reads them; answers: futures to be set."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.answers: list[asyncio.Future[int]] = []

    def send(self, requests: Cells, texts: U8 = NO_TEXTS, status: Cells | None = None) -> list["asyncio.Future[int]"]:
        requests["hop_by_hop"] = requests["end_to_end"] = 1
        encoded = encode_requests(requests, texts, identity_avps("ocs.tarifa.example", "tarifa.example"), 1, status)
        self.sent += [Message.from_bytes(bytes(encoded.octets[b:b + n])) for b, n in encoded.places.tolist()]
        made = [asyncio.get_running_loop().create_future() for _ in range(len(requests))]
        self.answers += made
        return made


class SyDesk(GyDesk):
    """A node of a site, and both front ends."""

    def __init__(self, site: Site, most: int = 100) -> None:
        super().__init__(site)
        self.sy = SyFrontEnd(self.node, site.home.root / "serve" / "sy.log", most)
        self.peers = Peers()
        self.handle = self._both
        self.sy.serve_with(self.peers)  # type: ignore[arg-type]

    async def _both(self, messages: Cells, units: Cells, buffer: U8) -> Answers:
        """As the server does where the node is busy, but for the answers, which it lets go as they come."""
        own, parts = messages["application"] == SY, []
        for some, handler in ((own, self.sy.handle), (~own, self.front.handle)):
            if some.any():
                parts.append((some, asyncio.ensure_future(handler(*choose(messages, units, some), buffer))))
                await asyncio.sleep(0)  # it has begun when the other does
        answers = await asyncio.gather(*(work for _, work in parts))
        return merged([(some, each) for (some, _), each in zip(parts, answers, strict=True)], units)

    def hear(self, code: int = 2001) -> list[Any]:
        """What was sent, once it has been, and answered so."""
        self.rest()
        sent, answers, self.peers.sent, self.peers.answers = self.peers.sent, self.peers.answers, [], []
        for future in answers:
            future.set_result(code)
        self.rest()
        return sent

    def rest(self) -> None:
        """Let the loop do what is due."""
        self.run(asyncio.sleep(0.01))

    def close(self) -> None:
        self.run(self.sy.watch.stop())
        super().close()


def reports(said: Any) -> dict[str, str]:
    """Counters and their statuses."""
    return {r.policy_counter_identifier: r.policy_counter_status for r in said.policy_counter_status_report}


def pending(said: Any) -> dict[str, tuple[str, Any]]:
    """Counters and what comes then, and when."""
    found = {}
    for each in said.policy_counter_status_report:
        for info in each.additional_avps:
            if info.code == 2905:
                parts = {part.code: part.value for part in info.value}
                found[each.policy_counter_identifier] = parts[2902], parts[2906]
    return found


def code(said: Any) -> tuple[str, int]:
    """Which AVP the result stands in, and the result."""
    if said.result_code is not None:
        return "result", said.result_code
    assert said.experimental_result.vendor_id == 10415
    return "experimental", said.experimental_result.experimental_result_code
