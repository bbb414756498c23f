"""What listeners are told, in TMF654's words: something was made, its status or its text changed, a balance changed."""

from typing import Any

import msgspec

from pipelines.balance_api.listeners import Event
from pipelines.balance_api.store import Answer
from rating.book import BalanceBook
from rating.reservations import Reservation, ReservationState, key_of
from schemas.timepoint import format_time

RESERVE = "reserveBalance"
RESOURCES = ("topupBalance", "transferBalance", "adjustBalance", RESERVE)
CREATED, ALTERED, STATUS_CHANGED = "CreateEvent", "AttributeValueChangeEvent", "StatusChangeEvent"
BUCKET = "BucketAttributeValueChangeEvent"
TYPES = (BUCKET, *(name[0].upper() + name[1:] + what for name in RESOURCES for what in (CREATED, ALTERED)),
         "ReserveBalance" + STATUS_CHANGED)
STATUS = {ReservationState.OPEN: "confirmed", ReservationState.USED: "completed",
          ReservationState.RELEASED: "cancelled", ReservationState.EXPIRED: "expired"}
members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


def resource_event(kind: str, what: str, resource_id: str, account_id: int, body: bytes, now_us: int) -> Event:
    """Of what the API made. The same event has the same id, however often it is told."""
    name = kind[0].upper() + kind[1:] + what
    return _event(name, f"{resource_id}-{what}" if what == CREATED else f"{resource_id}-{what}-{now_us}", account_id,
                  {kind: msgspec.Raw(body)}, now_us)


def bucket_event(bucket: dict[str, Any], account_id: int, now_us: int) -> Event:
    """Of an account's bucket, as it is now."""
    return _event(BUCKET, f"{bucket['id']}-{now_us}", account_id, {"bucket": bucket}, now_us)


def _event(kind: str, name: str, account_id: int, payload: dict[str, Any], now_us: int) -> Event:
    return Event(kind, account_id, now_us, _encode({
        "eventId": name, "eventTime": format_time(now_us), "eventType": kind, "domain": "prepayBalanceManagement",
        "event": payload}))


def reservation_of(book: BalanceBook, name: str) -> Reservation | None:
    """What became of a reservation; None: it is not known, or not any more."""
    key = key_of(name)
    return None if key is None else book.reservations.by_key.get(key)


def reservation_now(book: BalanceBook, answer: Answer) -> bytes:
    """Body of a reserveBalance as it was made, with the status of now."""
    found = reservation_of(book, answer.resource_id)
    body = members(answer.body)
    body["status"] = msgspec.Raw(msgspec.json.encode("closed" if found is None else STATUS[found.state]))
    if found is not None and found.state != ReservationState.OPEN:
        body["confirmationDate"] = msgspec.Raw(msgspec.json.encode(format_time(found.ended_us)))
    return msgspec.json.encode(body)
