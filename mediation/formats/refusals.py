"""What a file seems to be, by its first bytes: used when a file does not look like its declared layout.

Formats that are known but not read yet are refused by name, rather than misread.
"""

from mediation.formats.registry import REFUSED
from schemas.columns import U8
from schemas.errors import FormatError

SAMPLE_OCTETS = 4096

# Formats that layouts of Tarifa read, as `sniff` names them.
READ = {"ber": "BER records (TS 32.298)", "ts32297": "a file of TS 32.297", "json": "newline JSON",
        "radius": "RADIUS packets", "text": "lines of text"}
# Other things that land in an inbox.
STRANGE = {"gzip": "a gzip archive", "zip": "a zip archive", "xml": "XML", "parquet": "Parquet",
           "empty": "an empty file", "utf16": "text in UTF-16", "unknown": "no format that is known"}

_PCAP = {b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a"}
# Application tags of TAP 3.12 (GSMA TD.57): TransferBatch [1], Notification [2]; NRTRDE (TD.35): Nrtrde [1], and in it
# first SpecificationVersionNumber [41], where a TransferBatch has BatchControlInfo [4].
_NRTRDE_VERSION = b"\x5f\x29"


def sniff(buffer: U8) -> str:
    """Name of the format that the bytes look like: a key of REFUSED, READ or STRANGE. Never raises on bytes."""
    head = bytes(buffer[:SAMPLE_OCTETS])
    if not head:
        return "empty"
    for starts, name in ((b"\x1f\x8b", "gzip"), (b"PK\x03\x04", "zip"), (b"PAR1", "parquet"), (b"\xff\xfe", "utf16"),
                         (b"\xfe\xff", "utf16")):
        if head.startswith(starts):
            return name
    if head[:4] in _PCAP:
        return "pcap"
    if all(byte >= 32 or 9 <= byte <= 13 for byte in head) and not _invalid_utf8(head):
        return _text(head)
    if len(buffer) >= 50 and int.from_bytes(head[:4], "big") == len(buffer) and \
            50 <= int.from_bytes(head[4:8], "big") <= len(buffer):
        return "ts32297"  # before the others: such a length may begin like the version of a flow record
    flow = _flow(head, len(buffer))
    if flow:
        return flow
    if head[:1] in (b"\x61", b"\x62") and _ber_length(head, 1, len(buffer)):
        return _roaming(head)
    if _radius(head):
        return "radius"
    if head[0] & 0x20 and _ber_length(head, 2 if head[0] & 31 == 31 else 1, len(buffer)):
        return "ber"
    odd = sum(byte < 9 or 13 < byte < 32 for byte in head)
    return "unknown" if odd * 100 > len(head) else _text(head)


def refuse(name: str, buffer: U8) -> FormatError:
    """The message for a file that its layout `name` does not fit: what it seems to be, and what to do."""
    found = sniff(buffer)
    if found in REFUSED:
        return FormatError(f"the file looks like {REFUSED[found]}, which is not read yet; it comes with a later issue",
                           f"a file of format '{name}'", "keep the file out of this inbox until then")
    what = READ.get(found) or STRANGE[found]
    return FormatError(f"the file looks like {what}", f"a file of format '{name}'",
                       "correct the stream's format, or what is delivered to this inbox")


def _flow(head: bytes, size: int) -> str:
    """NetFlow 5 and 9 and IPFIX begin with their version; their lengths or counts must fit."""
    if len(head) < 16:
        return ""
    version, second = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:4], "big")
    if version == 10 and 16 <= second <= size:
        return "ipfix"
    if version == 9 and 1 <= second <= 512 and size >= 20:
        return "netflow"
    if version == 5 and 1 <= second <= 30 and size >= 24 + 48 * second:
        return "netflow"
    return ""


def _ber_length(head: bytes, at: int, size: int) -> bool:
    """Whether a BER length stands at `at` that the file can hold (or an indefinite one)."""
    if at >= len(head):
        return False
    first = head[at]
    if first < 128:
        return at + 1 + first <= size
    if first == 128:
        return True
    count = first & 127
    return count <= 4 and at + 1 + count + int.from_bytes(head[at + 1:at + 1 + count], "big") <= size


def _roaming(head: bytes) -> str:
    """TAP 3 or NRTRDE: told by what the outermost element begins with."""
    return "nrtrde" if head[:1] == b"\x61" and _NRTRDE_VERSION in head[2:10] else "tap3"


def _radius(head: bytes) -> bool:
    """A packet with a code of RFC 2865, 2866 or 5176, a length, and attributes whose lengths add up."""
    if len(head) < 20 or head[0] not in (1, 2, 3, 4, 5, 11, 12, 13, 40, 41, 42, 43, 44, 45):
        return False
    stop = int.from_bytes(head[2:4], "big")
    if not 20 <= stop <= len(head):
        return False
    at = 20
    while at + 2 <= stop and head[at + 1] >= 2:
        at += head[at + 1]
    return at == stop


def _invalid_utf8(head: bytes) -> bool:
    """Whether the bytes are no UTF-8, a character cut off by the end of the sample apart."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start < len(head) - 3
    return False


def _text(head: bytes) -> str:
    body = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if body.startswith(b"{"):
        return "json"
    return "xml" if body.startswith(b"<") else "text"
