"""Signed heads: which entry is a stream's newest. A chain cannot protect its own tail; a head kept elsewhere can.

`_heads/<stream>.json` is replaced now and then and when the writer closes. The tail behind the last signed head can
be cut off without leaving a trace in the ledger itself, so keep copies of heads (or of cuts) in another place.
"""

from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipelines.ledger.log import FORMAT, UNREADABLE, Log, check_format, sign
from pipelines.ledger.store import Store
from schemas.errors import LedgerError

HEAD_FOLDER = "_heads"
HEAD_REMEDY = "restore the log from a backup; run `tarifa ledger verify`"


class Head(msgspec.Struct, frozen=True):
    """Entry `version` of `stream` has this sha256."""

    format: int
    stream: str
    version: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


def head_path(stream: str) -> str:
    return f"{HEAD_FOLDER}/{stream}.json"


def write_head(store: Store, log: Log, signer: Ed25519PrivateKey) -> None:
    """Replace the head of the log's stream by a signed one for its newest entry."""
    body = msgspec.json.encode(Head(FORMAT, log.stream, log.version, log.head))
    store.replace(head_path(log.stream), sign(body, signer))


def read_head(store: Store, stream: str) -> tuple[Head, bytes] | None:
    """The head and its bytes (for the signature); None when none was signed. Raises LedgerError when torn."""
    path = head_path(stream)
    try:
        payload = store.read(path)
    except FileNotFoundError:
        return None
    check_format(payload, path)
    try:
        return msgspec.json.decode(payload, type=Head), payload
    except UNREADABLE as error:
        raise LedgerError(f"{path}: {error}", "a signed head") from error


def head_fault(head: Head, log: Log) -> str | None:
    """How the log contradicts a head, or None."""
    if head.version > log.version:
        return (f"stream {log.stream} ends at entry {log.version}, but entry {head.version} was signed: "
                f"{head.version - log.version} entries were removed from its tail")
    if head.version and log.digests[head.version - 1] != head.sha256:
        return f"stream {log.stream}: entry {head.version} is not the one that was signed"
    return None


def check_head(store: Store, log: Log) -> None:
    """Raises LedgerError when the log is shorter than its head, or another."""
    found = read_head(store, log.stream)
    fault = head_fault(found[0], log) if found else None
    if fault:
        raise LedgerError(fault, "", HEAD_REMEDY)
