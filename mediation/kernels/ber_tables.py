"""Column numbers of the tables that a BER layout is compiled to. Shared by the compiler and the kernels.

work[row, column] is the room in which one record is read: row 0 holds what the record says once, row 1 what the
current outer element (`around`) says, rows from 2 the containers. Its first columns are those of DECODED; after
them come the types and the `_` values that only derivations read.
"""

# Tag nodes: a trie of tags. child[node, slot] for the dense tags, `extra` for the others.
ND_OP, ND_KIDS, ND_LIST, ND_AROUND, ND_RECORD, ND_WIDTH = 0, 1, 2, 3, 4, 8
# Slots of child[node]: context 0..255, universal 0..31, application 0..95, private 0..127. The rest keeps the nodes'
# rows from sharing the same few lines of the processor's cache.
SLOTS = 512 + 16
SLOT_BASE = (256, 288, 0, 384)
SLOT_ROOM = (32, 96, 256, 128)
EX_NODE, EX_CLASS, EX_NUMBER, EX_CHILD = 0, 1, 2, 3

# What to do with a field: conversion, target, scope (0 record, 1 around, 2 container), further operation.
OP_CODE, OP_COLUMN, OP_TYPE, OP_RANK, OP_SCOPE, OP_NEXT, OP_NO_TEXT, OP_WIDTH = 0, 1, 2, 3, 4, 5, 6, 8
C_AGAIN = 99  # the same octets and conversion as the operation before

# Container lists.
LS_PRIORITY, LS_PREVIOUS, LS_COLUMNS, LS_COLUMNS_END, LS_WIDTH = 0, 1, 2, 3, 4

# Record kinds. RC_NEXT: another kind with the same top tag; the record type in the first field decides.
RC_TYPE, RC_NEXT, RC_ROOT = 0, 1, 2
RC_DERIVE, RC_DERIVE_END, RC_ROW_DERIVE, RC_ROW_DERIVE_END = 3, 4, 5, 6
RC_REQUIRED, RC_REQUIRED_END, RC_WIDTH = 7, 8, 10

# Derivations.
DV_CODE, DV_COLUMN, DV_TYPE, DV_BY, DV_SOURCE, DV_SOURCE_END, DV_PAIR, DV_PAIR_END, DV_WIDTH = 0, 1, 2, 3, 4, 5, 6, 7, 8

# plan[record, column], bits: containers say it; what the record says holds only when it has no containers.
PLAN_CONTAINER, PLAN_WHOLE = 1, 2

MAX_CONTAINERS = 512
MAX_DEPTH = 16
MAX_STEPS = 4096          # fields walked to find the end of an indefinite length
MAX_STEPS_RESYNC = 512
NO_RANK = 1 << 30
