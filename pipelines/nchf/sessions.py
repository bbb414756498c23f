"""Sessions that can be called back: when an account changes, those that ran out are told to ask again.

They are kept as those of Gy are (`pipelines.serve.open_sessions`): in memory, and over a restart those whose final
units were granted, which may wait for a top-up for long.
"""

from collections.abc import Mapping

from pipelines.nchf import references
from pipelines.nchf.messages import ChargingNotifyRequest, ReauthorizationDetails, encode
from pipelines.nchf.notify import FORGOTTEN, Notifier
from pipelines.nchf.requests import Asked
from pipelines.nchf.ticks import Answered
from pipelines.serve.node import CommandOutcome
from pipelines.serve.open_sessions import OpenSessions
from rating.book import BalanceBook
from schemas.columns import ABSENT

REAUTHORIZATION, ABORT = "REAUTHORIZATION", "ABORT_CHARGING"


class Callbacks:
    """Remembers where sessions are to be called, and calls. No notifier: only remembers."""

    def __init__(self, known: OpenSessions | None = None, notifier: Notifier | None = None) -> None:
        self.known = OpenSessions() if known is None else known  # which may be empty, and so count as nothing
        self.notifier = notifier

    def answered(self, key: references.Key, uri: str | None, asked: Asked, answers: Answered) -> None:
        """A create or update was answered. uri: where it says that it is to be called."""
        known = self.known
        if key not in known:
            if uri is None:
                return
            known.begin(key, answers["account_id"][asked.first], b"", uri.encode(), b"")
        elif uri is not None:
            known.move(key, uri.encode())
        finals = answers["final_action"]
        for group, _, _, place in asked.groups:
            if place != ABSENT:
                known.note(key, group, finals[asked.first + place] > 0)

    def ended(self, key: references.Key) -> None:
        """A session was released."""
        self.known.end(key)

    def changed(self, command: Mapping[str, object], outcome: CommandOutcome, book: BalanceBook) -> None:
        """An account changed: sessions that ran out ask again; all of one that was closed end."""
        if outcome.status != "done" or self.notifier is None:
            return
        accounts = {account for account in (command.get("account_id"), command.get("to_account_id"),
                                            command.get("shared_account_id")) if isinstance(account, int)}
        if not accounts:
            return
        state = command.get("state") if command.get("kind") == "state" else None
        for key in self.known.of(accounts, book, only_final=state is None):
            self._call(key, ABORT if state == "terminated" else REAUTHORIZATION)

    def _call(self, key: references.Key, kind: str) -> None:
        assert self.notifier is not None
        session = self.known[key]
        said = ChargingNotifyRequest(kind)
        if kind == REAUTHORIZATION:
            said.reauthorizationDetails = [ReauthorizationDetails(group) for group in sorted(session.finals)] or None

        def told(how: int) -> None:
            if how == FORGOTTEN:
                self.known.end(key)  # supervision gives back what it holds

        self.notifier.send(session.host.decode(), encode(said), told)
