"""What became of a command: for whoever sent it, in the node's process or in another. Imports nothing slow."""

from dataclasses import dataclass
from typing import Literal

from schemas.codes import Reason


@dataclass(frozen=True)
class CommandOutcome:
    """What became of a command. reason: of one that was refused; position: its journal entry; why: the reason in words,
    without anybody's number."""

    status: Literal["done", "repeated", "refused"]
    reason: Reason = Reason.OK
    position: int = -1
    why: str = ""
