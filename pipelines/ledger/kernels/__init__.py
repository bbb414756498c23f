"""Kernels of the ledger's own Parquet writer: columns of a batch to column chunks, without Arrow between."""
