"""Hide personal numbers in what people are shown: all of a number but its last two digits.

For decoded records, which say what the network wrote. It hides what looks like a number, so rather too much than
too little: identifiers of seven digits and more are hidden as well, times are not.
"""

import re
from typing import Any

SHORTEST = 7    # digits; shorter ones are nobody's
_DIGITS = re.compile(rf"\d{{{SHORTEST},}}")
_IPV4 = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_IPV6 = re.compile(r"\b(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4}\b")
_USER = re.compile(r"\b(sips?|tel|mailto):([^@;>\s]+)(@)?", re.IGNORECASE)
_OCTETS = re.compile(r"(?:[0-9a-fA-F]{2} ){2,}[0-9a-fA-F]{2}(?: and \d+ more)?")
_TIME_WORDS = ("time", "date", "stamp", "opening", "closing", "usage", "octets", "volume", "length", "offset")
_WHOLE_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*|\d{4}-\d\d-\d\d|(?:19|20)\d{12}")


def mask_text(text: str) -> str:
    """`+999700000001` becomes `+**********01`; octets in hexadecimal only say how many they are."""
    text = _OCTETS.sub(lambda m: f"({len(m[0].split(' and ')[0].split())} octets)", text)
    text = _USER.sub(lambda m: f"{m[1]}:{_hidden(m[2])}{m[3] or ''}", text)
    text = _IPV4.sub(lambda m: "*.*.*." + m[0].rsplit(".", 1)[1], text)
    text = _IPV6.sub(lambda m: "*:" + m[0].rsplit(":", 1)[1] if m[0].count(":") > 2 else m[0], text)
    return _DIGITS.sub(lambda m: _hidden(m[0]), text)


def mask(tree: Any, name: str = "") -> Any:
    """A tree of mappings, lists, texts and numbers with every number in it hidden; keys stay."""
    if isinstance(tree, dict):
        label = str(tree.get("name", name)) if "value" in tree else name
        return {key: mask(value, label if key == "value" else str(key)) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [mask(value, name) for value in tree]
    if isinstance(tree, bool) or tree is None:
        return tree
    is_time = any(word in name.lower() for word in _TIME_WORDS)
    if isinstance(tree, int):
        return tree if is_time or len(str(abs(tree))) < SHORTEST + 4 else _hidden(str(tree))
    if isinstance(tree, str):
        return tree if is_time and _WHOLE_TIME.fullmatch(tree) else mask_text(tree)
    return tree


def _hidden(text: str) -> str:
    return "*" * max(len(text) - 2, 0) + text[-2:] if len(text) > 2 else "*" * len(text)
