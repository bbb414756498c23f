"""Plain Parquet plus a hash-chained commit log per stream."""

from pipelines.ledger.cells_file import Rows
from pipelines.ledger.cut import Cut
from pipelines.ledger.ledger import AsOf, Ledger
from pipelines.ledger.log import FileEntry
from pipelines.ledger.stream import StagedFile, Stream

__all__ = ["AsOf", "Cut", "FileEntry", "Ledger", "Rows", "StagedFile", "Stream"]
