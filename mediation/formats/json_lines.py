"""Newline JSON: one object a line. A layout's `from` is a path of keys, `a.b.c`.

    json: {zone: "+00:00", nulls: [""], longest_record: 1048576, skip_lines: 0, trailer: {...}}
    records:
      - fields:
          - {from: pDUSessionChargingInformation.chargingId, to: charging_id, as: int}
        containers:
          - from: multipleUnitUsage[].usedUnitContainer[]      # one list, or a list in the elements of another
            fields:
              - {from: ../ratingGroup, to: rating_group, as: int}        # of the outer list's element
              - {from: totalVolume, to: downlink_octets, as: int}        # of the container itself

Keys may come in any order; keys that no field reads are passed over with all that is in them. Values may be
JSON numbers or texts. A container's value counts over the record's value for the same column. A key with a dot in
its name is written with a backslash before the dot.
"""

import json
import re

import numpy as np

from mediation.formats.frame import Decoded, FileFrame
from mediation.formats.layout import FieldLayout, Layout, check_keys
from mediation.formats.text import ROWS_PER_CALL, Room, Rooms, run
from mediation.formats.text_fields import Compiler
from mediation.formats.text_frame import LINE_OPTIONS, LineSettings, describe_row, frame_lines
from mediation.kernels import json_lines as kernel
from mediation.kernels.csv_lines import KIND_AT, KIND_END, KIND_SLOT, LONGEST_RECORD, count_lines_nb
from mediation.kernels.text_rows import SPAN_WIDTH
from schemas.columns import I64, U8

_DOT = re.compile(r"(?<!\\)\.")


def load(layout: Layout) -> "JsonFormat":
    """The format that a layout of family json declares. Raises FormatError with file and line."""
    return JsonFormat(layout)


class JsonFormat:
    """Newline JSON by one layout."""

    def __init__(self, layout: Layout) -> None:
        check_keys(layout, layout.options, LINE_OPTIONS)
        self.layout, self.name, self.record_key = layout, layout.name, layout.record_key
        self.lines = LineSettings.read(layout, header=False, longest=1 << 20)
        self._lists = self._container_lists()
        compiler = Compiler(layout, self._resolve, layout.options)
        self.tables = compiler.compile()
        self._keys, self._nodes, self._key_pool = self._tree()
        self._settings = np.zeros(kernel.LEVELS + 1, np.int64)
        self._settings[LONGEST_RECORD] = self.lines.longest
        self._settings[KIND_SLOT] = self.tables.kind_slot
        self._settings[KIND_AT], self._settings[KIND_END] = self.tables.kind_range
        self._settings[kernel.LEVELS] = len(self._lists)
        self._rooms = Rooms(ROWS_PER_CALL + kernel.MOST_CONTAINERS)

    def _container_lists(self) -> list[str]:
        """Paths of the outer and inner list, or of one, or none: the same for all records of the layout."""
        found: dict[str, int] = {}
        for record in self.layout.records:
            for container in record.containers:
                found.setdefault(container.source, container.line)
        if not found:
            return []
        if len(found) > 1:
            raise self.layout.error(list(found.values())[1], "a second list of containers", "one list in a json layout")
        (path, line), = found.items()
        parts = path.split("[]")
        if parts[-1] != "" or not 2 <= len(parts) <= 3:
            raise self.layout.error(line, f"list '{path}'", "a path that ends in [] with at most one [] before")
        return [f"{'[]'.join(parts[:i + 1])}[]" for i in range(len(parts) - 1)]

    def _resolve(self, item: FieldLayout, source: str, inside: bool) -> tuple[str, int]:
        """Full path and level: `../` leads from a container to the element around it, and to the record."""
        level = len(self._lists) if inside else 0
        while source.startswith("../") and level > 0:
            source, level = source[3:], level - 1
        if not source or "[" in source or "/" in source:
            raise self.layout.error(item.line, f"path '{source}'", "keys with dots between, without brackets")
        return (f"{self._lists[level - 1]}.{source}" if level else source), level

    def _tree(self) -> tuple[I64, I64, U8]:
        """Key table, node table and the pool that holds the keys' bytes. Node 0 is the record."""
        nodes = [[-1, 0, 0]]
        children: dict[tuple[int, str], int] = {}

        def reach(path: str) -> int:
            node = level = 0
            for part in _DOT.split(path):
                lists = part.endswith("[]")
                key = (node, part.removesuffix("[]").replace("\\.", "."))
                if key not in children:
                    children[key] = len(nodes)
                    nodes.append([-1, level, 0])
                node = children[key]
                if lists:
                    level += 1
                    nodes[node][kernel.NODE_LIST] = level
            return node

        for path in self._lists:
            reach(path)
        for path, slot in self.tables.slots.items():
            nodes[reach(path)][kernel.NODE_SLOT] = slot
        pool = bytearray()
        size = 1 << max(4, (4 * len(children)).bit_length())
        table = np.full((size, kernel.KEY_WIDTH), -1, np.int64)
        for (node, key), child in children.items():
            text = json.dumps(key, ensure_ascii=False)[1:-1].encode()
            value = int(kernel.key_hash_nb(np.frombuffer(text + b"\0", np.uint8), 0, len(text)))
            place = ((value >> 7) ^ value ^ node * 0x9E3779B1) & size - 1
            while table[place, kernel.KEY_NODE] >= 0:
                place = place + 1 & size - 1
            table[place] = [node, value, len(pool), len(pool) + len(text), child]
            pool += text
        return table, np.array(nodes, np.int64), np.frombuffer(bytes(pool) + b"\0", np.uint8)

    def inspect(self, buffer: U8) -> FileFrame:
        """No header but skipped lines and a byte order mark; a trailer line if one is declared."""
        return frame_lines(buffer, self.lines, lambda line: line.split(b","))

    def decode(self, buffer: U8, start: int, end: int, max_records: int) -> Decoded:
        """Objects of `[start, end)` as rows, one a container."""
        tables, keys, nodes, key_pool, settings = self.tables, self._keys, self._nodes, self._key_pool, self._settings
        slots = max(len(tables.slots), 1)
        spans = np.full((3, (kernel.MOST_CONTAINERS + 1) * slots * SPAN_WIDTH), -1, np.int64)
        row_spans = np.full((slots, SPAN_WIDTH), -1, np.int64)
        places = np.zeros((kernel.MOST_CONTAINERS + 2, 1), np.int64)
        stack = np.zeros((kernel.MOST_DEPTH, 3), np.int64)

        def step(at: int, most: int, room: Room) -> tuple[int, int]:
            rows, following = kernel.decode_json_nb(
                buffer, at, end, most, settings, keys, nodes, key_pool, tables.fields, tables.kinds, tables.template,
                tables.pool, tables.maps, tables.nulls, tables.derive, spans, row_spans, places, stack, room.scratch,
                room.scratch_in, room.rows)
            return rows, following

        capacity = count_lines_nb(buffer, start, end, max_records)
        return run(step, self._rooms.room, start, end, max_records, capacity)

    def describe(self, buffer: U8, start: int, end: int) -> dict[str, object]:
        """The object of one line, and what it was read as."""
        text = bytes(buffer[start:end]).decode("utf-8", "replace").strip()
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError) as error:
            tree = {"not JSON": str(error), "text": text[:2000]}
        return {"format": self.name, "object": tree, "read_as": describe_row(self, buffer, start, end)}
