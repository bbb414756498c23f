"""A layout's fields, derivations and kinds of record to the int tables that the text kernels interpret."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mediation.formats.conversions import CONVERSIONS, DERIVATIONS, TEXT_CONVERSIONS
from mediation.formats.layout import DeriveLayout, FieldLayout, Layout, Listed, Mapped, RecordLayout
from mediation.kernels import text_derive as derive_table
from mediation.kernels import text_rows as field_table
from mediation.kernels.text_values import CEILING, EXACT, FLOOR, HALF_UP
from schemas.codes import NumberType, Reason
from schemas.columns import ABSENT, I64, U8, code_names
from schemas.decoded import DECODED

_CODES = {
    "int": field_table.NUMBER, "quantity": field_table.NUMBER, "hex": field_table.HEXADECIMAL,
    "uint": field_table.UNSIGNED, "bool": field_table.BOOLEAN, "present": field_table.PRESENT,
    "digits": field_table.DIGITS, "imei": field_table.IMEI, "number": field_table.PHONE, "uri": field_table.PHONE,
    "plmn-text": field_table.PLMN, "text": field_table.TEXT, "ipv4-text": field_table.IPV4,
    "ip-text": field_table.ADDRESS, "iso-time": field_table.ISO_TIME, "compact-time": field_table.COMPACT_TIME,
    "epoch": field_table.NUMBER, "pattern-time": field_table.PATTERN_TIME, "clock": field_table.CLOCK,
    "map": field_table.CODE_MAP,
}
_TIMES = {"iso-time", "compact-time", "epoch", "pattern-time"}
_ROUNDING = {"exact": EXACT, "down": FLOOR, "up": CEILING, "half-up": HALF_UP}
_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}
_MODES = {"set": field_table.SET, "add": field_table.ADD, "subtract": field_table.SUBTRACT}
# Options that a conversion reads; `prefix` and `combine` go with all.
_OPTIONS = {
    "int": {"multiply"}, "quantity": {"multiply", "round"}, "uint": {"multiply"}, "number": {"number_type"},
    "uri": {"number_type"}, "digits": {"number_type"}, "iso-time": {"zone"}, "compact-time": {"zone"},
    "epoch": {"unit"}, "pattern-time": {"zone", "pattern"}, "clock": {"round"}, "map": {"values", "otherwise"},
}
_LARGEST_FACTOR = 1 << 40
_TEXT_COLUMNS = {c.name for c in DECODED.columns if c.name.endswith(("_text", "_number"))} | {"served_address"}


@dataclass(frozen=True)
class Tables:
    """What the kernels read; see `mediation.kernels.text_rows` and `text_derive` for the columns."""

    fields: I64
    kinds: I64
    template: I64
    derive: I64
    maps: I64
    pool: U8
    nulls: I64
    kind_slot: int
    kind_range: tuple[int, int]
    slots: dict[str, int]


Level = Callable[[FieldLayout, str, bool], tuple[str, int]]


class Compiler:
    """Builds `Tables` from a layout. `resolve(field, source, in_container)` gives a source's full name and level."""

    def __init__(self, layout: Layout, resolve: Level, common: Mapping[str, Any],
                 switch_key: Callable[[str], bytes] = str.encode) -> None:
        self.layout, self.resolve, self.common, self.switch_key = layout, resolve, common, switch_key
        self.slots: dict[str, int] = {}
        self.pool = bytearray()
        self.maps: list[list[int]] = []
        self.own: dict[str, int] = {}

    def compile(self) -> Tables:
        fields: list[list[int]] = []
        derive: list[list[int]] = []
        kinds, template = [], []
        for record in self.layout.records:
            kind = [0] * derive_table.KIND_WIDTH
            levels = self._levels(record)
            for level in range(3):
                kind[derive_table.KIND_FIELDS + level] = len(fields)
                fields += levels[level]
            kind[derive_table.KIND_FIELDS + 3] = len(fields)
            kind[derive_table.DERIVE_FROM] = len(derive)
            derive += [self._derive(item) for item in record.derive]
            kind[derive_table.DERIVE_END] = len(derive)
            if len(record.required) > derive_table.MOST_REQUIRED:
                raise self.layout.error(record.line, f"{len(record.required)} required columns",
                                        f"at most {derive_table.MOST_REQUIRED}")
            kind[derive_table.REQUIRED_COUNT] = len(record.required)
            for i, column in enumerate(record.required):
                kind[derive_table.KIND_REQUIRED + i] = self._column(column, record.line)
            kinds.append(kind)
            constants = [ABSENT] * field_table.ROW_WIDTH
            for column, value in record.constants.items():
                constants[self._column(column, record.line)] = value
            template.append(constants)
        kind_slot, kind_range = self._kind_switch()
        nulls = self._nulls()
        if len(self.own) > field_table.OWN_VALUES:
            raise self.layout.error("records", f"{len(self.own)} names that begin with '_'",
                                    f"at most {field_table.OWN_VALUES}")
        return Tables(_matrix(fields, field_table.FIELD_WIDTH), _matrix(kinds, derive_table.KIND_WIDTH),
                      _matrix(template, field_table.ROW_WIDTH), _matrix(derive, derive_table.DERIVE_WIDTH),
                      _matrix(self.maps, field_table.MAP_WIDTH), np.frombuffer(bytes(self.pool) + b"\0", np.uint8),
                      np.array(nulls, np.int64), kind_slot, kind_range, dict(self.slots))

    def _levels(self, record: RecordLayout) -> list[list[list[int]]]:
        """Fields by the level their source lies on, sources of one column together: the first one there counts."""
        groups: list[dict[tuple[str, str], list[list[int]]]] = [{}, {}, {}]
        listed = [(f, False) for f in record.fields]
        listed += [(f, True) for container in record.containers for f in container.fields]
        for number, (item, inside) in enumerate(listed):
            for source in item.sources:
                name, level = self.resolve(item, source, inside)
                combine = str(item.options.get("combine", "set"))
                key = (item.column, "set" if combine == "set" else f"{combine} {number}")
                groups[level].setdefault(key, []).append(self._field(item, self._slot(name), combine))
        for group in groups:
            for rows in group.values():
                for i, row in enumerate(rows):
                    row[field_table.SKIP] = len(rows) - 1 - i
        ordered = [sorted(group.items(), key=lambda pair: pair[0][1] != "set") for group in groups]
        return [[row for _, rows in group for row in rows] for group in ordered]

    def _field(self, item: FieldLayout, slot: int, combine: str) -> list[int]:
        layout, options = self.layout, item.options
        if layout.family not in CONVERSIONS[item.conversion].families or item.conversion not in _CODES:
            raise layout.error(item.line, f"conversion '{item.conversion}' is not for {layout.family}",
                               f"one of {', '.join(sorted(TEXT_CONVERSIONS))}")
        allowed = _OPTIONS.get(item.conversion, set()) | {"prefix", "combine"}
        for option in options:
            if option not in allowed:
                raise layout.error(item.line, f"unknown option '{option}' of '{item.conversion}'",
                                   f"one of {', '.join(sorted(allowed))}")
        if item.conversion in ("text", "number", "uri", "ip-text") and item.column not in _TEXT_COLUMNS:
            raise layout.error(item.line, f"{item.column} holds no text", "a column of text or of numbers")
        row = [0] * field_table.FIELD_WIDTH
        row[field_table.SLOT], row[field_table.CONVERSION] = slot, _CODES[item.conversion]
        row[field_table.TARGET] = self._column(item.column, item.line)
        row[field_table.COMPANION] = _companion(item)
        row[field_table.MODE] = self._choice(item, "combine", combine, _MODES)
        bad_time = item.conversion in _TIMES or item.column.endswith("_us")
        row[field_table.BAD] = int(Reason.BAD_TIME if bad_time else Reason.BAD_VALUE)
        row[field_table.NEGATIVE] = int(Reason.BAD_TIME if bad_time else
                                        Reason.NEGATIVE_QUANTITY if item.conversion == "quantity" else Reason.BAD_VALUE)
        row[field_table.MULTIPLY] = self._multiply(item)
        row[field_table.ROUNDING] = self._choice(item, "round", str(options.get("round", "exact")), _ROUNDING)
        row[field_table.ARGUMENT] = self._argument(item)
        if item.conversion == "epoch":
            row[field_table.ROUNDING] = FLOOR
        if "prefix" in options:
            row[field_table.PREFIX_AT], row[field_table.PREFIX_END] = self._text(str(options["prefix"]))
        if item.conversion == "pattern-time":
            if "pattern" not in options:
                raise layout.error(item.line, "pattern-time without 'pattern'", "such as 'DD.MM.YYYY hh:mm:ss'")
            row[field_table.TABLE_AT], row[field_table.TABLE_END] = self._text(str(options["pattern"]))
        if item.conversion == "map":
            row[field_table.TABLE_AT], row[field_table.TABLE_END] = self._map(self._values(item))
        return row

    def _argument(self, item: FieldLayout) -> int:
        if item.conversion in _TIMES - {"epoch"}:
            return zone_s(self.layout, item.line, item.options.get("zone", self.common.get("zone", "+00:00")))
        if item.conversion in ("number", "uri", "digits"):
            names = code_names(NumberType)
            written = str(item.options.get("number_type", "unknown"))
            if written not in names:
                raise self.layout.error(item.line, f"number_type '{written}'", f"one of {', '.join(names)}")
            return names.index(written)
        if item.conversion == "map":
            if "otherwise" not in item.options:
                return field_table.REFUSE
            otherwise = item.options["otherwise"]
            return ABSENT if otherwise is None else self._code(item, otherwise)
        return 0

    def _multiply(self, item: FieldLayout) -> int:
        if item.conversion == "epoch":
            return int(self._choice(item, "unit", str(item.options.get("unit", "s")), _UNIT))
        factor = item.options.get("multiply", 1)
        if not isinstance(factor, int) or isinstance(factor, bool) or not 1 <= factor <= _LARGEST_FACTOR:
            raise self.layout.error(item.line, f"multiply '{factor}'", f"a whole number from 1 to {_LARGEST_FACTOR}")
        return factor

    def _choice(self, item: FieldLayout, option: str, found: str, choices: Mapping[str, int]) -> int:
        if found not in choices:
            raise self.layout.error(item.line, f"{option} '{found}'", f"one of {', '.join(choices)}")
        return choices[found]

    def _values(self, item: FieldLayout) -> dict[str, int]:
        values = item.options.get("values")
        if not isinstance(values, Mapped) or not values:
            raise self.layout.error(item.line, "map without 'values'", "a mapping of texts to code names or numbers")
        return {text: self._code(item, value) for text, value in values.items()}

    def _code(self, item: FieldLayout, value: Any) -> int:
        codes = next((c.codes for c in DECODED.columns if c.name == item.column), None)
        if value is None:
            return ABSENT
        if isinstance(value, int) and value >= 0:
            return int(value)
        if codes is not None and value in code_names(codes):
            return code_names(codes).index(value)
        names = f"one of {', '.join(code_names(codes))}" if codes is not None else "a whole number, true or false"
        raise self.layout.error(item.line, f"{item.column} '{value}'", names)

    def _derive(self, item: DeriveLayout) -> list[int]:
        if len(item.sources) > derive_table.MOST_SOURCES:
            raise self.layout.error(item.line, f"{len(item.sources)} sources", f"at most {derive_table.MOST_SOURCES}")
        row = [derive_table.NO_SOURCE] * derive_table.DERIVE_WIDTH
        row[derive_table.DERIVE_TARGET] = self._column(item.column, item.line)
        row[derive_table.DERIVE_CODE] = DERIVATIONS[item.derivation].code
        row[derive_table.SOURCE_COUNT] = len(item.sources)
        for i, source in enumerate(item.sources):
            if source:
                row[derive_table.SOURCES + i] = self._column(source, item.line)
        if item.derivation == "choose":
            if not item.by:
                raise self.layout.error(item.line, "choose without 'by'", "the column that chooses")
            row[derive_table.DERIVE_BY] = self._column(item.by, item.line)
        if len(item.pairs) > derive_table.MOST_PAIRS:
            raise self.layout.error(item.line, f"{len(item.pairs)} entries", f"at most {derive_table.MOST_PAIRS}")
        row[derive_table.PAIR_COUNT] = len(item.pairs)
        for i, (value, cell) in enumerate(item.pairs):
            row[derive_table.PAIRS + 2 * i], row[derive_table.PAIRS + 2 * i + 1] = value, cell
        wanted = {"seconds-between": 2, "remainder": 2, "is-present": 1, "add-milliseconds": 1,
                  "map": 1}.get(item.derivation, 0)
        if wanted and (len(item.sources) != wanted or "" in item.sources):
            raise self.layout.error(item.line, f"{item.derivation} from {len(item.sources)} columns", f"{wanted}")
        return row

    def _kind_switch(self) -> tuple[int, tuple[int, int]]:
        """The source that tells records apart, and the map from its texts to kinds."""
        records = self.layout.records
        if len(records) == 1 and not records[0].when:
            return -1, (0, 0)
        source, texts = "", {}
        for number, record in enumerate(records):
            if len(record.when) != 1:
                raise self.layout.error(record.line, f"record '{record.name}' has {len(record.when)} conditions",
                                        "one, `when: {column: value}`, when there are several records")
            name, wanted = next(iter(record.when.items()))
            if source and name != source:
                raise self.layout.error(record.line, f"record '{record.name}' is told by '{name}'",
                                        f"'{source}', as the records before it")
            source = str(name)
            for value in wanted if isinstance(wanted, Listed) else [wanted]:
                text = self._spelled(value, record.line)
                if text in texts:
                    raise self.layout.error(record.line, f"two records for {source} '{text}'", "one each")
                texts[text] = number
        item = FieldLayout((source,), "record_type", "text", source, records[0].line)
        name, level = self.resolve(item, source, False)
        if level != 0:
            raise self.layout.error(records[0].line, f"'{source}' lies in a container", "a field of the record")
        try:
            return self._slot(name), self._map(texts, self.switch_key)
        except ValueError:
            raise self.layout.error(records[0].line, f"{source} {', '.join(texts)}", "whole numbers") from None

    def _spelled(self, value: Any, line: int | str) -> str:
        """A text that a file is compared with. YAML reads unquoted `yes` and `010` as other than text."""
        if not isinstance(value, str) and not (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            raise self.layout.error(line, f"'{value}' is no text", "the text as the file has it, in quotes")
        return str(value)

    def _nulls(self) -> tuple[int, int]:
        given = self.common.get("nulls", Listed())
        if not isinstance(given, Listed):
            raise self.layout.error(self.layout.family, "'nulls' is no list")
        return self._map({self._spelled(text, self.layout.family): 1 for text in given}) if given else (0, 0)

    def _column(self, name: str, line: int) -> int:
        if name.startswith("_"):
            return field_table.COLUMN_COUNT + self.own.setdefault(name, len(self.own)) % field_table.OWN_VALUES
        if name not in DECODED.names:
            raise self.layout.error(line, f"unknown column '{name}'")
        return DECODED.index(name)

    def _slot(self, name: str) -> int:
        return self.slots.setdefault(name, len(self.slots))

    def _text(self, text: str | bytes) -> tuple[int, int]:
        at = len(self.pool)
        self.pool += text.encode() if isinstance(text, str) else text
        return at, len(self.pool)

    def _map(self, values: Mapping[str, int], spell: Callable[[str], bytes] = str.encode) -> tuple[int, int]:
        at = len(self.maps)
        entries = []
        for text, value in values.items():
            begin, end = self._text(spell(text))
            entries.append([text_hash(spell(text)), begin, end, value])
        self.maps += sorted(entries)
        return at, len(self.maps)


def text_hash(text: bytes) -> int:
    """FNV-1a folded to 62 bits, as the kernels' `hash_nb`."""
    value = 14695981039346656037
    for byte in text:
        value = (value ^ byte) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return value & 0x3FFFFFFFFFFFFFFF


def zone_s(layout: Layout, line: int | str, text: Any) -> int:
    """Seconds east of UTC of a declared zone such as '+02:00'."""
    written = str(text)
    if written in ("Z", "UTC"):
        return 0
    digits = written[1:].replace(":", "")
    if len(digits) != 4 or not digits.isascii() or not digits.isdigit() or written[0] not in "+-":
        raise layout.error(line, f"zone '{written}'", "an offset such as '+02:00', in quotes")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if written[0] == "-" else seconds


def _companion(item: FieldLayout) -> int:
    if item.conversion in ("number", "uri", "digits") and f"{item.column}_type" in DECODED.names:
        return DECODED.index(f"{item.column}_type")
    if item.conversion == "ip-text" and item.column == "served_address":
        return DECODED.index("served_address_text")
    return ABSENT


def _matrix(rows: list[list[int]], width: int) -> I64:
    return np.array(rows, np.int64).reshape(len(rows), width)
