"""The operator whose node is simulated: five subscribers, linear prices. Made once, copied for every seed."""

import shutil
from pathlib import Path

import yaml

from pipelines.home import Home, Input
from pipelines.serve.node import OnlineNode
from tests.online_world import BARRED, LEAST, OFFLINE, QUOTAS, REMEMBER_S, SUPERVISION_S, TARIFF
from tests.small_operator import OPERATOR, Reference, account, times

OPENING = {1: "5.00", 2: "0.40", 3: "0.00", 4: "3.00", BARRED: "1.00"}
SHARES = {2: 1, 3: 1}
CREDIT = {4: "0.10"}


def msisdn(number: int) -> str:
    return f"99970000000{number}"


def make_template(folder: Path) -> Path:
    """A home whose accounts are open, and its input; nobody has it open."""
    (folder / "inbox").mkdir(parents=True)
    operator = folder / "operator"
    (operator / "tariffs").mkdir(parents=True)
    (operator / "tariffs" / "d.csv").write_text("prefix,zone\n4,near\n9,home\n")
    (operator / "tariffs" / "t.yaml").write_text(TARIFF)
    online = {name: {"quota": QUOTAS[name], "least": LEAST[name], "final": "redirect", "redirect_url": "http://top.up"}
              for name in QUOTAS}
    Reference(
        operator=OPERATOR | {"online": {**online, "supervision_s": SUPERVISION_S, "remember_s": REMEMBER_S,
                                        "offline_rating_groups": [OFFLINE]}},
        accounts=[account(number, opening_balance=money, shared_account_id=SHARES.get(number),
                          credit_limit=CREDIT.get(number, "0"), time_zone="UTC",
                          state="barred" if number == BARRED else "active")
                  for number, money in OPENING.items()],
        services=[{"service_id": n + 10, "account_id": n, "kind": "mobile", **times()} for n in OPENING],
        resources=[{"kind": "msisdn", "value": msisdn(n), "service_id": n + 10, **times()} for n in OPENING],
        plans=[{"account_id": n, "plan": "p", **times()} for n in OPENING]).write(operator)
    (operator / "streams.yaml").write_text(yaml.safe_dump({"streams": [
        {"name": "voice", "sources": "msc-*", "format": "ts32298-cs"}]}))
    node = OnlineNode(Input(folder), Home(folder / "home"))
    node.close()
    return folder


def copy_template(template: Path, folder: Path) -> tuple[Input, Home]:
    shutil.copytree(template, folder, symlinks=True)
    return Input(folder), Home(folder / "home")
