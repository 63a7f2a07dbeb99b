"""One pod, warm, over 100 ms: how many round trips it takes on top of sbatch itself, and what others take."""

from __future__ import annotations

import base64
import contextlib
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
from figures import Measured, median_ms, seconds
from place import Place, place
from rivals import rivals

from tests.pods import Json, pod, request, sh

RTT_MS = 100
ROUNDS = 15
SLOW_ROUNDS = 2  # of parts that take seconds each


def settings_pod() -> Json:
    """Three containers that share five ConfigMaps, of four keys each."""
    mounts = [{"name": f"cm{n}", "mountPath": f"/settings/{n}"} for n in range(5)]
    volumes = [{"name": f"cm{n}", "configMap": {"name": f"cm{n}"}} for n in range(5)]
    maps = [
        {"metadata": {"name": f"cm{n}"}, "data": {f"key{k}": f"line {n}.{k}\n" * 40 for k in range(4)}}
        for n in range(5)
    ]
    containers = [sh(name, "true", volumeMounts=mounts) for name in ("web", "cache", "worker")]
    return request(pod(*containers, flags="--hold", volumes=volumes), configMaps=maps)


def packed(here: Place, config: Path) -> bytes:
    """The files of such a pod with its runner, which the sidecar sends once, to give to the others."""
    root = next(line.split()[1] for line in config.read_text().splitlines() if line.startswith("DataRootFolder:"))
    script = f"""
    cd {root} && cd $(ls -d default-* | head -n 1) &&
        tar -cz job.sh volumes -C "$(sed -n 's/^lib=//p' job.sh)" runner.sh | base64 -w 0"""
    return base64.b64decode(here.account(script))


def sbatch_at_the_site(here: Place) -> list[float]:
    script = """
    cd $(ls -d rivals/* | head -n 1) && for n in $(seq 5); do
        begun=$(date +%s%N); sbatch --parsable job.sh >/dev/null; echo $(($(date +%s%N) - begun))
    done"""
    return [int(line) / 1e9 for line in here.account(script).split()]


@contextlib.contextmanager
def wire(here: Place) -> Iterator[Callable[[], object]]:
    """A function that sends the smallest request that sshd answers: what a round trip really takes here."""
    site = here.site
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(site.known_hosts_file))
        client.connect(site.host, site.port, site.user, key_filename=str(site.identity_file))
        yield lambda: client.get_transport().global_request("keepalive@openssh.com", wait=True)


def measure() -> Measured:
    measured = Measured(
        "Creating one pod",
        f"Warm, over {RTT_MS} ms, 3 containers, 5 ConfigMaps, {ROUNDS} rounds in which each takes its turn; medians, "
        "and the quickest of each. A round trip is what is left after sbatch's own time at the site.",
    )
    with place("--rtt", str(RTT_MS)) as here, here.sidecar(PollInterval=30, ContainerRuntime="apptainer") as serving:
        serving.client.create(settings_pod())
        archive = packed(here, serving.config)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            files = sum(member.isfile() for member in tar.getmembers())
        taken: dict[str, list[float]] = {}
        sbatch: list[float] = []
        trips: list[float] = []
        with rivals(here, archive) as others, wire(here) as trip:
            ways = {"remote-slurm, POST /create": lambda: serving.client.create(settings_pod()).json, **others}
            for create in ways.values():
                create()  # what is opened only once
            for turn in range(ROUNDS):
                for name, create in ways.items():
                    if turn < SLOW_ROUNDS or not name.startswith("Fabric"):
                        taken.setdefault(name, []).append(seconds(create))
                sbatch += sbatch_at_the_site(here)
                trips += [seconds(trip) for _ in range(3)]
        _rows(measured, taken, sbatch, trips)
        measured.row("What the others send", f"{files} files, {len(archive) / 1000:.1f} kB compressed")
    return measured


def _rows(measured: Measured, taken: dict[str, list[float]], sbatch: list[float], wire: list[float]) -> None:
    base, trip = median_ms(sbatch), median_ms(wire)
    measured.row("A round trip, as SSH's smallest request takes it", f"{trip:.1f} ms")
    measured.row("sbatch at the site itself", f"{base:.0f} ms")
    for name, values in taken.items():
        ms = median_ms(values)
        trips, best = (ms - base) / trip, (min(values) - min(sbatch)) * 1000 / trip
        target, met = ("at most 1.2 round trips", trips <= 1.2) if name.startswith("remote-slurm") else ("", None)
        measured.row(name, f"{ms:.0f} ms, {trips:.2f} round trips (quickest {best:.2f})", target, met=met)
