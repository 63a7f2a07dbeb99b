"""How soon what happens at the site can be seen: states of jobs, and the end of a job that is over at once."""

from __future__ import annotations

import statistics
import subprocess
import time

from figures import Measured
from place import Place, Serving, held_pod, place

from tests.pods import Json, pod, request, sh

RTT_MS = 50
POLL_SECONDS = 5
PODS = 8
SHORT_JOBS = 5
EARLY_LOOK_SECONDS = 2

# Releases jobs one after another, and says when Slurm has each one running.
_RELEASE = """
for job in {jobs}; do
    scontrol release $job
    until squeue --noheader --jobs=$job --states=running | grep -q .; do sleep 0.02; done
    echo $job $(date +%s.%N)
    sleep 0.7
done"""


def measure() -> Measured:
    measured = Measured(
        "Seeing what happens",
        f"Over {RTT_MS} ms, polling every {POLL_SECONDS} s; the site and the clients have one clock.",
    )
    with place("--rtt", str(RTT_MS)) as here:
        _states(measured, here)
        _short_jobs(measured, here)
    return measured


def _states(measured: Measured, here: Place) -> None:
    with here.sidecar(PollInterval=POLL_SECONDS) as serving:
        bodies = [held_pod() for _ in range(PODS)]
        for body in bodies:
            body["pod"]["spec"]["containers"][0]["args"] = ["sleep 60"]
        jobs = {serving.client.create(body).json["PodJID"]: body["pod"] for body in bodies}
        time.sleep(POLL_SECONDS + 1)
        command = ["scripts/site", "exec", "--name", here.site.name, "--", "bash", "-c"]
        released = subprocess.Popen([*command, _RELEASE.format(jobs=" ".join(jobs))], stdout=subprocess.PIPE, text=True)
        seen = _watch(serving, jobs)
        ran = dict(line.split() for line in released.communicate()[0].splitlines())
        delays = [seen[job] - float(ran[job]) for job in jobs]
        here.cancel_all()
    limit = POLL_SECONDS + RTT_MS / 1000
    measured.row(
        "From Slurm's running to a status that says so",
        f"median {statistics.median(delays):.2f} s, at most {max(delays):.2f} s of {PODS}",
        f"one interval and one round trip, {limit:.2f} s",
        met=max(delays) <= limit,
    )


def _watch(serving: Serving, jobs: dict[str, Json]) -> dict[str, float]:
    """When each job was first seen to be no longer waiting in Slurm."""
    seen: dict[str, float] = {}
    while len(seen) < len(jobs):
        for job, a_pod in jobs.items():
            if job not in seen and not _waits(serving, a_pod):
                seen[job] = time.time()
        time.sleep(0.01)
    return seen


def _waits(serving: Serving, a_pod: Json) -> bool:
    state = serving.client.status(a_pod).json[0]["containers"][0]["state"]
    return "waiting" in state and state["waiting"]["reason"] != "ContainerCreating"


def _short_jobs(measured: Measured, here: Place) -> None:
    """The next poll is so far away that only the early look can have seen their ends."""
    with here.sidecar(PollInterval=60) as serving:
        time.sleep(1)
        taken = []
        for _ in range(SHORT_JOBS):
            body = request(pod(sh("c", "true")))
            serving.client.create(body)
            begun = time.perf_counter()
            while "terminated" not in serving.client.status(body["pod"]).json[0]["containers"][0]["state"]:
                time.sleep(0.01)
                assert time.perf_counter() - begun < 70, "no poll has seen it either"
            taken.append(time.perf_counter() - begun)
    limit = EARLY_LOOK_SECONDS + RTT_MS / 1000 + 0.25
    measured.row(
        "From the job's id to the end of a pod that ends at once",
        f"median {statistics.median(taken):.2f} s, at most {max(taken):.2f} s of {SHORT_JOBS}",
        f"its records are looked at {EARLY_LOOK_SECONDS} s after it was submitted",
        met=statistics.median(taken) <= limit,
    )
