"""The charging node, embedded: one writer, one journal, all lanes."""

from pipelines.charging.node import ChargingNode, Committed

__all__ = ["ChargingNode", "Committed"]
