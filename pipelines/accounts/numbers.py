"""Numbers as people write them."""

from schemas.errors import ChargingError


def digits_of(number: str) -> str:
    """The digits alone. Raises ChargingError: it is no number."""
    digits = number.removeprefix("+").replace(" ", "").replace("-", "")
    if not digits.isascii() or not digits.isdecimal() or not 3 <= len(digits) <= 15:
        raise ChargingError("a number that is none", "3 to 15 digits: an MSISDN with its country code, an IMSI whole")
    return digits
