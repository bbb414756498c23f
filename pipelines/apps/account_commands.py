"""`tarifa account ...`: accounts that are made, changed and asked between runs."""

import json
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipelines.accounts.numbers import digits_of
from pipelines.accounts.served import Desk, ServedDesk
from pipelines.apps.options import BesideOption, HomeOption, JsonOption, LedgerOption, console, now_us, places
from pipelines.apps.timeline_commands import timeline_command
from pipelines.home import Home, Input
from pipelines.serve.home_socket import connect
from schemas.errors import ChargingError
from schemas.timepoint import format_time, parse_time

WhoArgument = Annotated[str, typer.Argument(help="An MSISDN with its country code, or the number of an account.",
                                            metavar="MSISDN|ACCOUNT")]
AtOption = Annotated[str, typer.Option("--at", help="Since when it holds: 2026-07-01, or with a time; the operator's "
                                       "zone unless it has an offset. Default: now.")]
IdOption = Annotated[str, typer.Option("--id", help="Id of the command: the same again changes nothing. Default: a new "
                                       "one, which is printed.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would become of it; change nothing.")]
QuarantineOption = Annotated[int, typer.Option("--quarantine-days", min=0, max=3660,
                                               help="Days for which nobody may get the number.")]


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    group = typer.Typer(no_args_is_help=True, help="Accounts: make, change and ask them, live.")
    for name, function in (
            ("create", create_command), ("service", service_command), ("show", show_command), ("plan", plan_command),
            ("sim-swap", sim_swap_command),
            ("number", number_command), ("port-in", port_in_command), ("port-out", port_out_command),
            ("suspend", suspend_command), ("resume", resume_command), ("terminate", terminate_command),
            ("join", join_command), ("leave", leave_command), ("top-up", top_up_command), ("adjust", adjust_command),
            ("timeline", timeline_command)):
        # An amount below zero is no option.
        group.command(name, context_settings={"ignore_unknown_options": name in ("top-up", "adjust")})(function)
    app.add_typer(group, name="account")


def _desk(source: Input, place: Home) -> Desk:
    """The node's, where one serves the home: then nothing is imported that takes longer than asking it."""
    served = connect(place.root)
    if served is not None:
        return ServedDesk(served)
    from pipelines.accounts.desk import HomeDesk

    return HomeDesk(source, place)


class _Job:
    """One command's desk: opened, asked, told what became of it."""

    def __init__(self, home: Path | None, input_folder: Path | None, ledger: str, at: str = "", name: str = "",
                 dry_run: bool = False) -> None:
        source, place = places(home, input_folder, ledger)
        self.name, self.dry_run = name or f"cli-{uuid.uuid4()}", dry_run
        self.desk = _desk(source, place)
        self.given_us = now_us()
        try:
            self.at_us = self._point(at)
        except BaseException:
            self.desk.__exit__(None, None, None)
            raise

    def __enter__(self) -> "_Job":
        return self

    def __exit__(self, *error: Any) -> None:
        self.desk.__exit__(*error)

    def _point(self, at: str) -> int:
        """When it holds: the operator's zone, which whoever has the home knows, unless an offset is given."""
        if not at:
            return self.given_us
        try:
            return parse_time(at, str(self.desk.defaults()["time_zone"]))
        except ValueError:
            raise ChargingError(f"time {at!r}", "2026-10-21, or 2026-10-21T08:00 with or without an offset") from None

    def show(self, who: str) -> dict[str, Any]:
        """The account that has a number then, or that has this number itself. Raises ChargingError."""
        return self.desk.show(who, self.at_us)

    def account(self, who: str) -> int:
        return int(self.show(who)["account_id"])

    def send(self, kind: str, account_id: int, suffix: str = "", **more: Any) -> None:
        """Carry it out, and say so. Raises ChargingError: it was refused."""
        command = {"id": self.name + suffix, "time": format_time(self.given_us), "kind": kind,
                   "account_id": account_id, **{name: value for name, value in more.items() if value is not None}}
        if self.at_us != self.given_us:
            command["from"] = format_time(self.at_us)
        outcome = self.desk.try_out(command) if self.dry_run else self.desk.send(command)
        if outcome.status == "refused":
            raise ChargingError(f"account {account_id}, {kind}: {outcome.why or outcome.reason.name.lower()}")
        said = "was carried out before; nothing changes" if outcome.status == "repeated" else (
            "would be carried out; nothing was changed" if self.dry_run else "is carried out")
        console.print(f"account {account_id}: {kind} {said} (id {command['id']})", highlight=False, soft_wrap=True)


def create_command(
    plan: Annotated[str, typer.Option("--plan", help="A plan of the tariffs.")],
    account_id: Annotated[int | None, typer.Option("--account", min=0, help="Its number. Default: the next.")] = None,
    service_id: Annotated[int | None, typer.Option("--service", min=0, help="Of its service. Default: next.")] = None,
    msisdn: Annotated[str, typer.Option("--msisdn", help="Its number, with the country code.")] = "",
    imsi: Annotated[str, typer.Option("--imsi", help="Its SIM's identity.")] = "",
    payment: Annotated[str, typer.Option("--payment", help="prepaid or postpaid.")] = "prepaid",
    currency: Annotated[str, typer.Option("--currency", help="Default: the operator's.")] = "",
    credit_limit: Annotated[str, typer.Option("--credit-limit", help="How far below zero it may go.")] = "0",
    time_zone: Annotated[str, typer.Option("--time-zone", help="Default: the operator's.")] = "",
    anchor_day: Annotated[int, typer.Option("--anchor-day", min=1, max=31, help="Day on which cycles begin.")] = 1,
    state: Annotated[str, typer.Option("--state", help="active, or pre_active until its first use.")] = "active",
    at: AtOption = "", name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """A new account, with a service that has a number, a SIM, or both."""
    if name and (account_id is None or (service_id is None and (msisdn or imsi))):
        raise ChargingError("--id without the numbers of account and service", "--account N and --service N",
                            "the same command again must mean the same")
    for number in (msisdn, imsi):
        if number:
            digits_of(number)  # one that is none is refused before there is an account
    with _Job(home, input_folder, ledger, at, name, dry_run) as job:
        usual = job.desk.defaults()
        account = account_id if account_id is not None else int(usual["account_id"])
        service = service_id if service_id is not None else int(usual["service_id"])
        job.send("account_create", account, currency=currency or usual["currency"], plan=plan, state=state,
                 time_zone=time_zone or usual["time_zone"], payment=payment, credit_limit=credit_limit,
                 anchor_day=anchor_day)
        if not msisdn and not imsi:
            return
        try:
            job.send("service_add", account, "/service", service_id=service, new_msisdn=msisdn or None,
                     new_imsi=imsi or None)
        except ChargingError as error:
            raise ChargingError(f"account {account} is there, but has no service: {error}", "",
                                f"tarifa account service {account} --msisdn ... gives it another") from None


def service_command(
    who: WhoArgument,
    service_id: Annotated[int | None, typer.Option("--service", min=0, help="Its number. Default: the next.")] = None,
    msisdn: Annotated[str, typer.Option("--msisdn", help="Its number, with the country code.")] = "",
    imsi: Annotated[str, typer.Option("--imsi", help="Its SIM's identity.")] = "",
    at: AtOption = "", name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """A further service for an account, with a number, a SIM, or both."""
    if name and service_id is None:
        raise ChargingError("--id without the number of the service", "--service N",
                            "the same command again must mean the same")
    with _Job(home, input_folder, ledger, at, name, dry_run) as job:
        service = service_id if service_id is not None else int(job.desk.defaults()["service_id"])
        job.send("service_add", job.account(who), service_id=service, new_msisdn=msisdn or None, new_imsi=imsi or None)


def show_command(
    who: WhoArgument, at: AtOption = "", as_json: JsonOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """State, plans, balances and family of an account."""
    with _Job(home, input_folder, ledger, at) as job:
        told = job.show(who)
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_header=False)
    rows = [("account", told["account_id"]), ("state", told["state"]), ("plans", ", ".join(told["plans"]) or "none"),
            ("payment", told["payment"]), ("currency", told["currency"]),
            ("balance", told["balance"] or "not known: too many sessions are open to see what they hold"),
            ("held", told["held"] or "not known"),
            ("credit limit", told["credit_limit"]), ("available", told["available"])]
    rows += [("shares with", f"account {told['shares_with']}")] if told["shares_with"] is not None else []
    rows += [("shared by", f"{told['shared_by']} accounts")] if told["shared_by"] else []
    rows += [(f"bucket {b['name']}", f"{b['amount']} {b['unit']}" + (f" until {b['to']}" if b["to"] else ""))
             for b in told["buckets"]]
    for label, value in rows:
        table.add_row(label, str(value))
    console.print(table)


def plan_command(
    who: WhoArgument, plan: Annotated[str, typer.Argument(help="A plan of the tariffs.")], at: AtOption = "",
    name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Another plan, instead of those that the account has."""
    with _Job(home, input_folder, ledger, at, name, dry_run) as job:
        job.send("plan_change", job.account(who), plan=plan)


def sim_swap_command(
    msisdn: Annotated[str, typer.Argument(help="The number whose SIM is another.")],
    imsi: Annotated[str, typer.Argument(help="The new SIM's identity.")],
    instead_of: Annotated[str, typer.Option("--instead-of", help="Only this SIM ends, where there are several.")] = "",
    at: AtOption = "", name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Another SIM for the service that has a number."""
    with _Job(home, input_folder, ledger, at, name, dry_run) as job:
        job.send("sim_swap", job.account(msisdn), msisdn=None if instead_of else msisdn, imsi=instead_of or None,
                 new_imsi=imsi)


def number_command(
    msisdn: Annotated[str, typer.Argument(help="The number now.")],
    new: Annotated[str, typer.Argument(help="The new number.")], quarantine_days: QuarantineOption = 90,
    at: AtOption = "", name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Another number; the old one goes into quarantine."""
    with _Job(home, input_folder, ledger, at, name, dry_run) as job:
        job.send("number_change", job.account(msisdn), msisdn=msisdn, new_msisdn=new, quarantine_days=quarantine_days)


def port_in_command(
    msisdn: Annotated[str, typer.Argument(help="The number that the service has now.")],
    new: Annotated[str, typer.Argument(help="The number that comes from another network.")],
    quarantine_days: QuarantineOption = 90,
    at: AtOption = "", name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """A number from another network takes the place of the one that the service has."""
    with _Job(home, input_folder, ledger, at, name, dry_run) as job:
        job.send("port_in", job.account(msisdn), msisdn=msisdn, new_msisdn=new, quarantine_days=quarantine_days)


def port_out_command(
    msisdn: Annotated[str, typer.Argument(help="The number that leaves.")], quarantine_days: QuarantineOption = 90,
    at: AtOption = "", name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """A number goes to another network; account and SIM stay as they are."""
    with _Job(home, input_folder, ledger, at, name, dry_run) as job:
        job.send("port_out", job.account(msisdn), msisdn=msisdn, quarantine_days=quarantine_days)


def suspend_command(
    who: WhoArgument, state: Annotated[str, typer.Option("--state", help="one_way or barred.")] = "barred",
    name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Suspend an account: what its state permits is the tariff's to say."""
    if state not in ("one_way", "barred"):
        raise ChargingError(f"--state {state!r}", "one_way or barred")
    with _Job(home, input_folder, ledger, "", name, dry_run) as job:
        job.send("state", job.account(who), state=state)


def resume_command(
    who: WhoArgument, name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Make an account active again."""
    with _Job(home, input_folder, ledger, "", name, dry_run) as job:
        job.send("state", job.account(who), state="active")


def terminate_command(
    who: WhoArgument, quarantine_days: QuarantineOption = 90, at: AtOption = "",
    name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """End an account; named by its number, also the service that has it, whose number goes into quarantine.

    What is left on its balance stays until it is adjusted.
    """
    with _Job(home, input_folder, ledger, at, name, dry_run) as job:
        account = job.account(who)
        if who != str(account):
            job.send("service_end", account, "/service", msisdn=who, quarantine_days=quarantine_days)
        job.send("state", account, state="terminated")


def join_command(
    who: WhoArgument, head: Annotated[str, typer.Argument(help="Whose balance it is to share: MSISDN or account.")],
    name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Join a family: the other account's buckets and money stand behind its own, for open sessions too."""
    with _Job(home, input_folder, ledger, "", name, dry_run) as job:
        job.send("share_join", job.account(who), shared_account_id=job.account(head))


def leave_command(
    who: WhoArgument, name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Leave the family."""
    with _Job(home, input_folder, ledger, "", name, dry_run) as job:
        job.send("share_leave", job.account(who))


def top_up_command(
    who: WhoArgument, amount: Annotated[str, typer.Argument(help="Decimal, in the account's currency.")],
    name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Money onto the balance, with what the tariff's `top_ups` add."""
    with _Job(home, input_folder, ledger, "", name, dry_run) as job:
        told = job.show(who)
        job.send("top_up", told["account_id"], amount=amount, currency=told["currency"])


def adjust_command(
    who: WhoArgument, amount: Annotated[str, typer.Argument(help="Decimal, of either sign.")],
    name: IdOption = "", dry_run: DryOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """Correct the balance against the adjustment account."""
    with _Job(home, input_folder, ledger, "", name, dry_run) as job:
        told = job.show(who)
        job.send("adjust", told["account_id"], amount=amount, currency=told["currency"])
