"""A lock on a folder, for one process at a time; whoever comes second is told who has it, and since when."""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import StaleWriterError


def take_lock(folder: Path, what: str, mode: int = 0o644) -> int:
    """A handle that holds `folder`/lock until it is closed. Raises StaleWriterError: another process holds it."""
    path = folder / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise StaleWriterError(f"{what} {folder} is open in another process{_holder(path)}",
                               remedy="stop that process first") from None
    said = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(said).encode(), 0)
    return handle


def _holder(path: Path) -> str:
    """Who has the lock, as far as that can be told."""
    try:
        said = json.loads(path.read_text())
        return f", {int(said['pid'])}, since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
