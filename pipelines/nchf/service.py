"""What Nchf asks of charging: the one call, and what it must know of the operator."""

from typing import Protocol

from mediation.memory import Lexicon
from mediation.tokens import Sightings
from reference_data.online import OnlineRules
from reference_data.snapshot import Snapshot
from schemas.columns import Cells


class ChargingNode(Protocol):
    """`pipelines.serve.node.OnlineNode`, or a stand-in."""

    reference: Snapshot
    lexicon: Lexicon

    @property
    def rules(self) -> OnlineRules:
        """How quotas are granted."""

    async def request(self, requests: Cells, sightings: Sightings | None = None, at_once: bool = False) -> Cells:
        """REQUEST rows to ANSWER rows, one for each; durable when it returns. at_once: they need not wait for more."""
