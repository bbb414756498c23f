"""What a node says of itself: metrics, health, readiness, and `tarifa top`."""

import asyncio
import io
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from pipelines.apps.top_commands import table
from pipelines.home import Home, Input
from pipelines.serve.config import Operate
from pipelines.serve.latency import BOUNDS_MS, Latency, percentile_ms
from pipelines.serve.node import OnlineNode
from pipelines.serve.operate import OperateFront
from schemas.errors import ReferenceDataError
from tests.online_world import cells_of
from tests.simulate.world import make_template

CALL = {"session": 1, "number": 0, "kind": "initial", "account": "nobody", "service": "voice",
        "services": [{"name": (-1, -1), "requested": 0}], "time_us": 1_792_584_000_000_000}


def test_a_node_says_what_it_does(tmp_path: Path) -> None:
    make_template(tmp_path / "site")
    asyncio.run(_ask(OnlineNode(Input(tmp_path / "site"), Home(tmp_path / "site" / "home"))))


async def _ask(node: OnlineNode) -> None:
    front = OperateFront(node, Operate("127.0.0.1:0"), {"gy": lambda: {"shed": 3}})
    await node.start()
    address = await front.start()
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        before = node.figures()
        assert (await client.get("/ready")).status_code == (await client.get("/health")).status_code == 200
        await node.request(cells_of([CALL]))
        text = (await client.get("/metrics")).text
        found = {sample.name + str(sample.labels): sample.value for family in text_string_to_metric_families(text)
                 for sample in family.samples}
        assert found["tarifa_rows_total{}"] == 1 and found["tarifa_answer_seconds_count{}"] == 1
        assert found["tarifa_front_end_total{'front_end': 'gy', 'what': 'shed'}"] == 3
        assert 0 < found["tarifa_tick_seconds{}"] < 60 and found["tarifa_durable_seconds{}"] > 0
        assert not [name for name in found if re.search(r"_(ms|s){", name)]  # base units, written out
        shown = io.StringIO()
        Console(width=80, file=shown).print(table(before, node.figures(), 1.0))
        rows = {cells[1].strip(): cells[2].strip() for line in shown.getvalue().splitlines()
                if len(cells := line.split("│")) == 4}
        assert rows["services answered"] == "1 /s"
        assert rows["latency p99"].endswith("ms")
        await node.stop()
        assert (await client.get("/ready")).status_code == 503
    await front.stop()
    node.close()


def test_others_do_not_reach_it(tmp_path: Path) -> None:
    with pytest.raises(ReferenceDataError, match="loopback"):
        OperateFront(None, Operate("0.0.0.0:9464"), {})  # type: ignore[arg-type]


def test_percentiles_are_bounds_of_what_was_seen() -> None:
    latency, drawn = Latency(), np.random.default_rng(1).lognormal(1.0, 1.2, 2000)
    for value in drawn.tolist():
        latency.add(value / 1000, 1)
    for percent in (1, 50, 99, 99.9):
        exact = float(np.percentile(drawn, percent, method="inverted_cdf"))
        bound = percentile_ms(latency.counts, percent)
        assert bound is not None
        assert bound == next((b for b in BOUNDS_MS if b >= exact), float("inf"))
    assert percentile_ms([0] * (len(BOUNDS_MS) + 1), 50) is None
