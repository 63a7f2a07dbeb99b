"""`remote-slurm exec` and `remote-slurm cp` at a real site: commands in containers of running jobs."""

import contextlib
import fcntl
import hashlib
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import Through
from tests.pods import Json, pod, request, sh
from tests.runtimes import settings
from tests.serving import Serve, Serving, wait_until
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM, Sidecar
from tests.sites import Site, free_port
from tests.vk import Watched

WAITS = "trap 'exit 0' TERM; while :; do sleep 1; done"


def enabled() -> Json:
    """Keys of the configuration."""
    return {"EnableExec": True, "SidecarPort": free_port()}


@dataclass
class Running:
    """A pod that runs, and the commands that reach it."""

    served: Serving
    watched: Watched

    @property
    def name(self) -> str:
        metadata = self.watched.pod["metadata"]
        return f"{metadata['namespace']}/{metadata['name']}"

    def words(self, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        return [str(PROGRAM), "exec", "--config", str(self.served.config), *options, self.name, "--", *command]

    def exec(
        self, *command: str, options: tuple[str, ...] = (), data: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        if data is not None:
            options = ("-i", *options)
        return subprocess.run(
            self.words(*command, options=options),
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            env=ENVIRONMENT,
            check=False,
            timeout=PATIENCE,
        )

    def sh(self, script: str, *, code: int = 0, options: tuple[str, ...] = ()) -> str:
        """What a script prints that ends so."""
        run = self.exec("sh", "-c", script, options=options)
        assert run.returncode == code, run
        return run.stdout.decode()

    def cp(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, "cp", "--config", self.served.config, *words],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            check=False,
            timeout=PATIENCE,
        )

    @property
    def endless_command(self) -> tuple[str, str]:
        """One that other pods of the site do not run."""
        return "sleep", f"98{int(self.watched.job):05d}"

    @property
    def srun(self) -> str:
        """What is in the command line of each srun for this pod, and of no other."""
        return f"srun --jobid={self.watched.job} "

    def left(self) -> str:
        """Lines of the process list: sruns, and endless commands."""
        patterns = f"-e '{self.srun}' -e '{' '.join(self.endless_command)}$'"
        return self.served.site.exec(f"ps -u hpcuser -o args= | grep {patterns} | grep -v -e grep || true")

    def until_endless_runs(self) -> None:
        wait_until(lambda: f"{' '.join(self.endless_command)}\n" in self.left(), "the command runs")

    @contextlib.contextmanager
    def endless(self) -> Iterator[subprocess.Popen[bytes]]:
        """A command that runs at the site."""
        process = subprocess.Popen(
            self.words(*self.endless_command), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT
        )
        try:
            self.until_endless_runs()
            yield process
        finally:
            process.kill()
            process.communicate()

    def until_nothing_is_left(self) -> None:
        wait_until(lambda: not self.left(), "nothing of the command is left")
        steps = f"squeue --noheader --steps --jobs={self.watched.job} --format=%j || true"
        wait_until(lambda: "exec-" not in self.served.site.exec(steps), "no step of a command is left")


def start(served: Serving, *containers: Json, **spec: object) -> Running:
    a_pod = pod(*(containers or (sh("c", WAITS),)), flags="--mem=100M", **spec)
    watched = served.vk.create(request(a_pod))
    running = Running(served, watched)
    wait_until(lambda: running.exec("true").returncode == 0, "commands run in the pod")
    return running


@pytest.fixture(params=["apptainer", "podman", "none", "apptainer apart"])
def in_each_runtime(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path) -> Running:
    apart = request.param.endswith("apart")
    site: Site = request.getfixturevalue("apart_site" if apart else "site")
    return start(serve(site, **enabled(), **settings(site, request.param, tmp_path)))


@pytest.fixture
def running(serve: Serve, site: Site) -> Running:
    """In a container of a SIF file."""
    return start(serve(site, **enabled()), sh("c", WAITS) | {"image": "busybox.sif"})


# --- what a command is in ---


def test_a_command_is_in_the_container_and_its_exit_code_comes_back(in_each_runtime: Running) -> None:
    run = in_each_runtime.exec("sh", "-c", "echo out; printf err >&2; test -t 1 || exit 42")
    assert (run.returncode, run.stdout, run.stderr) == (42, b"out\n", b"err")
    with ThreadPoolExecutor(2) as threads:
        codes = list(threads.map(lambda code: in_each_runtime.exec("sh", "-c", f"exit {code}").returncode, (0, 1, 255)))
    assert codes == [0, 1, 255]
    assert in_each_runtime.exec("no-such-program").returncode in {126, 127}
    in_each_runtime.sh("echo kept >/tmp/kept-here")
    assert in_each_runtime.sh("cat /tmp/kept-here; rm /tmp/kept-here") == "kept\n"
    data = os.urandom(3 << 20)
    back = in_each_runtime.exec("cat", data=data)
    assert hashlib.sha256(back.stdout).digest() == hashlib.sha256(data).digest()
    with in_each_runtime.endless() as process:
        process.send_signal(signal.SIGKILL)
        in_each_runtime.until_nothing_is_left()


def test_a_command_sees_the_containers_processes_variables_and_user(serve: Serve, site: Site) -> None:
    container = sh("c", f"mkdir -p /tmp/here; cd /tmp/here; {WAITS}", workingDir="/tmp")
    container["env"] = [{"name": "GREETING", "value": "hello 'world'\n$x"}]
    running = start(serve(site, **enabled()), container)
    assert running.sh('printf %s "$GREETING"') == "hello 'world'\n$x"
    assert "while :; do sleep 1; done" in running.sh("tr '\\0' ' ' </proc/1/cmdline; cat /proc/[0-9]*/cmdline")
    assert running.sh("id -un") == "hpcuser\n"
    batch, own = (
        running.sh(f"cat /proc/{who}/ns/pid 2>/dev/null; readlink /proc/{who}/ns/pid") for who in ("1", "self")
    )
    assert batch == own


def test_containers_are_named_and_those_that_do_not_run_are_refused(serve: Serve, site: Site) -> None:
    sidecar = {**sh("helper", WAITS), "restartPolicy": "Always"}
    init = sh("early", "exit 0")
    running = start(serve(site, **enabled()), sh("main", WAITS), sh("over", "exit 3"), initContainers=[init, sidecar])
    for name in ("main", "helper"):
        assert running.sh("echo in $0", options=("-c", name)) == "in sh\n"
    for name, ending in (("over", "is terminated: exit code 3"), ("early", "is terminated: exit code 0")):
        refused = running.exec("true", options=("-c", name))
        assert refused.returncode == 1
        assert refused.stderr.decode() == f"remote-slurm: container '{name}' in pod {running.name} {ending}\n"
    refused = running.exec("true", options=("-c", "nothing"))
    assert "container nothing is not valid for pod" in refused.stderr.decode()
    running.watched.delete()
    wait_until(lambda: running.exec("true").returncode == 1, "the pod is over")


def test_a_pod_from_before_is_refused(serve: Serve, site: Site, sidecar: Callable[..., Sidecar]) -> None:
    served = serve(site, SidecarPort=free_port())
    watched = served.vk.create(request(pod(sh("c", WAITS), flags="--mem=100M")))
    running = Running(served, watched)
    watched.until_running("c")
    assert "EnableExec is false" in running.exec("true").stderr.decode()
    served.config.write_text(served.config.read_text() + "EnableExec: true\n")
    served.sidecar.stop()
    sidecar(served.config)
    assert "was created while EnableExec was false" in running.exec("true").stderr.decode()


# --- input, output, terminals ---


def test_64_mib_come_back_as_they_were_sent(running: Running) -> None:
    data = os.urandom(1 << 20) * 64
    back = running.exec("cat", data=data)
    assert hashlib.sha256(back.stdout).digest() == hashlib.sha256(data).digest()


class Terminal:
    """A command in a terminal of this machine."""

    def __init__(self, words: list[str]) -> None:
        self.pid, self._fd = pty.fork()
        if not self.pid:
            os.execve(words[0], words, ENVIRONMENT)  # noqa: S606
        self._seen = b""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, pattern: str) -> str:
        """What was printed up to there."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern.encode(), self._seen)):
            assert time.monotonic() < deadline, self._seen
            if select.select([self._fd], [], [], 1)[0]:
                self._seen += os.read(self._fd, 65536)
        before, self._seen = self._seen[: found.end()], self._seen[found.end() :]
        return before.decode()

    def exit_code(self) -> int:
        with contextlib.suppress(OSError):
            while os.read(self._fd, 65536):
                pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_shell_in_a_terminal_follows_its_size_and_ctrl_c(running: Running) -> None:
    terminal = Terminal(running.words("sh", options=("-it",)))
    terminal.until("> ")
    terminal.resize(99, 33)
    terminal.type("stty size; echo $TERM; tty <&1\n")
    terminal.until(r"33 99\r\nxterm\r\n")
    terminal.resize(120, 40)
    terminal.type("until stty size | grep '40 120'; do sleep 0.1; done\n")
    terminal.until(r"40 120\r\n")
    terminal.type("sleep 1000; echo code $?\n")
    terminal.until("echo code")
    time.sleep(1)
    terminal.type("\x03")
    terminal.until("> ")
    terminal.type("echo co''de $?\n")
    terminal.until("code 130")
    terminal.type("exit 5\n")
    assert terminal.exit_code() == 5


# --- nothing is left ---


def test_nothing_is_left_of_a_command_whose_client_sidecar_or_step_was_killed(
    running: Running, site: Site, sidecar: Callable[..., Sidecar]
) -> None:
    with running.endless() as process:
        site.exec(f"pkill -KILL -u hpcuser -f '{running.srun}'")
        assert process.wait(PATIENCE) == 1
        running.until_nothing_is_left()
    with running.endless() as process:
        running.served.sidecar.kill()
        assert process.wait(PATIENCE) == 1
        running.until_nothing_is_left()
    sidecar(running.served.config)
    terminal = Terminal(running.words(*running.endless_command, options=("-it",)))
    running.until_endless_runs()
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.exit_code()
    running.until_nothing_is_left()


def test_a_connection_that_is_cut_ends_its_commands(site: Site, through: Through) -> None:
    proxy, served = through(site, **enabled())
    running = start(served)
    with running.endless() as process:
        proxy.cut()
        assert process.wait(PATIENCE) == 1
        running.until_nothing_is_left()
    assert running.sh("echo again") == "again\n"


def test_a_pod_that_is_deleted_ends_its_commands(serve: Serve, site: Site) -> None:
    running = start(serve(site, **enabled()))
    with running.endless() as process:
        running.watched.delete()
        # the end of the container kills it, or Slurm ends its step
        assert process.wait(PATIENCE) in {1, 137}
        running.until_nothing_is_left()
    refused = running.exec("true")
    assert refused.returncode == 1
    assert running.name in refused.stderr.decode()


# --- files ---


def test_files_are_copied_both_ways(in_each_runtime: Running, tmp_path: Path) -> None:
    running, source = in_each_runtime, tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "-n \n *").write_bytes(b"1")
    (source / "deep" / "data").write_bytes(os.urandom(300_000))
    (source / "deep" / "run").write_text("#!/bin/sh\n")
    (source / "deep" / "run").chmod(0o755)
    base = running.sh("mktemp -d").strip()
    up = running.cp(str(source), f"{running.name}:{base}")
    assert (up.returncode, up.stderr) == (0, "")
    down = running.cp(f"{running.name}:{base}/source", str(tmp_path / "target"))
    assert (down.returncode, down.stderr) == (0, "")
    assert _tree(tmp_path / "target") == _tree(source)
    one = running.cp(f"{running.name}:{base}/source/deep/data", str(tmp_path / "one"))
    assert (one.returncode, one.stderr) == (0, "")
    assert (tmp_path / "one").read_bytes() == (source / "deep" / "data").read_bytes()
    running.sh(f"ln -s /etc/passwd {base}/source/link; mkfifo {base}/source/pipe")
    into = tmp_path / "into"
    into.mkdir()
    down = running.cp(f"{running.name}:{base}/source", str(into))
    assert down.returncode == 0
    assert "skipping link: './source/link' -> '/etc/passwd'" in down.stderr
    assert _tree(into / "source") == _tree(source)
    missing = running.cp(f"{running.name}:{base}/nothing", str(tmp_path / "x"))
    assert missing.returncode == 1
    assert "tar in the container ended with exit code" in missing.stderr
    assert not (tmp_path / "x").exists()
    running.sh(f"rm -rf {base}")


def _tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_file()
    }
