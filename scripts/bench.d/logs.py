"""Logs: how soon a line arrives, what the end of a long one costs, and how fast a long one comes."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import statistics
import subprocess
import time
from typing import IO
from urllib.parse import urlsplit

from figures import Measured, median_ms, seconds
from place import Place, Serving, place

from tests.pods import Json, key, pod, request, sh
from tests.sidecar import log_request

RTT_MS = 50
LINES = 40
MIB = 1024 * 1024
GIB = 1024 * MIB
TAILS = 7
STREAMS = 3
MEMORY_MIB = 48  # a few windows of the session


def measure() -> Measured:
    measured = Measured(
        "Logs",
        f"Line by line and last lines over {RTT_MS} ms; the 5 GB are a hole before the last lines. Streaming without a "
        "proxy, which would be what is measured, beside `ssh cat` of the same file, in turn.",
    )
    with place("--rtt", str(RTT_MS)) as here, here.sidecar(PollInterval=10) as serving:
        _follow(measured, serving)
        _last_lines(measured, here, serving)
    with place() as here, here.sidecar(PollInterval=10) as serving:
        _stream(measured, here, serving)
    return measured


def _follow(measured: Measured, serving: Serving) -> None:
    """Each line is the time at which it was written."""
    body = request(pod(sh("c", f"for n in $(seq {LINES}); do sleep 0.25; date +%s.%N; done")))
    serving.client.create(body)
    while serving.client.logs(body["pod"], "c").status != 200:
        time.sleep(0.1)
    delays = []
    with serving.client.follow(body["pod"], "c") as follower:
        while line := follower.line():
            delays.append(time.time() - float(line))
    delays = delays[len(delays) // 3 :]  # the first ones were there before anybody followed
    limit = 200 + RTT_MS
    measured.row(
        "From the line to its follower",
        f"median {median_ms(delays):.0f} ms, at most {max(delays) * 1000:.0f} ms",
        f"200 ms and one round trip, {limit} ms",
        met=max(delays) * 1000 <= limit,
    )


def _with_log(here: Place, serving: Serving, script: str) -> Json:
    """A pod that has ended, and whose log is what `script` writes."""
    a_pod = pod(sh("c", "echo"))
    serving.client.create(request(a_pod))
    while serving.client.logs(a_pod, "c").status != 200:
        time.sleep(0.1)
    here.account(f"cd {_root(serving)}/{key(a_pod)}/logs && {{ {script}; }} >c.log")
    return a_pod


def _root(serving: Serving) -> str:
    found = re.search("DataRootFolder: (.*)", serving.config.read_text())
    assert found
    return found[1]


def _last_lines(measured: Measured, here: Place, serving: Serving) -> None:
    lines = 'for n in $(seq 100); do echo "line $n of many, each of about fifty bytes"; done'
    short = _with_log(here, serving, lines)
    long = _with_log(here, serving, f"truncate -s 5G /dev/stdout; {lines} >>/dev/stdout")
    taken: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(TAILS):
        for number, a_pod in enumerate((short, long)):
            taken[number].append(seconds(lambda a_pod=a_pod: _ten_lines(serving, a_pod)))
    before, after = median_ms(taken[0]), median_ms(taken[1])
    measured.row(
        "The last 10 lines of a log",
        f"of 5 kB {before:.0f} ms, of 5 GB {after:.0f} ms",
        "the same",
        met=after < before * 1.2,
    )


def _ten_lines(serving: Serving, a_pod: Json) -> None:
    text = serving.client.logs(a_pod, "c", Tail=10).text
    assert text.count("\n") == 10, text
    assert text.endswith("line 100 of many, each of about fifty bytes\n")


def _stream(measured: Measured, here: Place, serving: Serving) -> None:
    a_pod = _with_log(here, serving, "base64 -w 99 /dev/urandom | head -c 1G")
    path = f"{_root(serving)}/{key(a_pod)}/logs/c.log"
    site = here.site
    ssh = [
        "ssh",
        "-o",
        f"UserKnownHostsFile={site.known_hosts_file}",
        "-i",
        str(site.identity_file),
        "-p",
        str(site.port),
    ]
    before = serving.memory_mib()
    ours, theirs = [], []
    for _ in range(STREAMS):
        ours.append(seconds(lambda: _read(serving, a_pod)))
        theirs.append(seconds(lambda: _cat([*ssh, f"{site.user}@{site.host}", f"cat {path}"])))
    share = statistics.median(theirs) / statistics.median(ours)
    memory = serving.memory_mib("VmHWM") - before
    speeds = [1024 / statistics.median(each) for each in (ours, theirs)]
    measured.row(
        "A log of 1 GiB",
        f"{speeds[0]:.0f} MiB/s, ssh cat {speeds[1]:.0f} MiB/s: {share:.0%}",
        "80% of ssh cat",
        met=share >= 0.8,
    )
    measured.row(
        "The sidecar's memory for that", f"{memory:.0f} MiB", f"below {MEMORY_MIB} MiB", met=memory < MEMORY_MIB
    )


def _read(serving: Serving, a_pod: Json) -> None:
    body = json.dumps(log_request(a_pod, "c")).encode()
    parts = urlsplit(serving.process.url)
    connection = http.client.HTTPConnection(parts.netloc)
    with contextlib.closing(connection):
        connection.request("GET", "/getLogs", body)
        assert _size(connection.getresponse()) == GIB


def _cat(command: list[str]) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as cat:
        assert _size(cat.stdout) == GIB


def _size(stream: IO[bytes]) -> int:
    size = 0
    while data := stream.read(MIB):
        size += len(data)
    return size
