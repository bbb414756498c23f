"""`tarifa api ...`: who may ask over HTTP, and serving a home that no node serves."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.apps.options import BesideOption, HomeOption, JsonOption, LedgerOption, console, now_us, places
from pipelines.balance_api.tokens import RATE_PER_MINUTE, SCOPES, Tokens
from schemas.errors import ChargingError
from schemas.timepoint import SECOND_US, format_time

_SPAN = {"h": 3600, "d": 86_400}


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    group = typer.Typer(no_args_is_help=True, help="Balances over HTTP: tokens, and serving.")
    token = typer.Typer(no_args_is_help=True, help="Who may ask.")
    for name, function in (("create", create_command), ("list", list_command), ("revoke", revoke_command)):
        token.command(name)(function)
    group.add_typer(token, name="token")
    group.command("serve")(serve_command)
    group.command("audit")(audit_command)
    app.add_typer(group, name="api")


def create_command(
    name: Annotated[str, typer.Argument(help="Who gets it: audit and ledger show this name.")],
    scope: Annotated[list[str], typer.Option(
        "--scope", help="What it permits, by commas or each by an option of its own: " + ", ".join(SCOPES) + ".")],
    rate: Annotated[int, typer.Option("--rate", min=1, help="Requests a minute.")] = RATE_PER_MINUTE,
    expires: Annotated[str, typer.Option("--expires", help="After how long: 12 h, 365 d. Default: never.")] = "",
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Make a token. It is shown once, and kept nowhere."""
    _, place = places(home, input_folder, ledger)
    scopes = dict.fromkeys(each.strip() for said in scope for each in said.split(",") if each.strip())
    token = Tokens(place.root).create(name, list(scopes), rate, _expiry(expires))
    typer.echo(token)


def list_command(
    as_json: JsonOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Tokens by name, with what they permit."""
    _, place = places(home, input_folder, ledger)
    found = Tokens(place.root).all()
    if as_json:
        typer.echo(json.dumps([{"name": g.name, "scopes": g.scopes, "rate_per_minute": g.rate_per_minute,
                                "expires": None if g.expires_us is None else format_time(g.expires_us)}
                               for g in found]))
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("name", "scopes", "a minute", "expires"):
        table.add_column(column)
    for each in found:
        table.add_row(each.name, ", ".join(each.scopes), str(each.rate_per_minute),
                      "never" if each.expires_us is None else format_time(each.expires_us))
    console.print(table)


def revoke_command(
    name: Annotated[str, typer.Argument(help="Whose token.")],
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Take a token back: from the next request on it is nobody's."""
    _, place = places(home, input_folder, ledger)
    Tokens(place.root).revoke(name)
    console.print(f"{name} is revoked.")


def serve_command(
    host: Annotated[str, typer.Option("--host", help="Address. A public one needs TLS and a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535)] = 8654,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="PEM, for TLS.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="PEM, of the certificate.")] = None,
    client_ca: Annotated[Path | None, typer.Option("--client-ca", help="PEM: who signs clients' certificates.")] = None,
    notify_host: Annotated[list[str] | None, typer.Option(
        "--notify-host", help="A host or network where listeners may be called; may be repeated.")] = None,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Serve TMF654 and the small REST over a home that no node serves."""
    from pipelines.balance_api.serve import Listen, serve

    source, place = places(home, input_folder, ledger)
    serve(source, place, Listen(host, port, certificate, key, client_ca), tuple(notify_host or ()))


def audit_command(
    rows: Annotated[int, typer.Option("--rows", min=1, max=10_000)] = 50,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Who asked what over HTTP, the newest first."""
    from pipelines.balance_api.store import ApiStore

    _, place = places(home, input_folder, ledger)
    store = ApiStore(place.root)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("time", "token", "method", "route", "status", "account", "command"):
        table.add_column(column, overflow="fold")
    for at_us, *rest in store.audit(rows):
        table.add_row(format_time(int(str(at_us))), *("" if value is None else str(value) for value in rest))
    store.close()
    console.print(table)


def _expiry(text: str) -> int | None:
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,5}) ?(h|d)", text)
    if found is None:
        raise ChargingError(f"--expires {text!r}", 'a span of time such as "12 h" or "365 d"')
    return now_us() + int(found[1]) * _SPAN[found[2]] * SECOND_US
