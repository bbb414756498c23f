"""The vault: what stands behind the tokens, encrypted, apart from the ledger, and who looked."""

from pipelines.vault.reveal import reveal_table
from pipelines.vault.vault import Remembered, Vault

__all__ = ["Remembered", "Vault", "reveal_table"]
