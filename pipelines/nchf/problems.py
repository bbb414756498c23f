"""Errors as TS 29.500 5.2.7.2 and TS 32.291 6.1.7 have them: a status, a cause, and which fields are wrong."""

from pipelines.nchf.messages import InvalidParam, ProblemDetails, encode

PROBLEM = "application/problem+json"
_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
           408: "Request Timeout", 411: "Length Required", 413: "Content Too Large", 414: "URI Too Long",
           415: "Unsupported Media Type", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
           500: "Internal Server Error", 503: "Service Unavailable"}

# Causes. Protocol errors: TS 29.500 table 5.2.7.2-1.
INVALID_MSG_FORMAT = "INVALID_MSG_FORMAT"
MANDATORY_IE_INCORRECT, MANDATORY_IE_MISSING = "MANDATORY_IE_INCORRECT", "MANDATORY_IE_MISSING"
OPTIONAL_IE_INCORRECT = "OPTIONAL_IE_INCORRECT"
INVALID_API = "INVALID_API"
NOT_FOUND = "RESOURCE_URI_STRUCTURE_NOT_FOUND"
CONTEXT_NOT_FOUND = "CONTEXT_NOT_FOUND"
TIMED_OUT = "TIMED_OUT_REQUEST"
CONGESTION = "NF_CONGESTION"
SYSTEM_FAILURE = "SYSTEM_FAILURE"


class ProblemError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, cause: str | None = None, detail: str | None = None,
                 param: str | None = None, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status, cause)
        self.status, self.cause, self.detail, self.param, self.headers = status, cause, detail, param, headers

    def details(self) -> ProblemDetails:
        """The body."""
        params = None if self.param is None else [InvalidParam(self.param, self.detail)]
        return ProblemDetails(_TITLES.get(self.status), self.status, self.detail, self.cause, params)

    def body(self) -> bytes:
        """As octets."""
        return encode(self.details())
