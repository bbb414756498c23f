"""The way to the node that serves a home: a socket in it, and frames as `pipelines.serve.handoff` says."""

import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from schemas.errors import LedgerError

NAME = "node.sock"
MOST_LINE, MOST_OCTETS = 1 << 20, 1 << 28


class Connection:
    """One end of it, for programs that wait for each answer. A run asks from several threads: mediation brings numbers
    while charging waits for a batch."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._file = connected.makefile("rb")
        self._asking = threading.Lock()  # answers come in the order of frames, and each is to find who asked

    def ask(self, payload: bytes = b"", **fields: object) -> dict[str, Any]:
        """Send a frame, wait for its answer. Raises LedgerError: refused, or the node has gone."""
        try:
            with self._asking:
                self._socket.sendall(json.dumps({**fields, "octets": len(payload)}).encode() + b"\n" + payload)
                line = self._file.readline(MOST_LINE)
        except OSError:
            line = b""
        if not line:
            raise LedgerError("the charging node of this home has gone", remedy="start `tarifa serve`, or run again "
                              "without it: nothing is lost, nothing is charged twice")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LedgerError(answer["error"])
        return answer

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give it back."""
        with suppress(OSError):
            self._file.close()
            self._socket.close()


def connect(home: Path) -> Connection | None:
    """The node that serves a home, None where none does."""
    path = home / "serve" / NAME
    if not path.exists():
        return None
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short(path) as name:
            connected.connect(name)
    except OSError:  # left by one that was killed
        connected.close()
        return None
    return Connection(connected)


class short:  # noqa: N801 - reads as a word
    """A name for a path that is short enough for a socket (108 octets), wherever the home lies."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> str:
        self._handle = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._handle}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
