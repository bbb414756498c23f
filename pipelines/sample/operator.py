"""The operator folder: number plan, streams, customers and what they hold, tariffs. See README.md for the numbers."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from pipelines.sample import tariffs
from pipelines.sample.destinations import (
    EMERGENCY,
    FIXED_AREAS,
    FIXED_NETWORK,
    HOME_NETWORK,
    NETWORKS,
    PREMIUM,
    TOLL_FREE,
)
from pipelines.sample.network import streams
from pipelines.sample.population import (
    BLOCK,
    COUNTRY_CODE,
    FIXED_BLOCKS,
    MOBILE_BLOCKS,
    TIME_ZONE,
    Period,
    Population,
    blocks,
)
from pipelines.sample.rows import (
    NEVER,
    PORTED_EVERY,
    S_FROM_S,
    S_HOTSPOT_IP,
    S_IMSI,
    S_IMSI_AFTER,
    S_MSISDN,
    S_SWAP_S,
    S_TO_S,
    SPREAD,
    SPREAD_STEP,
)
from schemas.columns import I64

NAME = "Tarifa Mobile"
HOME_PLMN_TEXT = "00101"
LANES = 32
ACCOUNT, CUSTOMER, SERVICE, VOIP_SERVICE, HOTSPOT_SERVICE = 1_000_000, 500_000, 10_000_000, 20_000_000, 30_000_000
SERVICE_BLOCK = 30_000_000  # between services of the same kind, of subscribers whose numbers are of consecutive blocks
MICRO = 1_000_000
TIME = pa.timestamp("us", tz="UTC")


def account_ids(count: int) -> I64:
    """Account of every subscriber."""
    return ACCOUNT + np.arange(count, dtype=np.int64)


def service_ids(kind: int, index: I64) -> I64:
    """Services of a kind, SERVICE and so on, of subscribers."""
    return kind + index % BLOCK + index // BLOCK * SERVICE_BLOCK


def is_prepaid(people: Population) -> npt.NDArray[np.bool_]:
    """Families are postpaid; of the others, every second pays in advance."""
    index = np.arange(len(people))
    prepaid: npt.NDArray[np.bool_] = (family_of(people) < 0) & (index // 2 % 2 == 0)
    return prepaid


def family_of(people: Population) -> I64:
    """Index of the head for every member of a family, -1 for singles."""
    members = np.bincount(people.family_head, minlength=len(people))
    return np.where(members[people.family_head] > 1, people.family_head, -1)


def numbers_as_text(packed: I64, width: int = 0) -> pa.Array:
    """Packed digits as text; shorter ones are padded with zeros to `width`."""
    value, scale, rest = np.zeros(len(packed), np.int64), 1, packed.copy()
    while (rest > 0).any():
        value += np.where(rest > 0, (rest & 15) - 1, 0) * scale
        rest, scale = rest >> 4, scale * 10
    text = pc.cast(pa.array(value), pa.string())
    return pc.utf8_lpad(text, width, "0") if width else text


def _times(seconds: I64) -> pa.Array:
    """Seconds UTC as timestamps; NEVER becomes null."""
    return pa.array(np.where(seconds < NEVER, seconds, 0) * MICRO, mask=seconds >= NEVER).cast(TIME)


def _intervals(start_s: I64, end_s: I64, recorded_s: int) -> dict[str, pa.Array]:
    count = len(start_s)
    return {"valid_from": _times(start_s), "valid_to": _times(end_s),
            "recorded_from": _times(np.full(count, recorded_s, np.int64)), "recorded_to": pa.nulls(count, TIME)}


def _write(path: Path, columns: dict[str, pa.Array]) -> None:
    pq.write_table(pa.table(columns), path, compression="zstd", write_statistics=False, store_schema=True)


def _repeat(text: str, count: int) -> pa.Array:
    return pa.array([text]).take(pa.array(np.zeros(count, np.int64)))


def write_operator(folder: Path, people: Population, when: Period, wrong_row: bool) -> None:
    """The whole folder. `wrong_row`: put the wrong tariff row into the newest deck."""
    folder.mkdir(parents=True)
    _yaml(folder / "operator.yaml", {"name": NAME, "home_plmn": HOME_PLMN_TEXT, "country_code": COUNTRY_CODE,
                                     "time_zone": TIME_ZONE, "currency": tariffs.CURRENCY, "lanes": LANES})
    _yaml(folder / "number_plan.yaml", _number_plan(len(people)))
    _yaml(folder / "streams.yaml", streams())
    _yaml(folder / "serve.yaml", _served())
    tariffs.write_tariffs(folder / "tariffs", when, wrong_row)
    began = when.start_s - 365 * 86_400
    _write_accounts(folder, people)
    _write_plans(folder, people, when, began)
    _write_services(folder, people, began)
    _write_resources(folder, people, began)
    _write_ported(folder, people, began)


def _yaml(path: Path, content: object) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


def _served() -> dict[str, object]:
    """What `tarifa serve` listens for: a packet gateway, a message centre, an application server, a policy function, on
    this machine."""
    realm = "tarifa.example"
    peers = [{"host": f"{name}.{realm}", "realm": realm} for name in ("pgw-01", "smsc-01", "scscf-01")]
    return {"identity": {"host": f"ocs.{realm}", "realm": realm},
            "gy": {"listen": "127.0.0.1:3868", "peers": peers},
            "sy": {"peers": [{"host": f"pcrf-01.{realm}", "realm": realm}]}, "operate": {"listen": "127.0.0.1:9464"}}


def _number_plan(subscribers: int) -> dict[str, object]:
    ours = zip(blocks(MOBILE_BLOCKS, subscribers), blocks(FIXED_BLOCKS, subscribers), strict=True)
    networks = [{"prefix": prefix, "network": HOME_NETWORK} for pair in ours for prefix in pair]
    networks += [{"prefix": prefix, "network": network} for prefix, network in NETWORKS.items()]
    networks += [{"prefix": area, "network": FIXED_NETWORK} for area in FIXED_AREAS]
    return {"country_code": COUNTRY_CODE, "international_prefix": "00", "national_prefix": "0",
            "emergency": list(EMERGENCY), "toll_free": [TOLL_FREE], "premium": [PREMIUM],
            "short_code_digits": {"min": 3, "max": 6}, "number_digits": {"min": 7, "max": 15}, "networks": networks}


def _write_accounts(folder: Path, people: Population) -> None:
    count = len(people)
    index = np.arange(count, dtype=np.int64)
    family, prepaid = family_of(people), is_prepaid(people)
    head = np.where(family >= 0, family, index)
    shared = (family >= 0) & (head != index)
    # Some have spent nearly all: their calls run into an empty balance.
    cents = np.where(index % 10 == 4, 20 + index % 60, 500 + (index * 37) % 4500)
    money = np.where(prepaid, cents, 0)
    limit = np.where(prepaid, 0, np.where(index % 3 == 0, 5000, 20000))
    _write(folder / "accounts.parquet", {
        "account_id": pa.array(account_ids(count)), "customer_id": pa.array(CUSTOMER + head),
        "group_id": pa.array(ACCOUNT + head), "shared_account_id": pa.array(ACCOUNT + head, mask=~shared),
        "payment": pc.if_else(pa.array(prepaid), "prepaid", "postpaid"),
        "currency": _repeat(tariffs.CURRENCY, count), "credit_limit": _cents(limit), "opening_balance": _cents(money),
        "time_zone": _repeat(TIME_ZONE, count), "anchor_day": pa.array(1 + index % 31),
        "state": _repeat("active", count)})


def _cents(values: I64) -> pa.Array:
    """Decimal text of cents."""
    whole = pc.cast(pa.array(values // 100), pa.string())
    return pc.binary_join_element_wise(whole, pc.utf8_lpad(pc.cast(pa.array(values % 100), pa.string()), 2, "0"), ".")


def _write_plans(folder: Path, people: Population, when: Period, began: int) -> None:
    count = len(people)
    index = np.arange(count, dtype=np.int64)
    names = pa.array([*tariffs.PREPAID, *tariffs.POSTPAID, tariffs.FAMILY])
    plan = np.where(family_of(people) >= 0, 4, np.where(is_prepaid(people), index % 2, 2 + (index // 4) % 2))
    # A few change their plan at noon of the first day, within their way of paying.
    changing = np.flatnonzero((index % 200 == 21) & (plan < 4))
    noon = when.start_s + 12 * 3600
    end = np.full(count, NEVER, np.int64)
    end[changing] = noon
    start = np.full(count, began, np.int64)
    later = np.full(len(changing), NEVER, np.int64)
    _write(folder / "plans.parquet", {
        "account_id": pa.array(ACCOUNT + np.concatenate([index, changing])),
        "plan": names.take(pa.array(np.concatenate([plan, plan[changing] ^ 1]))),
        **_intervals(np.concatenate([start, np.full(len(changing), noon, np.int64)]), np.concatenate([end, later]),
                     began)})


def _write_services(folder: Path, people: Population, began: int) -> None:
    count, voip = len(people), len(people.voip_owner)
    hotspots = np.flatnonzero(people.mobile[S_HOTSPOT_IP] > 0)
    index = np.arange(count, dtype=np.int64)
    start = np.maximum(people.mobile[S_FROM_S], began)
    extra = voip + len(hotspots)
    _write(folder / "services.parquet", {
        "service_id": pa.array(np.concatenate([
            service_ids(SERVICE, index), service_ids(VOIP_SERVICE, people.voip_owner),
            service_ids(HOTSPOT_SERVICE, hotspots)])),
        "account_id": pa.array(ACCOUNT + np.concatenate([index, people.voip_owner, hotspots])),
        "kind": pa.concat_arrays([_repeat("mobile", count), _repeat("voip", voip), _repeat("hotspot", len(hotspots))]),
        **_intervals(np.concatenate([start, np.full(extra, began, np.int64)]),
                     np.concatenate([people.mobile[S_TO_S], np.full(extra, NEVER, np.int64)]), began)})


def _write_resources(folder: Path, people: Population, began: int) -> None:
    mobile, voip, swapped = people.mobile, people.voip, people.swapped
    count = len(people)
    index = np.arange(count, dtype=np.int64)
    start = np.maximum(mobile[S_FROM_S], began)
    hotspots = np.flatnonzero(mobile[S_HOTSPOT_IP] > 0)
    addresses = pa.array([".".join(str(int(a) >> s & 255) for s in (24, 16, 8, 0))
                          for a in mobile[S_HOTSPOT_IP, hotspots]], pa.string())
    parts = [  # kind, value, service, from, to
        ("msisdn", numbers_as_text(mobile[S_MSISDN]), service_ids(SERVICE, index), start, mobile[S_TO_S]),
        ("imsi", numbers_as_text(mobile[S_IMSI], 15), service_ids(SERVICE, index), start,
         np.minimum(mobile[S_SWAP_S], mobile[S_TO_S])),
        ("imsi", numbers_as_text(mobile[S_IMSI_AFTER, swapped], 15), service_ids(SERVICE, swapped),
         np.maximum(mobile[S_SWAP_S, swapped], start[swapped]), mobile[S_TO_S, swapped]),
        ("msisdn", numbers_as_text(voip[S_MSISDN]), service_ids(VOIP_SERVICE, people.voip_owner),
         np.full(len(people.voip_owner), began, np.int64), np.full(len(people.voip_owner), NEVER, np.int64)),
        ("ip_address", addresses, service_ids(HOTSPOT_SERVICE, hotspots), np.full(len(hotspots), began, np.int64),
         np.full(len(hotspots), NEVER, np.int64)),
    ]
    _write(folder / "resources.parquet", {
        "kind": pa.concat_arrays([_repeat(kind, len(service)) for kind, _, service, _, _ in parts]),
        "value": pa.concat_arrays([value for _, value, *_ in parts]),
        "service_id": pa.array(np.concatenate([service for _, _, service, _, _ in parts])),
        **_intervals(np.concatenate([p[3] for p in parts]), np.concatenate([p[4] for p in parts]), began)})


def _write_ported(folder: Path, people: Population, began: int) -> None:
    """Numbers that moved: between other networks, away from us, to us."""
    steps = np.arange(0, SPREAD, PORTED_EVERY, dtype=np.int64) * SPREAD_STEP
    networks = sorted(set(NETWORKS.values()))
    others, names = [], []
    for prefix, network in NETWORKS.items():
        others.append(pc.binary_join_element_wise(_repeat(prefix, len(steps)),
                                                  pc.utf8_lpad(pc.cast(pa.array(steps), pa.string()), 7, "0"), ""))
        to = networks[(networks.index(network) + 1) % len(networks)]
        names.append(_repeat(to, len(steps)))
    left, came = people.ported_out, people.ported_in
    moved = len(steps) * len(NETWORKS)
    start = np.concatenate([np.full(moved, began, np.int64), people.mobile[S_TO_S, left],
                            people.mobile[S_FROM_S, came]])
    numbers = [*others, numbers_as_text(people.mobile[S_MSISDN, left]), numbers_as_text(people.mobile[S_MSISDN, came])]
    _write(folder / "ported.parquet", {
        "number": pa.concat_arrays(numbers),
        "network": pa.concat_arrays([*names, _repeat(networks[0], len(left)), _repeat(HOME_NETWORK, len(came))]),
        **_intervals(start, np.full(len(start), NEVER, np.int64), began)})
