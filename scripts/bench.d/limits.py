"""How long small creates wait while a large one is read, prepared and sent: ten times each limit, and just within all.

Small creates arrive at fixed times, whether or not the earlier ones were answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from figures import Measured, quantile
from place import Serving, held_pod, place

from remote_slurm.api import bodies
from remote_slurm.domain.pod import limits
from remote_slurm.ssh.threads import in_thread
from tests.pods import Json, pod, request, sh

MOST_SECONDS = 1.0
EVERY_SECONDS = 0.1
QUIET_SECONDS = 5.0
# After the large create was answered: what it leaves behind, such as memory that is freed, may block as well
AFTER_SECONDS = 1.0
ROUNDS = 3
# Those that are accepted, and travel to the site
WITHIN_ROUNDS = 5
MAX_REQUEST_SIZE = 32 * 1024 * 1024


@dataclass(frozen=True)
class Large:
    """A create; `make` returns its body, of which only Content-Length is sent if `announced` is given."""

    what: str
    make: Callable[[], bytes]
    announced: int = 0


def body(a_pod: Json, **data: Any) -> bytes:
    return json.dumps(request(a_pod, **data)).encode()


def simple(**keys: Any) -> Json:
    return pod(sh("c", "true", **keys), flags="--hold")


def many(container: Json, **keys: list[Any]) -> bytes:
    a_pod = pod(sh("c", "true", **container), flags="--hold", **keys)
    return body(a_pod)


def containers(count: int) -> bytes:
    return body(pod(*(sh(f"c{number}", "true") for number in range(count)), flags="--hold"))


def annotations(**values: str) -> bytes:
    a_pod = simple()
    a_pod["metadata"]["annotations"] |= {f"slurm-job.vk.io/{name}": text for name, text in values.items()}
    return body(a_pod)


def files(count: int, size: int, path: str = "f{}") -> bytes:
    """One key of a ConfigMap as so many files, of data that hardly compresses."""
    data = random.Random(0).randbytes(size // 2).hex()  # noqa: S311 - the same in each run
    items = [{"key": "k", "path": path.format(number)} for number in range(count)]
    volumes = [{"name": "v", "configMap": {"name": "m", "items": items}}]
    a_pod = pod(sh("c", "true", volumeMounts=[{"name": "v", "mountPath": "/v"}]), flags="--hold", volumes=volumes)
    return body(a_pod, configMaps=[{"metadata": {"name": "m"}, "data": {"k": data}}])


def config_maps(count: int, text: str) -> bytes:
    """As many ConfigMaps of this text, each mounted."""
    volumes = [{"name": f"v{n}", "configMap": {"name": f"m{n}"}} for n in range(count)]
    mounts = [{"name": f"v{n}", "mountPath": f"/v{n}"} for n in range(count)]
    a_pod = pod(sh("c", "true", volumeMounts=mounts), flags="--hold", volumes=volumes)
    return body(a_pod, configMaps=[{"metadata": {"name": f"m{n}"}, "data": {"k": text}} for n in range(count)])


def expanded(count: int, size: int) -> bytes:
    """As many containers whose arguments name a value, and come to `size` bytes each."""
    value = {"name": "A", "value": "x" * 1000}
    words = ["true " + "$(A)" * (size // 1000)]
    each = [sh(f"c{n}", "true", env=[value]) | {"args": words} for n in range(count)]
    return body(pod(*each, flags="--hold"))


def nested(levels: int) -> bytes:
    a_pod = simple()
    inner: Any = {}
    for _ in range(levels):
        inner = {"a": inner}
    a_pod["spec"]["affinity"] = inner
    return body(a_pod)


def logins(count: int) -> bytes:
    auths = {f"r{n}.example.org": {"auth": "YTpi"} for n in range(count)}
    a_pod = simple()
    a_pod["spec"]["imagePullSecrets"] = [{"name": "s"}]
    return body(a_pod, secrets=[{"metadata": {"name": "s"}, "stringData": {".dockerconfigjson": json.dumps(auths)}}])


def variables(count: int, size: int = 1) -> list[Json]:
    return [{"name": f"V{number}", "value": "x" * size} for number in range(count)]


def escaped(size: int) -> str:
    return '"\\\n\u00fc\x01' * (size // 5)


TEN_TIMES = [
    Large("body: 320 MiB", lambda: b"{", 10 * MAX_REQUEST_SIZE),
    Large("values: 10 times", lambda: b"[" + b"{}," * (5 * bodies.CREATE_VALUES) + b"{}]"),
    Large("containers: 5,000", lambda: containers(10 * limits.CONTAINERS)),
    Large("volumes: 2,500", lambda: many({}, volumes=[{"name": f"v{n}", "emptyDir": {}} for n in range(2500)])),
    Large("imagePullSecrets: 500", lambda: many({}, imagePullSecrets=[{"name": f"s{n}"} for n in range(500)])),
    Large("registries: 5,000", lambda: logins(10 * limits.LOGINS)),
    Large("variables: 100,000", lambda: many({"env": variables(10 * limits.ENTRIES)})),
    Large("levels: 640", lambda: nested(10 * limits.LEVELS)),
    Large("files: 100,000", lambda: files(10 * limits.FILES, 10)),
    Large("files: 9,900 with 99,000 folders", lambda: files(9_900, 10, "{0}/b/c/d/e/f/g/h/i/j/k")),
    Large("bytes of files: 640 MiB", lambda: files(9_900, 67_000)),
    Large("annotations: 5 MiB", lambda: annotations(x="x" * 10 * limits.ANNOTATION_BYTES)),
    Large("options: 160 kB", lambda: annotations(flags="--hold " + "a " * 5 * limits.OPTION_CHARACTERS)),
    Large("arguments: 20 MiB", lambda: many({"args": ["x" * 10 * limits.ARGUMENT_BYTES]})),
    Large("arguments, expanded: 20 MiB", lambda: expanded(1, 10 * limits.ARGUMENT_BYTES)),
    Large("arguments of all containers: 320 MiB", lambda: expanded(170, limits.ARGUMENT_BYTES - 10_000)),
    Large("name in a path: 2,550 bytes", lambda: many({"workingDir": "/" + "x" * 10 * limits.COMPONENT_BYTES})),
    Large("path: 20 kB", lambda: many({"workingDir": "/x" * 5 * limits.PATH_BYTES})),
    Large("image: 20 kB", lambda: many({"image": "x" * 10 * limits.IMAGE_CHARACTERS})),
]  # fmt: skip
WITHIN = [
    Large("9,900 files, 59 MB", lambda: files(9_900, 6_000)),
    Large("40 files, 60 MB", lambda: files(40, 1_500_000)),
    Large("30 MB of ConfigMaps", lambda: config_maps(20, "x" * 1_500_000)),
    Large("30 MB of ConfigMaps, all of it escaped", lambda: config_maps(14, escaped(600_000))),
    Large("500 containers", lambda: containers(limits.CONTAINERS)),
    Large("9,900 variables", lambda: many({"env": variables(9_900, 20)})),
    Large("arguments of 31 MiB in 16 containers", lambda: expanded(16, limits.ARGUMENT_BYTES - 40_000)),
    Large("arguments of 31 MiB in 500 containers", lambda: expanded(500, 65_000)),
    Large("99,000 values", lambda: body(simple() | {"x": [[[[0]] * 9_000]] * 2})),
]


def measure() -> Measured:
    measured = Measured(
        "One large pod, and others beside it",
        f"Small creates arrive every {EVERY_SECONDS * 1000:.0f} ms while one large create is sent: the longest time "
        f"that a small one took, in the worst of {ROUNDS} rounds ({WITHIN_ROUNDS} of accepted pods). The client shares "
        "the processors of the sidecar.",
    )
    with (
        place() as here,
        here.sidecar(PollInterval=10, ContainerRuntime="apptainer", MaxRequestSize=MAX_REQUEST_SIZE) as serving,
    ):
        quiet = asyncio.run(_quiet(serving))
        measured.row("Nothing else", f"{max(quiet):.2f} s, median {quantile(quiet, 0.5) * 1000:.0f} ms")
        for about, larges, rounds in (("", TEN_TIMES, ROUNDS), ("accepted: ", WITHIN, WITHIN_ROUNDS)):
            for large in larges:
                _row(measured, about, large, [asyncio.run(_beside(serving, large)) for _ in range(rounds)])
            here.cancel_all()
    return measured


def _row(measured: Measured, about: str, large: Large, rounds: Iterable[tuple[list[float], int, float]]) -> None:
    worst = max(max(delays) for delays, _, _ in rounds)
    _, status, taken = list(rounds)[-1]
    measured.row(
        f"{about}{large.what}",
        f"{worst:.2f} s; answered with {status} in {taken:.1f} s",
        f"less than {MOST_SECONDS:g} s",
        met=worst < MOST_SECONDS,
    )


async def _quiet(serving: Serving) -> list[float]:
    ended = asyncio.Event()
    asyncio.get_running_loop().call_later(QUIET_SECONDS, ended.set)
    return await _small_ones(serving, ended)


async def _beside(serving: Serving, large: Large) -> tuple[list[float], int, float]:
    """What small creates took, in seconds; the status of the large one, and what it took."""
    content, ended = large.make(), asyncio.Event()
    small = asyncio.create_task(_small_ones(serving, ended))
    await asyncio.sleep(2 * EVERY_SECONDS)
    status, taken = await _create(serving, content, large.announced)
    await asyncio.sleep(AFTER_SECONDS)
    ended.set()
    return await small, status, taken


async def _small_ones(serving: Serving, ended: asyncio.Event) -> list[float]:
    tasks, start = [], time.perf_counter()
    while not ended.is_set():
        tasks.append(asyncio.create_task(_small(serving)))
        await asyncio.sleep(max(0, start + len(tasks) * EVERY_SECONDS - time.perf_counter()))
    return await asyncio.gather(*tasks)


async def _small(serving: Serving) -> float:
    status, taken = await _create(serving, json.dumps(held_pod()).encode())
    assert status == 200, f"a small create was answered with {status}"
    return taken


async def _create(serving: Serving, content: bytes, announced: int = 0) -> tuple[int, float]:
    """The status, and the seconds until it came."""
    where = urlsplit(serving.process.url)
    size = announced or len(content)
    head = f"POST /create HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
    return await in_thread("bench", _ask, (str(where.hostname), where.port or 0), head.encode() + content)


def _ask(address: tuple[str, int], asked: bytes) -> tuple[int, float]:
    """In a thread of its own, so that no request of this client waits for another one."""
    begun = time.perf_counter()
    with socket.create_connection(address, timeout=120) as connection, connection.makefile("rb") as answer:
        with contextlib.suppress(ConnectionError):  # what is too large is answered before it has been read
            connection.sendall(asked)
        status = int(answer.readline().split()[1])
    return status, time.perf_counter() - begun
