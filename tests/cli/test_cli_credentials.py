"""`--url` at a sidecar that wants to see a token or a certificate, and what is said where they are not right."""

import base64
import json
import socket
from pathlib import Path

import pytest
import yaml

from tests.api.certificates import Authority
from tests.cli.program import Program, ProgramAt
from tests.serving import wait_until
from tests.sites import Site

TOKEN = "0123456789abcdef0123456789abcdef"


def test_a_sidecar_with_https_a_token_and_certificates_of_clients(
    program_at: ProgramAt, program: Program, site: Site, tmp_path: Path
) -> None:
    authority, token, url = Authority(tmp_path), tmp_path / "token", tmp_path / "url"
    token.write_text(TOKEN)
    pair, ours = authority.pair("sidecar"), authority.pair("client")
    tls = {"CertFile": str(pair.cert), "KeyFile": str(pair.key), "ClientCAFile": str(authority.file)}
    at_site = program_at(site, TLS=tls, TokenFile=str(token))
    process = at_site.start("serve", "--ready-file", url)
    wait_until(lambda: url.exists() or process.poll() is not None, "it listens")
    where = ["--url", url.read_text().strip()]
    trust = ["--ca-file", authority.file]
    shown = ["--cert-file", ours.cert, "--key-file", ours.key]

    done = program("status", *where, *trust, *shown, "--token-file", token)
    assert (done.returncode, done.stdout) == (0, "")
    assert "there are no pods at" in done.stderr

    data = base64.b64encode(authority.file.read_bytes()).decode()
    done = program("status", *where, "--ca-data", data, *shown, "--token-file", token)
    assert done.returncode == 0, done.stderr

    untold = program("status", *where, *trust, *shown)
    assert untold.returncode == 1
    assert untold.stderr.strip().endswith(
        "send a token of TokenFile as `Authorization: Bearer <token>`; --token-file FILE does"
    )
    untrusted = program("status", *where, *shown, "--token-file", token)
    assert "its certificate is not trusted" in untrusted.stderr
    assert "set --ca-file to the authority that signed it" in untrusted.stderr
    nobody = program("status", *where, *trust, "--token-file", token)
    assert nobody.returncode == 1
    assert len(nobody.stderr.splitlines()) == 1


def test_the_configured_sidecar_is_asked_with_what_the_configuration_says(
    program_at: ProgramAt, site: Site, tmp_path: Path
) -> None:
    authority, token, url = Authority(tmp_path), tmp_path / "token", tmp_path / "url"
    pair = authority.pair("sidecar")
    token.write_text(TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tls = {"CertFile": str(pair.cert), "KeyFile": str(pair.key), "ClientCAFile": str(authority.file)}
    keys = {"TLS": tls, "TokenFile": str(token)}
    at_site = program_at(site, SidecarPort=port, VerboseLogging=True, **keys)
    process = at_site.start("serve", "--ready-file", url)
    wait_until(lambda: url.exists() or process.poll() is not None, "it listens")
    assert process.poll() is None
    done = at_site("status")
    assert done.returncode == 0
    assert "connected to" not in done.stderr  # one inside would say that
    assert at_site("ping").returncode == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--token-file", "absent"], "--token-file absent cannot be read: No such file or directory"),
        (["--token-file", "/dev/null"], "--token-file /dev/null is empty: its first line has to be a token"),
        (["--ca-file", "absent"], "--ca-file absent holds no certificate in PEM"),
        (["--ca-file", "/dev/null"], "--ca-file /dev/null holds no certificate in PEM"),
        (["--ca-data", "no base64"], "--ca-data holds no certificate in PEM, encoded with base64"),
        (["--ca-data", "bm8gUEVN"], "--ca-data holds no certificate in PEM, encoded with base64"),
        (["--ca-data", "QQ==", "--ca-file", "/dev/null"], "--ca-file and --ca-data are the same in two forms"),
        (["--cert-file", "/dev/null"], "--cert-file /dev/null cannot be used with the key in /dev/null"),
        (["--key-file", "absent"], "--key-file goes with --cert-file"),
    ],
)
def test_files_that_are_not_right(program: Program, options: list[str], sentence: str) -> None:
    done = program("status", "--url", "https://127.0.0.1:1", *options)
    assert done.returncode == 1
    assert done.stderr.startswith(f"remote-slurm: {sentence}")
    assert len(done.stderr.splitlines()) == 1


def test_check_tries_the_files_that_say_who_may_ask(program: Program, tmp_path: Path) -> None:
    pair, token = Authority(tmp_path).pair("sidecar"), tmp_path / "token"
    token.write_text(TOKEN)
    program.config = tmp_path / "SlurmConfig.yaml"
    keys = {"SSH": {"HostName": "127.0.0.1", "Port": 1, "User": "me", "IdentityFile": "/absent"}}
    tls = {"CertFile": str(pair.cert), "KeyFile": str(pair.key)}

    def found(**more: object) -> dict[str, object]:
        assert program.config
        program.config.write_text(yaml.safe_dump(keys | more))
        findings = json.loads(program("check", "--output", "json").stdout)
        return {each["check"]: (each["ok"], each["message"]) for each in findings}

    assert "access to the sidecar" not in found()
    ok, message = found(TLS=tls, Watch={"TokenFile": str(token)})["access to the sidecar"]
    assert ok
    assert message.startswith("TLS (until 20")
    assert message.endswith("), Watch.TokenFile can be used")
    assert found(TokenFile="/absent")["access to the sidecar"] == (
        False,
        "TokenFile /absent cannot be read: No such file or directory",
    )


def test_a_sidecar_whose_certificate_is_not_there_does_not_start(program_at: ProgramAt, site: Site) -> None:
    done = program_at(site, TLS={"CertFile": "/absent.crt", "KeyFile": "/absent.key"})("serve")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == "remote-slurm: TLS.CertFile /absent.crt cannot be read: No such file or directory"
