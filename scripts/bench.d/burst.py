"""Many pods at once over 50 ms, beside a loop of sbatch with four workers at the site itself."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from figures import Measured
from place import Place, place

from tests.pods import Json, pod, request, sh

PODS = 1000
RTT_MS = 50
WORKERS = 4
CONNECTIONS = 500  # the server takes 512 at once (api/limits.py)


def create_all(url: str, bodies: list[Json]) -> tuple[float, list[str]]:
    """Seconds until the last of them has its job, and the jobs. The client does no more than it must."""
    where = urlsplit(url)
    requests = [_post(where.netloc, json.dumps(body).encode()) for body in bodies]

    connections = asyncio.Semaphore(CONNECTIONS)

    async def create(request: bytes) -> str:
        async with connections:
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            writer.write(request)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
        assert head.startswith(b"HTTP/1.1 200 "), head + body
        return str(json.loads(body)["PodJID"])

    async def create_them() -> tuple[float, list[str]]:
        begun = time.perf_counter()
        async with asyncio.timeout(120):
            jobs = await asyncio.gather(*map(create, requests))
        return time.perf_counter() - begun, jobs

    return asyncio.run(create_them())


def _post(host: str, body: bytes) -> bytes:
    head = f"POST /create HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def loop_at_the_site(here: Place, config: Path, number: int) -> float:
    """Seconds that `WORKERS` loops of sbatch need for as many jobs, with the script of a pod that was created."""
    root = next(line.split()[1] for line in config.read_text().splitlines() if line.startswith("DataRootFolder:"))
    return (
        float(
            here.account(
                f"""
    cd {root} && cd "$(ls -d default-* | head -n 1)" && begun=$(date +%s%N)
    for worker in $(seq {WORKERS}); do
        for job in $(seq {number // WORKERS}); do sbatch --parsable --output=loop-%j.out job.sh >/dev/null; done &
    done
    wait; echo $((($(date +%s%N) - begun) / 1000000))"""
            )
        )
        / 1000
    )


@dataclass(frozen=True)
class Case:
    """What is created at once, `rounds` times, and what is promised of it beside the loop. `latency` is in ms."""

    what: str
    latency: int
    rounds: int
    limit: float
    pod: Callable[[int], Json]


def like_pod(_: int) -> Json:
    """A pod as a Job makes a thousand of; its job waits."""
    return request(pod(sh("c", "true"), flags="--begin=now+1day"))


def own_pod(number: int) -> Json:
    """A pod that has sbatch options of its own; its job waits."""
    return request(pod(sh("c", "true"), flags=f"--begin=now+1day --comment={number}"))


# sbatch's own speed is measured several times, since little else disturbs it more
CASES = (
    Case("all different, sbatch at its own speed", 0, 3, 1.2, own_pod),
    Case("like each other, sbatch at its own speed", 0, 3, 0.4, like_pod),
    # so that the last of them is answered within the minute that a create may take
    Case("all different, sbatch 100 ms slower", 100, 1, 1.3, own_pod),
    Case("like each other, sbatch 1 s slower", 1000, 1, 0.03, like_pod),
)


def measure() -> Measured:
    measured = Measured(
        f"{PODS:,} pods at once",
        f"Over {RTT_MS} ms; the loop runs at the site itself, with {WORKERS} workers and the script of one of the "
        "pods, before and after each burst. The jobs wait, so that they do not compete for the processors. Pods that "
        "are like each other become job arrays.",
    )
    for case in CASES:
        with place("--rtt", str(RTT_MS), "--sbatch-latency", str(case.latency)) as here:
            _burst(measured, here, case)
    return measured


def _burst(measured: Measured, here: Place, case: Case) -> None:
    with here.sidecar(PollInterval=10, JobArrays="always") as serving:
        create_all(serving.process.url, [case.pod(0)])
        ours, loops = [], [loop_at_the_site(here, serving.config, PODS)]
        for _ in range(case.rounds):
            taken, jobs = create_all(serving.process.url, [case.pod(number) for number in range(PODS)])
            assert len(set(jobs)) == PODS, "each pod has a job of its own"
            ours.append(taken)
            if case.rounds > 1:
                loops.append(loop_at_the_site(here, serving.config, PODS))
    taken, loop = statistics.median(ours), statistics.median(loops)
    measured.row(
        case.what,
        f"{taken:.1f} s, the loop {loop:.1f} s: {taken / loop:.2f} times",
        f"at most {case.limit} times",
        met=taken / loop <= case.limit,
    )
