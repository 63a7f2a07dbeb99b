"""HTTPS: which files are taken, what is said of others, who gets an answer, and what a renewal does."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from remote_slurm.api.tls import CannotEncrypt, Certificates
from remote_slurm.config import TLS
from remote_slurm.log import fields_of
from tests.api.api_client import Api
from tests.api.certificates import Authority, Pair

Serve = Callable[..., Any]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def keys(pair: Pair, **more: Path) -> dict[str, str]:
    return {"CertFile": str(pair.cert), "KeyFile": str(pair.key)} | {key: str(path) for key, path in more.items()}


async def test_the_port_speaks_https_only(serve: Serve, authority: Authority) -> None:
    api: Api = await serve(TLS=keys(authority.pair("sidecar")))
    assert api.url.startswith("https://127.0.0.1:")
    assert (await api.get("/status", json=[], tls=authority.trusting())).status == 200
    with pytest.raises(aiohttp.ClientError):
        await Api(api.url.replace("https", "http"), api.pods).get("/status", json=[])


async def test_a_certificate_that_was_renewed_serves_the_next_connection(serve: Serve, authority: Authority) -> None:
    first, other = authority.pair("sidecar"), Authority(authority.folder, "other")
    api: Api = await serve(TLS=keys(first))
    assert (await api.get("/status", json=[], tls=authority.trusting())).status == 200
    first.replace(other.pair("sidecar"))
    assert (await api.get("/status", json=[], tls=other.trusting())).status == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await api.get("/status", json=[], tls=authority.trusting())


async def test_half_a_renewal_leaves_the_certificate_from_before(
    serve: Serve, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "remote_slurm")
    pair, next_one = authority.pair("sidecar"), authority.pair("sidecar")
    api: Api = await serve(TLS=keys(pair))
    pair.cert.write_bytes(next_one.cert.read_bytes())
    assert (await api.get("/status", json=[], tls=authority.trusting())).status == 200
    reasons = [
        str(fields_of(each)["reason"])
        for each in caplog.records
        if each.getMessage() == "cannot load the new certificate, keeping the previous one"
    ]
    assert any(f"TLS.KeyFile {pair.key} is not the key of" in each for each in reasons)
    pair.key.write_bytes(next_one.key.read_bytes())
    assert (await api.get("/status", json=[], tls=authority.trusting())).status == 200
    assert "the certificate was renewed" in caplog.text


async def test_clients_need_a_certificate_that_the_authority_signed(serve: Serve, authority: Authority) -> None:
    stranger = Authority(authority.folder, "stranger").pair("client")
    api: Api = await serve(TLS=keys(authority.pair("sidecar"), ClientCAFile=authority.file))
    assert (await api.get("/status", json=[], tls=authority.trusting(authority.pair("client")))).status == 200
    for shown in (None, stranger, authority.pair("client", days=-1)):
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await api.get("/status", json=[], tls=authority.trusting(shown))


async def test_authorities_of_clients_are_renewed_as_well(serve: Serve, authority: Authority) -> None:
    clients = authority.folder / "clients.crt"
    clients.write_bytes(authority.file.read_bytes())
    api: Api = await serve(TLS=keys(authority.pair("sidecar"), ClientCAFile=clients))
    other = Authority(authority.folder, "other")
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        await api.get("/status", json=[], tls=authority.trusting(other.pair("client")))
    clients.write_bytes(other.file.read_bytes())
    os.utime(clients, (1, 1))
    assert (await api.get("/status", json=[], tls=authority.trusting(other.pair("client")))).status == 200
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        await api.get("/status", json=[], tls=authority.trusting(authority.pair("client")))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda pair: pair.cert.unlink(), "TLS.CertFile {cert} cannot be read: No such file or directory"),
        (lambda pair: pair.key.unlink(), "TLS.KeyFile {key} cannot be read: No such file or directory"),
        (lambda pair: pair.cert.write_text("nothing"), "TLS.CertFile {cert} holds no certificate in PEM"),
        (lambda pair: pair.key.write_text("nothing"), "TLS.KeyFile {key} holds no private key in PEM"),
        (lambda pair: pair.cert.write_bytes(pair.key.read_bytes()), "TLS.CertFile {cert} holds no certificate in PEM"),
    ],
)
def test_files_that_cannot_be_used(authority: Authority, spoil: Callable[[Pair], Any], sentence: str) -> None:
    pair = authority.pair("sidecar")
    spoil(pair)
    with pytest.raises(CannotEncrypt) as caught:
        Certificates(TLS(cert_file=pair.cert, key_file=pair.key))
    assert str(caught.value).startswith(sentence.format(cert=pair.cert, key=pair.key))


def test_a_key_of_another_certificate(authority: Authority) -> None:
    pair, other = authority.pair("sidecar"), authority.pair("other")
    with pytest.raises(CannotEncrypt, match=rf"^TLS.KeyFile {other.key} is not the key of TLS.CertFile {pair.cert}$"):
        Certificates(TLS(cert_file=pair.cert, key_file=other.key))


def test_an_expired_certificate(authority: Authority) -> None:
    pair = authority.pair("sidecar", days=-1)
    with pytest.raises(CannotEncrypt, match=r"expired on 20\d\d-\d\d-\d\d: renew it"):
        Certificates(TLS(cert_file=pair.cert, key_file=pair.key))


def test_a_key_with_a_passphrase(authority: Authority) -> None:
    pair = authority.pair("sidecar", passphrase=b"secret")
    with pytest.raises(CannotEncrypt, match="has a passphrase: store the key without one"):
        Certificates(TLS(cert_file=pair.cert, key_file=pair.key))


def test_authorities_that_are_none(authority: Authority) -> None:
    pair = authority.pair("sidecar")
    authority.file.write_text("nothing")
    with pytest.raises(CannotEncrypt, match=rf"^TLS.ClientCAFile {authority.file} holds no certificate in PEM$"):
        Certificates(TLS(cert_file=pair.cert, key_file=pair.key, client_ca_file=authority.file))
