"""Errors as RFC 9457 problem details; under TMF paths also with the members of TMF's Error."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
TITLES = {400: "The request cannot be read", 401: "Who asks is not known", 403: "The token does not permit this",
          404: "There is no such thing", 405: "This cannot be done here", 408: "The request took too long",
          409: "The idempotency key was used for something else", 411: "The length is not said",
          413: "The request is too large", 414: "The address is too long", 415: "The body is no JSON",
          422: "The command was refused", 429: "Too many requests", 500: "Our mistake",
          503: "The charging node takes no more"}


class ProblemError(Exception):
    """An answer that is an error. detail: what was found and expected; no personal number may be in it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def problem_body(status: int, detail: str, tmf: bool) -> bytes:
    """The body of an error."""
    title = TITLES.get(status, "The request failed")
    content: dict[str, object] = {"type": "about:blank", "title": title, "detail": detail}
    content |= {"status": str(status), "code": str(status), "reason": title, "message": detail} if tmf \
        else {"status": status}
    return msgspec.json.encode(content)


def problem(status: int, detail: str, tmf: bool, headers: Mapping[str, str] | None = None) -> Response:
    """An error as it is answered."""
    return Response(problem_body(status, detail, tmf), status, dict(headers or {}), MEDIA_TYPE)
