"""What charging offers to Nchf: the one thing that it calls, and what it must know of the operator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from reference_data.online import OnlineRules
from reference_data.snapshot import Snapshot
from schemas.columns import Cells


class ChargingNode(Protocol):
    """`pipelines.serve.node.OnlineNode`, or a stand-in."""

    @property
    def reference(self) -> Snapshot:
        """What is true of customers, numbers and networks."""

    @property
    def rules(self) -> OnlineRules:
        """How quotas are granted."""

    async def request(self, requests: Cells) -> Cells:
        """REQUEST rows to ANSWER rows, one for each; durable when it returns."""


@dataclass(frozen=True)
class Words:
    """How names and numbers become columns. label: (column, name) to a number, the same for ever."""

    token_key: tuple[int, int]
    label: Callable[[str, str], int]
