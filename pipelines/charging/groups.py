"""Entries of the journal in groups, as they were appended: a batch's ends with its BLOCK, a tick's with its ONLINE, and
a CLOCK stands alone."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.journal import Block, Clock, Command, Entry, Online


def groups_of(entries: Iterable[tuple[int, Entry]]) -> Iterator[tuple[int, list[Entry]]]:
    """Groups with the position of their first entry."""
    group: list[Entry] = []
    for position, entry in entries:
        group.append(entry)
        if isinstance(entry, (Block, Online, Clock)):
            yield position - len(group) + 1, group
            group = []


def block_of(entries: Sequence[Entry]) -> Block | None:
    """The block that a batch's group ends with; a tick has none."""
    return entries[-1] if isinstance(entries[-1], Block) else None


def own_commands(first: int, entries: Sequence[Entry]) -> list[tuple[int, bytes]]:
    """Commands that the node gave to itself, with their positions: always one, alone with the block of its group."""
    if len(entries) != 2 or not isinstance(entries[0], Command) or not isinstance(entries[1], Block) \
            or not is_own(read_fields(entries[0].content)):
        return []
    return [(first, entries[0].content)]


def live_entry(command: Mapping[str, object], received_us: int, refusal: str = "") -> bytes:
    """What the journal has of a command that came live; the ledger keeps with it why it was refused."""
    return json.dumps({"live": received_us, "command": command, **({"refused": refusal} if refusal else {})}).encode()


def is_own(command: dict[str, Any]) -> bool:
    """Whether it is the node's own word. What others say comes wrapped: in its line of a file, or in what came live."""
    return "line" not in command and "live" not in command


def read_fields(content: bytes) -> dict[str, Any]:
    """A command's fields; none where it cannot be read, so that it is refused and never an exception."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
