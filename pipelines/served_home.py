"""A home that `tarifa serve` has: a run mediates as ever, and hands over to the node what it would charge itself.

Journal, book, `charging` stream and vault are the node's; what a run has are inbox, archive, and the streams
`collection` and `mediation`. Numbers behind tokens go to the node's vault, and are durable there before commit 1.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.charging.node import Committed, backouts
from pipelines.corrections.correction import Correction
from pipelines.home import Home
from pipelines.journal import Entry
from pipelines.ledger import Ledger
from pipelines.serve.home_socket import Connection
from pipelines.vault.vault import Remembered
from rating.book import BalanceBook
from rating.charging import Charged
from schemas.columns import I64, Cells
from schemas.errors import LedgerError


class ServedVault:
    """The node's vault, as far as mediation needs one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def remember(self, token: I64, identity: npt.ArrayLike, value: I64,
                 texts: Sequence[str | bytes | None] | None = None) -> Remembered:
        """As `Vault.remember`; which rows collide is not told, only how many."""
        rows = np.array([token, np.broadcast_to(np.asarray(identity), token.shape), value], np.int64)
        named = {row: text.decode("utf-8", "replace") if isinstance(text, bytes) else text
                 for row, text in enumerate(texts or ()) if text is not None}
        told = self._connection.ask(rows.tobytes() + json.dumps(named).encode(), op="remember", rows=token.size)
        return Remembered(0, np.zeros(told["collisions"], np.intp))

    def close(self) -> None:
        """The node keeps it."""


class ServedNode:
    """The node, as far as a run needs one. What only a home's owner may do is refused."""

    settled = True  # whatever is left, the node has

    def __init__(self, connection: Connection, reference: str, ledger: Ledger, home: Home) -> None:
        """Begin a run. Raises LedgerError: other reference data, or another run."""
        self._connection, self._ledger, self._home = connection, ledger, home
        try:
            told = connection.ask(op="hello", reference=reference, pid=os.getpid())
        except LedgerError:
            connection.close()
            raise
        self.journaled_version, self.position = int(told["version"]), int(told["position"])
        self._batch: Committed | None = None

    def journal(self, batch: Committed) -> tuple[int, list[Entry]]:
        """Nothing yet: the node journals and charges in one go."""
        self._batch = batch
        return self.position, []

    def charge(self, first: int, entries: Sequence[Entry], usage: Cells, ahead: bool = False) -> int:  # noqa: ARG002
        """Have the batch that was given to `journal` journaled and charged. Returns events rated."""
        assert self._batch is not None
        told = self._connection.ask(b"\n".join(self._batch.commands), op="charge", version=self._batch.version)
        self.journaled_version = self._batch.version
        return int(told["rated"])

    def catch_up(self) -> int:
        """The node has."""
        return 0

    def open_accounts(self) -> None:
        """The node has."""

    def finish(self) -> None:
        """What is charged is durable."""

    def commit_charged(self) -> None:
        """Have everything committed: mediation sees what changed in the inventory by then."""
        self.commit_balances()

    def commit_balances(self) -> None:
        """Have everything committed, and balances as they are then."""
        self.position = int(self._connection.ask(op="settle")["position"])

    def take_snapshot(self) -> None:
        """The node does when it is due."""

    def backouts(self, after: int) -> Iterator[tuple[int, Correction]]:
        """As `ChargingNode.backouts`."""
        return backouts(self._ledger, self._home.corrections, after)

    def pending(self) -> Iterator[tuple[int, list[Entry]]]:
        """None: the node charges what its journal has when it starts."""
        return iter(())

    def rehearse(self) -> BalanceBook:
        """Refused."""
        raise _owner_only()

    def try_command(self, command: Mapping[str, object]) -> Charged:  # noqa: ARG002
        """Refused."""
        raise _owner_only()

    def close(self) -> None:
        """End the run."""
        self._connection.close()


def _owner_only() -> Any:
    return LedgerError("this home is served by `tarifa serve`", "a home that nothing serves",
                       "stop it first, or send the command to the node")
