"""A BER layout to the int tables that the kernels interpret (their columns: `mediation.kernels.ber_tables`)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mediation.formats.conversions import CONVERSIONS, DERIVATIONS
from mediation.formats.layout import ContainerLayout, FieldLayout, Layout, RecordLayout, check_keys
from mediation.kernels import ber_tables as t
from schemas.columns import ABSENT, I64
from schemas.decoded import DECODED

_CLASSES = {"U": 0, "A": 1, "P": 3}
_NUMBERS = {"address-string", "sms-address", "digits", "uri", "subscriber"}  # they know a type beside the value
_COMPANIONS = {"served_number": "served_number_type", "other_number": "other_number_type",
               "forwarded_number": "forwarded_number_type", "served_address": "served_address_text"}
_TIMES = {"timestamp9"}

Tag = tuple[int, int]  # class, number


@dataclass(frozen=True)
class Tables:
    """A compiled layout. `names` and `kinds` serve `describe`: node -> field name, (record, node) -> conversion."""

    child: npt.NDArray[np.int32]
    extra: I64
    nodes: I64
    ops: I64
    lists: I64
    records: I64
    list_columns: I64
    plan: I64
    defaults: I64
    required: I64
    derive: I64
    sources: I64
    pairs: I64
    scratch: int
    names: dict[int, str]
    conversions: dict[int, str]
    children: dict[tuple[int, Tag], int]
    root_octets: frozenset[int]


def tag_of(text: str) -> Tag | None:
    """'9' is context tag 9, 'U16' a universal, 'A1' an application, 'P7' a private one."""
    cls, digits = (2, text) if text[:1].isdigit() else (_CLASSES.get(text[:1], -1), text[1:])
    if cls < 0 or not digits.isdecimal() or int(digits) > 0xFFFFFF:
        return None
    return cls, int(digits)


def compile_layout(layout: Layout) -> Tables:
    """Raises FormatError with file and line: a path, a conversion or a nesting that cannot be."""
    return _Compiler(layout).tables()


class _Compiler:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.columns = {name: i for i, name in enumerate(DECODED.names)}
        self.nodes: list[list[int]] = []
        self.children: dict[tuple[int, Tag], int] = {}
        self.names: dict[int, str] = {}
        self.conversions: dict[int, str] = {}
        self.ops: list[list[int]] = []
        self.lists: list[list[int]] = []
        self.list_columns: list[int] = []
        self.records: list[list[int]] = []
        self.derive: list[list[int]] = []
        self.sources: list[list[int]] = []
        self.pairs: list[list[int]] = []
        self.required: list[int] = []
        self.plans: list[dict[int, int]] = []
        self.defaults: list[dict[int, int]] = []
        self.ranks: dict[tuple[int, int], int] = {}
        self._node()

    # names to numbers

    def column(self, name: str) -> int:
        return self.columns.setdefault(name, len(self.columns))

    def companion(self, column: str) -> int:
        """Column of the type beside a number, ABSENT when it has none."""
        if column in _COMPANIONS:
            return self.column(_COMPANIONS[column])
        return self.columns.get(f"{column} type", ABSENT)

    def path(self, text: str, line: int) -> list[Tag]:
        tags = [tag_of(part) for part in text.split(".")]
        if not 1 <= len(tags) < t.MAX_DEPTH - 1 or any(tag is None for tag in tags):
            raise self.layout.error(line, f"tag path '{text}'", "tags from the record inwards, such as 9.0.0 or 34.U16",
                                    "a plain number is a context tag; U, A, P are universal, application, private")
        return [tag for tag in tags if tag is not None]

    # the trie

    def _node(self) -> int:
        row = [0] * t.ND_WIDTH
        row[t.ND_OP] = row[t.ND_LIST] = row[t.ND_AROUND] = row[t.ND_RECORD] = ABSENT
        self.nodes.append(row)
        return len(self.nodes) - 1

    def descend(self, node: int, tags: Iterable[Tag]) -> int:
        for tag in tags:
            if (node, tag) not in self.children:
                self.children[node, tag] = self._node()
                self.nodes[node][t.ND_KIDS] = 1
            node = self.children[node, tag]
        return node

    # parts of a record

    def tables(self) -> Tables:
        check_keys(self.layout, self.layout.options, ())
        for record in self.layout.records:
            self.record(record)
        return self.arrays()

    def record(self, record: RecordLayout) -> None:
        check_keys(self.layout, record.when, ("tag", "type"))
        tag = tag_of(str(record.when.get("tag", "")))
        if tag is None:
            raise self.layout.error(record.line, f"record '{record.name}': no tag in 'when'",
                                    "when: {tag: 79, type: 85}")
        row = [ABSENT] * t.RC_WIDTH
        kind = record.when.get("type", ABSENT)
        if not isinstance(kind, int):
            raise self.layout.error(record.when.line, f"record type '{kind}'", "a whole number")
        row[t.RC_TYPE] = kind
        number = len(self.records)
        root = self._node()
        row[t.RC_ROOT] = root
        if (0, tag) in self.children:
            self.chain(self.nodes[self.children[0, tag]][t.ND_RECORD], number, kind, record)
        else:
            self.children[0, tag] = root
        self.nodes[root][t.ND_RECORD], self.nodes[root][t.ND_KIDS] = number, 1
        self.names[root] = record.name
        self.records.append(row)
        self.plans.append({})
        self.ranks = {}
        for field in record.fields:
            self.field(root, field, 0)
        for priority, container in enumerate(record.containers):
            self.container(root, container, priority)
        self.derivations(record, row)
        row[t.RC_REQUIRED] = len(self.required)
        self.required += [self.column(name) for name in record.required]
        row[t.RC_REQUIRED_END] = len(self.required)
        self.defaults.append({self.column(name): value for name, value in record.constants.items()})

    def chain(self, other: int, number: int, kind: int, record: RecordLayout) -> None:
        """Two record kinds of one tag: their record types must tell them apart."""
        while True:
            if kind in (ABSENT, self.records[other][t.RC_TYPE]) or self.records[other][t.RC_TYPE] == ABSENT:
                raise self.layout.error(record.line, f"record '{record.name}' has the tag of another",
                                        "a 'type' that tells them apart")
            if self.records[other][t.RC_NEXT] == ABSENT:
                self.records[other][t.RC_NEXT] = number
                return
            other = self.records[other][t.RC_NEXT]

    def field(self, base: int, field: FieldLayout, scope: int) -> None:
        conversion = CONVERSIONS[field.conversion]
        if "ber" not in conversion.families:
            raise self.layout.error(field.line, f"conversion '{field.conversion}' does not read BER",
                                    f"one of {', '.join(n for n, c in CONVERSIONS.items() if 'ber' in c.families)}")
        unknown = [key for key in field.options if key != "whole"]
        if unknown:
            raise self.layout.error(field.line, f"unknown key '{unknown[0]}' of a field", "from, to, as, name, whole")
        kind = DECODED.columns[DECODED.index(field.column)].kind if field.column in DECODED.names else ""
        if (kind == "time") != (field.conversion in _TIMES) and kind:
            raise self.layout.error(field.line, f"'{field.conversion}' into {field.column}",
                                    "a conversion to a time for a time column, and for no other")
        if field.column.startswith("_") and field.conversion in _NUMBERS:
            self.column(f"{field.column} type")
        column, companion = self.column(field.column), self.companion(field.column)
        for source in field.sources:
            node = self.descend(base, self.path(source, field.line))
            rank = self.ranks.get((scope, column), 0)
            self.ranks[scope, column] = rank + 1
            op = [0] * t.OP_WIDTH
            op[t.OP_CODE], op[t.OP_COLUMN], op[t.OP_TYPE], op[t.OP_RANK] = conversion.code, column, companion, rank
            op[t.OP_SCOPE], op[t.OP_NEXT] = scope, ABSENT
            op[t.OP_NO_TEXT] = int(companion == ABSENT and field.conversion in _NUMBERS)
            self.append(node, op)
            self.names.setdefault(node, field.name)
            self.conversions.setdefault(node, field.conversion)
            if field.conversion == "subscriber":  # may also set these
                self.plan(self.column("served_imsi"), scope, False)
                self.plan(self.column("served_number"), scope, False)
        self.plan(column, scope, bool(field.options.get("whole", False)))
        if companion != ABSENT:
            self.plan(companion, scope, bool(field.options.get("whole", False)))

    def append(self, node: int, op: list[int]) -> None:
        """Add an operation to a node's chain; the same conversion of the same octets is not done twice."""
        last = self.nodes[node][t.ND_OP]
        if last == ABSENT:
            self.nodes[node][t.ND_OP] = len(self.ops)
        else:
            while self.ops[last][t.OP_NEXT] != ABSENT:
                last = self.ops[last][t.OP_NEXT]
            self.ops[last][t.OP_NEXT] = len(self.ops)
            first_code = self.ops[self.nodes[node][t.ND_OP]][t.OP_CODE]
            if op[t.OP_CODE] == first_code and self.ops[last][t.OP_CODE] in (first_code, t.C_AGAIN) \
                    and op[t.OP_CODE] != CONVERSIONS["subscriber"].code:
                op[t.OP_CODE] = t.C_AGAIN
        self.ops.append(op)

    def plan(self, column: int, scope: int, whole: bool) -> None:
        bits = (t.PLAN_CONTAINER if scope else 0) | (t.PLAN_WHOLE if whole else 0)
        self.plans[-1][column] = self.plans[-1].get(column, 0) | bits

    def container(self, root: int, container: ContainerLayout, priority: int) -> None:
        path = self.path(container.source, container.line)
        node = self.descend(root, path)
        number = len(self.lists)
        if self.nodes[node][t.ND_LIST] != ABSENT or not container.fields:
            raise self.layout.error(container.line, f"container list '{container.source}'",
                                    "a path that no other list has, and at least one field")
        self.nodes[node][t.ND_LIST] = number
        self.names.setdefault(node, container.name)
        for key in [key for key in self.ranks if key[0]]:
            del self.ranks[key]
        for field in container.fields:
            self.field(node, field, 2)
        row = [ABSENT] * t.LS_WIDTH
        row[t.LS_PRIORITY] = priority
        row[t.LS_COLUMNS] = len(self.list_columns)
        if container.around:
            outer = self.path(container.around, container.line)
            if outer != path[:len(outer)] or len(outer) == len(path):
                raise self.layout.error(container.line, f"around '{container.around}'",
                                        f"the beginning of '{container.source}'")
            outside = self.descend(root, outer)
            self.nodes[outside][t.ND_AROUND] = number
            for field in container.around_fields:
                self.field(outside, field, 1)
                self.list_columns.append(self.column(field.column))
                if self.companion(field.column) != ABSENT:
                    self.list_columns.append(self.companion(field.column))
        row[t.LS_COLUMNS_END] = len(self.list_columns)
        if container.start_from_previous:
            row[t.LS_PREVIOUS] = self.column(container.start_from_previous)
            self.plan(self.column("start_time_us"), 2, False)
        self.lists.append(row)

    def derivations(self, record: RecordLayout, row: list[int]) -> None:
        plan, by_level = self.plans[-1], ([], [])  # type: dict[int, int], tuple[list[list[int]], list[list[int]]]
        for item in record.derive:
            column = self.column(item.column)
            sources = [(self.column(s), self.companion(s)) if s else (ABSENT, ABSENT) for s in item.sources]
            if item.derivation in ("choose", "copy") and item.column.startswith("_"):
                self.column(f"{item.column} type")
            by = self.column(item.by) if item.by else ABSENT
            wanted = {"seconds-between": 2, "remainder": 2}.get(item.derivation, len(sources) if sources else 1)
            if len(sources) != wanted or (item.derivation == "choose") != bool(item.by) \
                    or (item.derivation == "map") != bool(item.pairs) \
                    or (item.derivation != "choose" and any(s[0] == ABSENT for s in sources)):
                raise self.layout.error(item.line, f"derivation '{item.derivation}' into {item.column}",
                                        DERIVATIONS[item.derivation].meaning)
            entry = [ABSENT] * t.DV_WIDTH
            entry[t.DV_CODE], entry[t.DV_COLUMN] = DERIVATIONS[item.derivation].code, column
            entry[t.DV_TYPE], entry[t.DV_BY] = self.companion(item.column), by
            entry[t.DV_SOURCE] = len(self.sources)
            self.sources += [list(source) for source in sources]
            entry[t.DV_SOURCE_END] = len(self.sources)
            entry[t.DV_PAIR] = len(self.pairs)
            self.pairs += [list(pair) for pair in item.pairs]
            entry[t.DV_PAIR_END] = len(self.pairs)
            inside = any(plan.get(c, 0) & t.PLAN_CONTAINER for c in (column, by, *(s[0] for s in sources)))
            if inside:
                for c in (column, entry[t.DV_TYPE]):
                    plan[c] = plan.get(c, 0) | t.PLAN_CONTAINER
            by_level[int(inside)].append(entry)
        for level, (first, stop) in enumerate(((t.RC_DERIVE, t.RC_DERIVE_END), (t.RC_ROW_DERIVE, t.RC_ROW_DERIVE_END))):
            row[first] = len(self.derive)
            self.derive += by_level[level]
            row[stop] = len(self.derive)

    # arrays

    def arrays(self) -> Tables:
        child = np.zeros((len(self.nodes), t.SLOTS), np.int32)
        extra: list[list[int]] = []
        for (node, (cls, number)), below in self.children.items():
            if number < t.SLOT_ROOM[cls]:
                child[node, t.SLOT_BASE[cls] + number] = below
            else:
                extra.append([node, cls, number, below])
        width = len(self.columns)
        plan = np.zeros((len(self.records), width), np.int64)
        defaults = np.full((len(self.records), width), ABSENT, np.int64)
        for target, given in ((plan, self.plans), (defaults, self.defaults)):
            for i, cells in enumerate(given):
                for column, value in cells.items():
                    if column != ABSENT:
                        target[i, column] = value
        octets = set()
        for node, (cls, number) in self.children:
            if node == 0:
                octets.add(cls << 6 | 0x20 | min(number, 31))
        return Tables(child, _matrix(extra, 4), _matrix(self.nodes, t.ND_WIDTH), _matrix(self.ops, t.OP_WIDTH),
                      _matrix(self.lists, t.LS_WIDTH), _matrix(self.records, t.RC_WIDTH),
                      np.array(self.list_columns, np.int64), plan, defaults, np.array(self.required, np.int64),
                      _matrix(self.derive, t.DV_WIDTH), _matrix(self.sources, 2), _matrix(self.pairs, 2), width,
                      self.names, self.conversions, self.children, frozenset(octets))


def _matrix(rows: list[list[int]], width: int) -> I64:
    return np.array(rows, np.int64).reshape(len(rows), width)
