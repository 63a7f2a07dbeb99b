"""What one pod costs the file system of the site: its files in each phase, and the operations of the login node."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from figures import Measured
from place import Place, Serving, held_pod, place

from tests.pods import Json, pod, request, sh

RTT_MS = 1
POLL_SECONDS = 3600  # a poll looks at folders as well, whether there is a pod or not

# Calls that change a file system's metadata, or ask for it, in the groups in which they are shown
_GROUPS = {
    "creates": r"open(?:at)?\([^)]*O_CREAT|creat\(|mkdir(?:at)?\(|mknod(?:at)?\(",
    "renames": r"rename(?:at2?)?\(",
    "links": r"(?:sym)?link(?:at)?\(",
    "unlinks": r"unlink(?:at)?\(|rmdir\(",
    "stats": r"(?:new)?f?stat(?:at|at64|x)?\(|lstat\(|f?access(?:at2?)?\(|readlink(?:at)?\(",
}
_CALLS = "%file"
# Version 0.2.0 took 80
_MOST_OPERATIONS = 80 // 3


def measure() -> Measured:
    measured = Measured(
        "Files of a pod",
        "A plain pod with one container. Counted are all its files, folders and links, also in .remote-slurm, and "
        "the file operations of all processes of the login node that name one of them.",
    )
    with place("--rtt", str(RTT_MS)) as here, here.sidecar(PollInterval=5) as serving:
        _phases(measured, here, serving)
    with place("--rtt", str(RTT_MS)) as here, here.sidecar(PollInterval=POLL_SECONDS) as serving:
        _operations(measured, here, serving)
    return measured


def _phases(measured: Measured, here: Place, serving: Serving) -> None:
    waiting = held_pod()
    running = request(pod(sh("one", "echo hello; sleep 15; echo hello")))
    for each in (waiting, running):
        serving.client.create(each)
    _until(serving, running, "running")
    time.sleep(3)  # its log has a line of times
    measured.row("While it waits", str(_files(here, waiting)), "at most 8", met=_files(here, waiting) <= 8)
    measured.row("While it runs", str(_files(here, running)), "at most 12", met=_files(here, running) <= 12)
    _until(serving, running, "terminated")
    measured.row("Once its end is reported", str(_files(here, running)))
    time.sleep(8)  # the next poll confirms that its last record has arrived
    measured.row("Once it has finished", str(_files(here, running)), "at most 8", met=_files(here, running) <= 8)
    here.cancel_all()


def _files(here: Place, body: Json) -> int:
    return int(here.account(f"cd .interlink/*/ && find . -path '*{_uid(body)}*' | wc -l"))


def _uid(body: Json) -> str:
    return str(body["pod"]["metadata"]["uid"])


def _until(serving: Serving, body: Json, state: str) -> None:
    while True:
        containers = serving.client.status(body["pod"]).json[0]["containers"]
        if all(state in each["state"] for each in containers):
            return
        time.sleep(0.5)


def _operations(measured: Measured, here: Place, serving: Serving) -> None:
    serving.client.create(held_pod())  # what is sent and made only once
    time.sleep(4)  # its records are looked for 2 s after the submission
    body = request(pod(sh("one", "true")))
    with _traced(here) as trace:
        serving.client.create(body)
        here.account("while squeue --noheader --me --states=R,CG,PD --format=%j | grep -q true; do sleep 0.2; done", 60)
        time.sleep(4)  # its records are read 2 s after the submission
        before_delete = _counted(trace, body)
        serving.client.delete(body["pod"])
        here.account(f"while ls -d .interlink/*/*-{_uid(body)}; do sleep 0.2; done >/dev/null 2>&1", 60)
        time.sleep(1)
        counted = _counted(trace, body)
    here.cancel_all()
    measured.row("Operations until the end is known", _shown(before_delete))
    measured.row("Operations of the delete", _shown(counted - before_delete))
    total = counted.total()
    target = f"at most {_MOST_OPERATIONS}, a third of 0.2.0"
    measured.row("Operations from create to deleted", _shown(counted), target, met=total <= _MOST_OPERATIONS)


def _shown(counted: Counter[str]) -> str:
    parts = ", ".join(f"{number} {name}" for name, number in counted.most_common())
    return f"{counted.total()}: {parts}"


@contextlib.contextmanager
def _traced(here: Place) -> Iterator[Path]:
    """The file operations of all processes below the sessions of the site, as strace writes them."""
    shells = _session_shells(here)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        attach = [word for pid in shells for word in ("-p", pid)]
        command = ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={_CALLS}", *attach]
        tracer = subprocess.Popen(command)
        while not trace.exists():
            time.sleep(0.1)
        time.sleep(1)
        try:
            yield trace
        finally:
            tracer.terminate()
            tracer.wait()


def _session_shells(here: Place) -> list[str]:
    namespace = here.root("readlink /proc/self/ns/mnt").strip()
    pids = subprocess.run(["pgrep", "-x", "sh"], check=True, capture_output=True, text=True).stdout.split()
    return [pid for pid in pids if _is_session(pid, namespace)]


def _is_session(pid: str, namespace: str) -> bool:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        return str(Path(f"/proc/{pid}/ns/mnt").readlink()) == namespace and command[0] == "/bin/sh" and not command[1]
    return False


def _counted(trace: Path, body: Json) -> Counter[str]:
    names = re.compile(rf'"(?:[^"]*(?:{_uid(body)}|\.remote-slurm)[^"]*|(?:spool|read)(?:/[^"]*)?)"')
    counted: Counter[str] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        if names.search(line):
            call = line.split(None, 1)[1]
            counted.update([name for name, calls in _GROUPS.items() if re.match(calls, call)][:1])
    return counted
