"""Tariffs: read from files, checked, and compiled into immutable int64 arrays with a content hash."""
