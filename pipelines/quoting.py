"""Files of a quote: events as JSON Lines, balances as JSON or YAML, the operator's number plan. Checked and bounded."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from mediation.kernels.numbers import BAD, e164_nb
from pipelines.commands import MAX_LINE_OCTETS
from rating.quote import Quote, QuoteCommand, quote
from rating.quote_accounts import read_accounts
from rating.quote_events import SERVICES, EventReader, NumberReader, QuoteEvent, expected_of
from rating.quote_lines import Fields
from rating.quote_results import Result
from reference_data.number_plan import NumberPlan, load_number_plan
from reference_data.operator import Operator, load_operator
from reference_data.tariffs.compile import Tariffs
from reference_data.yaml_shape import ShapeError, check_shape
from schemas.codes import NumberClass, NumberType
from schemas.columns import ABSENT
from schemas.digits import MAX_DIGITS, pack
from schemas.errors import ReferenceDataError
from schemas.timepoint import format_time

MOST_EVENTS = 1_000_000
MOST_BALANCES_OCTETS = 64 << 20
_USAGE_KINDS = ("usage", "event")
_TIMES = ("time", "from", "to", "valid_until")  # of commands


def quote_files(tariffs: Tariffs, events: Path, balances: Path | None, operator: Path | None,
                breakdown: bool | None = None) -> Quote:
    """Price a file of events. Raises ReferenceDataError: what cannot be read, and where."""
    home, numbers = (_operator(operator) if operator is not None else (None, None))
    zone = home.time_zone if home is not None else tariffs.versions[-1].time_zone
    reader = EventReader(zone, home.home_plmn_numbers if home is not None else (), numbers)
    given = None
    if balances is not None:
        given = read_accounts(_load(balances), balances.name, tariffs, zone)
    return quote(read_items(events, reader), given, tariffs, reader, breakdown,
                 *((home.close_after_s, home.remember_sessions_s) if home is not None else ()))


def price_of_number(tariffs: Tariffs, plan: str, number: str, time_us: int) -> list[tuple[str, Result]]:
    """What a minute and a message to a number cost under a plan: (how much, result with its `service`)."""
    reader = EventReader(tariffs.versions[-1].time_zone)
    told = []
    for service, what, quantity in (("voice", "a minute", 60), ("sms", "a message", 1)):
        event = {"plan": plan, "service": service, "quantity": quantity, "time": format_time(time_us),
                 "called": number}
        found = quote([reader.read(Fields("--number", event), 1)], None, tariffs, reader)
        told.append((what, {"service": service, **found.results[0]}))
    return told


def read_items(path: Path, reader: EventReader) -> list[QuoteEvent | QuoteCommand]:
    """Events and commands of a JSON Lines file, in its order; blank lines and lines of // or # are passed over."""
    items: list[QuoteEvent | QuoteCommand] = []
    for number, line in _lines(path):
        if len(items) >= MOST_EVENTS:
            raise ReferenceDataError(f"{path.name}: more than {MOST_EVENTS:,} lines", "fewer", "split the file")
        place = f"{path.name}:{number}"
        fields = Fields(place, _object(line, place))
        kind = fields.values.get("kind")
        items.append(reader.read(fields, number) if kind is None or kind in _USAGE_KINDS
                     else _command(fields, number, reader.time_zone))
    if not items:
        raise ReferenceDataError(f"{path.name} has no events", "one JSON object a line, such as "
                                 '{"service": "voice", "time": "2026-03-01T12:00:00", "duration": 90, "called": "+49"}')
    return items


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, each of bounded size."""
    try:
        with path.open("rb") as stream:
            number = 0
            while line := stream.readline(MAX_LINE_OCTETS + 1):
                number += 1
                if len(line) > MAX_LINE_OCTETS:
                    raise ReferenceDataError(f"{path.name}:{number}: a line of more than {MAX_LINE_OCTETS:,} octets",
                                             "one event a line", "split it")
                line = line.removeprefix(b"\xef\xbb\xbf").strip()
                if line and not line.startswith((b"//", b"#")):
                    yield number, line
    except OSError as problem:
        raise ReferenceDataError(f"{path} cannot be read: {problem.strerror}", "a file of events") from None


def _object(line: bytes, place: str) -> dict[str, object]:
    def pairs(found: list[tuple[str, object]]) -> dict[str, object]:
        whole = dict(found)
        if len(whole) != len(found):
            twice = next(name for i, (name, _) in enumerate(found) if name in [n for n, _ in found[:i]])
            raise ReferenceDataError(f"{place}, field {twice!r}: given twice", "each field once")
        return whole

    def constant(text: str) -> object:
        raise ReferenceDataError(f"{place}: {text}", "a number")

    try:
        # A number with a point stays the text that was written: no amount passes through a float.
        value = json.loads(line, parse_float=str, parse_constant=constant, object_pairs_hook=pairs)
    except UnicodeDecodeError:
        raise ReferenceDataError(f"{place}: octets that are no UTF-8", "UTF-8 text") from None
    except json.JSONDecodeError as problem:
        raise ReferenceDataError(f"{place}, column {problem.colno}: not JSON: {problem.msg.lower()}",
                                 "one JSON object a line") from None
    except (RecursionError, ValueError):
        raise ReferenceDataError(f"{place}: nested too deeply, or a number too long", "a plain JSON object") from None
    if not isinstance(value, dict):
        raise ReferenceDataError(f"{place}: {type(value).__name__} {str(value)[:40]!r}", "a JSON object: {...}")
    return value


def _command(fields: Fields, number: int, time_zone: str) -> QuoteCommand:
    """A command keeps its fields for `rating.commands`; its times become UTC."""
    kind = fields.values["kind"]
    if not isinstance(kind, str):
        raise fields.wrong("kind", "the name of a command, or nothing for usage")
    if kind in SERVICES:
        raise fields.refuse("kind", f"{kind!r}, a service", "the name of a command",
                            f'write "service": "{kind}" for usage')
    whole: dict[str, object] = dict(fields.values)
    if not fields.has("time"):
        raise fields.missing("time", "when the command takes effect, such as 2026-03-01T12:00:00")
    for column in _TIMES:
        if fields.has(column):
            whole[column] = format_time(fields.moment(column, time_zone))
    for column in ("amount", "fee"):
        if type(whole.get(column)) is int:
            whole[column] = str(whole[column])
    name = fields.values.get("id")
    return QuoteCommand(number, f"line-{number}" if name is None else str(name), whole, expected_of(fields, "status"))


def _load(path: Path) -> object:
    """A balances file: JSON, or YAML whose scalars stay text."""
    try:
        if path.stat().st_size > MOST_BALANCES_OCTETS:
            raise ReferenceDataError(f"{path.name}: {path.stat().st_size:,} octets",
                                     f"at most {MOST_BALANCES_OCTETS:,}", "leave out accounts that no event needs")
        text = path.read_bytes()
    except OSError as problem:
        raise ReferenceDataError(f"{path} cannot be read: {problem.strerror}", "a file of accounts") from None
    if text.lstrip()[:1] in (b"{", b"["):
        try:
            return json.loads(text, parse_float=str)
        except (ValueError, RecursionError) as problem:
            if path.suffix == ".json":
                raise ReferenceDataError(f"{path.name} is no JSON: {problem}", "a list of accounts") from None
    try:
        written = text.decode("utf-8")
        check_shape(written)
        return _plain(yaml.compose(written, Loader=yaml.SafeLoader), path.name)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ShapeError) as problem:
        raise ReferenceDataError(f"{path.name} is no YAML: {problem}", "a list of accounts") from None


def _plain(node: yaml.Node | None, file: str) -> object:
    """YAML as JSON would say it; plain numbers with a point, and dates, stay the text that was written."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value, file) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, file) for item in node.value]
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return None
    text = str(node.value)
    if node.tag == "tag:yaml.org,2002:bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    plain_integer = text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0")) and len(text) < 19
    return int(text) if node.tag == "tag:yaml.org,2002:int" and plain_integer else text


def _operator(folder: Path) -> tuple[Operator, NumberReader]:
    return load_operator(folder / "operator.yaml"), number_reader(load_number_plan(folder / "number_plan.yaml"))


def number_reader(plan: NumberPlan) -> NumberReader:
    """Reads numbers as dialled or signalled by the operator's number plan, as mediation does."""
    def read(text: str) -> tuple[int, NumberClass]:
        digits = text.removeprefix("+")
        if not digits or any(c not in "0123456789*#" for c in digits):
            return ABSENT, NumberClass.TEXT
        if len(digits) > MAX_DIGITS:
            raise ValueError(f"at most {MAX_DIGITS} digits")
        kind = NumberType.INTERNATIONAL if text.startswith("+") else NumberType.UNKNOWN
        number, found = e164_nb(np.int64(pack(digits)), int(kind), plan.rules, plan.emergency, plan.classes.slots,
                                plan.classes.leaves)
        if found == BAD:
            raise ValueError("it is neither national, international nor a short code")
        return int(number), NumberClass(int(found))
    return read
