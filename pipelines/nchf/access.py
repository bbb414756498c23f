"""Who may ask: bearer tokens, known by their hashes, each with the APIs that it opens."""

import hashlib
import ipaddress
from typing import Annotated

from msgspec import Meta, Struct

from pipelines.nchf.problems import ProblemError
from schemas.errors import ReferenceDataError

CONVERGED, OFFLINE, SPENDING = "nchf-convergedcharging", "nchf-offlineonlycharging", "nchf-spendinglimitcontrol"
SCOPES = (CONVERGED, OFFLINE, SPENDING)  # names of TS 29.510's scopes
_MOST = 4096  # characters of an Authorization header


class Token(Struct, frozen=True, forbid_unknown_fields=True):
    """One consumer's token: `sha256` of it, in hexadecimal; the token itself is written down nowhere."""

    consumer: Annotated[str, Meta(min_length=1, max_length=64)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[str, ...] = SCOPES


class NchfSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where Nchf listens and who may ask.

    certificate, key: PEM files, for TLS. client_ca: PEM file; clients must have a certificate of it (mutual TLS).
    open_on_loopback: no token is asked for, on loopback alone. api_root: what references are said to stand under; by
    default, what the client called us. notify_hosts: hosts and networks that may be called back, beside loopback.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8089
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None
    tokens: tuple[Token, ...] = ()
    open_on_loopback: bool = False
    api_root: str | None = None
    notify_hosts: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises ReferenceDataError: others could ask, and nobody would know who they are."""
        def refuse(found: str, expected: str) -> None:
            raise ReferenceDataError(f"nchf: {found}", expected, "correct the settings of Nchf")

        loopback = is_loopback(self.host)
        if (self.certificate is None) != (self.key is None):
            refuse("one of certificate and key", "both or none")
        if self.client_ca is not None and self.certificate is None:
            refuse("client_ca without certificate", "TLS where clients show certificates")
        if not self.tokens and self.client_ca is None and not self.open_on_loopback:
            refuse("nobody may ask", "tokens, client_ca, or open_on_loopback")
        if self.open_on_loopback and not loopback:
            refuse(f"open_on_loopback with host {self.host}", "a loopback address")
        if not loopback and not self.tokens and self.client_ca is None:
            refuse(f"host {self.host} without authentication", "tokens or client_ca")
        if not loopback and self.certificate is None:
            refuse(f"host {self.host} without TLS", "certificate and key: tokens would be there to be read")
        for token in self.tokens:
            for scope in token.scopes:
                if scope not in SCOPES:
                    refuse(f"scope {scope!r} of {token.consumer!r}", f"one of {', '.join(SCOPES)}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Door:
    """Lets in who has a token, or a certificate where those are asked for."""

    def __init__(self, settings: NchfSettings) -> None:
        self._tokens = {bytes.fromhex(token.sha256): (token.consumer, frozenset(token.scopes))
                        for token in settings.tokens}
        self._open = settings.open_on_loopback or (settings.client_ca is not None and not settings.tokens)
        self._nobody = ("tls" if settings.client_ca is not None else "loopback", frozenset(SCOPES))

    def consumer(self, authorization: str | None, scope: str) -> str:
        """Whose request it is. Raises ProblemError: 401 without a token that is known, 403 for another API's."""
        if authorization is None:
            if self._open:
                return self._nobody[0]
            raise ProblemError(401, headers=(("www-authenticate", "Bearer"),))
        kind, _, token = authorization.partition(" ")
        # By hash: how long a look-up takes says nothing about a token.
        found = None
        if len(authorization) <= _MOST and kind.lower() == "bearer":
            found = self._tokens.get(hashlib.sha256(token.strip().encode("utf-8", "surrogatepass")).digest())
        if found is None:
            raise ProblemError(401, headers=(("www-authenticate", 'Bearer error="invalid_token"'),))
        if scope not in found[1]:
            raise ProblemError(403, "INSUFFICIENT_SCOPE",
                               headers=(("www-authenticate", f'Bearer error="insufficient_scope", scope="{scope}"'),))
        return found[0]


