"""How quotas are granted in real time, by service: `online:` of operator.yaml. All of it has defaults."""

from typing import Annotated, Literal

import msgspec

from schemas.codes import Service
from schemas.online import FinalAction

Units = Annotated[int, msgspec.Meta(ge=1, le=1 << 50)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=366 * 86_400)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=99)]


class ServiceRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one service. Units are seconds of voice, octets of data, messages, or units.

    quota: granted where the request leaves it to the operator, and the most of one grant. least: fewer than this are
    not worth granting. threshold_percent: of a grant, left when more is to be asked for; 0 for no threshold.
    final: what happens when the last units are used up; redirect_url and filter go with it.
    failure_handling, failover: what a client does when it gets no answer (RFC 8506 8.14, 8.4).
    """

    quota: Units
    least: Units = 1
    validity_s: Seconds = 3600
    threshold_percent: Percent = 0
    holding_s: Seconds | None = None
    final: Literal["terminate", "redirect", "restrict"] = "terminate"
    redirect_url: str = ""
    filter: str = ""
    failure_handling: Literal["terminate", "continue", "retry_and_terminate"] = "retry_and_terminate"
    failover: bool = True

    @property
    def final_action(self) -> FinalAction:
        """What `final` says, as answers have it."""
        return {"terminate": FinalAction.TERMINATE, "redirect": FinalAction.REDIRECT,
                "restrict": FinalAction.RESTRICT_ACCESS}[self.final]


class OnlineRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """supervision_s: a session unheard of for so long is closed, and what it held given back (Tcc of RFC 8506).
    remember_s: for so long after its last message a session's answers are given again: its last one to each service,
    and those before it as long as they are among the last `remember_answers` of all sessions (128 octets each).
    offline_rating_groups: those that are used without asking, and charged when they are reported (4011 of RFC 8506)."""

    voice: ServiceRules = ServiceRules(60, validity_s=600)
    sms: ServiceRules = ServiceRules(1)
    mms: ServiceRules = ServiceRules(1)
    data: ServiceRules = ServiceRules(10 << 20, least=1024, threshold_percent=20, holding_s=900)
    content: ServiceRules = ServiceRules(1)
    generic: ServiceRules = ServiceRules(1)
    supervision_s: Seconds = 7200
    remember_s: Seconds = 3600
    remember_answers: Annotated[int, msgspec.Meta(ge=1, le=1 << 28)] = 1_000_000
    offline_rating_groups: tuple[Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)], ...] = ()

    def of(self, service: Service) -> ServiceRules:
        """Those of one service."""
        rules: ServiceRules = getattr(self, service.name.lower())
        return rules
