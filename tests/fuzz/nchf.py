"""Damaged bodies over HTTP/2, to a node that charges."""

import random
import time
from collections import Counter
from collections.abc import Sequence

import httpx

from benchmarks.http2_load import Request, load
from benchmarks.nchf import PATH, body
from tests.property.test_nchf_blocks import invented
from tests.property.test_nchf_fuzz import damaged, material

SESSIONS = 100


class NchfFuzz:
    """numbers: of subscribers who exist."""

    def __init__(self, port: int, numbers: Sequence[str], seed: int) -> None:
        self._port, self._numbers, self._luck = port, numbers, random.Random(seed)
        self._host = f"127.0.0.1:{port}"
        self._material, self._number = material(), 0
        self.statuses: Counter[int] = Counter()
        self.sent = 0

    def block(self, count: int) -> None:
        """Sessions that are sound, then damaged requests of them and of others."""
        luck = self._luck
        moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        places, owners = self._sessions(moment)
        sound = [body(n, owners[n], moment) for n in range(len(places))]
        strange = [*self._material, *(invented(luck) for _ in range(50))]
        requests = []
        for _ in range(count):
            chance = luck.random()
            self._number += 1
            if chance < 0.7:
                n = luck.randrange(len(places))
                one = sound[n].replace(b'"invocationSequenceNumber":1', b'"invocationSequenceNumber":%d' % self._number)
                path = places[n] + ("/update" if chance < 0.68 else "/release")
            else:
                one = luck.choice(strange)
                path = PATH if chance < 0.8 else luck.choice(places) + ("/update" if chance < 0.97 else "/release")
            made = _touched(one, luck) if luck.random() < 0.6 else damaged(one, luck)
            requests.append(Request.of(self._host, path, made[:16_000]))
        result = load("127.0.0.1", self._port, requests, 4, 128)
        self.statuses += result.statuses
        self.sent += count
        assert not result.statuses[500], "an answer of 500"

    def _sessions(self, moment: str) -> tuple[list[str], list[str]]:
        """Paths and subscribers of sessions that have begun."""
        places, owners = [], []
        with httpx.Client(http1=False, http2=True, trust_env=False, timeout=60) as client:
            for _ in range(SESSIONS):
                self._number += 1
                owner = self._numbers[self._number * 11 % len(self._numbers)]
                said = client.post(f"http://{self._host}{PATH}", content=body(self._number, owner, moment),
                                   headers={"content-type": "application/json"})
                assert said.status_code == 201, f"a sound request was answered {said.status_code}: {said.text}"
                places.append(httpx.URL(said.headers["location"]).path)
                owners.append(owner)
        return places, owners


def _touched(octets: bytes, luck: random.Random) -> bytes:
    """One octet changed, mostly within a number or a word, so that it may make sense still."""
    made = bytearray(octets)
    for _ in range(8):
        at = luck.randrange(len(made))
        if chr(made[at]).isalnum():
            break
    made[at] = luck.choice(b"0123456789abcXYZ-") if luck.random() < 0.8 else made[at] ^ 1 << luck.randrange(8)
    return bytes(made)
