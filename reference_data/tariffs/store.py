"""A compiled tariff as a file: the tables, their labels and the versions they came from, under one content hash.

The file is a zip of plain arrays (NumPy's .npz, no pickles), named after its hash and written read-only. What is
loaded is hashed again: a file that was changed is refused.
"""

import io
import zipfile
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import numpy as np

from reference_data.tariffs.compile import Tariffs, content_hash, load_tariffs, named_legs
from schemas.columns import I64
from schemas.errors import ReferenceDataError
from schemas.tariff_tables import NAMES
from schemas.vectors import Vectors

FORMAT = 1
MOST_OCTETS = 1 << 32
_ARRAYS = ("slots", "leaves")  # of `Tariffs`, beside its tables; the rest is names and what was written
_About = msgspec.defstruct("_About", [("format", int), ("tables", tuple[str, ...]), *(
    (each.name, get_type_hints(Tariffs)[each.name]) for each in fields(Tariffs)
    if each.name not in (*_ARRAYS, "tables"))], frozen=True)


def dump(tariffs: Tariffs) -> bytes:
    """The same bytes for the same tariff."""
    named = {each.name: getattr(tariffs, each.name) for each in fields(Tariffs)}
    arrays = {**{name: named.pop(name) for name in _ARRAYS}, **dict(zip(NAMES, named.pop("tables"), strict=True))}
    about = msgspec.json.encode(_About(format=FORMAT, tables=NAMES, **named), enc_hook=_plain)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, array in {"about": np.frombuffer(about, np.uint8), **arrays}.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED, 6)
    return whole.getvalue()


def load(path: Path) -> Tariffs:
    """The tariff of a compiled file. Raises ReferenceDataError: no such file, another format, or changed since."""
    try:
        if path.stat().st_size > MOST_OCTETS:
            raise ReferenceDataError(f"{path.name}: {path.stat().st_size:,} octets", "a compiled tariff")
        with np.load(path, allow_pickle=False) as stored:
            about: Any = msgspec.json.decode(stored["about"].tobytes(), type=_About, dec_hook=_rich)
            if about.format != FORMAT or about.tables != NAMES:
                raise ReferenceDataError(f"{path.name} was compiled by another release", f"format {FORMAT}",
                                         "compile the tariff again")
            tables = Vectors(stored[name] for name in NAMES)
            arrays: dict[str, Any] = {name: _frozen(stored[name]) for name in _ARRAYS}
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, msgspec.MsgspecError) as problem:
        raise ReferenceDataError(f"{path.name} is no compiled tariff: {problem}", "a file of `tarifa tariff compile`",
                                 "compile the tariff again") from None
    named = {each.name: getattr(about, each.name) for each in fields(Tariffs)
             if each.name not in (*_ARRAYS, "tables")}
    tariffs = Tariffs(**named, **arrays, tables=tables)
    found = hash_of(tariffs)
    if found != tariffs.content_hash:
        raise ReferenceDataError(f"{path.name} was changed: its tables have the hash {found[:16]}",
                                 tariffs.content_hash[:16], "compile the tariff again")
    return tariffs


def open_tariffs(place: Path) -> Tariffs:
    """A folder of versions, an operator's folder with tariffs/ in it, or a compiled file."""
    if place.is_file():
        return load(place)
    return load_tariffs(place / "tariffs" if (place / "tariffs").is_dir() else place)


def hash_of(tariffs: Tariffs) -> str:
    """The content hash, counted anew."""
    named = (tariffs.apns, tariffs.rate_names, tariffs.networks, tariffs.categories)
    return content_hash(tariffs.tables, tariffs.slots, tariffs.leaves, tariffs.labels, *(list(n) for n in named),
                        *named_legs(tariffs.versions))


def _frozen(array: I64) -> I64:
    array.setflags(write=False)
    return array


def _plain(value: object) -> str:
    if isinstance(value, Fraction):
        return str(value)
    raise NotImplementedError(type(value).__name__)


def _rich(kind: type, value: object) -> Fraction:
    if kind is Fraction:
        return Fraction(str(value))
    raise NotImplementedError(kind.__name__)
