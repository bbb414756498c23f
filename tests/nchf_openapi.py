"""The official OpenAPI texts, read where they stand, with what we declare beyond them (docs/nchf.md)."""

import json
import os
from pathlib import Path
from typing import Any, get_args

import msgspec

from pipelines.nchf import messages
from pipelines.nchf.spending import SpendingLimitContext

FILES = {"converged": "TS32291_Nchf_ConvergedCharging", "offline": "TS32291_Nchf_OfflineOnlyCharging",
         "spending": "TS29594_Nchf_SpendingLimitControl"}
_READ = {"ChargingDataRequest": messages.ChargingDataRequest, "SpendingLimitContext": SpendingLimitContext}


def bundle(api: str, release: int = 17) -> dict[str, Any] | None:
    """One of them; None where they are not to be had."""
    folder = os.environ.get("TARIFA_STANDARDS")
    path = Path(folder or "/nonexistent") / "openapi-3gpp" / "bundled" / f"{FILES[api]}.Rel-{release}.json"
    if not path.exists():
        return None
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def declared(spec: dict[str, Any]) -> dict[str, Any]:
    """With fields that we do not read left out, as additional ones are taken, and our own bounds."""
    schemas = spec["components"]["schemas"]
    for name, kind in _READ.items():
        if name in schemas:
            _narrow(schemas, schemas[name], kind)
    if "ChargingDataRequest" in schemas:
        schemas["ChargingDataRequest"]["required"].append("subscriberIdentifier")
    return spec


def _narrow(schemas: dict[str, Any], schema: dict[str, Any], kind: Any) -> None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    said = schema.get("properties", {})
    for name in list(said):
        if name not in fields:
            del said[name]
            continue
        inner = _struct(fields[name].type)
        target = said[name]
        while "$ref" in target or target.get("type") == "array":
            target = schemas[target["$ref"].rpartition("/")[2]] if "$ref" in target else target["items"]
        if inner is not None:
            _narrow(schemas, target, inner)
        else:
            said[name] = _bounded(said[name], target, fields[name].type)


def _bounded(outer: dict[str, Any], target: dict[str, Any], kind: Any) -> dict[str, Any]:
    """A plain field, with the bounds of ours that are narrower."""
    if outer.get("type") == "array":
        return outer | {"items": _bounded(outer["items"], target, kind), "maxItems": 8}
    made = {name: value for name, value in target.items() if name != "description"}
    for meta in _metas(kind):
        if meta.le is not None:
            made["maximum"] = min(made.get("maximum", meta.le), meta.le)
        for ours, theirs in (("min_length", "minLength"), ("max_length", "maxLength")):
            if getattr(meta, ours) is not None and made.get("type") == "string":
                made[theirs] = getattr(meta, ours)
    if made.get("format") == "date-time":
        made["pattern"] = r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T[01][0-9]:[0-5][0-9]:[0-5][0-9]Z$"
        del made["format"]
    return made


def _metas(kind: Any) -> list[msgspec.Meta]:
    found = list(getattr(kind, "__metadata__", ()))
    for part in get_args(kind):
        found += _metas(part) if not isinstance(part, msgspec.Meta) else []
    return [meta for meta in found if isinstance(meta, msgspec.Meta)]


def _struct(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next((found for part in get_args(kind) if (found := _struct(part)) is not None), None)
