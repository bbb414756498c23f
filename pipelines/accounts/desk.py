"""Where accounts are asked and changed when nobody serves the home: in this process. See `served` for the other one.

A command is checked here (kind, size, numbers into tokens, the vault first), then journaled, carried out and committed.
"""

import json
import time
from collections.abc import Mapping
from hashlib import sha256
from types import TracebackType
from typing import Any

from pipelines.accounts.finding import defaults, show_account
from pipelines.commands import MAX_LINE_OCTETS, from_whole_second, sightings_among, tokenised
from pipelines.durable import Disk
from pipelines.home import Home, Input
from pipelines.keys import Keys
from pipelines.run import Run, RunOptions
from pipelines.serve.outcome import CommandOutcome
from rating.book import BalanceBook
from rating.commands import KINDS
from rating.commands.context import read_time
from schemas.errors import ChargingError, LedgerError
from schemas.timepoint import EARLIEST_US, END_US

NOT_SENT = ("clock", "period_close", "open_balance")  # they have jobs of their own


class HomeDesk(Run):
    """The desk of a home that nobody else has open."""

    def __init__(self, source: Input, home: Home, disk: Disk | None = None) -> None:
        source.inbox.mkdir(parents=True, exist_ok=True)
        super().__init__(source, home, RunOptions(workers=1), disk)
        self.token_key = Keys.open(home.keys).token_key
        self._sent = False
        try:
            self._catch_up()
            if not self._node.settled:
                self._settle()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "HomeDesk":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        """Settle what was sent, so that the reference data may be changed again; after an error the next run does."""
        try:
            if self._sent and error is None:
                self._settle()
        finally:
            self.close()

    @property
    def book(self) -> BalanceBook:
        """Balances, as they are now."""
        return self._owner.book

    def send(self, command: Mapping[str, object]) -> CommandOutcome:
        """Carry out one command; durable when this returns. Raises ChargingError: it is none."""
        private = self._private(command)
        if digest_of(private) in self.book.applied:
            return CommandOutcome("repeated")
        self._sent = True
        why = self._owner.carry_out(private, time.time_ns() // 1000)
        return CommandOutcome("refused", why=why) if why else CommandOutcome("done")

    def show(self, who: str, at_us: int) -> dict[str, Any]:
        """The account that is meant: its number, or an MSISDN."""
        return show_account(self.book, self.reference, self.token_key, who, at_us)

    def defaults(self) -> dict[str, Any]:
        """What a new account gets."""
        return defaults(self.book, self.reference)

    def try_out(self, command: Mapping[str, object]) -> CommandOutcome:
        """What would become of it. The book is changed: send nothing after that."""
        private, known = self._private(command, remember=False), len(self.book.applied)
        why = self._node.try_command(private).refusal
        return CommandOutcome("refused", why=why) if why else CommandOutcome(
            "done" if len(self.book.applied) > known else "repeated")

    def _private(self, command: Mapping[str, object], remember: bool = True) -> dict[str, object]:
        check_command(command)
        private, seen = tokenised(from_whole_second(command), self.token_key)
        brought = sightings_among(seen)
        if brought is not None and remember and self._vault.remember(
                brought.token, brought.identity, brought.value).collisions.size:
            raise LedgerError("a number whose token stands for another one", "one number a token")
        return private


def check_command(command: Mapping[str, object]) -> None:
    """Raises ChargingError: nothing that may be journaled."""
    if len(json.dumps(dict(command), default=str)) > MAX_LINE_OCTETS:
        raise ChargingError("a command that is too long", f"at most {MAX_LINE_OCTETS} octets")
    kind, name, time_us = command.get("kind"), command.get("id"), read_time(command)
    if kind not in KINDS or kind in NOT_SENT or "line" in command or "command" in command:
        raise ChargingError(f"a command of kind {str(kind)[:40]!r}",
                            "one of " + ", ".join(k for k in KINDS if k not in NOT_SENT))
    if not isinstance(name, str) or not name or len(name) > 200 or not name.isprintable():
        raise ChargingError("a command without an id", "text that no other command has, at most 200 characters")
    if time_us is None or not EARLIEST_US <= time_us < END_US:
        raise ChargingError("a command without a time", "an instant such as 2026-07-01T00:00:00Z")


def digest_of(command: Mapping[str, object]) -> bytes:
    """What the book remembers of a command's id."""
    return sha256(str(command["id"]).encode(errors="surrogatepass")).digest()[:16]

