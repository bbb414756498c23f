"""Every BER record that the sample network writes, read by asn1tools with the official ASN.1 and written back alike."""

import struct
from pathlib import Path
from typing import Any

import pytest

from tests.standards.test_ts32298 import official
from tests.unit.sample_operator import make, sources, stem_of

pytestmark = pytest.mark.standards
TYPES = {"msc": "CSRecord", "smsc": "SMSRecordType", "scscf": "IMSRecord", "pcscf": "IMSRecord", "as": "IMSRecord",
         "mgcf": "IMSRecord", "pgw": "GPRSRecord", "sgw": "GPRSRecord", "chf": "CHFRecord"}
MOST = 400  # records of each kind of element


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sample") / "out", defects=False).out


def records(path: Path) -> list[bytes]:
    """Records of a TS 32.297 file, whose header is checked on the way."""
    data, found = path.read_bytes(), []
    octets, header = struct.unpack_from(">II", data)
    assert octets == len(data) and header == 54
    position = header
    while position < len(data):
        length, _release, form = struct.unpack_from(">HBB", data, position)
        assert form >> 5 == 1  # BER
        found.append(data[position + 5:position + 5 + length])
        position += 5 + length
    assert position == len(data) and struct.unpack_from(">I", data, 18)[0] == len(found)
    return found


@pytest.mark.parametrize("stem", TYPES)
def test_records_of_an_element_are_those_of_the_standard(out: Path, stem: str) -> None:
    specification: Any = official()
    found = [record for folder in sources(out) if stem_of(folder.name) == stem
             for path in sorted(folder.iterdir()) for record in records(path)][:MOST]
    assert len(found) > 50
    for record in found:
        # The same octets again: nothing was skipped as unknown, every length is minimal, fields stand in order.
        assert bytes(specification.encode(TYPES[stem], specification.decode(TYPES[stem], record))) == record
