"""Streams: which network element writes what, who of several witnesses charges, how partials and clocks are taken."""

import re
from datetime import UTC, datetime
from enum import IntEnum
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

from reference_data.yaml_file import read_yaml
from schemas.codes import MergePolicy, RecordType, StreamRole
from schemas.columns import ABSENT
from schemas.errors import ReferenceDataError

DAY_S = 86_400
MOST_WINDOW_S = 150  # messages are found by stretches of time twice as long


class Filter(IntEnum):
    """Usage that a stream does not charge; values are bits of `Stream.filter_mask`."""

    ZERO_USAGE = 1           # no seconds, no octets: an attempt
    TERMINATING = 2          # the called side, wherever it was
    TERMINATING_AT_HOME = 4  # the called side, unless it was roaming
    FORWARDED = 8            # the forwarding leg
    UNANSWERED = 16          # the record says that nobody answered


class Merge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How partials are taken.

    policy: rate_each prices every partial as it comes; until_final merges a session until its final cause, a
    silence of timeout_s in record time, or the end of a cycle (operator's zone).
    counters: whether a partial counts what it brought, or the total of its session so far (RADIUS).
    """

    policy: Literal["rate_each", "until_final"] = "rate_each"
    timeout_s: int = DAY_S
    cycle: Literal["none", "day", "month"] = "none"
    counters: Literal["layout", "increments", "totals"] = "layout"


class ChargeNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one witness of a session that several nodes saw: its record types and roles of node. Empty means all."""

    record_types: list[str] = []
    node_roles: list[Literal["originating", "terminating"]] = []


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What no single container can truly hold; beyond it the counter is broken."""

    duration_s: int = 31 * DAY_S
    octets: int = 1 << 50
    messages: int = 1_000_000


class Matching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How usage of a stream is matched with what was charged online (docs/charged_once.md).

    wait_s: record time for which a container waits behind its end for an online session that is still open.
    tolerance_s: by so much the clocks of gateway and charging may differ. window_s: of messages, which have a time and
    no session. horizon_s: for so long online usage is known; older records are suspended as too old.
    """

    wait_s: int = 7200
    tolerance_s: int = 2
    window_s: int = 60
    horizon_s: int = 31 * DAY_S


class FileName(msgspec.Struct, frozen=True):
    """What a file's name says: ABSENT where it says nothing."""

    sequence: int = ABSENT
    time_us: int = ABSENT


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """One entry of streams.yaml; see reference_data/README.md."""

    name: str
    sources: str | list[str]
    format: str
    role: Literal["rate", "reconcile", "filter"] = "rate"
    roles: dict[str, Literal["rate", "reconcile", "filter"]] = {}
    merge: Merge = Merge()
    duplicate_horizon_s: int = 45 * DAY_S
    clock_tolerance_s: int = 300
    file_name: str = ""
    file_sequence_modulo: int = 0
    local_sequence_modulo: int = 0
    filter: list[str] = []
    charge_node: ChargeNode | None = None
    limits: Limits = Limits()
    # Unset, not false, by default: the content hash of reference data without it is as it was.
    online: Matching | bool | msgspec.UnsetType = msgspec.UNSET

    @cached_property
    def matching(self) -> Matching | None:
        """How its usage is matched with usage charged online; None where it is not charged online."""
        if isinstance(self.online, Matching):
            return self.online
        return Matching() if self.online is True else None

    @cached_property
    def remembered_s(self) -> int:
        """Record time for which its records are known: of those that come later nothing can be said."""
        matching = self.matching
        return self.duplicate_horizon_s if matching is None else min(self.duplicate_horizon_s, matching.horizon_s)

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        return (self.sources,) if isinstance(self.sources, str) else tuple(self.sources)

    @cached_property
    def filter_mask(self) -> int:
        return sum(Filter[name.upper()] for name in self.filter)

    @cached_property
    def role_codes(self) -> tuple[int, ...]:
        """`StreamRole` for every `RecordType`."""
        return tuple(int(StreamRole[self.roles.get(t.name.lower(), self.role).upper()]) for t in RecordType)

    @cached_property
    def charge_record_types(self) -> tuple[bool, ...]:
        """For every `RecordType`, whether the declared node writes it."""
        named = self.charge_node.record_types if self.charge_node else []
        return tuple(not named or t.name.lower() in named for t in RecordType)

    @cached_property
    def charge_roles(self) -> tuple[bool, bool]:
        """Whether the originating and the terminating node role charge."""
        named = self.charge_node.node_roles if self.charge_node else []
        return (not named or "originating" in named, not named or "terminating" in named)

    @cached_property
    def merge_policy(self) -> MergePolicy:
        return MergePolicy[self.merge.policy.upper()]

    @cached_property
    def _name_pattern(self) -> re.Pattern[str]:
        return re.compile(self.file_name)

    def read_name(self, name: str) -> FileName:
        """Sequence and time that a file's name declares (groups `sequence`, and `time` as YYYYMMDDHHMMSS UTC)."""
        found = self._name_pattern.fullmatch(name) if self.file_name else None
        if found is None:
            return FileName()
        groups = found.groupdict()
        sequence, time = groups.get("sequence"), groups.get("time")
        time_us = ABSENT
        if time:
            try:
                moment = datetime.strptime(time, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
            except ValueError:
                return FileName()  # a name that only looks like one says nothing
            time_us = int(moment.timestamp()) * 1_000_000
        return FileName(int(sequence) if sequence else ABSENT, time_us)


class Streams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """streams.yaml."""

    streams: list[Stream]

    def match(self, source: str) -> Stream | None:
        """The stream of an inbox folder: the first whose pattern fits."""
        for stream in self.streams:
            if any(fnmatchcase(source, pattern) for pattern in stream.patterns):
                return stream
        return None

    def named(self, name: str) -> Stream:
        """Raises ReferenceDataError."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise ReferenceDataError(f"no stream {name!r}", f"one of {', '.join(s.name for s in self.streams)}",
                                 "add it to streams.yaml")


def load_streams(path: Path) -> Streams:
    """Raises ReferenceDataError."""
    streams = read_yaml(path, Streams)
    seen: set[str] = set()
    for stream in streams.streams:
        def refuse(key: str, found: object, expected: str, name: str = stream.name) -> None:
            raise ReferenceDataError(f"{path.name}, stream {name!r}, {key}: {found!r}", expected, "correct that key")

        if stream.name in seen:
            refuse("name", stream.name, "each stream once")
        seen.add(stream.name)
        if not stream.patterns or not all(stream.patterns):
            refuse("sources", stream.sources, "a folder name or pattern")
        types = [t.name.lower() for t in RecordType]
        for record_type in [*stream.roles, *(stream.charge_node.record_types if stream.charge_node else [])]:
            if record_type not in types:
                refuse("record types", record_type, f"one of {', '.join(types)}")
        filters = [f.name.lower() for f in Filter]
        for name in stream.filter:
            if name not in filters:
                refuse("filter", name, f"some of {', '.join(filters)}")
        for key in ("duplicate_horizon_s", "clock_tolerance_s", "file_sequence_modulo", "local_sequence_modulo"):
            if getattr(stream, key) < 0:
                refuse(key, getattr(stream, key), "zero or more")
        if stream.merge.timeout_s < 1:
            refuse("merge.timeout_s", stream.merge.timeout_s, "at least a second")
        matching = stream.matching
        if matching is not None:
            if stream.merge.counters == "totals" or stream.format.startswith("radius"):
                refuse("online", stream.online, "no counters of totals: only what a partial counts can be matched")
            if min(matching.wait_s, matching.tolerance_s, matching.window_s, matching.horizon_s) < 0:
                refuse("online", stream.online, "zero or more")
            if matching.window_s > MOST_WINDOW_S:
                refuse("online.window_s", matching.window_s, f"at most {MOST_WINDOW_S}")
        if min(stream.limits.duration_s, stream.limits.octets, stream.limits.messages) < 1:
            refuse("limits", stream.limits, "positive numbers")
        if max(stream.limits.duration_s, stream.limits.octets, stream.limits.messages) > 1 << 53:
            refuse("limits", stream.limits, "at most 2^53, so that sums of partials stay within 64 bits")
        try:
            groups = set(re.compile(stream.file_name).groupindex)
        except re.error as problem:
            refuse("file_name", stream.file_name, f"a regular expression ({problem})")
        else:
            if stream.file_name and not groups <= {"sequence", "time"}:
                refuse("file_name", stream.file_name, "no named groups but 'sequence' and 'time'")
    return streams
