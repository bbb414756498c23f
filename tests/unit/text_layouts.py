"""Small layouts for tests: written to a folder, loaded as an operator's would be."""

from pathlib import Path

import numpy as np

from mediation.formats.frame import Decoded, FileFormat
from mediation.formats.registry import load_layout_file
from schemas.codes import Reason
from schemas.columns import U8
from schemas.digits import unpack


def octets(data: bytes) -> U8:
    return np.frombuffer(data, np.uint8)


def layout(folder: Path, text: str, name: str = "sample") -> FileFormat:
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\n{text}", encoding="utf-8")
    return load_layout_file(path)


def one_field(folder: Path, field: str, options: str = "") -> FileFormat:
    """A CSV of one column, read by one field."""
    return layout(folder, f"""
family: csv
record_key: [start_time_us]
csv: {{columns: [x]{options}}}
records:
  - name: row
    fields:
      - {{from: x, {field}}}
""")


def whole(form: FileFormat, data: bytes) -> Decoded:
    """Decode a file in one call, and check that ranges tile its body."""
    buffer = octets(data)
    frame = form.inspect(buffer)
    decoded = form.decode(buffer, frame.body_start, frame.body_end, 1 << 30)
    check_tiling(decoded, frame.body_start, frame.body_end)
    return decoded


def check_tiling(decoded: Decoded, start: int, end: int) -> None:
    """Every byte belongs to one record; the containers of a record share its range and count up from 0."""
    cells = decoded.cells
    at, row, records = start, 0, 0
    while row < len(cells):
        offset, length = int(cells["record_offset"][row]), int(cells["record_length"][row])
        count = int(cells["container_count"][row])
        assert offset == at and length > 0 and count >= 1
        for i in range(count):
            assert int(cells["record_offset"][row + i]) == offset
            assert int(cells["record_length"][row + i]) == length
            assert int(cells["container_index"][row + i]) == i
            assert int(cells["container_count"][row + i]) == count
        at, row, records = offset + length, row + count, records + 1
    assert at == end == decoded.next_offset
    assert records == decoded.record_count


def reasons(decoded: Decoded) -> list[str]:
    return [Reason(int(code)).name for code in decoded.cells["status"]]


def text(data: bytes, reference: int) -> str:
    return data[reference >> 16:(reference >> 16) + (reference & 65535)].decode()


def number(value: int) -> str:
    return unpack(value)
