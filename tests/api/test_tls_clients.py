"""Client certificates that are withdrawn: no session, connection or file from before lets them in."""

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from remote_slurm.api.tls import CannotEncrypt, Certificates, ClientCertificate
from remote_slurm.config import TLS
from remote_slurm.log import fields_of
from tests.api.api_client import Api
from tests.api.certificates import Authority, Pair, certificate_of

Serve = Callable[..., Any]

REQUEST = b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def clients(authority: Authority) -> Path:
    path = authority.folder / "clients.crt"
    path.write_bytes(authority.file.read_bytes())
    return path


def keys(authority: Authority, clients: Path, **more: Any) -> dict[str, Any]:
    pair = authority.pair("sidecar")
    return {"CertFile": str(pair.cert), "KeyFile": str(pair.key), "ClientCAFile": str(clients), **more}


@dataclass
class Client:
    """A TLS client that resumes its session, as proxies do; each request has a connection of its own."""

    url: str
    context: ssl.SSLContext
    session: ssl.SSLSession | None = None
    resumed: bool = False

    async def status(self) -> int:
        """The status of one request. Raises OSError if the handshake or the connection fails."""
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> int:
        parts = urlsplit(self.url)
        where = parts.hostname or "", parts.port or 0
        with (
            socket.create_connection(where, 30) as plain,
            self.context.wrap_socket(plain, server_hostname=where[0], session=self.session) as connection,
        ):
            connection.sendall(REQUEST)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
            self.session, self.resumed = connection.session, bool(connection.session_reused)
        if not answer:  # in TLS 1.3 a client has sent its request before its certificate is refused
            raise ConnectionAbortedError
        return int(answer.split(b" ", 2)[1])


def resuming(url: str, authority: Authority, shown: Pair, version: ssl.TLSVersion, *, tickets: bool = True) -> Client:
    context = authority.trusting(shown)
    context.minimum_version = context.maximum_version = version
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    return Client(url, context)


@pytest.mark.parametrize(
    ("version", "tickets"),
    [(ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_2, False)],
)
async def test_a_session_does_not_outlive_the_authority_of_its_certificate(
    serve: Serve, authority: Authority, clients: Path, version: ssl.TLSVersion, *, tickets: bool
) -> None:
    api: Api = await serve(TLS=keys(authority, clients))
    client = resuming(api.url, authority, authority.pair("client"), version, tickets=tickets)
    assert [await client.status(), await client.status()] == [200, 200]
    clients.write_bytes(Authority(authority.folder, "other").file.read_bytes())
    with pytest.raises(OSError):  # noqa: PT011 - a reset or an alert, as the version has it
        await client.status()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
async def test_clients_with_certificates_get_no_session_tickets(
    serve: Serve, authority: Authority, clients: Path, version: ssl.TLSVersion
) -> None:
    api: Api = await serve(TLS=keys(authority, clients))
    client = resuming(api.url, authority, authority.pair("client"), version)
    assert [await client.status(), await client.status()] == [200, 200]
    assert client.session is None or not client.session.has_ticket


async def asked_again(connection: ssl.SSLSocket) -> bytes:
    """One more request on a connection that is kept."""

    def ask() -> bytes:
        connection.sendall(REQUEST.replace(b"close", b"keep-alive"))
        return connection.recv(4096)

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
async def test_a_connection_does_not_outlive_the_certificate_either(
    serve: Serve, authority: Authority, clients: Path, version: ssl.TLSVersion
) -> None:
    """A client that keeps its connection is measured by the present authorities and lists at each request."""
    crl = authority.folder / "crl.pem"
    crl.write_bytes(authority.crl())
    pair = authority.pair("client")
    api: Api = await serve(TLS=keys(authority, clients, CRLFile=str(crl)))
    client = resuming(api.url, authority, pair, version)
    where = urlsplit(api.url)
    plain = socket.create_connection((where.hostname or "", where.port or 0), 30)
    connection = await asyncio.to_thread(client.context.wrap_socket, plain, server_hostname="127.0.0.1")
    with connection:
        assert b" 200 OK" in await asked_again(connection)
        clients.write_bytes(authority.file.read_bytes() + Authority(authority.folder, "other").file.read_bytes())
        crl.write_bytes(authority.crl(authority.pair("another")))
        assert b" 200 OK" in await asked_again(connection)
        crl.write_bytes(authority.crl(pair))
        refused = await asked_again(connection)
        assert b" 401 " in refused
        assert b"the client certificate is no longer valid" in refused
        # closed, so that the client's next request is on a connection with a certificate that it may have renewed
        assert await asyncio.to_thread(connection.recv, 4096) == b""


async def test_an_authority_below_another_is_enough(serve: Serve, authority: Authority, clients: Path) -> None:
    """ClientCAFile holds whom it trusts, and need not hold the root above: here the client's own certificate."""
    pair = authority.pair("client")
    clients.write_bytes(pair.cert.read_bytes())
    api: Api = await serve(TLS=keys(authority, clients))
    assert await resuming(api.url, authority, pair, ssl.TLSVersion.TLSv1_3).status() == 200
    with pytest.raises(OSError):  # noqa: PT011
        await resuming(api.url, authority, authority.pair("other"), ssl.TLSVersion.TLSv1_3).status()


async def test_a_revoked_certificate_is_refused(
    serve: Serve, authority: Authority, clients: Path, caplog: pytest.LogCaptureFixture
) -> None:
    revoked, valid = authority.pair("revoked"), authority.pair("valid")
    crl = authority.folder / "crl.pem"
    crl.write_bytes(authority.crl(revoked))
    api: Api = await serve(TLS=keys(authority, clients, CRLFile=str(crl)))
    assert await resuming(api.url, authority, valid, ssl.TLSVersion.TLSv1_3).status() == 200
    with pytest.raises(OSError):  # noqa: PT011 - a reset or an alert, as the version has it
        await resuming(api.url, authority, revoked, ssl.TLSVersion.TLSv1_3).status()
    refused = [fields_of(each) for each in caplog.records if each.getMessage() == "refused a client certificate"]
    assert {"reason": "certificate revoked", "rule": "TLS.CRLFile"} in refused
    crl.write_bytes(authority.crl(valid))
    assert await resuming(api.url, authority, revoked, ssl.TLSVersion.TLSv1_2).status() == 200
    with pytest.raises(OSError):  # noqa: PT011
        await resuming(api.url, authority, valid, ssl.TLSVersion.TLSv1_2).status()


@pytest.mark.parametrize(
    ("subject", "status"),
    [
        ("CN=interlink,O=Example", 200),
        ("CN=job-7,OU=ci,O=Example", 200),
        ("CN=job-7\\,OU=ci,O=Example", 403),
        ("CN=interlink", 403),
        ("CN=interlink,O=Example,C=DE", 403),
        ("CN=Interlink,O=Example", 403),
    ],
)
async def test_only_allowed_subjects(
    serve: Serve, authority: Authority, clients: Path, subject: str, status: int
) -> None:
    allowed = ["CN=interlink,O=Example", "CN=job-*,OU=ci,O=Example"]
    api: Api = await serve(TLS=keys(authority, clients, AllowedSubjects=allowed))
    reply = await api.get("/status", json=[], tls=authority.trusting(authority.pair(subject)))
    assert reply.status == status
    if status == 403:
        assert reply.text == f"the subject {subject} of the client certificate is not in TLS.AllowedSubjects"


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("DNS:*.example.org", True),
        ("DNS:*.org", False),
        ("DNS:*", False),
        ("DNS:a.example.org", True),
        ("URI:spiffe://example.org/*/interlink", True),
        ("URI:spiffe://example.org/*", False),
        ("URI:spiffe://*", False),
        ("email:*@example.org", True),
        ("email:*", False),
        ("OU=b+CN=a,O=x", True),
        ("CN=a+OU=b,O=x", True),
        ("CN=a,OU=b,O=x", False),
        ("O=x,CN=a+OU=b", False),
    ],
)
def test_a_star_stays_within_one_part_of_a_name(pattern: str, *, matches: bool) -> None:
    shown = ClientCertificate(certificate_of("CN=a+OU=b,O=x", "a.example.org", "spiffe://example.org/ns/interlink"))
    assert shown.matches(pattern) is matches


def test_an_expired_certificate_is_expired_on_a_kept_connection_too() -> None:
    shown = ClientCertificate(certificate_of("CN=a", "a.example.org", "spiffe://example.org/a"))
    now = dt.datetime.now(dt.UTC)
    assert [shown.is_valid(now), shown.is_valid(now + dt.timedelta(days=2))] == [True, False]


@pytest.mark.parametrize("settings", [{}, {"MinProtocol": "TLSv1.3"}, {"CipherString": "ECDHE+CHACHA20"}])
async def test_protocols_and_ciphers(serve: Serve, authority: Authority, settings: dict[str, str]) -> None:
    pair = authority.pair("sidecar")
    api: Api = await serve(TLS={"CertFile": str(pair.cert), "KeyFile": str(pair.key), **settings})

    async def accepted(ciphers: str) -> bool:
        context = authority.trusting()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        try:
            return (await api.get("/status", json=[], tls=context)).status == 200
        except aiohttp.ClientError:
            return False

    taken = [await accepted(each) for each in ("ECDHE+AESGCM", "ECDHE+CHACHA20", "ECDHE+AES256:!AESGCM", "AES128-SHA")]
    expected = {"": [True, True, False, False], "MinProtocol": [False] * 4, "CipherString": [False, True, False, False]}
    assert taken == expected["".join(settings)]
    assert (await api.get("/status", json=[], tls=authority.trusting())).status == 200


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"nothing", "holds no certificate revocation list in PEM"),
        (b"-----BEGIN X509 CRL-----\nx\n-----END X509 CRL-----\n", "holds a list that cannot be read"),
        (None, "cannot be read: No such file"),
    ],
)
def test_lists_that_cannot_be_used(authority: Authority, text: bytes | None, sentence: str) -> None:
    pair, crl = authority.pair("sidecar"), authority.folder / "crl.pem"
    if text:
        crl.write_bytes(text)
    with pytest.raises(CannotEncrypt, match=rf"^TLS.CRLFile {crl}:? {sentence}"):
        Certificates(TLS(cert_file=pair.cert, key_file=pair.key, client_ca_file=authority.file, crl_file=crl))


def test_an_expired_list(authority: Authority) -> None:
    pair, crl = authority.pair("sidecar"), authority.folder / "crl.pem"
    crl.write_bytes(authority.crl(days=-1))
    with pytest.raises(CannotEncrypt, match=r"the list of CN=authority expired on 20\d\d-\d\d-\d\d: renew it"):
        Certificates(TLS(cert_file=pair.cert, key_file=pair.key, client_ca_file=authority.file, crl_file=crl))
