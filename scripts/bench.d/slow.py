"""The same work in a folder whose metadata operations take 1 ms and 5 ms, beside tar and the same work by hand."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from burst import create_all
from figures import Measured, median_ms, seconds
from place import Place, Serving, held_pod, place

from tests.pods import Json

RTT_MS = 10
DELAYS_MS = (1, 5)
ROUNDS = 7
PODS = {1: 1000, 5: 200}
_FOLDER = Path(__file__).with_name("slow_folder.py")


def measure() -> Measured:
    measured = Measured(
        "On a slow file system",
        f"Over {RTT_MS} ms. DataRootFolder is on a FUSE file system whose metadata operations take 1 or 5 ms more. "
        "By hand: one `tar -x` of the same files for each pod, and sbatch, at the site itself.",
    )
    for delay in DELAYS_MS:
        with place("--rtt", str(RTT_MS)) as here, _slow_folder(here, delay):
            _at(measured, here, delay)
    return measured


def _at(measured: Measured, here: Place, delay: int) -> None:
    number = PODS[delay]
    with here.sidecar(PollInterval=30, DataRootFolder="slow/pods") as serving:
        serving.client.create(held_pod())
        ours = [seconds(lambda: serving.client.create(held_pod()).json) for _ in range(ROUNDS)]
        hand = [_by_hand(here, 1) for _ in range(ROUNDS)]
        row = f"metadata {delay} ms slower: "
        measured.row(f"{row}a create", f"{median_ms(ours):.0f} ms, by hand {median_ms(hand):.0f} ms")
        bodies = [held_pod() for _ in range(number)]
        taken, _ = create_all(serving.process.url, bodies)
        by_hand = _by_hand(here, number)
        measured.row(f"{row}{number:,} creates at once", f"{taken:.1f} s, by hand, one by one, {by_hand:.1f} s")
    with here.sidecar(PollInterval=30, DataRootFolder="slow/pods") as serving:
        measured.row(f"{row}a start with {number:,} pods", f"{seconds(lambda: _known(serving, bodies)):.1f} s")
        measured.row(f"{row}{number:,} deletes at once", f"{_delete_all(here, serving, bodies):.1f} s")
    here.cancel_all()


def _by_hand(here: Place, number: int) -> float:
    """Seconds for as many pods, one after another, with the files of a pod that was created."""
    script = f"""
    cd ~/slow/pods && tar -cf ~/pod.tar "$(ls -d default-* | head -n 1)" && begun=$(date +%s%N)
    for pod in $(seq {number}); do
        mkdir -p ~/slow/hand/$pod && cd ~/slow/hand/$pod && tar -xf ~/pod.tar --strip-components=1 &&
            sbatch --parsable --hold --output=%j.out job.sh >job.id
    done
    echo $((($(date +%s%N) - begun) / 1000000)); cd; rm -rf ~/slow/hand"""
    return float(here.account(script).split()[-1]) / 1000


def _known(serving: Serving, bodies: list[Json]) -> None:
    while len(serving.client.status(*(each["pod"] for each in bodies)).json) < len(bodies):
        time.sleep(0.1)


def _delete_all(here: Place, serving: Serving, bodies: list[Json]) -> float:
    def delete() -> None:
        for each in bodies:
            serving.client.delete(each["pod"])
        uids = "|".join(each["pod"]["metadata"]["uid"] for each in bodies[:3])
        here.account(f"while ls ~/store/pods | grep -cE '{uids}'; do sleep 0.2; done >/dev/null")
        here.account(f"while [ $(ls -d ~/store/pods/default-* | wc -l) -gt {ROUNDS + 1} ]; do sleep 0.2; done")

    return seconds(delete)


@contextlib.contextmanager
def _slow_folder(here: Place, delay: int) -> Iterator[None]:
    """~/slow, with the files of ~/store."""
    here.account("mkdir -m 700 store slow")
    namespace = here.root("readlink /proc/self/ns/mnt").strip()
    pid = next(
        each
        for each in subprocess.run(["pgrep", "slurmctld"], check=True, capture_output=True, text=True).stdout.split()
        if str(Path(f"/proc/{each}/ns/mnt").readlink()) == namespace
    )
    home = here.account("echo ~").strip()
    command = [sys.executable, str(_FOLDER), pid, f"{home}/store", f"{home}/slow", str(delay)]
    server = subprocess.Popen(command)
    try:
        here.root(f"until mountpoint -q {home}/slow; do sleep 0.1; done", 20)
        yield
    finally:
        here.root(f"umount -l {home}/slow")  # ends the server
        server.wait(30)
