"""Charging data requests to rows: one for each rating group, and for each service of a group that needs no quota.

Rows are written as a flat list of numbers and become columns once for a whole tick (`ticks`).
"""

import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from pipelines.nchf import references
from pipelines.nchf.limits import Limits
from pipelines.nchf.messages import (
    ChargingDataRequest,
    MultipleUnitUsage,
    PDUSessionChargingInformation,
    RequestedUnit,
    SMAddressInfo,
    Trigger,
    UsedUnitContainer,
)
from pipelines.nchf.problems import MANDATORY_IE_INCORRECT, MANDATORY_IE_MISSING, OPTIONAL_IE_INCORRECT, ProblemError
from schemas.codes import Direction, Service, Unit
from schemas.columns import ABSENT
from schemas.online import EventAction, ReportingReason, RequestKind
from schemas.units import SERVICE_UNIT

# Columns of a row as written here, and numbers behind them; those and texts become tokens and labels with the tick.
COLUMNS = ("service", "direction", "unit", "event_time_us", "charging_id", "gateway_address", "session_hi",
           "session_lo", "rating_group", "service_identifier", "serving_plmn", "roaming", "rat_type", "snssai", "kind",
           "action", "number", "message", "requested", "used", "used_after", "reporting_reason")
NUMBERS = ("served_number", "served_imsi", "served_imei")
MOST_UNITS = 1 << 60     # of one row; what is beyond is no usage
MOST_ASKED = 1 << 50     # as operator.yaml has it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_US, _LATEST_US = 0, 4_102_444_800_000_000  # 2100
_DAY_US, _SECOND_US = 86_400_000_000, 1_000_000

# Plain numbers: members of an enumeration are slow to look up, to compare, and to put into arrays.
_DATA, _SMS, _VOICE, _GENERIC = int(Service.DATA), int(Service.SMS), int(Service.VOICE), int(Service.GENERIC)
_UNIT_OF = [int(SERVICE_UNIT[service]) for service in Service]
_SECOND, _OCTET, _MESSAGE, _UNIT = int(Unit.SECOND), int(Unit.OCTET), int(Unit.MESSAGE), int(Unit.UNIT)
_ORIGINATING, _TERMINATING = int(Direction.ORIGINATING), int(Direction.TERMINATING)
_EVENT, _DEBIT = int(RequestKind.EVENT), int(EventAction.DIRECT_DEBITING)
_OF_FUNCTION = {**dict.fromkeys(("SMF", "PGW_C_SMF", "I_SMF", "V_SMF", "SGW", "SGSN", "ePDG", "UPF"), _DATA),
                "SMSF": _SMS, "SMS": _SMS, "IMS_Node": _VOICE}
RATS = {"NR": 51, "NR_U": 52, "TRUSTED_WLAN": 53, "EUTRA": 6, "NBIOT": 8, "LTE-M": 9, "WLAN": 3, "VIRTUAL": 7,
         "UTRA": 1, "GERA": 2}  # TS 29.571 RatType to TS 29.061
_CONDITION = int(ReportingReason.RATING_CONDITION_CHANGE)
_UNSAID = (ABSENT, _CONDITION)
REASONS = {name: int(reason) for name, reason in {
    "QUOTA_THRESHOLD": ReportingReason.THRESHOLD, "QHT": ReportingReason.QHT, "FINAL": ReportingReason.FINAL,
    "ABNORMAL_RELEASE": ReportingReason.FINAL, "QUOTA_EXHAUSTED": ReportingReason.QUOTA_EXHAUSTED,
    "VALIDITY_TIME": ReportingReason.VALIDITY_TIME, "OTHER_QUOTA_TYPE": ReportingReason.OTHER_QUOTA_TYPE,
    "FORCED_REAUTHORISATION": ReportingReason.FORCED_REAUTHORISATION,
    "UNIT_COUNT_INACTIVITY_TIMER": ReportingReason.QHT}.items()}
TARIFF_CHANGE = "TARIFF_TIME_CHANGE"
_ROLES = {"ORIGINATING": _ORIGINATING, "TERMINATING": _TERMINATING, "FORWARDING": int(Direction.FORWARDED)}
OFFLINE = ("OFFLINE_CHARGING", "QUOTA_MANAGEMENT_SUSPENDED")
_HEXADECIMAL = re.compile("[0-9A-Fa-f]{6}").fullmatch
_ONES = [int("1" * n, 16) if n else 0 for n in range(16)]


class Api(IntEnum):
    """Which API a request came by."""

    CONVERGED = 0
    OFFLINE = 1


@dataclass(slots=True)
class Texts:
    """What has no number of its own yet, by row of the tick: (row, text)."""

    served: list[tuple[int, str]]   # a subscriber who is no IMSI and no MSISDN
    other: list[tuple[int, str]]    # the other party
    dnn: list[tuple[int, str]]
    icid: list[tuple[int, str]]


@dataclass(slots=True)
class Rows:
    """A tick's rows as they fill: `flat` holds a row's COLUMNS and NUMBERS one behind the other."""

    flat: list[int]
    texts: Texts
    count: int = 0
    messages: int = 0

    @classmethod
    def begin(cls) -> "Rows":
        """None yet."""
        return cls([], Texts([], [], [], []))


@dataclass(slots=True)
class Asked:
    """What an answer needs to know of its request.

    groups: (rating group, UPF, units asked for or ABSENT, row from the request's first) of each MultipleUnitUsage.
    event_us: its invocationTimeStamp.
    """

    number: int
    first: int
    rows: int
    unit: int
    service: int
    groups: list[tuple[int, str | None, int, int]]
    event_us: int


def micros(moment: datetime) -> int:
    """Microseconds since 1970, UTC."""
    span = moment - _EPOCH
    return span.days * _DAY_US + span.seconds * _SECOND_US + span.microseconds


def _packed(digits: str) -> int:
    """As `schemas.digits.pack`, of 5 to 15 decimal digits: adding one to each carries nowhere. ABSENT for others."""
    size = len(digits)
    if 5 <= size <= 15 and digits.isascii() and digits.isdigit():
        return int(digits, 16) + _ONES[size]
    return ABSENT


def meter_of(request: ChargingDataRequest) -> int:
    """How a new session is counted, by the first units that it asks for."""
    for usage in request.multipleUnitUsage or ():
        asked = usage.requestedUnit
        if asked is not None:
            if asked.totalVolume is not None or asked.uplinkVolume is not None or asked.downlinkVolume is not None:
                return references.BY_SERVICE
            if asked.time is not None:
                return references.BY_TIME
            if asked.serviceSpecificUnits is not None:
                return references.BY_UNITS
    return references.BY_SERVICE


def identity_of(request: ChargingDataRequest, api: Api) -> bytes:
    """What tells one create from another, and a repetition from neither."""
    consumer = request.nfConsumerIdentification
    session, sms, ims = (request.pDUSessionChargingInformation, request.sMSChargingInformation,
                         request.iMSChargingInformation)
    reference: tuple[object, ...] = ()
    if session is not None:
        about = session.pduSessionInformation
        reference = (session.chargingId, session.sMFchargingId, about.pduSessionID if about is not None else None)
    elif sms is not None:
        reference = (sms.messageReference, *(r.recipientGPSI for r in sms.recipientInfo or ()))
    elif ims is not None:
        reference = (ims.imsChargingIdentifier, ims.roleOfNode)
    return repr((int(api), consumer.nFName, consumer.nFIPv4Address, consumer.nFFqdn, consumer.nodeFunctionality,
                 request.subscriberIdentifier, request.chargingId, request.invocationSequenceNumber,
                 request.invocationTimeStamp, reference)).encode("utf-8", "surrogatepass")


def append(rows: Rows, request: ChargingDataRequest, kind: RequestKind, api: Api, key: references.Key, meter: int,
           home_plmns: frozenset[int], limits: Limits) -> Asked:
    """Write the rows of a request. Raises ProblemError, and then nothing was written."""
    event_us = micros(request.invocationTimeStamp)
    if not _EARLIEST_US <= event_us < _LATEST_US:
        raise ProblemError(400, MANDATORY_IE_INCORRECT, "a time between 1970 and 2100", "invocationTimeStamp")
    session, sms, ims = (request.pDUSessionChargingInformation, request.sMSChargingInformation,
                         request.iMSChargingInformation)
    consumer = request.nfConsumerIdentification
    service = (_DATA if session is not None else _SMS if sms is not None else
               _VOICE if ims is not None else _OF_FUNCTION.get(consumer.nodeFunctionality, _GENERIC))
    unit = _UNIT_OF[service]
    if meter == references.BY_TIME:
        unit = _SECOND
    elif meter == references.BY_UNITS and unit != _MESSAGE:
        unit = _UNIT
    imsi, msisdn, imei, served = _served(request)
    direction, other = (_ORIGINATING, None) if sms is None and ims is None else _parties(request)
    charging_id, dnn = request.chargingId, None
    plmn = rat = slice_ = ABSENT
    if session is not None:
        if session.chargingId is not None:
            charging_id = session.chargingId
        dnn, plmn, rat, slice_ = _network(session)
    elif sms is not None and sms.rATType is not None:
        rat = RATS.get(sms.rATType, ABSENT)

    kind_code, action, default_asked = int(kind), ABSENT, ABSENT
    usages = request.multipleUnitUsage
    event = request.oneTimeEvent and kind is RequestKind.INITIAL
    if event:
        kind_code, action = _EVENT, _DEBIT
        if usages is None:  # the event itself is what is charged
            default_asked = (sms.numberofMessagesSent or 1) if sms is not None else 1
    measured, groups = _measure(usages, unit, api, limits, request.triggers) if usages else ([], [])
    if event and request.oneTimeEventType == "PEC":  # it has happened: what is asked for was used
        for line in measured:
            if line[2] != ABSENT and line[3] == ABSENT:
                line[2], line[3] = ABSENT, line[2]
        if not measured and default_asked != ABSENT:
            measured = [[ABSENT, ABSENT, ABSENT, default_asked, ABSENT, ABSENT]]
    if not measured:
        measured = [[ABSENT, ABSENT, default_asked, ABSENT, ABSENT, ABSENT]]

    first, flat = rows.count, rows.flat
    hi, lo = key
    number, message = request.invocationSequenceNumber, rows.messages
    gateway = ABSENT if consumer.nFIPv4Address is None else _ipv4(consumer.nFIPv4Address)
    roaming = 1 if plmn != ABSENT and plmn not in home_plmns else 0
    if charging_id is None:
        charging_id = ABSENT
    for group, identifier, asked, used, after, reason in measured:
        flat += (service, direction, unit, event_us, charging_id, gateway, hi, lo, group, identifier, plmn, roaming,
                 rat, slice_, kind_code, action, number, message, asked, used, after, reason, msisdn, imsi, imei)
    count = len(measured)
    rows.count += count
    rows.messages += 1
    texts = rows.texts
    for row in range(first, rows.count):
        if dnn is not None:
            texts.dnn.append((row, dnn))
        if served is not None:
            texts.served.append((row, served))
        if other:
            texts.other.append((row, other))
        if ims is not None and ims.imsChargingIdentifier:
            texts.icid.append((row, ims.imsChargingIdentifier))
    return Asked(number, first, count, unit, service, groups, event_us)


def append_subscriber(rows: Rows, supi: str | None, gpsi: str | None, time_us: int) -> None:
    """Write a row that says no more than who somebody is. Raises ProblemError."""
    imsi, msisdn, name = ABSENT, ABSENT, None
    if supi is not None:
        imsi = _packed(supi[5:]) if supi.startswith("imsi-") else ABSENT
        name = None if imsi != ABSENT else supi.removeprefix("nai-")
    if gpsi is not None and gpsi.startswith("msisdn-"):
        msisdn = _packed(gpsi[7:])
        name = None if msisdn != ABSENT else name
    if imsi == ABSENT and msisdn == ABSENT and not name:
        raise ProblemError(400, "USER_UNKNOWN")
    if name:
        rows.texts.served.append((rows.count, name))
    values = dict.fromkeys(COLUMNS, ABSENT) | {"direction": _ORIGINATING, "event_time_us": time_us, "roaming": 0}
    rows.flat += (*values.values(), msisdn, imsi, ABSENT)
    rows.count += 1


def _network(session: PDUSessionChargingInformation) -> tuple[str | None, int, int, int]:
    """DNN, serving PLMN, RAT and slice of a PDU session; ABSENT what is not said."""
    dnn, network = None, None
    plmn = rat = slice_ = ABSENT
    about = session.pduSessionInformation
    if about is not None:
        dnn = about.dnnId
        network = about.servingCNPlmnId
        if network is None and about.servingNetworkFunctionID is not None:
            network = about.servingNetworkFunctionID.servingNetworkFunctionInformation.nFPLMNID
        if about.ratType is not None:
            rat = RATS.get(about.ratType, ABSENT)
        if about.networkSlicingInfo is not None:
            slicing = about.networkSlicingInfo.sNSSAI
            slice_ = slicing.sst << 32
            if slicing.sd is not None:
                if not _HEXADECIMAL(slicing.sd):
                    raise ProblemError(400, OPTIONAL_IE_INCORRECT, "6 hexadecimal digits", "sNSSAI.sd")
                sd = int(slicing.sd, 16)
                slice_ += sd + 1 if sd != 0xFFFFFF else 0
    if network is None and session.userLocationinfo is not None:
        cell = session.userLocationinfo.nrLocation or session.userLocationinfo.eutraLocation
        network = cell.tai.plmnId if cell is not None else None
    if network is not None:
        mcc, mnc = network.mcc, network.mnc
        if not (mcc.isascii() and mcc.isdigit() and mnc.isascii() and mnc.isdigit()):
            raise ProblemError(400, OPTIONAL_IE_INCORRECT, "digits", "PlmnId")
        plmn = int(mcc) * 1000 + int(mnc)
    return dnn, plmn, rat, slice_


def _ipv4(text: str) -> int:
    """An IPv4 address as a number. Raises ProblemError."""
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        raise ProblemError(400, OPTIONAL_IE_INCORRECT, "an IPv4 address",
                           "nfConsumerIdentification.nFIPv4Address") from None


def _served(request: ChargingDataRequest) -> tuple[int, int, int, str | None]:
    """IMSI, MSISDN and IMEI as packed digits, ABSENT for none, and a name where the subscriber has no number."""
    imsi = msisdn = imei = ABSENT
    name = number = None
    session, ims = request.pDUSessionChargingInformation, request.iMSChargingInformation
    about = session.userInformation if session is not None else ims.userInformation if ims is not None else None
    if about is not None:
        number = about.servedGPSI
        if about.servedPEI is not None and about.servedPEI.startswith("imei-"):
            imei = _packed(about.servedPEI[5:])
    elif request.sMSChargingInformation is not None:
        number = _of_sms(request)
    subscriber = request.subscriberIdentifier
    if subscriber is not None:
        if subscriber.startswith("imsi-"):
            imsi = _packed(subscriber[5:])
        elif subscriber.startswith("msisdn-"):
            number = subscriber
        if imsi == ABSENT and number is not subscriber:
            name = subscriber.removeprefix("nai-")
    if number is not None and number.startswith("msisdn-"):
        msisdn = _packed(number[7:])
        if msisdn != ABSENT:
            name = None
        elif number is subscriber:
            name = subscriber
    if imsi == ABSENT and msisdn == ABSENT and not name:
        raise ProblemError(400, MANDATORY_IE_MISSING, "who is charged", "subscriberIdentifier")
    return imsi, msisdn, imei, name


def _of_sms(request: ChargingDataRequest) -> str | None:
    sms = request.sMSChargingInformation
    assert sms is not None
    if sms.sMMessageType == "DELIVERY" or sms.originatorInfo is None:
        return None
    return sms.originatorInfo.originatorGPSI


def _parties(request: ChargingDataRequest) -> tuple[int, str | None]:
    """Role of the served party, and the other party as it was written."""
    ims, sms = request.iMSChargingInformation, request.sMSChargingInformation
    if ims is not None:
        direction = _ROLES.get(ims.roleOfNode or "", _ORIGINATING)
        if direction == _TERMINATING:
            return direction, ims.callingPartyAddresses[0] if ims.callingPartyAddresses else None
        return direction, ims.calledPartyAddress
    if sms is not None:
        if sms.sMMessageType == "DELIVERY":
            sender = sms.originatorInfo
            other = None if sender is None else _party(
                sender.originatorGPSI, sender.originatorReceivedAddress or sender.originatorOtherAddress)
            return _TERMINATING, other
        for recipient in sms.recipientInfo or ():
            other = _party(recipient.recipientGPSI, recipient.recipientReceivedAddress
                           or recipient.recipientOtherAddress)
            if other:
                return _ORIGINATING, other
    return _ORIGINATING, None


def _party(gpsi: str | None, address: SMAddressInfo | None) -> str | None:
    if gpsi is not None:
        return "tel:+" + gpsi[7:] if gpsi.startswith("msisdn-") else gpsi
    return None if address is None else address.sMaddressData


def _asked(asked: RequestedUnit, unit: int) -> int:
    """Units asked for, 0 for whatever the operator grants."""
    if unit == _OCTET:
        if asked.totalVolume is not None:
            return min(asked.totalVolume, MOST_ASKED)
        return min((asked.uplinkVolume or 0) + (asked.downlinkVolume or 0), MOST_ASKED)
    return min((asked.time if unit == _SECOND else asked.serviceSpecificUnits) or 0, MOST_ASKED)


def _used(container: UsedUnitContainer, unit: int) -> int:
    if unit == _OCTET:
        if container.totalVolume is not None:
            return container.totalVolume
        return (container.uplinkVolume or 0) + (container.downlinkVolume or 0)
    if unit == _SECOND:
        return container.time or 0
    if container.serviceSpecificUnits is not None:
        return container.serviceSpecificUnits
    return len(container.eventTimeStamps or ())


def _reason(triggers: list[Trigger]) -> int:
    for trigger in triggers:
        found = REASONS.get(trigger.triggerType or "", ABSENT)
        if found != ABSENT:
            return found
    return _CONDITION if triggers else ABSENT


def _measure(usages: list[MultipleUnitUsage], unit: int, api: Api, limits: Limits, triggers: list[Trigger] | None
             ) -> tuple[list[list[int]], list[tuple[int, str | None, int, int]]]:
    """Lines of [rating group, service, asked, used, used after a tariff change, reason], and what answers need.

    A quota belongs to a rating group: its line takes all usage that a quota covers, whatever service used it. Usage
    without a quota has a line for each service. Groups that stand twice, for two UPFs, share a line.
    """
    if len(usages) > limits.units:
        raise ProblemError(400, OPTIONAL_IE_INCORRECT, f"at most {limits.units} of them", "multipleUnitUsage")
    lines: dict[tuple[int, int], list[int]] = {}
    asks: list[int] = []
    containers = 0
    offline = api is Api.OFFLINE
    for usage in usages:
        group, wanted, used = usage.ratingGroup, usage.requestedUnit, usage.usedUnitContainer
        asked = ABSENT
        if (wanted is not None and not offline) or not used:
            line = lines.get((group, ABSENT))
            if line is None:
                line = lines[group, ABSENT] = [group, ABSENT, ABSENT, ABSENT, ABSENT, ABSENT]
            if wanted is not None and not offline:
                asked = _asked(wanted, unit)
                # Two UPFs: what both ask for together; whatever the operator grants if one leaves it open.
                line[2] = asked if line[2] == ABSENT else 0 if not asked or not line[2] else \
                    min(line[2] + asked, MOST_ASKED)
        asks.append(asked)
        if not used:
            continue
        containers += len(used)
        if containers > limits.containers:
            raise ProblemError(400, OPTIONAL_IE_INCORRECT, f"at most {limits.containers} of them", "usedUnitContainer")
        changed = ABSENT if len(used) == 1 else _last_change(used)
        for place, container in enumerate(used):
            identifier = ABSENT
            if container.serviceId is not None and (offline or container.quotaManagementIndicator in OFFLINE):
                identifier = container.serviceId
            line = lines.get((group, identifier))
            if line is None:
                line = lines[group, identifier] = [group, identifier, ABSENT, ABSENT, ABSENT, ABSENT]
            if line[3] == ABSENT:
                line[3] = 0
            column = 4 if 0 <= changed < place else 3
            units = _used(container, unit) + (line[column] if line[column] > 0 else 0)
            if units > MOST_UNITS:
                raise ProblemError(400, OPTIONAL_IE_INCORRECT, "more units than can be used", "usedUnitContainer")
            line[column] = units
            if container.triggers and line[5] in _UNSAID:
                line[5] = _reason(container.triggers)
    if triggers:
        said = _reason(triggers)
        for line in lines.values():
            if line[3] != ABSENT and line[5] == ABSENT:
                line[5] = said
    if len(usages) == len(lines) == 1:
        found = 0 if (group, ABSENT) in lines else ABSENT
        return list(lines.values()), [(group, usages[0].uPFID, asked, found)]
    places = {at[0]: place for place, at in enumerate(lines) if at[1] == ABSENT}
    groups = [(usage.ratingGroup, usage.uPFID, each, places.get(usage.ratingGroup, ABSENT))
              for usage, each in zip(usages, asks, strict=True)]
    return list(lines.values()), groups


def _last_change(used: list[UsedUnitContainer]) -> int:
    """Place of the last container that a tariff change closed; what stands behind it was used after. ABSENT: none."""
    for place in range(len(used) - 1, -1, -1):
        for trigger in used[place].triggers or ():
            if trigger.triggerType == TARIFF_CHANGE:
                return place
    return ABSENT
