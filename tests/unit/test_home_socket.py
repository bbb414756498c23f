"""The way to a node, asked from several threads."""

import json
import socket
import threading
import time

from pipelines.serve.home_socket import Connection


def test_threads_that_ask_at_once_get_their_own_answers() -> None:
    """As a run does: mediation brings numbers while charging waits. Its threads once took each other's answers."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs.makefile("rb") as lines:
            for line in lines:
                asked = json.loads(line)
                lines.read(asked["octets"])
                time.sleep(0.002)
                theirs.sendall(json.dumps({"to": asked["op"]}).encode() + b"\n")

    threading.Thread(target=serve, daemon=True).start()
    connection, wrong = Connection(ours), []

    def ask(name: str) -> None:
        wrong.extend(told for told in (connection.ask(b"x" * 100, op=name)["to"] for _ in range(20)) if told != name)

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("charge", "remember", "settle")]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    connection.close()
    theirs.close()
    assert not wrong
