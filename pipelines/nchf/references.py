"""ChargingDataRef: what stands in the URI of a charging session, and the 128-bit key by which charging knows it.

The reference is the key, in the letters of a URI, so that a restart forgets none. It is a keyed hash of what the
consumer said when it created the session: nobody can guess it, and a repeated create leads to the same session.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error

_LENGTH = 22  # letters of 16 octets
_MASK = (1 << 64) - 1
# How usage of the session is counted: by its service, by time, or in units; the create's requested units say so, and
# later reports carry more than one measure.
BY_SERVICE, BY_TIME, BY_UNITS = range(3)
_METER = 0x03

Key = tuple[int, int]  # upper and lower half, signed


class References:
    """secret: the home's, the same after a restart."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.blake2b(secret, digest_size=32, person=b"tarifa-nchf").digest()

    def create(self, said: bytes, meter: int) -> tuple[str, Key]:
        """Reference and key of a session, by what identifies its create."""
        raw = bytearray(hashlib.blake2b(said, digest_size=16, key=self._secret).digest())
        raw[15] = raw[15] & ~_METER | meter
        return urlsafe_b64encode(raw)[:_LENGTH].decode("ascii"), _halves(bytes(raw))

    def read(self, reference: str) -> tuple[Key, int]:
        """Key and meter of a reference; one that is not ours has a key too, since what it reports is kept."""
        if len(reference) == _LENGTH:
            try:
                raw = urlsafe_b64decode(reference.encode("ascii") + b"==")
            except (Error, ValueError):
                raw = b""
            if len(raw) == 16 and urlsafe_b64encode(raw)[:_LENGTH] == reference.encode("ascii"):
                meter = raw[15] & _METER
                return _halves(raw), meter if meter <= BY_UNITS else BY_SERVICE
        foreign = hashlib.blake2b(reference.encode("utf-8", "surrogatepass"), digest_size=16, key=self._secret,
                                  person=b"foreign").digest()
        return _halves(foreign), BY_SERVICE


def _halves(raw: bytes) -> Key:
    hi = int.from_bytes(raw[:8], "little", signed=True)
    lo = int.from_bytes(raw[8:], "little", signed=True)
    return (hi, lo) if (hi, lo) != (0, 0) else (0, 1 << 8)
