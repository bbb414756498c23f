"""How a price came about, in lines: the same for `tarifa quote` and `tarifa explain`."""

from collections.abc import Mapping
from typing import Any


def piece_words(piece: Mapping[str, Any]) -> str:
    """One stretch of slot and band: where it begins, and what it costs."""
    said = dict(piece)
    words = [f"from {said.pop('from')}: {said.pop('band', '')}, {said.pop('rate', '')}"]
    if "steps" in said and "price_of_step" in said:
        words.append(f"{said.pop('steps')} x {said.pop('step', '')} at {said.pop('price_of_step')}"
                     f" = {said.pop('cost', '')}")
    if "flat" in said:
        words.append(f"flat {said.pop('flat')}")
        said.pop("cost", None)
    if "units_of_split_step" in said:
        words.append(f"{said.pop('units_of_split_step')} of a split step at {said.pop('price_of_unit')}"
                     f" = {said.pop('cost', '')}")
    if "allowance_units" in said:
        words.append(f"{said.pop('allowance_units')} covered by allowances")
    words += [f"{key.replace('_', ' ')} {value}" for key, value in said.items()]
    return ", ".join(words)


def discount_words(discount: Mapping[str, Any]) -> str:
    """A discount, and what it has taken."""
    return f"discount {discount.get('discount', discount.get('share', ''))}: {discount['taken']} less"
