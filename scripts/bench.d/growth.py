"""What 1, 10, 100, 1,000 and 10,000 pods cost: create, poll, status, memory, recovery; and the promises at 10,000."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import statistics
import time
from collections.abc import Iterator

import aiohttp
from burst import create_all
from figures import Curve, Measured, quantile
from place import Place, Serving, held_pod, place

from remote_slurm.config import Config, load_config
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.sessions import Sessions
from tests.pods import Json

STEPS = (1, 10, 100, 1000, 10_000)
RTT_MS = 50
TOGETHER = 1000  # as many creates are under way at once, so that each is answered within its minute
POLL_SECONDS = 10
REQUESTS_PER_SECOND = 200
STATUS_SECONDS = 10
WATCH_SECONDS = 60


def measure() -> Measured:
    measured = Measured(
        "As the work grows",
        f"Over {RTT_MS} ms, polling every {POLL_SECONDS} s; pods with held jobs are added up to {STEPS[-1]:,}, "
        f"all through POST /create, {TOGETHER:,} at once at most. Each step starts a sidecar with an empty disk. "
        "While status is asked for, the sidecar and its client have priority over all else that runs.",
    )
    lines: dict[str, list[tuple[float, float]]] = {}
    bodies: list[Json] = []
    with place("--rtt", str(RTT_MS)) as here:
        for step in STEPS:
            for name, value in [*_grow(here, bodies, step), *_recover(here, bodies)]:
                lines.setdefault(name, []).append((step, value))
            print(f"  {step:,} pods", flush=True)
        with _sidecar(here) as serving:
            _known(serving, bodies)
            _promises(measured, here, serving, lines)
        here.cancel_all()
    measured.curves = [
        Curve("create", "create: time for each pod, all at once", "ms", {"": lines["create"]}),
        Curve("poll", "one poll: squeue and records, read and understood", "ms", {"": lines["poll"]}),
        Curve("status", f"status, p99, at {REQUESTS_PER_SECOND} requests per second", "ms", {"": lines["p99"]}),
        Curve("memory", "memory of the sidecar", "MiB", {"": lines["memory"]}),
        Curve("recovery", "start with an empty disk, until all pods are known", "s", {"": lines["recovery"]}),
    ]
    return measured


def _sidecar(here: Place) -> contextlib.AbstractContextManager[Serving]:
    return here.sidecar(DataRootFolder=".interlink/growth", PollInterval=POLL_SECONDS)


def _known(serving: Serving, bodies: list[Json]) -> None:
    while not serving.client.status(bodies[-1]["pod"]).json:
        time.sleep(0.02)


def _grow(here: Place, bodies: list[Json], step: int) -> Iterator[tuple[str, float]]:
    fresh = [held_pod() for _ in range(step - len(bodies))]
    bodies += fresh
    with _sidecar(here) as serving:
        taken = 0.0
        for first in range(0, len(fresh), TOGETHER):
            taken += create_all(serving.process.url, fresh[first : first + TOGETHER])[0]
        yield "create", taken / len(fresh) * 1000
        time.sleep(POLL_SECONDS)
        with serving.first():
            latencies, empty = asyncio.run(_ask_status(serving.process.url, bodies))
        yield "empty", quantile(empty, 0.99) * 1000
        yield "p99", quantile(latencies, 0.99) * 1000
        yield "p50", statistics.median(latencies) * 1000
        yield "memory", serving.memory_mib()
        poll, size = asyncio.run(_poll(load_config(serving.config, {})))
        yield "poll", poll * 1000
        yield "bytes", size


def _recover(here: Place, bodies: list[Json]) -> Iterator[tuple[str, float]]:
    """From the start of the process, its login included, until it knows the last pod."""
    begun = time.perf_counter()
    with _sidecar(here) as serving:
        _known(serving, bodies)
        yield "recovery", time.perf_counter() - begun


async def _ask_status(url: str, bodies: list[Json]) -> tuple[list[float], list[float]]:
    """Seconds that each answer took, asked at an even pace, one pod after another as the Virtual Kubelet does.

    The second list is of answers with nothing in them, asked in between: what this machine takes for any.
    """
    asked = REQUESTS_PER_SECOND * STATUS_SECONDS
    texts = [json.dumps([bodies[n * 7919 % len(bodies)]["pod"]]) for n in range(asked)]
    latencies: list[float] = []
    empty: list[float] = []
    async with aiohttp.ClientSession() as session:
        begun = time.perf_counter()
        for number, text in enumerate(texts):
            await asyncio.sleep(max(0, begun + number / REQUESTS_PER_SECOND - time.perf_counter()))
            sent = time.perf_counter()
            async with session.get(f"{url}/status", data=text) as answer:
                assert len(await answer.json()) == 1
            latencies.append(time.perf_counter() - sent)
            if number % 4 == 0:
                sent = time.perf_counter()
                async with session.get(f"{url}/healthz") as answer:
                    await answer.read()
                empty.append(time.perf_counter() - sent)
    return latencies, empty


async def _poll(config: Config) -> tuple[float, int]:
    """Median seconds of squeue and records side by side, and the bytes that came for the first of them."""
    connection = Connection(config.ssh)
    sessions = Sessions(connection)
    site = RemoteSite(sessions, config)
    try:
        await sessions.warm()
        await asyncio.sleep(1)
        taken, sizes = [], []
        for _ in range(5):
            before, begun = (await connection.link()).wire.received, time.perf_counter()
            await asyncio.gather(site.queue(), site.records())
            taken.append(time.perf_counter() - begun)
            sizes.append((await connection.link()).wire.received - before)
        return statistics.median(taken), sizes[0]
    finally:
        await sessions.close()
        await connection.close()


def _queries(here: Place) -> int:
    """How many lists of jobs slurmctld has been asked for by the account."""
    words = here.account("sdiag")
    return sum(int(found) for found in re.findall(r"REQUEST_JOB_(?:USER_)?INFO\s.*?count:(\d+)", words))


def _promises(measured: Measured, here: Place, serving: Serving, lines: dict[str, list[tuple[float, float]]]) -> None:
    last = {name: points[-1][1] for name, points in lines.items()}
    before, cpu = _queries(here), serving.cpu_seconds
    time.sleep(WATCH_SECONDS)
    asked, cpu = _queries(here) - before, serving.cpu_seconds - cpu
    known, limit = f"{STEPS[-1]:,} pods known", WATCH_SECONDS // POLL_SECONDS + 1
    share = cpu / WATCH_SECONDS * 100
    p99 = last["p99"]
    measured.row(
        f"Status, {known}, {REQUESTS_PER_SECOND} requests per second",
        f"p50 {last['p50']:.2f} ms, p99 {p99:.2f} ms (an empty answer, in between: p99 {last['empty']:.2f} ms)",
        "p99 below 2 ms",
        met=p99 < 2,
    )
    measured.row(
        f"squeue in {WATCH_SECONDS} s, {known} (sdiag)", str(asked), f"one in {POLL_SECONDS} s", met=asked <= limit
    )
    measured.row(f"Sidecar's processor, {known}, polling", f"{share:.1f}% of a core", "below 10%", met=share < 10)
    memory = last["memory"]
    measured.row(f"Sidecar's memory, {known}", f"{memory:.0f} MiB", "below 150 MB", met=memory * 1.048576 < 150)
    measured.row("Bytes of the first poll", f"{last['bytes'] / STEPS[-1]:.0f} for each job, as they cross the wire")
    factors = {
        name: lines[name][-1][1] / lines[name][-2][1] for name in ("create", "poll", "p99", "memory", "recovery")
    }
    measured.row(
        f"Growth from {STEPS[-2]:,} to {STEPS[-1]:,} pods",
        ", ".join(f"{name} {factor:.1f} times" for name, factor in factors.items()),
        "no bend upwards: 10 times at most, and create for each pod and status not at all",
        met=max(factors.values()) <= 10 and max(factors["create"], factors["p99"]) < 1.5,
    )
    recovery = last["recovery"]
    measured.row(
        f"Start with an empty disk, {known}",
        f"{recovery:.1f} s, with the program's own start and the login",
        "5 s from the login",
        met=recovery < 5,
    )
