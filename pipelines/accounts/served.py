"""The desk of a home that `tarifa serve` has: asked and told through the socket in the home.

It sends words and shows what comes back: what is looked up, checked and counted is the node's. So a command starts at
once, whatever the node has loaded.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

from pipelines.serve.home_socket import Connection
from pipelines.serve.outcome import CommandOutcome
from schemas.codes import Reason
from schemas.errors import ChargingError


class Desk(Protocol):
    """What the command line needs of whoever has the home."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        """Give it back."""

    def show(self, who: str, at_us: int) -> dict[str, Any]:
        """The account that is meant: its number, or an MSISDN."""

    def defaults(self) -> dict[str, Any]:
        """What a new account gets."""

    def send(self, command: Mapping[str, object]) -> CommandOutcome:
        """Carry out one command; durable when this returns."""

    def try_out(self, command: Mapping[str, object]) -> CommandOutcome:
        """What would become of it."""


class ServedDesk:
    """As `HomeDesk`, as far as the command line needs one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> "ServedDesk":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self._connection.close()

    def show(self, who: str, at_us: int) -> dict[str, Any]:
        """The account that is meant."""
        found: dict[str, Any] = self._connection.ask(op="account", who=who, at_us=at_us)["account"]
        return found

    def defaults(self) -> dict[str, Any]:
        """What a new account gets."""
        return self._connection.ask(op="defaults")

    def send(self, command: Mapping[str, object]) -> CommandOutcome:
        """Durable and in force when this returns."""
        told = self._connection.ask(op="command", command=dict(command))
        return CommandOutcome(told["status"], Reason[told["reason"].upper()], int(told["position"]), told["why"])

    def try_out(self, command: Mapping[str, object]) -> CommandOutcome:  # noqa: ARG002
        """Refused: a node has one book, and it is in use."""
        raise ChargingError("--dry-run while `tarifa serve` has the home", "the command itself",
                            "a refusal changes nothing")
