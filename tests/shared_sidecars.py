"""Sidecars that all processes of a test run share, so that few of them poll a site.

The first process that needs a sidecar starts it. A parent of its own ends the sidecar with the run, even with one that
is killed.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.pods import Json
from tests.serving import Serving
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM, Client, Sidecar
from tests.sites import Site
from tests.vk import Watched

# RUN FOLDER PROGRAM...: run the program until the process RUN ends or SIGTERM comes; keep its exit code. Nothing here
# polls in a loop of processes: about 30 such parents run all the time.
_PARENT = """
run=$1 folder=$2 stop=$2/stop exit=$2/exit
shift 2
trap : TERM
echo "$$" >"$folder/parent"
"$@" &
program=$!
tail --pid="$run" -f /dev/null &
wait -n
kill "$program" "$!" 2>/dev/null
wait "$program"
echo "$?" >"$exit.new"
mv "$exit.new" "$exit"
[ -e "$stop" ] || rm -r "${stop%/*}"
"""


class _Attached(Sidecar):
    """A sidecar that another process may have started; no test may end it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._exit = log.with_name("exit")
        self.url = self._wait_until_listening()
        self.client = Client(self.url)

    def _check_that_it_runs(self) -> None:
        assert not self._exit.exists(), f"the shared sidecar ended with {self._exit.read_text()}: {self.log}"


class SharedSidecars:
    """The shared sidecars of one run, which is named by the process id of its first process."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._folder = Path(tempfile.gettempdir()) / f"remote-slurm-test-{run}-sidecars"

    def get(
        self,
        name: str,
        site: Site,
        keys: Callable[[Path], Json] = lambda _: {},
        create: Callable[[Serving], dict[str, Watched]] = lambda _: {},
    ) -> Serving:
        """The sidecar of this name. If it has to be started: with these keys, and `create` creates its first pods."""
        folder = self._folder / name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / "known.json"
        with _locked(folder / "lock"):
            if not known.exists():
                # most of them have nothing to do at a time: each poll is a dozen processes at the site
                config = site.config(folder, **{"PollInterval": 2} | keys(folder))
                self._start(folder, config)
                pods = create(Serving(site, config, _Attached(folder / "log")))
                facts = {"config": str(config), "pods": {key: (each.pod, each.job) for key, each in pods.items()}}
                (new := folder / "known.new").write_text(json.dumps(facts))
                new.rename(known)
        facts = json.loads(known.read_text())
        served = Serving(site, Path(facts["config"]), _Attached(folder / "log"))
        served.early = {key: Watched(served.client, pod, job) for key, (pod, job) in facts["pods"].items()}
        return served

    def _start(self, folder: Path, config: Path) -> None:
        parent = ["setsid", "--fork", "bash", "-c", _PARENT, "parent", self._run, folder]
        with (folder / "log").open("wb") as log:
            subprocess.run(
                [*parent, PROGRAM, "serve", "--config", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                check=True,
            )

    def stop(self) -> list[str]:
        """End all of them; a description of each that did not end well or logged a traceback."""
        started = [path.parent for path in sorted(self._folder.glob("*/log"))]
        for folder in started:
            (folder / "stop").touch()
            if not (folder / "exit").exists():
                os.kill(int((folder / "parent").read_text()), signal.SIGTERM)
        found = [problem for folder in started for problem in _problems(folder)]
        shutil.rmtree(self._folder, ignore_errors=True)
        return found


def _problems(folder: Path) -> Iterator[str]:
    deadline = time.monotonic() + PATIENCE
    while not (folder / "exit").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    code = (folder / "exit").read_text().strip() if (folder / "exit").exists() else "none"
    log = (folder / "log").read_text(errors="replace")
    if code != "0" or "Traceback" in log or "unexpected" in log:
        yield f"the shared sidecar {folder.name} ended with exit code {code}:\n{log[-20000:]}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
