"""`remote-slurm exec`: a command in a container of a running pod."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator

from remote_slurm.cli import credentials, exec_client
from remote_slurm.cli.client import listening_at
from remote_slurm.cli.exec_client import ExecClient, RunningExec, Wanted
from remote_slurm.cli.naming import named_in
from remote_slurm.cli.options import add_config_options, add_pod_argument, add_url_option, configured
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.ssh.threads import in_thread

_HELP = """\
Run a command in a container of a running pod, as `kubectl exec` does: with its files, environment, processes and GPUs,
as a step of the pod's job. The command ends if this program does. This program returns the exit code of the command.

POD is NAMESPACE/NAME, NAMESPACE/UID, a name in --namespace, or a file. The sidecar needs EnableExec: true.
"""

_EXAMPLES = """\
examples:
  remote-slurm exec --config SlurmConfig.yaml -it default/train -- bash              a shell
  remote-slurm exec --config SlurmConfig.yaml default/train -- nvidia-smi
  remote-slurm exec --config SlurmConfig.yaml -i default/train -c main -- sh -c 'cat >/data/in' <file
  remote-slurm exec --url https://sidecar:4000 --token-file token -n team train -- ps aux
"""

_READ = 64 * 1024


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    parser.add_argument("-i", "--stdin", action="store_true", help="pass standard input on to the command")
    parser.add_argument("-t", "--tty", action="store_true", help="give the command a terminal, if there is one here")
    add_pod_options(parser)
    add_pod_argument(parser)
    parser.add_argument("words", metavar="COMMAND", nargs="+", help="the command and its arguments, after --")


def add_pod_options(parser: argparse.ArgumentParser) -> None:
    """--container, --namespace, and those that name a sidecar."""
    parser.add_argument("-c", "--container", default="", metavar="NAME", help="container (default: the first one)")
    parser.add_argument(
        "-n", "--namespace", default="default", help="namespace of a POD that is a name alone (default: default)"
    )
    add_config_options(parser)
    add_url_option(parser, "the configured sidecar")


def run(arguments: argparse.Namespace) -> int:
    _open_standard_streams()
    namespace, pod = pod_of(arguments.pod, arguments.namespace)
    terminal = arguments.tty
    if terminal and not (arguments.stdin and os.isatty(0)):
        print("unable to use a TTY: the input is not a terminal, or -i is missing", file=sys.stderr)
        terminal = False
    wanted = Wanted(namespace, pod, arguments.container, tuple(arguments.words), arguments.stdin, terminal)
    return asyncio.run(_run(arguments, wanted))


def pod_of(argument: str, namespace: str) -> tuple[str, str]:
    """The namespace and the name or UID of the pod that is meant."""
    named = named_in(argument)
    own, slash, pod = named.partition("/")
    return (own, pod) if slash else (namespace, named)


@contextlib.asynccontextmanager
async def client(arguments: argparse.Namespace) -> AsyncIterator[ExecClient]:
    """The sidecar that --url names, else the configured one."""
    if arguments.url:
        url, shown = arguments.url, credentials.named(arguments)
    else:
        config = configured(arguments)
        url, shown = listening_at(config), credentials.configured(config)
    async with exec_client.at(url, shown) as found:
        yield found


async def _run(arguments: argparse.Namespace, wanted: Wanted) -> int:
    async with client(arguments) as sidecar, sidecar.running(wanted) as running:
        if not wanted.terminal:
            return await running.run(_Standard())
        with _raw_terminal(), _size_changes(running):
            await running.resize(*_size())
            return await running.run(_Standard())


class _Standard:
    """Standard input, output and error of this process. Each call blocks in a thread: they may be anything."""

    async def read_input(self) -> bytes:
        with _described("read standard input"):
            return await in_thread("stdin", _read, 0)

    async def write_output(self, data: bytes) -> None:
        with _described("write to standard output"):
            await in_thread("stdout", write_all, 1, data)

    async def write_error(self, data: bytes) -> None:
        with _described("write to standard error"):
            await in_thread("stderr", write_all, 2, data)


@contextlib.contextmanager
def _described(what: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RemoteSlurmError(f"cannot {what}: {error.strerror}: the command is ended") from error


def _open_standard_streams() -> None:
    """Open /dev/null in place of closed descriptors: the next file to be opened would get the number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - standard error
        pass
    os.close(descriptor)


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, _READ)
        except BlockingIOError:  # the process at the other end of a terminal can set it
            select.select([descriptor], [], [])


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """What is typed is the command's: Ctrl-C as well."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0, termios.TCSADRAIN)  # what was typed while the command was started is the command's, too
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _size_changes(running: RunningExec) -> Iterator[None]:
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def changed() -> None:
        task = loop.create_task(running.resize(*_size()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGWINCH, changed)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


def _size() -> tuple[int, int]:
    found = os.get_terminal_size(0)
    return found.columns, found.lines
