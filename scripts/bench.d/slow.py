"""The same work in a folder whose metadata operations take 1 ms and 5 ms, beside tar and the same work by hand."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from burst import create_all
from figures import Measured, seconds
from place import Place, Serving, held_pod, place

from tests.pods import Json

RTT_MS = 10
DELAYS_MS = (1, 5)
ROUNDS = 5
PODS = {1: 100, 5: 40}
_FOLDER = Path(__file__).with_name("slow_folder.py")


@dataclass(frozen=True)
class ByHand:
    """Seconds that the same work takes at the site itself, for one pod after another."""

    create: float
    read: float
    remove: float


def measure() -> Measured:
    measured = Measured(
        "On a slow file system",
        f"Over {RTT_MS} ms. DataRootFolder is on a FUSE file system whose metadata operations take 1 or 5 ms more. "
        "By hand, at the site itself: one `tar -x` of the same files for each pod, and sbatch; one `tar -c` of all "
        "pods; one `rm -rf` of all pods. Deletes cancel the jobs as well. There are not more pods, since a "
        "thousand by hand take minutes.",
    )
    for delay in DELAYS_MS:
        with place("--rtt", str(RTT_MS)) as here, _slow_folder(here, delay):
            _at(measured, here, delay)
    return measured


def _at(measured: Measured, here: Place, delay: int) -> None:
    number = PODS[delay]
    row = f"metadata {delay} ms slower: "
    with here.sidecar(PollInterval=30, DataRootFolder="slow/pods") as serving:
        serving.client.create(held_pod())
        ours, hand = [], []
        for _ in range(ROUNDS):
            ours.append(seconds(lambda: serving.client.create(held_pod()).json))
            hand.append(_by_hand(here, 1).create)
        _row(measured, f"{row}a create", statistics.median(ours), statistics.median(hand))
        bodies = [held_pod() for _ in range(number)]
        taken, _ = create_all(serving.process.url, bodies)
        by_hand = _by_hand(here, number)
        _row(measured, f"{row}{number:,} creates at once", taken, by_hand.create)
    with here.sidecar(PollInterval=30, DataRootFolder="slow/pods") as serving:
        _row(measured, f"{row}a start with {number:,} pods", seconds(lambda: _known(serving, bodies)), by_hand.read)
        _row(measured, f"{row}{number:,} deletes at once", _delete_all(here, serving, bodies), by_hand.remove)
    here.cancel_all()


def _row(measured: Measured, what: str, ours: float, by_hand: float) -> None:
    measured.row(
        what,
        f"{ours:.2f} s, by hand {by_hand:.2f} s: {ours / by_hand:.2f} times",
        "at most as long as by hand",
        met=ours <= by_hand,
    )


def _by_hand(here: Place, number: int) -> ByHand:
    """As many pods with the files of one that was created."""
    script = f"""
    ms() {{ echo $(($(date +%s%N) / 1000000)); }}
    cd ~/slow/pods && tar -cf ~/pod.tar "$(ls -d default-* | head -n 1)" && ms
    for pod in $(seq {number}); do
        mkdir -p ~/slow/hand/$pod && cd ~/slow/hand/$pod && tar -xf ~/pod.tar --strip-components=1 &&
            sbatch --parsable --hold --output=%j.out job.sh >job.id
    done
    cd; ms; sleep 1.5; ms; tar -C ~/slow -cf - hand | wc -c >/dev/null; ms; sleep 1.5; ms; rm -rf ~/slow/hand; ms"""
    times = [float(word) / 1000 for word in here.account(script).split()]
    return ByHand(times[1] - times[0], times[3] - times[2], times[5] - times[4])


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
