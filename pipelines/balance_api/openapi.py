"""The API's own description, made of its routes: OpenAPI 3.1, and the same for people."""

import html
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from pipelines.balance_api.problems import TITLES
from pipelines.balance_api.routes import Route

VERSION = "1.0.0"
_PARAMETER = re.compile(r"\{(\w+)\}")


def document(routes: Sequence[Route]) -> bytes:
    """The OpenAPI document."""
    bodies = [route.body for route in routes if route.body is not None]
    _, components = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    content = {
        "openapi": "3.1.0",
        "info": {"title": "Tarifa balances", "version": VERSION, "license": {"name": "Apache-2.0",
                                                                             "identifier": "Apache-2.0"},
                 "description": "TMF654 Prepay Balance Management and a small REST. Money is exact: decimal text, or, "
                                "under TMF paths, numbers that are read and written digit for digit."},
        "paths": paths,
        "components": {"schemas": {**components, "Problem": _PROBLEM},
                       "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}}
    return msgspec.json.encode(content)


def page(routes: Sequence[Route]) -> bytes:
    """A table of what there is. No script, nothing from elsewhere."""
    rows = "".join(f"<tr><td>{r.method}</td><td><code>{html.escape(r.path)}</code></td><td>{html.escape(r.summary)}"
                   f"</td><td><code>{r.scope}</code></td></tr>" for r in routes)
    return (f"<!doctype html><html lang=en><meta charset=utf-8><title>Tarifa balances</title><h1>Tarifa balances "
            f"{VERSION}</h1><p><a href=/openapi.json>openapi.json</a><table><tr><th>Method<th>Path<th>What<th>Scope"
            f"</tr>{rows}</table></html>").encode()


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)]
    parameters += [{"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
                   for name in route.query]
    codes = [400, 401, 403, 404, 414, 429, 500]
    said: dict[str, Any] = {"summary": route.summary, "operationId": _name(route), "security": [{"token": []}],
                            "x-scope": route.scope, "parameters": parameters}
    if route.body is not None:
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": not route.tmf,
                           "schema": {"type": "string", "minLength": 1, "maxLength": 100}})
        shape = {"schema": {"$ref": f"#/components/schemas/{route.body.__name__}"}}
        kinds = ("application/json", *(("application/merge-patch+json",) if route.method == "PATCH" else ()))
        said["requestBody"] = {"required": True, "content": dict.fromkeys(kinds, shape)}
        codes += [409, 413, 415, 422]
    done: dict[str, Any] = {"description": _DONE[route.method][1]}
    if route.method == "DELETE":
        codes += [422]
    else:
        done["content"] = {"application/json": {"schema": {}}}
    said["responses"] = {_DONE[route.method][0]: done, **{
        str(code): {"description": TITLES[code], "content": {"application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"}}}} for code in sorted(codes)}}
    return said


def _name(route: Route) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", route.path) if word]
    return route.method.lower() + "".join(word[0].upper() + word[1:] for word in words)


_DONE = {"POST": ("201", "Done"), "GET": ("200", "Found"), "DELETE": ("204", "Gone"), "PATCH": ("200", "Changed")}
_PROBLEM = {"type": "object", "required": ["type", "title", "status", "detail"], "properties": {
    "type": {"type": "string"}, "title": {"type": "string"}, "detail": {"type": "string"},
    "status": {"type": ["integer", "string"], "description": "a number; under TMF paths text, as TMF's Error says"},
    "code": {"type": "string"}, "reason": {"type": "string"}, "message": {"type": "string"}}}
