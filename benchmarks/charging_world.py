"""What is charged in `benchmarks.rating`: a tariff of twenty plans and a deck of 40,000 prefixes, accounts, usage.

All of it is drawn from seeds. Two mixes: `design` is the mix of DESIGN's bar (prefix, bands, tiers, rounding, accounts
with up to eight buckets); `rich` adds percentage discounts, tiers over a month's counter with thresholds, tax, and two
further charge legs for every call.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from reference_data.accounts import Accounts, accounts_from_arrow
from schemas.codes import Direction, NumberClass, Service, Unit
from schemas.columns import I64, Cells
from schemas.digits import pack
from schemas.timepoint import parse_time
from schemas.usage import USAGE

MIXES = ("design", "rich")
PLANS, PREFIXES, HOME = 20, 40_000, "49"
START = parse_time("2026-06-01T00:00:00+00:00")
NETWORKS = ("telmar", "vianet")
# E.164 country codes.
COUNTRIES = (  # noqa: SIM905
    "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 "
    "86 90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 "
    "236 237 238 239 240 241 242 243 244 245 246 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 "
    "265 266 267 268 269 290 291 297 298 299 350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 "
    "377 378 380 381 382 383 385 386 387 389 420 421 423 500 501 502 503 504 505 506 507 508 509 590 591 592 593 "
    "594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 687 688 689 690 691 692 "
    "850 852 853 855 856 880 886 960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 992 993 994 "
    "995 996 998").split()
GROUPS = 12  # of foreign countries that cost the same
_ALLOWANCES = (
    "{name: minutes, unit: second, amount: 100 min, step: 60, cycle: month, services: [voice], "
    "zones: [national, mobile]}",
    "{name: messages, unit: message, amount: 200, cycle: month, services: [sms]}",
    "{name: volume, unit: octet, amount: 5 GiB, step: 1 KiB, cycle: month, services: [data]}",
    "{name: abroad, unit: second, amount: 30 min, step: 60, cycle: month, services: [voice], zones: [ABROAD]}",
    "{name: today, unit: octet, amount: 50 MiB, step: 1 KiB, cycle: day, services: [data], priority: 0}",
    "{name: this_week, unit: second, amount: 20 min, step: 1, cycle: week, services: [voice], "
    "zones: [national, mobile], priority: 0}",
    "{name: streaming, unit: octet, amount: 1 GiB, step: 1 KiB, cycle: month, services: [data], zones: [streaming], "
    "priority: 0}")


def deck() -> list[tuple[str, str]]:
    """(prefix, zone): every country, its ranges of fixed and mobile numbers, two to five digits longer."""
    draw = np.random.default_rng(40_000)
    rows = {HOME: "national", **{f"{HOME}{n}": "mobile" for n in range(150, 180)}}
    countries = [code for code in COUNTRIES if code != HOME]
    for code in countries:
        rows[code] = f"c{code}"
    while len(rows) < PREFIXES:
        # A few countries have most of the ranges.
        code = countries[int(len(countries) * draw.random() ** 3)]
        mobile = draw.random() < 0.5
        for number in draw.integers(0, 10 ** draw.integers(2, 6), 20):
            if len(rows) < PREFIXES:
                rows.setdefault(f"{code}{number}", f"c{code}m" if mobile else f"c{code}")
    return sorted(rows.items())


def write_tariff(folder: Path, mix: str) -> list[tuple[str, str]]:
    """The version and its deck, in `folder`; returns the deck."""
    rows, rich = deck(), mix == "rich"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "world.csv").write_text("prefix,zone\n" + "".join(f"{p},{z}\n" for p, z in rows), encoding="utf-8")
    abroad = sorted({zone for _, zone in rows} - {"national", "mobile"})
    groups = [abroad[group::GROUPS] for group in range(GROUPS)]
    lines = ['version: "2026"', "active_from: 2026-01-01T00:00:00", "time_zone: Europe/Berlin", "currency: EUR",
             "decks: {main: world.csv}", f"own_networks: [{NETWORKS[0]}]",
             'roaming: {eu: ["208", "222"], world: ["*"]}',
             "data_classes:", "  - {class: streaming, rating_groups: [20, 21]}", "  - {class: internet}", "timings:",
             "  hours:", '    - {band: peak, days: mon-fri, from: "08:00", to: "20:00"}',
             "    - {band: off_peak, otherwise: true}", "rates:"]
    over = ", over: calls" if rich else ""
    for level in range(4):
        lines += [
            f"  peak_{level}: {{unit: second{over}, connect_fee: 0.0{level + 1}, slots: [{{price: 0.1{level}, per: 60, "
            f"step: 60}}, {{from: 60, price: 0.1{level}, per: 60, step: 1}}, "
            "{from: 600, price: 0.05, per: 60, step: 1}]}",
            f"  off_peak_{level}: {{unit: second{over}, slots: [{{price: 0.03, per: 60, step: {1 + level}}}]}}",
            f"  sms_{level}: {{unit: message, slots: [{{price: 0.0{5 + level}}}]}}",
            f"  data_{level}: {{unit: octet, slots: [{{price: 0.02, per: 1 MiB, step: 10 KiB}}, "
            f"{{from: 100 MiB, price: 0.01, per: 1 MiB, step: 100 KiB}}]}}"]
        lines += [f"  abroad_{level}_{group}: {{unit: second, connect_fee: 0.15, minimum_charge: 0.20, "
                  f"slots: [{{price: 0.{20 + 3 * group + level}, per: 60, step: {(60, 30, 1)[group % 3]}}}]}}"
                  for group in range(GROUPS)]
    if rich:
        lines += ["  termination: {unit: second, connect_fee: 0.01, slots: [{price: 0.015, per: 60, step: 1}]}",
                  "  buying: {unit: second, slots: [{price: 0.06, per: 60, step: 1}]}",
                  "discounts:", "  loyal: {percent: 10, cap: 5}", "  voice: {percent: 5, services: [voice]}",
                  "counters:",
                  "  calls: {unit: second, cycle: month, service: voice, zones: [national, mobile], "
                  "thresholds: [3000, 6000]}",
                  "  spent: {charge: true, cycle: month, thresholds: [10, 50]}"]
    lines.append("plans:")
    for plan in range(PLANS):
        level, rule = plan % 4, ("half_up", "half_even", "up", "half_up")[plan % 4]
        lines += [f"  plan-{plan:02d}:", f"    uncollected: {'debt' if plan % 2 else 'loss'}",
                  f"    rounding: {{rule: {rule}, decimals: {2 + plan % 3}, scope: session}}"]
        if rich:
            lines += ["    tax: {percent: 19, prices: inclusive}", "    discounts: [loyal, voice]",
                      "    counters: [calls, spent]"]
        if plan % 8:
            lines += ["    allowances:", *(f"      - {each.replace('ABROAD', ', '.join(groups[0]))}"
                                           for each in _ALLOWANCES[:plan % 8])]
        lines += ["    prices:", "      - {service: voice, zones: [national, mobile], timing: hours, "
                  f"rates: {{peak: peak_{level}, off_peak: off_peak_{level}}}}}",
                  *(f"      - {{service: voice, zones: [{', '.join(zones)}], rate: abroad_{level}_{group}}}"
                    for group, zones in enumerate(groups)),
                  f"      - {{service: sms, zones: any, rate: sms_{level}}}",
                  f"      - {{service: data, zones: any, rate: data_{level}}}"]
    if rich:
        lines += ["  carrier: {rounding: {rule: half_up, decimals: 6}, prices: [{service: voice, zones: any, "
                  "rate: termination}]}", "  wholesale: {prices: [{service: voice, zones: any, rate: buying}]}",
                  "legs:",
                  f"  - {{leg: interconnect, plan: carrier, accounts: {{{NETWORKS[0]}: 1, {NETWORKS[1]}: 2}}, "
                  "service: voice, zones: any}",
                  "  - {leg: reseller, plan: wholesale, account: 3, service: voice, zones: any}"]
    (folder / "2026.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


FIRST = 8  # ids of customers; those before are the parties of legs


def lane_of(account_id: I64) -> I64:
    """Lane of a customer: families, four ids in a row, stay together."""
    return account_id // 4 % 2


def accounts(ids: I64) -> Accounts:
    """Those customers: half of them postpaid; every fourth shares with its neighbour. Below FIRST: parties of legs."""
    count, stamp = ids.size, pa.timestamp("us", tz="UTC")
    shares = (ids % 4 == 3) & (ids >= FIRST)
    odd = ids % 2 == 1
    none, zero = pa.nulls(count, stamp), pa.array(np.zeros(count, np.int64), stamp)
    plan = ids * 7919 // 4 % PLANS
    names = pa.array([f"plan-{number:02d}" for number in range(PLANS)])
    return accounts_from_arrow(
        pa.table({"account_id": ids, "shared_account_id": pa.array(np.where(shares, ids - 1, 0), mask=~shares),
                  "payment": np.where(odd, "prepaid", "postpaid"),
                  "currency": pa.array(["EUR"]).take(np.zeros(count, int)),
                  "credit_limit": np.where(odd, "0", "100"), "opening_balance": np.where(odd, "20.00", "0"),
                  "time_zone": pa.array(["Europe/Berlin"]).take(np.zeros(count, int)), "anchor_day": ids % 28 + 1,
                  "state": pa.array(["active"]).take(np.zeros(count, int))}),
        pa.table({"account_id": ids, "plan": names.take(plan),
                  "valid_from": pa.array(np.full(count, parse_time("2026-01-01T00:00:00+00:00")), stamp),
                  "valid_to": none, "recorded_from": zero, "recorded_to": none}))


def usage(count: int, account_count: int, seed: int, rows: list[tuple[str, str]]) -> Cells:
    """A day's usage: voice 30 %, SMS 10 %, data 60 % in sessions of some five partials, in order of time.

    Seven calls of ten stay in the country; the others go anywhere in the deck.
    """
    draw = np.random.default_rng(seed)
    cells = Cells.empty(USAGE, count, fill=-1)
    kind = draw.choice([Service.VOICE, Service.SMS, Service.DATA], count, p=[0.3, 0.1, 0.6])
    account = draw.integers(FIRST, FIRST + account_count, count)
    index = np.arange(count)
    far = np.array([pack(f"{prefix}4711"[:12]) for prefix, _ in rows], np.int64)
    near = np.array([pack(f"{HOME}{n}12345") for n in (30, 40, 89, 151, 160, 172)], np.int64)
    called = np.where(draw.random(count) < 0.7, draw.choice(near, count), draw.choice(far, count))
    data = kind == Service.DATA
    session = account * 16 + draw.integers(0, max(count // account_count // 5, 1), count)
    for name, value in {
        "source": 0, "file_id": 1, "record_offset": index * 100, "record_length": 100, "container_index": 0,
        "event_id_hi": index + 1, "event_id_lo": seed, "session_hi": np.where(data, session, index + 1),
        "session_lo": np.where(data, -9, seed), "service": kind, "direction": Direction.ORIGINATING,
        "event_time_us": START + index * (86_400_000_000 // count),
        "quantity": np.where(data, draw.lognormal(13, 2, count).astype(np.int64),
                             np.where(kind == Service.VOICE, draw.exponential(120, count).astype(np.int64) + 1, 1)),
        "unit": np.where(data, Unit.OCTET, np.where(kind == Service.VOICE, Unit.SECOND, Unit.MESSAGE)),
        "other_class": NumberClass.ORDINARY, "other_prefix": np.where(data, -1, called),
        "other_network": np.where(data, -1, draw.integers(-1, 2, count)),
        "rating_group": np.where(data, np.where(draw.random(count) < 0.2, 20, 1), -1), "roaming": 0,
        "merged_count": 1, "incomplete": 0, "account_id": account, "group_id": account // 4, "lane": lane_of(account),
    }.items():
        cells[name] = value
    return cells
