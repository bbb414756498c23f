"""A small operator whose answers are worked by hand, served by `tarifa serve`, and raw clients before it.

Data 0.001 for each 1,000 octets begun (rating group 20: 0.002; 30: 0.004 from eight to twenty, else 0.001, by the
octet; 99 free; 77 without a price; 55 without credit control). Calls 0.01 a second; to mobiles 0.10 and 0.30 for each
minute begun. Messages 0.10, pictures 0.25, other units 0.30. UTC. Accounts 1 to 200 have 10.00, 201 to 230 have 0.05,
231 to 240 nothing; 241 is barred but for messages, 242 pre-active, 243 terminated; 250 has 1.00, which 251 to 256
share; 260 has no plan; 261 nothing and a credit limit of 5.00.
"""

import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from pipelines.balance_api.tokens import SCOPES, Tokens
from pipelines.home import Home
from pipelines.serve.home_socket import connect
from tests.diameter_wire import NTP, TGPP, Group, Message, Peer, Told, avp, message, ntp, u32, u64
from tests.served import Served
from tests.small_operator import Reference, account, times

PS, IMS, SMS, MMS, OTHER = (f"{number}@3gpp.org" for number in (32251, 32260, 32274, 32270, 32299))
HOST, REALM, OCS = "pgw.check.example", "check.example", "ocs.check.example"
TARIFF = """
version: check
active_from: "2025-01-01T00:00:00"
time_zone: UTC
currency: EUR
decks: {main: deck.csv}
roaming: {abroad: ["*"]}
data_classes:
  - {class: video, rating_groups: [20]}
  - {class: banded, rating_groups: [30]}
  - {class: unpriced, rating_groups: [77]}
  - {class: free, rating_groups: [99]}
  - {class: web}
timings:
  clock: [{band: day, from: "08:00", to: "20:00"}, {band: night, otherwise: true}]
rates:
  web: {unit: octet, slots: [{price: "0.001", per: 1000, step: 1000}]}
  video: {unit: octet, slots: [{price: "0.002", per: 1000, step: 1000}]}
  day_octets: {unit: octet, slots: [{price: "0.004", per: 1000}]}
  night_octets: {unit: octet, slots: [{price: "0.001", per: 1000}]}
  free: {unit: octet, free: true}
  call: {unit: second, slots: [{price: "0.60", per: 60, step: 1}]}
  minute: {unit: second, connect_fee: "0.10", slots: [{price: "0.30", per: 60, step: 60}]}
  text: {unit: message, slots: [{price: "0.10"}]}
  picture: {unit: message, slots: [{price: "0.25"}]}
  item: {unit: unit, slots: [{price: "0.30"}]}
counters:
  month: {unit: octet, cycle: month, service: data, thresholds: [1000000, 2000000]}
plans:
  prepaid:
    counters: [month]
    uncollected: debt
    prices:
      - {service: data, zones: [web], rate: web}
      - {service: data, zones: [video], rate: video}
      - {service: data, zones: [banded], timing: clock, rates: {day: day_octets, night: night_octets}}
      - {service: data, zones: [free], rate: free}
      - {service: voice, zones: [national], rate: call}
      - {service: voice, zones: [mobile], rate: minute}
      - {service: sms, zones: [national, mobile], rate: text}
      - {service: mms, zones: [national, mobile], rate: picture}
      - {service: generic, rate: item}
states: {barred: {permits: [sms]}}
"""
RULES = {
    "data": {"quota": 100_000, "least": 1000, "validity_s": 600, "threshold_percent": 10, "holding_s": 60},
    "voice": {"quota": 60, "validity_s": 300, "final": "redirect", "redirect_url": "http://top.up.example/"},
    "sms": {"quota": 5, "final": "restrict", "filter": "permit in ip from any to 10.0.0.1"},
    "generic": {"quota": 10}, "offline_rating_groups": [55]}


def msisdn(number: int) -> str:
    return str(999_700_001_000 + number)


def imsi(number: int) -> str:
    return f"{1_010_000_001_000 + number:015d}"


def write_operator(folder: Path) -> None:
    """As somebody would who has read the manual: some columns are left null."""
    (folder / "tariffs").mkdir(parents=True)
    (folder / "tariffs/check.yaml").write_text(TARIFF)
    (folder / "tariffs/deck.csv").write_text("prefix,zone\n99930,national\n99970,mobile\n33,europe\n")
    files = Reference(accounts=[], services=[], resources=[], plans=[])
    files.operator |= {"time_zone": "UTC", "online": RULES}
    special: dict[int, dict[str, Any]] = {
        241: {"state": "barred"}, 242: {"state": "pre_active"}, 243: {"state": "terminated"},
        250: {"opening_balance": "1.00"}, 261: {"payment": "postpaid", "credit_limit": "5.00"}} | {
        n: {"shared_account_id": 250, "group_id": 250} for n in range(251, 257)}
    for n in range(1, 262):
        opening = "10.00" if n <= 200 else "0.05" if n <= 230 else None if n < 241 or n > 243 else "10.00"
        files.accounts.append(account(n, **{"opening_balance": opening, "credit_limit": None, "anchor_day": None,
                                            "state": None, **special.get(n, {})}))
        files.services.append({"service_id": 1000 + n, "account_id": n, "kind": "mobile", **times()})
        files.resources += [{"kind": kind, "value": value, "service_id": 1000 + n, **times()}
                            for kind, value in (("msisdn", msisdn(n)), ("imsi", imsi(n)))]
        if n != 260:
            files.plans.append({"account_id": n, "plan": "prepaid", **times()})
    files.write(folder)
    (folder / "serve.yaml").write_text(yaml.safe_dump({
        "identity": {"host": OCS, "realm": REALM}, "commit_s": 0.2,
        "gy": {"listen": "127.0.0.1:0", "peers": [{"host": HOST, "realm": REALM}]},
        "nchf": {"listen": "127.0.0.1:0", "open_on_loopback": True}, "api": {"listen": "127.0.0.1:0"},
        "operate": {"listen": "127.0.0.1:0"}}))


class WorkedHome:
    """Such a home, served."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, Home(folder / "home")
        write_operator(folder / "operator")
        (folder / "inbox").mkdir()
        self.token = Tokens(self.home.root).create("test", list(SCOPES), 1_000_000)
        self.serve()

    def serve(self) -> None:
        self.served = Served(self.folder, self.home.root)
        self.nchf, self.api = (f"http://{line['address']}" for name in ("nchf", "api") for line in self.served.said
                               if line.get("front_end") == name)

    def peer(self) -> Peer:
        return Peer(self.served.port, HOST, REALM)

    def asked(self, method: str, path: str, key: str = "", **more: Any) -> httpx.Response:
        """The balance API."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Idempotency-Key": key} if key else {})
        return httpx.request(method, self.api + path, headers=headers, timeout=10, **more)

    def account(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.asked("GET", f"/v1/accounts/{number}").json()
        return found

    def money(self, number: int) -> tuple[str, str]:
        """Balance, and what is held of it."""
        found = self.account(number)
        return found["balance"], found["held"]

    def command(self, kind: str, number: int, **fields: Any) -> dict[str, Any]:
        """Through the socket in the home."""
        node = connect(self.home.root)
        assert node is not None
        with node:
            return node.ask(op="command", command={
                "id": f"{kind}-{number}-{time.monotonic_ns()}", "kind": kind, "account_id": number,
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **fields})


def amounts(code: int, parts: dict[str, Any]) -> bytes:
    """Requested- or Used-Service-Unit."""
    made = []
    for name, value in parts.items():
        if name == "s":
            made.append(u32(420, value))
        elif name == "money":  # digits, exponent, currency
            digits, exponent, currency = value
            made.append(avp(413, [avp(445, [u64(447, digits), u32(429, exponent)]), u32(425, currency)]))
        elif name in ("change", "reason"):
            made.append(u32(452, value) if name == "change" else u32(872, value, TGPP))
        else:
            made.append(u64({"octets": 421, "up": 412, "down": 414, "units": 417}[name], value))
    return avp(code, made)


def asks(**parts: Any) -> bytes:
    return amounts(437, parts)


def used(**parts: Any) -> bytes:
    return amounts(446, parts)


def group(number: int | None, *parts: bytes) -> bytes:
    """Multiple-Services-Credit-Control."""
    return avp(456, ([] if number is None else [u32(432, number)]) + list(parts))


def ccr(kind: int, number: int, session: str, who: int | None, *parts: bytes, context: str = PS, at: int | None = None,
        action: int | None = None, again: bool = False, without: tuple[int, ...] = ()) -> bytes:
    """A CCR. who: account; without: codes of AVPs that are left out; again: T flag."""
    head = {263: avp(263, f"{HOST};{session}"), 264: avp(264, HOST), 296: avp(296, REALM), 283: avp(283, REALM),
            258: u32(258, 4), 461: avp(461, context), 416: u32(416, kind), 415: u32(415, number)}
    made = [octets for code, octets in head.items() if code not in without]
    made += [] if at is None else [ntp(55, at)]
    made += [] if who is None else [avp(443, [u32(450, 0), avp(444, msisdn(who))])]
    made += [] if action is None else [u32(436, action)]
    return message(272, 4, [*made, *parts], 0xD0 if again else 0xC0)


def to_number(number: str, context: str = SMS) -> bytes:
    """SMS-Information with a recipient, or MMS-Information."""
    address = avp(1201, [u32(899, 1, TGPP), avp(897, number, TGPP)], TGPP)
    if context == MMS:
        return avp(873, [avp(877, [address], TGPP)], TGPP)
    return avp(873, [avp(2000, [avp(2026, [address], TGPP)], TGPP)], TGPP)


def calls(number: str) -> bytes:
    """IMS-Information of who calls."""
    said = [u32(829, 0, TGPP), avp(841, "icid", TGPP), avp(832, f"tel:{number}", TGPP)]
    return avp(873, [avp(876, said, TGPP)], TGPP)


def granted(answer: Group, changes: bool = False) -> Told:
    """Granted-Service-Unit; when a tariff changes next hangs on the time of day, and is told on request."""
    unit = answer.group(431)
    if unit is None:
        return {}
    names = {420: "s", 421: "octets", 417: "units", 451: "change"}
    return {names[code]: int.from_bytes(value, "big") - (NTP if code == 451 else 0) for code, value in unit.avps
            if changes or code != 451}


def final(answer: Group) -> tuple[Any, ...]:
    """Final-Unit-Indication: action, where to, filter."""
    said = answer.group(430)
    if said is None:
        return ()
    server = said.group(434)
    return (said.number(449), *([server.raw(435)] if server else []), *said.all(438))


def services(answer: Message, changes: bool = False) -> list[Told]:
    """Each Multiple-Services-Credit-Control, what it has of all that it may say."""
    found = []
    for each in answer.groups(456):
        said = {"group": each.number(432), "code": each.code, "granted": granted(each, changes), "final": final(each),
                "validity": each.number(448), "holding": each.number(871), "threshold": each.number(869)}
        found.append({name: value for name, value in said.items() if value not in (None, {}, ())})
    return found


def cost(answer: Group) -> tuple[int, int] | None:
    """Cost-Information: digits and exponent; in euros."""
    said = answer.group(423)
    value = None if said is None else said.group(445)
    if said is None or value is None:
        return None
    assert said.number(425) == 978
    return value.number(447, True) or 0, value.number(429, True) or 0
