"""What Nchf makes of odd HTTP: who may ask, sizes, methods, halves of bodies; each costs its sender alone."""

import asyncio
import contextlib
import gc
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipelines.nchf.access import NchfSettings, Token
from pipelines.nchf.limits import Limits
from schemas.errors import ReferenceDataError
from tests.nchf_peers import OFFLINE_ROOT, ROOT, TOKEN, Site, client, group, octets, request, serving, token

JSON = {"content-type": "application/json"}


def run(site_test: Any, folder: Path, limits: Limits | None = None, **settings: Any) -> None:
    async def main() -> None:
        async with serving(folder, limits, **settings) as site:
            await site_test(site)

    asyncio.run(main())


async def alive(site: Site) -> None:
    """The server still charges."""
    async with client(site) as smf:
        before = len(site.node.sessions)
        body = request(0, group(), chargingId=before + 100, pDUSessionChargingInformation=None)
        made = await smf.post(ROOT, json=body)
        assert made.status_code == 201, made.text


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert said["status"] == answer.status_code
    return said


@pytest.mark.parametrize("http2", [True, False])
def test_what_is_not_there_is_told(tmp_path: Path, http2: bool) -> None:
    async def test(site: Site) -> None:
        body = octets(request(0, group()))
        async with client(site, http2, headers=JSON) as smf:
            for path, status, cause in (
                    ("/", 404, "INVALID_API"), ("/nchf-somethingelse/v1/x", 404, "INVALID_API"),
                    ("/nchf-convergedcharging/v2/chargingdata", 404, "INVALID_API"),
                    ("/nchf-convergedcharging/v3/other", 404, "RESOURCE_URI_STRUCTURE_NOT_FOUND"),
                    (ROOT + "/abc", 404, "RESOURCE_URI_STRUCTURE_NOT_FOUND"),
                    (ROOT + "//update", 404, "RESOURCE_URI_STRUCTURE_NOT_FOUND"),
                    (ROOT + "/abc/modify", 404, "RESOURCE_URI_STRUCTURE_NOT_FOUND"),
                    (ROOT + "/" + "x" * 256 + "/update", 404, "RESOURCE_URI_STRUCTURE_NOT_FOUND"),
                    (ROOT + "/" + "x" * 2000 + "/update", 414, None)):
                answer = await smf.post(path, content=body)
                assert answer.status_code == status, path
                assert problem(answer).get("cause") == cause
            for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
                answer = await smf.request(method, ROOT)
                assert answer.status_code == 405 and answer.headers["allow"] == "POST", method
            for kind in ("text/plain", "application/jsonp", "application/json; charset=latin1", ""):
                answer = await smf.post(ROOT, content=body, headers={"content-type": kind})
                assert answer.status_code == 415, kind
            assert (await smf.post(ROOT, content=body, headers={"content-encoding": "gzip"})).status_code == 415
            fine = await smf.post(ROOT, content=body, headers={"content-type": 'application/json; charset="UTF-8"'})
            assert fine.status_code == 201

    run(test, tmp_path)


@pytest.mark.parametrize("http2", [True, False])
def test_a_body_beyond_its_limit_is_refused(tmp_path: Path, http2: bool) -> None:
    async def test(site: Site) -> None:
        async def endless() -> Any:
            for _ in range(1000):
                yield b" " * 1000

        async with client(site, http2, headers=JSON) as smf:
            for content in (b" " * 70_000, endless()):
                try:
                    answer = await smf.post(ROOT, content=content)
                except httpx.TransportError:  # cut off while it still sent: refused all the same
                    continue
                assert answer.status_code == 413
        await alive(site)

    run(test, tmp_path)


def test_chunks_within_the_limit_are_taken(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        async def parts() -> Any:
            body = octets(request(0, group()))
            for start in range(0, len(body), 100):
                yield body[start:start + 100]

        for http2 in (True, False):
            async with client(site, http2, headers=JSON) as smf:
                assert (await smf.post(ROOT, content=parts())).status_code == 201

    run(test, tmp_path)


def test_headers_beyond_their_limit_are_refused(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        for http2 in (True, False):
            async with client(site, http2, headers=JSON) as smf:
                try:
                    answer = await smf.post(ROOT, content=b"{}", headers={"x-large": "x" * 60_000})
                    assert answer.status_code == 431
                except httpx.TransportError:
                    pass
        await alive(site)

    run(test, tmp_path)


async def raw(site: Site, sent: bytes, wait: bool = True) -> bytes:
    """What a connection gets that sends these octets; nothing where it goes away at once."""
    reader, writer = await asyncio.open_connection(site.settings.host, site.settings.port)
    writer.write(sent)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(4096), 10) if wait else b""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer


def head(*lines: str) -> bytes:
    return "\r\n".join((f"POST {ROOT} HTTP/1.1", "host: x", "content-type: application/json", *lines, "", "")).encode()


def test_a_body_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        answer = await raw(site, head("content-length: 500") + b'{"half": ')
        assert answer.startswith(b"HTTP/1.1 408"), answer
        answer = await raw(site, head("transfer-encoding: chunked") + b"5\r\n{    \r\n")
        assert answer.startswith(b"HTTP/1.1 408"), answer
        for length in ("-1", "5x", "99999999999999999999999", "5, 6", "+5"):
            answer = await raw(site, head(f"content-length: {length}") + b"{}")
            assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 413"), (length, answer)
        for size in ("content-length: 500", "transfer-encoding: chunked"):
            for _ in range(20):  # gone in the middle of it
                await raw(site, head(size) + b"5\r\n{", wait=False)
        await asyncio.sleep(1.5)
        assert site.app.open == 0 and not site.app.reading
        gc.unfreeze()
        gc.collect()
        kept = [each for each in gc.get_objects() if type(each).__name__ in ("PyFutureAwaitable", "RSGIHTTPProtocol")]
        assert not kept  # a future that kept its error kept the task that waited for it, for ever
        await alive(site)

    run(test, tmp_path, Limits(body_s=0.5))


def test_octets_that_are_no_http_are_refused(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        for sent in (b"\0" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 50, b"GET\r\n\r\n", b"GET / HT"):
            await raw(site, sent)
        await alive(site)

    run(test, tmp_path, Limits(header_s=0.5))


def test_who_has_no_token_is_refused(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        async with client(site) as smf:
            for sent in (None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic " + TOKEN, TOKEN,
                         "Bearer " + "x" * 5000):
                headers = {} if sent is None else {"authorization": sent}
                answer = await smf.post(ROOT, json=request(0, group()), headers=headers)
                assert answer.status_code == 401, sent
                assert answer.headers["www-authenticate"].startswith("Bearer")
                problem(answer)
            mine = {"authorization": f"Bearer {TOKEN}"}
            assert (await smf.post(ROOT, json=request(0, group()), headers=mine)).status_code == 201
            other = await smf.post(OFFLINE_ROOT, json=request(0, group()), headers=mine)
            assert other.status_code == 403
        assert len(site.node.sessions) == 1

    run(test, tmp_path, open_on_loopback=False, tokens=(token(scopes=("nchf-convergedcharging",)),))


@pytest.mark.parametrize("settings", [
    NchfSettings(), NchfSettings(host="0.0.0.0", open_on_loopback=True), NchfSettings(host="192.0.2.1"),
    NchfSettings(host="::", tokens=(token(),)), NchfSettings(certificate="x", open_on_loopback=True),
    NchfSettings(client_ca="x", open_on_loopback=True), NchfSettings(tokens=(token(scopes=("everything",)),)),
    NchfSettings(host="charging.example.org", open_on_loopback=True)])
def test_settings_that_let_others_in_are_refused(settings: NchfSettings) -> None:
    with pytest.raises(ReferenceDataError):
        settings.check()


def test_a_token_is_kept_as_its_hash(tmp_path: Path) -> None:
    assert TOKEN not in repr(NchfSettings(tokens=(token(),)))
    assert isinstance(token(), Token)


def certificates(folder: Path) -> dict[str, Path]:
    """A CA, a server of it and a client of it, as PEM files."""
    made = {}
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None
    for name in ("ca", "server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
                   .not_valid_after(now + timedelta(days=1))
                   .issuer_name(authority[0].subject if authority else subject)
                   .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True))
        if name == "server":
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        certificate = builder.sign(authority[1] if authority else key, hashes.SHA256())
        authority = authority or (certificate, key)
        made[name], made[f"{name}-key"] = folder / f"{name}.pem", folder / f"{name}-key.pem"
        made[name].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        made[f"{name}-key"].write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return made


def test_tls_with_http2_and_with_clients_certificates(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    trusting = ssl.create_default_context(cafile=str(made["ca"]))
    known = ssl.create_default_context(cafile=str(made["ca"]))
    known.load_cert_chain(made["client"], made["client-key"])
    files = {"certificate": str(made["server"]), "key": str(made["server-key"]), "open_on_loopback": False}

    async def by_token(site: Site) -> None:
        for http2, version in ((True, "HTTP/2"), (False, "HTTP/1.1")):
            async with httpx.AsyncClient(base_url=site.url, http2=http2, verify=trusting, trust_env=False) as smf:
                headers = {"authorization": f"Bearer {TOKEN}"}
                answer = await smf.post(ROOT, json=request(0, group()), headers=headers)
                assert (answer.status_code, answer.http_version) == (201, version)
                assert answer.headers["location"].startswith("https://")

    async def by_certificate(site: Site) -> None:
        async with httpx.AsyncClient(base_url=site.url, http2=True, verify=known, trust_env=False) as smf:
            assert (await smf.post(ROOT, json=request(0, group()))).status_code == 201
        async with httpx.AsyncClient(base_url=site.url, http2=True, verify=trusting, trust_env=False) as smf:
            with pytest.raises((httpx.TransportError, ssl.SSLError)):
                await smf.post(ROOT, json=request(0, group()))

    run(by_token, tmp_path, tokens=(token(),), **files)
    run(by_certificate, tmp_path, client_ca=str(made["ca"]), **files)


async def posted(site: Site, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    """By a connection of its own: httpx reads one connection for one request at a time."""
    async with client(site) as smf:
        return await smf.post(path, json=body, headers=headers)


async def refused(tasks: list[asyncio.Task[httpx.Response]], count: int) -> list[httpx.Response]:
    """Answers of those that are told at once, while the node keeps the others waiting: so many, and no more."""
    async with asyncio.timeout(20):
        while sum(task.done() for task in tasks) < count:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    return [task.result() for task in tasks if task.done()]


def test_too_much_to_do_turns_beginners_away_first_and_releases_never(tmp_path: Path) -> None:
    limits = Limits(waiting_creates=3, waiting_updates=5, waiting_each=100)

    async def test(site: Site) -> None:
        place = (await posted(site, ROOT, request(0, group()))).headers["location"]
        site.node.wait = asyncio.Event()
        creates = [asyncio.create_task(posted(site, ROOT, request(n, group()))) for n in range(1, 6)]
        told = await refused(creates, 2)
        assert [answer.status_code for answer in told] == [503, 503]
        assert told[0].headers["retry-after"] == "2"
        assert problem(told[0])["cause"] == "NF_CONGESTION"
        updates = [asyncio.create_task(posted(site, place + "/update", request(n, group(10, 10, 1))))
                   for n in range(1, 5)]
        assert [answer.status_code for answer in await refused(updates, 2)] == [503, 503]
        release = asyncio.create_task(posted(site, place + "/release", request(9, group(10, None, 7))))
        await asyncio.sleep(0.2)
        assert not release.done()
        site.node.wait.set()
        assert (await release).status_code == 204
        await asyncio.gather(*creates, *updates)
        site.node.wait = None
        assert (await posted(site, ROOT, request(77, group()))).status_code == 201
        assert site.app.charging.gate.waiting == 0

    run(test, tmp_path, limits)


def test_one_consumer_cannot_take_all(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        site.node.wait = asyncio.Event()
        tasks = [asyncio.create_task(posted(site, ROOT, request(n, group()), authorization=f"Bearer {TOKEN}"))
                 for n in range(3)]
        assert [answer.status_code for answer in await refused(tasks, 1)] == [429]
        other = asyncio.create_task(posted(site, ROOT, request(9, group()), authorization="Bearer another"))
        await asyncio.sleep(0.2)
        site.node.wait.set()
        assert (await other).status_code == 201
        await asyncio.gather(*tasks)

    run(test, tmp_path, Limits(waiting_each=2), open_on_loopback=False, tokens=(token(), token("other", "another")))


def test_a_node_that_fails_tells_nobody_that_it_charged(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        async with client(site) as smf:
            site.node.fails = OSError("disk full, of imsi-001010000000001")
            answer = await smf.post(ROOT, json=request(0, group()))
            assert answer.status_code == 500 and problem(answer)["cause"] == "SYSTEM_FAILURE"
            assert b"001010000000001" not in answer.content
            site.node.fails = None
            assert (await smf.post(ROOT, json=request(0, group()))).status_code == 201

    run(test, tmp_path)


def test_stopping_answers_what_was_asked(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as site:
            site.node.wait = asyncio.Event()
            smf = client(site)
            late = asyncio.create_task(smf.post(ROOT, json=request(0, group())))
            await asyncio.sleep(0.3)
            asyncio.get_running_loop().call_later(0.3, site.node.wait.set)
        assert (await late).status_code == 201
        await smf.aclose()

    asyncio.run(main())
