"""Correcting the past: history replayed under corrected tariffs or without what was wrong, differences posted.

`history` reads what was charged, in its order; `replay` charges it again on a book of its own; `delta` compares that
with the ledger; `correction` keeps the differences as files that a journal entry names; the commands are `rerate`,
`backout` and `whatif`.
"""
