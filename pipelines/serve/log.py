"""What a service says: JSON lines, for programs. Never a number of a person, nor what a message held."""

import json
import sys
from datetime import UTC, datetime
from typing import TextIO


class Log:
    """One line for each event: time, event, and its fields."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def __call__(self, event: str, **fields: object) -> None:
        """Fields are counts, seconds, addresses of our own, and codes."""
        said = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        self._stream.write(json.dumps(said, default=str) + "\n")
        self._stream.flush()
