"""What the site has of it: connections, sessions, processes, processor time, files."""

from __future__ import annotations

import contextlib
import time

from figures import Measured
from place import Place, place

from tests.pods import pod, request, sh

RTT_MS = 50
POLL_SECONDS = 10
PODS = 5
WATCH_SECONDS = 60

# sshd's processes of the account and their shells; the time of ended processes is counted in their parents
_LOOK = """
cd /proc
sessions=0 processes=0 ticks=0
for pid in [0-9]*; do
    [ "$(stat -c %U $pid 2>/dev/null)" = hpcuser ] || continue
    read -r line <$pid/stat || continue
    set -- ${line##*) }
    case $(tr '\\0' ' ' <$pid/cmdline) in
        *sshd*) ticks=$((ticks + ${12} + ${13} + ${14} + ${15})) ;;
        "/bin/sh ") sessions=$((sessions + 1)) ticks=$((ticks + ${12} + ${13} + ${14} + ${15})) ;;
        *) continue ;;
    esac
    processes=$((processes + 1))
done
echo $(grep -c "Accepted publickey" /var/log/sshd.log) $sessions $processes $ticks"""
_TICKS = 100  # in a second, on Linux


def measure() -> Measured:
    measured = Measured(
        "Footprint at the site",
        f"{PODS} running pods with two containers each, polling every {POLL_SECONDS} s for {WATCH_SECONDS} s; the "
        "login node only, without the jobs.",
    )
    with place("--rtt", str(RTT_MS)) as here, contextlib.ExitStack() as stack:
        logins = _look(here)[0]  # those of bringing the site up
        serving = stack.enter_context(here.sidecar(PollInterval=POLL_SECONDS))
        for _ in range(PODS):
            serving.client.create(request(pod(sh("one", "sleep 300"), sh("two", "sleep 300"))))
        time.sleep(2 * POLL_SECONDS)
        before = _look(here)
        time.sleep(WATCH_SECONDS)
        connections, sessions, processes, ticks = _look(here)
        spent = (ticks - before[3]) / _TICKS / WATCH_SECONDS * 3600
        files = here.account("cd .interlink/*/ && find default-* | wc -l")
        hidden = here.account("cd .interlink/*/ && find .remote-slurm -mindepth 2 | wc -l")
        here.cancel_all()
    logins = connections - logins
    measured.row("Logins since the start", str(logins), "one", met=logins == 1)
    measured.row("Sessions while idle", str(sessions), "a handful", met=sessions <= 5)
    measured.row("Processes on the login node, sshd's included", str(processes))
    measured.row("Processor time on the login node", f"{spent:.0f} s an hour")
    measured.row("Files and folders of a pod", f"{int(files) / PODS:.0f}, and {int(hidden) / PODS:.1f} beside it")
    return measured


def _look(here: Place) -> tuple[int, int, int, int]:
    connections, sessions, processes, ticks = map(int, here.root(_LOOK).split())
    return connections, sessions, processes, ticks
