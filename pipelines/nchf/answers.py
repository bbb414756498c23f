"""Answers of charging to the words of TS 32.291."""

from datetime import UTC, datetime, timedelta

from pipelines.nchf.messages import (
    ChargingDataResponse,
    FinalUnitIndication,
    GrantedUnit,
    InvocationResult,
    MultipleUnitInformation,
    RedirectServer,
)
from pipelines.nchf.problems import CONTEXT_NOT_FOUND, ProblemError
from pipelines.nchf.requests import Asked
from pipelines.nchf.ticks import Answered
from reference_data.online import OnlineRules, ServiceRules
from schemas import online
from schemas.codes import Service, Unit
from schemas.columns import ABSENT
from schemas.online import FinalAction

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RESULTS = {online.SUCCESS: "SUCCESS", online.END_USER_SERVICE_DENIED: "END_USER_SERVICE_DENIED",
           online.CREDIT_CONTROL_NOT_APPLICABLE: "QUOTA_MANAGEMENT_NOT_APPLICABLE",
           online.CREDIT_LIMIT_REACHED: "QUOTA_LIMIT_REACHED", online.USER_UNKNOWN: "USER_UNKNOWN",
           online.RATING_FAILED: "RATING_FAILED", 5003: "END_USER_SERVICE_REJECTED"}
# Of a whole request: status and cause. Source: TS 32.291 6.1.7.3; the last, and 500s, TS 29.500 5.2.7.2.
PROBLEMS = {online.END_USER_SERVICE_DENIED: (403, "END_USER_REQUEST_DENIED"),
            online.CREDIT_CONTROL_NOT_APPLICABLE: (403, "CHARGING_NOT_APPLICABLE"),
            online.CREDIT_LIMIT_REACHED: (403, "QUOTA_LIMIT_REACHED"), 5003: (403, "END_USER_REQUEST_REJECTED"),
            online.USER_UNKNOWN: (404, "USER_UNKNOWN"), online.RATING_FAILED: (400, "CHARGING_FAILED"),
            online.UNKNOWN_SESSION_ID: (404, CONTEXT_NOT_FOUND)}
_ACTIONS = {int(FinalAction.TERMINATE): "TERMINATE", int(FinalAction.REDIRECT): "REDIRECT",
            int(FinalAction.RESTRICT_ACCESS): "RESTRICT_ACCESS"}
_OCTET, _SECOND = int(Unit.OCTET), int(Unit.SECOND)
_HANDLING = {"terminate": "TERMINATE", "continue": "CONTINUE", "retry_and_terminate": "RETRY_AND_TERMINATE"}


def written(time_us: int) -> str:
    """A time as TS 29.571 writes it."""
    moment = _EPOCH + timedelta(microseconds=time_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Speaker:
    """Says answers. What every answer of a service has in common is made once."""

    def __init__(self, rules: OnlineRules) -> None:
        self._rules = rules
        self._handling = {int(s): InvocationResult(failureHandling=_HANDLING[rules.of(s).failure_handling])
                          for s in Service}
        self._failover = {int(s): "FAILOVER_SUPPORTED" if rules.of(s).failover else "FAILOVER_NOT_SUPPORTED"
                          for s in Service}
        self._final = {(int(s), int(a)): _final(rules.of(s), a) for s in Service for a in FinalAction if a}

    def common(self, service: int) -> ChargingDataResponse:
        """What every answer of a service says."""
        return ChargingDataResponse("", 0, self._handling[service], self._failover[service])

    def final(self, service: int, action: int) -> FinalUnitIndication | None:
        """What is said with the last units."""
        return self._final.get((service, action))

    def response(self, asked: Asked, answers: Answered) -> ChargingDataResponse:
        """The body of a 200 or 201. Raises ProblemError where the request as a whole was refused.

        Time and number are those of the invocation: the same request gets the same octets, whenever it comes.
        """
        first = asked.first
        code = answers["message_code"][first]
        if code != online.SUCCESS:
            raise problem(code)
        said = ChargingDataResponse(written(asked.event_us), asked.number, self._handling[asked.service],
                                    self._failover[asked.service])
        if asked.groups:
            said.multipleUnitInformation = self._units(asked, answers) or None
        return said

    def _units(self, asked: Asked, answers: Answered) -> list[MultipleUnitInformation]:
        said = []
        left: dict[int, int] = {}  # row: units that its further UPFs can have
        sharers: dict[int, int] = {}
        if len(asked.groups) > 1:
            for _, _, _, place in asked.groups:
                sharers[place] = sharers.get(place, 0) + 1
        for group, upf, wanted, place in asked.groups:
            if place == ABSENT:
                continue
            row = asked.first + place
            result = answers["result_code"][row]
            if wanted == ABSENT and result == online.SUCCESS and answers["final_action"][row] <= 0:
                continue
            unit = MultipleUnitInformation(group, RESULTS.get(result, "END_USER_SERVICE_REJECTED"), uPFID=upf)
            said.append(unit)
            granted = answers["granted"][row]
            threshold = answers["threshold"][row]
            if wanted != ABSENT and granted >= 0:
                if place in sharers and (sharers[place] > 1 or row in left):
                    rest = left.get(row, granted)
                    share = rest // sharers[place] if not wanted else min(wanted, rest)
                    left[row], sharers[place] = rest - share, sharers[place] - 1
                    threshold = threshold * share // granted if threshold > 0 and granted else threshold
                    granted = share
                if granted or result == online.SUCCESS:
                    unit.grantedUnit = _granted(granted, asked.unit, answers["change_us"][row])
                    validity, holding = answers["validity_s"][row], answers["holding_s"][row]
                    unit.validityTime = None if validity == ABSENT else validity
                    unit.quotaHoldingTime = None if holding == ABSENT else holding
                    if threshold != ABSENT:
                        _set_threshold(unit, asked.unit, threshold)
            unit.finalUnitIndication = self.final(asked.service, answers["final_action"][row])
        return said


def problem(code: int) -> ProblemError:
    """A request that was refused as a whole."""
    status, cause = PROBLEMS.get(code, (400, "CHARGING_FAILED"))
    return ProblemError(status, cause)


def _granted(units: int, unit: int, change_us: int) -> GrantedUnit:
    change = None if change_us == ABSENT else written(change_us)
    if unit == _OCTET:
        return GrantedUnit(change, totalVolume=units)
    if unit == _SECOND:
        return GrantedUnit(change, time=min(units, 0xFFFFFFFF))
    return GrantedUnit(change, serviceSpecificUnits=units)


def _set_threshold(said: MultipleUnitInformation, unit: int, threshold: int) -> None:
    if unit == _OCTET:
        said.volumeQuotaThreshold = threshold
    elif unit == _SECOND:
        said.timeQuotaThreshold = threshold
    else:
        said.unitQuotaThreshold = threshold


def _final(rules: ServiceRules, action: FinalAction) -> FinalUnitIndication:
    said = FinalUnitIndication(_ACTIONS[int(action)])
    if action == FinalAction.REDIRECT and rules.redirect_url:
        is_sip = rules.redirect_url.startswith(("sip:", "sips:"))
        said.redirectServer = RedirectServer("URI" if is_sip else "URL", rules.redirect_url)
    elif action == FinalAction.RESTRICT_ACCESS and rules.filter:
        if rules.filter.startswith(("permit ", "deny ")):
            said.restrictionFilterRule = rules.filter
        else:
            said.filterId = rules.filter
    return said


__all__ = ["PROBLEMS", "RESULTS", "Speaker", "problem", "written"]
