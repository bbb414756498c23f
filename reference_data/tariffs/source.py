"""YAML with line numbers and without guesses: every scalar stays the text that was written.

`0.10` must not pass through a float, `00101` must not become octal, `no` must not become false.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import yaml

from schemas.codes import Unit
from schemas.errors import ReferenceDataError
from schemas.money import parse_money
from schemas.units import parse_quantity

T = TypeVar("T")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same marks, ten times as fast


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
        number = self._parse(int, f"a whole number from {least} to {most}")
        if not least <= number <= most:
            raise self.refuse(f"{number}", f"a whole number from {least} to {most}")
        return number

    def currency(self) -> str:
        if not (len(self.text()) == 3 and self.text().isascii() and self.text().isupper()):
            raise self.refuse(f"currency {self.text()!r}", "three letters of ISO 4217")
        return self.text()

    def choice(self, names: tuple[str, ...]) -> str:
        if self.text() not in names:
            near = meant(self.text(), names)
            raise self.refuse(f"{self.text()!r}", "one of " + ", ".join(names),
                              f"correct `{self.key}`: {near}" if near and self.key else near)
        return self.text()


def meant(name: str, names: tuple[str, ...]) -> str:
    """The name that a slip of the pen was meant for, as a question; nothing when none is near."""
    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else ""


def read_yaml(path: Path, name: str) -> Node:
    """The file as nodes. `name` stands for it in messages. Raises ReferenceDataError."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        if "\t" in "".join(text.splitlines()[line - 1 : line]):
            raise refuse(name, line, "a tab", "spaces: YAML indents with nothing else", "replace the tab") from None
        raise refuse(name, line, f"not YAML: {problem.problem}", "", "correct the line, or the one above") from None
    except (UnicodeDecodeError, OSError) as problem:
        raise refuse(name, 1, f"cannot be read: {problem}", "a UTF-8 text file") from None
    if root is None:
        raise refuse(name, 1, "the file is empty", "a tariff version")
    return _node(root, name)


def _node(node: yaml.Node, file: str) -> Node:
    line = node.start_mark.line + 1
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
        child = _node(value, file)
        found[str(key.value)] = Node(child.file, child.line, child.value, str(key.value))
    return Node(file, line, found)
