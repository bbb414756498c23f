"""Charging data requests to rows: one for each rating group, and for each service of a group that needs no quota.

Rows are written as a flat list of numbers and become columns once for a whole tick (`ticks`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from pipelines.nchf import references
from pipelines.nchf.limits import Limits
from pipelines.nchf.messages import (
    ChargingDataRequest,
    MultipleUnitUsage,
    RequestedUnit,
    SMAddressInfo,
    Trigger,
    UsedUnitContainer,
)
from pipelines.nchf.problems import MANDATORY_IE_MISSING, OPTIONAL_IE_INCORRECT, ProblemError
from schemas.codes import Direction, Service, Unit
from schemas.columns import ABSENT
from schemas.online import EventAction, ReportingReason, RequestKind
from schemas.units import SERVICE_UNIT

# Columns of a row as written here; identities and texts become tokens and labels with the tick.
COLUMNS = ("service", "direction", "unit", "event_time_us", "imsi_token", "msisdn_token", "imei_token", "apn",
           "charging_id", "gateway_address", "session_hi", "session_lo", "rating_group", "service_identifier",
           "serving_plmn", "roaming", "rat_type", "snssai", "kind", "action", "number", "message", "requested", "used",
           "used_after", "reporting_reason", "icid_hi", "icid_lo")
MOST_UNITS = 1 << 60     # of one row; what is beyond is no usage
MOST_ASKED = 1 << 50     # as operator.yaml has it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_US, _LATEST_US = 0, 4_102_444_800_000_000  # 2100
_DAY_US, _SECOND_US = 86_400_000_000, 1_000_000

_OF_FUNCTION = {"SMF": Service.DATA, "PGW_C_SMF": Service.DATA, "I_SMF": Service.DATA, "V_SMF": Service.DATA,
                "SGW": Service.DATA, "SGSN": Service.DATA, "ePDG": Service.DATA, "UPF": Service.DATA,
                "SMSF": Service.SMS, "SMS": Service.SMS, "IMS_Node": Service.VOICE}
_RATS = {"NR": 51, "NR_U": 52, "TRUSTED_WLAN": 53, "EUTRA": 6, "NBIOT": 8, "LTE-M": 9, "WLAN": 3, "VIRTUAL": 7,
         "UTRA": 1, "GERA": 2}  # TS 29.571 RatType to TS 29.061
_CONDITION = int(ReportingReason.RATING_CONDITION_CHANGE)
_REASONS = {"QUOTA_THRESHOLD": ReportingReason.THRESHOLD, "QHT": ReportingReason.QHT, "FINAL": ReportingReason.FINAL,
            "ABNORMAL_RELEASE": ReportingReason.FINAL, "QUOTA_EXHAUSTED": ReportingReason.QUOTA_EXHAUSTED,
            "VALIDITY_TIME": ReportingReason.VALIDITY_TIME, "OTHER_QUOTA_TYPE": ReportingReason.OTHER_QUOTA_TYPE,
            "FORCED_REAUTHORISATION": ReportingReason.FORCED_REAUTHORISATION,
            "UNIT_COUNT_INACTIVITY_TIMER": ReportingReason.QHT}
_TARIFF_CHANGE = "TARIFF_TIME_CHANGE"
_ROLES = {"ORIGINATING": Direction.ORIGINATING, "TERMINATING": Direction.TERMINATING,
          "FORWARDING": Direction.FORWARDED}
_OFFLINE = ("OFFLINE_CHARGING", "QUOTA_MANAGEMENT_SUSPENDED")
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
    """A tick's rows as they fill: `flat` holds a row's COLUMNS one behind the other."""

    flat: list[int]
    texts: Texts
    count: int = 0
    messages: int = 0

    @classmethod
    def begin(cls) -> "Rows":
        return cls([], Texts([], [], [], []))


@dataclass(slots=True)
class Asked:
    """What an answer needs to know of its request.

    groups: (rating group, UPF, units asked for or ABSENT, row from the request's first) of each MultipleUnitUsage.
    """

    number: int
    first: int
    rows: int
    unit: int
    groups: list[tuple[int, str | None, int, int]]


def micros(moment: datetime) -> int:
    """Microseconds since 1970, UTC."""
    span = moment - _EPOCH
    return span.days * _DAY_US + span.seconds * _SECOND_US + span.microseconds


def pack_digits(digits: str) -> int:
    """As `schemas.digits.pack`, for at most 15 decimal digits: adding one to each of them carries nowhere."""
    return int(digits, 16) + _ONES[len(digits)]


def _digits(text: str, start: int) -> bool:
    size = len(text) - start
    return 5 <= size <= 15 and text.isascii() and text[start:].isdigit()


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
        raise ProblemError(400, "MANDATORY_IE_INCORRECT", "a time between 1970 and 2100", "invocationTimeStamp")
    session, sms, ims = (request.pDUSessionChargingInformation, request.sMSChargingInformation,
                         request.iMSChargingInformation)
    consumer = request.nfConsumerIdentification
    about = session.pduSessionInformation if session is not None else None
    service = (Service.DATA if session is not None else Service.SMS if sms is not None else
               Service.VOICE if ims is not None else _OF_FUNCTION.get(consumer.nodeFunctionality, Service.GENERIC))
    unit = int(SERVICE_UNIT[service])
    if meter == references.BY_TIME:
        unit = int(Unit.SECOND)
    elif meter == references.BY_UNITS and unit != Unit.MESSAGE:
        unit = int(Unit.UNIT)

    imsi, msisdn, served = _served(request)
    imei = ABSENT
    user = session.userInformation if session is not None else ims.userInformation if ims is not None else None
    if user is not None and user.servedPEI is not None and user.servedPEI.startswith("imei-") and \
            _digits(user.servedPEI, 5):
        imei = pack_digits(user.servedPEI[5:])

    direction, other = _parties(request)
    plmn, rat, slice_ = ABSENT, ABSENT, ABSENT
    charging_id = request.chargingId
    dnn = None
    if session is not None:
        charging_id = session.chargingId if session.chargingId is not None else charging_id
        location = session.userLocationinfo
        network = None
        if about is not None:
            dnn = about.dnnId
            network = about.servingCNPlmnId
            if network is None and about.servingNetworkFunctionID is not None:
                network = about.servingNetworkFunctionID.servingNetworkFunctionInformation.nFPLMNID
            if about.ratType is not None:
                rat = _RATS.get(about.ratType, ABSENT)
            if about.networkSlicingInfo is not None:
                slicing = about.networkSlicingInfo.sNSSAI
                sd = 0xFFFFFF if slicing.sd is None else int(slicing.sd, 16)
                slice_ = slicing.sst << 32 | (sd + 1 if sd != 0xFFFFFF else 0)
        if network is None and location is not None:
            cell = location.nrLocation or location.eutraLocation
            network = cell.tai.plmnId if cell is not None else None
        if network is not None:
            plmn = int(network.mcc) * 1000 + int(network.mnc)
    elif sms is not None and sms.rATType is not None:
        rat = _RATS.get(sms.rATType, ABSENT)
    roaming = int(plmn != ABSENT and plmn not in home_plmns)
    gateway = ABSENT
    if consumer.nFIPv4Address is not None:
        a, b, c, d = consumer.nFIPv4Address.split(".")
        gateway = int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)

    event = kind == RequestKind.INITIAL and request.oneTimeEvent
    action = ABSENT
    if event:
        kind, action = RequestKind.EVENT, int(EventAction.DIRECT_DEBITING)
    usages = request.multipleUnitUsage
    default_asked = ABSENT
    if usages is None:
        usages = []
        if event:  # the event itself is what is charged
            default_asked = (sms.numberofMessagesSent or 1) if sms is not None else 1
    measured, groups = _measure(usages, unit, api, limits, request.triggers)
    if event and request.oneTimeEventType == "PEC":  # it has happened: what is asked for was used
        for line in measured:
            if line[2] != ABSENT and line[3] == ABSENT:
                line[2], line[3] = ABSENT, line[2]
        if not measured and default_asked != ABSENT:
            measured = [[ABSENT, ABSENT, ABSENT, default_asked, ABSENT, ABSENT]]
    if not measured:
        measured = [[ABSENT, ABSENT, default_asked, ABSENT, ABSENT, ABSENT]]

    first = rows.count
    flat, hi, lo = rows.flat, key[0], key[1]
    for group, identifier, asked, used, after, reason in measured:
        flat += (service, direction, unit, event_us, imsi, msisdn, imei, ABSENT, ABSENT if charging_id is None
                 else charging_id, gateway, hi, lo, group, identifier, plmn, roaming, rat, slice_, kind, action,
                 request.invocationSequenceNumber, rows.messages, asked, used, after, reason, ABSENT, ABSENT)
    count = len(measured)
    texts = rows.texts
    for row in range(first, first + count):
        if dnn is not None:
            texts.dnn.append((row, dnn))
        if served is not None:
            texts.served.append((row, served))
        if other:
            texts.other.append((row, other))
        if ims is not None and ims.imsChargingIdentifier:
            texts.icid.append((row, ims.imsChargingIdentifier))
    rows.count += count
    rows.messages += 1
    return Asked(request.invocationSequenceNumber, first, count, unit, groups)


def _served(request: ChargingDataRequest) -> tuple[int, int, str | None]:
    """IMSI and MSISDN as packed digits, ABSENT for none, and a name where the subscriber has neither."""
    imsi, msisdn, name = ABSENT, ABSENT, None
    subscriber = request.subscriberIdentifier
    session, ims = request.pDUSessionChargingInformation, request.iMSChargingInformation
    about = session.userInformation if session is not None else ims.userInformation if ims is not None else None
    number = about.servedGPSI if about is not None else None
    if number is None and request.sMSChargingInformation is not None:
        number = _of_sms(request)
    if subscriber is not None:
        if subscriber.startswith("imsi-") and _digits(subscriber, 5):
            imsi = pack_digits(subscriber[5:])
        elif subscriber.startswith("msisdn-") and _digits(subscriber, 7):
            number = subscriber
        else:
            name = subscriber.removeprefix("nai-")
    if number is not None and number.startswith("msisdn-") and _digits(number, 7):
        msisdn = pack_digits(number[7:])
        name = None
    if imsi == ABSENT and msisdn == ABSENT and not name:
        raise ProblemError(400, MANDATORY_IE_MISSING, "who is charged", "subscriberIdentifier")
    return imsi, msisdn, name


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
        direction = _ROLES.get(ims.roleOfNode or "", Direction.ORIGINATING)
        if direction == Direction.TERMINATING:
            return int(direction), ims.callingPartyAddresses[0] if ims.callingPartyAddresses else None
        return int(direction), ims.calledPartyAddress
    if sms is not None:
        if sms.sMMessageType == "DELIVERY":
            sender = sms.originatorInfo
            other = None if sender is None else _party(
                sender.originatorGPSI, sender.originatorReceivedAddress or sender.originatorOtherAddress)
            return int(Direction.TERMINATING), other
        for recipient in sms.recipientInfo or ():
            other = _party(recipient.recipientGPSI, recipient.recipientReceivedAddress
                           or recipient.recipientOtherAddress)
            if other:
                return int(Direction.ORIGINATING), other
    return int(Direction.ORIGINATING), None


def _party(gpsi: str | None, address: SMAddressInfo | None) -> str | None:
    if gpsi is not None:
        return "tel:+" + gpsi[7:] if gpsi.startswith("msisdn-") else gpsi
    return None if address is None else address.sMaddressData


def _asked(asked: RequestedUnit | None, unit: int) -> int:
    """Units asked for, 0 for whatever the operator grants, ABSENT for none."""
    if asked is None:
        return ABSENT
    if unit == Unit.OCTET:
        if asked.totalVolume is not None:
            return min(asked.totalVolume, MOST_ASKED)
        return min((asked.uplinkVolume or 0) + (asked.downlinkVolume or 0), MOST_ASKED)
    return min((asked.time if unit == Unit.SECOND else asked.serviceSpecificUnits) or 0, MOST_ASKED)


def _used(container: UsedUnitContainer, unit: int) -> int:
    if unit == Unit.OCTET:
        if container.totalVolume is not None:
            return container.totalVolume
        return (container.uplinkVolume or 0) + (container.downlinkVolume or 0)
    if unit == Unit.SECOND:
        return container.time or 0
    if container.serviceSpecificUnits is not None:
        return container.serviceSpecificUnits
    return len(container.eventTimeStamps or ())


def _reason(triggers: list[Trigger] | None) -> int:
    for trigger in triggers or ():
        found = _REASONS.get(trigger.triggerType or "")
        if found is not None:
            return int(found)
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

    def line(group: int, identifier: int) -> list[int]:
        at = (group, identifier)
        found = lines.get(at)
        if found is None:
            found = lines[at] = [group, identifier, ABSENT, ABSENT, ABSENT, ABSENT]
        return found

    for usage in usages:
        group = usage.ratingGroup
        asked = _asked(usage.requestedUnit, unit) if api == Api.CONVERGED else ABSENT
        used = usage.usedUnitContainer
        if asked != ABSENT or not used:
            whole = line(group, ABSENT)
            if asked != ABSENT:
                # Two UPFs: what both ask for together; whatever the operator grants if one leaves it open.
                whole[2] = asked if whole[2] == ABSENT else 0 if not asked or not whole[2] else \
                    min(whole[2] + asked, MOST_ASKED)
        if used:
            containers += len(used)
            if containers > limits.containers:
                raise ProblemError(400, OPTIONAL_IE_INCORRECT, f"at most {limits.containers} of them",
                                   "usedUnitContainer")
            changed = _last_change(used)
            for place, container in enumerate(used):
                apart = api == Api.OFFLINE or container.quotaManagementIndicator in _OFFLINE
                identifier = container.serviceId if apart and container.serviceId is not None else ABSENT
                target = line(group, identifier)
                column = 4 if 0 <= changed < place else 3
                target[column] = max(target[column], 0) + _used(container, unit)
                if target[column] > MOST_UNITS:
                    raise ProblemError(400, OPTIONAL_IE_INCORRECT, "more units than can be used", "usedUnitContainer")
                if column == 4 and target[3] == ABSENT:
                    target[3] = 0
                reason = _reason(container.triggers)
                if reason != ABSENT and target[5] in (ABSENT, _CONDITION):
                    target[5] = reason
        asks.append(asked)
    if triggers:
        said = _reason(triggers)
        for each in lines.values():
            if each[3] != ABSENT and each[5] == ABSENT:
                each[5] = said
    places = {at[0]: place for place, at in enumerate(lines) if at[1] == ABSENT}
    groups = [(usage.ratingGroup, usage.uPFID, each, places.get(usage.ratingGroup, ABSENT))
              for usage, each in zip(usages, asks, strict=True)]
    return list(lines.values()), groups


def _last_change(used: list[UsedUnitContainer]) -> int:
    """Place of the last container that a tariff change closed; what stands behind it was used after. ABSENT: none."""
    for place in range(len(used) - 1, -1, -1):
        for trigger in used[place].triggers or ():
            if trigger.triggerType == _TARIFF_CHANGE:
                return place
    return ABSENT
