"""An object store as DuckDB reads files: obstore's fsspec adapter over the store that the ledger already holds."""

from typing import Any

from obstore.fsspec import FsspecStore

from pipelines.ledger.store import ObjectStore

PROTOCOL = "ledger"


class ObjectFiles(FsspecStore):
    """The objects of one ledger under the names `ledger://<path>`, whatever store they lie in."""

    cachable = False  # else fsspec hands the file system of one store to the next

    def __init__(self, store: ObjectStore) -> None:
        self._backend = store.backend
        super().__init__("s3")  # any name it knows: the store is ours
        self.protocol = PROTOCOL

    def _split_path(self, path: str) -> tuple[str, str]:
        return "", path.removeprefix(f"{PROTOCOL}://")

    def _construct_store(self, bucket: str) -> Any:  # noqa: ARG002 - there is only the one
        return self._backend
