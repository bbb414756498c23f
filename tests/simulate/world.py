"""The operator whose node is simulated: five subscribers, linear prices. Made once, copied for every seed."""

import shutil
from functools import cache
from pathlib import Path

import yaml

from pipelines.corrections.kept import tariffs_of_texts
from pipelines.home import Home, Input
from pipelines.serve.node import OnlineNode
from tests.online_world import (
    BARRED,
    CENT,
    LEAST,
    OFFLINE,
    PRICES,
    QUOTAS,
    REMEMBER_S,
    SUPERVISION_S,
    TARIFF,
)
from tests.small_operator import OPERATOR, Reference, account, times

OPENING = {1: "5.00", 2: "0.40", 3: "0.00", 4: "3.00", BARRED: "1.00"}
DECK = "prefix,zone\n4,near\n9,home\n"
SHARES = {2: 1, 3: 1}
CREDIT = {4: "0.10"}
# What the operator activates: other prices under the same name; a version of another name, beside another plan whose
# name comes first, so that places in the compiled tariff are others.
PLAN_A = """plans:
  a:
    prices:
      - {service: voice, rate: voice}
"""
VARIANTS = (("t", TARIFF), ("t", TARIFF.replace('"0.001"', '"0.003"').replace('"0.07"', '"0.02"')),
            ("s", TARIFF.replace("version: t", "version: s").replace('"0.0000005"', '"0.0000009"').replace(
                "plans:\n", PLAN_A)))
VARIANT_PRICES = (PRICES, PRICES | {"voice": 3 * CENT // 10, "sms": 2 * CENT}, PRICES | {"data": 90})


def msisdn(number: int) -> str:
    return f"99970000000{number}"


def make_template(folder: Path) -> Path:
    """A home whose accounts are open, and its input; nobody has it open."""
    (folder / "inbox").mkdir(parents=True)
    operator = folder / "operator"
    (operator / "tariffs").mkdir(parents=True)
    (operator / "tariffs" / "d.csv").write_text(DECK)
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


def write_variant(source: Input, number: int) -> None:
    """The operator edits the folder."""
    for path in (source.operator / "tariffs").glob("*.yaml"):
        path.unlink()
    version, text = VARIANTS[number]
    (source.operator / "tariffs" / f"{version}.yaml").write_text(text)


@cache
def variant_hashes() -> tuple[str, ...]:
    """Content hash of each."""
    return tuple(tariffs_of_texts({f"{version}.yaml": text, "d.csv": DECK}).content_hash
                 for version, text in VARIANTS)


def copy_template(template: Path, folder: Path) -> tuple[Input, Home]:
    shutil.copytree(template, folder, symlinks=True)
    return Input(folder), Home(folder / "home")
