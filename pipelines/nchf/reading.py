"""Bodies to what they say, or to the error that says which field is wrong."""

import json
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import msgspec
import numpy as np

from pipelines.nchf.kernels import shape
from pipelines.nchf.problems import (
    INVALID_MSG_FORMAT,
    MANDATORY_IE_INCORRECT,
    MANDATORY_IE_MISSING,
    OPTIONAL_IE_INCORRECT,
    ProblemError,
)
from schemas.columns import I64

Said = TypeVar("Said")
_MANDATORY = ("nfConsumerIdentification", "invocationTimeStamp", "invocationSequenceNumber", "ratingGroup",
              "localSequenceNumber", "nodeFunctionality", "triggerCategory")


def read_body(decode: Callable[[bytes], Said], body: bytes) -> Said:
    """Raises ProblemError: 400, with the field that is wrong."""
    try:
        said = decode(body)
        if b"null" in body:
            _refuse_nulls(json.loads(body), type(said), "")
        return said
    except msgspec.ValidationError as error:
        raise wrong_field(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, ValueError):
        raise ProblemError(400, INVALID_MSG_FORMAT, "the body is no JSON") from None


def _refuse_nulls(value: object, kind: Any, path: str) -> None:
    """Null is no value of a field that is read (TS 29.501 5.2.4: absent is absent). Rare, so told the slow way."""
    if isinstance(value, list):
        for place, each in enumerate(value):
            _refuse_nulls(each, kind, f"{path}[{place}]")
    elif isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            if field.encode_name in value:
                where = f"{path}.{field.encode_name}" if path else field.encode_name
                if value[field.encode_name] is None:
                    raise ProblemError(400, OPTIONAL_IE_INCORRECT, "null", where)
                _refuse_nulls(value[field.encode_name], _struct_in(field.type), where)


def _struct_in(kind: Any) -> Any:
    """The struct that a field is, or is a list of; None for others."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    for part in get_args(kind):
        found = _struct_in(part)
        if found is not None:
            return found
    return None


def check_shape(body: bytes, first: I64, keys: I64) -> None:
    """Raises ProblemError: no UTF-8, too deep, too wide, or an object that names a key twice."""
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            raise ProblemError(400, INVALID_MSG_FORMAT, "the body is no UTF-8") from None
    found = shape.shape_nb(np.frombuffer(body, np.uint8), first, keys)
    if found == shape.SOUND:
        return
    if found == shape.TOO_DEEP:
        raise ProblemError(400, INVALID_MSG_FORMAT, f"nested deeper than {shape.DEPTH}")
    if found == shape.TOO_WIDE:
        raise ProblemError(400, INVALID_MSG_FORMAT, f"more than {shape.KEYS} keys")
    if found == shape.REPEATED_KEY:
        raise ProblemError(400, INVALID_MSG_FORMAT, "an object names a key twice")
    try:  # a key is written with escapes: rare enough to be read the slow way
        json.loads(body, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise ProblemError(400, INVALID_MSG_FORMAT, "no JSON, or an object names a key twice") from None


def _distinct(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a key twice")


def wrong_field(said: str) -> ProblemError:
    """From what msgspec says: "Expected `int`, got `str` - at `$.multipleUnitUsage[0].ratingGroup`"."""
    what, _, where = said.partition(" - at `$")
    path = where.rstrip("`").lstrip(".") or None
    if what.startswith("Object missing required field"):
        name = what.partition("`")[2].rstrip("`")
        return ProblemError(400, MANDATORY_IE_MISSING, "missing", f"{path}.{name}" if path else name)
    last = (path or "").rpartition(".")[2].partition("[")[0]
    cause = MANDATORY_IE_INCORRECT if last in _MANDATORY else OPTIONAL_IE_INCORRECT if path else INVALID_MSG_FORMAT
    # What was sent is not repeated: it may be somebody's number.
    return ProblemError(400, cause, what.replace("`", ""), path)
