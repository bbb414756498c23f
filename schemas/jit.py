"""One decorator for every kernel, and a compiled cache that cannot go stale.

Numba's own cache looks only at the file that defines a function: an edit to a callee, or to a constant
in another file, would return an old result. So the cache folder of a kernel is named after a hash of its
file and of every file of the house that it imports, however far down.
"""

import ast
import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core import config

ROOMS = ("schemas", "reference_data", "mediation", "rating", "pipelines")
HOUSE = Path(__file__).resolve().parent.parent

I64_IN = types.Array(types.int64, 1, "C", readonly=True)  # Arrow views are read-only
U8_IN = types.Array(types.uint8, 1, "C", readonly=True)
I64_OUT = types.int64[::1]
U64_OUT = types.uint64[::1]
U8_OUT = types.uint8[::1]
CELLS_IN = types.Array(types.int64, 2, "C", readonly=True)
CELLS_OUT = types.int64[:, ::1]


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Files of the house that `path` imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules = [node.module, *(f"{node.module}.{item.name}" for item in node.names)]
        elif isinstance(node, ast.Import):
            modules = [item.name for item in node.names]
        else:
            continue
        for module in modules:
            if module.partition(".")[0] in ROOMS:
                base = HOUSE / module.replace(".", "/")
                found += [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
    return tuple(found)


@cache
def source_hash(path: Path) -> str:
    """Hash of a file and of all it imports from the house."""
    seen, todo = set(), [path]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(_imports(current))
    digest = hashlib.sha256()
    for item in sorted(seen):
        digest.update(item.name.encode() + b"\0" + item.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled kernels are kept: TARIFA_CACHE, or the user's cache folder."""
    given = os.environ.get("TARIFA_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(given) if given else (Path(base) if base else Path.home() / ".cache") / "tarifa"


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile with an explicit signature, without the GIL, cached under the hash of all its sources.

    Pass None for small helpers that are only called from other kernels (compiled with their caller). Kernels
    allocate nothing, so Numba's reference counts are left out: atomic counting of the arrays that helpers hand
    each other cost up to nine tenths of a kernel's time. One that must allocate says so: `_nrt=True`.
    """
    options.setdefault("_nrt", False)

    def decorate(function: Callable[..., Any]) -> Any:
        before = config.CACHE_DIR  # type: ignore[attr-defined]
        folder = cache_folder() / f"kernels-{source_hash(Path(function.__code__.co_filename).resolve())}"
        config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
        try:
            if signature is None:
                return numba.njit(nogil=True, **options)(function)
            return numba.njit(signature, nogil=True, cache=True, **options)(function)
        finally:
            config.CACHE_DIR = before  # type: ignore[attr-defined]

    return decorate
