"""A shadow pod in a process of its own, in front of a real site: programs in containers, for a service account."""

import contextlib
import http.client
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.api.certificates import Authority
from tests.kube_api import KubeApi, forged, kube_api
from tests.pods import Json, pod, request, sh
from tests.serving import Serve, wait_until
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM, Sidecar
from tests.sites import Site, free_port

# A web server, and a program that sends back what it reads, until its client has ended
SERVERS = """\
mkdir /tmp/www && cd /tmp/www && echo hello >index.html
nc -ll -p {echo} -e cat &
exec httpd -f -p {web} -h /tmp/www
"""


@dataclass
class Shadow:
    """The process, the ports of this machine that it listens on, and the file with its token."""

    process: subprocess.Popen[str]
    web: int
    echo: int
    health: int
    token: Path

    def ready(self) -> str:
        """What a readiness probe reads."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=PATIENCE) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return str(error)

    def until(self, said: str) -> None:
        wait_until(lambda: said in self.ready(), f"the shadow pod says {said!r}")

    def get(self) -> bytes:
        """The page of the web server; nothing if the connection is refused."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web}/", timeout=PATIENCE) as answer:
                return answer.read()  # type: ignore[no-any-return]
        except (OSError, http.client.HTTPException):
            return b""

    def answers(self, data: bytes) -> bool:
        """Whether the other program sends the data back."""
        try:
            return self.echoed(data) == data
        except OSError:
            return False

    def echoed(self, data: bytes) -> bytes:
        """What comes back after all of it was sent and ended."""
        with socket.create_connection(("127.0.0.1", self.echo), timeout=PATIENCE) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with kube_api() as api:
        yield api


@pytest.fixture
def shadow(tmp_path: Path) -> Iterator[Callable[..., Shadow]]:
    """Start what the template runs: it has the name of its Deployment only, and the token of a service account."""
    with contextlib.ExitStack() as stack:

        def start(a_pod: Json, sidecar_port: int, ca_file: Path, web: int, echo: int) -> Shadow:
            metadata, token = a_pod["metadata"], tmp_path / "token"
            own = (free_port(), free_port(), free_port())
            words: list[Any] = [
                *("--url", f"https://127.0.0.1:{sidecar_port}", "--ca-file", ca_file, "--token-file", token),
                *(f"--namespace={metadata['namespace']}-wstunnel", f"{metadata['name']}-{metadata['namespace']}"),
                *(f"{own[0]}:{web}", f"{own[1]}:{echo}", f"--health-port={own[2]}"),
            ]
            process = subprocess.Popen([PROGRAM, "port-forward", "--shadow", *words], text=True, env=ENVIRONMENT)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return Shadow(process, *own, token)

        yield start


def test_a_service_account_reaches_its_pods_ports_until_the_delete(
    site: Site,
    serve: Serve,
    shadow: Callable[..., Shadow],
    sidecar: Callable[..., Sidecar],
    api: KubeApi,
    tmp_path: Path,
) -> None:
    port, (web, echo), authority = free_port(), (free_port(), free_port()), Authority(tmp_path)
    pair = authority.pair("sidecar")
    review = {"Audiences": ["remote-slurm"], "ShadowNamespaces": True}
    tls = {"CertFile": str(pair.cert), "KeyFile": str(pair.key)}
    keys = {"Port": port, "TLS": tls, "TokenReview": review}
    served = serve(site, PortForward=keys, CUSTOMKUBECONF=str(api.kubeconfig(tmp_path)))
    a_pod = pod(sh("c", SERVERS.format(web=web, echo=echo)), flags="--mem=100M")
    namespace = a_pod["metadata"]["namespace"]
    api.add("pods", a_pod)

    # interLink creates the shadow pod, and then sends the pod
    good = api.token(f"{namespace}-wstunnel")
    (tmp_path / "token").write_text(good)
    api.forbidden.add("tokenreviews")
    found = shadow(a_pod, port, authority.file, web, echo)
    found.until("the Kubernetes API did not review the token")
    api.forbidden.clear()
    found.until("has the shadow")
    served.vk.create(request(a_pod))
    found.until("ready")
    # which is said once one of the two answers
    wait_until(lambda: found.get() == b"hello\n", "the web server answers")
    wait_until(lambda: found.answers(b"hello"), "the other program answers")
    data = bytes(range(256)) * 20_000
    assert found.echoed(data) == data

    # what is not the token of a service account of this namespace reaches nothing, from the next connection on
    claims = {"aud": ["remote-slurm"], "exp": 4e9, "sub": f"system:serviceaccount:{namespace}-wstunnel:default"}
    for bad in (
        forged(claims),
        api.token(f"{namespace}-wstunnel", audience="https://kubernetes.default.svc"),
        api.token(f"{namespace}-wstunnel", ends=1000),
        api.token("another-wstunnel"),
    ):
        found.token.write_text(bad)
        assert found.get() == b""
        found.token.write_text(good)
        assert found.get() == b"hello\n"

    served.sidecar.kill()
    restarted = sidecar(served.config)
    assert found.get() == b"hello\n"

    assert restarted.client.delete(a_pod).status == 200
    found.until("no pod")
    assert found.get() == b""
    assert found.process.poll() is None
