"""What a sender may cost: bounds on every size, and who is told to wait when there is too much to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Octets, rows, seconds, and requests that wait for an answer."""

    body_octets: int = 65_536
    header_octets: int = 16_384
    path_octets: int = 1_024
    units: int = 64              # MultipleUnitUsage of a request
    containers: int = 256        # UsedUnitContainer of a request
    body_s: float = 5.0          # until a request's body has come
    header_s: float = 5.0        # HTTP/1.1: until its header has
    streams: int = 256           # of one HTTP/2 connection at once
    waiting_each: int = 4_000    # creates and updates of one consumer; beyond: 429
    waiting_creates: int = 6_000
    waiting_updates: int = 12_000   # of all consumers; beyond: 503. Releases are never refused
    retry_after_s: int = 2
    tick_rows: int = 2_048       # of one block for the node
    labels: int = 10_000         # DNNs that are remembered by name
    subscriptions: int = 2_000_000  # of spending limits
