"""The kernel cache is keyed by all sources: a missed import would run yesterday's callee."""

from pathlib import Path

from schemas.jit import HOUSE, _imports


def test_imports_are_found_whether_on_one_line_or_many():
    names = {path.name for path in _imports(HOUSE / "rating" / "kernels" / "fold.py")}
    assert {"candidates.py", "cycles.py", "layout.py", "pay.py", "price.py", "sessions.py", "walk.py", "codes.py",
            "jit.py", "tariff_tables.py"} <= names
    assert all(isinstance(path, Path) for path in _imports(HOUSE / "rating" / "book.py"))
