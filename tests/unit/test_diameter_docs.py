"""docs/diameter.md says which AVPs are read and sent, and the table of codes agrees with python-diameter's."""

import re
from pathlib import Path

from diameter.message.avp.dictionary import AVP_DICTIONARY, AVP_VENDOR_DICTIONARY

from pipelines.diameter import operations as o
from pipelines.diameter.columns import MESSAGE, UNIT
from pipelines.diameter.dictionary import VENDORS, name_of, named, table
from pipelines.diameter.results import Result
from pipelines.diameter.rules import _all

PAGE = Path(__file__).parents[2] / "docs/diameter.md"
GROUPS = {o.G_COMMAND: "the command", o.G_SERVICE: "Multiple-Services-Credit-Control",
          o.G_REQUESTED: "Requested-Service-Unit", o.G_USED: "Used-Service-Unit", o.G_MONEY: "CC-Money",
          o.G_UNIT_VALUE: "Unit-Value", o.G_SUBSCRIPTION: "Subscription-Id", o.G_INFORMATION: "Service-Information",
          o.G_PACKET: "PS-Information", o.G_IMS: "IMS-Information", o.G_EVENT_TYPE: "Event-Type",
          o.G_SMS: "SMS-Information", o.G_RECIPIENT_INFO: "Recipient-Info", o.G_RECIPIENT: "Recipient-Address",
          o.G_ORIGINATOR: "Originator-Address, Originator-Received-Address", o.G_EQUIPMENT: "User-Equipment-Info",
          o.G_APPLICATION: "Vendor-Specific-Application-Id", o.G_RESULT: "Experimental-Result",
          o.G_MMS: "MMS-Information"}
ENTERED = {o.O_ENTER, o.O_COUNTER}


def lines() -> list[str]:
    """The table of what is read: group, AVP, code, column."""
    made = []
    for group, vendor, code, rule in _all():
        target, columns = rule[o.F_TARGET], UNIT if rule[o.F_TARGET] == o.T_UNIT else MESSAGE
        column = "" if rule[o.F_OP] in ENTERED or target == o.T_REGISTER else f"`{columns.names[rule[o.F_COLUMN]]}`"
        number = f"{vendor}:{code}" if vendor else str(code)
        made.append(f"| {GROUPS[group]} | {name_of(vendor, code)} | {number} | {column} |")
    return made


def test_the_page_names_every_avp_that_is_read() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [line for line in lines() if line not in page]
    assert not missing, "\n".join(missing)


def test_the_page_names_every_result_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [r.name for r in Result if f"| {r.value} | {r.name} |" not in page] == []


def test_the_table_agrees_with_python_diameter() -> None:
    def plain(name: str) -> str:
        return re.sub(r"[^a-z]", "", name.lower().removeprefix("3gpp-"))

    theirs = {(0, code): info["name"] for code, info in AVP_DICTIONARY.items()}
    for vendor in VENDORS[1:]:
        theirs |= {(vendor, code): info["name"] for code, info in AVP_VENDOR_DICTIONARY[vendor].items()}
    ours = table()
    assert {(v, c) for _, v, c, _ in _all()} <= theirs.keys()
    assert theirs.keys() <= ours.keys()
    used = {(v, c) for _, v, c, _ in _all()}
    assert [k for k in used if plain(theirs[k]) != plain(ours[k].name)] == []
    assert named("SIP-Method").vendor == 10415 and named("SIP-Method", 0).code == 393
