"""What a monitoring system asks a node: /metrics for Prometheus, /health and /ready. Section `operate` of serve.yaml.

Counts and times only; nothing here says anything of a person. Loopback only: a scraper on another machine comes
through a proxy that proves who it is.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pipelines.balance_api.serve import HttpFront, Listen
from pipelines.serve.config import Operate, address
from pipelines.serve.latency import BOUNDS_MS
from pipelines.serve.node import OnlineNode

Counts = Callable[[], Mapping[str, int]]
_COUNTED = {"requests": "requests of front ends, a tick of Diameter being one", "rows": "services of requests answered",
            "commands": "commands carried out, repeated or refused", "ticks": "groups of the journal made durable",
            "slices": "slices of batches charged between ticks", "snapshots": "snapshots of the book written"}
_NOW = {"waiting": "rows and commands that no tick has taken yet", "open_sessions": "sessions that are open",
        "held_sessions": "services for which units are held",
        "answers": "answers that are remembered one by one, beside the last of each session",
        "answers_reach_seconds": "how long ago the oldest of these was given", "position": "position of the journal",
        "uncommitted_rows": "rows of the ledger that wait for the next commit"}
_TOOK = {"tick_ms": ("tick", "that applying the last tick took"), "durable_ms": ("durable", "until it was durable"),
         "commit_s": ("commit", "that the last commit took"), "snapshot_s": ("snapshot", "that the last snapshot took"),
         "snapshot_copy_s": ("snapshot_copy", "for which the last snapshot stopped ticks"),
         "switch_ms": ("switch", "for which the last activation of tariffs stopped ticks")}


class NodeCollector(Collector):
    """Figures of a node and of its front ends, read when they are asked for."""

    def __init__(self, node: OnlineNode, fronts: Mapping[str, Counts]) -> None:
        self._node, self._fronts = node, fronts

    def collect(self) -> Iterable[Metric]:
        """All families."""
        figures = self._node.figures()
        for name, meaning in _COUNTED.items():
            yield CounterMetricFamily(f"tarifa_{name}", meaning, value=float(figures[name]))  # type: ignore[arg-type]
        for name, meaning in _NOW.items():
            yield GaugeMetricFamily(f"tarifa_{name}", meaning, value=float(figures[name]))  # type: ignore[arg-type]
        for name, (what, meaning) in _TOOK.items():
            seconds = float(figures[name]) / (1000 if name.endswith("_ms") else 1)  # type: ignore[arg-type]
            yield GaugeMetricFamily(f"tarifa_{what}_seconds", f"seconds {meaning}", value=seconds)
        latency, seen, buckets = self._node.latency, 0, []
        for bound, count in zip((*(str(ms / 1000) for ms in BOUNDS_MS), "+Inf"), latency.counts, strict=True):
            seen += count
            buckets.append((bound, float(seen)))
        yield HistogramMetricFamily("tarifa_answer_seconds", "from when a request came to when it was durable",
                                    buckets=buckets, sum_value=latency.sum_s)
        family = CounterMetricFamily("tarifa_front_end", "what front ends count", labels=("front_end", "what"))
        for front, counts in self._fronts.items():
            for what, value in counts().items():
                family.add_metric((front, what), float(value))
        yield family


def make_app(node: OnlineNode, fronts: Mapping[str, Counts]) -> Starlette:
    """The three paths."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(node, fronts))

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def health(_: Request) -> Response:
        ok = node.failure is None
        return PlainTextResponse("alive\n" if ok else "failed\n", 200 if ok else 503)

    async def ready(_: Request) -> Response:
        return PlainTextResponse("ready\n" if node.running else "not ready\n", 200 if node.running else 503)

    return Starlette(routes=[Route("/metrics", metrics), Route("/health", health), Route("/ready", ready)])


class OperateFront(HttpFront):
    """Serves them."""

    name = "operate"

    def __init__(self, node: OnlineNode, operate: Operate, fronts: Mapping[str, Counts]) -> None:
        super().__init__(make_app(node, fronts), Listen(*address(operate.listen, "operate.listen", None)))
