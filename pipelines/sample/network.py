"""The network elements: their names, formats, how many there are, and what streams.yaml says of them."""

from dataclasses import dataclass
from typing import Any

SEQUENCE_MODULO = 1_000_000
LOCAL_SEQUENCE_MODULO = 1 << 32
DAY_S = 86_400


@dataclass(frozen=True)
class Kind:
    """A kind of element: the stem of its names, its format, the suffix of its files, its TS 32.297 number (0: none)."""

    stem: str
    format: str
    suffix: str
    specification: int
    stream: dict[str, Any]


def _partials(timeout_s: int) -> dict[str, Any]:
    return {"merge": {"policy": "rate_each", "timeout_s": timeout_s, "cycle": "none"}}


_UNTIL_FINAL = {"merge": {"policy": "until_final", "timeout_s": 4 * 3600, "cycle": "day"}}
_IMS = {"charge_node": {"record_types": ["ims_s_cscf"], "node_roles": ["originating"]},
        "filter": ["unanswered", "zero_usage"], **_UNTIL_FINAL}

KINDS = {kind.stem: kind for kind in (
    Kind("msc", "ts32298-cs", "dat", 6, {"filter": ["unanswered", "terminating_at_home"]}),
    Kind("smsc", "ts32298-sms", "dat", 15, {"filter": ["terminating"]}),
    Kind("scscf", "ts32298-ims", "dat", 9, _IMS),
    Kind("pcscf", "ts32298-ims", "dat", 9, _IMS),
    Kind("as", "ts32298-ims", "dat", 9, _IMS),
    Kind("mgcf", "ts32298-ims", "dat", 9, _IMS),
    Kind("pgw", "ts32298-gprs", "dat", 7, {"filter": ["zero_usage"], **_partials(4 * 3600)}),
    Kind("sgw", "ts32298-gprs", "dat", 7, {"role": "filter", **_partials(4 * 3600)}),
    Kind("chf", "ts32298-chf", "dat", 20, {"filter": ["zero_usage"], **_UNTIL_FINAL}),
    Kind("nchf", "chf-json", "json", 0, {"filter": ["zero_usage"], **_partials(4 * 3600)}),
    Kind("voip", "voip-csv", "csv", 0, {"filter": ["unanswered"]}),
    Kind("wifi", "radius-accounting", "rad", 0, {"filter": ["zero_usage"], **_partials(2 * 3600)}),
)}

FORMATS = tuple(dict.fromkeys(kind.format for kind in KINDS.values()))


def node_count(subscribers: int) -> int:
    """Nodes of each kind: one per 250,000 subscribers, at least two."""
    return max(2, (subscribers + 249_999) // 250_000)


def node_names(stem: str, nodes: int) -> tuple[str, ...]:
    """Names of the elements of a kind, which are also their folders in the inbox."""
    return tuple(f"{stem}-{number:02d}" for number in range(1, nodes + 1))


def file_name(source: str, sequence: int, time_text: str) -> str:
    """Name of a file: element, sequence number, UTC time when it was closed (YYYYMMDDHHMMSS)."""
    return f"{source}_{sequence % SEQUENCE_MODULO:06d}_{time_text}.{KINDS[source.rsplit('-', 1)[0]].suffix}"


def streams() -> dict[str, Any]:
    """Content of streams.yaml."""
    entries = []
    for kind in KINDS.values():
        # Text formats and SMS count no files or records of a node; the others do.
        counted = {} if kind.stem in ("wifi", "smsc") else {"local_sequence_modulo": LOCAL_SEQUENCE_MODULO}
        entries.append({"name": kind.stem, "sources": f"{kind.stem}-*", "format": kind.format, "role": "rate",
                        "duplicate_horizon_s": 45 * DAY_S, "clock_tolerance_s": 300,
                        "file_name": r"[a-z]+-[0-9]+_(?P<sequence>[0-9]{6})_(?P<time>[0-9]{14})\.[a-z]+",
                        "file_sequence_modulo": SEQUENCE_MODULO, **counted, **kind.stream})
    return {"streams": entries}
