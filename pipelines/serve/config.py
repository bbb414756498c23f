"""What is served, where and to whom: `serve.yaml` in the operator's folder."""

import ipaddress
import re
import ssl
from pathlib import Path

import msgspec

from reference_data.yaml_file import read_yaml
from schemas.errors import ReferenceDataError

FILE = "serve.yaml"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?)*", re.IGNORECASE)


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Diameter host and realm, of ourselves or of a peer."""

    host: str
    realm: str


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files, beside serve.yaml unless absolute. clients: certificates that clients must come under (mutual TLS)."""

    certificate: str
    key: str
    clients: str = ""


class Gy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Diameter credit control. listen: address and port; peers: who may connect; initial, update: requests without
    answer from which on those are answered "too busy"."""

    peers: list[Names]
    listen: str = "127.0.0.1:3868"
    tls: Tls | None = None
    initial: int = 2_000
    update: int = 4_000


class Sy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Spending limits over Diameter, where gy listens. peers: who may connect beside those of gy; subscriptions: how
    many there may be."""

    peers: tuple[Names, ...] = ()
    subscriptions: int = 2_000_000


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Balances over HTTP (TMF654 and the small REST). A public address needs tls; who may ask has a token.

    notify_hosts: hosts and networks where listeners may be called, and nowhere else.
    """

    listen: str = "127.0.0.1:8654"
    tls: Tls | None = None
    notify_hosts: tuple[str, ...] = ()


class Operate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Metrics, health, readiness; of this machine only."""

    listen: str = "127.0.0.1:9464"


class Serve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """serve.yaml. What has no section is not served.

    identity: who we are in Diameter. nchf, sy: see their front ends. commit_s: seconds between commits to the ledger.
    snapshot_rows: of the ledger between snapshots. expect_sessions: open and remembered ones that room is made for at
    the start, a quarter of the accounts unless given: making room for more later stops answers for a moment.
    """

    identity: Names
    gy: Gy | None = None
    sy: Sy | None = None
    nchf: dict[str, object] | None = None
    api: Api | None = None
    operate: Operate | None = None
    commit_s: float = 1.0
    snapshot_rows: int = 5_000_000
    expect_sessions: int | None = None


def load_serve(operator: Path) -> Serve:
    """Raises ReferenceDataError, naming the key."""
    path = operator / FILE
    if not path.exists():
        raise ReferenceDataError(f"no {FILE} in {operator}", "what is served, where and to whom",
                                 "write it as docs/online.md says, or generate a sample operator")
    serve = read_yaml(path, Serve)
    peers = [(f"{section}.peers[{i}]", names) for section, found in (("gy", serve.gy), ("sy", serve.sy))
             if found is not None for i, names in enumerate(found.peers)]
    for place, names in (("identity", serve.identity), *peers):
        for key in ("host", "realm"):
            value = getattr(names, key)
            if not _NAME.fullmatch(value) or len(value) > 255:
                raise ReferenceDataError(f"{FILE}, {place}.{key}: {value!r}", "a name of letters, digits, - and dots")
    if not 0.05 <= serve.commit_s <= 3600:
        raise ReferenceDataError(f"{FILE}, commit_s: {serve.commit_s}", "0.05 to 3600 seconds")
    if not 1000 <= serve.snapshot_rows <= 1 << 40:
        raise ReferenceDataError(f"{FILE}, snapshot_rows: {serve.snapshot_rows}", "1000 or more rows of the ledger")
    if not 0 <= (serve.expect_sessions or 0) <= 1 << 28:
        raise ReferenceDataError(f"{FILE}, expect_sessions: {serve.expect_sessions}", f"0 to {1 << 28} sessions")
    if serve.sy is not None and serve.gy is None:
        raise ReferenceDataError(f"{FILE}, sy: without gy, nothing listens for Diameter", "a section gy")
    if serve.gy is not None:
        address(serve.gy.listen, "gy.listen", serve.gy.tls is not None and bool(serve.gy.tls.clients))
    if serve.api is not None:  # tokens are asked for everywhere; over tls only, where others could overhear them
        address(serve.api.listen, "api.listen", serve.api.tls is not None)
    if serve.operate is not None:
        address(serve.operate.listen, "operate.listen", None)
    return serve


def address(listen: str, key: str, authenticated: bool | None) -> tuple[str, int]:
    """(host, port) of `listen`. Raises ReferenceDataError: no such address, or one that others reach although nothing
    proves who they are (None: nothing can)."""
    host, _, port = listen.rpartition(":")
    try:
        found = ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError:
        found, number = None, -1
    if found is None or not 0 <= number < 1 << 16:
        raise ReferenceDataError(f"{FILE}, {key}: {listen!r}", 'an IP address and a port, such as "127.0.0.1:3868"')
    if not found.is_loopback and authenticated is None:
        raise ReferenceDataError(f"{FILE}, {key}: {listen!r} can be reached by others", "a loopback address",
                                 "have a proxy on this machine ask it, which knows who may")
    if not found.is_loopback and not authenticated:
        raise ReferenceDataError(f"{FILE}, {key}: {listen!r} can be reached by others, and nothing proves who they are",
                                 "a loopback address, or tls with clients", "name the certificates of your peers")
    return str(found), number


def tls_context(tls: Tls, operator: Path) -> ssl.SSLContext:
    """A server's context. Raises ReferenceDataError: a file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(operator / tls.certificate, operator / tls.key)
        if tls.clients:
            context.load_verify_locations(operator / tls.clients)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise ReferenceDataError(f"{FILE}, tls: {error}", "PEM files of a certificate, its key and, for clients, "
                                 "of who signs them") from error
    return context
