"""What the charging APIs say, as types: fields that are read are checked, others are passed over.

Source: TS 32.291 6.1.6 and 6.2.6, TS 29.571. Enumerations are open (TS 29.501 5.2.4.3): any text is taken, and what is
not known means nothing. Names are the standard's own, since they are what goes over the wire.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Uint32 = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
Uint64 = Annotated[int, Meta(ge=0, le=0x7FFFFFFFFFFFFFFF)]  # the standard has 64 bits; one fewer is counted here
Volume = Annotated[int, Meta(ge=0, le=1 << 50)]  # of one report: beyond, somebody miscounted
Time = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Word = Annotated[str, Meta(max_length=128)]
Address = Annotated[str, Meta(max_length=512)]
Uri = Annotated[str, Meta(max_length=2048)]


class PlmnId(Struct, gc=False):
    """Digits, which whoever reads them checks: patterns cost as much as all else of a message."""

    mcc: Annotated[str, Meta(min_length=3, max_length=3)]
    mnc: Annotated[str, Meta(min_length=2, max_length=3)]


class NFIdentification(Struct, gc=False):
    """TS 32.291: who asks, or serves."""

    nodeFunctionality: Word
    nFName: Word | None = None
    nFIPv4Address: Annotated[str, Meta(min_length=7, max_length=15)] | None = None
    nFPLMNID: PlmnId | None = None
    nFFqdn: Annotated[str, Meta(max_length=255)] | None = None


class Trigger(Struct, gc=False):
    """Why a report was made."""

    triggerCategory: Word
    triggerType: Word | None = None


class RequestedUnit(Struct, gc=False):
    """Units asked for; none named: whatever is granted."""

    time: Uint32 | None = None
    totalVolume: Uint64 | None = None
    uplinkVolume: Uint64 | None = None
    downlinkVolume: Uint64 | None = None
    serviceSpecificUnits: Uint64 | None = None


class PDUContainerInformation(Struct, gc=False):
    """When the units were used."""

    timeofFirstUsage: Time | None = None
    timeofLastUsage: Time | None = None


class UsedUnitContainer(Struct, gc=False):
    """Units used, or counted without quota."""

    localSequenceNumber: int
    serviceId: Uint32 | None = None
    quotaManagementIndicator: Word | None = None
    triggers: list[Trigger] | None = None
    triggerTimestamp: Time | None = None
    time: Uint32 | None = None
    totalVolume: Volume | None = None
    uplinkVolume: Volume | None = None
    downlinkVolume: Volume | None = None
    serviceSpecificUnits: Volume | None = None
    eventTimeStamps: list[Time] | None = None
    pDUContainerInformation: PDUContainerInformation | None = None


class MultipleUnitUsage(Struct, gc=False):
    """What one rating group asks and reports."""

    ratingGroup: Uint32
    requestedUnit: RequestedUnit | None = None
    usedUnitContainer: list[UsedUnitContainer] | None = None
    uPFID: Word | None = None


class UserInformation(Struct, gc=False):
    """Of the served subscriber."""

    servedGPSI: Name | None = None
    servedPEI: Name | None = None


class Snssai(Struct, gc=False):
    """A network slice."""

    sst: Annotated[int, Meta(ge=0, le=255)]
    sd: Annotated[str, Meta(min_length=6, max_length=6)] | None = None


class NetworkSlicingInfo(Struct, gc=False):
    """In which slice it happens."""

    sNSSAI: Snssai


class ServingNetworkFunctionID(Struct, gc=False):
    """Which AMF or gateway serves."""

    servingNetworkFunctionInformation: NFIdentification


class PDUSessionInformation(Struct, gc=False):
    """A PDU session: network, slice, access."""

    pduSessionID: Annotated[int, Meta(ge=0, le=255)]
    dnnId: Name
    networkSlicingInfo: NetworkSlicingInfo | None = None
    hPlmnId: PlmnId | None = None
    servingCNPlmnId: PlmnId | None = None
    servingNetworkFunctionID: ServingNetworkFunctionID | None = None
    ratType: Word | None = None


class Tai(Struct, gc=False):
    """A tracking area, of which only the network counts."""

    plmnId: PlmnId


class NrLocation(Struct, gc=False):
    """Where, in 5G or LTE."""

    tai: Tai


class UserLocation(Struct, gc=False):
    """Where the subscriber is."""

    nrLocation: NrLocation | None = None
    eutraLocation: NrLocation | None = None


class PDUSessionChargingInformation(Struct, gc=False):
    """What data sessions say of themselves."""

    chargingId: Uint32 | None = None
    sMFchargingId: Word | None = None
    userInformation: UserInformation | None = None
    userLocationinfo: UserLocation | None = None
    pduSessionInformation: PDUSessionInformation | None = None


class SMAddressInfo(Struct, gc=False):
    """An address of a short message."""

    sMaddressType: Word | None = None
    sMaddressData: Address | None = None


class RecipientInfo(Struct, gc=False):
    """Who a message is for."""

    recipientSUPI: Name | None = None
    recipientGPSI: Name | None = None
    recipientOtherAddress: SMAddressInfo | None = None
    recipientReceivedAddress: SMAddressInfo | None = None


class OriginatorInfo(Struct, gc=False):
    """Who sent it."""

    originatorSUPI: Name | None = None
    originatorGPSI: Name | None = None
    originatorOtherAddress: SMAddressInfo | None = None
    originatorReceivedAddress: SMAddressInfo | None = None


class SMSChargingInformation(Struct, gc=False):
    """What short messages say of themselves."""

    originatorInfo: OriginatorInfo | None = None
    recipientInfo: list[RecipientInfo] | None = None
    rATType: Word | None = None
    sMMessageType: Word | None = None
    messageReference: Word | None = None
    numberofMessagesSent: Uint32 | None = None
    userLocationinfo: UserLocation | None = None


class IMSChargingInformation(Struct, gc=False):
    """What IMS sessions say of themselves."""

    roleOfNode: Word | None = None
    userInformation: UserInformation | None = None
    callingPartyAddresses: list[Address] | None = None
    calledPartyAddress: Address | None = None
    imsChargingIdentifier: Annotated[str, Meta(max_length=255)] | None = None


class ChargingDataRequest(Struct, gc=False):
    """Of both charging APIs: OfflineOnlyCharging has no requested units, and what it has is the same."""

    nfConsumerIdentification: NFIdentification
    invocationTimeStamp: Time
    invocationSequenceNumber: Uint32
    subscriberIdentifier: Name | None = None
    chargingId: Uint32 | None = None
    retransmissionIndicator: bool = False
    oneTimeEvent: bool = False
    oneTimeEventType: Word | None = None
    notifyUri: Uri | None = None
    supportedFeatures: Annotated[str, Meta(pattern="^[0-9A-Fa-f]*$", max_length=64)] | None = None
    serviceSpecificationInfo: Annotated[str, Meta(max_length=255)] | None = None
    multipleUnitUsage: list[MultipleUnitUsage] | None = None
    triggers: list[Trigger] | None = None
    pDUSessionChargingInformation: PDUSessionChargingInformation | None = None
    sMSChargingInformation: SMSChargingInformation | None = None
    iMSChargingInformation: IMSChargingInformation | None = None


# What is answered and sent. Fields that are None are left out.


class RedirectServer(Struct, gc=False, omit_defaults=True):
    """Where to, when nothing is left."""

    redirectAddressType: str
    redirectServerAddress: str


class FinalUnitIndication(Struct, gc=False, omit_defaults=True):
    """What happens when the last units are used."""

    finalUnitAction: str
    restrictionFilterRule: str | None = None
    filterId: str | None = None
    redirectServer: RedirectServer | None = None


class GrantedUnit(Struct, gc=False, omit_defaults=True):
    """Units that may be used."""

    tariffTimeChange: str | None = None
    time: int | None = None
    totalVolume: int | None = None
    serviceSpecificUnits: int | None = None


class MultipleUnitInformation(Struct, gc=False, omit_defaults=True):
    """What one rating group is answered."""

    ratingGroup: int
    resultCode: str | None = None
    grantedUnit: GrantedUnit | None = None
    validityTime: int | None = None
    quotaHoldingTime: int | None = None
    finalUnitIndication: FinalUnitIndication | None = None
    timeQuotaThreshold: int | None = None
    volumeQuotaThreshold: int | None = None
    unitQuotaThreshold: int | None = None
    uPFID: str | None = None


class InvalidParam(Struct, gc=False, omit_defaults=True):
    """A member that is wrong, by its path."""

    param: str
    reason: str | None = None


class ProblemDetails(Struct, gc=False, omit_defaults=True):
    """Source: TS 29.571 5.2.4.1, RFC 9457."""

    title: str | None = None
    status: int | None = None
    detail: str | None = None
    cause: str | None = None
    invalidParams: list[InvalidParam] | None = None


class InvocationResult(Struct, gc=False, omit_defaults=True):
    """What the consumer is to do when it gets no answer."""

    error: ProblemDetails | None = None
    failureHandling: str | None = None


class ChargingDataResponse(Struct, gc=False, omit_defaults=True):
    """The answer to create and update."""

    invocationTimeStamp: str
    invocationSequenceNumber: int
    invocationResult: InvocationResult | None = None
    sessionFailover: str | None = None
    multipleUnitInformation: list[MultipleUnitInformation] | None = None


class ReauthorizationDetails(Struct, gc=False, omit_defaults=True):
    """Which rating group is to ask again."""

    ratingGroup: int | None = None
    serviceId: int | None = None
    quotaManagementIndicator: str | None = None


class ChargingNotifyRequest(Struct, gc=False, omit_defaults=True):
    """The callback: ask again, or end."""

    notificationType: str
    reauthorizationDetails: list[ReauthorizationDetails] | None = None


encode = msgspec.json.Encoder().encode
read_charging_data = msgspec.json.Decoder(ChargingDataRequest).decode
