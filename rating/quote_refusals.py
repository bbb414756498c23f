"""Why a command of a quote was refused: the field, what was found, what was expected."""

from collections.abc import Mapping

from rating.commands import KINDS
from reference_data.accounts import STATES
from reference_data.tariffs.compile import Tariffs
from schemas.money import parse_money

OF_NOBODY = ("clock", "period_close")
_NEEDED = {
    "top_up": ("amount",), "adjust": ("amount",), "transfer": ("to_account_id", "amount"), "credit_limit": ("amount",),
    "grant": ("bucket",), "plan_change": ("plan",), "option_add": ("plan",), "option_remove": ("plan",),
    "friend_add": ("token",), "friend_remove": ("token",), "share_join": ("shared_account_id",), "state": ("state",)}
_WRITTEN = {"account_id": "account", "to_account_id": "to_account", "token": "number",
            "shared_account_id": "shared_account"}
_POSITIVE = ("top_up", "transfer")


def why_refused(fields: Mapping[str, object], tariffs: Tariffs, currency: str | None) -> str:
    """The first thing that is wrong with a command; empty where its fields make sense. currency: the account's."""
    kind = fields.get("kind")
    if kind not in KINDS:
        return f"kind {kind!r}, expected one of " + ", ".join(KINDS)
    needed = () if kind in OF_NOBODY else ("account_id", *_NEEDED.get(str(kind), ()))
    missing = [_WRITTEN.get(name, name) for name in needed if fields.get(name) is None]
    if missing:
        return f"{kind} without {', '.join(missing)}"
    catalogue = sorted({name for version in tariffs.versions for name in version.buckets})
    for name, known in (("plan", tariffs.labels["plan"]), ("bucket", catalogue), ("state", STATES)):
        value = fields.get(name)
        if value is not None and value not in known:
            return f"{name} {value!r}, expected one of " + (", ".join(sorted(known)[:12]) or "none: there are none")
    if currency is not None and fields.get("currency") not in (None, currency):
        return f"currency {fields['currency']!r}, expected the account's, {currency}"
    return "" if "bucket" in fields else _wrong_amount(str(kind), fields)


def _wrong_amount(kind: str, fields: Mapping[str, object]) -> str:
    for name in ("amount", "fee"):
        value = fields.get(name)
        if value is None:
            continue
        try:
            nanos = parse_money(str(value))
        except ValueError:
            return f'{name} {value!r}, expected decimal text such as "10.00", at most 9 decimals'
        if (nanos < 0 and kind != "adjust") or (nanos == 0 and name == "amount" and kind in _POSITIVE):
            return f"{name} {value!r}, expected " + ("more than zero" if kind in _POSITIVE else "zero or more")
    return ""
