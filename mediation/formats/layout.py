"""Layouts: YAML that says which field of a record becomes which DECODED column. The outer schema, all families.

    name: acme-switch              # the file's stem
    family: csv                    # ber | csv | json | fixed | radius
    description: one line
    record_key: [start_time_us, session_text]
    csv: {delimiter: ";"}          # optional, options of the family under its own name
    records:
      - include: other-layout      # all record kinds of another layout of the family
      - name: call                 # shown in errors and by `describe`
        when: {...}                # how the record is recognised; the family's own words
        set: {record_type: voip, service: voice}        # constants; code names or integers
        fields:
          - {from: ..., to: start_time_us, as: iso-time, name: startTime}
        containers:                # lists whose elements become rows
          - {from: ..., fields: [...]}
        derive:                    # columns computed from columns
          - {to: duration_s, as: seconds-between, from: [start_time_us, _end]}
        required: [start_time_us]  # absent: the record goes to suspense with MISSING_FIELD

`to` is a column of DECODED, or a name that begins with `_`: a value of the record that only `derive` reads.
The family's module gives meaning to `when`, `from`, the conversions after `as` and further keys of a field.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mediation.formats.conversions import CONVERSIONS, DERIVATIONS
from reference_data.yaml_shape import ShapeError, read_text
from schemas.columns import Column, code_names
from schemas.decoded import DECODED
from schemas.errors import FormatError

_TOP = {"name", "family", "description", "record_key", "records"}
_RECORD = {"name", "when", "set", "fields", "containers", "derive", "required"}
_COLUMNS: dict[str, Column] = {column.name: column for column in DECODED.columns}
# Columns that the decoder itself writes.
_OWN = {"status", "status_offset", "record_offset", "record_length", "container_index", "container_count"}


class Mapped(dict[str, Any]):
    """A YAML mapping that remembers the lines of its keys."""

    line = 0
    lines: dict[str, int]


class Listed(list[Any]):
    """A YAML sequence that remembers the lines of its items."""

    line = 0
    lines: list[int]


class _Loader(yaml.SafeLoader):
    """Without floats: 13.10 is a path of two tags, and decimal text stays text."""

    yaml_implicit_resolvers = {  # noqa: RUF012, overrides a class attribute of the base
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> Mapped:
    result = Mapped()
    result.line, result.lines = node.start_mark.line + 1, {}
    for key_node, value_node in node.value:
        # A key is its text as written: YAML takes an unquoted `yes` or `010` for something else.
        scalar = isinstance(key_node, yaml.ScalarNode)
        key = str(key_node.value if scalar else loader.construct_object(key_node, deep=True))
        if key in result:
            raise yaml.MarkedYAMLError(problem=f"key '{key}' appears twice", problem_mark=key_node.start_mark)
        result[key] = loader.construct_object(value_node, deep=True)
        result.lines[key] = key_node.start_mark.line + 1
    return result


def _construct_sequence(loader: _Loader, node: yaml.SequenceNode) -> Listed:
    result = Listed(loader.construct_object(item, deep=True) for item in node.value)
    result.line, result.lines = node.start_mark.line + 1, [item.start_mark.line + 1 for item in node.value]
    return result


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _construct_sequence)


@dataclass(frozen=True)
class FieldLayout:
    """One source of one column. Of several sources of a column, the first listed that is present counts."""

    sources: tuple[str, ...]
    column: str
    conversion: str
    name: str
    line: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DeriveLayout:
    """A column computed from others, when no source has set it."""

    column: str
    derivation: str
    sources: tuple[str, ...]
    line: int
    by: str = ""
    pairs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class ContainerLayout:
    """A list whose elements become rows. Of several lists, only the first that has elements counts.

    around, around_fields: an outer element that holds several of these, and what it says for all of them.
    start_from_previous: column whose value in the element before is where this one starts, when it says no more.
    """

    source: str
    name: str
    fields: tuple[FieldLayout, ...]
    around: str
    around_fields: tuple[FieldLayout, ...]
    start_from_previous: str
    line: int


@dataclass(frozen=True)
class RecordLayout:
    """One kind of record."""

    name: str
    when: Mapped
    constants: Mapping[str, int]
    fields: tuple[FieldLayout, ...]
    containers: tuple[ContainerLayout, ...]
    derive: tuple[DeriveLayout, ...]
    required: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Layout:
    """A layout file, checked as far as the outer schema goes."""

    path: Path
    name: str
    family: str
    description: str
    record_key: tuple[str, ...]
    records: tuple[RecordLayout, ...]
    options: Mapped
    lines: Mapping[str, int]

    def error(self, where: int | str, found: str, expected: str = "", remedy: str = "") -> FormatError:
        """A FormatError that names file and line; `where` is a line, or a top-level key."""
        line = self.lines.get(where, 1) if isinstance(where, str) else where
        return FormatError(f"{self.path.name}, line {line}: {found}", expected, remedy)


def read_layout(path: Path) -> Layout:
    """Read and check a layout file. Raises FormatError with file, line, what was found and what to do."""
    return _Reader(path).layout(_parse(path))


def _parse(path: Path) -> Any:
    try:
        text = read_text(path)
        return yaml.load(text, Loader=_Loader)  # noqa: S506, a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise FormatError(f"{path.name}, line {line}: {error.problem}", "a YAML mapping") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ShapeError) as error:
        raise FormatError(f"{path.name}: {error}", "a YAML file in UTF-8") from error


class _Reader:
    """The checks, with the file at hand for messages."""

    def __init__(self, path: Path, included: bool = False) -> None:
        self.path, self.included = path, included

    def error(self, line: int, found: str, expected: str = "", remedy: str = "") -> FormatError:
        return FormatError(f"{self.path.name}, line {line}: {found}", expected, remedy)

    def layout(self, raw: Any) -> Layout:
        if not isinstance(raw, Mapped):
            raise self.error(1, "the file is no mapping", f"keys {', '.join(sorted(_TOP))}")
        for wanted in ("name", "family", "record_key", "records"):
            if wanted not in raw:
                raise self.error(raw.line, f"key '{wanted}' is missing", f"keys {', '.join(sorted(_TOP))}")
        family = str(raw["family"])
        check_keys(self, raw, _TOP | {family})
        if raw["name"] != self.path.stem:
            raise self.error(raw.lines["name"], f"name '{raw['name']}'", f"'{self.path.stem}', as the file is called")
        key = tuple(self._names(raw, "record_key"))
        if not 1 <= len(key) <= 4:
            raise self.error(raw.lines["record_key"], f"record_key has {len(key)} columns", "one to four")
        for column in key:
            self._column(column, raw.lines["record_key"])
        if _COLUMNS[key[0]].kind != "time":
            raise self.error(raw.lines["record_key"], f"record_key begins with '{key[0]}'", "a time column first")
        records = self._list(raw, "records")
        if not records:
            raise self.error(raw.lines["records"], "no records", "at least one")
        options = raw.get(family, Mapped())
        if not isinstance(options, Mapped):
            raise self.error(raw.lines[family], f"'{family}' is no mapping")
        return Layout(self.path, str(raw["name"]), family, str(raw.get("description", "")), key,
                      self._records(records, family), options, raw.lines)

    def _records(self, items: Listed, family: str) -> tuple[RecordLayout, ...]:
        found: list[RecordLayout] = []
        for item in items:
            if not (isinstance(item, Mapped) and "include" in item):
                found.append(self._record(item))
                continue
            check_keys(self, item, ("include",))
            name = f"{item['include']}.yaml"
            places = [place / name for place in (self.path.parent, Path(__file__).parent / "layouts")]
            other = next((place for place in places if place.is_file() and place != self.path), None)
            if other is None:
                raise self.error(item.line, f"no layout '{name}' to include",
                                 "a layout beside this one, or one that comes with Tarifa")
            if self.included:
                raise self.error(item.line, f"'{item['include']}' is included by an included layout",
                                 "layouts that include none", "name the records' layouts one by one")
            included = _Reader(other, included=True).layout(_parse(other))
            if included.family != family:
                raise self.error(item.line, f"'{item['include']}' is of family '{included.family}'", f"'{family}'")
            found.extend(included.records)
        return tuple(found)

    def _record(self, raw: Any) -> RecordLayout:
        if not isinstance(raw, Mapped) or "name" not in raw:
            raise self.error(getattr(raw, "line", 1), "a record without a name", "a mapping with 'name'")
        check_keys(self, raw, _RECORD)
        constants = {}
        given = raw.get("set", Mapped())
        for column, value in given.items():
            constants[column] = self._constant(column, value, given.lines[column])
        when = raw.get("when", Mapped())
        if not isinstance(when, Mapped):
            raise self.error(raw.lines["when"], "'when' is no mapping")
        fields = self._fields(raw, "fields")
        containers = tuple(self._container(item) for item in self._list(raw, "containers"))
        derive = tuple(self._derive(item) for item in self._list(raw, "derive"))
        required = tuple(self._names(raw, "required"))
        known = {*constants, *(f.column for f in fields), *(d.column for d in derive),
                 *(f.column for c in containers for f in (*c.fields, *c.around_fields))}
        for column in required:
            if column not in known:
                raise self.error(raw.lines["required"], f"required column '{column}' has no source",
                                 "a column that a field, a container or 'derive' of this record sets")
        return RecordLayout(str(raw["name"]), when, constants, fields, containers, derive, required, raw.line)

    def _field(self, raw: Any) -> FieldLayout:
        self._demand(raw, ("from", "to", "as"), "a field")
        column, conversion = str(raw["to"]), str(raw["as"])
        self._column(column, raw.lines["to"])
        if conversion not in CONVERSIONS:
            raise self.error(raw.lines["as"], f"unknown conversion '{conversion}'",
                             f"one of {', '.join(sorted(CONVERSIONS))}")
        sources = raw["from"] if isinstance(raw["from"], Listed) else [raw["from"]]
        options = {k: v for k, v in raw.items() if k not in ("from", "to", "as", "name")}
        return FieldLayout(tuple(str(s) for s in sources), column, conversion, str(raw.get("name", column)),
                           raw.line, options)

    def _fields(self, raw: Mapped, key: str) -> tuple[FieldLayout, ...]:
        """Fields of a list; a list in the list (a shared one, by YAML anchor) is spliced in."""
        flat: list[Any] = []
        for item in self._list(raw, key):
            flat.extend(item if isinstance(item, Listed) else [item])
        return tuple(self._field(item) for item in flat)

    def _container(self, raw: Any) -> ContainerLayout:
        self._demand(raw, ("from", "fields"), "a container list")
        check_keys(self, raw, ("from", "name", "fields", "around", "around_fields", "start_from_previous"))
        previous = str(raw.get("start_from_previous", ""))
        if previous:
            self._column(previous, raw.lines["start_from_previous"])
        return ContainerLayout(str(raw["from"]), str(raw.get("name", raw["from"])), self._fields(raw, "fields"),
                               str(raw.get("around", "")), self._fields(raw, "around_fields"), previous, raw.line)

    def _derive(self, raw: Any) -> DeriveLayout:
        self._demand(raw, ("to", "as", "from"), "a derivation")
        check_keys(self, raw, ("to", "as", "from", "by", "map"))
        if raw["as"] not in DERIVATIONS:
            raise self.error(raw.lines["as"], f"unknown derivation '{raw['as']}'", f"one of {', '.join(DERIVATIONS)}")
        sources = raw["from"] if isinstance(raw["from"], Listed) else [raw["from"]]
        column = str(raw["to"])
        named = [column, *(str(s) for s in sources if s is not None)]
        if "by" in raw:
            named.append(str(raw["by"]))
        for name in named:
            self._column(name, raw.line)
        pairs = []
        given = raw.get("map", Mapped())
        if not isinstance(given, Mapped):
            raise self.error(raw.lines["map"], "'map' is no mapping")
        for key, value in given.items():
            try:
                number = int(key, 0)
            except ValueError:
                raise self.error(given.lines[key], f"map key '{key}'", "a whole number, such as 32 or 0x20") from None
            pairs.append((number, self._constant(column, value, given.lines[key])))
        return DeriveLayout(column, str(raw["as"]), tuple("" if s is None else str(s) for s in sources),
                            raw.line, str(raw.get("by", "")), tuple(pairs))

    def _demand(self, raw: Any, keys: Iterable[str], what: str) -> None:
        if not isinstance(raw, Mapped):
            raise self.error(getattr(raw, "line", 1), f"{what} is no mapping", f"a mapping with {', '.join(keys)}")
        for key in keys:
            if key not in raw:
                raise self.error(raw.line, f"{what} without '{key}'", f"a mapping with {', '.join(keys)}")

    def _list(self, raw: Mapped, key: str) -> Listed:
        value = raw.get(key, Listed())
        if not isinstance(value, Listed):
            raise self.error(raw.lines[key], f"'{key}' is no list")
        return value

    def _names(self, raw: Mapped, key: str) -> list[str]:
        return [str(item) for item in self._list(raw, key)]

    def _column(self, name: str, line: int) -> None:
        if name.startswith("_"):
            return
        if name not in _COLUMNS or name in _OWN:
            free = ", ".join(n for n in _COLUMNS if n not in _OWN)
            raise self.error(line, f"unknown column '{name}'", f"one of {free}", "or a name that begins with '_'")

    def _constant(self, column: str, value: Any, line: int) -> int:
        self._column(column, line)
        codes = _COLUMNS[column].codes if column in _COLUMNS else None
        if codes is not None and isinstance(value, str):
            names = code_names(codes)
            if value in names:
                return names.index(value)
            raise self.error(line, f"{column} '{value}'", f"one of {', '.join(names)}")
        if isinstance(value, int):
            return int(value)
        raise self.error(line, f"{column} '{value}'", "a whole number")


def check_keys(where: Any, raw: Mapped, allowed: Iterable[str]) -> None:
    """Refuse keys that nobody reads. `where` is a Layout or anything with its `error`."""
    known = set(allowed)
    for key in raw:
        if key not in known:
            raise where.error(raw.lines[key], f"unknown key '{key}'", f"one of {', '.join(sorted(known))}")
