"""YAML with line numbers and without guesses: every scalar stays the text that was written.

`0.10` must not pass through a float, `00101` must not become octal, `no` must not become false.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import yaml

from reference_data.yaml_shape import LOADER, ShapeError, read_text
from schemas.codes import Unit
from schemas.currencies import CURRENCIES
from schemas.errors import ReferenceDataError
from schemas.money import parse_money
from schemas.units import parse_quantity

T = TypeVar("T")
_LONGEST_NUMBER = 64
_TAGS = ("str", "int", "float", "bool", "null", "timestamp", "value", "merge", "seq", "map")


def refuse(file: str, line: int, found: str, expected: str = "", remedy: str = "") -> ReferenceDataError:
    """An error that says where: `file:line: found; expected ...; remedy`."""
    return ReferenceDataError(f"{file}:{line}: {found}", expected, remedy)


@dataclass(frozen=True)
class Node:
    """A piece of a file: text, a list, or a mapping in the order written. key: what it stands under, if anything."""

    file: str
    line: int
    value: "str | list[Node] | dict[str, Node]"
    key: str = ""

    def refuse(self, found: str, expected: str = "", remedy: str = "") -> ReferenceDataError:
        return refuse(self.file, self.line, found, expected, remedy or (f"correct `{self.key}`" if self.key else ""))

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.refuse(f"{self._kind()} was found", "plain text")
        return self.value

    def _kind(self) -> str:
        """What stands here, for a message."""
        if isinstance(self.value, str):
            return "text" if self.value else "nothing"
        return "a list" if isinstance(self.value, list) else "a mapping"

    def items(self) -> "list[Node]":
        """The elements of a list; a lone text is a list of one."""
        if isinstance(self.value, str):
            return [self]
        if not isinstance(self.value, list):
            raise self.refuse("a mapping was found", "a list: `- ...` on lines of their own, or [...]")
        return self.value

    def entries(self) -> "Iterator[tuple[str, Node]]":
        if not isinstance(self.value, dict):
            raise self.refuse(f"{self._kind()} was found", "a mapping of names: `name: ...`, or {name: ...}")
        return iter(self.value.items())

    def fields(self, required: tuple[str, ...], optional: tuple[str, ...]) -> "dict[str, Node]":
        """The mapping, whose keys must be these."""
        found = dict(self.entries())
        for name, node in found.items():
            if name not in required and name not in optional:
                raise node.refuse(f"unknown key {name!r}", "one of " + ", ".join((*required, *optional)),
                                  meant(name, (*required, *optional)) or "correct the spelling or remove it")
        for name in required:
            if name not in found:
                raise self.refuse(f"key {name!r} is missing", f"{name}: ...", "add it")
        return found

    def _parse(self, parse: Callable[[str], T], expected: str) -> T:
        if len(self.text()) > _LONGEST_NUMBER:
            raise self.refuse(f"{len(self.text())} characters", expected)
        try:
            return parse(self.text())
        except ValueError as problem:
            raise self.refuse(str(problem), expected) from None

    def money(self) -> int:
        """Nano-units, not negative."""
        nanos = self._parse(parse_money, "decimal text such as 0.10")
        if nanos < 0:
            raise self.refuse(f"negative amount {self.text()}", "zero or more", "prices are never negative")
        return nanos

    def quantity(self, unit: Unit, least: int = 0) -> int:
        amount = self._parse(lambda text: parse_quantity(text, unit), f"whole {unit.name.lower()}s")
        if amount < least:
            raise self.refuse(f"{amount} {unit.name.lower()}s", f"at least {least}", "correct the quantity")
        return amount

    def integer(self, least: int, most: int) -> int:
        number = self._parse(_whole, f"a whole number from {least} to {most}")
        if not least <= number <= most:
            raise self.refuse(f"{number}", f"a whole number from {least} to {most}")
        return number

    def currency(self) -> str:
        if self.text() not in CURRENCIES:
            raise self.refuse(f"currency {self.text()!r}", "three letters of ISO 4217, such as EUR")
        return self.text()

    def choice(self, names: tuple[str, ...]) -> str:
        if self.text() not in names:
            near = meant(self.text(), names)
            raise self.refuse(f"{self.text()!r}", "one of " + ", ".join(names),
                              f"correct `{self.key}`: {near}" if near and self.key else near)
        return self.text()


def _whole(text: str) -> int:
    """Digits and nothing else, which `int` would not insist on."""
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def beside(node: Node, folder: Path, what: str) -> Path:
    """The file that a node names, which lies in the tariff's folder: what charged is kept with it. Raises."""
    name = node.text()
    if Path(name).is_absolute() or Path(os.path.normpath(name)).parts[:1] == (os.pardir,):
        raise node.refuse(f"{what} {name!r} lies outside of the tariff's folder", "a CSV file beside the tariff",
                          "copy it there")
    try:
        if (folder / name).is_file():
            return folder / name
    except (OSError, ValueError):  # a name that no file can have
        pass
    raise node.refuse(f"no {what} {name[:200]!r}", "a CSV file beside the tariff", "correct the path")


def meant(name: str, names: tuple[str, ...]) -> str:
    """The name that a slip of the pen was meant for, as a question; nothing when none is near."""
    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else ""


def read_yaml(path: Path, name: str) -> Node:
    """The file as nodes. `name` stands for it in messages. Raises ReferenceDataError."""
    try:
        text = ""
        text = read_text(path)
        root = yaml.compose(text, Loader=LOADER)
    except ShapeError as problem:
        raise refuse(name, problem.line, problem.found, problem.expected, "write it without") from None
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        text = text or path.read_text(encoding="utf-8", errors="replace")
        if "\t" in "".join(text.splitlines()[line - 1 : line]):
            raise refuse(name, line, "a tab", "spaces: YAML indents with nothing else", "replace the tab") from None
        raise refuse(name, line, f"not YAML: {problem.problem}", "", "correct the line, or the one above") from None
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        raise refuse(name, line, f"octet {problem.object[problem.start]:#04x}, which is no UTF-8", "text in UTF-8",
                     "save the file as UTF-8") from None
    except yaml.reader.ReaderError as problem:
        text = path.read_text(encoding="utf-8")
        raise refuse(name, text.count("\n", 0, problem.position) + 1, f"a control character, {problem.character:#04x}"
                     if isinstance(problem.character, int) else "a control character", "text",
                     "take it out") from None
    except OSError as problem:
        raise refuse(name, 1, f"cannot be read: {problem.strerror}", "a UTF-8 text file") from None
    if root is None:
        raise refuse(name, 1, "the file is empty", "a tariff version")
    return _node(root, name)


def _node(node: yaml.Node, file: str) -> Node:
    line = node.start_mark.line + 1
    if node.tag.partition("tag:yaml.org,2002:")[2] not in _TAGS:
        raise refuse(file, line, f"tag {node.tag.replace('tag:yaml.org,2002:', '!!')}", "plain values", "take it out")
    if isinstance(node, yaml.ScalarNode):
        return Node(file, line, str(node.value))
    if isinstance(node, yaml.SequenceNode):
        return Node(file, line, [_node(item, file) for item in node.value])
    assert isinstance(node, yaml.MappingNode)
    found: dict[str, Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise refuse(file, key.start_mark.line + 1, "a key that is a list or mapping", "a name")
        if key.value in found:
            raise refuse(file, key.start_mark.line + 1, f"{key.value!r} appears twice",
                         "each name once", f"the first is on line {found[key.value].line}; remove one")
        if key.tag == "tag:yaml.org,2002:merge":
            raise refuse(file, key.start_mark.line + 1, "a merge of keys, <<", "every key written out",
                         "aliases of whole values may be used")
        child = _node(value, file)
        found[str(key.value)] = Node(child.file, child.line, child.value, str(key.value))
    return Node(file, line, found)
