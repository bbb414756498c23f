"""The operator's number plan: how a number as dialled becomes E.164, and what kind of number it is."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np

from reference_data.prefix_trie import PrefixTrie
from reference_data.yaml_file import read_yaml
from schemas.codes import NumberClass
from schemas.columns import I64
from schemas.digits import pack
from schemas.errors import ReferenceDataError


class DigitRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    min: int
    max: int


class NetworkPrefix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """E.164 digits from the country code on, and the network that holds them unless ported."""

    prefix: str
    network: str


class NumberPlanFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """number_plan.yaml.

    toll_free and premium: national prefixes, without the trunk prefix. number_digits: digits of an E.164 number.
    plain: what a number of unknown type without any prefix is, "international" or "national".
    """

    country_code: str
    international_prefix: str = "00"
    national_prefix: str = "0"
    emergency: list[str] = []
    toll_free: list[str] = []
    premium: list[str] = []
    short_code_digits: DigitRange = DigitRange(3, 6)
    number_digits: DigitRange = DigitRange(7, 15)
    networks: list[NetworkPrefix] = []
    plain: str = "international"


# Places in `NumberPlan.rules`, for kernels.
COUNTRY, COUNTRY_DIGITS, INTERNATIONAL, INTERNATIONAL_DIGITS, NATIONAL, NATIONAL_DIGITS = range(6)
SHORT_MIN, SHORT_MAX, NUMBER_MIN, NUMBER_MAX, PLAIN_NATIONAL = range(6, 11)


@dataclass(frozen=True)
class NumberPlan:
    """rules (11,): see the names above; emergency (n,) packed numbers; classes: E.164 prefix to `NumberClass`;
    network_prefixes: E.164 prefix to a row of `networks`."""

    file: NumberPlanFile
    rules: I64
    emergency: I64
    classes: PrefixTrie
    network_prefixes: PrefixTrie
    networks: tuple[str, ...]

    @cached_property
    def canonical(self) -> bytes:
        """The same bytes for plans that say the same, whatever the order of their lists."""
        sets = {"networks": sorted((n.prefix, n.network) for n in self.file.networks),
                **{key: sorted(getattr(self.file, key)) for key in ("emergency", "toll_free", "premium")}}
        return msgspec.json.encode({**msgspec.to_builtins(self.file), **sets}, order="deterministic")


def load_number_plan(path: Path) -> NumberPlan:
    """Raises ReferenceDataError."""
    return compile_number_plan(read_yaml(path, NumberPlanFile), path.name)


def compile_number_plan(file: NumberPlanFile, name: str = "number_plan.yaml") -> NumberPlan:
    """Arrays of a number plan. Raises ReferenceDataError."""
    def digits(key: str, value: str, least: int = 1) -> str:
        if not re.fullmatch(rf"[0-9]{{{least},15}}", value):
            raise ReferenceDataError(f"{name}, {key}: {value!r}", f"{least} to 15 digits in quotes", "correct that key")
        return value

    if file.plain not in ("international", "national"):
        raise ReferenceDataError(f"{name}, plain: {file.plain!r}", "international or national", "correct that key")
    for key, limits in (("short_code_digits", file.short_code_digits), ("number_digits", file.number_digits)):
        if not 1 <= limits.min <= limits.max <= 15:
            raise ReferenceDataError(f"{name}, {key}: {limits.min} to {limits.max}", "1 <= min <= max <= 15",
                                     "correct that key")
    country = digits("country_code", file.country_code)
    international = digits("international_prefix", file.international_prefix)
    national = digits("national_prefix", file.national_prefix, least=0)
    rules = np.array([pack(country), len(country), pack(international), len(international), pack(national),
                      len(national), file.short_code_digits.min, file.short_code_digits.max, file.number_digits.min,
                      file.number_digits.max, int(file.plain == "national")], np.int64)
    emergency = np.array(sorted(pack(digits("emergency", e)) for e in file.emergency), np.int64)
    special = {**{country + digits("toll_free", p): int(NumberClass.TOLL_FREE) for p in file.toll_free},
               **{country + digits("premium", p): int(NumberClass.PREMIUM) for p in file.premium}}
    if len(special) < len(file.toll_free) + len(file.premium):
        raise ReferenceDataError(f"{name}: a prefix is both toll free and premium, or listed twice",
                                 "each prefix once", "remove one of the two")
    networks = tuple(sorted({n.network for n in file.networks}))
    row = {network: i for i, network in enumerate(networks)}
    for array in (rules, emergency):
        array.setflags(write=False)
    return NumberPlan(file, rules, emergency, PrefixTrie.build(list(special), list(special.values())),
                      PrefixTrie.build([n.prefix for n in file.networks], [row[n.network] for n in file.networks]),
                      networks)
