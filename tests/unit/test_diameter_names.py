"""Subscribers named by NAI, private or public identity: IMSI and number that TS 23.003 derives such names from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.diameter.kernels.names import derived_nb
from schemas.digits import pack
from tests.oracle.diameter import derived

EPC, IMS = "mnc001.mcc001.3gppnetwork.org", "ims.mnc001.mcc001.3gppnetwork.org"
IMSI, NOBODY = "001010000000001", ("", "")
NAMES = {
    f"{IMSI}@nai.epc.{EPC}": (IMSI, ""),
    f"0{IMSI}@nai.epc.{EPC}": (IMSI, ""),  # EAP-AKA, TS 23.003 19.3.2
    f"1{IMSI}@wlan.{EPC}": (IMSI, ""),  # EAP-SIM, 14.3
    f"6{IMSI}@nai.epc.{EPC.upper()}": (IMSI, ""),  # EAP-AKA'
    f"2{IMSI}@nai.epc.{EPC}": NOBODY,  # a pseudonym
    f"nai.epc.{EPC}!0{IMSI}@nai.epc.mnc002.mcc262.3gppnetwork.org": (IMSI, ""),  # decorated, 19.3.3
    f"{IMSI}@{IMS}": (IMSI, ""),  # private identity, 13.3
    f"sip:{IMSI}@{IMS}": (IMSI, ""),  # temporary public identity, 13.4B
    f"sip:{IMSI}@{IMS};user=phone": (IMSI, ""),
    "26201123456@nai.epc.mnc001.mcc262.3gppnetwork.org": ("26201123456", ""),
    "62620112345678901@nai.epc.mnc001.mcc262.3gppnetwork.org": NOBODY,  # 17 digits
    f"{IMSI}@nai.epc.mnc001.mcc262.3gppnetwork.org": NOBODY,  # of another country
    "+999700099999@tarifa.example": ("", "999700099999"),
    f"sip:+999700099999@{IMS};user=phone": ("", "999700099999"),
    f"{IMSI}@tarifa.example": NOBODY, f"alice@nai.epc.{EPC}": NOBODY, "alice@tarifa.example": NOBODY, "": NOBODY,
    "@": NOBODY, f"@nai.epc.{EPC}": NOBODY, f"!@nai.epc.{EPC}": NOBODY, "a.mcc001.!0@b": NOBODY, IMSI: NOBODY,
}


def found(name: str) -> tuple[int, int]:
    octets = np.frombuffer(b"<" + name.encode("latin1") + b">", np.uint8)
    return tuple(map(int, derived_nb(octets, 1, len(name))))  # type: ignore[return-value]


def packed(said: tuple[str, str]) -> tuple[int, int]:
    return tuple(pack(each) if each else -1 for each in said)  # type: ignore[return-value]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_sims_and_numbers(name: str) -> None:
    assert found(name) == packed(NAMES[name]) == packed(derived(name))


PIECES = ["0", "1", "6", "00101", "262", "1234567890", "+", "@", "!", ":", "sip:", ".mcc001.", ".MCC262.", "nai.epc",
          ".", ";user=phone", "a"]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_any_name_is_read_as_the_oracle_reads_it(name: str) -> None:
    assert found(name) == packed(derived(name))
