"""What many pods cost slurmctld: deletes, requests from create to deleted, and a squeue of which little has changed."""

from __future__ import annotations

import asyncio
import json
import math
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from burst import CONNECTIONS, WORKERS, create_all, like_pod
from figures import Measured
from place import Place, Serving, held_pod, place

from remote_slurm.config import Config, load_config
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.sessions import Sessions
from tests.pods import Json

PODS = 1000
JOBS = 10_000
CHANGED = 10
RTT_MS = 50
POLLS = 10
POLL_SECONDS = 2
ROUNDS = 3
DELETE_SECONDS = 10
DELETE_LIMIT = 1.3
REQUESTS_LIMIT = 0.1
BYTES = 10_000


def measure() -> Measured:
    measured = Measured(
        "Polite under pressure",
        f"{PODS:,} pods with held jobs over {RTT_MS} ms, beside loops at the site itself, in turn. Requests are those "
        f"that sdiag counts for the account, with {POLLS} polls on both sides.",
    )
    with place("--rtt", str(RTT_MS)) as here:
        # first, since squeue also lists jobs that have ended
        with here.sidecar(PollInterval=300) as serving:
            asyncio.run(_changes(measured, here, load_config(serving.config, {})))
        here.cancel_all()
        with here.sidecar(PollInterval=POLL_SECONDS) as serving:
            _deletes(measured, here, serving)
            _count_requests(measured, here, serving, "different pods", lambda _: held_pod())
        here.cancel_all()
        with here.sidecar(PollInterval=POLL_SECONDS, JobArrays="always") as serving:
            _count_requests(measured, here, serving, "like pods", like_pod, REQUESTS_LIMIT)
        here.cancel_all()
    return measured


def _deletes(measured: Measured, here: Place, serving: Serving) -> None:
    ours, loops = [], []
    for _ in range(ROUNDS):
        bodies = [held_pod() for _ in range(PODS)]
        create_all(serving.process.url, bodies)
        ours.append(delete_all(serving, [body["pod"] for body in bodies]))
        loops.append(_loop(here)[0])
    taken, loop = statistics.median(ours), statistics.median(loops)
    measured.row(
        f"{PODS:,} pods deleted, until nothing is left of them",
        f"{taken:.1f} s, a loop of scancel {loop:.1f} s: {taken / loop:.2f} times",
        f"at most {DELETE_SECONDS} s and {DELETE_LIMIT} times",
        met=taken <= DELETE_SECONDS and taken / loop <= DELETE_LIMIT,
    )


def _count_requests(
    measured: Measured, here: Place, serving: Serving, what: str, body: Callable[[int], Json], most: float = math.inf
) -> None:
    bodies = [body(number) for number in range(PODS)]
    before = _requests(here)
    create_all(serving.process.url, bodies)
    created = _requests(here) - before
    time.sleep(POLLS * POLL_SECONDS)
    polled = _requests(here)
    delete_all(serving, [body["pod"] for body in bodies])
    whole, deleted = _requests(here) - before, _requests(here) - polled
    looped = _loop(here)[1]
    measured.row(
        f"Requests to slurmctld for {PODS:,} {what}, from create to deleted",
        f"{whole}, of which {created} until all were created and {deleted} for deletes; "
        f"the loops {looped}: {whole / looped:.2f} times",
        f"at most {most} times" if most < math.inf else "",
        met=whole / looped <= most if most < math.inf else None,
    )


def delete_all(serving: Serving, pods: list[Json]) -> float:
    """Seconds until the last of them is gone from the site and from the journal."""
    where = urlsplit(serving.process.url)
    journal = Path(yaml.safe_load(serving.config.read_text())["StateFolder"]) / "deletes"
    connections = asyncio.Semaphore(CONNECTIONS)

    async def delete(pod: Json) -> None:
        body = json.dumps(pod).encode()
        head = f"POST /delete HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        async with connections:
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            writer.write(head.encode() + body)
            answer = await reader.read()
            writer.close()
        assert answer.startswith(b"HTTP/1.1 200 "), answer

    async def delete_them() -> float:
        begun = time.perf_counter()
        async with asyncio.timeout(300):
            await asyncio.gather(*map(delete, pods))
            while any(journal.iterdir()):  # noqa: ASYNC110 - another process removes the files
                await asyncio.sleep(0.02)
        return time.perf_counter() - begun

    return asyncio.run(delete_them())


def _loop(here: Place) -> tuple[float, int]:
    """Seconds that a loop of scancel takes for as many jobs; and the requests of the loops, squeue included."""
    before = _requests(here)
    begun, ended = here.account(
        f"""
    printf '#!/bin/sh\\ntrue\\n' >loop.sh
    for worker in $(seq {WORKERS}); do
        for job in $(seq {PODS // WORKERS}); do sbatch --parsable --hold --output=/dev/null loop.sh; done >ids.$worker &
    done; wait
    for poll in $(seq {POLLS}); do squeue --me --noheader >/dev/null; done
    date +%s%N
    for job in $(cat ids.*); do scancel $job; done
    date +%s%N; rm ids.*"""
    ).split()
    return (int(ended) - int(begun)) / 1e9, _requests(here) - before


def _requests(here: Place) -> int:
    """How many requests of the account slurmctld has had."""
    found = re.search(r"^\s+hpcuser\s+\(\s*\d+\)\s+count:(\d+)", here.root("sdiag"), re.MULTILINE)
    return int(found[1]) if found else 0


async def _changes(measured: Measured, here: Place, config: Config) -> None:
    here.account(
        f"""
    folder={config.data_root_folder}/default-9c2d7a0e-5b1f-4c55-9d1e-3f0a4a1b7c11
    mkdir -p $folder && cd $folder
    printf '#!/bin/sh\\ntrue\\n' >job.sh
    for worker in $(seq {WORKERS}); do
        for job in $(seq {JOBS // WORKERS}); do sbatch --hold --output=/dev/null $PWD/job.sh; done >/dev/null &
    done; wait"""
    )
    connection = Connection(config.ssh)
    sessions = Sessions(connection)
    site = RemoteSite(sessions, config)
    cancel = f"scancel $(squeue --me --noheader --format=%A | head -n {CHANGED})"
    try:
        await sessions.warm()
        sizes, times = [], []
        for _ in range(6):
            await asyncio.to_thread(here.account, cancel)
            before, begun = (await connection.link()).wire.received, time.perf_counter()
            found = await site.queue()
            times.append(time.perf_counter() - begun)
            sizes.append((await connection.link()).wire.received - before)
            assert len(found.jobs) == JOBS
    finally:
        await sessions.close()
        await connection.close()
    size = statistics.median(sizes[2:])
    measured.row(
        f"A squeue of {JOBS:,} jobs, of which {CHANGED} have changed",
        f"{size / 1000:.1f} kB in {statistics.median(times[2:]) * 1000:.0f} ms; the first one {sizes[0] / 1000:.0f} kB "
        f"in {times[0] * 1000:.0f} ms",
        f"at most {BYTES / 1000:.0f} kB",
        met=size <= BYTES,
    )
