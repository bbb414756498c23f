"""Have the disk read what a start will need while the interpreter is still busy with imports and kernels.

Only asks the system: what is read stays in its cache as long as it likes, and whoever reads the files then finds them
there, or waits for the rest. Imports nothing that takes time.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path

_AT_ONCE = 16 << 20


def read_ahead(root: Path) -> threading.Thread:
    """Begin with the newest snapshot of the home there and its compiled inventory, on a thread that ends with them."""
    thread = threading.Thread(target=_read, args=(root,), name="read-ahead", daemon=True)
    thread.start()
    return thread


def _read(root: Path) -> None:
    for path in (max((root / folder).glob("*.snapshot"), default=None) for folder in ("compiled", "snapshots")):
        if path is None:
            continue
        with suppress(OSError, AttributeError):  # gone meanwhile; a system without such advice
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                for start in range(0, os.fstat(handle).st_size, _AT_ONCE):
                    os.posix_fadvise(handle, start, _AT_ONCE, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(handle)
