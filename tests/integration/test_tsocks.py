"""Tsocks: containers reach what the login node reaches, through a tunnel that ends with the job."""

import base64
import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.pods import pod, request
from tests.serving import Serve, wait_until
from tests.sidecar import PATIENCE
from tests.sites import Site

pytestmark = pytest.mark.xdist_group("tsocks")  # there is one library, and one ~/.ssh

EXAMPLE = Path(__file__).parents[2] / "examples" / "config" / "tsocks.yaml"

# Not below /srv, which other tests list
LIBRARY = "/usr/local/lib/libtsocks.so"
# What a dynamically linked program needs, since the image has none
_SYSTEM = {"usr": "/usr", "lib": "/usr/lib", "lib64": "/usr/lib64"}


@pytest.fixture(scope="module")
def library(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian's own libtsocks.so, brought to the site."""
    folder = tmp_path_factory.mktemp("tsocks")
    subprocess.run(
        ["apt-get", "download", "-q", "tsocks"], cwd=folder, check=True, capture_output=True, timeout=PATIENCE
    )
    subprocess.run(["dpkg", "-x", *folder.glob("*.deb"), folder], check=True)
    found = next(path for path in folder.rglob("libtsocks.so*") if not path.is_symlink())
    site.exec(f"base64 -d >{LIBRARY} <<'END'\n{base64.encodebytes(found.read_bytes()).decode()}END\n")
    return LIBRARY


@pytest.fixture(scope="module")
def login_node(site: Site) -> Iterator[str]:
    """The node's account may log in to the login node, with a key and a host key that it has there."""
    key, known = (base64.b64encode(path.read_bytes()).decode() for path in (site.identity_file, site.known_hosts_file))
    entry = f"Host login01\\n HostName 127.0.0.1\\n Port {site.port}\\n"
    site.exec(
        f"cd .ssh && echo {key} | base64 -d >id_ed25519 && echo {known} | base64 -d >known_hosts && "
        f"printf '{entry}' >config && chmod 600 id_ed25519 config && chown -R hpcuser: ."
    )
    yield "login01"
    site.exec("cd .ssh && rm -f id_ed25519 known_hosts config")


class Outside:
    """A service that is not on the node, and notes which program on this machine each connection comes from."""

    def __init__(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing: which of our addresses leads outside?
            self.address = probe.getsockname()[0]
        self._listener = socket.create_server((self.address, 0))
        self.port = self._listener.getsockname()[1]
        self.peers: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, peer = self._listener.accept()
            with connection:
                self.peers.append(_owner(peer))
                connection.sendall(b"hello from outside\n")


def _owner(peer: tuple[str, int]) -> str:
    """The name of the process that has a TCP socket of this address; the site's processes are visible here."""
    host = socket.inet_aton(peer[0])[::-1].hex().upper()
    lines = Path("/proc/net/tcp").read_text().splitlines()
    inode = next(line.split()[9] for line in lines if line.split()[1] == f"{host}:{peer[1]:04X}")
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it is not one, or has ended
            if any(str(link.readlink()) == f"socket:[{inode}]" for link in (process / "fd").iterdir()):
                return (process / "comm").read_text().strip()
    return ""


def test_connections_of_containers_go_through_the_login_node(
    site: Site, serve: Serve, library: str, login_node: str
) -> None:
    outside = Outside()
    script = f"exec 3<>/dev/tcp/{outside.address}/{outside.port}; cat <&3"
    volumes = [{"name": name, "hostPath": {"path": path}} for name, path in _SYSTEM.items()]
    mounts = [{"name": name, "mountPath": f"/{name}", "readOnly": True} for name in _SYSTEM]
    container = {"name": "main", "image": "busybox", "command": ["/usr/bin/bash", "-c", script], "volumeMounts": mounts}
    example = yaml.safe_load(EXAMPLE.read_text())
    assert example["TsocksLoginNode"] == login_node
    served = serve(site, Tsocks=example["Tsocks"], TsocksLoginNode=login_node, TsocksPath=library)
    watched = served.vk.create(request(pod(container, volumes=volumes))).until_over()
    assert watched.log("main") == "hello from outside\n"
    assert watched.exit_code("main") == 0
    assert [name.startswith("sshd") for name in outside.peers] == [True]
    tunnels = "pgrep -f '[s]sh -N -D.*login01' || true"
    wait_until(lambda: site.exec(tunnels) == "", "the tunnel has ended with the job")


def test_a_failed_tunnel_is_reported_with_the_message_of_ssh(site: Site, serve: Serve, library: str) -> None:
    served = serve(site, Tsocks=True, TsocksPath=library, TsocksLoginNode="nowhere.invalid", ContainerRuntime="none")
    container = {"name": "main", "command": ["true"]}
    watched = served.vk.create(request(pod(container))).until_over()
    message = watched.terminated("main")["message"]
    assert "no tunnel to TsocksLoginNode nowhere.invalid from node" in message
    assert "Could not resolve hostname" in message
