"""Commands that change who holds which number or SIM: points beside the operator's inventory, in constant time.

They move no money and no balance: what was resolved before stays with whom it was resolved to, and a replay of the past
has no need of them. A service is named by an identity that it has at the instant of the change.
"""

from collections.abc import Callable

from rating.commands.context import Context, RefusedError
from rating.commands.movement import Movement
from reference_data.changes import Holder
from schemas.codes import Identity
from schemas.columns import ABSENT, Cells
from schemas.identity_change import IDENTITY_CHANGE
from schemas.timepoint import DAY_S, SECOND_US, format_time

QUARANTINE_DAYS, MOST_DAYS = 90, 3660
_KINDS = {"msisdn": Identity.MSISDN, "imsi": Identity.IMSI}
_WORDS = {Identity.MSISDN: "number", Identity.IMSI: "SIM"}


def service_add(context: Context, _movement: Movement) -> None:
    """A new service of the account, with a number, a SIM, or both."""
    service = context.command.get("service_id")
    if not isinstance(service, int) or isinstance(service, bool) or not 0 <= service < 1 << 62:
        raise RefusedError.told("no service_id", "a number that no service has, from 0")
    inventory = context.inventory
    if context.book.changes.has_service(service) or (inventory is not None and inventory.has_service(service)):
        raise RefusedError.told(f"service {service}, which there is already", "a number that no service has",
                                "choose another")
    given = {kind: _new(context, kind) for kind in _KINDS if f"new_{kind}_token" in context.command}
    if not given:
        raise RefusedError.told("neither new_msisdn nor new_imsi", "one of them, or both")
    holder = Holder(_account(context), service, _group(context))
    for kind, identity in _KINDS.items():
        if kind in given:
            _give(context, identity, given[kind], holder)
        _only(context, identity, given.get(kind, ABSENT), service)


def sim_swap(context: Context, _movement: Movement) -> None:
    """Another SIM: of the service that has a number, whose SIMs all end; or in the place of one SIM."""
    kind, named, holder = _service(context)
    new = _new(context, "imsi")
    at = _from(context), context.time_us
    changes = context.book.changes
    if kind == "imsi":
        changes.take(named, *at, 0, holder.service_id)
    _give(context, Identity.IMSI, new, holder)
    if kind == "msisdn" or changes.has_only(holder.service_id, Identity.IMSI, at[0]):
        _only(context, Identity.IMSI, new, holder.service_id)


def number_change(context: Context, _movement: Movement) -> None:
    """Another number; the old one may be given to nobody for a while."""
    if "msisdn_token" not in context.command:
        raise RefusedError.told("no msisdn", "the number that the service has")
    _renumber(context, ported=False)


def port_in(context: Context, _movement: Movement) -> None:
    """A number comes from another network, instead of the one that the service has had, if any."""
    _renumber(context, ported=True)


def port_out(context: Context, _movement: Movement) -> None:
    """A number goes to another network: nobody here holds it any more."""
    if "msisdn_token" not in context.command:
        raise RefusedError.told("no msisdn", "the number that leaves")
    _, named, holder = _service(context)
    _release(context, named, holder.service_id)
    if context.book.changes.has_only(holder.service_id, Identity.MSISDN, _from(context)):
        _only(context, Identity.MSISDN, ABSENT, holder.service_id)


def service_end(context: Context, _movement: Movement) -> None:
    """The service that has an identity ends: none of its numbers, SIMs and addresses is held any more."""
    kind, named, holder = _service(context)
    if kind == "msisdn":
        _release(context, named, holder.service_id)
    for identity in (Identity.MSISDN, Identity.IMSI, Identity.IP_ADDRESS):
        _only(context, identity, ABSENT, holder.service_id)


IDENTITY_ACTIONS: dict[str, Callable[[Context, Movement], None]] = {
    "service_add": service_add, "sim_swap": sim_swap, "number_change": number_change, "port_in": port_in,
    "port_out": port_out, "service_end": service_end}
IDENTITY_KINDS = tuple(IDENTITY_ACTIONS)


def change_cells(context: Context, first: int) -> Cells:
    """What a command added to the book's changes, from point `first` on, as rows of the ledger."""
    if len(context.book.changes) == first:
        return Cells.empty(IDENTITY_CHANGE)
    cells = context.book.changes.to_cells(first)
    cells["movement_hi"], cells["movement_lo"] = context.movement
    cells["change_index"] = range(len(cells))
    cells["journal_position"] = context.position
    cells["account_id"] = _account(context)
    return cells


def _renumber(context: Context, ported: bool) -> None:
    kind, named, holder = _service(context)
    new = _new(context, "msisdn", ported)
    if kind == "msisdn":
        _release(context, named, holder.service_id)
    _give(context, Identity.MSISDN, new, holder)
    _only(context, Identity.MSISDN, new, holder.service_id)


def _service(context: Context) -> tuple[str, int, Holder]:
    """Kind and token of the identity that names the service, and who holds it."""
    named = [kind for kind in _KINDS if f"{kind}_token" in context.command]
    if len(named) != 1:
        raise RefusedError.told("msisdn and imsi" if named else "neither msisdn nor imsi",
                                "one of them: an identity that the service has")
    token = _token(context, named[0])
    holder = context.book.changes.holder(context.inventory, token, _KINDS[named[0]], _from(context))
    if holder is None:
        raise RefusedError.told(f"a {_WORDS[_KINDS[named[0]]]} that nobody has at {format_time(_from(context))}",
                                "one that a service has then", "ask who has it: tarifa account show")
    if holder.account_id != _account(context):
        raise RefusedError.told(f"a {_WORDS[_KINDS[named[0]]]} of another account", f"one of {_account(context)}")
    return named[0], token, holder


def _new(context: Context, kind: str, ported: bool = False) -> int:
    """Token of an identity that is to be given. ported: it comes from elsewhere, quarantine or not."""
    token, at_us = _token(context, f"new_{kind}"), _from(context)
    word, changes = _WORDS[_KINDS[kind]], context.book.changes
    if changes.holder(context.inventory, token, _KINDS[kind], at_us) is not None:
        raise RefusedError.told(f"a {word} that somebody has at {format_time(at_us)}", "one that is free",
                                "choose another, or end that one first")
    free_us = changes.free_at(token, at_us)
    if free_us > at_us and not ported:
        raise RefusedError.told(f"a {word} in quarantine until {format_time(free_us)}", "one that is free",
                                "choose another, or wait")
    return token


def _token(context: Context, name: str) -> int:
    token = context.command.get(f"{name}_token")
    if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < 1 << 63:
        raise RefusedError.told(f"{name}: no such number", "digits: an MSISDN with its country code, an IMSI whole")
    return token


def _give(context: Context, identity: Identity, token: int, holder: Holder) -> None:
    del identity  # a token tells its kind
    context.book.changes.give(token, holder, _from(context), context.time_us)


def _only(context: Context, identity: Identity, token: int, service: int) -> None:
    context.book.changes.only(service, identity, token, _from(context), context.time_us)


def _release(context: Context, token: int, service: int) -> None:
    days = context.command.get("quarantine_days", QUARANTINE_DAYS)
    if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= MOST_DAYS:
        raise RefusedError.told("quarantine_days: no such number", f"0 to {MOST_DAYS}")
    context.book.changes.take(token, _from(context), context.time_us, _from(context) + days * DAY_S * SECOND_US,
                              service)


def _from(context: Context) -> int:
    return context.instant("from", context.time_us)


def _account(context: Context) -> int:
    return int(context.book.account_ids[context.row])


def _group(context: Context) -> int:
    if context.inventory is not None:
        row = int(context.inventory.account_rows(context.book.account_ids[context.row:context.row + 1])[0])
        if row >= 0:
            return int(context.inventory.accounts.group_id[row])
    return _account(context)
