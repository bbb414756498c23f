"""Reference YAML: read safely, checked against its type, refused with file, key and remedy."""

from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from reference_data.yaml_shape import ShapeError, read_text
from schemas.errors import ReferenceDataError

T = TypeVar("T")


def read_yaml(path: Path, kind: type[T]) -> T:
    """The file as `kind` (a msgspec Struct). Raises ReferenceDataError naming file, key, found and expected."""
    try:
        content = yaml.safe_load(read_text(path))
    except FileNotFoundError:
        raise ReferenceDataError(f"{path.name} is not in {path.parent}", "the operator's folder to hold it",
                                 "write it, or generate a sample with `tarifa generate`") from None
    except (yaml.YAMLError, UnicodeDecodeError, ShapeError) as problem:
        raise ReferenceDataError(f"{path.name} is no YAML: {problem}", "UTF-8 YAML", "correct the file") from None
    try:
        return msgspec.convert(content, kind, strict=True)
    except msgspec.ValidationError as problem:
        # msgspec says "Expected `int`, got `str` - at `$.lanes`"; the words are kept, the place goes first.
        what, _, place = str(problem).partition(" - at ")
        key = place.strip("`").removeprefix("$").lstrip(".") or "the top level"
        raise ReferenceDataError(f"{path.name}, {key}: {what[:1].lower()}{what[1:]}", "",
                                 "correct that key; reference_data/README.md lists what each file holds") from None
