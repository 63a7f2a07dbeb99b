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
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import forked_program
from tests.integration.conftest import Through
from tests.pods import Json, pod, request, sh
from tests.runtimes import Shared
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
        return [str(PROGRAM), "exec", "--url", self.served.sidecar.url, *options, self.name, "--", *command]

    def exec(
        self, *command: str, options: tuple[str, ...] = (), data: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        if data is not None:
            options = ("-i", *options)
        return forked_program.run_bytes(self.words(*command, options=options)[1:], data or b"", ENVIRONMENT, PATIENCE)

    def sh(self, script: str, *, code: int = 0, options: tuple[str, ...] = ()) -> str:
        """What a script prints that ends so."""
        run = self.exec("sh", "-c", script, options=options)
        assert run.returncode == code, run
        return run.stdout.decode()

    def cp(self, *words: str) -> subprocess.CompletedProcess[str]:
        return forked_program.run(["cp", "--url", self.served.sidecar.url, *words], "", ENVIRONMENT, PATIENCE)

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


@pytest.fixture(scope="module")
def running(shared: Shared) -> Running:
    """In a container of a SIF file, beside others."""
    container = sh("c", f"mkdir -p /tmp/here; cd /tmp/here; {WAITS}", workingDir="/tmp") | {"image": "busybox.sif"}
    container["env"] = [{"name": "GREETING", "value": "hello 'world'\n$x"}]
    sidecar = {**sh("helper", WAITS), "restartPolicy": "Always"}
    return start(shared("apptainer"), container, sh("over", "exit 3"), initContainers=[sh("early", "exit 0"), sidecar])


# --- what a command is in ---


@pytest.mark.parametrize("runtime", ["apptainer", "podman", "none", "apptainer apart"])
def test_a_command_is_in_its_container_and_leaves_nothing(shared: Shared, runtime: str, tmp_path: Path) -> None:
    running = start(shared(runtime))
    run = running.exec("sh", "-c", "echo out; printf err >&2; test -t 1 || exit 42")
    assert (run.returncode, run.stdout, run.stderr) == (42, b"out\n", b"err")
    assert running.exec("no-such-program").returncode in {126, 127}
    running.sh("echo kept >/tmp/kept-here")
    assert running.sh("cat /tmp/kept-here; rm /tmp/kept-here") == "kept\n"
    data = os.urandom(3 << 20)
    assert running.exec("cat", data=data).stdout == data
    with contextlib.closing(Terminal(running.words("sh", options=("-it",)))) as terminal:
        terminal.until("[#$>] ")
        terminal.type("stty size; exit 7\n")
        terminal.until(r"24 80\r\n")
        assert terminal.exit_code() == 7
    _check_copies(running, tmp_path)
    with running.endless() as process:
        process.send_signal(signal.SIGKILL)
        running.until_nothing_is_left()


def test_a_command_sees_the_containers_processes_variables_and_user(running: Running) -> None:
    assert running.sh('printf %s "$GREETING"') == "hello 'world'\n$x"
    assert "while :; do sleep 1; done" in running.sh("tr '\\0' ' ' </proc/1/cmdline; cat /proc/[0-9]*/cmdline")
    assert running.sh("id -un; readlink /proc/1/ns/pid").splitlines() == [
        "hpcuser",
        running.sh("readlink /proc/self/ns/pid").strip(),
    ]


def test_containers_are_named_and_those_that_do_not_run_are_refused(running: Running) -> None:
    for name in ("c", "helper"):
        assert running.sh("echo in $0", options=("-c", name)) == "in sh\n"
    for name, ending in (("over", "is terminated: exit code 3"), ("early", "is terminated: exit code 0")):
        refused = running.exec("true", options=("-c", name))
        assert refused.returncode == 1
        assert refused.stderr.decode() == f"remote-slurm: container '{name}' in pod {running.name} {ending}\n"


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
        self.resize(80, 24)

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

    def close(self) -> None:
        """End the program, if it has not ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.close(self._fd)

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


def test_a_command_whose_client_sidecar_or_step_was_killed_is_gone(
    serve: Serve, site: Site, sidecar: Callable[..., Sidecar]
) -> None:
    running = start(serve(site, **enabled()))
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


def test_a_pod_that_is_deleted_ends_its_commands(shared: Shared) -> None:
    running = start(shared("apptainer"))
    with running.endless() as process:
        running.watched.delete()
        # the end of the container kills it, or Slurm ends its step
        assert process.wait(PATIENCE) in {1, 137}
        running.until_nothing_is_left()
    refused = running.exec("true")
    assert refused.returncode == 1
    assert running.name in refused.stderr.decode()


# --- files ---


def _check_copies(running: Running, tmp_path: Path) -> None:
    source = tmp_path / "source"
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
