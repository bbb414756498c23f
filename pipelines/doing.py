"""What a long start is doing, said to whoever asked to be told. Those who do it know neither clock nor log."""

from collections.abc import Callable

Doing = Callable[[str, int, int], None]  # what; how much of it is done, of how much; both 0: not counted


def nobody(what: str, done: int = 0, of: int = 0) -> None:
    """Nobody asked."""
