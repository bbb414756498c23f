"""Whether YAML can be built at all: bounded in size, depth and in what its anchors unfold to.

A parser that builds nodes follows nesting on its own stack, and aliases multiply: a file of a kilobyte can stand for
more than any memory holds. Events are read one by one, so looking at them costs what the file is long.
"""

from pathlib import Path

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same marks, ten times as fast
MOST_OCTETS, MOST_DEPTH, MOST_NODES = 16 << 20, 50, 1_000_000


class ShapeError(ValueError):
    """A file that is not to be built: line, what was found, what was expected."""

    def __init__(self, line: int, found: str, expected: str) -> None:
        super().__init__(f"line {line}: {found}; expected {expected}")
        self.line, self.found, self.expected = line, found, expected


def read_text(path: Path) -> str:
    """The file's text, its shape checked. Raises OSError, UnicodeDecodeError, YAMLError, ShapeError."""
    octets = path.stat().st_size
    if octets > MOST_OCTETS:
        raise ShapeError(1, f"{octets:,} octets", f"at most {MOST_OCTETS:,}")
    text = path.read_text(encoding="utf-8")
    check_shape(text)
    return text


def check_shape(text: str) -> None:
    """Raises YAMLError: no YAML; ShapeError: too deep, a circle, or too much when aliases are unfolded."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # anchor, nodes so far in all that is unfolded
    total = 0
    for event in yaml.parse(text, Loader=LOADER):
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise ShapeError(line, f"alias *{event.anchor} within what it stands for", "no circles")
            total += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
            if len(open_nodes) > MOST_DEPTH:
                raise ShapeError(line, f"more than {MOST_DEPTH} lists and mappings within each other",
                                 f"at most {MOST_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        if total > MOST_NODES:
            raise ShapeError(line, f"more than {MOST_NODES:,} values, aliases unfolded", f"at most {MOST_NODES:,}")
