"""The process that writes files of commits: `python -m pipelines.serve.staging_process LEDGER DESCRIPTOR`.

It ends when its node does. Who answers comes first, so it is a little nicer than its node.
"""

import signal
import socket
import sys
from collections.abc import Mapping

from pipelines.ledger import FileEntry, Rows
from pipelines.ledger.store import open_store
from pipelines.ledger.stream import entry_of
from pipelines.serve.scheduling import wait_for_others
from pipelines.serve.staging import serve_staging

_NICER = 5


def main(ledger: str, descriptor: int) -> None:
    """Serve the node behind a socket until that closes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are for the node, which has more to commit before it goes
    wait_for_others(_NICER)
    store = open_store(ledger)

    def write(paths: Mapping[str, str], tables: Mapping[str, Rows]) -> list[FileEntry]:
        files = []
        for table, rows in tables.items():
            encoded = rows.encode()
            store.write(paths[table], (encoded.payload,))
            files.append(entry_of(paths[table], table, encoded))
        store.settle()
        return files

    with socket.socket(fileno=descriptor) as connection:
        serve_staging(connection, write)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
