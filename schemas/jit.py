"""One decorator for every kernel, and a compiled cache that cannot go stale.

Numba's own cache looks only at the file that defines a function: an edit to a callee, or to a constant
in another file, would return an old result. So the cache folder of a kernel is named after a hash of its
file and of every file of the house that it imports, however far down.
"""

import ast
import hashlib
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core import config
from numba.core.compiler_lock import global_compiler_lock

ROOMS = ("schemas", "reference_data", "mediation", "rating", "pipelines")
HOUSE = Path(__file__).resolve().parent.parent
_BEGAN_NS = time.time_ns()

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


def _sources(path: Path) -> list[Path]:
    """A file and all it imports from the house."""
    seen, todo = set(), [path]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(_imports(current))
    return sorted(seen)


@cache
def source_hash(path: Path) -> str:
    """Hash of a file and of all it imports from the house."""
    digest = hashlib.sha256()
    for item in _sources(path):
        digest.update(item.name.encode() + b"\0" + item.read_bytes())
    return digest.hexdigest()[:16]


def _edited(path: Path) -> bool:
    """Whether a source was written since this process began, which may then run what the file said before."""
    return any(_BEGAN_NS <= item.stat().st_mtime_ns <= time.time_ns() for item in _sources(path))


def cache_folder() -> Path:
    """Where compiled kernels are kept: TARIFA_CACHE, or the user's cache folder."""
    given = os.environ.get("TARIFA_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(given) if given else (Path(base) if base else Path.home() / ".cache") / "tarifa"


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A kernel with an explicit signature, without the GIL, cached under the hash of all its sources.

    It is compiled, or read from the cache, when it is first called, by Python or by a kernel that is compiled itself:
    who needs few kernels waits for few. `compile_all` does so at once.

    Pass None for small helpers that are only called from other kernels (compiled with their caller). Kernels
    allocate nothing, so Numba's reference counts are left out: atomic counting of the arrays that helpers hand
    each other cost up to nine tenths of a kernel's time. One that must allocate says so: `_nrt=True`.
    """
    options.setdefault("_nrt", False)

    def decorate(function: Callable[..., Any]) -> Any:
        made = numba.njit(nogil=True, **options)(function)
        if signature is None or config.DISABLE_JIT:  # type: ignore[attr-defined]
            return made
        return _later(made, signature, Path(function.__code__.co_filename).resolve())

    return decorate


_waiting: dict[Any, Callable[[], None]] = {}


def _keep(dispatcher: Any, folder: Path) -> None:
    """Read what is compiled from a folder, and write it there."""
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    try:
        dispatcher.enable_caching()
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]


def _later(dispatcher: Any, signature: Any, source: Path) -> Any:
    """Compile a dispatcher for its signature or signatures, and for nothing else, when it is first asked for."""
    asked = ("_compile_for_args", "get_call_template")  # by a call from Python; by a caller that is compiled

    def compile_now() -> None:
        with global_compiler_lock:  # Numba's own, which those who compile a caller hold already
            if dispatcher in _waiting:
                if not _edited(source):
                    _keep(dispatcher, cache_folder() / f"kernels-{source_hash(source)}")
                for each in signature if isinstance(signature, list) else [signature]:
                    dispatcher.compile(each)
                dispatcher.disable_compile()
                for name in asked:
                    delattr(dispatcher, name)
                del _waiting[dispatcher]

    def for_python(*_arguments: Any, **_named: Any) -> Any:
        compile_now()
        return dispatcher  # to be called again

    def for_kernel(arguments: Any, named: Any) -> Any:
        compile_now()
        return dispatcher.get_call_template(arguments, named)

    _waiting[dispatcher] = compile_now
    for name, first in zip(asked, (for_python, for_kernel), strict=True):
        setattr(dispatcher, name, first)
    return dispatcher


def compile_all() -> None:
    """Compile every kernel that has been imported and not been asked for yet."""
    for compile_now in tuple(_waiting.values()):
        compile_now()
