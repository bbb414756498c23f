"""What the API needs of whoever has the book: a node that serves, or, when nobody does, a home opened here."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from pipelines.accounts.desk import HomeDesk, check_command
from pipelines.ledger import Ledger
from pipelines.serve.node import CommandOutcome, OnlineNode
from rating.book import BalanceBook
from reference_data.snapshot import Snapshot

T = TypeVar("T")
Changed = list[Callable[[Iterable[int]], None]]


class ApiDesk(Protocol):
    """token_key never changes, reference does when tariffs are activated; the book is looked at within `ask` only."""

    on_changed: Changed  # told which accounts' balances a command changed, or came to a threshold

    @property
    def reference(self) -> Snapshot:
        """What the home is charged with."""

    @property
    def token_key(self) -> tuple[int, int]:
        """Turns numbers into tokens."""

    @property
    def ledger(self) -> Ledger:
        """For reading what was charged."""

    async def command(self, command: Mapping[str, object]) -> CommandOutcome:
        """Carry out one command; durable when this returns."""

    async def ask(self, question: Callable[[BalanceBook], T]) -> T:
        """The answer of a function of the book, which holds still meanwhile."""


class NodeDesk:
    """A node's desk: in its own loop, where the book holds still between ticks."""

    def __init__(self, node: OnlineNode) -> None:
        self._node = node
        self.token_key, self.ledger = node.keys.token_key, node.ledger
        self.on_changed: Changed = []
        node.on_command.append(self._tell)
        node.on_reached.append(lambda accounts: self._tell_of(accounts.tolist()))
        node.book.shared_by(0)  # who shares with whom is looked up for all at once: now, and not before a request

    @property
    def reference(self) -> Snapshot:
        """The one in force."""
        return self._node.reference

    async def command(self, command: Mapping[str, object]) -> CommandOutcome:
        """As the node carries out any other."""
        check_command(command)
        return await self._node.command(command)

    async def ask(self, question: Callable[[BalanceBook], T]) -> T:
        """Between two ticks."""
        return question(self._node.book)

    def _tell(self, command: Mapping[str, object], outcome: CommandOutcome) -> None:
        if outcome.status == "done":
            self._tell_of(accounts_of(command))

    def _tell_of(self, accounts: Iterable[int]) -> None:
        for listener in self.on_changed:
            listener(accounts)


def accounts_of(command: Mapping[str, object]) -> list[int]:
    """Accounts that a command names."""
    named = (command.get(name) for name in ("account_id", "to_account_id", "shared_account_id"))
    return [each for each in named if isinstance(each, int)]


class ThreadDesk:
    """A home's own desk on a thread of its own: one command or question at a time."""

    def __init__(self, desk: HomeDesk) -> None:
        self._desk, self._thread = desk, ThreadPoolExecutor(1, "accounts")
        self.reference, self.token_key, self.ledger = desk.reference, desk.token_key, desk.ledger
        self.on_changed: Changed = []

    async def command(self, command: Mapping[str, object]) -> CommandOutcome:
        """In turn, on the desk's thread."""
        outcome = await asyncio.get_running_loop().run_in_executor(self._thread, self._desk.send, command)
        if outcome.status == "done":
            for listener in self.on_changed:
                listener(accounts_of(command))
        return outcome

    async def ask(self, question: Callable[[BalanceBook], T]) -> T:
        """In turn, on the desk's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: question(self._desk.book))

    def close(self) -> None:
        """Settle and give the home back."""
        self._thread.shutdown()
        self._desk.__exit__(None, None, None)
