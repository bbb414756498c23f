"""Who the operator is: home network, country, zone, currency, number of lanes."""

import re
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from reference_data.online import OnlineRules
from reference_data.yaml_file import read_yaml
from schemas.errors import ReferenceDataError

CLOSE_AFTER_S, REMEMBER_SESSIONS_S = 3 * 86_400, 35 * 86_400
_SPAN = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


class Operator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """operator.yaml. `home_plmn` is MCC and MNC, 5 or 6 digits, one or (for several networks) a list."""

    name: str
    home_plmn: str | list[str]
    country_code: str
    time_zone: str
    currency: str
    lanes: int = 32
    # Left out of the content where they are left out of the file.
    close_after: str | msgspec.UnsetType = msgspec.UNSET
    remember_sessions: str | msgspec.UnsetType = msgspec.UNSET
    online: OnlineRules | msgspec.UnsetType = msgspec.UNSET

    @property
    def online_rules(self) -> OnlineRules:
        """How quotas are granted in real time."""
        return OnlineRules() if self.online is msgspec.UNSET else self.online

    @property
    def close_after_s(self) -> int:
        """Seconds after its end at which a cycle closes by itself."""
        return CLOSE_AFTER_S if self.close_after is msgspec.UNSET else _seconds(self.close_after)

    @property
    def remember_sessions_s(self) -> int:
        """Seconds of record time for which a session is remembered after its last report."""
        return REMEMBER_SESSIONS_S if self.remember_sessions is msgspec.UNSET else _seconds(self.remember_sessions)

    @property
    def home_plmns(self) -> tuple[str, ...]:
        return (self.home_plmn,) if isinstance(self.home_plmn, str) else tuple(self.home_plmn)

    @property
    def home_plmn_numbers(self) -> tuple[int, ...]:
        """MCC * 1000 + MNC, as decoders write the serving network."""
        return tuple(int(p[:3]) * 1000 + int(p[3:]) for p in self.home_plmns)


def _seconds(span: str) -> int:
    number, unit = span.split(" ")
    return int(number) * _SPAN[unit]


def load_operator(path: Path) -> Operator:
    """Raises ReferenceDataError."""
    operator = read_yaml(path, Operator)

    def refuse(key: str, found: object, expected: str) -> None:
        raise ReferenceDataError(f"{path.name}, {key}: {found!r}", expected, "correct that key")

    for plmn in operator.home_plmns:
        if not re.fullmatch(r"[0-9]{5,6}", plmn):
            refuse("home_plmn", plmn, "5 or 6 digits in quotes, e.g. '00101'")
    if not operator.home_plmns:
        refuse("home_plmn", operator.home_plmn, "at least one network")
    if not re.fullmatch(r"[1-9][0-9]{0,2}", operator.country_code):
        refuse("country_code", operator.country_code, "1 to 3 digits in quotes")
    if not re.fullmatch(r"[A-Z]{3}", operator.currency):
        refuse("currency", operator.currency, "an ISO 4217 code")
    if not 1 <= operator.lanes <= 4096:
        refuse("lanes", operator.lanes, "1 to 4096")
    for key, found, least_s, expected in (
            ("close_after", operator.close_after, 0, 'a span of time such as "3 d" or "12 h", at most ten years'),
            ("remember_sessions", operator.remember_sessions, 86_400, 'a span of time such as "35 d" or "48 h", from a '
             "day to ten years")):
        if found is not msgspec.UNSET and (not re.fullmatch(r"[0-9]{1,9} (s|min|h|d)", found)
                                           or not least_s <= _seconds(found) <= 3660 * 86_400):
            refuse(key, found, expected)
    try:
        ZoneInfo(operator.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        refuse("time_zone", operator.time_zone, "a zone of the IANA database, e.g. 'Europe/Berlin'")
    return operator
