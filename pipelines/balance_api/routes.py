"""What a route is: how it is asked, what it needs, who answers. The OpenAPI page is made of the same."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from pipelines.balance_api.problems import ProblemError

if TYPE_CHECKING:
    from pipelines.balance_api.service import BalanceService, Call, Reply

_AMOUNT = re.compile(r"`str` matching regex '[^']*'")  # the only pattern there is: nobody is to read it
B = TypeVar("B", bound="Body")


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A request's body. TMF's may say more than we need; ours may not."""

    @classmethod
    def read(cls: type[B], payload: bytes) -> B:
        """Raises ProblemError, which says where it is wrong and never what was there."""
        try:
            return msgspec.json.decode(payload, type=cls)
        except msgspec.ValidationError as error:
            raise ProblemError(400, _AMOUNT.sub('decimal text such as "10.00"', str(error))) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise ProblemError(400, "a body that is no JSON of this shape") from None


@dataclass(frozen=True)
class Route:
    """scope: what the token must have. body: what is read; query: names of parameters."""

    method: str
    path: str
    scope: str
    handler: "Callable[[BalanceService, Call], Awaitable[Reply]]"
    summary: str
    body: type[Body] | None = None
    query: tuple[str, ...] = ()
    tmf: bool = False
